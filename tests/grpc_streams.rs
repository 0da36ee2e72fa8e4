//! Calls of gRPC from end to end, by HTTP/2 on both sides, between a client and servers of the tonic crate: of one message and of many, in
//! either direction or in both, given up on, failed, and over a rollback.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};

use crate::support::grpc::{DETAILS, GrpcUpstream, Hanging, TOKEN, message};
use crate::support::grpc_client::GrpcClient;
use crate::support::upstream::refusing;
use crate::support::{Authority, DEADLINE, Hello, Http2Upstream, Proxy, Shows, config, eventually, folder};

const CALLS: &str = "portcullis_grpc_requests_total";

/// All but OK.
const CODES: [Code; 16] = [
    Code::Cancelled,
    Code::Unknown,
    Code::InvalidArgument,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unimplemented,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
    Code::Unauthenticated,
];

fn server(name: &'static str) -> GrpcUpstream {
    GrpcUpstream::start(name, None)
}

fn text(blue: std::net::SocketAddr, green: std::net::SocketAddr, rest: &str) -> String {
    config(&[blue], &[green], rest).replacen("version: v1,", "version: v1, protocol: http2,", 1).replacen(
        "version: v2,",
        "version: v2, protocol: http2,",
        1,
    )
}

fn before(blue: &GrpcUpstream) -> (Proxy, GrpcClient) {
    let proxy = Proxy::start(&text(blue.address, ([127, 0, 0, 1], 1).into(), ""));
    let client = GrpcClient::connect(proxy.listen);
    (proxy, client)
}

/// A call of every kind.
#[track_caller]
fn passes_every_kind(proxy: &Proxy, client: &GrpcClient) {
    assert_eq!(client.say("one").expect("an answer"), "blue: one");
    let mut answers = client.server_streaming("Repeat", "again").expect("a head");
    let (all, status) = client.rest(&mut answers);
    status.expect("a good end");
    assert_eq!(all, ["blue: again"; 3]);
    assert_eq!(client.client_streaming("Collect", &["a", "b", "c"]).expect("an answer"), "blue: a b c");
    let (messages, mut answers) = client.streaming("Talk");
    for text in ["hello", "are you there", "goodbye"] {
        messages.send(text.into()).expect("an open call");
        let answer = client.next(&mut answers).expect("an open call").expect("before the next is sent");
        assert_eq!(answer, format!("blue: {text}"));
    }
    drop(messages);
    assert_eq!(client.next(&mut answers).expect("a good end"), None);
    proxy.until_charged(4, 0);
    proxy.until_metric(CALLS, &["version=\"blue\"", "grpc_code=\"OK\""], 4.0);
}

#[test]
fn messages_pass_one_by_one_in_either_direction_and_in_both() {
    let blue = server("blue");
    let (proxy, client) = before(&blue);
    passes_every_kind(&proxy, &client);
}

#[test]
fn messages_pass_over_tls_with_alpn_on_both_sides_too() {
    let (authority, folder) = (Authority::new(), folder());
    let signed = authority.sign(&["localhost", "127.0.0.1"]);
    let pair = signed.write(folder.path(), "proxy");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &authority.pem).expect("the folder is writable");
    let blue = GrpcUpstream::start("blue", Some(&Shows { alpn: &["h2"], ..Shows::new(&signed) }));
    let section = format!("endpoints: [\"https://{}\"], protocol: auto, tls: {{ ca: {} }}", blue.address, ca.display());
    let text = config(&[], &[], &format!("tls: {{ certificates: [{pair}] }}"));
    let proxy = Proxy::start(&text.replacen("endpoints: []", &section, 1));
    passes_every_kind(&proxy, &GrpcClient::secured(proxy.listen, &Hello::new(&authority)));
}

