//! What is tried before a rollback: a recording server turns a flag off, or does not.

use serde_json::{Value, json};

use crate::support::{Bench, Request, Upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Green has half of the traffic, and its failures have the flag turned off first, which is waited for so long.
fn bench(flags: &Upstream, wait: &str) -> Bench {
    let rest = format!(
        "release: {{ steps: [{{ weight: 50%, bake: 1h }}], monitoring: 1h }}\n\
         gate: {{ minimumRequests: 5, warmUp: {{ time: 0s, requests: 0 }}, compare: {{ enabled: false }}, triggers: [\
         {{ name: meltdown, metric: errorRate, above: 90%, window: 1s, first: {{ run: [flag-off], wait: {wait} }} }}, \
         {{ name: alerts, metric: external }}] }}\n\
         runbook: {{ allow: [127.0.0.1], first: [{{ name: flag-off, http: {{ method: PATCH, \
         url: \"http://{}/flags/checkout\", json: {{ on: false, why: \"{{{{ trigger }}}}\" }} }} }}, \
         {{ name: other, http: {{ url: \"http://{}/other\" }} }}] }}\n",
        flags.address, flags.address
    );
    let bench = Bench::with(&rest);
    bench.operate("start");
    bench.events.until("stepped");
    bench.load.until_more(200);
    bench
}

fn sentence(event: &Value) -> &str {
    event["sentence"].as_str().expect("a sentence")
}

#[track_caller]
fn check_asked(flags: &Upstream) {
    let Request { method, target, body, .. } = flags.only_request();
    assert_eq!((method.as_str(), target.as_str()), ("PATCH", "/flags/checkout"), "no other action of the moment");
    assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON"), json!({ "on": false, "why": "meltdown" }));
}

#[test]
fn a_flag_that_is_turned_off_first_and_helps_leaves_green_where_it_is_and_a_relapse_is_rolled_back_at_once() {
    let flags = Upstream::answering(OK);
    let bench = bench(&flags, "5s");
    bench.green.answer(500);
    flags.until("the flag", |seen| (!seen.first()?.requests.is_empty()).then_some(()));
    bench.green.answer(200);
    let trying = bench.events.until("trying");
    assert!(sentence(&trying.data).contains("`flag-off` is tried first"), "{}", trying.data);
    let helped = bench.events.until("helped");
    assert!(sentence(&helped.data).starts_with("`flag-off` has helped: "), "{}", helped.data);
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["weight"]), (&json!("stepping"), &json!(50.0)));
    check_asked(&flags);
    bench.green.answer(500);
    let rolled_back = bench.events.until("rolledBack");
    assert_eq!(bench.proxy.status()["rollback"]["trigger"], "meltdown", "{}", rolled_back.data);
    assert_eq!(flags.count(), 1, "it is tried once a release");
}

#[test]
fn what_has_not_helped_when_its_time_is_over_is_followed_by_the_rollback_and_not_before() {
    let flags = Upstream::answering(OK);
    let bench = bench(&flags, "2s");
    bench.green.answer(500);
    let trying = bench.events.until("trying");
    assert_eq!(bench.proxy.status()["weight"], 50.0, "green keeps what it has");
    let rolled_back = bench.events.until("rolledBack");
    assert!(sentence(&rolled_back.data).ends_with("and has not helped"), "{}", rolled_back.data);
    let at = |event: &Value| event["at"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok()).expect("a time");
    let waited = at(&rolled_back.data).duration_since(at(&trying.data));
    assert!(waited.as_secs_f64() > 1.9, "{waited:?}");
    check_asked(&flags);
}

#[test]
fn nobody_else_who_rolls_back_waits_for_what_is_tried() {
    for rolls_back in ["operator", "alerts"] {
        let flags = Upstream::answering(OK);
        let bench = bench(&flags, "10m");
        bench.green.answer(500);
        bench.events.until("trying");
        match rolls_back {
            "operator" => drop(bench.operate("rollback")),
            alerts => {
                let answer = bench.proxy.post(&format!("/v1/signals/{alerts}"), &json!({ "state": "firing" }));
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
        }
        bench.events.until("rolledBack");
        assert_eq!(bench.proxy.status()["rollback"]["trigger"], rolls_back);
    }
}
