//! What a client gets when an endpoint fails, and whom it is charged to.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use crate::support::upstream::{refusing, unreachable};
use crate::support::{Client, Connection, Cut, End, Proxy, Upstream, config};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";
const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// One request came to `outcome`, with the status `code`, and blue is charged for it.
#[track_caller]
fn check_charged(proxy: &Proxy, outcome: &str, code: u16) {
    let labels = [format!("outcome=\"{outcome}\""), format!("code=\"{code}\""), "version=\"blue\"".to_owned()];
    proxy.until_metric("portcullis_requests_total", &labels.each_ref().map(String::as_str), 1.0);
    proxy.until_charged(1, 1);
}

/// In front of blue at `address`, whoever listens there.
fn before(address: SocketAddr, rest: &str) -> Proxy {
    Proxy::start(&config(&[address], &[SocketAddr::from(([127, 0, 0, 1], 1))], rest))
}

#[test]
fn row_38_an_upstream_that_refuses_is_502_and_charged() {
    let (address, _socket) = refusing();
    let proxy = before(address, "");
    let mut client = proxy.client();
    let response = client.get("/");
    assert_eq!((response.status, response.text().as_str()), (502, "the service could not be reached\n"));
    check_charged(&proxy, "connect_error", 502);
    assert_eq!(client.get("/").status, 502, "the connection goes on");
}

#[test]
fn row_39_an_upstream_that_does_not_accept_in_time_is_504_and_charged() {
    let (address, _socket, _queued) = unreachable();
    let proxy = before(address, "timeouts: { connect: 100ms }");
    let response = proxy.get("/");
    assert_eq!((response.status, response.text().as_str()), (504, "the service could not be reached in time\n"));
    check_charged(&proxy, "timeout", 504);
}

#[test]
fn row_39_an_upstream_that_does_not_answer_in_time_is_504_and_charged() {
    let blue = Upstream::scripted(|connection| {
        connection.request();
        connection.drain();
    });
    let proxy = Proxy::before_with(&blue, "timeouts: { responseHead: 100ms }");
    let mut client = proxy.client();
    let response = client.get("/");
    assert_eq!((response.status, response.text().as_str()), (504, "the service did not answer in time\n"));
    blue.until_ended(0);
    check_charged(&proxy, "timeout", 504);
    assert_eq!((blue.connections(), blue.count()), (1, 1), "a request that timed out is not sent again");
}

/// It had what was left of the time for the connection that was refused.
#[test]
fn row_39_an_endpoint_with_a_connection_that_rests_has_its_whole_time_after_another_has_refused() {
    let (refused, _socket) = refusing();
    let slow = Upstream::scripted(|connection| {
        while let Some(request) = connection.request() {
            if request.target == "/slow" {
                std::thread::sleep(Duration::from_millis(400));
            }
            connection.send(OK);
        }
    });
    let rest = "timeouts: { connect: 200ms }\nejection: { failures: 100 }";
    let proxy = Proxy::start(&config(&[refused, slow.address], &[SocketAddr::from(([127, 0, 0, 1], 1))], rest));
    let mut client = proxy.client();
    assert_eq!(client.get("/").status, 200);
    // Half of them are refused first.
    assert_eq!([(); 10].map(|()| client.get("/slow").status), [200; 10]);
    assert_eq!(slow.connections(), 1);
}

#[test]
fn row_39_half_a_head_is_no_answer() {
    let blue = Upstream::scripted(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-le");
        connection.drain();
    });
    let proxy = Proxy::before_with(&blue, "timeouts: { responseHead: 100ms }");
    assert_eq!(proxy.get("/").status, 504);
    check_charged(&proxy, "timeout", 504);
}

/// `script` runs after blue's first request, on a fresh connection.
#[track_caller]
fn check_lost_on_a_fresh_connection(request: &str, script: impl Fn(&mut Connection) + Send + Sync + 'static) {
    let blue = Upstream::scripted(move |connection| {
        connection.request();
        script(connection);
    });
    let proxy = Proxy::before(&blue);
    let response = proxy.client().send(request).response();
    let lost = "the service closed the connection before it answered\n";
    assert_eq!((response.status, response.text().as_str()), (502, lost));
    check_charged(&proxy, "reset", 502);
    assert_eq!((blue.connections(), blue.count()), (1, 1), "the request is not sent again");
}

#[test]
fn row_40_a_close_or_reset_before_the_head_on_a_fresh_connection_is_502_and_charged_and_not_retried() {
    for request in [GET, POST] {
        check_lost_on_a_fresh_connection(request, Connection::close);
        check_lost_on_a_fresh_connection(request, Connection::reset);
    }
}

