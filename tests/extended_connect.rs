//! A WebSocket by HTTP/2 (extended CONNECT, RFC 8441), on either side of the proxy or on both.

use std::fs;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use h2::client::ResponseFuture;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::json;

use crate::support::http2::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, block, fields};
use crate::support::http2_upstream::Answering;
use crate::support::{
    Authority, Call, Connection, DEADLINE, End, Frames, Head, Http2, Http2Upstream, Proxy, Shows, TlsConnection,
    TlsUpstream, Upstream, config, eventually, folder,
};

/// By HTTP/1, with a key of which [`ACCEPT`] is the answer (RFC 6455, section 1.3).
const UPGRADE: &str = "GET /socket?q HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// "Service restart" in a frame of a server.
const RESTARTS: &[u8] = &[0x88, 0x02, 0x03, 0xf4];

fn accept(key: &str) -> String {
    let key = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes()).as_ref())
}

/// Agrees to the upgrade that comes next, and answers what comes before it. False when the connection ends first.
fn agree(connection: &mut Connection) -> bool {
    while let Some(request) = connection.head() {
        if request.head.has("upgrade") {
            connection.send(switching(&request.head));
            return true;
        }
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    }
    false
}

fn switching(head: &Head) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\
         Sec-WebSocket-Protocol: chat\r\n\r\n",
        accept(&head.one("sec-websocket-key"))
    )
}

/// Agrees to every upgrade and sends back what it gets; answers other requests.
fn echo(connection: &mut Connection) {
    if agree(connection) {
        loop {
            let byte = connection.bytes(1);
            if byte.is_empty() {
                return;
            }
            connection.send(byte);
        }
    }
}

/// The same by HTTP/2.
fn echoing() -> Http2Upstream {
    taking_tunnels(|call| Box::pin(echo_http2(call)))
}

fn taking_tunnels(script: impl Fn(Call) -> Answering + Send + Sync + 'static) -> Http2Upstream {
    Http2Upstream::scripted(None, |builder| _ = builder.enable_connect_protocol(), script)
}

async fn echo_http2(mut call: Call) {
    if call.request.method() != "CONNECT" {
        return call.echo().await;
    }
    call.note(Vec::new(), None);
    let mut to = call.head(&[("sec-websocket-protocol", "chat")]);
    let from = call.request.body_mut();
    while let Some(Ok(data)) = from.data().await {
        from.flow_control().release_capacity(data.len()).expect("it has come");
        if to.send_data(data, false).is_err() {
            return;
        }
    }
    to.send_data(Bytes::new(), true).ok();
}

/// In front of endpoints that speak HTTP/2 alone.
fn before_http2(blue: &Http2Upstream, rest: &str) -> Proxy {
    let text = config(&[blue.address], &[], rest);
    Proxy::start(&text.replacen("blue: {", "blue: { protocol: http2,", 1))
}

fn connect(protocol: &'static str) -> Request<()> {
    let mut request = Request::builder().method("CONNECT").uri("http://test/socket?q").body(()).expect("a request");
    request.extensions_mut().insert(Protocol::from(protocol));
    request.headers_mut().insert("sec-websocket-version", "13".parse().expect("a value"));
    request
}

/// A client's end of a tunnel by HTTP/2.
struct Tunnel {
    to: SendStream<Bytes>,
    from: RecvStream,
    came: Vec<u8>,
}

/// How one ends.
#[derive(Debug, PartialEq, Eq)]
enum Ends {
    Clean,
    Reset(Option<Reason>),
}

impl Tunnel {
    #[track_caller]
    fn open(client: &mut Http2) -> Tunnel {
        let (response, to) = client.begin(connect("websocket"));
        Tunnel::opened(client, response, to)
    }

    #[track_caller]
    fn opened(client: &Http2, response: ResponseFuture, to: SendStream<Bytes>) -> Tunnel {
        let (head, from) = client.head(response).into_parts();
        assert_eq!(head.status, 200, "{head:?}");
        for name in ["connection", "upgrade", "sec-websocket-accept", "content-length"] {
            assert!(!head.headers.contains_key(name), "{head:?}");
        }
        Tunnel { to, from, came: Vec::new() }
    }

    #[track_caller]
    fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Tunnel {
        self.to.send_data(Bytes::copy_from_slice(bytes.as_ref()), false).expect("an open stream");
        self
    }

