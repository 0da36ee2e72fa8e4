//! What follows a rollback: requests under way on green end, and blue is watched.

use serde_json::json;

use crate::support::bench::GATE;
use crate::support::http2::get;
use crate::support::{Bench, Client, Http2, Proxy, Upstream, config, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// The time of a process that drains is another one.
const SOON: &str =
    "afterRollback: { drain: 200ms }\ndrain: { wait: 0s, deadline: 10m }\ngate: { compare: { enabled: false } }";

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
    let (blue, green) = (Upstream::endless(), Upstream::endless());
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
    let (blue, green) = (Upstream::ok(), Upstream::silent());
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
    let (blue, green) = (Upstream::ok(), Upstream::endless());
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

const UPGRADE: &str =
    "GET /socket HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// What the client of a WebSocket is told: 1012, "service restart".
const RESTARTS: &[u8] = &[0x88, 0x02, 0x03, 0xf4];

#[test]
fn a_websocket_on_a_green_that_was_rolled_back_is_told_and_cut_when_its_drain_is_over_and_blues_lives_on() {
    let talks = |sends: &'static [u8]| {
        Upstream::scripted(move |connection| {
            connection.head();
            connection.send(SWITCHING);
            connection.send(sends);
            connection.drain();
        })
    };
    let (blue, green) = (talks(b"\x82\x01a"), talks(b"\x82\x01a"));
    // A frame of four bytes, of which the other half never comes.
    let stuck = talks(b"\x82\x04ab");
    let text = config(&[blue.address], &[green.address], SOON);
    let proxy = Proxy::start(&text);
    let upgraded = || {
        let mut client = proxy.client();
        assert_eq!(client.send(UPGRADE).response().status, 101);
        client
    };
    let mut on_blue = upgraded();
    assert_eq!(on_blue.bytes(3), b"\x82\x01a");
    proxy.set_weight(100.0);
    let mut idle = upgraded();
    assert_eq!(idle.bytes(3), b"\x82\x01a");
    let endpoints = json!({ "endpoints": [green.address.to_string(), stuck.address.to_string()] });
    assert_eq!(proxy.call("PUT", "/v1/versions/green/endpoints", &endpoints).status, 200);
    let mut halved = eventually("the other endpoint", || {
        let mut client = upgraded();
        if client.bytes(3) != b"\x82\x04a" {
            return None;
        }
        assert_eq!(client.bytes(1), b"b");
        Some(client)
    });
    roll_back(&proxy);
    assert_eq!(idle.bytes(4), RESTARTS);
    for client in [&mut idle, &mut halved] {
        assert_eq!(client.rest().0, b"", "nothing within a frame, and nothing behind the close");
    }
    stuck.until_ended(0);
    assert_eq!(blue.seen()[0].end, None);
    on_blue.reset();
    blue.until_ended(0);
}

/// A release of half the traffic that an operator has rolled back, with a watch that is soon over and a server that is told of
/// its end.
fn watched() -> (Bench, Upstream) {
    let pager = Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let action = |moment: &str| {
        let url = format!("http://{}/{moment}", pager.address);
        format!("{moment}: [{{ http: {{ url: \"{url}\", body: \"{{{{ reason }}}}\" }} }}]")
    };
    let [recovered, not_recovered] = ["recovered", "notRecovered"].map(action);
    let bench = Bench::with(&format!(
        "release: {{ steps: [{{ weight: 50%, bake: 1h }}], monitoring: 1h }}\nafterRollback: {{ watch: 5s }}\n{GATE}\
         runbook: {{ allow: [127.0.0.1], {recovered}, {not_recovered} }}\n"
    ));
    bench.operate("start");
    bench.events.until("stepped");
    bench.load.until_more(500);
    bench.operate("rollback");
    (bench, pager)
}

/// What people were told of the watch: the event, the status, the message and the report say the same.
#[track_caller]
fn check_told((bench, pager): (Bench, Upstream), kind: &str, says: &str) {
    let told = bench.events.until(kind);
    let sentence = told.data["sentence"].as_str().expect("a sentence").to_owned();
    assert!(sentence.contains(says), "{sentence}");
    let status = bench.proxy.until(|status| status["watch"]["finding"] == kind);
    assert_eq!((&status["watch"]["left"], &status["state"]), (&json!(0.0), &json!("rolledBack")));
    let message = pager.until("the message", |seen| seen.first()?.requests.first().cloned());
    assert_eq!((message.target, message.body), (format!("/{kind}"), sentence.clone().into_bytes()));
    eventually("the report", || {
        let answer = bench.proxy.call("GET", "/v1/releases/v2-1/report?format=html", &json!(null));
        let escaped = sentence.replace('\'', "&#39;");
        let after = answer.text().split("<h2>After the rollback</h2>").nth(1)?.to_owned();
        after.split("<h2>").next()?.contains(&escaped).then_some(())
    });
}

#[test]
fn a_blue_that_does_as_before_has_recovered_when_its_watch_is_over_and_people_are_told() {
    check_told(watched(), "recovered", "the rollback has helped: ");
}

#[test]
fn a_blue_that_is_bad_after_the_rollback_as_well_is_told_at_the_end_of_its_watch() {
    let (bench, pager) = watched();
    bench.blue.answer(503);
    check_told((bench, pager), "notRecovered", "blue is bad as well: ");
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