#[test]
fn what_comes_along_with_a_call_passes_both_ways_byte_for_byte() {
    let blue = server("blue");
    let (_proxy, client) = before(&blue);
    let mut request = Request::new(Bytes::from_static(b"one"));
    let metadata = request.metadata_mut();
    metadata.append("x-word", MetadataValue::from_static("first"));
    metadata.append("x-word", MetadataValue::from_static("second, third"));
    metadata.append_bin("x-token-bin", MetadataValue::from_bytes(TOKEN));
    let response = client.unary("Say", request).expect("an answer");
    let words: Vec<_> = response.metadata().get_all("x-word").iter().collect();
    assert_eq!(words, ["first", "second, third"]);
    let token = response.metadata().get_bin("x-token-bin").and_then(|token| token.to_bytes().ok());
    assert_eq!(token.as_deref(), Some(TOKEN));
}

/// That the client was told all that the server said.
#[track_caller]
fn check_failed(status: &Status, code: Code) {
    assert_eq!((status.code(), status.message(), status.details()), (code, message(code).as_str(), DETAILS));
    let token = status.metadata().get_bin("x-token-bin").and_then(|token| token.to_bytes().ok());
    assert_eq!(token.as_deref(), Some(TOKEN), "{code:?}");
}

#[test]
fn row_69_a_status_passes_whole_in_trailers_and_in_a_head_that_is_all_there_is_and_is_charged_by_its_code() {
    let blue = server("blue");
    let (proxy, client) = before(&blue);
    for code in CODES {
        let number: &'static str = Box::leak((code as i32).to_string().into_boxed_str());
        let status = client.unary("Fail", Request::new(number.into())).expect_err("a status");
        check_failed(&status, code);
        let mut answers = client.server_streaming("FailLate", number).expect("a head");
        let (all, status) = client.rest(&mut answers);
        assert_eq!(all, ["blue: well"]);
        check_failed(&status.expect_err("a status"), code);
    }
    proxy.until_charged(32, 10);
    proxy.until_outcome("grpc_failure", 10);
    proxy.until_outcome("client_error", 22);
    proxy.until_metric(CALLS, &["grpc_code=\"UNAVAILABLE\""], 2.0);
}

#[test]
fn what_the_proxy_says_itself_is_a_status_to_a_client() {
    let (refused, _socket) = refusing();
    let proxy = Proxy::start(&text(refused, ([127, 0, 0, 1], 1).into(), ""));
    let client = GrpcClient::connect(proxy.listen);
    for _ in 0..2 {
        let status = client.say("one").expect_err("a status");
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "the service could not be reached"));
        let why = status.metadata().get("proxy-status").and_then(|why| why.to_str().ok());
        assert_eq!(why, Some("portcullis; error=connection_refused"));
    }
}

#[test]
fn row_36_a_call_that_is_dropped_before_or_after_its_head_is_cancelled_at_the_server_and_charged_to_nobody() {
    let blue = server("blue");
    let (proxy, client) = before(&blue);
    assert_eq!(client.say("one").expect("an answer"), "blue: one");
    let hangs = client.begin("Hang");
    blue.until(Hanging::Began);
    hangs.abort();
    blue.until(Hanging::Dropped);
    proxy.until_outcome("client_cancelled", 1);
    drop(client.server_streaming("HangLate", "").expect("a head"));
    blue.until(Hanging::Began);
    blue.until(Hanging::Dropped);
    proxy.until_outcome("client_cancelled", 2);
    assert_eq!(client.say("two").expect("an answer"), "blue: two", "on the same connection");
    proxy.until_charged(2, 0);
    proxy.until_metric(CALLS, &[], 2.0);
}

#[test]
fn row_69_a_deadline_that_the_server_will_not_keep_is_its_failure() {
    let blue = server("blue");
    let (proxy, client) = before(&blue);
    let mut request = Request::new(Bytes::new());
    request.set_timeout(DEADLINE);
    let status = client.unary("Say", request).expect_err("a status");
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "it takes longer than that"));
    assert_eq!(blue.metadata("grpc-timeout").as_deref(), Some("20000000u"), "as the client said it");
    proxy.until_charged(1, 1);
    proxy.until_metric(CALLS, &["version=\"blue\"", "grpc_code=\"DEADLINE_EXCEEDED\""], 1.0);
}