    /// Reads so many bytes.
    #[track_caller]
    fn bytes(&mut self, client: &Http2, length: usize) -> Vec<u8> {
        while self.came.len() < length {
            let more = client.wait(self.from.data()).unwrap_or_else(|| panic!("it ended after {:?}", self.came));
            let more = more.unwrap_or_else(|error| panic!("{error} after {:?}", self.came));
            self.from.flow_control().release_capacity(more.len()).expect("it has come");
            self.came.extend(more);
        }
        self.came.drain(..length).collect()
    }

    /// Reads to the end.
    fn rest(mut self, client: &Http2) -> (Vec<u8>, Ends) {
        let ends = self.end(client);
        (self.came, ends)
    }

    fn end(&mut self, client: &Http2) -> Ends {
        loop {
            match client.wait(self.from.data()) {
                None => return Ends::Clean,
                Some(Err(error)) => return Ends::Reset(error.reason()),
                Some(Ok(more)) => {
                    self.from.flow_control().release_capacity(more.len()).expect("it has come");
                    self.came.extend(more);
                }
            }
        }
    }
}

#[test]
fn clients_are_told_that_they_may() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut frames = Frames::connect(proxy.listen);
    let settings = frames.until(SETTINGS).payload;
    assert!(settings.chunks(6).any(|setting| setting == [0, 8, 0, 0, 0, 1]), "{settings:?}");
}

#[test]
fn row_24_a_websocket_by_http2_is_an_upgrade_of_an_endpoint_by_http1() {
    let blue = Upstream::scripted(echo);
    let proxy = Proxy::before_with(&blue, "accessLog: { format: json }");
    let mut client = Http2::connect(proxy.listen);
    let (response, to) = client.begin(connect("websocket"));
    let mut tunnel = Tunnel::opened(&client, response, to);
    for message in ["one", "\0\r\n\r\nGET / HTTP/1.1\r\n\r\n", "three"] {
        assert_eq!(tunnel.send(message).bytes(&client, message.len()), message.as_bytes());
    }
    assert_eq!(client.get("/").text(), "ok", "other streams go on");
    tunnel.to.send_data(Bytes::new(), true).expect("an open stream");
    assert_eq!(tunnel.rest(&client), (vec![], Ends::Clean));
    assert_eq!(blue.until_ended(0), End::Clean);

    let seen = String::from_utf8_lossy(&blue.seen()[0].bytes).to_ascii_lowercase();
    assert!(seen.starts_with("get /socket?q http/1.1\r\n"), "{seen}");
    for field in ["host: test", "upgrade: websocket", "connection: upgrade", "sec-websocket-version: 13"] {
        assert!(seen.contains(&format!("\r\n{field}\r\n")), "{field} in {seen}");
    }
    assert!(seen.contains("\r\nvia: 2.0 portcullis-"), "{seen}");
    let bodies = ["content-length", "transfer-encoding"];
    assert!(!bodies.iter().any(|field| seen.contains(field)), "{seen}");
    proxy.until_outcome("success", 2);
    proxy.until_metric("portcullis_response_head_seconds_count", &["version=\"blue\""], 2.0);
    let line = eventually("a line", || proxy.logged("request").into_iter().next());
    assert_eq!((&line["method"], &line["status"], &line["protocol"]), (&json!("GET"), &json!(200), &json!("HTTP/2")));
}

#[test]
fn row_24_the_endpoint_may_speak_first_and_end_first() {
    let blue = Upstream::scripted(|connection| {
        agree(connection);
        connection.send("welcome");
        connection.send(" and goodbye");
    });
    let proxy = Proxy::before(&blue);
    let mut client = Http2::connect(proxy.listen);
    let tunnel = Tunnel::open(&mut client);
    assert_eq!(tunnel.rest(&client), (b"welcome and goodbye".to_vec(), Ends::Clean));
}

#[test]
fn row_24_an_endpoint_that_answers_another_key_is_502_and_charged() {
    let other = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
    for head in ["Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n", "Upgrade: websocket\r\n", "Upgrade: other\r\n"] {
        let blue = Upstream::answering(format!("{other}{head}\r\n"));
        let proxy = Proxy::before(&blue);
        let mut client = Http2::connect(proxy.listen);
        let (response, _to) = client.begin(connect("websocket"));
        assert_eq!(client.answer(response).status, 502, "{head}");
        proxy.until_charged(1, 1);
    }
}

