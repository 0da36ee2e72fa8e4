//! What alert managers and synthetic tests tell, and what comes of it.

use serde_json::{Value, json};

use super::support::{Backend, Bench, Proxy, Response, Upstream, config};

const SLOW: &str = "{ steps: [{ weight: 20%, bake: 1h }], monitoring: 1h }";

/// What Alertmanager 0.28 posts to a webhook, for two alerts of one group of which one is over.
const WEBHOOK: &str = r#"{
  "receiver": "portcullis",
  "status": "firing",
  "alerts": [
    {
      "status": "resolved",
      "labels": {"alertname": "CheckoutDown", "instance": "probe-1", "severity": "page"},
      "annotations": {"summary": "Checkout fails from probe-1"},
      "startsAt": "2026-11-21T15:04:05.123Z",
      "endsAt": "2026-11-21T15:06:05.123Z",
      "generatorURL": "http://prometheus.example:9090/graph?g0.expr=probe_success",
      "fingerprint": "c2c8d9a1b3e4f506"
    },
    {
      "status": "firing",
      "labels": {"alertname": "CheckoutDown", "instance": "probe-2", "severity": "page"},
      "annotations": {"description": "The synthetic checkout has failed 3 times.", "summary": "Checkout fails from probe-2"},
      "startsAt": "2026-11-21T15:05:05.123Z",
      "endsAt": "0001-01-01T00:00:00Z",
      "generatorURL": "http://prometheus.example:9090/graph?g0.expr=probe_success",
      "fingerprint": "d2c8d9a1b3e4f507"
    }
  ],
  "groupLabels": {"alertname": "CheckoutDown"},
  "commonLabels": {"alertname": "CheckoutDown", "severity": "page"},
  "commonAnnotations": {},
  "externalURL": "http://alertmanager.example:9093",
  "version": "4",
  "groupKey": "{}:{alertname=\"CheckoutDown\"}",
  "truncatedAlerts": 0
}"#;

const JSON: &str = "Content-Type: application/json";
const HOST: &str = "Host: 127.0.0.1";

fn post(proxy: &Proxy, name: &str, body: &str) -> Response {
    proxy.ask("POST", &format!("/v1/signals/{name}"), &[HOST, JSON], body)
}

fn parsed(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|_| panic!("not JSON: {}", response.text()))
}

/// A proxy with a trigger for each of these signals.
fn listening(signals: &[&str]) -> Proxy {
    let triggers = signals.iter().map(|name| format!("{{ name: {name}, metric: external }}"));
    let rest = format!("gate: {{ triggers: [{}] }}", triggers.collect::<Vec<_>>().join(", "));
    Proxy::before_with(&Upstream::ok(), &rest)
}

#[test]
fn row_103_a_signal_that_no_trigger_listens_to_is_not_found_and_those_that_are_listened_to_are_named() {
    let proxy = listening(&["checkout", "alerts"]);
    for body in [r#"{"state": "firing"}"#, WEBHOOK, "what is no JSON"] {
        let refused = post(&proxy, "chekout", body);
        let detail = parsed(&refused)["detail"].as_str().map(str::to_owned);
        let expected =
            "no trigger listens to a signal called `chekout`; those that are listened to are checkout, alerts";
        assert_eq!((refused.status, detail.as_deref()), (404, Some(expected)));
    }
    assert_eq!(proxy.status()["signals"], json!([]));
    let refused = post(&Proxy::before(&Upstream::ok()), "checkout", WEBHOOK);
    assert_eq!(refused.status, 404);
    assert!(refused.text().contains("there is no trigger with `metric: external`"), "{}", refused.text());
}

