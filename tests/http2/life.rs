//! How a connection of HTTP/2 ends, and what changes while it lives.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::support::http2::{ACK, DATA, PING};

const ALL_STREAMS: [u8; 4] = [0x7f, 0xff, 0xff, 0xff];

/// The next GOAWAY, which is no error; returns the last stream that it says is served.
#[track_caller]
fn goodbye(frames: &mut Frames) -> [u8; 4] {
    let goaway = frames.until(GOAWAY);
    assert_eq!(goaway.code(), Reason::NO_ERROR);
    goaway.payload[..4].try_into().expect("four bytes")
}

/// Asks on this stream and the next until the proxy says goodbye: a worker hears later that it is to than who asked for it.
/// Returns what it said, and the stream that is open then.
#[track_caller]
fn until_told(frames: &mut Frames, first: u32) -> (Frame, u32) {
    for stream in (first..).step_by(2) {
        frames.get(stream, "/");
        let said = std::iter::from_fn(|| frames.next()).find(|frame| matches!(frame.kind, DATA | GOAWAY));
        match said.expect("the connection lives") {
            frame if frame.kind == GOAWAY => return (frame, stream),
            _ => {}
        }
    }
    unreachable!("there is always a next stream")
}

/// Answers the ping with which the proxy finds out that its GOAWAY has been read.
#[track_caller]
fn acknowledge(frames: &mut Frames) {
    let ping = frames.until(PING);
    frames.send(PING, ACK, 0, &ping.payload);
}

#[test]
fn row_59_at_drain_there_are_two_goaways_and_what_was_sent_before_the_second_is_served() {
    let (blue, tell) = with_slow();
    let mut proxy = Proxy::before_with(&blue, "drain: { wait: 0s, deadline: 20s }");
    let mut frames = Frames::connect(proxy.listen);
    frames.get(1, "/slow");
    until_requested(&blue, 1);
    proxy.sigterm();
    assert_eq!(goodbye(&mut frames), ALL_STREAMS);
    frames.get(3, "/");
    assert_eq!(frames.until(DATA).stream, 3, "it was on its way");
    frames.send(PING, 0, 0, b"not that.");
    frames.client.stream.shutdown(std::net::Shutdown::Both).ok();
    drop((tell, frames));
    proxy.wait_exit();
}

#[test]
fn row_59_the_second_goaway_names_the_last_stream_and_the_connection_ends_with_it() {
    let (blue, tell) = with_slow();
    let mut proxy = Proxy::before_with(&blue, "drain: { wait: 0s, deadline: 20s }");
    let mut frames = Frames::connect(proxy.listen);
    frames.get(1, "/slow");
    until_requested(&blue, 1);
    proxy.sigterm();
    assert_eq!(goodbye(&mut frames), ALL_STREAMS);
    let ping = frames.until(PING);
    frames.get(3, "/");
    frames.send(PING, ACK, 0, &ping.payload);
    let mut last = None;
    let mut answered = Vec::new();
    while last.is_none() || answered.is_empty() {
        match frames.next().expect("the connection lives") {
            frame if frame.kind == GOAWAY => last = Some(frame.payload[..4].to_vec()),
            frame if frame.kind == DATA => answered.push(frame.stream),
            _ => {}
        }
    }
    assert_eq!((last.as_deref(), answered.as_slice()), (Some(&[0, 0, 0, 3][..]), &[3][..]));
    tell.send(()).expect("blue waits");
    let rest = frames.rest(DATA);
    assert_eq!(rest.iter().map(|frame| frame.stream).collect::<Vec<_>>(), [1], "what ran is finished");
    assert_eq!(proxy.wait_exit().code(), Some(0));
    proxy.until_logged("drained");
}

#[test]
fn row_59_an_idle_connection_gets_both_at_drain_and_keeps_nobody_waiting() {
    let blue = Upstream::ok();
    let mut proxy = Proxy::before_with(&blue, "drain: { wait: 0s, deadline: 20s }");
    let mut frames = Frames::connect(proxy.listen);
    frames.get(1, "/");
    frames.until(DATA);
    proxy.sigterm();
    assert_eq!(goodbye(&mut frames), ALL_STREAMS);
    acknowledge(&mut frames);
    assert_eq!(goodbye(&mut frames), [0, 0, 0, 1]);
    assert_eq!(frames.rest(DATA), []);
    assert_eq!(proxy.wait_exit().code(), Some(0));
    proxy.until_logged("drained");
}

