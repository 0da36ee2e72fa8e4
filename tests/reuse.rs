//! Which request goes on a connection to an endpoint that has carried another.

use std::sync::mpsc;

use crate::support::{Connection, Proxy, Upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: test\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";

/// Answers each request with `head` and no body, and a POST with [`OK`]. Says when it has, and has done `then`.
fn bodiless(head: &'static str, then: fn(&mut Connection)) -> (Upstream, mpsc::Receiver<()>) {
    let (over, wait) = mpsc::channel();
    let blue = Upstream::scripted(move |connection| {
        while let Some(request) = connection.request() {
            if request.method == "POST" {
                connection.send(OK);
            } else {
                connection.send(head);
                then(connection);
                // An error means that the test is over.
                over.send(()).ok();
            }
        }
    });
    (blue, wait)
}

#[test]
fn row_95_a_post_is_not_put_on_a_connection_that_ends_with_an_answer_to_head_without_a_length() {
    let (blue, _wait) = bodiless("HTTP/1.1 200 OK\r\n\r\n", Connection::close);
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    for number in 0..50 {
        assert_eq!(client.send(HEAD).response_to_head().status, 200);
        assert_eq!(client.send(POST).response().status, 200, "POST {number}");
    }
    proxy.until_charged(100, 0);
}

#[test]
fn row_95_whether_the_connection_lasts_or_not_no_post_follows_an_answer_to_head_without_a_length() {
    for (head, connections) in [("HTTP/1.1 200 OK\r\n\r\n", 2), ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 1)] {
        let (blue, _wait) = bodiless(head, |_| {});
        let proxy = Proxy::before(&blue);
        let mut client = proxy.client();
        for _ in 0..2 {
            assert_eq!(client.send(HEAD).response_to_head().status, 200);
        }
        assert_eq!(blue.connections(), 1, "HEAD may be sent again, and goes on any connection");
        for _ in 0..2 {
            assert_eq!(client.send(POST).response().status, 200);
        }
        assert_eq!(blue.connections(), connections, "{head:?}");
    }
}

#[test]
fn row_95_a_post_follows_a_204_or_a_304_unless_the_connection_is_known_to_have_ended() {
    for head in ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n\r\n"] {
        for (then, connections) in [(Connection::close as fn(&mut Connection), 2), (|_: &mut Connection| {}, 1)] {
            let (blue, wait) = bodiless(head, then);
            let proxy = Proxy::before(&blue);
            let mut client = proxy.client();
            assert_eq!(client.send(GET).response().text(), "");
            wait.recv().expect("blue has answered");
            assert_eq!(client.send(POST).response().status, 200, "{head:?}");
            assert_eq!(blue.connections(), connections, "{head:?}");
            proxy.until_charged(2, 0);
        }
    }
}