#[test]
fn a_firing_alert_rolls_the_release_back_with_what_the_alert_says() {
    let bench = Bench::with_plan(SLOW);
    bench.operate("start");
    bench.events.until("stepped");
    let answer = post(&bench.proxy, "alerts", WEBHOOK);
    assert_eq!((answer.status, &parsed(&answer)["signals"]), (200, &json!(["alerts"])));
    let rolled_back = bench.events.until("rolledBack");
    let sentence = rolled_back.data["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("Checkout fails from probe-2"), "{sentence}");
    let status = bench.proxy.status();
    assert_eq!(status["rollback"]["trigger"], "alerts", "{status:#}");
    bench.assert_all_to(&bench.blue, &bench.green);
}

#[test]
fn a_signal_fires_until_it_is_resolved() {
    let proxy = listening(&["till-2"]);
    let firing = |answer: &Response| parsed(answer)["signals"].clone();
    let resolved = WEBHOOK.replace("\"firing\"", "\"resolved\"");
    for (body, expected) in [
        (r#"{"state": "resolved"}"#, json!([])),
        (r#"{"state": "firing", "reason": "the till is shut"}"#, json!(["till-2"])),
        (r#"{"state": "firing"}"#, json!(["till-2"])),
        (&resolved, json!([])),
        (WEBHOOK, json!(["till-2"])),
        (r#"{"state": "resolved", "reason": "open again"}"#, json!([])),
    ] {
        let answer = post(&proxy, "till-2", body);
        assert_eq!((answer.status, firing(&answer)), (200, expected), "{body}");
    }
}

#[test]
fn a_post_that_is_not_understood_is_refused_with_its_field_named_and_changes_nothing() {
    let long = "a".repeat(64);
    let proxy = listening(&["alerts", &long[..63]]);
    let firing = r#"{"state": "firing"}"#;
    for name in ["Alerts", "a_b", "a%20b", "%C3%A4", "%FF", "a.b", &long] {
        let refused = post(&proxy, name, firing);
        assert_eq!((refused.status, &parsed(&refused)["field"]), (422, &json!("name")), "{name}: {}", refused.text());
    }
    assert_eq!(post(&proxy, &long[..63], r#"{"state": "resolved"}"#).status, 200);
    for (body, field, in_detail) in [
        (r#"{"state": "on"}"#, json!("state"), "state: \"on\" is unknown; write `firing` or `resolved`"),
        (r#"{"reason": "x"}"#, json!("state"), "state: is missing; write `firing` or `resolved`"),
        (
            r#"{"state": "firing", "raeson": "x"}"#,
            json!("raeson"),
            "raeson: is an unknown field; did you mean `reason`?",
        ),
        (r#"{"version": "3", "alerts": [{"status": "firing"}]}"#, json!("version"), "only version \"4\""),
        (r#"{"version": "4", "alerts": []}"#, json!("alerts"), "there is none"),
        (
            r#"{"version": "4", "alerts": [{"status": "loud"}]}"#,
            json!("alerts[0].status"),
            "\"loud\" is unknown; write",
        ),
        (r#"{"version": "4", "alerts": "all"}"#, json!("alerts"), "alerts: \"all\" is text; write a list"),
        ("[]", Value::Null, "one JSON object"),
        ("", Value::Null, "one JSON object"),
    ] {
        let refused = post(&proxy, "alerts", body);
        let problem = parsed(&refused);
        let detail = problem["detail"].as_str().expect("a detail");
        assert_eq!((refused.status, &problem["field"]), (422, &field), "{body}: {problem}");
        assert!(detail.contains(in_detail), "{body}: {detail}");
    }
    let refused = proxy.ask("POST", "/v1/signals/alerts", &[HOST], firing);
    assert_eq!(refused.status, 415);
    assert_eq!(proxy.status()["signals"], json!([]));
}

#[test]
fn a_sentence_of_any_length_is_shortened_and_a_body_of_any_length_refused() {
    let backend = Backend::answering(200);
    let proxy = Proxy::start(&config(&[backend.address], &[backend.address], super::support::bench::GATE));
    proxy.set_weight(50.0);
    let events = super::support::Listener::new(proxy.admin);
    let body = json!({ "state": "firing", "reason": "é".repeat(20_000) }).to_string();
    assert_eq!(post(&proxy, "alerts", &body).status, 200);
    let sentence = events.until("rolledBack").data["sentence"].as_str().expect("a sentence").to_owned();
    assert!(sentence.contains("éé") && sentence.chars().count() < 700, "{}", sentence.chars().count());
    let body = json!({ "state": "resolved", "reason": "x".repeat(1024 * 1024) }).to_string();
    let refused = post(&proxy, "alerts", &body);
    assert_eq!(refused.status, 413, "{}", refused.text());
}