/// A server of tonic ends such a call itself, at about the same time.
#[test]
fn row_36_a_deadline_that_passes_at_the_client_cancels_the_stream_at_the_endpoint_and_is_charged_to_nobody() {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let blue = Http2Upstream::scripted(
        None,
        |_| {},
        move |mut call| {
            let ended = ended.clone();
            Box::pin(async move {
                let timeout = call.request.headers().get("grpc-timeout").cloned();
                let reason = std::future::poll_fn(|cx| call.respond.poll_reset(cx)).await;
                ended.send((timeout, reason.ok())).ok();
            })
        },
    );
    let proxy = Proxy::start(&text(blue.address, ([127, 0, 0, 1], 1).into(), ""));
    let client = GrpcClient::connect(proxy.listen);
    let mut request = Request::new(Bytes::new());
    request.set_timeout(Duration::from_millis(50));
    let status = client.unary("Hang", request).expect_err("a deadline");
    assert_eq!((status.code(), status.message()), (Code::Cancelled, "Timeout expired"));
    let (told, reason) = client.wait(ends.recv()).expect("the server lives");
    assert_eq!((told.expect("a time"), reason), ("50000000n".parse().expect("a value"), Some(h2::Reason::CANCEL)));
    proxy.until_outcome("client_cancelled", 1);
    proxy.until_charged(0, 0);
    proxy.until_metric(CALLS, &[], 0.0);
}

#[test]
fn a_stream_that_is_open_over_a_rollback_ends_on_green_and_the_next_call_goes_to_blue() {
    let (blue, green) = (server("blue"), server("green"));
    let proxy = Proxy::start(&text(blue.address, green.address, ""));
    proxy.set_weight(100.0);
    let client = GrpcClient::connect(proxy.listen);
    let (messages, mut answers) = client.streaming("Talk");
    let mut talk = |text: &'static str| {
        messages.send(text.into()).expect("an open call");
        client.next(&mut answers).expect("an open call").expect("an answer")
    };
    assert_eq!(talk("before"), "green: before");
    assert_eq!(proxy.post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
    assert_eq!(talk("after"), "green: after");
    assert_eq!(client.say("next").expect("an answer"), "blue: next", "on the same connection");
    assert_eq!(talk("still"), "green: still");
    drop(messages);
    assert_eq!(client.next(&mut answers).expect("a good end"), None);
    let green = ["version=\"green\"", "grpc_code=\"OK\""];
    proxy.until_metric(CALLS, &green, 1.0);
}

#[test]
fn a_green_that_answers_unavailable_by_http2_is_rolled_back_and_no_call_goes_there_any_more() {
    for in_trailers in [false, true] {
        let (blue, green) = (server("blue"), server("green"));
        let proxy = Proxy::start(&text(blue.address, green.address, ""));
        proxy.set_weight(50.0);
        let client = GrpcClient::connect(proxy.listen);
        green.break_down();
        let call = || match in_trailers {
            false => client.say("next"),
            true => client.server_streaming("Repeat", "next").and_then(|mut answers| {
                let (all, status) = client.rest(&mut answers);
                status.map(|()| all[0].clone())
            }),
        };
        let status = eventually("the rollback", || {
            (0..10).for_each(|_| _ = call());
            Some(proxy.status()).filter(|status| status["state"] == "rolledBack")
        });
        assert_eq!(
            (&status["rollback"]["trigger"], &status["blue"]["failures"]),
            (&json!("dead"), &json!(0)),
            "{status:#}"
        );
        for _ in 0..50 {
            assert_eq!(call().expect("an answer"), "blue: next");
        }
    }
}
