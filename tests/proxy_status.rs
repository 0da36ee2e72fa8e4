//! Our own errors say that they are ours (RFC 9209), and those of an endpoint do not.

use std::net::SocketAddr;

use crate::support::upstream::{refusing, unreachable};
use crate::support::{Connection, Proxy, Response, Upstream, config};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// The answer is ours, with `status`, a text, and `error` as its type.
#[track_caller]
fn check_ours(response: &Response, status: u16, error: &str) {
    let said = (response.status, response.head.one("proxy-status"));
    assert_eq!(said, (status, format!("portcullis; error={error}")));
    assert_eq!(response.head.one("content-type"), "text/plain; charset=utf-8");
    assert!(response.text().ends_with('\n') && response.text().len() > 1, "{}", response.text());
}

/// In front of a blue that does as `script` says.
#[track_caller]
fn check_of_blue(script: impl Fn(&mut Connection) + Send + Sync + 'static, status: u16, error: &str) {
    let blue = Upstream::scripted(script);
    let within = if status == 504 { "200ms" } else { "20s" };
    let proxy = Proxy::before_with(&blue, &format!("timeouts: {{ responseHead: {within} }}"));
    check_ours(&proxy.client().send(GET).response(), status, error);
}

#[test]
fn row_97_what_is_refused_for_the_clients_sake_says_that_it_is_ours() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "timeouts: { requestHead: 200ms, responseHead: 200ms }");
    for (request, status, error) in [
        ("TRACE / HTTP/1.1\r\nHost: test\r\n\r\n", 405, "http_request_denied"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "http_request_error"),
        ("GET * HTTP/1.1\r\nHost: test\r\n\r\n", 400, "http_request_error"),
        (
            "GET / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            400,
            "http_request_error",
        ),
        ("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nno\r\n", 400, "http_request_error"),
        ("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nhello", 408, "http_request_error"),
        ("GET / HT", 408, "http_request_error"),
        ("nonsense\r\n\r\n", 400, "http_request_error"),
        ("GET / HTTP/1.1\r\nHost: test\r\nContent-Length: x\r\n\r\n", 400, "http_request_error"),
    ] {
        check_ours(&proxy.client().send(request).response(), status, error);
    }
}

#[test]
fn row_97_what_is_no_request_is_answered_by_us_whatever_was_answered_before_it() {
    let (blue, fields) = (Upstream::ok(), "X: 1\r\n".repeat(101));
    let proxy = Proxy::before(&blue);
    for (head, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n"), 431),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(20_000)), 414),
    ] {
        // Alone, behind a request that is answered, and sent with one.
        check_ours(&proxy.client().send(&head).response(), status, "http_request_error");
        let mut client = proxy.client();
        assert_eq!(client.send(GET).response().status, 200);
        check_ours(&client.send(&head).response(), status, "http_request_error");
        let mut client = proxy.client();
        client.send(format!("{GET}{head}"));
        assert_eq!(client.response().status, 200);
        let response = client.response();
        check_ours(&response, status, "http_request_error");
        assert_eq!(response.head.one("connection"), "close");
        assert!(response.head.one("date").ends_with(" GMT"));
        client.ends();
    }
}

/// The bytes that the HTTP library would answer with by itself.
#[test]
fn row_97_an_endpoints_bare_400_passes_as_it_is() {
    for answer in
        ["HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 431 Too Large\r\ncontent-length: 0\r\n\r\n"]
    {
        let blue = Upstream::answering(answer);
        let proxy = Proxy::before(&blue);
        let mut client = proxy.client();
        for _ in 0..2 {
            let response = client.send(GET).response();
            assert!(matches!(response.status, 400 | 431) && !response.head.has("proxy-status"), "{response:?}");
        }
        assert_eq!(blue.count(), 2);
        proxy.until_outcome("client_error", 2);
    }
}

#[test]
fn row_97_a_connection_over_the_bound_is_told_that_it_is_us_who_refuse_it() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "limits: { connections: 1 }");
    let mut first = proxy.client();
    assert_eq!(first.get("/").status, 200);
    check_ours(&proxy.client().response(), 503, "http_request_denied");
}

#[test]
fn row_97_an_endpoint_that_is_not_reached_is_told_by_its_type() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let (address, _socket) = refusing();
    let proxy = Proxy::start(&config(&[address], &[nobody], ""));
    check_ours(&proxy.get("/"), 502, "connection_refused");
    let (address, _socket, _queued) = unreachable();
    let proxy = Proxy::start(&config(&[address], &[nobody], "timeouts: { connect: 100ms }"));
    check_ours(&proxy.get("/"), 504, "connection_timeout");
}

#[test]
fn row_97_an_endpoint_that_does_not_answer_well_is_told_by_its_type() {
    check_of_blue(|connection| _ = connection.request(), 502, "connection_terminated");
    check_of_blue(Connection::drain, 504, "http_response_timeout");
    for (answer, error) in [
        ("nonsense\r\n\r\n".to_owned(), "http_protocol_error"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n".to_owned(), "http_protocol_error"),
        (format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(70_000)), "http_response_header_section_size"),
    ] {
        check_of_blue(
            move |connection| {
                connection.request();
                connection.send(&answer);
                connection.drain();
            },
            502,
            error,
        );
    }
}

#[test]
fn row_97_an_error_inside_the_proxy_says_so() {
    let blue = Upstream::ok();
    check_ours(&Proxy::before(&blue).get("/portcullis/panic"), 500, "proxy_internal_error");
}

#[test]
fn row_97_an_error_of_the_endpoint_passes_as_it_is() {
    for (fields, said) in [("", &[][..]), ("Proxy-Status: inner; error=dns_timeout\r\n", &["inner; error=dns_timeout"])]
    {
        let blue = Upstream::answering(format!("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n{fields}\r\nbusy"));
        let response = Proxy::before(&blue).get("/");
        assert_eq!((response.status, response.text().as_str()), (503, "busy"));
        assert_eq!(response.head.all("proxy-status"), said);
    }
}
