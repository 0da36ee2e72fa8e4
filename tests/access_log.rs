//! What the access log says of a request, and the names that a request has beyond the proxy.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::upstream::{refusing, unreachable};
use crate::support::{Client, Proxy, Upstream, config, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const JSON: &str = "accessLog: true";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn silent() -> Upstream {
    Upstream::scripted(|connection| {
        connection.request();
        connection.drain();
    })
}

/// Half an answer, and then the connection stays as it is or ends.
fn half(ends: bool) -> Upstream {
    Upstream::scripted(move |connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello");
        if !ends {
            connection.drain();
        }
    })
}

/// In front of blue at `address`, whoever listens there.
fn before(address: SocketAddr, rest: &str) -> Proxy {
    Proxy::start(&config(&[address], &[SocketAddr::from(([127, 0, 0, 1], 1))], rest))
}

/// The only request so far had this line.
#[track_caller]
fn check(proxy: &Proxy, version: Option<&str>, status: u16, outcome: &str, reason: &str) -> Value {
    let line = proxy.until_logged("request");
    let said = ["version", "status", "outcome", "reason"].map(|field| &line[field]);
    assert_eq!(said, [&json!(version), &json!(status), &json!(outcome), &json!(reason)], "{line:#}");
    assert_eq!(proxy.logged("request").len(), 1);
    line
}

#[track_caller]
fn until_text(proxy: &Proxy, part: &str) -> String {
    eventually(part, || {
        let log = proxy.log();
        let line = log.lines().find(|line| line.contains(part))?;
        serde_json::from_str(line).ok()
    })
}

#[test]
fn an_answered_request_has_a_line_with_every_field() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, JSON);
    let mut client = proxy.client();
    let fields = format!("Host: test\r\nX-Request-Id: mine\r\ntraceparent: {TRACE}\r\nContent-Length: 5");
    client.send(format!("POST /a?b=c HTTP/1.1\r\n{fields}\r\n\r\nhello"));
    let length = client.response().body.len();
    let line = proxy.until_logged("request");
    for (field, expected) in [
        ("client", json!("127.0.0.1")),
        ("method", json!("POST")),
        ("request_target", json!("/a?b=c")),
        ("protocol", json!("HTTP/1.1")),
        ("version", json!("blue")),
        ("endpoint", json!(blue.address.to_string())),
        ("status", json!(200)),
        ("outcome", json!("success")),
        ("reason", Value::Null),
        ("request_bytes", json!(5)),
        ("response_bytes", json!(length)),
        ("request_id", json!("mine")),
        ("trace_id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
    ] {
        assert_eq!(line[field], expected, "{field} in {line:#}");
    }
    let times = ["connect_ms", "head_ms", "whole_ms"].map(|field| line[field].as_f64());
    let [Some(connect), Some(head), Some(whole)] = times else { panic!("{line:#}") };
    assert!(0.0 < connect && connect <= head && head <= whole, "{line:#}");
    assert!(line["timestamp"].is_string());
}

#[test]
fn a_connection_that_stood_already_took_no_time_and_a_length_that_is_not_said_is_none() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, JSON);
    let mut client = proxy.client();
    client.get("/first");
    client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n").response();
    let lines = proxy.until_logged_times("request", 2);
    assert_eq!(blue.connections(), 1);
    assert!(lines[0]["connect_ms"].is_f64() && lines[0]["request_bytes"] == 0, "{:#}", lines[0]);
    for none in ["connect_ms", "request_bytes", "reason", "request_id", "trace_id"] {
        assert_eq!(lines[1].get(none), None, "{:#}", lines[1]);
    }
}

#[test]
fn the_client_is_the_origin_behind_the_trusted_proxies() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, &format!("{JSON}\ntrustedProxies: [\"127.0.0.0/8\"]"));
    for method in ["GET", "TRACE"] {
        let chain = "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 203.0.113.7, 127.0.0.9";
        proxy.client().send(format!("{method} / HTTP/1.1\r\nHost: test\r\n{chain}\r\n\r\n")).response();
    }
    let lines = proxy.until_logged_times("request", 2);
    let clients: Vec<&Value> = lines.iter().map(|line| &line["client"]).collect();
    assert_eq!(clients, ["203.0.113.7", "203.0.113.7"]);
}

