//! What follows a rollback: requests under way on green end, and blue is watched.

use serde_json::json;

use crate::support::http2::get;
use crate::support::{Client, Http2, Proxy, Upstream, config};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// The time of a process that drains is another one.
const SOON: &str =
    "afterRollback: { drain: 200ms }\ndrain: { wait: 0s, deadline: 10m }\ngate: { compare: { enabled: false } }";

/// A part of an answer, and no more of it.
fn endless() -> Upstream {
    Upstream::scripted(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
        connection.drain();
    })
}

fn silent() -> Upstream {
    Upstream::scripted(|connection| {
        connection.request();
        connection.drain();
    })
}

fn in_front_of(blue: &Upstream, green: &Upstream) -> Proxy {
    Proxy::start(&config(&[blue.address], &[green.address], SOON))
}

#[track_caller]
fn begun(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    client.send(GET).response_head();
    assert_eq!(client.bytes(10), b"5\r\nhello\r\n");
    client
}

#[track_caller]
fn roll_back(proxy: &Proxy) {
    assert_eq!(proxy.post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
}

#[test]
fn an_answer_without_end_from_a_green_that_was_rolled_back_is_cut_when_its_drain_is_over_and_blues_live_on() {
    let (blue, green) = (endless(), endless());
    let proxy = in_front_of(&blue, &green);
    let on_blue = begun(&proxy);
    proxy.set_weight(100.0);
    let mut on_green = begun(&proxy);
    roll_back(&proxy);
    assert_eq!(on_green.rest().0, b"", "not even an end");
    green.until_ended(0);
    proxy.until_outcome("refused_by_us", 1);
    let status = proxy.status();
    assert_eq!(status["green"]["failures"], 0, "nobody is charged with it");
    assert_eq!((blue.count(), green.count()), (1, 1));
    on_blue.reset();
    proxy.until_outcome("client_cancelled", 1);
}

#[test]
fn a_request_that_a_green_that_was_rolled_back_never_answers_gets_503_when_its_drain_is_over() {
    let (blue, green) = (Upstream::ok(), silent());
    let proxy = in_front_of(&blue, &green);
    proxy.set_weight(100.0);
    let mut client = proxy.client();
    client.send(GET);
    green.until("the request", |seen| (!seen.first()?.requests.is_empty()).then_some(()));
    roll_back(&proxy);
    assert_eq!(client.response().status, 503);
    assert_eq!(blue.count(), 0, "it may have been carried out");
}

#[test]
fn a_stream_of_http_2_on_a_green_that_was_rolled_back_is_reset_when_its_drain_is_over_and_the_others_go_on() {
    let (blue, green) = (Upstream::ok(), endless());
    let proxy = in_front_of(&blue, &green);
    proxy.set_weight(100.0);
    let mut client = Http2::connect(proxy.listen);
    let response = client.ask(get("/"));
    let mut body = client.head(response).into_body();
    let first = client.wait(body.data()).expect("a part").expect("a part");
    assert_eq!(first, "hello");
    roll_back(&proxy);
    assert!(client.wait(body.data()).expect("an end").is_err(), "it is cut, and not ended");
    assert_eq!(client.get("/").status, 200, "the connection goes on, to blue");
}

#[test]
fn blue_is_watched_after_a_rollback() {
    let (blue, green) = (Upstream::ok(), Upstream::ok());
    let proxy = in_front_of(&blue, &green);
    assert_eq!(proxy.status()["watch"], json!(null));
    proxy.set_weight(100.0);
    proxy.get("/");
    roll_back(&proxy);
    let watched = proxy.until(|status| status["watch"]["finding"] == "watching");
    let left = watched["watch"]["left"].as_f64().expect("seconds");
    assert!(left > 0.0 && left <= 600.0, "{left}");
    assert_eq!(
        proxy
            .post(
                "/v1/release",
                &json!({ "green": { "version": "v2", "endpoints": [green.address.to_string()] }, "again": true })
            )
            .status,
        200
    );
    assert_eq!(proxy.status()["watch"], json!(null), "a new release ends it");
}
