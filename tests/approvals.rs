//! An approval that is waited for no longer than the plan says, on the real proxy.

use serde_json::{Value, json};

use super::support::{Bench, portcullis, printed};

/// An approval after the first step, waited for so long and then this.
fn plan(within: &str, otherwise: &str) -> String {
    format!(
        "{{ steps: [{{ weight: 20%, bake: 300ms, approval: {{ within: {within}, otherwise: {otherwise} }} }}, \
         {{ weight: 50%, bake: 300ms }}], monitoring: 300ms }}"
    )
}

fn told(bench: &Bench, arguments: &[&str]) -> String {
    printed(&portcullis(&[arguments, &["--admin", &bench.url()]].concat(), &[]))
}

#[test]
fn a_step_that_nobody_approves_in_time_is_rolled_back_and_says_so() {
    let bench = Bench::with_plan(&plan("1s", "rollback"));
    bench.operate("start");
    let asked = bench.events.until("awaitingApproval").data["sentence"].clone();
    let asks = "the bake is over, and the step waits for an approval; without one within 1 s it is rolled back";
    assert_eq!(asked, asks);
    let over = bench.events.until("rolledBack").data;
    let sentence = "nobody approved step 1 of 3 (20 %) within 1 s";
    assert_eq!((&over["sentence"], &over["actor"]), (&json!(sentence), &json!("plan")));
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["approval"]), (&json!("rolledBack"), &Value::Null));
    assert_eq!(status["rollback"]["trigger"], "approval-deadline");
    let steps = &status["plan"]["steps"];
    assert_eq!(
        (&steps[0]["approval"], &steps[0]["approvalDeadline"]),
        (&json!(true), &json!({ "within": 1.0, "otherwise": "rollback" }))
    );
    assert_eq!((&steps[1]["approval"], &steps[1]["approvalDeadline"]), (&json!(false), &Value::Null));
    bench.assert_all_to(&bench.blue, &bench.green);
    let metrics = bench.proxy.metrics();
    assert!(metrics.contains("portcullis_rollbacks_total{trigger=\"approval-deadline\"} 1\n"), "{metrics}");
    let replayed = told(&bench, &["replay", "v2-1"]);
    assert!(replayed.ends_with("to the last bit.\n"), "{replayed}");
}

#[test]
fn a_step_that_nobody_approves_in_time_is_paused_until_somebody_resumes_or_approves() {
    let bench = Bench::with_plan(&plan("1s", "pause"));
    bench.operate("start");
    let sentence = "nobody approved step 1 of 3 (20 %) within 1 s";
    assert_eq!(bench.events.until("paused").data["sentence"], sentence);
    let status = bench.proxy.status();
    assert_eq!((&status["weight"], &status["pause"]), (&json!(20.0), &json!(sentence)));
    assert_eq!(status["approval"], json!({ "by": null, "left": 1.0, "otherwise": "pause" }));
    let shown = told(&bench, &["status"]);
    assert!(shown.contains("\n  approval: 1 s are left when the release goes on, otherwise a pause\n"), "{shown}");

    let resumed = bench.operate("resume");
    assert!(resumed["approval"]["by"].is_string(), "the time runs again: {resumed:#}");
    assert_eq!(bench.events.until("paused").data["sentence"], sentence);
    bench.operate("approve");
    assert_eq!(bench.events.until("stepped").data["weight"], 50.0);
    bench.until_state("completed");
    let replayed = told(&bench, &["replay", "v2-1"]);
    assert!(replayed.ends_with("to the last bit.\n"), "{replayed}");
}

#[test]
fn the_status_says_by_when_an_approval_must_be_there_and_a_crash_does_not_put_that_off() {
    let mut bench = Bench::with_plan(&plan("1h", "rollback"));
    bench.operate("start");
    bench.events.until("awaitingApproval");
    let status = bench.proxy.status();
    let by = status["approval"]["by"].as_str().expect("a time").to_owned();
    let left = status["approval"]["left"].as_f64().expect("seconds");
    assert!(left > 3500.0 && left < 3600.0, "{left}");
    assert_eq!(status["approval"]["otherwise"], "rollback");
    let shown = told(&bench, &["status"]);
    assert!(shown.contains(", then an approval within 1 h, otherwise a rollback\n"), "{shown}");
    assert!(shown.contains("\n  approval: until ") && shown.contains("Z, otherwise a rollback\n"), "{by}: {shown}");

    let text = bench.text.clone();
    bench.crash_and_start(&text);
    let baked_again = |status: &Value| status["baked"].as_f64() >= Some(0.3) && status["state"] == "paused";
    let status = bench.proxy.until(baked_again);
    assert!(status["approval"]["left"].as_f64().is_some_and(|left| left < 3600.0), "{status:#}");
    let release: Value = serde_json::from_str(&told(&bench, &["report", "v2-1", "--json"])).expect("JSON");
    let decisions = release["decisions"].as_array().expect("decisions").iter();
    let asked: Vec<_> = decisions.filter(|decision| decision["kind"] == "awaitingApproval").collect();
    assert_eq!(asked.len(), 2, "{release:#}");
    let again = asked[1]["sentence"].as_str().expect("a sentence");
    assert!(again.ends_with(" that are left it is rolled back"), "{again}");
    bench.operate("approve");
    bench.until_state("completed");
    let replayed = told(&bench, &["replay", "v2-1"]);
    assert!(replayed.ends_with("to the last bit.\n"), "{replayed}");
}
