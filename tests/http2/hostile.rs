//! Clients that mean harm.

use super::*;
use crate::support::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, WINDOW_UPDATE, block, fields, frame,
};

/// As h2 writes `:status: 400`, from the static table.
const BAD_REQUEST: u8 = 0x8c;

/// What became of stream 1.
#[track_caller]
fn fate(frames: &mut Frames) -> String {
    loop {
        match frames.next() {
            None => return "closed".to_owned(),
            Some(frame) if frame.kind == GOAWAY || frame.kind == RST_STREAM => return format!("{:?}", frame.code()),
            Some(frame) if frame.kind == HEADERS => {
                return if frame.payload[0] == BAD_REQUEST { "400".to_owned() } else { "answered".to_owned() };
            }
            Some(_) => {}
        }
    }
}

#[test]
fn row_53_what_could_be_two_requests_of_http_1_is_a_stream_error_or_400_and_nothing_reaches_the_upstream() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let line = "GET / HTTP/1.1\r\nhost: evil\r\n\r\nGET";
    let injected = "/ HTTP/1.1\r\nhost: evil\r\n\r\n";
    let get = |more: &[(&'static str, &'static str)]| fields("GET", "/", more);
    let with = |name: &'static str, value: &'static str| {
        let mut fields = fields("GET", "/", &[]);
        fields.iter_mut().filter(|field| field.0 == name).for_each(|field| field.1 = value);
        fields
    };
    let without = |name: &'static str| {
        let mut fields = fields("GET", "/", &[]);
        fields.retain(|field| field.0 != name);
        fields
    };
    let mut cases = vec![
        get(&[("x", "a\r\ntransfer-encoding: chunked")]),
        get(&[("x", "a\nb: c")]),
        get(&[("x", "a\rb: c")]),
        get(&[("x", "a\0")]),
        get(&[("x", " a")]),
        get(&[("x", "a\t")]),
        get(&[("X", "a")]),
        get(&[("x y", "a")]),
        get(&[("x:", "a")]),
        get(&[("x: a\r\ny", "a")]),
        get(&[("", "a")]),
        get(&[("transfer-encoding", "chunked")]),
        get(&[("connection", "close")]),
        get(&[("connection", "x-forwarded-for")]),
        get(&[("keep-alive", "timeout=5")]),
        get(&[("proxy-connection", "close")]),
        get(&[("upgrade", "websocket")]),
        get(&[("te", "gzip")]),
        get(&[("te", "trailers, chunked")]),
        get(&[("host", "evil")]),
        get(&[("host", "test"), ("host", "evil")]),
        get(&[("content-length", "5")]),
        get(&[("content-length", "0"), ("content-length", "5")]),
        get(&[("content-length", "+0")]),
        get(&[("content-length", "0, 0")]),
        get(&[("content-length", "")]),
        get(&[("content-length", "-1")]),
        get(&[("content-length", "0x0")]),
        get(&[(":path", "/other")]),
        get(&[(":method", "POST")]),
        get(&[("x", "a"), (":path", "/other")]),
        get(&[(":status", "200")]),
        get(&[(":unknown", "a")]),
        with(":path", injected),
        with(":path", "/a b"),
        with(":path", "/a\tb"),
        with(":path", ""),
        with(":path", "a"),
        with(":path", "*"),
        with(":path", "http://evil/"),
        with(":path", "evil:80"),
        with(":method", line),
        with(":method", "GET /"),
        with(":method", ""),
        with(":authority", "test\r\nx: y"),
        with(":authority", "te st"),
        with(":authority", "test/x"),
        with(":authority", "user@test"),
        with(":authority", ""),
        with(":scheme", "http\r\nx: y"),
        with(":scheme", "ht tp"),
        without(":authority"),
        without(":scheme"),
        without(":method"),
        without(":path"),
    ];
    // A pseudo field twice, though with the same value.
    cases.push([get(&[]), vec![(":path", "/")]].concat());
    for case in cases {
        let mut frames = Frames::connect(proxy.listen);
        frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&case));
        let fate = fate(&mut frames);
        assert!(matches!(fate.as_str(), "PROTOCOL_ERROR" | "400"), "{fate}: {case:?}");
    }
    assert_eq!(blue.connections(), 0);
    assert_eq!(Http2::connect(proxy.listen).get("/").status, 200);
}

#[test]
fn row_53_a_body_that_is_not_as_long_as_it_says_is_a_stream_error_and_no_whole_request() {
    for (sent, flags) in [(&b"abc"[..], END_STREAM), (b"abcdefg", END_STREAM), (b"abcdefg", 0)] {
        let blue = Upstream::ok();
        let proxy = Proxy::before(&blue);
        let mut frames = Frames::connect(proxy.listen);
        let head = block(&fields("POST", "/", &[("content-length", "5")]));
        frames.send(HEADERS, END_HEADERS, 1, &head).send(DATA, flags, 1, sent);
        assert_eq!(fate(&mut frames), "PROTOCOL_ERROR", "{sent:?}");
        frames.get(3, "/next");
        assert_eq!(frames.until(DATA).payload, b"GET /next");
        assert_eq!(blue.only_request().target, "/next");
        proxy.until_metric("portcullis_inflight_requests", &[], 0.0);
        assert_eq!(proxy.metric("portcullis_requests_total", &["outcome=\"reset\""]), 0.0, "nobody is charged");
    }
}