#[test]
fn row_40_half_a_head_and_then_the_end_is_502_and_charged() {
    let blue = Upstream::scripted(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-le");
    });
    let proxy = Proxy::before(&blue);
    assert_eq!(proxy.get("/").status, 502);
    check_charged(&proxy, "reset", 502);
}

/// Answers the first request of every connection, and ends the first connection when it gets a second one.
fn forgetful(end: fn(&mut Connection)) -> Upstream {
    Upstream::scripted(move |connection| {
        while connection.request().is_some() {
            if connection.number == 0 && connection.seen() == 2 {
                return end(connection);
            }
            connection.send(OK);
        }
    })
}

#[test]
fn row_41_a_get_lost_on_a_kept_connection_is_retried_once_on_a_new_one_and_not_charged() {
    for end in [Connection::close, Connection::reset] {
        let blue = forgetful(end);
        let proxy = Proxy::before(&blue);
        let mut client = proxy.client();
        assert_eq!(client.get("/first").status, 200);
        assert_eq!(client.get("/second").status, 200);
        let targets: Vec<String> = blue.requests().into_iter().map(|request| request.target).collect();
        assert_eq!(targets, ["/first", "/second", "/second"]);
        assert_eq!(blue.connections(), 2);
        proxy.until_charged(2, 0);
    }
}

#[test]
fn row_41_a_post_lost_on_a_kept_connection_is_502_and_charged_and_never_sent_twice() {
    let bodiless = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";
    for (request, end) in
        [(POST, Connection::close as fn(&mut Connection)), (POST, Connection::reset), (bodiless, Connection::close)]
    {
        let blue = forgetful(end);
        let proxy = Proxy::before(&blue);
        let mut client = proxy.client();
        assert_eq!(client.get("/first").status, 200);
        assert_eq!(client.send(request).response().status, 502);
        assert_eq!((blue.connections(), blue.count()), (1, 2));
        proxy.until_charged(2, 1);
    }
}

#[test]
fn row_41_a_request_is_sent_again_byte_for_byte() {
    let many: String = (0..90).map(|number| format!("x-field-{number}: {number}\r\n")).collect();
    for (target, fields) in [
        ("/path//?query=%20&a=b", b"Content-Length: 0\r\nX-Twice: a\r\nX-Empty:\r\nX-Twice: \xe9\r\n".to_vec()),
        ("/long", format!("X-Long: {}\r\n", "x".repeat(20_000)).into_bytes()),
        ("/many", many.into_bytes()),
    ] {
        let blue = forgetful(Connection::close);
        let proxy = Proxy::before(&blue);
        let mut client = proxy.client();
        assert_eq!(client.get("/first").status, 200);
        client.send(format!("PUT {target} HTTP/1.1\r\nHost: test\r\n")).send(fields).send("\r\n");
        assert_eq!(client.response().status, 200, "{target}");
        let requests = blue.requests();
        assert_eq!(requests.len(), 3);
        assert_eq!(requests[1].target, target);
        assert_eq!(String::from_utf8_lossy(&requests[2].head.raw), String::from_utf8_lossy(&requests[1].head.raw));
    }
}

#[test]
fn row_41_a_get_that_is_lost_twice_is_502_and_charged_once() {
    let blue = Upstream::scripted(|connection| {
        while connection.request().is_some() {
            if connection.number > 0 || connection.seen() == 2 {
                return;
            }
            connection.send(OK);
        }
    });
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    assert_eq!(client.get("/first").status, 200);
    assert_eq!(client.get("/second").status, 502);
    assert_eq!((blue.connections(), blue.count()), (2, 3));
    proxy.until_charged(2, 1);
}

#[test]
fn row_41_a_post_is_not_sent_on_a_kept_connection_that_has_been_closed() {
    let (closed, wait) = mpsc::channel();
    let blue = Upstream::scripted(move |connection| {
        connection.request();
        connection.send(OK);
        connection.close();
        // An error means that the test is over.
        closed.send(()).ok();
    });
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    assert_eq!(client.get("/").status, 200);
    wait.recv().expect("blue closes");
    assert_eq!(client.send(POST).response().status, 200);
    proxy.until_charged(2, 0);
}