#[test]
fn row_24_a_refusal_passes_and_a_200_is_none_that_http2_could_tell() {
    for (status, seen, charged) in [(403, 403, 1), (302, 302, 1), (200, 501, 0), (204, 501, 0)] {
        let length = if status == 204 { "" } else { "content-length: 2\r\n\r\nno" };
        let blue = Upstream::answering(format!("HTTP/1.1 {status} Whatever\r\n{length}\r\n"));
        let proxy = Proxy::before(&blue);
        let mut client = Http2::connect(proxy.listen);
        let (response, _to) = client.begin(connect("websocket"));
        let answer = client.answer(response);
        assert_eq!(answer.status, seen);
        assert_eq!(answer.text() == "no", status == seen, "{}", answer.text());
        proxy.until_metric("portcullis_requests_total", &[&format!("code=\"{seen}\"")], 1.0);
        proxy.until_charged(charged, 0);
    }
}

#[test]
fn row_24_bytes_sent_before_the_answer_reach_the_endpoint_only_behind_it() {
    let blue = Upstream::scripted(|connection| {
        let Some(request) = connection.head() else { return };
        let silent = connection.is_silent(Duration::from_millis(200));
        connection.send(switching(&request.head));
        connection.send(if silent { "silent " } else { "spoke " });
        let early = connection.bytes(5);
        connection.send(early);
    });
    let proxy = Proxy::before(&blue);
    let mut client = Http2::connect(proxy.listen);
    let (response, mut to) = client.begin(connect("websocket"));
    to.send_data("early".into(), false).expect("an open stream");
    let tunnel = Tunnel::opened(&client, response, to);
    assert_eq!(tunnel.rest(&client).0, b"silent early");
}

#[test]
fn row_20_a_plain_connect_is_405_another_protocol_501_and_what_is_wrong_with_one_stream_ends_no_other() {
    let blue = Upstream::scripted(echo);
    let proxy = Proxy::before(&blue);
    let mut client = Http2::connect(proxy.listen);
    let mut tunnel = Tunnel::open(&mut client);
    let plain = || Request::builder().method("CONNECT").uri("test:80").body(()).expect("a request");
    let with_length = |mut request: Request<()>| {
        request.headers_mut().insert("content-length", "5".parse().expect("a value"));
        request
    };
    for (request, status) in [
        (plain(), 405),
        (with_length(plain()), 405),
        (connect("connect-udp"), 501),
        (with_length(connect("connect-udp")), 501),
        (connect("WebSocket"), 501),
    ] {
        let shown = format!("{request:?}");
        let (response, mut to) = client.begin(request);
        // An error means that the answer was here first.
        to.send_data("hello".into(), false).ok();
        assert_eq!(client.answer(response).status, status, "{shown}");
        assert_eq!(tunnel.send("a").bytes(&client, 1), b"a", "{shown}");
    }
    // No tunnel has a length.
    let (response, _to) = client.begin(with_length(connect("websocket")));
    let broken = client.try_answer(response).expect_err("it is malformed");
    assert_eq!((broken.status, broken.reason), (None, Some(Reason::PROTOCOL_ERROR)));
    assert_eq!(tunnel.send("a").bytes(&client, 1), b"a");
    assert_eq!(client.get("/").text(), "ok");
    proxy.until_outcome("refused_by_us", 5);
    proxy.until_outcome("success", 2);
}

#[test]
fn a_tunnel_that_either_side_resets_is_reset_on_the_other_and_the_connection_goes_on() {
    let blue = Upstream::scripted(|connection| {
        if !agree(connection) {
            return;
        }
        match connection.bytes(1).as_slice() {
            b"r" => connection.reset(),
            b"k" => {
                connection.drain();
                std::thread::park_timeout(DEADLINE);
            }
            _ => connection.drain(),
        }
    });
    let proxy = Proxy::before(&blue);
    let mut client = Http2::connect(proxy.listen);
    let mut tunnel = Tunnel::open(&mut client);
    tunnel.send("r");
    assert_eq!(tunnel.rest(&client), (vec![], Ends::Reset(Some(Reason::CANCEL))));

    let mut tunnel = Tunnel::open(&mut client);
    tunnel.send("a");
    blue.until("the byte", |seen| (seen.len() > 1 && seen[1].bytes.ends_with(b"a")).then_some(()));
    tunnel.to.send_reset(Reason::CANCEL);
    blue.until_ended(1);
    assert_eq!(client.get("/").text(), "ok");

    // Also where it has said before that it sends no more, and the endpoint does not end for it.
    let mut tunnel = Tunnel::open(&mut client);
    tunnel.send("k").to.send_data(Bytes::new(), true).expect("an open stream");
    blue.until("the end", |seen| (seen.len() > 2 && seen[2].end.is_some()).then_some(()));
    tunnel.to.send_reset(Reason::CANCEL);
    proxy.until_metric("portcullis_connections", &["side=\"upstream\""], 0.0);
}

