//! When a trigger acts on real traffic, when it does not, and how soon.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Backend, Client, Listener, Proxy, config};

/// Between the answer that makes a bound true and the event that tells of it. Measured it is a fifth of this; the rest
/// is for machines that are busy with other tests.
const SOON: Duration = Duration::from_secs(1);

struct Bench {
    blue: Backend,
    green: Backend,
    proxy: Proxy,
    events: Listener,
    client: Client,
}

/// One trigger and nothing else, in front of two versions that are well; green has all traffic.
fn bench(trigger: &str) -> Bench {
    let (blue, green) = (Backend::answering(200), Backend::answering(200));
    let gate = format!(
        "gate: {{ minimumRequests: 50, warmUp: {{ time: 0s, requests: 0 }}, compare: {{ enabled: false }}, triggers: [{{ name: bound, {trigger} }}] }}"
    );
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], &gate));
    let events = Listener::new(proxy.admin);
    proxy.set_weight(100.0);
    assert_eq!(events.next().kind, "weightSet");
    let client = proxy.client();
    Bench { blue, green, proxy, events, client }
}

impl Bench {
    /// Sends so many requests, and returns when the last of them was answered.
    fn requests(&mut self, count: u64) -> Instant {
        for _ in 0..count {
            self.client.get("/");
        }
        Instant::now()
    }

    fn failures(&mut self, count: u64) -> Instant {
        self.green.answer(500);
        let answered_at = self.requests(count);
        self.green.answer(200);
        answered_at
    }

    /// Waits until the gate has judged exactly so many requests of green.
    #[track_caller]
    fn judged(&self, requests: u64) -> Value {
        let counted = self.proxy.until(|status| status["green"]["requests"] == requests);
        // The status is published after the judgement of the same tick.
        assert_eq!((&counted["state"], &counted["rollback"]), (&json!("stepping"), &Value::Null), "{counted:#}");
        assert!(self.events.heard().is_empty());
        counted
    }
}

#[test]
fn promise_3_a_bound_acts_with_the_50th_request_and_not_with_49() {
    let mut bench = bench("metric: errorRate, above: 10%, window: 10s");
    bench.failures(49);
    let status = bench.judged(49);
    assert_eq!(status["verdict"]["kind"], "wait");
    let sentence = "too few requests to judge `bound`: green had 49 of at least 50 in the last 10 s";
    assert_eq!(status["verdict"]["sentence"], sentence);
    let made_true_at = bench.failures(1);
    let rolled_back = bench.events.next();
    assert_eq!(rolled_back.kind, "rolledBack");
    assert!(rolled_back.at - made_true_at < SOON, "{:?}", rolled_back.at - made_true_at);
}

#[test]
fn promise_3_a_release_that_has_had_no_request_waits_whatever_its_triggers() {
    for gate in [
        "metric: failureStreak, atLeast: 5",
        "metric: errorRate, above: 10%, window: 10s, action: notify",
        "metric: errorRate, above: 10%, window: 10s",
    ] {
        let mut bench = bench(gate);
        // Two statuses with other numbers of blue's requests have a tick between them.
        bench.proxy.set_weight(0.0);
        bench.requests(1);
        let status = bench.proxy.until(|status| status["blue"]["requests"] == 1);
        assert_eq!((&status["state"], &status["verdict"]["kind"]), (&json!("stepping"), &json!("wait")), "{gate}");
    }
}

#[test]
fn promise_6_an_error_rate_acts_above_its_bound_and_not_at_it_and_says_why() {
    let mut bench = bench("metric: errorRate, above: 10%, window: 10s");
    bench.proxy.set_weight(50.0);
    assert_eq!(bench.events.next().kind, "weightSet");
    // The draw gives each version 50 of 100.
    bench.requests(100);
    bench.proxy.set_weight(100.0);
    assert_eq!(bench.events.next().kind, "weightSet");
    bench.failures(5);
    assert_eq!(bench.judged(55)["verdict"]["kind"], "pass");
    bench.failures(1);
    bench.requests(4);
    assert_eq!(bench.judged(60)["verdict"]["kind"], "pass", "6 of 60 is 10 % and not above it");
    let made_true_at = bench.failures(1);
    let rolled_back = bench.events.next();
    assert_eq!(rolled_back.kind, "rolledBack");
    assert!(rolled_back.at - made_true_at < SOON, "{:?}", rolled_back.at - made_true_at);
    let sentence = "green failed 7 of 61 requests (11.5 %) in the last 10 s, above 10 %; blue failed 0 of 50";
    assert_eq!(rolled_back.data["sentence"], sentence);
    let status = bench.proxy.status();
    let rollback = &status["rollback"];
    assert_eq!((&rollback["reason"], &rollback["trigger"]), (&json!(sentence), &json!("bound")));
    assert!(rollback["reactionMicros"].as_f64().is_some_and(|micros| micros > 0.0), "{status:#}");
    let reached = bench.green.count();
    bench.requests(100);
    assert_eq!(bench.green.count(), reached);
}