#[test]
fn a_request_that_is_refused_has_a_line_without_a_version() {
    for (request, rest, status, reason) in [
        ("TRACE / HTTP/1.1\r\nHost: test\r\n\r\n", "", 405, "method_denied"),
        ("GET / HTTP/1.1\r\n\r\n", "", 400, "host_invalid"),
        (
            "GET / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "",
            400,
            "transfer_encoding_invalid",
        ),
        (
            "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\n",
            "limits: { requestBodyBytes: 10 }",
            413,
            "request_body_too_large",
        ),
        ("GET /portcullis/panic HTTP/1.1\r\nHost: test\r\n\r\n", "", 500, "internal"),
    ] {
        let blue = Upstream::ok();
        let proxy = Proxy::before_with(&blue, &format!("{JSON}\n{rest}"));
        assert_eq!(proxy.client().send(request).response().status, status);
        let line = check(&proxy, None, status, "refused_by_us", reason);
        assert_eq!((line.get("endpoint"), line.get("head_ms")), (None, None), "{line:#}");
    }
}

#[test]
fn what_is_no_request_has_a_line_without_one() {
    for (head, rest, status, reason) in [
        ("nonsense\r\n\r\n".to_owned(), "", 400, "request_malformed"),
        (
            format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "a".repeat(2000)),
            "limits: { headBytes: 1KiB }",
            431,
            "request_head_too_large",
        ),
        (format!("GET /{}", "a".repeat(40_000)), "", 414, "target_too_long"),
        ("GET / HT".to_owned(), "timeouts: { requestHead: 100ms }", 408, "request_head_timeout"),
    ] {
        let blue = Upstream::ok();
        let proxy = Proxy::before_with(&blue, &format!("{JSON}\n{rest}"));
        let mut client = proxy.client();
        // The proxy may not read all of it.
        client.offer(head).ok();
        assert_eq!(client.response().status, status);
        let line = check(&proxy, None, status, "refused_by_us", reason);
        let none = ["method", "request_target", "protocol", "endpoint", "head_ms"].map(|field| line.get(field));
        assert_eq!((none, &line["client"]), ([None; 5], &json!("127.0.0.1")), "{line:#}");
    }
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "accessLog: { format: text }");
    assert_eq!(proxy.client().send("nonsense\r\n\r\n").response().status, 400);
    let line = until_text(&proxy, "request_malformed");
    assert!(
        line.contains("] \"-\" 400 0 version=- endpoint=- outcome=refused_by_us reason=request_malformed "),
        "{line}"
    );
}

#[test]
fn a_client_over_its_rate_has_the_reason_rate_limit() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, &format!("{JSON}\nrateLimit: {{ requests: 1, per: 1h }}"));
    assert_eq!([(); 2].map(|()| proxy.get("/").status), [200, 429]);
    let lines = proxy.until_logged_times("request", 2);
    assert_eq!(lines[1]["reason"], "rate_limit");
}

#[test]
fn an_endpoint_that_refuses_is_named_with_the_reason_connect_refused() {
    let (address, _socket) = refusing();
    let proxy = before(address, JSON);
    assert_eq!(proxy.get("/").status, 502);
    let line = check(&proxy, Some("blue"), 502, "connect_error", "connect_refused");
    assert_eq!((&line["endpoint"], line.get("connect_ms")), (&json!(address.to_string()), None), "{line:#}");
}

#[test]
fn a_blue_without_endpoints_has_the_reason_no_endpoint() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, JSON);
    let answer = proxy.call("PUT", "/v1/versions/blue/endpoints", &json!({ "endpoints": [] }));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(proxy.get("/").status, 503);
    check(&proxy, Some("blue"), 503, "connect_error", "no_endpoint");
}

#[test]
fn a_green_and_a_blue_that_cannot_serve_have_one_line_that_names_no_endpoint_of_green() {
    let (blue, (green, _socket)) = (Upstream::ok(), refusing());
    let proxy = Proxy::start(&config(&[blue.address], &[green], JSON));
    proxy.set_weight(100.0);
    let answer = proxy.call("PUT", "/v1/versions/blue/endpoints", &json!({ "endpoints": [] }));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(proxy.get("/").status, 503);
    let line = check(&proxy, Some("blue"), 503, "connect_error", "no_endpoint");
    assert_eq!(line.get("endpoint"), None, "{line:#}");
}

#[test]
fn there_is_no_line_while_the_log_is_off_and_a_reload_turns_it_on() {
    let blue = Upstream::ok();
    for (level, format) in
        [("info", "accessLog: false"), ("info,portcullis::access=off", "accessLog: { format: text }")]
    {
        let proxy = Proxy::start_logging(&config(&[blue.address], &[blue.address], format), level);
        assert_eq!(proxy.get("/").status, 200);
        std::fs::write(proxy.file(), config(&[blue.address], &[blue.address], JSON)).expect("the file can be written");
        assert_eq!(proxy.post("/v1/config/reload", &Value::Null).status, 200);
        proxy.until_logged("configuration loaded");
        let log = proxy.log();
        assert!(!log.contains("GET"), "{log}");
        if level == "info" {
            assert_eq!(proxy.get("/").status, 200);
            proxy.until_logged("request");
        }
    }
}

