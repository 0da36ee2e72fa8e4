//! Streams that end otherwise than by a whole answer.

use std::time::Duration;

use h2::client::Builder;

use super::*;
use crate::support::Connection;
use crate::support::http2::{DATA, HEADERS, RST_STREAM, WINDOW_UPDATE};

/// The one request so far was given up by its client, which nobody is charged for.
#[track_caller]
fn check_cancelled(proxy: &Proxy, blue: &Upstream) {
    blue.until_ended(0);
    proxy.until_metric("portcullis_requests_total", &["outcome=\"client_cancelled\"", "version=\"blue\""], 1.0);
    assert_eq!(proxy.metric("portcullis_requests_total", &[]), 1.0);
    proxy.until_metric("portcullis_inflight_requests", &[], 0.0);
    let status = proxy.status();
    assert_eq!((status["blue"]["requests"].as_u64(), status["blue"]["failures"].as_u64()), (Some(0), Some(0)));
}

/// How a client gives up its only stream.
const GIVES_UP: [fn(&mut Frames); 2] = [
    |frames| _ = frames.send(RST_STREAM, 0, 1, &8_u32.to_be_bytes()),
    |frames| frames.client.stream.shutdown(std::net::Shutdown::Both).expect("an open socket"),
];

#[test]
fn row_36_a_client_gone_before_the_head_cancels_the_upstream_and_charges_nobody() {
    for give_up in GIVES_UP {
        let blue = Upstream::scripted(|connection| {
            connection.request();
            connection.drain();
        });
        let proxy = Proxy::before(&blue);
        let mut frames = Frames::connect(proxy.listen);
        frames.get(1, "/");
        until_requested(&blue, 1);
        give_up(&mut frames);
        check_cancelled(&proxy, &blue);
    }
}

#[test]
fn row_36_a_client_gone_after_the_head_cancels_the_upstream_and_charges_nobody() {
    for give_up in GIVES_UP {
        let blue = Upstream::scripted(|connection| {
            connection.request();
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello");
            connection.drain();
        });
        let proxy = Proxy::before(&blue);
        let mut frames = Frames::connect(proxy.listen);
        frames.get(1, "/");
        assert_eq!(frames.until(DATA).payload, b"hello");
        give_up(&mut frames);
        check_cancelled(&proxy, &blue);
    }
}

#[test]
fn row_36_a_client_gone_in_its_own_body_cancels_the_upstream_and_charges_nobody() {
    for give_up in GIVES_UP {
        let blue = Upstream::scripted(|connection| {
            connection.head();
            connection.drain();
        });
        let proxy = Proxy::before(&blue);
        let mut frames = Frames::connect(proxy.listen);
        let head = http2::block(&http2::fields("POST", "/", &[("content-length", "100")]));
        frames.send(HEADERS, http2::END_HEADERS, 1, &head).send(DATA, 0, 1, b"hello");
        blue.until("some of the body", |seen| seen.first()?.bytes.ends_with(b"hello").then_some(()));
        give_up(&mut frames);
        check_cancelled(&proxy, &blue);
    }
}

#[test]
fn row_35_an_early_answer_arrives_while_the_client_still_sends_and_asks_it_to_stop_without_an_error() {
    let blue = Upstream::scripted(|connection| {
        if connection.head().is_some_and(|request| request.method == "GET") {
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            return connection.drain();
        }
        connection.send("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 4\r\nconnection: close\r\n\r\nlong");
    });
    let proxy = Proxy::before(&blue);
    let mut frames = Frames::connect(proxy.listen);
    let head = http2::block(&http2::fields("POST", "/", &[]));
    frames.send(HEADERS, http2::END_HEADERS, 1, &head).send(DATA, 0, 1, b"hello");
    assert_eq!(frames.until(DATA), Frame { kind: DATA, flags: 1, stream: 1, payload: b"long".to_vec() });
    let reset = frames.until(RST_STREAM);
    assert_eq!((reset.stream, reset.code()), (1, Reason::NO_ERROR));
    // What was on its way is no error of the client.
    frames.send(DATA, 1, 1, b"more").get(3, "/");
    assert_eq!(frames.until(DATA).payload, b"ok");
}

#[test]
fn row_42_the_death_of_an_endpoint_within_the_body_resets_the_stream_and_is_charged() {
    for head in ["content-length: 100\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        for dies in [Connection::close, Connection::reset] {
            let blue = Upstream::scripted(move |connection| {
                if connection.request().expect("a request").target == "/dies" {
                    connection.send(format!("HTTP/1.1 200 OK\r\n{head}"));
                    return dies(connection);
                }
                connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
                connection.drain();
            });
            let proxy = Proxy::before(&blue);
            let mut client = Http2::connect(proxy.listen);
            let response = client.ask(get("/dies"));
            let broken = client.try_answer(response).expect_err("it is cut");
            assert_eq!(broken.reason, Some(Reason::INTERNAL_ERROR), "{broken:?}");
            assert_eq!(client.get("/").status, 200, "the connection goes on");
            proxy.until_charged(2, 1);
        }
    }
}

#[test]
fn row_39_each_stream_has_a_deadline_for_its_own_head() {
    let (blue, _tell) = with_slow();
    let proxy = Proxy::before_with(&blue, "timeouts: { responseHead: 300ms }");
    let mut client = Http2::connect(proxy.listen);
    let slow = client.ask(get("/slow"));
    until_requested(&blue, 1);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.answer(slow).status, 504);
    proxy.until_charged(2, 1);
}