#[test]
fn row_27_a_tunnel_in_which_nothing_moves_is_closed_and_the_connection_goes_on() {
    let blue = Upstream::scripted(echo);
    let proxy = Proxy::before_with(&blue, "timeouts: { tunnelIdle: 300ms, bodyIdle: 100ms, responseHead: 100ms }");
    let mut client = Http2::connect(proxy.listen);
    let tunnel = Tunnel::open(&mut client);
    assert_eq!(tunnel.rest(&client), (vec![], Ends::Reset(Some(Reason::CANCEL))));
    blue.until_ended(0);
    assert_eq!(client.get("/").text(), "ok");
}

#[test]
fn row_27_other_deadlines_are_none_of_a_tunnels() {
    let blue = Upstream::scripted(echo);
    let short = "timeouts: { bodyIdle: 100ms, responseHead: 100ms, keepAlive: 100ms, tunnelIdle: 30s }";
    for proxy in [Proxy::before_with(&blue, short), before_http2(&echoing(), short)] {
        let mut client = Http2::connect(proxy.listen);
        let mut tunnel = Tunnel::open(&mut client);
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!(tunnel.send("a").bytes(&client, 1), b"a");
    }
}

fn roll_back(proxy: &Proxy) {
    assert_eq!(proxy.post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
}

const POLICY: &str = "drain: { wait: 0s, deadline: 300ms }\ngate: { triggers: [{ name: alerts, metric: external }] }";

#[test]
fn row_98_a_websocket_on_green_is_told_of_a_rollback_between_two_frames_and_cut_at_the_deadline() {
    let (blue, green) = (Upstream::scripted(echo), Upstream::scripted(echo));
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], POLICY));
    let mut client = Http2::connect(proxy.listen);
    let mut on_blue = Tunnel::open(&mut client);
    proxy.set_weight(100.0);
    let (mut idle, mut busy) = (Tunnel::open(&mut client), Tunnel::open(&mut client));
    assert_eq!(busy.send(b"\x82\x04ab").bytes(&client, 4), b"\x82\x04ab");
    roll_back(&proxy);
    assert_eq!(idle.bytes(&client, 4), RESTARTS);
    assert_eq!(busy.send(b"cd\x82\x01e").bytes(&client, 6), [b"cd", RESTARTS].concat());
    for tunnel in [idle, busy] {
        assert_eq!(tunnel.rest(&client), (vec![], Ends::Reset(Some(Reason::CANCEL))));
    }
    green.until_ended(1);
    assert_eq!(on_blue.send("b").bytes(&client, 1), b"b");
}

#[test]
fn row_98_the_same_holds_of_tunnels_by_http2_to_the_endpoint() {
    let (blue, green) = (echoing(), echoing());
    let text = config(&[blue.address], &[green.address], POLICY);
    let text = text.replace("blue: {", "blue: { protocol: http2,").replace("green: {", "green: { protocol: http2,");
    let proxy = Proxy::start(&text);
    let mut client = Http2::connect(proxy.listen);
    let mut on_blue = Tunnel::open(&mut client);
    proxy.set_weight(100.0);
    let mut on_green = Tunnel::open(&mut client);
    let mut by_http1 = proxy.client();
    assert_eq!(by_http1.send(UPGRADE).response().status, 101);
    roll_back(&proxy);
    assert_eq!((on_green.bytes(&client, 4), by_http1.bytes(4)), (RESTARTS.to_vec(), RESTARTS.to_vec()));
    assert_eq!(on_green.rest(&client), (vec![], Ends::Reset(Some(Reason::CANCEL))));
    assert_eq!(by_http1.rest().0, b"");
    eventually("both streams have ended", || (green.open() == 0).then_some(()));
    assert_eq!(on_blue.send("b").bytes(&client, 1), b"b");
}

