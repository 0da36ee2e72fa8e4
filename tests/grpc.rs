//! What calls of gRPC come to: by what their answers say, in trailers or in a head that is all there is, and what a client is
//! told where the proxy answers. Which version of HTTP carries a call makes no difference to that; these are of HTTP/1.1.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::http2::{self, Answer, Broken, Http2};
use crate::support::upstream::{refusing, unreachable};
use crate::support::{Client, Proxy, Response, Upstream, config, eventually};

const REQUESTS: &str = "portcullis_requests_total";
const CALLS: &str = "portcullis_grpc_requests_total";
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// An empty message.
const MESSAGE: &str = "\0\0\0\0\0";

const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The codes that are failures unless somebody says otherwise.
const FAILURES: [usize; 5] = [2, 4, 13, 14, 15];

fn call(target: &str) -> String {
    call_with(target, "")
}

fn call_with(target: &str, fields: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nContent-Type: application/grpc+proto\r\n{fields}\
         Content-Length: 5\r\n\r\n{MESSAGE}"
    )
}

/// The answer of a call that came to this in its trailers.
fn in_trailers(trailers: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/grpc+proto\r\ntrailer: grpc-status, grpc-message\r\n\
         transfer-encoding: chunked\r\n\r\n5\r\n{MESSAGE}\r\n0\r\n{trailers}\r\n"
    )
}

/// The answer of a call that came to this, in its head and without a body.
fn in_head(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n{fields}content-length: 0\r\n\r\n")
}

/// Answers `/trailers/N` and `/head/N` with the status N, and any other path with what it is given.
fn server(others: impl Into<String>) -> Upstream {
    let others = others.into();
    Upstream::scripted(move |connection| {
        while let Some(request) = connection.request() {
            let number = request.target.rsplit('/').next().unwrap_or_default();
            connection.send(match request.target.split('/').nth(1) {
                Some("trailers") => in_trailers(&format!("grpc-status: {number}\r\n")),
                Some("head") => in_head(&format!("grpc-status: {number}\r\n")),
                _ => others.clone(),
            });
        }
    })
}

#[track_caller]
fn reload(proxy: &Proxy, text: &str) {
    std::fs::write(proxy.file(), text).expect("the file can be written");
    let response = proxy.post("/v1/config/reload", &Value::Null);
    assert_eq!(response.status, 200, "{}", response.text());
}

/// Calls every status in both ways, and returns how many calls there were.
fn call_all(client: &mut Client) -> u64 {
    for number in 0..NAMES.len() {
        let response = client.send(call(&format!("/trailers/{number}"))).response();
        assert_eq!(response.trailers, [("grpc-status".to_owned(), number.to_string().into_bytes())]);
        let response = client.send(call(&format!("/head/{number}"))).response();
        assert_eq!((response.status, response.head.one("grpc-status")), (200, number.to_string()));
    }
    2 * NAMES.len() as u64
}

#[test]
fn row_69_a_call_is_charged_by_its_status_in_trailers_or_in_the_head() {
    let blue = server("");
    let proxy = Proxy::before(&blue);
    let calls = call_all(&mut proxy.client());
    proxy.until_charged(calls, 2 * FAILURES.len() as u64);
    let outcome = |outcome: &str| proxy.metric(REQUESTS, &["version=\"blue\"", "code=\"200\"", outcome]);
    assert_eq!(
        ["success", "grpc_failure", "client_error"].map(|name| outcome(&format!("outcome=\"{name}\""))),
        [2.0, 10.0, 22.0]
    );
    for name in NAMES {
        assert_eq!(proxy.metric(CALLS, &["version=\"blue\"", &format!("grpc_code=\"{name}\"")]), 2.0, "{name}");
    }
    assert_eq!(blue.connections(), 1, "an answer with trailers leaves its connection to the next");
}

#[test]
fn row_69_an_answer_without_a_status_is_charged() {
    let no_number = in_trailers("grpc-status: fine\r\n");
    let plain = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok".to_owned();
    let chunked = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    for (answer, code) in [
        (in_trailers(""), "none"),
        (in_trailers("grpc-message: well\r\n"), "none"),
        (in_head(""), "none"),
        (chunked.to_owned(), "none"),
        (plain, "none"),
        (no_number, "UNKNOWN"),
    ] {
        let blue = server(&answer);
        let proxy = Proxy::before_with(&blue, "accessLog: true");
        assert_eq!(proxy.client().send(call("/")).response().status, 200);
        proxy.until_charged(1, 1);
        proxy.until_metric(CALLS, &["version=\"blue\"", &format!("grpc_code=\"{code}\"")], 1.0);
        let line = proxy.until_logged("request");
        let reason = (code == "none").then_some("grpc_status_missing");
        assert_eq!((&line["outcome"], line["reason"].as_str()), (&json!("grpc_failure"), reason), "{answer}");
        assert_eq!(line["grpc_status"], code);
    }
}

