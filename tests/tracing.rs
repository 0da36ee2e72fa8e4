//! Spans of requests, as a collector of traces gets them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::support::collector::{Span, TAKEN, attributes, hex, read, spans};
use crate::support::upstream::refusing;
use crate::support::{
    Authority, Collector, DEADLINE, Http2, Proxy, Shows, TlsUpstream, Upstream, config, eventually, folder, http2,
    tls_upstream,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const SPANS: &str = "portcullis_trace_spans_total";
const QUIET: Duration = Duration::from_millis(500);
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

fn reload(proxy: &Proxy, text: &str) {
    std::fs::write(proxy.file(), text).expect("the file can be written");
    let response = proxy.post("/v1/config/reload", &serde_json::Value::Null);
    assert_eq!(response.status, 200, "{}", response.text());
}

/// The code of its status; 0 where that is unset.
fn status(span: &Span) -> i32 {
    span.status.as_ref().map_or(0, |status| status.code)
}

#[test]
fn a_sampled_request_is_a_span_with_the_names_of_the_conventions() {
    let (blue, collector) = (Upstream::ok(), Collector::new());
    let proxy = Proxy::before_with(&blue, &format!("service: checkout\n{}", collector.tracing("100%", "")));
    let fields = "Host: shop.example:8080\r\nUser-Agent: test/1\r\nContent-Length: 5";
    proxy.client().send(format!("POST /a/b?secret=1 HTTP/1.1\r\n{fields}\r\n\r\nhello")).response();
    let span = collector.only_span();
    let request = &collector.requests()[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/v1/traces"));
    assert_eq!(request.head.one("content-type"), "application/x-protobuf");
    let message = read(&request.body);
    let resource = attributes(&message.resource_spans[0].resource.as_ref().expect("there is one").attributes);
    assert_eq!(resource["service.name"], "portcullis");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(resource["service.instance.id"].len(), 36);
    assert_eq!((span.name.as_str(), span.kind, status(&span)), ("POST", SpanKind::Server as i32, 0));
    assert!(span.parent_span_id.is_empty() && span.trace_state.is_empty());
    assert!(span.start_time_unix_nano > 0 && span.start_time_unix_nano < span.end_time_unix_nano);
    let mut all = attributes(&span.attributes);
    assert_eq!(all.remove("portcullis.endpoint"), Some(blue.address.to_string()));
    let all: Vec<(&str, &str)> = all.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(
        all,
        [
            ("client.address", "127.0.0.1"),
            ("http.request.method", "POST"),
            ("http.response.status_code", "200"),
            ("network.peer.address", "127.0.0.1"),
            ("network.protocol.version", "1.1"),
            ("portcullis.outcome", "success"),
            ("portcullis.version", "blue"),
            ("server.address", "shop.example"),
            ("server.port", "8080"),
            ("url.path", "/a/b"),
            ("url.scheme", "http"),
            ("user_agent.original", "test/1"),
        ]
    );
    let parent = blue.only_request().head.one("traceparent");
    assert_eq!(parent, format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id)), "we are the endpoint's caller");
    proxy.until_metric(SPANS, &["result=\"exported\""], 1.0);
}

#[test]
fn the_caller_says_whether_a_request_is_sampled_and_its_span_is_the_parent() {
    for (sample, flags) in [("0%", "01"), ("100%", "00")] {
        let (blue, collector) = (Upstream::ok(), Collector::new());
        let proxy = Proxy::before_with(&blue, &collector.tracing(sample, ""));
        let ask = |flags: &str| {
            let parent = format!("traceparent: 00-{TRACE}-{PARENT}-{flags}\r\ntracestate: a=1\r\nTracestate: b=2");
            proxy.client().send(format!("GET / HTTP/1.1\r\nHost: test\r\n{parent}\r\n\r\n")).response();
        };
        ask(flags);
        // What comes last is sampled whatever the share is.
        ask("01");
        let sent = if flags == "01" { 2 } else { 1 };
        let spans = collector.until_spans(sent);
        proxy.until_metric(SPANS, &["result=\"exported\""], sent as f64);
        assert_eq!(spans.len(), sent);
        for span in &spans {
            assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
            assert_eq!((span.trace_state.as_str(), span.flags), ("a=1,b=2", 0x301));
        }
        let first = blue.requests()[0].head.clone();
        let expected = match flags {
            "01" => format!("00-{TRACE}-{}-01", hex(&spans[0].span_id)),
            _ => format!("00-{TRACE}-{PARENT}-00"),
        };
        assert_eq!((first.one("traceparent"), first.all("tracestate")), (expected, vec!["a=1".into(), "b=2".into()]));
    }
}