#[test]
fn row_27_when_the_process_drains_a_websocket_is_told_and_cut_and_the_connection_ends() {
    let blue = Upstream::scripted(echo);
    let mut proxy = Proxy::before_with(&blue, "drain: { wait: 0s, deadline: 500ms }");
    let mut client = Http2::connect(proxy.listen);
    let mut tunnel = Tunnel::open(&mut client);
    proxy.sigterm();
    assert_eq!(tunnel.bytes(&client, 4), RESTARTS);
    let (rest, _) = tunnel.rest(&client);
    assert_eq!(rest, b"");
    blue.until_ended(0);
    proxy.wait_exit();
}

#[test]
fn a_tunnel_counts_as_a_stream_and_no_longer_as_a_request() {
    let blue = Upstream::scripted(echo);
    let text = config(&[blue.address], &[], "http2: { maxConcurrentStreams: 1 }");
    let proxy = Proxy::start(&text.replacen("blue: {", "blue: { maxRequests: 1,", 1));
    let mut frames = Frames::connect(proxy.listen);
    let head = block(&fields("CONNECT", "/", &[(":protocol", "websocket")]));
    frames.send(HEADERS, END_HEADERS, 1, &head);
    assert_eq!(frames.until(HEADERS).stream, 1);
    frames.get(3, "/");
    let refused = frames.until(RST_STREAM);
    assert_eq!((refused.stream, refused.code()), (3, Reason::REFUSED_STREAM));
    proxy.until_metric("portcullis_inflight_requests", &["version=\"blue\""], 0.0);
    assert_eq!(proxy.get("/").text(), "ok", "the bound of requests has room");
    frames.send(DATA, END_STREAM, 1, &[]);
    while frames.next().is_some_and(|frame| frame.kind != DATA || frame.flags & END_STREAM == 0) {}
    frames.get(5, "/");
    assert_eq!(frames.until(DATA).stream, 5);
}

#[test]
fn tunnels_of_one_connection_count_as_connections_to_endpoints() {
    let blue = Upstream::scripted(echo);
    let proxy = Proxy::before(&blue);
    let mut client = Http2::connect(proxy.listen);
    let tunnels: Vec<Tunnel> = (0..5).map(|_| Tunnel::open(&mut client)).collect();
    proxy.until_metric("portcullis_connections", &["side=\"upstream\""], 5.0);
    proxy.until_metric("portcullis_connections", &["side=\"client\""], 1.0);
    drop(tunnels);
    proxy.until_metric("portcullis_connections", &["side=\"upstream\""], 0.0);
}

/// More than all buffers on the way together, of the proxy and of the kernels.
const MUCH: usize = 64 * 1024 * 1024;

#[test]
fn who_does_not_read_holds_the_other_side_back() {
    let (tell, told) = mpsc::channel();
    let blue = Upstream::scripted(move |connection| {
        agree(connection);
        match connection.bytes(1).as_slice() {
            b"s" => {
                let sent = connection.send_until_held_back(MUCH, Duration::from_secs(1));
                tell.send(sent).expect("the test waits");
            }
            _ => std::thread::park_timeout(DEADLINE),
        }
    });
    let proxy = Proxy::before(&blue);
    let before = proxy.memory();
    let mut client = Http2::connect(proxy.listen);
    let mut reads_not = Tunnel::open(&mut client);
    reads_not.send("s");
    let mut sends = Tunnel::open(&mut client);
    sends.send("t");
    let sent = client.send_until_held_back(&mut sends.to, MUCH, Duration::from_secs(1));
    assert!(sent < MUCH, "{sent}");
    let sent = told.recv_timeout(DEADLINE).expect("the endpoint has tried");
    assert!(sent < MUCH, "{sent}");
    let grown = proxy.memory().saturating_sub(before);
    assert!(grown < 8 * 1024 * 1024, "{grown}");
}

