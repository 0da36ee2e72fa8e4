//! The exposure budget on the real proxy: what a bad green costs, and how a good one gets through.

use serde_json::{Value, json};

use super::support::Bench;

/// Latencies say nothing here: what the machine does beside is no fault of green's.
const BUDGET: &str = "release: { budget: 200, monitoring: 1s }\n\
                      gate: { warmUp: { time: 0s, requests: 0 }, compare: { enabled: false }, triggers: [\
                        { name: errors, metric: errorRate, above: 10%, window: 10s },\
                        { name: dead, metric: failureStreak, atLeast: 5 } ] }\n";

#[test]
fn a_bad_green_harms_fewer_requests_than_the_budget_and_the_release_says_how_many() {
    let bench = Bench::with(BUDGET);
    bench.green.answer(500);
    bench.operate("start");
    let rolled_back = bench.events.until("rolledBack");
    assert_eq!(rolled_back.data["actor"], "gate");
    let status = bench.until_state("rolledBack");
    let failed = bench.green.count();
    assert!((1..=200).contains(&failed), "{failed} of its requests failed");
    assert_eq!((&status["exposure"]["budget"], &status["plan"]["budget"]), (&json!(200), &json!(200)));
    let harmed = status["exposure"]["harmed"].as_u64().expect("a number");
    assert!((1..=failed).contains(&harmed), "{status}");
    let report = bench.proxy.call("GET", "/v1/releases/v2-1/report", &Value::Null).text();
    assert!(report.contains("an exposure budget of 200 harmed requests"), "{report}");
    assert!(report.contains(&format!("| Harmed requests | {harmed}, at most ")), "{report}");
}

#[test]
fn a_good_green_gets_through_by_ever_larger_weights_and_a_restart_does_not_set_it_back() {
    let mut bench = Bench::with(BUDGET);
    bench.operate("start");
    assert_eq!(bench.events.until("stepped").data["weight"], 0.0);
    let first = bench.events.until("stepped").data["weight"].as_f64().expect("a weight");
    assert!(first > 0.0 && first <= 10.0, "{first}");
    let second = bench.events.until("stepped").data["weight"].as_f64().expect("a weight");
    assert!(second > first && second <= 2.0 * first + 0.01, "{first}, then {second}");
    assert!(bench.proxy.metrics().contains("portcullis_release_budget_requests 200"));
    let excess = |bench: &Bench| bench.proxy.status()["exposure"]["excessAtMost"].as_f64().expect("a share");
    let (before, text) = (excess(&bench), bench.text.clone());
    bench.crash_and_start(&text);
    let after = excess(&bench);
    assert!(after < before.midpoint(1.0), "{before}, and {after} after the restart: 1 is to know nothing");
    let next = bench.events.until("stepped").data["weight"].as_f64().expect("a weight");
    assert!(next > second, "{second}, and {next} after the restart");
    bench.events.until("promoted");
    assert_eq!(bench.until_state("completed")["blue"]["version"], "v2");
}
