//! A release brings its own plan along, or says that it cannot be undone: for this release, through reloads and restarts.

use serde_json::{Value, json};

use super::{QUICK, SLOW, granted, named, refusal};
use crate::support::bench::GATE;
use crate::support::{Backend, Bench, Response, portcullis, printed, refused};

const GONE: &str = "the old table is gone";

/// At 20 % until somebody does something.
fn long() -> Value {
    json!({ "steps": [{ "weight": "20%", "bake": "1h" }, { "weight": "100%", "bake": "1h" }] })
}

/// The default policy, in which the workers roll back by themselves.
fn by_default() -> Bench {
    Bench::with(&format!("release: {SLOW}\n"))
}

fn begin(bench: &Bench, said: &Value) -> Value {
    granted(&bench.proxy.post("/v1/release", said))
}

fn reload(bench: &Bench, text: &str) -> Value {
    std::fs::write(bench.proxy.file(), text).expect("a file");
    granted(&bench.proxy.post("/v1/config/reload", &Value::Null))
}

/// The gate would roll back, and halts the release instead.
#[track_caller]
fn assert_irreversible(bench: &Bench, weight: f64) {
    bench.green.answer(500);
    let event = bench.events.until("irreversible");
    assert!(event.data["sentence"].as_str().is_some_and(|said| said.ends_with(GONE)), "{event:?}");
    let status = bench.proxy.status();
    assert_eq!((&status["weight"], &status["plan"]["irreversible"]), (&json!(weight), &json!(GONE)));
}

#[track_caller]
fn assert_replayed(bench: &Bench, id: &str) {
    let replay = printed(&portcullis(&["replay", "--admin", &bench.url(), id], &[]));
    assert!(replay.ends_with("to the last bit.\n"), "{replay}");
}

fn report(bench: &Bench, id: &str) -> String {
    bench.proxy.call("GET", &format!("/v1/releases/{id}/report"), &Value::Null).text()
}

/// The document of a refusal with every fault, and their paths.
#[track_caller]
fn faults(response: &Response) -> (Value, Vec<String>) {
    refusal(response, 422);
    let problem: Value = serde_json::from_slice(&response.body).expect("a document");
    let faults = problem["faults"].as_array().expect("a list");
    let paths = faults.iter().map(|fault| fault["path"].as_str().expect("a path").to_owned()).collect();
    (problem, paths)
}

#[test]
fn a_release_goes_by_the_plan_that_it_brings_along_and_the_next_by_the_one_of_the_file() {
    let bench = Bench::with_plan(SLOW);
    let steps = json!([
        { "weight": "20%", "bake": "100ms" },
        { "weight": "40%", "bake": "100ms", "approval": { "within": "1h", "otherwise": "pause" } },
    ]);
    let third = Backend::answering(200);
    let mut said = named("v3", &third);
    said["plan"] = json!({ "steps": steps, "monitoring": "100ms" });
    let status = begin(&bench, &said);
    assert_eq!((&status["plan"]["source"], &status["plan"]["steps"][0]["weight"]), (&json!("release"), &json!(20.0)));
    for weight in [20.0, 40.0] {
        assert_eq!(bench.events.until("stepped").data["weight"], weight);
    }
    bench.until_state("paused");
    bench.operate("approve");
    bench.until_state("completed");
    let report = report(&bench, "v3-1");
    let plan = "| Plan | 20 % for 100 ms, 40 % for 100 ms and an approval within 1 h, otherwise pause, 100 % for 100 ms; of \
                this release alone |";
    assert!(report.contains(plan), "{report}");
    assert_replayed(&bench, "v3-1");

    bench.proxy.set_weight(10.0);
    let plan = bench.proxy.status()["plan"].clone();
    assert_eq!((&plan["source"], &plan["steps"][0]["weight"]), (&json!("configuration"), &json!(50.0)));
    bench.operate("rollback");
    let plan = begin(&bench, &json!({ "plan": long() }))["plan"].clone();
    assert_eq!(plan["source"], "release");
    bench.operate("rollback");
    let plan = bench.operate("start")["plan"].clone();
    assert_eq!((&plan["source"], &plan["steps"][0]["weight"]), (&json!("configuration"), &json!(50.0)));
}