#[test]
fn of_the_traces_that_begin_here_those_are_sampled_whose_ids_are_in_the_share() {
    let (blue, collector) = (Upstream::ok(), Collector::new());
    let proxy = Proxy::before_with(&blue, &collector.tracing("25%", ""));
    let mut client = proxy.client();
    const REQUESTS: usize = 400;
    (0..REQUESTS).for_each(|_| assert_eq!(client.get("/").status, 200));
    let parents: Vec<String> = blue.requests().iter().map(|request| request.head.one("traceparent")).collect();
    let mut sampled = Vec::new();
    for parent in &parents {
        let random = u64::from_str_radix(&parent[21..35], 16).expect("14 digits");
        let expected = if random >= 3 << 54 { "01" } else { "00" };
        assert_eq!(&parent[53..], expected, "{parent}");
        if expected == "01" {
            sampled.push(parent[3..35].to_owned());
        }
    }
    // Fewer or more would come by chance once in a billion times.
    assert!((50..=155).contains(&sampled.len()), "{} of {REQUESTS}", sampled.len());
    proxy.until_metric(SPANS, &["result=\"exported\""], sampled.len() as f64);
    let told: Vec<String> = collector.spans().iter().map(|span| hex(&span.trace_id)).collect();
    assert_eq!(told, sampled);
}

/// The span of one such request by HTTP/1.1.
#[track_caller]
fn span_of(blue: &[SocketAddr], request: &str) -> (u16, Span) {
    let collector = Collector::new();
    let proxy = Proxy::start(&config(blue, &[NOBODY], &collector.tracing("100%", "")));
    let status = proxy.client().send(request).response().status;
    (status, collector.only_span())
}

#[test]
fn a_request_that_fails_or_is_refused_has_a_span_and_only_what_a_server_did_wrong_is_an_error() {
    let answering = |status: &str| Upstream::answering(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"));
    let half = Upstream::scripted(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello");
    });
    let (refuses, _socket) = refusing();
    let (missing, failing, ok) = (answering("404 Not Found"), answering("500 Oh"), Upstream::ok());
    for (blue, request, code, error, outcome, reason) in [
        (missing.address, GET, 404, None, "client_error", None),
        (failing.address, GET, 500, Some("500"), "server_error", None),
        (refuses, GET, 502, Some("connect_refused"), "connect_error", Some("connect_refused")),
        (ok.address, "GET / HTTP/1.1\r\n\r\n", 400, None, "refused_by_us", Some("host_invalid")),
        (ok.address, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, None, "refused_by_us", Some("method_denied")),
        (
            ok.address,
            "GET /portcullis/panic HTTP/1.1\r\nHost: a\r\n\r\n",
            500,
            Some("internal"),
            "refused_by_us",
            Some("internal"),
        ),
    ] {
        let (status_sent, span) = span_of(&[blue], request);
        let all = attributes(&span.attributes);
        let is = |key: &str| all.get(key).map(String::as_str);
        assert_eq!(status_sent, code, "{request}");
        assert_eq!(is("http.response.status_code"), Some(code.to_string().as_str()), "{span:#?}");
        assert_eq!(
            (is("error.type"), is("portcullis.outcome"), is("portcullis.reason")),
            (error, Some(outcome), reason)
        );
        let expected = if error.is_some() { StatusCode::Error as i32 } else { 0 };
        assert_eq!(status(&span), expected, "{span:#?}");
        let version = if outcome == "refused_by_us" { None } else { Some("blue") };
        assert_eq!(is("portcullis.version"), version);
    }
    let collector = Collector::new();
    let proxy = Proxy::before_with(&half, &collector.tracing("100%", ""));
    proxy.client().send(GET).try_response().expect_err("it breaks off");
    let span = collector.only_span();
    assert_eq!((status(&span), attributes(&span.attributes)["error.type"].as_str()), (2, "response_truncated"));
}