#[test]
fn an_answer_that_is_of_grpc_counts_as_one_whatever_the_request_says() {
    let blue = server(in_head("grpc-status: 13\r\n"));
    let proxy = Proxy::before(&blue);
    assert_eq!(proxy.get("/").status, 200);
    proxy.until_charged(1, 1);
    assert_eq!(proxy.metric(CALLS, &["grpc_code=\"INTERNAL\""]), 1.0);
}

#[test]
fn an_answer_with_another_status_of_http_is_charged_by_that() {
    for (status, outcome, failures) in [(503, "server_error", 1), (404, "client_error", 0)] {
        let blue = server(format!("HTTP/1.1 {status} No\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nno"));
        let proxy = Proxy::before(&blue);
        assert_eq!(proxy.client().send(call("/")).response().status, status);
        proxy.until_charged(1, failures);
        proxy.until_outcome(outcome, 1);
        assert_eq!(proxy.metric(CALLS, &[]), 0.0);
    }
}

#[test]
fn what_is_not_of_grpc_is_judged_by_its_status_though_it_has_the_field() {
    for kind in ["application/grpc-web", "application/json"] {
        let blue = server(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ngrpc-status: 14\r\ncontent-length: 2\r\n\r\nok"
        ));
        let proxy = Proxy::before(&blue);
        assert_eq!(proxy.get("/").status, 200);
        proxy.until_charged(1, 0);
        assert_eq!(proxy.metric(CALLS, &[]), 0.0);
    }
}

#[test]
fn which_statuses_are_failures_can_be_set_and_changes_by_a_reload_but_none_at_all_always_is() {
    let blue = server(in_head(""));
    let text = |gate: &str| config(&[blue.address], &[NOBODY], gate);
    let proxy = Proxy::start(&text("gate: { grpcFailureStatuses: [NOT_FOUND, 8, UNAVAILABLE] }"));
    let mut client = proxy.client();
    let calls = call_all(&mut client);
    proxy.until_charged(calls, 6);
    assert_eq!(proxy.metric(REQUESTS, &["outcome=\"grpc_failure\""]), 10.0, "the outcome says what it is");
    reload(&proxy, &text("gate: { grpcFailureStatuses: [] }"));
    call_all(&mut client);
    client.send(call("/")).response();
    proxy.until_charged(2 * calls + 1, 7);
}

#[test]
fn the_access_log_has_the_status_in_both_forms() {
    let blue = server("");
    let proxy = Proxy::before_with(&blue, "accessLog: true");
    proxy.client().send(call("/trailers/14")).response();
    let line = proxy.until_logged("request");
    let said = ["status", "outcome", "grpc_status"].map(|field| &line[field]);
    assert_eq!(said, [&json!(200), &json!("grpc_failure"), &json!("UNAVAILABLE")]);
    assert_eq!(line.get("reason"), None, "the answer was whole");
    assert_eq!(line["response_bytes"], 5);
    let proxy = Proxy::before_with(&blue, "accessLog: { format: text }");
    proxy.client().send(call("/head/5")).response();
    proxy.get("/head/5");
    let log = eventually("two lines", || Some(proxy.log()).filter(|log| log.matches("outcome=").count() == 2));
    assert!(log.contains("outcome=client_error reason=- request_bytes=5"), "{log}");
    assert_eq!(log.matches("grpc_status=NOT_FOUND").count(), 2, "{log}");
}

/// Breaks off its answer to a call of `/ends`, and leaves every other open.
fn without_an_end() -> Upstream {
    Upstream::scripted(|connection| {
        let ends = connection.request().is_some_and(|request| request.target == "/ends");
        connection.send(in_trailers("").split_once("0\r\n").expect("an end").0);
        if !ends {
            connection.drain();
        }
    })
}

#[test]
fn a_call_that_was_cut_off_or_given_up_on_has_no_status() {
    let blue = without_an_end();
    let proxy = Proxy::before(&blue);
    proxy.client().send(call("/ends")).try_response().expect_err("it is cut off");
    proxy.until_outcome("truncated", 1);
    let mut client = proxy.client();
    assert!(client.send(call("/goes")).response_head().contains("application/grpc"));
    client.reset();
    proxy.until_outcome("client_cancelled", 1);
    proxy.until_charged(1, 1);
    assert_eq!(proxy.metric(CALLS, &[]), 0.0);
}

/// The answer of the proxy to a call: nothing but trailers.
#[track_caller]
fn check_told(response: &Response, status: u16, message: &str, error: &str) {
    let said = ["content-type", "grpc-status", "grpc-message", "proxy-status"].map(|name| response.head.one(name));
    let error = format!("portcullis; error={error}");
    assert_eq!(said, ["application/grpc", &status.to_string(), message, &error]);
    assert_eq!((response.status, response.text().as_str()), (200, ""));
}