#[test]
fn a_release_that_is_said_to_be_irreversible_is_halted_where_the_next_is_rolled_back() {
    let bench = by_default();
    let status = begin(&bench, &json!({ "irreversible": GONE }));
    assert_eq!(status["plan"]["irreversible"], GONE);
    bench.events.until("stepped");
    assert_irreversible(&bench, 50.0);
    let refused = bench.conflict("rollback");
    assert!(refused.contains(&format!("release 1 is irreversible ({GONE})")), "{refused}");
    assert!(report(&bench, "v2-1").contains(&format!("| Irreversible | {GONE} |")));
    assert_replayed(&bench, "v2-1");
    granted(&bench.proxy.post("/v1/release/rollback", &json!({ "irreversible": true })));
    bench.green.answer(200);
    assert_eq!(bench.operate("start")["plan"]["irreversible"], Value::Null);
    bench.events.until("stepped");
    bench.green.answer(500);
    bench.until_state("rolledBack");
}

#[test]
fn a_plan_of_its_own_goes_on_over_a_restart_with_another_plan_in_the_file() {
    let mut bench = by_default();
    begin(&bench, &json!({ "plan": long(), "irreversible": GONE }));
    bench.events.until("stepped");
    let text = bench.text.replace(SLOW, QUICK);
    bench.crash_and_start(&text);
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["weight"], &status["step"]), (&json!("stepping"), &json!(20.0), &json!(1)));
    assert_eq!((&status["plan"]["source"], &status["plan"]["steps"][0]["bake"]), (&json!("release"), &json!(3600.0)));
    assert_irreversible(&bench, 20.0);
    assert_replayed(&bench, "v2-1");
    // The file's plan, once more.
    granted(&bench.proxy.post("/v1/release/rollback", &json!({ "irreversible": true })));
    bench.green.answer(200);
    assert_eq!(bench.operate("start")["plan"]["source"], "configuration");
}

#[test]
fn a_plan_of_its_own_is_not_touched_by_a_reload() {
    let bench = Bench::with(&format!("release: {SLOW}\ngate: {{ compare: {{ falseAlarm: 0.001 }} }}\n"));
    let mut plan = long();
    plan["irreversible"] = GONE.into();
    begin(&bench, &json!({ "plan": plan }));
    bench.events.until("stepped");
    let status = reload(&bench, &bench.text.replace(SLOW, QUICK).replace("falseAlarm: 0.001", "falseAlarm: 0.002"));
    assert_eq!((&status["plan"]["source"], &status["plan"]["steps"][0]["weight"]), (&json!("release"), &json!(20.0)));
    let reloaded = bench.events.until("reloaded");
    assert!(
        reloaded.data["sentence"].as_str().is_some_and(|said| said.contains("gate, release (from the next one on)"))
    );
    assert_irreversible(&bench, 20.0);
    assert_replayed(&bench, "v2-1");
}

#[test]
fn a_completed_release_that_was_irreversible_is_not_rolled_back_without_saying_so_also_after_a_restart() {
    let mut bench = Bench::with_plan(QUICK);
    begin(&bench, &json!({ "irreversible": GONE }));
    bench.until_state("completed");
    assert!(bench.conflict("rollback").contains(GONE));
    reload(&bench, &bench.text.replace("above: 50%", "above: 51%"));
    assert!(bench.conflict("rollback").contains(GONE));
    let text = bench.text.clone();
    bench.crash_and_start(&text);
    assert!(bench.conflict("rollback").contains(GONE));
    granted(&bench.proxy.post("/v1/release/rollback", &json!({ "irreversible": true })));
}