#[test]
fn row_58_while_readiness_is_off_a_connection_is_served_and_asked_to_go_elsewhere() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "drain: { wait: 20s, deadline: 20s }");
    let mut open = Frames::connect(proxy.listen);
    open.sync();
    proxy.sigterm();
    eventually("readiness off", || (proxy.call("GET", "/readyz", &Value::Null).status == 503).then_some(()));
    for mut frames in [open, Frames::connect(proxy.listen)] {
        let (goaway, stream) = until_told(&mut frames, 1);
        assert_eq!(goaway.code(), Reason::NO_ERROR);
        acknowledge(&mut frames);
        let mut rest: Vec<(u8, u32)> = std::iter::from_fn(|| frames.next())
            .filter(|frame| matches!(frame.kind, DATA | GOAWAY))
            .map(|frame| (frame.kind, frame.stream))
            .collect();
        rest.sort_unstable();
        assert_eq!(rest, [(DATA, stream), (GOAWAY, 0)], "the last is answered all the same");
    }
}

#[test]
fn an_idle_connection_is_told_goodbye_and_ends_also_where_nobody_hears_it() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "timeouts: { keepAlive: 300ms }");
    for hears in [true, false] {
        let mut frames = Frames::connect(proxy.listen);
        frames.get(1, "/");
        frames.until(DATA);
        assert_eq!(goodbye(&mut frames), ALL_STREAMS);
        if hears {
            acknowledge(&mut frames);
            assert_eq!(goodbye(&mut frames), [0, 0, 0, 1]);
        }
        assert_eq!(frames.rest(DATA), []);
    }
    let mut silent = proxy.client();
    silent.send(PREFACE);
    silent.rest();
}

#[test]
fn a_long_answer_keeps_a_connection_that_would_else_be_idle() {
    let (blue, tell) = with_slow();
    let proxy = Proxy::before_with(&blue, "timeouts: { keepAlive: 100ms }");
    let mut frames = Frames::connect(proxy.listen);
    frames.get(1, "/slow");
    frames.client.pause(Duration::from_millis(400));
    frames.sync();
    tell.send(()).expect("blue waits");
    assert_eq!(frames.until(DATA).payload, b"ok");
}

#[test]
fn row_76_the_next_request_on_an_open_http_2_connection_goes_to_blue_after_a_rollback() {
    let (green, tell) = with_slow();
    let blue = Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nblue");
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], ""));
    proxy.set_weight(100.0);
    let mut client = Http2::connect(proxy.listen);
    assert_eq!(client.get("/").text(), "ok");
    let under_way = client.ask(get("/slow"));
    until_requested(&green, 2);
    let rolled_back = proxy.post("/v1/release/rollback", &json!({ "reason": "a test" }));
    assert_eq!(rolled_back.status, 200, "{}", rolled_back.text());
    assert_eq!(client.get("/").text(), "blue");
    tell.send(()).expect("green waits");
    assert_eq!(client.answer(under_way).text(), "ok", "what is in flight ends where it is");
    assert_eq!((blue.connections(), green.count()), (1, 2));
}

#[test]
fn row_60_a_process_that_is_replaced_serves_its_http_2_connections_and_asks_them_to_come_again() {
    let blue = Upstream::ok();
    let data = folder();
    let text = config(&[blue.address], &[([127, 0, 0, 1], 1).into()], "drain: { wait: 20s, deadline: 20s }");
    let old = Proxy::start_in(data.path(), &text);
    let mut frames = Frames::connect(old.listen);
    frames.get(1, "/");
    assert_eq!(frames.until(DATA).payload, b"GET /");
    let new = Proxy::take_over(data.path(), &text);
    assert_eq!(new.listen, old.listen);
    old.until_logged("another process has taken over");
    let (goaway, stream) = until_told(&mut frames, 3);
    assert_eq!((goaway.code(), &goaway.payload[..4]), (Reason::NO_ERROR, &ALL_STREAMS[..]));
    let last = frames.until(DATA);
    assert_eq!((last.stream, last.payload.as_slice()), (stream, &b"GET /"[..]));
    assert_eq!(Http2::connect(new.listen).get("/").status, 200);
}