#[test]
fn times_that_are_up_each_have_a_reason() {
    let (address, _socket, _queued) = unreachable();
    let proxy = before(address, &format!("{JSON}\ntimeouts: {{ connect: 100ms }}"));
    assert_eq!(proxy.get("/").status, 504);
    check(&proxy, Some("blue"), 504, "timeout", "connect_timeout");

    let blue = silent();
    let proxy = Proxy::before_with(&blue, &format!("{JSON}\ntimeouts: {{ responseHead: 100ms }}"));
    assert_eq!(proxy.get("/").status, 504);
    check(&proxy, Some("blue"), 504, "timeout", "response_head_timeout");

    let blue = half(false);
    let proxy = Proxy::before_with(&blue, &format!("{JSON}\ntimeouts: {{ bodyIdle: 100ms }}"));
    assert!(proxy.client().send(GET).try_response().is_err());
    check(&proxy, Some("blue"), 200, "timeout", "response_body_timeout");
}

#[test]
fn answers_that_do_not_come_whole_each_have_a_reason() {
    let blue = half(true);
    let proxy = Proxy::before_with(&blue, JSON);
    assert!(proxy.client().send(GET).try_response().is_err());
    let line = check(&proxy, Some("blue"), 200, "truncated", "response_truncated");
    assert_eq!(line["response_bytes"], 5);

    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(70_000));
    for (answer, reason) in [
        (String::new(), "response_lost"),
        ("nonsense\r\n\r\n".into(), "response_invalid"),
        (long, "response_head_too_large"),
    ] {
        let blue = Upstream::scripted(move |connection| {
            connection.request();
            connection.send(&answer);
        });
        let proxy = Proxy::before_with(&blue, JSON);
        assert_eq!(proxy.get("/").status, 502);
        check(&proxy, Some("blue"), 502, "reset", reason);
    }
}

#[test]
fn a_client_that_goes_before_or_within_its_answer_has_the_reason_client_gone() {
    let blue = silent();
    let proxy = Proxy::before_with(&blue, JSON);
    let mut client = proxy.client();
    client.send(GET);
    blue.until("the request", |seen| (!seen.first()?.requests.is_empty()).then_some(()));
    client.reset();
    check(&proxy, Some("blue"), 0, "client_cancelled", "client_gone");

    let blue = half(false);
    let proxy = Proxy::before_with(&blue, JSON);
    let mut client = proxy.client();
    client.send(GET).response_head();
    assert_eq!(client.bytes(5), b"hello");
    client.reset();
    let line = check(&proxy, Some("blue"), 200, "client_cancelled", "client_gone");
    assert_eq!(line["response_bytes"], 5);
}

#[test]
fn a_request_to_green_that_blue_answers_has_one_line_which_is_blues() {
    let (blue, (green, _socket)) = (Upstream::ok(), refusing());
    let proxy = Proxy::start(&config(&[blue.address], &[green], JSON));
    proxy.set_weight(100.0);
    assert_eq!(proxy.get("/").status, 200);
    let line = proxy.until_logged("request");
    let said = ["version", "outcome", "endpoint"].map(|field| line[field].as_str());
    assert_eq!(said, [Some("blue"), Some("success"), Some(blue.address.to_string().as_str())]);
    assert_eq!(proxy.logged("request").len(), 1);
}

#[test]
fn a_line_of_text_is_the_common_log_format_and_a_client_cannot_break_it() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "accessLog: { format: text }");
    let fields = "Host: test\r\nX-Request-Id: a\" 1\\2\t3";
    let body = proxy.client().send(format!("GET /\"x'?q HTTP/1.0\r\n{fields}\r\n\r\n")).response().body;
    let line = until_text(&proxy, "version=blue");
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    let (time, rest) = line["127.0.0.1 - - [".len()..].split_once("] ").expect("a time");
    assert!(time.ends_with(" +0000") && time.len() == "29/Nov/2026:19:07:00 +0000".len(), "{line}");
    let expected = format!(
        "\"GET /\\\"x'?q HTTP/1.0\" 200 {} version=blue endpoint={} outcome=success reason=- request_bytes=0 connect_ms=",
        body.len(),
        blue.address
    );
    assert!(rest.starts_with(&expected), "{line}\n{expected}");
    assert!(rest.ends_with(" request_id=\"a\\\" 1\\\\2\\t3\" trace_id=- grpc_status=-"), "{line}");

    proxy.client().send("TRACE / HTTP/1.1\r\nHost: test\r\n\r\n").response();
    let line = until_text(&proxy, "TRACE");
    let expected = "] \"TRACE / HTTP/1.1\" 405 0 version=- endpoint=- outcome=refused_by_us reason=method_denied \
                    request_bytes=0 connect_ms=- head_ms=- whole_ms=";
    assert!(line.contains(expected), "{line}");
}