#[test]
fn a_method_of_a_clients_invention_is_no_name_of_a_span_and_a_long_text_is_cut() {
    let blue = Upstream::ok();
    let path = format!("/{}", "ä".repeat(1_000));
    let target = path.replace('ä', "%C3%A4");
    let request = format!("BREW {target} HTTP/1.0\r\nUser-Agent: {}\r\n\r\n", "a".repeat(2_000));
    let (code, span) = span_of(&[blue.address], &request);
    let all = attributes(&span.attributes);
    assert_eq!((code, span.name.as_str()), (200, "HTTP"));
    assert_eq!((all["http.request.method"].as_str(), all["http.request.method_original"].as_str()), ("_OTHER", "BREW"));
    assert_eq!((all["url.path"].as_str(), all["user_agent.original"].len()), (&target[..1024], 1024));
    assert_eq!((all.get("server.address"), all["network.protocol.version"].as_str()), (None, "1.0"));
}

#[test]
fn a_call_of_grpc_by_http_2_has_a_span_by_its_method_and_status() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\ngrpc-status: ";
    for (code, name, error, span_name) in [
        (0, "OK", None, "shop.Cart/Add"),
        (14, "UNAVAILABLE", Some("UNAVAILABLE"), "shop.Cart/Add"),
        (5, "NOT_FOUND", None, "shop.Cart/Add"),
        // Whoever asks for what is not there chooses its name.
        (12, "UNIMPLEMENTED", Some("UNIMPLEMENTED"), "POST"),
    ] {
        let (blue, collector) = (Upstream::answering(format!("{HEAD}{code}\r\n\r\n")), Collector::new());
        let proxy = Proxy::before_with(&blue, &collector.tracing("100%", ""));
        let mut request = http2::post("/shop.Cart/Add");
        request.headers_mut().insert("content-type", "application/grpc".parse().expect("a value"));
        let mut client = Http2::connect(proxy.listen);
        let response = client.ask(request);
        assert_eq!(client.answer(response).status, 200);
        let span = collector.only_span();
        let all = attributes(&span.attributes);
        let is = |key: &str| all.get(key).map(String::as_str);
        assert_eq!(span.name, span_name);
        assert_eq!((is("rpc.system.name"), is("rpc.method")), (Some("grpc"), Some("shop.Cart/Add")));
        assert_eq!((is("rpc.response.status_code"), is("error.type")), (Some(name), error));
        assert_eq!(status(&span), if error.is_some() { 2 } else { 0 }, "{name}");
        assert_eq!((is("network.protocol.version"), is("server.address")), (Some("2"), Some("test")));
        let parent = blue.only_request().head.one("traceparent");
        assert_eq!(parent, format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id)));
    }
}

#[test]
fn what_a_collector_has_no_time_for_is_sent_again_and_what_it_refuses_is_not() {
    let later = |status: &str| format!("HTTP/1.1 {status}\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n");
    let [busy, many, bad, slow] =
        ["503 Service Unavailable", "429 Too Many Requests", "502 Bad Gateway", "504 Gateway Timeout"].map(later);
    let refused = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    // So often that pauses of our own choice would take longer than a test waits.
    let twice = [&busy, &many, &bad, &slow, &busy, &many, &bad, &slow].map(String::as_str);
    let collector = Collector::answering(&[&twice[..], &[TAKEN, refused]].concat());
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, &collector.tracing("100%", ""));
    proxy.get("/first");
    proxy.until_metric(SPANS, &["result=\"exported\""], 1.0);
    let bodies: Vec<Vec<u8>> = collector.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies.len(), 9);
    assert!(bodies.iter().all(|body| *body == bodies[0]), "the same message each time");
    proxy.get("/second");
    proxy.until_metric(SPANS, &["result=\"failed\""], 1.0);
    proxy.get("/third");
    proxy.until_metric(SPANS, &["result=\"exported\""], 2.0);
    let paths: Vec<String> =
        collector.spans().iter().map(|span| attributes(&span.attributes)["url.path"].clone()).collect();
    assert_eq!(paths[8..], ["/first", "/second", "/third"]);
    proxy.until_logged("the collector takes no spans");
    proxy.until_logged("the collector takes spans again");
}