#[test]
fn a_latency_quantile_acts_when_more_than_its_share_of_the_requests_is_slower() {
    let mut bench = bench("metric: latency, quantile: 0.99, above: 500ms, window: 10s");
    bench.requests(99);
    bench.green.take(Duration::from_millis(700));
    bench.requests(1);
    assert_eq!(bench.judged(100)["verdict"]["kind"], "pass", "one of 100 may be slower than P99");
    let made_true_at = bench.requests(1);
    let rolled_back = bench.events.next();
    assert_eq!(rolled_back.kind, "rolledBack");
    assert!(rolled_back.at - made_true_at < SOON, "{:?}", rolled_back.at - made_true_at);
    let sentence = rolled_back.data["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("P99") && sentence.contains("above 500 ms"), "{sentence}");
}

#[test]
fn a_bound_that_must_be_sustained_for_5_s_acts_after_5_s_and_neither_4_nor_6() {
    let mut bench = bench("metric: errorRate, above: 10%, window: 10s, sustained: 5s");
    let made_true_at = bench.failures(50);
    let status = bench.proxy.until(|status| status["green"]["requests"] == 50);
    assert_eq!((&status["state"], &status["verdict"]["kind"]), (&json!("stepping"), &json!("wait")), "{status:#}");
    let rolled_back = bench.events.next();
    assert_eq!(rolled_back.kind, "rolledBack");
    let after = rolled_back.at - made_true_at;
    assert!((Duration::from_millis(4_800)..Duration::from_secs(6)).contains(&after), "{after:?}");
}

#[test]
fn promise_5_a_bound_that_both_versions_cross_freezes_the_weight_and_blames_nobody() {
    let mut bench = bench("metric: errorRate, above: 10%, window: 3s");
    // Blue has the larger share, so that it is the first to have enough requests.
    bench.proxy.set_weight(40.0);
    assert_eq!(bench.events.next().kind, "weightSet");
    bench.blue.answer(500);
    bench.failures(200);
    let frozen = bench.events.next();
    assert_eq!(frozen.kind, "frozen");
    let sentence = frozen.data["sentence"].as_str().expect("a sentence").to_owned();
    assert!(sentence.starts_with("both versions cross the bound of `bound`"), "{sentence}");
    let refused = bench.proxy.call("PUT", "/v1/weight", &json!({ "weight": 41 }));
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("both versions cross the bound of `bound`"), "{}", refused.text());
    bench.proxy.set_weight(30.0);
    assert_eq!(bench.events.next().kind, "weightSet");

    // Nothing is left to judge once the window has passed.
    let thawed = bench.events.next();
    assert_eq!((thawed.kind.as_str(), &thawed.data["weight"]), ("thawed", &json!(30.0)));
    bench.proxy.set_weight(60.0);
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["rollback"]), (&json!("stepping"), &Value::Null));
}

#[test]
fn every_metric_and_every_action_works_on_traffic() {
    let check = |trigger: &str, kind: &str, in_sentence: &str| {
        let mut bench = bench(trigger);
        bench.proxy.set_weight(50.0);
        assert_eq!(bench.events.next().kind, "weightSet");
        bench.green.answer(500);
        bench.green.take(Duration::from_millis(60));
        bench.requests(120);
        let event = bench.events.next();
        let sentence = event.data["sentence"].as_str().expect("a sentence");
        assert!(event.kind == kind && sentence.contains(in_sentence), "{trigger}: {event:?}");
        let state = bench.proxy.status()["state"].clone();
        let expected = [("rolledBack", "rolledBack"), ("paused", "paused"), ("notified", "stepping")];
        assert!(expected.iter().any(|(of, expected)| *of == kind && state == *expected), "{trigger}: {state}");
    };
    std::thread::scope(|scope| {
        for (trigger, kind, in_sentence) in [
            ("metric: successRate, below: 90%, window: 10s", "rolledBack", "below 90 %"),
            ("metric: errorRate, aboveBlue: 2, floor: 1%, window: 10s", "rolledBack", "above 2 times blue's rate"),
            ("metric: latency, quantile: 0.5, aboveBlue: 2, floor: 1ms, window: 10s", "rolledBack", "P50"),
            ("metric: errorRate, above: 10%, window: 10s, action: pause", "paused", "above 10 %"),
            ("metric: errorRate, above: 10%, window: 10s, action: notify", "notified", "above 10 %"),
        ] {
            scope.spawn(move || check(trigger, kind, in_sentence));
        }
    });
}

#[test]
fn row_67_a_green_that_answers_more_client_errors_than_blue_is_not_charged_and_people_are_warned_once() {
    let (blue, green) = (Backend::answering(200), Backend::answering(404));
    let gate = "gate: { minimumRequests: 5, compare: { enabled: false }, \
                triggers: [{ name: rate, metric: errorRate, above: 1% }, { name: dead, metric: failureStreak, atLeast: 3 }] }";
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], gate));
    let events = Listener::new(proxy.admin);
    proxy.set_weight(50.0);
    assert_eq!(events.next().kind, "weightSet");
    let mut client = proxy.client();
    (0..400).for_each(|_| assert!(matches!(client.get("/").status, 200 | 404)));
    let warning = events.next();
    let sentence = warning.data["sentence"].as_str().expect("a sentence");
    assert_eq!(warning.kind, "notified", "{sentence}");
    assert!(
        sentence.starts_with("green answered ") && sentence.contains(" (100.0 %) with client errors"),
        "{sentence}"
    );
    assert!(sentence.contains(", in the same moments blue 0 of "), "{sentence}");
    (0..400).for_each(|_| assert!(matches!(client.get("/").status, 200 | 404)));
    let counted = ["version=\"green\"", "outcome=\"client_error\"", "code=\"404\""];
    proxy.until_metric("portcullis_requests_total", &counted, 400.0);
    assert_eq!(proxy.metric("portcullis_notifications_total", &["trigger=\"client-errors\""]), 1.0);
    let status = proxy.status();
    let said = (&status["green"]["failures"], &status["weight"], &status["rollback"]);
    assert_eq!(said, (&json!(0), &json!(50.0), &Value::Null), "{status:#}");
    assert!(events.heard().is_empty());
}