#[test]
fn row_24_an_upgrade_by_http1_is_an_extended_connect_where_only_http2_is_spoken() {
    let blue = echoing();
    let proxy = before_http2(&blue, "");
    let mut client = proxy.client();
    let response = client.send(UPGRADE).response();
    assert_eq!(response.status, 101);
    let said =
        ["upgrade", "connection", "sec-websocket-accept", "sec-websocket-protocol"].map(|name| response.head.one(name));
    assert_eq!(said, ["websocket", "upgrade", ACCEPT, "chat"]);
    for message in ["one", "\0\r\n\r\nGET / HTTP/1.1\r\n\r\n", "three"] {
        assert_eq!(client.send(message).bytes(message.len()), message.as_bytes());
    }
    assert_eq!(proxy.get("/").text(), "GET / 0");
    client.half_close();
    client.ends();
    assert_eq!(blue.connections(), 1, "it has other requests beside the tunnel");

    let (head, ..) = blue.requests().swap_remove(0);
    assert_eq!((head.method().as_str(), &*head.uri().to_string()), ("CONNECT", "http://test/socket?q"));
    assert_eq!(head.extensions().get::<Protocol>().map(Protocol::as_str), Some("websocket"));
    assert_eq!(head.headers()["sec-websocket-version"], "13");
    for name in ["connection", "upgrade", "host", "sec-websocket-key", "content-length"] {
        assert!(!head.headers().contains_key(name), "{head:?}");
    }
    proxy.until_outcome("success", 2);
    eventually("the stream has ended", || (blue.open() == 0).then_some(()));
}

#[test]
fn row_24_a_websocket_is_http2_on_both_sides_where_both_can() {
    let blue = echoing();
    let proxy = before_http2(&blue, "");
    let mut client = Http2::connect(proxy.listen);
    let mut tunnels: Vec<Tunnel> = (0..10).map(|_| Tunnel::open(&mut client)).collect();
    for tunnel in &mut tunnels {
        assert_eq!(tunnel.send("hello").bytes(&client, 5), b"hello");
    }
    for mut tunnel in tunnels {
        tunnel.to.send_data(Bytes::new(), true).expect("an open stream");
        assert_eq!(tunnel.rest(&client), (vec![], Ends::Clean));
    }
    assert_eq!(blue.connections(), 1);
    proxy.until_outcome("success", 10);
}

#[test]
fn a_tunnel_that_an_endpoint_resets_on_its_stream_is_reset_for_the_client_and_the_endpoint_hears_of_a_client_that_does()
{
    let blue = taking_tunnels(|mut call| {
        Box::pin(async move {
            let mut to = call.head(&[]);
            match call.request.body_mut().data().await {
                Some(Ok(data)) if &*data == b"r" => to.send_reset(Reason::INTERNAL_ERROR),
                // It has not ended what it says.
                Some(Ok(data)) if &*data == b"n" => to.send_reset(Reason::NO_ERROR),
                Some(Ok(data)) if &*data == b"e" => {
                    to.send_data(Bytes::new(), true).expect("an open stream");
                    call.request.body_mut().data().await;
                    to.send_reset(Reason::CANCEL);
                }
                _ => {
                    let reset = std::future::poll_fn(|cx| to.poll_reset(cx)).await;
                    assert_eq!(reset.ok(), Some(Reason::CANCEL));
                }
            }
        })
    });
    let proxy = before_http2(&blue, "");
    let mut client = Http2::connect(proxy.listen);
    let mut tunnel = Tunnel::open(&mut client);
    tunnel.send("r");
    assert_eq!(tunnel.rest(&client), (vec![], Ends::Reset(Some(Reason::CANCEL))));
    let mut tunnel = Tunnel::open(&mut client);
    tunnel.send("n");
    assert_eq!(tunnel.rest(&client), (vec![], Ends::Reset(Some(Reason::CANCEL))));
    let mut tunnel = Tunnel::open(&mut client);
    tunnel.send("a").to.send_reset(Reason::CANCEL);
    eventually("the endpoint has heard", || (blue.open() == 0).then_some(()));
    // Also where it has said before that it says no more, and the client does not end for it.
    let mut tunnel = Tunnel::open(&mut client);
    assert_eq!(tunnel.send("e").end(&client), Ends::Clean);
    tunnel.send("x");
    let reset = client.wait(std::future::poll_fn(|cx| tunnel.to.poll_reset(cx)));
    assert_eq!(reset.ok(), Some(Reason::NO_ERROR));

    let mut by_http1 = proxy.client();
    assert_eq!(by_http1.send(UPGRADE).response().status, 101);
    assert_eq!(by_http1.send("r").rest().0, b"");
    let mut by_http1 = proxy.client();
    assert_eq!(by_http1.send(UPGRADE).response().status, 101);
    by_http1.send("a");
    by_http1.reset();
    eventually("the endpoint has heard", || (blue.open() == 0).then_some(()));
}