#[test]
fn spans_that_a_collector_rejects_are_counted_and_its_reason_is_logged() {
    // partial_success { rejected_spans: 1, error_message: "too old" }
    let partial = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 13\r\n\r\n\
                   \x0a\x0b\x08\x01\x12\x07too old";
    let (blue, collector) = (Upstream::ok(), Collector::answering(&[partial]));
    let proxy = Proxy::before_with(&blue, &collector.tracing("100%", ""));
    proxy.get("/");
    proxy.until_metric(SPANS, &["result=\"rejected\""], 1.0);
    assert_eq!(proxy.metric(SPANS, &["result=\"exported\""]), 0.0);
    assert_eq!(proxy.until_logged("the collector has something to say of spans")["why"], "too old");
}

#[test]
fn a_collector_that_never_answers_keeps_nobody_waiting_and_what_has_no_room_is_dropped_and_counted() {
    let silent = Upstream::scripted(|connection| {
        connection.request();
        connection.drain();
    });
    let collector = Collector::of(silent);
    let blue = Upstream::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let proxy = Proxy::before_with(&blue, &collector.tracing("100%", ", timeout: 1h"));
    let mut client = proxy.client();
    client.send(GET).response();
    collector.until_spans(1);
    // The queue has room for 4096, and nothing is taken out of it while a batch is under way.
    const MORE: usize = 5_000;
    for _ in 0..MORE / 100 {
        client.send(GET.repeat(100));
        (0..100).for_each(|_| assert_eq!(client.response().status, 204));
    }
    proxy.until_metric(SPANS, &["result=\"dropped\""], (MORE - 4096) as f64);
    assert_eq!(proxy.metric(SPANS, &["result=\"exported\""]), 0.0);
    assert_eq!(collector.requests().len(), 1);
}

#[test]
fn spans_wait_for_a_collector_that_is_down_until_it_is_there() {
    let (address, socket) = refusing();
    let blue = Upstream::ok();
    let tracing = format!("tracing: {{ otlp: {{ endpoint: \"http://{address}/base/\", sample: 100% }} }}");
    let proxy = Proxy::before_with(&blue, &tracing);
    assert_eq!(proxy.get("/").status, 200);
    proxy.until_logged("the collector takes no spans");
    socket.listen(128).expect("a bound socket");
    let collector = Collector::of(Upstream::listening(socket.into(), |connection| {
        while connection.request().is_some() {
            connection.send(TAKEN);
        }
    }));
    collector.only_span();
    assert_eq!(collector.requests()[0].target, "/base/v1/traces");
    proxy.until_logged("the collector takes spans again");
}

#[test]
fn the_last_spans_are_sent_before_the_process_ends() {
    let (answers, answer) = mpsc::channel::<()>();
    let answer = Mutex::new(answer);
    let collector = Collector::of(Upstream::scripted(move |connection| {
        while connection.request().is_some() {
            let may_answer = answer.lock().expect("no panic with it").recv();
            // The process waits for it, and has nothing else left to do.
            if may_answer.is_err() || !connection.is_silent(QUIET) {
                return;
            }
            connection.send(TAKEN);
        }
    }));
    let blue = Upstream::ok();
    let mut proxy = Proxy::before_with(&blue, &format!("drain: {{ wait: 0s }}\n{}", collector.tracing("100%", "")));
    proxy.get("/first");
    collector.until_spans(1);
    // It waits behind the first, which is not answered yet.
    proxy.get("/last");
    proxy.sigterm();
    proxy.until_logged("draining");
    (0..2).for_each(|_| answers.send(()).expect("the collector waits"));
    assert!(proxy.wait_exit().success());
    assert_eq!(attributes(&collector.until_spans(2)[1].attributes)["url.path"], "/last");
}

#[test]
fn a_collector_that_does_not_answer_keeps_no_process_from_ending() {
    let collector = Collector::of(Upstream::scripted(|connection| connection.drain()));
    let blue = Upstream::ok();
    let mut proxy =
        Proxy::before_with(&blue, &format!("drain: {{ wait: 0s }}\n{}", collector.tracing("100%", ", timeout: 1h")));
    proxy.get("/");
    proxy.sigterm();
    assert!(proxy.wait_exit().success());
    assert_eq!(proxy.until_logged("the last spans were not taken in time")["lost"], 1);
}

