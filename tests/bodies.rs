//! Bodies on their way: how they end, what may be held of them, what they may wait for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use crate::support::message::Framing;
use crate::support::{Client, Cut, DEADLINE, Proxy, Upstream, message};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const MIB: usize = 1024 * 1024;

#[test]
fn chunks_pass_both_ways_one_by_one() {
    let (next, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let blue = Upstream::scripted(move |connection| {
        let head = connection.head().expect("a head");
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        wait.lock().expect("one connection").recv().expect("the client has it");
        connection.body(head);
        connection.send("6\r\n world\r\n0\r\n\r\n");
    });
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    blue.until("the first chunk", |seen| message::find(&seen.first()?.bytes, b"one"));
    assert!(client.response_head().contains("transfer-encoding: chunked\r\n"));
    assert_eq!(client.bytes(10), b"5\r\nhello\r\n");
    next.send(()).expect("blue waits");
    client.send("3\r\ntwo\r\n0\r\n\r\n");
    assert_eq!(client.bytes(16), b"6\r\n world\r\n0\r\n\r\n");
    let request = blue.until("the request", |seen| seen[0].requests.first().cloned());
    assert_eq!(request.body, b"onetwo");
    assert_eq!(request.head.one("transfer-encoding"), "chunked");
}

#[test]
fn a_body_that_ends_with_the_connection_ends_in_chunks_for_1_1_and_with_the_connection_for_1_0() {
    let blue = Upstream::scripted(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
    });
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    let response = client.get("/");
    assert_eq!((response.text().as_str(), response.framing), ("hello", Framing::Chunked));
    assert_eq!(client.get("/").text(), "hello", "the client's connection is kept");

    for fields in ["", "Connection: keep-alive\r\n"] {
        let response = proxy.client().send(format!("GET / HTTP/1.0\r\n{fields}\r\n")).response();
        assert_eq!((response.text().as_str(), response.framing), ("hello", Framing::UntilClose));
    }
    proxy.until_charged(4, 0);
}

#[test]
fn an_http_1_0_upstream_is_served_from() {
    let blue = Upstream::scripted(|connection| {
        connection.request();
        connection.send("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        connection.drain();
    });
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!((response.text().as_str(), response.version.as_str()), ("hello", "HTTP/1.1"));
    }
    assert_eq!(blue.connections(), 3);
}

/// An answer that has no body, from an endpoint that sends one all the same.
#[track_caller]
fn check_bodiless(request: &str, status: &str) {
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nhello");
    let (sent, wait) = mpsc::channel();
    let blue = Upstream::scripted(move |connection| {
        connection.request();
        connection.send(&answer);
        sent.send(()).ok();
        connection.drain();
    });
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    for connections in 1..=2 {
        client.send(request);
        let head = client.response_head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        wait.recv_timeout(DEADLINE).expect("blue sends it all");
        assert_eq!(blue.connections(), connections);
    }
    let (rest, _) = client.send("GET / HTTP/1.0\r\n\r\n").rest();
    assert!(rest.starts_with(b"HTTP/1.0 "), "{}", String::from_utf8_lossy(&rest));
}

#[test]
fn row_23_a_body_where_there_can_be_none_is_no_answer_to_the_next_request() {
    check_bodiless("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n", "200 OK");
    check_bodiless(GET, "304 Not Modified");
    check_bodiless(GET, "204 No Content");
}

#[test]
fn the_answer_to_head_tells_the_length_and_keeps_the_connection() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    let response = client.send("HEAD /head HTTP/1.1\r\nHost: test\r\n\r\n").response_to_head();
    assert_eq!(response.head.one("content-length"), "10");
    assert_eq!(client.get("/get").text(), "GET /get");
    assert_eq!(blue.connections(), 1);
}

#[test]
fn row_33_a_malformed_chunk_is_400_and_the_end_and_no_whole_request_for_the_endpoint() {
    let bodies = [
        "x\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello",
        &format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(20_000)),
    ];
    for body in bodies {
        let blue = Upstream::ok();
        let proxy = Proxy::before(&blue);
        let mut client = proxy.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
        assert_eq!(client.response().status, 400, "{body:?}");
        client.ends();
        proxy.until_outcome("refused_by_us", 1);
        blue.until("the end of all connections", |seen| seen.iter().all(|one| one.end.is_some()).then_some(()));
        assert_eq!(blue.count(), 0, "{body:?}");
        assert_eq!(proxy.status()["blue"]["failures"], 0, "{body:?}");
    }
}

#[test]
fn row_33_a_body_without_its_terminator_is_400_and_the_end_and_no_whole_request_for_the_endpoint() {
    for body in ["5\r\nhello\r\n", "5\r\nhello\r\n0\r\n", "5\r\nhel"] {
        let blue = Upstream::ok();
        let proxy = Proxy::before(&blue);
        let mut client = proxy.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
        client.half_close();
        assert_eq!(client.response().status, 400, "{body:?}");
        client.ends();
        proxy.until_outcome("client_cancelled", 1);
        blue.until("the end of all connections", |seen| seen.iter().all(|one| one.end.is_some()).then_some(()));
        assert_eq!((blue.count(), &proxy.status()["blue"]["failures"]), (0, &0.into()), "{body:?}");
    }
}

#[test]
fn row_45_a_body_that_stops_is_cut_off_in_view_of_the_client_and_charged() {
    let blue = Upstream::scripted(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
        connection.drain();
    });
    let proxy = Proxy::before_with(&blue, "timeouts: { bodyIdle: 200ms }");
    let cut = proxy.client().send(GET).try_response().expect_err("it never ends");
    assert!(matches!(cut, Cut::Short | Cut::Reset), "{cut:?}");
    blue.until_ended(0);
    proxy.until_outcome("timeout", 1);
    proxy.until_charged(1, 1);
}