#[test]
fn row_24_what_an_endpoint_has_said_arrives_whole_also_where_it_then_wants_nothing_more() {
    // The end of what is short comes with the reset, that of what is long before it.
    for pieces in [1, 1024] {
        let blue = taking_tunnels(move |mut call| {
            Box::pin(async move {
                let mut to = call.head(&[]);
                for _ in 0..pieces {
                    to.send_data(Bytes::from_static(&[b'a'; 1024]), false).expect("an open stream");
                }
                to.send_data(Bytes::new(), true).expect("an open stream");
                // h2 resets the stream, without an error, when all is sent.
            })
        });
        let proxy = before_http2(&blue, "");
        let mut client = Http2::connect(proxy.listen);
        let tunnel = Tunnel::open(&mut client);
        let (rest, end) = tunnel.rest(&client);
        assert_eq!((rest.len(), end), (1024 * pieces, Ends::Clean));
        let mut client = proxy.client();
        assert_eq!(client.send(UPGRADE).response().status, 101);
        let (rest, end) = client.rest();
        assert_eq!((rest.len(), end), (1024 * pieces, End::Clean));
    }
}

#[test]
fn row_24_what_an_endpoint_refuses_on_its_stream_is_an_answer_like_any_other() {
    let blue = taking_tunnels(|mut call| {
        Box::pin(async move {
            let head = Response::builder().status(403).header("content-length", 2).body(()).expect("a head");
            call.respond.send_response(head, false).and_then(|mut to| to.send_data("no".into(), true)).ok();
        })
    });
    let proxy = before_http2(&blue, "");
    let mut client = proxy.client();
    for _ in 0..2 {
        let response = client.send(UPGRADE).response();
        assert_eq!((response.status, &*response.text()), (403, "no"));
    }
    let mut client = Http2::connect(proxy.listen);
    let (response, _to) = client.begin(connect("websocket"));
    let answer = client.answer(response);
    assert_eq!((answer.status, &*answer.text()), (403, "no"));
    // Where the endpoint has just said something beside it there may be a second connection, but none is ended.
    let connections = blue.connections();
    assert_eq!(proxy.get("/").status, 403);
    proxy.until_charged(4, 0);
    assert_eq!(blue.connections(), connections);
}

#[test]
fn an_endpoint_that_takes_no_extended_connect_gets_an_upgrade_where_it_may_speak_http1_and_is_else_left_alone() {
    let blue = Http2Upstream::ok(None);
    let proxy = before_http2(&blue, "");
    for _ in 0..2 {
        assert_eq!(proxy.client().send(UPGRADE).response().status, 501);
    }
    let mut client = Http2::connect(proxy.listen);
    let (response, _to) = client.begin(connect("websocket"));
    assert_eq!(client.answer(response).status, 501);
    assert!(blue.requests().is_empty());
    // As above.
    let connections = blue.connections();
    assert_eq!(proxy.get("/").text(), "GET / 0");
    assert_eq!(blue.connections(), connections);
    proxy.until_outcome("refused_by_us", 3);

    let (authority, folder) = (Authority::new(), folder());
    let (signed, ca) = (authority.sign(&["127.0.0.1"]), folder.path().join("ca.pem"));
    fs::write(&ca, &authority.pem).expect("the folder is writable");
    let shows = Shows { alpn: &["h2", "http/1.1"], ..Shows::new(&signed) };
    let blue = TlsUpstream::scripted(&shows, |connection| {
        if connection.speaks_http2() {
            // Its settings, all of which are usual.
            connection.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
            while !connection.bytes(1).is_empty() {}
            return;
        }
        let request = connection.request().expect("a request");
        connection.send(format!("{}hi", switching(&request.head)));
        while !connection.bytes(1).is_empty() {}
    });
    let section = format!("blue: {{ protocol: auto, tls: {{ ca: {} }},", ca.display());
    let text = config(&[], &[], "").replacen("blue: {", &section, 1);
    let proxy = Proxy::start(&text.replacen("endpoints: []", &format!("endpoints: [\"{}\"]", blue.url()), 1));
    let mut client = proxy.client();
    assert_eq!(client.send(UPGRADE).response().status, 101);
    assert_eq!(client.bytes(2), b"hi");
    let mut client = Http2::connect(proxy.listen);
    let mut tunnel = Tunnel::open(&mut client);
    assert_eq!(tunnel.bytes(&client, 2), b"hi");
    let alpn: Vec<_> = blue.shaken().into_iter().map(|shaken| shaken.alpn.expect("a choice")).collect();
    assert_eq!(alpn, ["h2", "http/1.1", "http/1.1"]);
}

