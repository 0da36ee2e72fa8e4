//! Clients that go away, and those that only stop to send.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use crate::support::{Client, DEADLINE, Proxy, Upstream, message};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// How a client goes away.
const GOES: [fn(Client); 2] = [|client| drop(client), Client::reset];

/// The one request so far was given up by its client, which nobody is charged for.
#[track_caller]
fn check_cancelled(proxy: &Proxy, blue: &Upstream) {
    blue.until_ended(0);
    proxy.until_metric("portcullis_requests_total", &["outcome=\"client_cancelled\"", "version=\"blue\""], 1.0);
    assert_eq!(proxy.metric("portcullis_requests_total", &[]), 1.0);
    let status = proxy.status();
    assert_eq!((status["blue"]["requests"].as_u64(), status["blue"]["failures"].as_u64()), (Some(0), Some(0)));
    proxy.until_metric("portcullis_inflight_requests", &[], 0.0);
}

#[track_caller]
fn until_requested(blue: &Upstream) {
    blue.until("the request", |seen| (!seen.first()?.requests.is_empty()).then_some(()));
}

/// Reads one request and sends `answer` as soon as it is told to.
fn told(answer: impl Into<Vec<u8>>) -> (Upstream, mpsc::Sender<()>) {
    let (tell, wait) = mpsc::channel();
    let (answer, wait) = (answer.into(), Arc::new(Mutex::new(wait)));
    let blue = Upstream::scripted(move |connection| {
        connection.request();
        wait.lock().expect("one connection").recv_timeout(DEADLINE).expect("the test tells");
        connection.send(&answer);
        connection.drain();
    });
    (blue, tell)
}

/// The only worker has seen whatever had come before this.
#[track_caller]
fn until_seen(proxy: &Proxy) {
    assert_eq!(proxy.client().send("TRACE / HTTP/1.1\r\nHost: test\r\n\r\n").response().status, 405);
}

/// Also where bytes that nobody reads yet hide it from who reads.
#[test]
fn row_36_a_client_that_resets_before_the_head_cancels_the_upstream_and_charges_nobody() {
    for more in ["", GET] {
        let blue = Upstream::scripted(|connection| {
            connection.request();
            connection.drain();
        });
        let proxy = Proxy::before(&blue);
        let mut client = proxy.client();
        client.send(GET);
        until_requested(&blue);
        client.send(more);
        client.reset();
        check_cancelled(&proxy, &blue);
    }
}

#[test]
fn row_36_a_client_that_resets_after_the_head_cancels_the_upstream_and_charges_nobody() {
    let blue = Upstream::scripted(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello");
        connection.drain();
    });
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send(GET).response_head();
    assert_eq!(client.bytes(5), b"hello");
    client.reset();
    check_cancelled(&proxy, &blue);
}

#[test]
fn row_36_a_client_gone_in_its_own_body_cancels_the_upstream_and_charges_nobody() {
    for body in ["Content-Length: 100\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        for go in GOES {
            let blue = Upstream::scripted(|connection| {
                connection.request();
            });
            let proxy = Proxy::before(&blue);
            let mut client = proxy.client();
            client.send(format!("POST / HTTP/1.1\r\nHost: test\r\n{body}"));
            blue.until("the body", |seen| message::find(&seen.first()?.bytes, b"hello"));
            go(client);
            check_cancelled(&proxy, &blue);
            assert_eq!(blue.count(), 0, "half a body is never a whole one");
        }
    }
}

#[test]
fn row_36_a_client_gone_while_an_endless_answer_streams_cancels_the_upstream() {
    for go in GOES {
        let blue = Upstream::scripted(|connection| {
            connection.request();
            connection.send("HTTP/1.1 200 OK\r\n\r\n");
            while connection.offer(&[b'a'; 16 * 1024]) {}
        });
        let proxy = Proxy::before(&blue);
        let mut client = proxy.client();
        client.send(GET).response_head();
        client.bytes(1024 * 1024);
        go(client);
        proxy.until_outcome("client_cancelled", 1);
        proxy.until_metric("portcullis_connections", &["side=\"upstream\""], 0.0);
    }
}

#[test]
fn row_36_a_client_that_has_closed_is_noticed_by_the_first_of_its_answer_and_charges_nobody() {
    let (blue, tell) = told("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello");
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send(GET);
    until_requested(&blue);
    drop(client);
    until_seen(&proxy);
    tell.send(()).expect("blue waits");
    blue.until_ended(0);
    proxy.until_outcome("client_cancelled", 1);
    assert_eq!(proxy.status()["blue"]["failures"], 0);
}

#[test]
fn row_37_a_client_that_stops_to_send_after_its_request_is_answered() {
    let long = "a".repeat(1024 * 1024);
    let chunked =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    for (request, answer, body) in [
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
        ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
        ("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc", chunked.as_str(), long.as_str()),
        (
            "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            chunked.as_str(),
            long.as_str(),
        ),
    ] {
        let (blue, tell) = told(answer);
        let proxy = Proxy::before(&blue);
        let mut client = proxy.client();
        client.send(request).half_close();
        until_requested(&blue);
        until_seen(&proxy);
        tell.send(()).expect("blue waits");
        let response = client.response();
        assert_eq!((response.status, response.text() == body), (200, true), "{request:?}");
        client.ends();
        proxy.until_outcome("success", 1);
        proxy.until_charged(1, 0);
    }
}

#[test]
fn row_37_every_request_that_was_sent_before_the_client_stopped_is_answered() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    let requests: String = (1..=20).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: test\r\n\r\n")).collect();
    client.send(requests).half_close();
    for number in 1..=20 {
        assert_eq!(client.response().text(), format!("GET /{number}"));
    }
    client.ends();
}

#[test]
fn row_37_a_client_that_has_closed_is_charged_by_what_became_of_its_request() {
    let (blue, tell) = told("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send(GET);
    until_requested(&blue);
    drop(client);
    until_seen(&proxy);
    tell.send(()).expect("blue waits");
    proxy.until_outcome("server_error", 1);
    proxy.until_charged(1, 1);
}

#[test]
fn row_37_a_client_that_stopped_to_send_gets_504_from_a_version_that_hangs() {
    let blue = Upstream::scripted(|connection| {
        connection.request();
        connection.drain();
    });
    let proxy = Proxy::before_with(&blue, "timeouts: { responseHead: 200ms }");
    let mut client = proxy.client();
    client.send(GET).half_close();
    assert_eq!(client.response().status, 504);
    client.ends();
    proxy.until_charged(1, 1);
}

#[test]
fn row_37_a_client_that_stopped_to_send_and_resets_then_cancels_the_upstream_and_charges_nobody() {
    let blue = Upstream::scripted(|connection| {
        connection.request();
        connection.drain();
    });
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send(GET).half_close();
    until_requested(&blue);
    until_seen(&proxy);
    client.reset();
    blue.until_ended(0);
    proxy.until_outcome("client_cancelled", 1);
    assert_eq!(proxy.status()["blue"]["failures"], 0);
}

#[test]
fn row_37_a_client_that_stops_to_send_between_two_requests_or_within_a_head_is_closed() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    assert_eq!(client.get("/").status, 200);
    client.half_close();
    client.ends();
    let mut client = proxy.client();
    client.send("GET / HT").half_close();
    client.ends();
    assert_eq!(blue.count(), 1);
}