#[test]
fn row_45_a_body_that_drips_is_not_cut_off() {
    let (tick, ticks) = mpsc::channel::<()>();
    let ticks = Mutex::new(ticks);
    let blue = Upstream::scripted(move |connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
        for _ in 0..10 {
            // Nothing is sent here: the wait is the pace of the drip.
            let paced = ticks.lock().expect("one connection").recv_timeout(Duration::from_millis(350));
            assert_eq!(paced, Err(mpsc::RecvTimeoutError::Timeout));
            connection.send("a");
        }
    });
    let proxy = Proxy::before_with(&blue, "timeouts: { bodyIdle: 3s }");
    assert_eq!(proxy.get("/").text(), "aaaaaaaaaa");
    proxy.until_charged(1, 0);
    drop(tick);
}

#[test]
fn a_client_that_stops_in_its_body_gets_408_and_nobody_is_charged() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "timeouts: { responseHead: 200ms }");
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello");
    assert_eq!(client.response().status, 408);
    client.ends();
    blue.until_ended(0);
    proxy.until_outcome("refused_by_us", 1);
    assert_eq!(proxy.status()["blue"]["failures"], 0);
}

/// How long a writer that is held back may not move before it counts as held back.
const HELD_BACK: Duration = Duration::from_millis(300);

/// What a proxy may grow by while 64 MiB wait on one side of it. Blocks of a read buffer come from pages of
/// 4 MiB in the allocator, which touches each block of a page once before it uses one again; the control thread has pages
/// of its own.
const GROWTH: u64 = 16 * MIB as u64;

#[test]
fn row_45_a_client_that_does_not_read_holds_the_endpoint_back_and_memory_stays_bounded() {
    let (held_back, wait) = mpsc::channel();
    let blue = Upstream::scripted(move |connection| {
        connection.request();
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 64 * MIB));
        let sent = connection.send_until_held_back(64 * MIB, HELD_BACK);
        held_back.send(sent).ok();
        connection.send(vec![b'a'; 64 * MIB - sent]);
        connection.drain();
    });
    let proxy = Proxy::before(&blue);
    assert_eq!(proxy.client().send("BREW / HTTP/1.1\r\n\r\n").response().status, 400);
    let before = proxy.memory();
    let mut client = proxy.client();
    client.send(GET);
    let sent = wait.recv_timeout(DEADLINE).expect("the endpoint is held back");
    assert!(sent < 48 * MIB, "{sent} bytes have been taken for a client that reads none");
    let grown = proxy.memory().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} bytes more");
    assert_eq!(client.response().body.len(), 64 * MIB);
    proxy.until_charged(1, 0);
}

#[test]
fn row_45_an_endpoint_that_does_not_read_holds_the_client_back_and_memory_stays_bounded() {
    let (read_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let taken = Arc::new(AtomicUsize::new(0));
    let blue = Upstream::scripted({
        let taken = Arc::clone(&taken);
        move |connection| {
            connection.head();
            wait.lock().expect("one connection").recv().expect("the client is held back");
            taken.store(connection.discard(64 * MIB), Ordering::SeqCst);
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            connection.drain();
        }
    });
    let proxy = Proxy::before(&blue);
    assert_eq!(proxy.client().send("BREW / HTTP/1.1\r\n\r\n").response().status, 400);
    let before = proxy.memory();
    let mut client = proxy.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", 64 * MIB));
    let sent = client.send_until_held_back(64 * MIB, HELD_BACK);
    assert!(sent < 48 * MIB, "{sent} bytes have been taken for an endpoint that reads none");
    let grown = proxy.memory().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} bytes more");
    read_on.send(()).expect("blue waits");
    client.send(vec![b'a'; 64 * MIB - sent]);
    assert_eq!(client.response().text(), "ok");
    assert_eq!(taken.load(Ordering::SeqCst), 64 * MIB);
    proxy.until_charged(1, 0);
}

#[test]
fn row_34_trailers_are_passed_on_both_ways() {
    let blue = Upstream::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n5\r\nhello\r\n0\r\nX-End: 1\r\n\r\n",
    );
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: X-Sum\r\n\r\n\
         5\r\nhello\r\n0\r\nX-Sum: 2\r\n\r\n",
    );
    let response = client.response();
    let request = blue.only_request();
    assert_eq!((response.text().as_str(), request.body.as_slice()), ("hello", b"hello".as_slice()));
    assert_eq!(response.trailers, [("x-end".to_owned(), b"1".to_vec())]);
    assert_eq!(request.trailers, [("x-sum".to_owned(), b"2".to_vec())]);
}

/// Whatever hyper still held of an answer was dropped with the buffers of the connection. The lengths are around what the
/// kernel takes at once.
#[test]
fn a_client_that_reads_late_does_not_lose_the_end_of_its_answer() {
    let blue = Upstream::of_the_length_asked_for();
    let proxy = Proxy::before(&blue);
    let lengths = (100_000..400_000).step_by(10_000);
    let mut clients: Vec<_> = lengths
        .map(|length| {
            let mut client = Client::narrow(proxy.listen);
            client.send(format!("GET /{length} HTTP/1.1\r\nHost: test\r\n\r\n"));
            (length, client)
        })
        .collect();
    // Longer than an idle connection keeps its buffers.
    clients[0].1.pause(Duration::from_millis(600));
    for (length, client) in &mut clients {
        assert_eq!(client.response().body.len(), *length);
    }
}
