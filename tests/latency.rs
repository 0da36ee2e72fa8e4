//! Whose time it is: what a version is judged by, and what people are shown.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{Backend, Client, Proxy, Upstream, config, eventually};

const DEAR_MILLIS: u64 = 250;

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn pass(time: Duration) {
    let began = Instant::now();
    eventually("some time", || (began.elapsed() >= time).then_some(()));
}

/// Green's P99 in the window of the gate, in milliseconds.
fn judged(proxy: &Proxy) -> Option<f64> {
    let evidence = proxy.call("GET", "/v1/evidence", &Value::Null);
    let evidence: Value = serde_json::from_slice(&evidence.body).expect("JSON");
    evidence["windows"][0]["green"]["p99"].as_f64()
}

#[test]
fn row_100_the_time_for_a_connection_is_shown_and_measured_apart_and_is_not_the_versions() {
    // Each answer ends its connection, so that every request pays for one.
    let closing = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    let (blue, green) = (Upstream::ok(), Upstream::answering(closing));
    let rest = "gate: { warmUp: { time: 0s, requests: 0 } }";
    let text = config(&[blue.address], &[green.address], rest);
    let proxy = Proxy::start_with_dear_connections(&text, DEAR_MILLIS);
    proxy.set_weight(100.0);
    let mut client = proxy.client();
    (0..10).for_each(|_| assert_eq!(client.get("/").status, 200));
    let status = proxy.until(|status| status["green"]["requests"] == 10);
    let dear = DEAR_MILLIS as f64;
    assert!(status["green"]["p50"].as_f64() >= Some(dear), "people see it: {status:#}");
    let judged = eventually("evidence", || judged(&proxy));
    assert!(judged < dear, "the gate does not: {judged} ms");
    proxy.until_metric("portcullis_upstream_connect_seconds_count", &["version=\"green\""], 10.0);
    proxy.until_metric("portcullis_upstream_connect_seconds_bucket", &["version=\"green\"", "le=\"0.05\""], 0.0);
    proxy.until_metric("portcullis_response_head_seconds_bucket", &["version=\"green\"", "le=\"0.05\""], 0.0);
}

#[test]
fn the_time_in_which_a_client_sends_its_body_is_not_the_versions() {
    let green = Upstream::scripted(|connection| {
        while connection.request().is_some() {
            connection.send(ANSWER);
        }
    });
    let rest = "gate: { warmUp: { time: 0s, requests: 0 } }";
    let proxy = Proxy::start(&config(&[green.address], &[green.address], rest));
    proxy.set_weight(100.0);
    let upload = Duration::from_secs(1);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello");
    pass(upload);
    client.send("world");
    assert_eq!(client.response().status, 200);
    let status = proxy.until(|status| status["green"]["requests"] == 1);
    assert!(status["green"]["p50"].as_f64() >= Some(600.0), "people see it: {status:#}");
    let judged = eventually("evidence", || judged(&proxy));
    assert!(judged < 500.0, "the gate does not: {judged} ms");
}

#[test]
fn a_connection_is_not_used_when_its_endpoint_is_about_to_close_it() {
    let kept = "HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 2\r\n\r\nok";
    let blue = Upstream::answering(kept);
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    (0..3).for_each(|_| _ = client.get("/"));
    assert_eq!(blue.connections(), 1, "while it is fresh it is used again");
    pass(Duration::from_millis(510));
    assert_eq!(client.get("/").status, 200);
    assert_eq!(blue.connections(), 2);
}

#[test]
fn row_102_no_step_passes_while_green_warms_up_and_its_latencies_are_shown_as_no_evidence() {
    let (blue, green) = (Backend::answering(200), Backend::answering(200));
    let rest = "release: { steps: [{ weight: 50%, bake: 100ms }], onLowTraffic: pass }\ngate: { minimumRequests: 1 }";
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], rest));
    assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
    let mut client = proxy.client();
    let sends = |client: &mut Client| (0..50).for_each(|_| assert_eq!(client.get("/").status, 200));
    eventually("many more requests than any step needs", || {
        sends(&mut client);
        (proxy.status()["baked"].as_f64() > Some(0.5)).then_some(())
    });
    let status = proxy.status();
    assert_eq!(
        (&status["weight"], &status["verdict"]["kind"]),
        (&Value::from(50.0), &Value::from("wait")),
        "{status:#}"
    );
    let said = status["verdict"]["sentence"].as_str().expect("a sentence");
    assert!(said.starts_with("green warms up: ") && said.contains(" left"), "{said}");
    assert!(status["green"]["p50"].is_number() && status["green"]["warmingUp"].is_number(), "{status:#}");
    assert_eq!(status["blue"]["warmingUp"], Value::Null);
}