#[test]
fn a_call_that_the_proxy_answers_is_told_in_words_of_grpc() {
    let (refused, _socket) = refusing();
    let (hangs, _socket, _queued) = unreachable();
    let silent = Upstream::scripted(|connection| connection.drain());
    let resets = Upstream::scripted(|connection| _ = connection.request());
    let invalid = Upstream::answering("no HTTP\r\n\r\n");
    for (blue, rest, status, message, error, reason, http) in [
        (refused, "", 14, "the service could not be reached", "connection_refused", "connect_refused", 502),
        (
            hangs,
            "timeouts: { connect: 50ms }",
            14,
            "the service could not be reached in time",
            "connection_timeout",
            "connect_timeout",
            504,
        ),
        (
            silent.address,
            "timeouts: { responseHead: 100ms }",
            14,
            "the service did not answer in time",
            "http_response_timeout",
            "response_head_timeout",
            504,
        ),
        (
            resets.address,
            "",
            14,
            "the service closed the connection before it answered",
            "connection_terminated",
            "response_lost",
            502,
        ),
        (
            invalid.address,
            "",
            14,
            "the service gave no valid HTTP answer",
            "http_protocol_error",
            "response_invalid",
            502,
        ),
        (
            silent.address,
            "limits: { requestBodyBytes: 4 }",
            2,
            "the request body is larger than it may be",
            "http_request_error",
            "request_body_too_large",
            413,
        ),
    ] {
        let proxy = Proxy::start(&config(&[blue], &[NOBODY], &format!("accessLog: true\n{rest}")));
        let response = proxy.client().send(call("/")).response();
        check_told(&response, status, message, error);
        let line = proxy.until_logged("request");
        let name = if status == 14 { "UNAVAILABLE" } else { "UNKNOWN" };
        let said = ["status", "reason", "grpc_status"].map(|field| &line[field]);
        assert_eq!(said, [&json!(http), &json!(reason), &json!(name)], "{line:#}");
        proxy.until_metric(CALLS, &[&format!("grpc_code=\"{name}\"")], 1.0);
    }
}

#[test]
fn a_call_over_a_rate_or_without_an_endpoint_is_told_when_to_come_again() {
    let blue = server("");
    let proxy = Proxy::before_with(&blue, "rateLimit: { requests: 1, per: 1h }");
    let mut client = proxy.client();
    assert_eq!(client.send(call("/head/0")).response().head.one("grpc-status"), "0");
    let response = client.send(call("/head/0")).response();
    check_told(&response, 14, "the client sends more requests than it may", "http_request_denied");
    assert!(response.head.has("retry-after"));
    proxy.until_metric(REQUESTS, &["version=\"none\"", "outcome=\"refused_by_us\"", "code=\"429\""], 1.0);
    proxy.until_metric(CALLS, &["version=\"none\"", "grpc_code=\"UNAVAILABLE\""], 1.0);

    let proxy = Proxy::before(&blue);
    assert_eq!(proxy.call("PUT", "/v1/versions/blue/endpoints", &json!({ "endpoints": [] })).status, 200);
    let response = proxy.client().send(call("/")).response();
    check_told(&response, 14, "no endpoint is available", "destination_unavailable");
    assert_eq!(response.head.one("retry-after"), "1");
}

#[test]
fn a_call_whose_head_is_refused_is_told_in_words_of_grpc_too() {
    let blue = server("");
    let proxy = Proxy::before(&blue);
    let response = proxy.client().send(call_with("/", "Host: other\r\n")).response();
    check_told(&response, 13, "HTTP/1.1 asks for exactly one valid Host field", "http_request_error");
    assert_eq!(response.head.one("connection"), "close");
    assert_eq!(blue.connections(), 0);
}

#[test]
fn a_green_that_answers_unavailable_is_rolled_back_as_one_that_answers_503() {
    for way in ["head", "trailers"] {
        let answering = |number: u8| {
            Upstream::scripted(move |connection| {
                while connection.request().is_some() {
                    let field = format!("grpc-status: {number}\r\n");
                    connection.send(if way == "head" { in_head(&field) } else { in_trailers(&field) });
                }
            })
        };
        let (blue, green) = (answering(0), answering(14));
        let proxy = Proxy::start(&config(&[blue.address], &[green.address], ""));
        proxy.set_weight(50.0);
        let mut client = proxy.client();
        let status = eventually("the rollback", || {
            (0..10).for_each(|_| _ = client.send(call("/")).response());
            Some(proxy.status()).filter(|status| status["state"] == "rolledBack")
        });
        assert_eq!(status["rollback"]["trigger"], "dead", "{status:#}");
        assert_eq!(status["blue"]["failures"], 0);
        let served = green.count();
        (0..50).for_each(|_| assert_eq!(client.send(call("/")).response().status, 200));
        assert_eq!(green.count(), served, "{way}");
    }
}