#[test]
fn row_53_trailers_carry_no_framing_and_their_pseudo_fields_reach_nobody() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let upload = |trailer: (&str, &str)| {
        let mut frames = Frames::connect(proxy.listen);
        let head = block(&fields("POST", "/", &[("trailer", trailer.0)]));
        frames.send(HEADERS, END_HEADERS, 1, &head).send(DATA, 0, 1, b"hello");
        frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[trailer]));
        fate(&mut frames)
    };
    for trailer in [("transfer-encoding", "chunked"), ("connection", "close"), ("X", "a"), ("x", "a\r\nb: c")] {
        assert_eq!(upload(trailer), "PROTOCOL_ERROR", "{trailer:?}");
    }
    assert_eq!(blue.count(), 0);
    // h2 drops what RFC 9113 calls malformed (8.1), and what frames or routes is left out by hyper.
    for trailer in [(":path", "/evil"), ("host", "evil"), ("content-length", "7")] {
        upload(trailer);
    }
    assert!(blue.requests().iter().all(|request| request.trailers.is_empty()), "{:?}", blue.requests());
}

/// The connection is told to calm down and ends, and others are served meanwhile.
#[track_caller]
fn check_calmed(mut frames: Frames, proxy: &Proxy) {
    assert_eq!(proxy.get("/").status, 200);
    let goaways = frames.rest(GOAWAY);
    let codes: Vec<Reason> = goaways.iter().map(Frame::code).collect();
    assert_eq!(codes, [Reason::ENHANCE_YOUR_CALM]);
    proxy.until_metric("portcullis_connections", &["side=\"client\""], 0.0);
}

#[test]
fn row_52_frames_that_bring_nothing_end_the_connection_before_long() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    for (name, frame) in [
        ("PING", frame(PING, 0, 0, b"12345678")),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("SETTINGS that change", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0x10, 0])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("PRIORITY", frame(2, 0, 1, &[0, 0, 0, 0, 1])),
        ("of an unknown kind", frame(0xee, 0, 0, &[])),
    ] {
        println!("{name}");
        let mut frames = Frames::connect(proxy.listen);
        frames.flood(&frame.repeat(1_000), 4 * 1024 * 1024);
        check_calmed(frames, &proxy);
    }
}

#[test]
fn a_long_answer_whose_client_asks_for_little_at_a_time_is_no_flood() {
    const LENGTH: usize = 100_000_000;
    let blue = Upstream::of_the_length_asked_for();
    let proxy = Proxy::before(&blue);
    let mut builder = h2::client::Builder::new();
    // A window update for each half of it.
    builder.initial_window_size(16 * 1024);
    let mut client = Http2::with(proxy.listen, &builder);
    assert_eq!(client.get(&format!("/{LENGTH}")).body.len(), LENGTH);
}

#[test]
fn row_52_a_flood_of_empty_data_ends_the_connection() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut frames = Frames::connect(proxy.listen);
    frames.send(HEADERS, END_HEADERS, 1, &block(&fields("POST", "/", &[])));
    frames.flood(&frame(DATA, 0, 1, &[]).repeat(1_000), 4 * 1024 * 1024);
    check_calmed(frames, &proxy);
    assert_eq!(blue.count(), 1, "the other's");
}

#[test]
fn row_52_a_head_in_endless_pieces_ends_the_connection() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut frames = Frames::connect(proxy.listen);
    frames.send(HEADERS, END_STREAM, 1, &block(&fields("GET", "/", &[])));
    frames.flood(&frame(CONTINUATION, 0, 1, &block(&[("x", "y")])).repeat(1_000), 4 * 1024 * 1024);
    check_calmed(frames, &proxy);
    assert_eq!(blue.count(), 1, "the other's");
}

#[test]
fn row_52_requests_that_are_taken_back_at_once_end_the_connection() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut frames = Frames::connect(proxy.listen);
    let head = block(&fields("GET", "/", &[]));
    let pair = |stream| {
        let reset = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        [frame(HEADERS, END_HEADERS | END_STREAM, stream, &head), reset].concat()
    };
    let all: Vec<u8> = (0..2_000).flat_map(|number| pair(2 * number + 1)).collect();
    frames.client.offer(&all).ok();
    check_calmed(frames, &proxy);
}

#[test]
fn row_52_requests_that_are_taken_back_one_by_one_end_the_connection_as_well() {
    let blue = Upstream::scripted(|connection| {
        if connection.request().is_some_and(|request| request.target == "/") {
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
        connection.drain();
    });
    let proxy = Proxy::before(&blue);
    let mut frames = Frames::connect(proxy.listen);
    for number in 0..200 {
        frames.get(2 * number + 1, "/hangs");
        frames.send(PING, 0, 0, b"12345678");
        let reset = frame(RST_STREAM, 0, 2 * number + 1, &8_u32.to_be_bytes());
        // Not before it is under way.
        while frames.next().expect("an answer to the ping").kind != PING {}
        frames.client.send(reset);
    }
    check_calmed(frames, &proxy);
}
