//! Calls of gRPC from end to end, by HTTP/2 on both sides: of one message and of many, in either direction or in both, given up on,
//! and over a rollback. Client and server are of the h2 crate, and their messages are framed by hand.

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request};
use serde_json::json;
use tokio::sync::mpsc;

use crate::support::http2::{self, Http2};
use crate::support::http2_upstream::{Answering, Call, Http2Upstream};
use crate::support::{Proxy, config, eventually};

const CALLS: &str = "portcullis_grpc_requests_total";
const FIELDS: [(&str, &str); 1] = [("content-type", "application/grpc")];

/// Length-prefixed, and not compressed.
fn message(text: &str) -> Bytes {
    [&[0], &(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat().into()
}

fn status(number: u8) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from(u16::from(number)))])
}

fn request(method: &str, fields: &[(&'static str, &'static str)]) -> Request<()> {
    let mut request = http2::post(&format!("/test.Echo/{method}"));
    for (name, value) in [("te", "trailers"), ("content-type", "application/grpc")].iter().chain(fields) {
        request.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    request
}

/// The next message, if it comes in one piece; none at the end.
async fn next(body: &mut RecvStream) -> Option<Result<String, h2::Error>> {
    let data = loop {
        match body.data().await? {
            // Only the end of the stream.
            Ok(data) if data.is_empty() => {}
            Ok(data) => break data,
            Err(error) => return Some(Err(error)),
        }
    };
    body.flow_control().release_capacity(data.len()).expect("it has come");
    Some(Ok(String::from_utf8_lossy(&data[5..]).into_owned()))
}

/// Answers each message at once, three times where the method says so, and only at the end where it says that.
async fn echo(mut call: Call, name: &'static str) {
    let method = call.request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    if method == "Unavailable" {
        let head = http::Response::builder().header("content-type", "application/grpc").header("grpc-status", "14");
        call.respond.send_response(head.body(()).expect("a head"), true).ok();
        return;
    }
    let mut body: SendStream<Bytes> = call.head(&FIELDS);
    let mut all = Vec::new();
    while let Some(Ok(text)) = next(call.request.body_mut()).await {
        match method.as_str() {
            "Collect" => all.push(text),
            "Repeat" => {
                (0..3).for_each(|number| _ = body.send_data(message(&format!("{name}: {text} {number}")), false))
            }
            _ => _ = body.send_data(message(&format!("{name}: {text}")), false),
        }
    }
    if method == "Collect" {
        body.send_data(message(&format!("{name}: {}", all.join(" "))), false).ok();
    }
    body.send_trailers(status(0)).ok();
}

fn server(name: &'static str) -> Http2Upstream {
    Http2Upstream::scripted(None, |_| {}, move |call| -> Answering { Box::pin(echo(call, name)) })
}

fn text(blue: &Http2Upstream, green: &Http2Upstream, rest: &str) -> String {
    config(&[blue.address], &[green.address], rest)
        .replacen("version: v1,", "version: v1, protocol: http2,", 1)
        .replacen("version: v2,", "version: v2, protocol: http2,", 1)
}

/// What came of an answer that is under way: its next message.
#[track_caller]
fn heard(client: &Http2, body: &mut RecvStream) -> String {
    client.wait(next(body)).expect("a message").expect("an open stream")
}

#[track_caller]
fn ends_well(client: &Http2, body: &mut RecvStream) {
    assert!(client.wait(next(body)).is_none());
    let trailers = client.wait(body.trailers()).expect("an open stream").expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
}

#[test]
fn messages_pass_one_by_one_in_either_direction_and_in_both() {
    let (blue, green) = (server("blue"), server("green"));
    let proxy = Proxy::start(&text(&blue, &green, ""));
    let mut client = Http2::connect(proxy.listen);

    let (response, mut body) = client.begin(request("Unary", &[]));
    body.send_data(message("one"), true).expect("an open stream");
    let mut answer = client.head(response).into_body();
    assert_eq!(heard(&client, &mut answer), "blue: one");
    ends_well(&client, &mut answer);

    let (response, mut body) = client.begin(request("Repeat", &[]));
    body.send_data(message("again"), true).expect("an open stream");
    let mut answer = client.head(response).into_body();
    let mut all = String::new();
    while let Some(data) = client.wait(answer.data()) {
        let data = data.expect("an open stream");
        answer.flow_control().release_capacity(data.len()).expect("it has come");
        all.push_str(&String::from_utf8_lossy(&data));
    }
    assert!((0..3).all(|number| all.contains(&format!("blue: again {number}"))), "{all}");
    assert_eq!(client.wait(answer.trailers()).expect("an open stream").expect("trailers")["grpc-status"], "0");

    let (response, mut body) = client.begin(request("Collect", &[]));
    for (text, last) in [("a", false), ("b", false), ("c", true)] {
        body.send_data(message(text), last).expect("an open stream");
    }
    let mut answer = client.head(response).into_body();
    // Messages of one segment come in one piece.
    assert!(heard(&client, &mut answer).starts_with("blue: a"));
    ends_well(&client, &mut answer);

    let (response, mut body) = client.begin(request("Talk", &[]));
    let mut answer = client.head(response).into_body();
    for text in ["hello", "are you there", "goodbye"] {
        body.send_data(message(text), false).expect("an open stream");
        assert_eq!(heard(&client, &mut answer), format!("blue: {text}"), "before the next is sent");
    }
    body.send_data(Bytes::new(), true).expect("an open stream");
    ends_well(&client, &mut answer);
    proxy.until_charged(4, 0);
    proxy.until_metric(CALLS, &["version=\"blue\"", "grpc_code=\"OK\""], 4.0);
}

#[test]
fn a_call_that_is_cancelled_or_whose_deadline_passes_at_the_client_ends_at_the_server_and_is_charged_to_nobody() {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let blue = Http2Upstream::scripted(
        None,
        |_| {},
        move |mut call| {
            let ended = ended.clone();
            Box::pin(async move {
                let timeout = call.request.headers().get("grpc-timeout").cloned();
                let mut body = call.head(&FIELDS);
                let reason = std::future::poll_fn(|cx| body.poll_reset(cx)).await;
                ended.send((timeout, reason.ok())).ok();
            })
        },
    );
    let proxy = Proxy::start(&text(&blue, &server("green"), ""));
    let mut client = Http2::connect(proxy.listen);
    for (fields, timeout) in [(&[][..], None), (&[("grpc-timeout", "50m")], Some("50m"))] {
        let (response, mut body) = client.begin(request("Hang", fields));
        body.send_data(message("hang"), true).expect("an open stream");
        let head = client.head(response);
        body.send_reset(Reason::CANCEL);
        drop(head);
        let (told, reason) = client.wait(ends.recv()).expect("the server lives");
        let told = told.map(|timeout| timeout.to_str().expect("text").to_owned());
        assert_eq!((told.as_deref(), reason), (timeout, Some(Reason::CANCEL)));
    }
    proxy.until_outcome("client_cancelled", 2);
    assert_eq!((proxy.metric(CALLS, &[]), &proxy.status()["blue"]["failures"]), (0.0, &json!(0)));
}

#[test]
fn a_stream_that_is_open_over_a_rollback_ends_on_green_and_the_next_call_goes_to_blue() {
    let (blue, green) = (server("blue"), server("green"));
    let proxy = Proxy::start(&text(&blue, &green, ""));
    proxy.set_weight(100.0);
    let mut client = Http2::connect(proxy.listen);
    let (response, mut body) = client.begin(request("Talk", &[]));
    let mut answer = client.head(response).into_body();
    body.send_data(message("before"), false).expect("an open stream");
    assert_eq!(heard(&client, &mut answer), "green: before");
    assert_eq!(proxy.post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
    body.send_data(message("after"), false).expect("an open stream");
    assert_eq!(heard(&client, &mut answer), "green: after");
    let (response, mut other) = client.begin(request("Unary", &[]));
    other.send_data(message("next"), true).expect("an open stream");
    let mut of_other = client.head(response).into_body();
    assert_eq!(heard(&client, &mut of_other), "blue: next", "on the same connection");
    ends_well(&client, &mut of_other);
    body.send_data(Bytes::new(), true).expect("an open stream");
    ends_well(&client, &mut answer);
}

#[test]
fn a_green_that_answers_unavailable_by_http2_is_rolled_back_and_no_call_goes_there_any_more() {
    let blue = server("blue");
    let green = Http2Upstream::scripted(
        None,
        |_| {},
        |mut call| {
            Box::pin(async move {
                let head =
                    http::Response::builder().header("content-type", "application/grpc").header("grpc-status", "14");
                call.respond.send_response(head.body(()).expect("a head"), true).ok();
            })
        },
    );
    let proxy = Proxy::start(&text(&blue, &green, ""));
    proxy.set_weight(50.0);
    let mut client = Http2::connect(proxy.listen);
    let mut call = || {
        let (response, mut body) = client.begin(request("Unary", &[]));
        body.send_data(message("one"), true).ok();
        client.answer(response)
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
        assert_eq!(call().trailers["grpc-status"], "0");
    }
}