#[test]
fn row_45_a_body_that_stops_resets_its_stream_and_is_charged() {
    let blue = Upstream::scripted(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello");
        connection.drain();
    });
    let proxy = Proxy::before_with(&blue, "timeouts: { bodyIdle: 300ms }");
    let mut client = Http2::connect(proxy.listen);
    let response = client.ask(get("/"));
    let broken = client.try_answer(response).expect_err("it is cut");
    assert_eq!((broken.body.as_slice(), broken.reason), (&b"hello"[..], Some(Reason::INTERNAL_ERROR)));
    proxy.until_charged(1, 1);
}

#[test]
fn row_92_streams_at_an_endpoint_that_has_left_are_cut_at_the_deadline_and_charged_to_nobody() {
    let (blue, other) = (
        Upstream::scripted(|connection| {
            if connection.request().is_some_and(|request| request.target == "/begins") {
                connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello");
            }
            connection.drain();
        }),
        Upstream::ok(),
    );
    let proxy = Proxy::before_with(&blue, "drain: { wait: 0s, deadline: 200ms }");
    let mut client = Http2::connect(proxy.listen);
    let (begun, silent) = (client.ask(get("/begins")), client.ask(get("/silent")));
    until_requested(&blue, 2);
    let left = proxy.call("PUT", "/v1/versions/blue/endpoints", &json!({ "endpoints": [other.address.to_string()] }));
    assert_eq!(left.status, 200, "{}", left.text());
    assert_eq!(client.answer(silent).status, 503);
    let broken = client.try_answer(begun).expect_err("it is cut");
    assert_eq!((broken.status, broken.reason), (Some(200), Some(Reason::INTERNAL_ERROR)));
    assert_eq!(client.get("/").text(), "GET /", "the connection goes on");
    proxy.until_outcome("refused_by_us", 2);
    proxy.until_charged(1, 0);
}

#[test]
fn a_client_that_stops_in_its_body_gets_408_on_its_stream_and_nobody_is_charged() {
    let blue = Upstream::scripted(|connection| {
        if connection.head().is_some_and(|request| request.method == "GET") {
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
        connection.drain();
    });
    let proxy = Proxy::before_with(&blue, "timeouts: { responseHead: 300ms }");
    let mut client = Http2::connect(proxy.listen);
    let (response, mut body) = client.begin(post("/"));
    body.send_data("hello".into(), false).expect("an open stream");
    assert_eq!(client.answer(response).status, 408);
    assert_eq!(client.get("/").status, 200, "the connection goes on");
    proxy.until_outcome("refused_by_us", 1);
    proxy.until_charged(1, 0);
}

#[test]
fn row_45_a_stream_that_its_client_does_not_take_is_reset_in_time_and_charged_to_nobody() {
    let blue = Upstream::of_the_length_asked_for();
    let proxy = Proxy::before_with(&blue, "timeouts: { bodyIdle: 300ms }");
    let mut builder = Builder::new();
    builder.initial_window_size(1_000);
    let mut client = Http2::with(proxy.listen, &builder);
    let held = {
        let response = client.ask(get("/1000000"));
        client.head(response)
    };
    assert_eq!(client.get("/1000").body.len(), 1_000, "the others go on");
    proxy.until_outcome("client_cancelled", 1);
    assert_eq!(client.get("/2000").body.len(), 2_000);
    drop(held);
    proxy.until_charged(2, 0);
}

#[test]
fn row_45_our_own_answer_that_its_client_does_not_take_does_not_keep_a_connection() {
    let blue = Upstream::scripted(|_| {});
    let proxy = Proxy::before_with(&blue, "timeouts: { bodyIdle: 200ms, keepAlive: 200ms }");
    let mut frames = Frames { client: Client::connect(proxy.listen) };
    // No window at all.
    frames.client.send([PREFACE, &http2::frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat());
    frames.get(1, "/");
    let reset = frames.until(RST_STREAM);
    assert_eq!((reset.stream, reset.code()), (1, Reason::CANCEL));
    frames.until(GOAWAY);
}

#[test]
fn row_45_a_client_that_reads_nothing_of_a_hundred_answers_costs_little_and_loses_its_connection() {
    const STREAMS: u32 = 100;
    // The endpoint's bytes that are read at a time, and as many as wait to be sent.
    const EACH: u64 = 128 * 1024;
    let blue = Upstream::of_the_length_asked_for();
    let proxy = Proxy::before_with(&blue, "timeouts: { bodyIdle: 1s }");
    let mut frames = Frames { client: Client::narrow(proxy.listen) };
    let settings = http2::frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    let window = http2::frame(WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes());
    let before = proxy.memory();
    frames.client.send([PREFACE, &settings, &window].concat());
    for number in 0..STREAMS {
        frames.get(2 * number + 1, "/5000000");
    }
    until_requested(&blue, STREAMS as usize);
    let mut most = 0;
    eventually("the end of the connection", || {
        most = most.max(proxy.memory() - before);
        (proxy.metric("portcullis_connections", &["side=\"client\""]) == 0.0).then_some(())
    });
    assert!(most < u64::from(STREAMS) * EACH, "{} KiB", most / 1024);
    proxy.until_outcome("client_cancelled", STREAMS.into());
    frames.rest(DATA);
}

#[test]
fn row_45_an_upload_that_nobody_reads_is_held_back() {
    let blue = Upstream::scripted(|connection| {
        connection.head();
        std::thread::park();
    });
    let proxy = Proxy::before(&blue);
    let mut client = Http2::connect(proxy.listen);
    let (_response, mut body) = client.begin(post("/"));
    // What both kernels hold, and our windows and buffers.
    const MOST: usize = 16 * 1024 * 1024;
    let sent = client.send_until_held_back(&mut body, 2 * MOST, Duration::from_millis(500));
    assert!(sent < MOST, "{sent} bytes were taken");
}