/// What comes to an endpoint by HTTP/2 is answered with 200.
fn answer_http2(connection: &mut TlsConnection) {
    connection.bytes(PREFACE.len());
    loop {
        let head = connection.bytes(9);
        let &[_, high, low, kind, _, ref stream @ ..] = &head[..] else { return };
        connection.bytes(usize::from(u16::from_be_bytes([high, low])));
        if kind == HEADERS {
            // `:status: 200`, which stands in the table of HPACK.
            connection.send([&[0, 0, 1, HEADERS, END_HEADERS | END_STREAM], stream, &[0x88]].concat());
        }
    }
}

#[test]
fn a_connection_that_a_refused_websocket_had_carried_took_others_requests_by_http1() {
    let (authority, folder) = (Authority::new(), folder());
    let (signed, ca) = (authority.sign(&["127.0.0.1"]), folder.path().join("ca.pem"));
    fs::write(&ca, &authority.pem).expect("the folder is writable");
    let shows = Shows { alpn: &["h2", "http/1.1"], ..Shows::new(&signed) };
    let blue = TlsUpstream::scripted(&shows, |connection| {
        if connection.speaks_http2() {
            connection.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
            return answer_http2(connection);
        }
        while connection.request().is_some() {
            connection.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let section = format!("blue: {{ protocol: auto, tls: {{ ca: {} }},", ca.display());
    let text = config(&[], &[], "").replacen("blue: {", &section, 1);
    let proxy = Proxy::start(&text.replacen("endpoints: []", &format!("endpoints: [\"{}\"]", blue.url()), 1));
    let mut client = proxy.client();
    assert_eq!(client.send(UPGRADE).response().status, 403);
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn an_endpoint_by_tls_that_chooses_http2_and_takes_tunnels_gets_them_there() {
    let (authority, folder) = (Authority::new(), folder());
    let (signed, ca) = (authority.sign(&["127.0.0.1"]), folder.path().join("ca.pem"));
    fs::write(&ca, &authority.pem).expect("the folder is writable");
    let shows = Shows { alpn: &["h2", "http/1.1"], ..Shows::new(&signed) };
    let blue = Http2Upstream::scripted(
        Some(&shows),
        |builder| _ = builder.enable_connect_protocol(),
        |call| Box::pin(echo_http2(call)),
    );
    let section = format!("blue: {{ protocol: auto, tls: {{ ca: {} }},", ca.display());
    let text = config(&[], &[], "").replacen("blue: {", &section, 1);
    let proxy = Proxy::start(&text.replacen("endpoints: []", &format!("endpoints: [\"{}\"]", blue.url()), 1));
    let mut client = proxy.client();
    assert_eq!(client.send(UPGRADE).response().status, 101);
    assert_eq!(client.send("hello").bytes(5), b"hello");
    assert_eq!(blue.requests()[0].0.uri().scheme_str(), Some("https"));
}

#[test]
fn another_upgrade_than_a_websocket_does_not_go_by_http2() {
    let blue = echoing();
    let proxy = before_http2(&blue, "");
    for (what, upgrade) in [
        ("another protocol", UPGRADE.replace("websocket\r\n", "other\r\n")),
        ("two", UPGRADE.replace("websocket\r\n", "websocket, other\r\n")),
        ("no key", UPGRADE.replace("Sec-WebSocket-Key", "X-Key")),
        ("another method", UPGRADE.replace("GET", "PUT")),
        ("a body", UPGRADE.replace("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\na")),
    ] {
        assert_eq!(proxy.client().send(upgrade).response().status, 501, "{what}");
    }
    assert_eq!(blue.connections(), 0);
}