#[test]
fn a_reload_changes_the_collector_and_the_share_and_ends_it() {
    let (blue, first, second) = (Upstream::ok(), Collector::new(), Collector::new());
    let text = |rest: &str| config(&[blue.address], &[NOBODY], rest);
    let proxy = Proxy::start(&text(&first.tracing("0%", "")));
    let mut client = proxy.client();
    client.get("/0");
    reload(&proxy, &text(&first.tracing("100%", "")));
    client.get("/1");
    first.until_spans(1);
    reload(&proxy, &text(&second.tracing("100%", "")));
    client.get("/2");
    second.until_spans(1);
    reload(&proxy, &text(""));
    client.get("/3");
    reload(&proxy, &text(&second.tracing("100%", "")));
    client.get("/4");
    second.until_spans(2);
    let paths = |collector: &Collector| -> Vec<String> {
        collector.spans().iter().map(|span| attributes(&span.attributes)["url.path"].clone()).collect()
    };
    assert_eq!((paths(&first), paths(&second)), (vec!["/1".to_owned()], vec!["/2".to_owned(), "/4".to_owned()]));
    assert!(!blue.requests()[3].head.has("traceparent"), "nothing is made while it is off");
}

#[test]
fn row_90_a_header_for_the_collector_comes_from_a_file_and_is_shown_to_nobody_else() {
    let (blue, collector, folder) = (Upstream::ok(), Collector::answering(&["no HTTP at all\r\n\r\n"]), folder());
    std::fs::write(folder.path().join("token"), "Bearer hunter2\n").expect("the folder is writable");
    let header = format!(", headers: {{ authorization: \"file:{}/token\" }}", folder.path().display());
    let text = config(&[blue.address], &[NOBODY], &collector.tracing("100%", &header));
    let proxy = Proxy::start_logging(&text, "trace");
    proxy.get("/");
    collector.until_spans(2);
    assert_eq!(collector.requests()[1].head.one("authorization"), "Bearer hunter2");
    reload(&proxy, &text);
    let shown = [proxy.log(), proxy.metrics(), proxy.status().to_string(), proxy.get("/v1").text()].concat();
    assert!(!shown.contains("hunter2"), "{shown}");
    std::fs::write(folder.path().join("token"), "hunter2\nhunter2").expect("the folder is writable");
    let response = proxy.post("/v1/config/reload", &serde_json::Value::Null);
    assert!(response.status == 422 && !response.text().contains("hunter2"), "{}", response.text());
    assert!(!proxy.log().contains("hunter2"));
}

#[test]
fn a_collector_by_https_has_to_be_who_it_says() {
    let (authority, other, folder) = (Authority::new(), Authority::new(), folder());
    let signed = authority.sign(&["127.0.0.1"]);
    let taken = Arc::new(Mutex::new(Vec::new()));
    let collector = TlsUpstream::scripted(&Shows::new(&signed), {
        let taken = Arc::clone(&taken);
        move |connection| {
            while let Some(request) = connection.request() {
                taken.lock().expect("no panic with it").extend(spans(&request.body));
                connection.send(tls_upstream::ok(""));
            }
        }
    });
    let blue = Upstream::ok();
    let text = |trusted: &Authority| {
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, &trusted.pem).expect("the folder is writable");
        let otlp = format!("endpoint: \"{}\", ca: \"{}\", sample: 100%", collector.url(), ca.display());
        config(&[blue.address], &[NOBODY], &format!("tracing: {{ otlp: {{ {otlp} }} }}"))
    };
    let proxy = Proxy::start(&text(&other));
    proxy.get("/");
    proxy.until_logged("the collector takes no spans");
    assert_eq!(taken.lock().expect("no panic with it").len(), 0);
    // It holds for the next attempt.
    reload(&proxy, &text(&authority));
    eventually("the span", || (taken.lock().expect("no panic with it").len() == 1).then_some(()));
    assert!(DEADLINE.as_secs() > 5, "the next attempt comes after a second or so");
}