/// Blue begins an answer with `head`, sends part of its body and dies; the client sees `cut`.
#[track_caller]
fn check_truncated(request: &str, head: &'static str, end: fn(&mut Connection), cuts: &[Cut]) {
    let blue = Upstream::scripted(move |connection| {
        connection.request();
        connection.send(head);
        end(connection);
    });
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    let cut = client.send(request).try_response().expect_err("the answer is cut off");
    assert!(cuts.contains(&cut), "{cut:?} after {head:?}");
    check_charged(&proxy, "truncated", 200);
}

#[test]
fn row_42_death_within_content_length_is_seen_by_the_client_and_charged() {
    for end in [Connection::close, Connection::reset] {
        check_truncated(GET, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", end, &[Cut::Short, Cut::Reset]);
    }
}

#[test]
fn row_42_death_within_chunks_is_seen_by_the_client_and_charged() {
    for body in ["5\r\nhello\r\n", "5\r\nhel", "5\r\nhello\r\n5", "5\r\nhello\r\n0\r\n"] {
        for end in [Connection::close, Connection::reset] {
            let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            check_truncated(GET, head.leak(), end, &[Cut::Short, Cut::Reset]);
        }
    }
}

#[test]
fn row_42_death_within_a_body_that_ends_with_the_connection_is_seen_if_it_was_a_reset() {
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello";
    check_truncated(GET, head, Connection::reset, &[Cut::Short, Cut::Reset]);
}

#[test]
fn row_42_an_http_1_0_client_that_waits_for_the_end_sees_a_reset() {
    for request in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"] {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        check_truncated(request, head, Connection::close, &[Cut::Reset]);
    }
}

#[test]
fn row_43_a_connection_is_not_reused_after_more_than_the_content_length() {
    let (sent, wait) = mpsc::channel();
    let blue = Upstream::scripted(move |connection| {
        connection.request();
        connection.send(
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison",
        );
        sent.send(()).ok();
        connection.drain();
    });
    check_second_is_not_poisoned(&blue, &wait);
}

#[test]
fn row_43_a_connection_is_not_reused_after_bytes_that_nobody_asked_for() {
    let (sent, wait) = mpsc::channel();
    let (answered, go_on) = mpsc::channel::<()>();
    let go_on = std::sync::Mutex::new(go_on);
    let blue = Upstream::scripted(move |connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
        if connection.number == 0 {
            go_on.lock().expect("one connection").recv().expect("the test goes on");
        }
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison");
        sent.send(()).ok();
        connection.drain();
    });
    let proxy = Proxy::before(&blue);
    assert_eq!(proxy.get("/first").text(), "hello");
    answered.send(()).expect("blue waits");
    wait.recv().expect("blue sends");
    assert_eq!(proxy.get("/second").text(), "hello");
    assert_eq!(blue.connections(), 2);
}

#[track_caller]
fn check_second_is_not_poisoned(blue: &Upstream, sent: &mpsc::Receiver<()>) {
    let proxy = Proxy::before(blue);
    let mut client = proxy.client();
    assert_eq!(client.get("/first").text(), "hello");
    sent.recv().expect("blue sends");
    assert_eq!(client.get("/second").text(), "hello");
    assert_eq!(blue.connections(), 2);
    assert_eq!(blue.until_ended(0), End::Clean);
}

#[test]
fn row_44_an_answer_that_is_no_http_is_502_and_charged() {
    for answer in [
        "nonsense\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ] {
        check_invalid(answer.to_owned(), "the service gave no valid HTTP answer\n");
    }
}

#[test]
fn row_44_an_answer_head_over_64_kib_is_502_and_charged() {
    for length in [70_000, 1_000_000] {
        let answer = format!("HTTP/1.1 200 OK\r\nX: {}\r\ncontent-length: 0\r\n\r\n", "a".repeat(length));
        check_invalid(answer, "the service gave an answer whose head is too large\n");
    }
}

#[track_caller]
fn check_invalid(answer: String, text: &str) {
    let shown: String = answer.escape_debug().take(100).collect();
    let blue = Upstream::scripted(move |connection| {
        connection.request();
        connection.send(&answer);
        connection.drain();
    });
    let proxy = Proxy::before(&blue);
    let mut client: Client = proxy.client();
    let response = client.get("/");
    assert_eq!((response.status, response.text().as_str()), (502, text), "{shown}");
    check_charged(&proxy, "reset", 502);
    blue.until_ended(0);
}

#[test]
fn an_endpoint_that_closes_after_each_answer_is_asked_again_on_a_new_connection() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let blue = Upstream::listening(listener, |connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    });
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    for number in 1..=20 {
        assert_eq!(client.send(POST).response().text(), "ok");
        assert_eq!(blue.connections(), number);
    }
    proxy.until_charged(20, 0);
}