#[test]
fn faults_of_a_plan_are_all_told_by_their_fields_and_nothing_changes() {
    let bench = Bench::with_plan(SLOW);
    let step = |weight: &str| json!({ "weight": weight, "bake": "1m" });
    let (problem, paths) = faults(&bench.proxy.post(
        "/v1/release",
        &json!({
            "plan": { "steps": [step("20%"), step("10%"), step("half")], "monitoring": "-1h" },
            "irreversible": " ",
        }),
    ));
    assert_eq!(paths, ["irreversible", "plan.monitoring", "plan.steps[1].weight", "plan.steps[2].weight"]);
    assert_eq!(problem["field"], "irreversible");
    let detail = problem["detail"].as_str().expect("a detail");
    for told in [
        "irreversible: is empty: say why a rollback would do harm",
        "plan.steps[1].weight: `10%` does not rise: the step before has `20%`",
        "plan.steps[2].weight: `half` is not a weight: write a weight like `10%`",
    ] {
        assert!(detail.contains(told), "{detail}");
    }
    for (said, field) in [
        (json!({ "plan": { "steps": [{ "weight": "10%" }] } }), "plan.steps[0]"),
        (json!({ "plan": { "stepps": [] } }), "plan.stepps"),
        (json!({ "plan": "fast" }), "plan"),
        (json!({ "irreversible": true }), "irreversible"),
        (json!({ "irreversible": "" }), "irreversible"),
    ] {
        let (problem, _) = faults(&bench.proxy.post("/v1/release", &said));
        assert_eq!(problem["field"], field, "{problem}");
    }
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["plan"]["source"]), (&json!("idle"), &json!("configuration")));
}

#[test]
fn a_release_without_any_plan_has_nothing_that_could_be_irreversible_and_one_that_brings_it_has() {
    let bench = Bench::with(GATE);
    let detail = refusal(&bench.proxy.post("/v1/release", &json!({ "irreversible": GONE })), 409);
    assert!(detail.contains("or --plan"), "{detail}");
    assert_eq!(bench.proxy.status()["state"], "idle");
    let status = begin(&bench, &json!({ "plan": long(), "irreversible": GONE }));
    assert_eq!((&status["plan"]["source"], &status["plan"]["irreversible"]), (&json!("release"), &json!(GONE)));
}

#[test]
fn the_command_takes_a_plan_from_a_file_or_from_standard_input() {
    let bench = Bench::with_plan(SLOW);
    let (url, file) = (bench.url(), bench.data.path().join("plan.yaml"));
    let name = file.to_str().expect("text");
    let start = |more: &[&str]| portcullis(&[&["release", "start", "--admin", &url], more].concat(), &[]);
    std::fs::write(&file, "steps:\n- { weight: 20%, bake: 1h }\n- { weight: 10%, bake: 1h }\n").expect("a file");
    let said = refused(&start(&["--plan", name]), 1);
    assert!(said.contains("steps[1].weight: `10%` does not rise") && said.contains("plan.yaml:3:13"), "{said}");
    assert!(refused(&start(&["--irreversible", ""]), 1).contains("irreversible: is empty"));
    assert_eq!(bench.proxy.status()["state"], "idle");

    std::fs::write(&file, "steps: [{ weight: 20%, bake: 1h }]\n").expect("a file");
    let shown = printed(&start(&["--plan", name, "--irreversible", GONE, "--reason", "a test"]));
    assert!(shown.contains("  plan: of this release alone\n"), "{shown}");
    assert!(shown.contains(&format!("  irreversible: {GONE}\n")), "{shown}");
    granted(&bench.proxy.post("/v1/release/rollback", &json!({ "irreversible": true })));

    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["release", "start", "--admin", &url, "--plan", "-"]);
    command.stdin(std::fs::File::open(&file).expect("it was written"));
    let output = command.output().expect("the binary is built");
    assert!(printed(&output).contains("  plan: of this release alone\n"));
    assert_eq!(bench.proxy.status()["plan"]["steps"][0]["weight"], 20.0);
}