/// Sends a GET with these fields on a connection of its own and returns what came back.
#[track_caller]
fn ask(proxy: &Proxy, fields: &str) -> crate::support::message::Response {
    let mut client: Client = proxy.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n")).response()
}

#[test]
fn names_of_a_request_are_passed_on_untouched_and_none_are_made() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let state = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7";
    for (id, parent) in [("mine", TRACE), ("", "no trace")] {
        let answer = ask(
            &proxy,
            &format!("X-Request-Id: {id}\r\ntraceparent: {parent}\r\ntracestate: {state}\r\ntracestate: a=b\r\n"),
        );
        assert!(!answer.head.has("x-request-id"));
        let head = blue.requests().pop().expect("a request").head;
        assert_eq!((head.one("x-request-id"), head.one("traceparent")), (id.to_owned(), parent.to_owned()));
        assert_eq!(head.all("tracestate"), [state, "a=b"]);
    }
    ask(&proxy, "");
    let head = blue.requests().pop().expect("a request").head;
    assert!(!head.has("x-request-id") && !head.has("traceparent"), "{head:?}");
}

#[track_caller]
fn check_is_uuid(id: &str) {
    let parts: Vec<usize> = id.split('-').map(str::len).collect();
    assert!(parts == [8, 4, 4, 4, 12] && id.as_bytes()[14] == b'4', "{id}");
}

#[test]
fn an_id_is_made_for_each_request_and_told_to_the_endpoint_and_the_client_and_logged() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, &format!("{JSON}\nrequestId: true"));
    let mut told: Vec<String> =
        ["", "X-Request-Id: mine\r\n", "X-Request-Id: a\r\nX-Request-Id: b\r\nConnection: x-request-id\r\n"]
            .map(|fields| ask(&proxy, fields).head.one("x-request-id"))
            .to_vec();
    told.iter().for_each(|id| check_is_uuid(id));
    let sent: Vec<String> = blue.requests().iter().map(|request| request.head.one("x-request-id")).collect();
    assert_eq!(sent, told);
    told.push(proxy.client().send("TRACE / HTTP/1.1\r\nHost: test\r\n\r\n").response().head.one("x-request-id"));
    let lines = proxy.until_logged_times("request", 4);
    let logged: Vec<&str> = lines.iter().filter_map(|line| line["request_id"].as_str()).collect();
    assert_eq!(logged, told);
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 4, "each its own");
}

#[test]
fn an_id_of_a_trusted_proxy_is_kept_and_outranks_the_endpoints() {
    let blue = Upstream::scripted(|connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nX-Request-Id: blues\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let proxy = Proxy::before_with(&blue, "requestId: true\ntrustedProxies: [\"127.0.0.0/8\"]");
    assert_eq!(ask(&proxy, "X-Request-Id: mine\r\n").head.one("x-request-id"), "mine");
    assert_eq!(blue.only_request().head.one("x-request-id"), "mine");
    check_is_uuid(&ask(&proxy, "X-Request-Id:\r\n").head.one("x-request-id"));
}

#[test]
fn a_trace_is_begun_where_there_is_none_and_a_valid_one_is_passed_on_untouched() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, &format!("{JSON}\ntracing: {{ propagate: true }}"));
    ask(&proxy, &format!("traceparent: {TRACE}\r\ntracestate: a=b\r\n"));
    let head = blue.requests().pop().expect("a request").head;
    assert_eq!((head.one("traceparent"), head.one("tracestate")), (TRACE.to_owned(), "a=b".to_owned()));
    for fields in ["", "traceparent: nonsense\r\ntracestate: a=b\r\n"] {
        ask(&proxy, fields);
        let head = blue.requests().pop().expect("a request").head;
        let parent = head.one("traceparent");
        let parts: Vec<usize> = parent.split('-').map(str::len).collect();
        assert!(parts == [2, 32, 16, 2] && parent.starts_with("00-") && parent.ends_with("-00"), "{parent}");
        assert!(!head.has("tracestate"));
        eventually("its line", || proxy.logged("request").into_iter().find(|line| line["trace_id"] == parent[3..35]));
    }
}