#[test]
fn a_green_that_only_says_no_to_its_callers_is_not_rolled_back() {
    let blue = server(in_trailers("grpc-status: 0\r\n"));
    let green = server(in_trailers("grpc-status: 5\r\n"));
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], ""));
    proxy.set_weight(50.0);
    let mut client = proxy.client();
    (0..200).for_each(|_| assert_eq!(client.send(call("/")).response().status, 200));
    let status = proxy.until(|status| status["green"]["requests"] == 100);
    assert_eq!((&status["state"], &status["green"]["failures"]), (&json!("stepping"), &json!(0)), "{status:#}");
}

#[test]
fn a_call_that_green_cannot_be_reached_for_is_answered_by_blue_in_words_of_grpc() {
    let blue = server("");
    let proxy = Proxy::start(&config(&[blue.address], &[NOBODY], ""));
    proxy.set_weight(100.0);
    let response = proxy.client().send(call("/trailers/0")).response();
    assert_eq!(response.trailers, [("grpc-status".to_owned(), b"0".to_vec())]);
    proxy.until_outcome("connect_error", 1);
    let (refused, _socket) = refusing();
    let proxy = Proxy::start(&config(&[refused], &[NOBODY], ""));
    proxy.set_weight(100.0);
    let response = proxy.client().send(call("/")).response();
    check_told(&response, 14, "the service could not be reached", "connection_refused");
}

/// A call by HTTP/2.
fn call_by_http2(client: &mut Http2, target: &str) -> Result<Answer, Broken> {
    let mut request = http2::post(target);
    let fields = [("te", "trailers"), ("content-type", "application/grpc")];
    for (name, value) in fields {
        request.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    let (response, mut body) = client.begin(request);
    body.send_data(MESSAGE.into(), true).expect("an open stream");
    client.try_answer(response)
}

#[test]
fn a_call_by_http2_has_its_status_in_trailers_or_in_the_head() {
    let blue = server("");
    let proxy = Proxy::before(&blue);
    let mut client = Http2::connect(proxy.listen);
    for number in 0..NAMES.len() {
        let answer = call_by_http2(&mut client, &format!("/trailers/{number}")).expect("an answer");
        assert_eq!((answer.status, &answer.body[..]), (200, MESSAGE.as_bytes()));
        assert_eq!(answer.trailers["grpc-status"], number.to_string());
        let answer = call_by_http2(&mut client, &format!("/head/{number}")).expect("an answer");
        assert_eq!((answer.status, answer.trailers.len()), (200, 0));
        assert_eq!(answer.fields["grpc-status"], number.to_string());
    }
    let calls = 2 * NAMES.len() as u64;
    proxy.until_charged(calls, 2 * FAILURES.len() as u64);
    proxy.until_outcome("grpc_failure", 10);
    proxy.until_outcome("client_cancelled", 0);
}

#[test]
fn a_call_by_http2_that_the_proxy_answers_is_told_in_a_head_that_is_all_there_is() {
    let (refused, _socket) = refusing();
    let proxy = Proxy::start(&config(&[refused], &[NOBODY], ""));
    let mut client = Http2::connect(proxy.listen);
    for _ in 0..2 {
        let answer = call_by_http2(&mut client, "/").expect("an answer");
        assert_eq!((answer.status, answer.body.len(), answer.trailers.len()), (200, 0, 0));
        let told =
            ["content-type", "grpc-status", "grpc-message"].map(|name| answer.fields[name].to_str().expect("text"));
        assert_eq!(told, ["application/grpc", "14", "the service could not be reached"]);
    }
}

#[test]
fn a_call_by_http2_that_is_taken_back_is_cancelled_and_one_that_is_cut_off_is_reset() {
    let blue = without_an_end();
    let proxy = Proxy::before(&blue);
    let mut client = Http2::connect(proxy.listen);
    let broken = call_by_http2(&mut client, "/ends").expect_err("it is cut off");
    assert_eq!(broken.reason, Some(h2::Reason::INTERNAL_ERROR));
    proxy.until_outcome("truncated", 1);
    let mut request = http2::post("/goes");
    request.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
    let (response, mut body) = client.begin(request);
    body.send_data(MESSAGE.into(), true).expect("an open stream");
    let head = client.head(response);
    body.send_reset(h2::Reason::CANCEL);
    drop(head);
    proxy.until_outcome("client_cancelled", 1);
    proxy.until_charged(1, 1);
}
