//! Releases on the real proxy: the plan, the people who operate it, and what a restart leaves of it.

use std::process::Command;

use serde_json::json;

use super::support::bench::GATE;
use super::support::{Backend, Bench, Proxy, config};

const PLAN: &str = "{ steps: [{ weight: 20%, bake: 300ms }, { weight: 50%, bake: 300ms }], monitoring: 300ms }";

/// Steps that no test waits for.
const SLOW: &str = "{ steps: [{ weight: 20%, bake: 1h }, { weight: 50%, bake: 1h }], monitoring: 1h }";

/// As [`SLOW`], and the gate may not roll back.
const IRREVERSIBLE: &str =
    "{ steps: [{ weight: 20%, bake: 1h }], monitoring: 1h, irreversible: \"the table is gone\" }";

#[test]
fn a_plan_runs_through_its_steps_until_green_is_the_new_blue() {
    let bench = Bench::with_plan(PLAN);
    assert_eq!(bench.operate("start")["state"], "stepping");
    for (kind, weight) in
        [("started", 0.0), ("stepped", 20.0), ("stepped", 50.0), ("promoted", 100.0), ("completed", 0.0)]
    {
        let event = bench.events.next();
        assert_eq!((event.kind.as_str(), &event.data["weight"]), (kind, &json!(weight)), "{event:?}");
    }
    let status = bench.until_state("completed");
    for (version, backend) in [("blue", &bench.green), ("green", &bench.blue)] {
        let metrics = bench.proxy.metrics();
        let of = metrics.lines().filter(|line| line.contains("endpoint_healthy{") && line.contains(version));
        let endpoint = backend.address.to_string();
        assert_eq!(of.filter_map(|line| line.split('"').nth(3)).collect::<Vec<_>>(), [endpoint], "{metrics}");
    }
    assert_eq!((&status["blue"]["version"], &status["green"]["version"]), (&json!("v2"), &json!("v1")));
    bench.assert_all_to(&bench.green, &bench.blue);
}

#[test]
fn the_scrape_names_the_release_of_the_moment_and_its_step_and_none_of_before() {
    let bench = Bench::with_plan(SLOW);
    let named = |blue: &str, green: &str, epoch: &str| {
        let labels = [("service", "default"), ("blue", blue), ("green", green), ("epoch", epoch)];
        let labels = labels.map(|(name, value)| format!("{name}=\"{value}\""));
        bench.proxy.until_metric("portcullis_release_info", &labels.each_ref().map(String::as_str), 1.0);
        let metrics = bench.proxy.metrics();
        let shown = metrics.lines().filter(|line| line.starts_with("portcullis_release_info{"));
        assert_eq!(shown.count(), 1, "{metrics}");
    };
    let step = |step: f64, of: f64| {
        bench.proxy.until_metric("portcullis_release_step", &[], step);
        assert_eq!(bench.proxy.metric("portcullis_release_steps", &[]), of);
    };
    named("v1", "v2", "0");
    step(0.0, 3.0);
    bench.operate("start");
    named("v1", "v2", "1");
    step(1.0, 3.0);
    bench.operate("promote");
    step(3.0, 3.0);
    assert_eq!(bench.operate("promote")["state"], "completed");
    named("v2", "v1", "1");
}

#[test]
fn a_step_with_an_approval_waits_for_it_however_long_its_bake_is_over() {
    let bench = Bench::with_plan(&PLAN.replacen("bake: 300ms }", "bake: 300ms, approval: true }", 1));
    bench.operate("start");
    let asked = bench.events.until("awaitingApproval");
    assert_eq!(asked.data["weight"], 20.0);
    let waiting = bench.proxy.status();
    assert_eq!((&waiting["state"], &waiting["step"]), (&json!("paused"), &json!(1)));
    assert!(bench.conflict("resume").contains("POST /v1/release/approve"));
    bench.load.until_more(200);
    assert_eq!(bench.proxy.status()["weight"], 20.0);
    bench.operate("approve");
    assert_eq!(bench.events.next().kind, "approved");
    assert_eq!(bench.events.until("stepped").data["weight"], 50.0);
    bench.until_state("completed");
}

#[test]
fn a_pause_and_a_weight_by_hand_halt_the_plan_and_a_resume_goes_on_with_it() {
    let bench = Bench::with_plan(SLOW);
    bench.operate("start");
    bench.events.until("stepped");
    assert_eq!(bench.operate("pause")["state"], "paused");
    let resumed = bench.operate("resume");
    assert_eq!((&resumed["state"], &resumed["weight"]), (&json!("stepping"), &json!(20.0)));
    assert!(bench.conflict("resume").contains("is not paused"));

    bench.proxy.set_weight(35.0);
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["weight"]), (&json!("paused"), &json!(35.0)));
    let resumed = bench.operate("resume");
    assert_eq!((&resumed["weight"], &resumed["step"]), (&json!(20.0), &json!(1)), "at the weight of its step");

    bench.proxy.set_weight(35.0);
    // The gate stays armed while the plan is halted.
    bench.green.answer(500);
    assert_eq!(bench.events.until("rolledBack").data["actor"], "gate");
    assert!(bench.conflict("resume").contains("start a new release with POST /v1/release"));
}

#[test]
fn a_promotion_skips_the_rest_and_a_second_one_the_monitoring() {
    let bench = Bench::with_plan(SLOW);
    bench.operate("start");
    bench.events.until("stepped");
    let promoted = bench.operate("promote");
    assert_eq!(
        (&promoted["state"], &promoted["weight"], &promoted["step"]),
        (&json!("promoted"), &json!(100.0), &json!(3))
    );
    bench.assert_all_to(&bench.green, &bench.blue);
    assert_eq!(bench.operate("promote")["state"], "completed");
    assert!(bench.conflict("promote").contains("start one with POST /v1/release"));
}

#[test]
fn promise_2_a_rollback_by_hand_works_in_every_state_of_a_release() {
    let check = |way: &[&str], state: &str| {
        let bench = Bench::with_plan(SLOW);
        way.iter().for_each(|operation| drop(bench.operate(operation)));
        bench.until_state(state);
        let status = bench.operate("rollback");
        assert_eq!((&status["state"], &status["weight"]), (&json!("rolledBack"), &json!(0.0)), "{way:?}");
        assert_eq!(status["rollback"]["reason"], "rolled back by local: a test");
        assert_eq!(status["blue"]["version"], "v1", "{way:?}: also after green had become blue");
        bench.assert_all_to(&bench.blue, &bench.green);
        for operation in ["pause", "resume", "approve", "promote"] {
            let refused = bench.conflict(operation);
            assert!(refused.contains("rolled back by local") && refused.contains("POST /v1/release"), "{refused}");
        }
    };
    check(&["start"], "stepping");
    check(&["start", "pause"], "paused");
    check(&["start", "promote"], "promoted");
    check(&["start", "promote", "promote"], "completed");
}

#[test]
fn what_is_asked_for_without_a_release_is_refused_with_the_way_on() {
    let bench = Bench::with_plan(SLOW);
    for operation in ["pause", "resume", "approve", "promote"] {
        let refused = bench.conflict(operation);
        assert!(refused.contains("start one with POST /v1/release"), "{operation}: {refused}");
    }
    bench.operate("start");
    assert!(bench.conflict("start").contains("roll it back, promote it or set its weight"));
    assert!(bench.conflict("approve").contains("no step that waits for an approval"));
}

#[test]
fn an_irreversible_release_is_only_paused_by_the_gate_and_rolled_back_by_who_says_so() {
    let bench = Bench::with_plan(IRREVERSIBLE);
    bench.operate("start");
    bench.events.until("stepped");
    bench.green.answer(500);
    let kept = bench.events.until("irreversible");
    let sentence = kept.data["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("not rolled back") && sentence.contains("the table is gone"), "{sentence}");
    assert_eq!(bench.proxy.status()["state"], "paused");
    let refused = bench.conflict("rollback");
    assert!(refused.contains("the table is gone") && refused.contains("\"irreversible\": true"), "{refused}");
    let body = json!({ "reason": "I know", "irreversible": true });
    assert_eq!(bench.proxy.post("/v1/release/rollback", &body).status, 200);
    bench.assert_all_to(&bench.blue, &bench.green);
}

#[test]
fn promise_2_a_latch_survives_a_crash_and_another_green_version_opens_again() {
    let mut bench = Bench::with_plan(SLOW);
    bench.operate("start");
    bench.events.until("stepped");
    bench.green.answer(500);
    let reason = bench.events.until("rolledBack").data["sentence"].clone();
    let text = bench.text.clone();
    bench.crash_and_start(&text);
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["epoch"]), (&json!("rolledBack"), &json!(1)));
    assert_eq!(status["rollback"]["reason"], reason);
    assert!(bench.conflict("resume").contains("POST /v1/release"));
    assert_eq!(bench.proxy.call("PUT", "/v1/weight", &json!({ "weight": 5 })).status, 409);
    bench.assert_all_to(&bench.blue, &bench.green);

    // Another green version is another release.
    bench.green.answer(200);
    bench.crash_and_start(&text.replace("version: v2", "version: v3"));
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["epoch"]), (&json!("idle"), &json!(1)));
    assert_eq!(bench.operate("start")["epoch"], 2);
    assert_eq!(bench.events.until("stepped").data["weight"], 20.0);
}

#[test]
fn a_release_under_way_goes_on_after_a_crash_at_its_step_and_weight() {
    let mut bench = Bench::with_plan(&SLOW.replacen("bake: 1h", "bake: 300ms", 1));
    bench.operate("start");
    bench.events.until("stepped");
    assert_eq!(bench.events.until("stepped").data["weight"], 50.0);
    let text = bench.text.clone();
    bench.crash_and_start(&text);
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["step"], &status["epoch"]), (&json!("stepping"), &json!(2), &json!(1)));
    let reached = bench.green.count();
    bench.load.until_more(200);
    assert!(bench.green.count() > reached + 50, "half of the load goes to green");
    assert_eq!(status["weight"], 50.0);

    // A plan that is changed under its release halts it.
    bench.crash_and_start(&text.replace("weight: 50%", "weight: 60%"));
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["weight"]), (&json!("paused"), &json!(50.0)));
    assert!(status["pause"].as_str().is_some_and(|pause| pause.contains("the plan was changed")), "{status:#}");
}

#[test]
fn a_completed_release_stays_the_new_blue_after_a_crash() {
    let mut bench = Bench::with_plan(SLOW);
    ["start", "promote", "promote"].iter().for_each(|operation| drop(bench.operate(operation)));
    let text = bench.text.clone();
    bench.crash_and_start(&text);
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["blue"]["version"]), (&json!("completed"), &json!("v2")));
    bench.assert_all_to(&bench.green, &bench.blue);
}

#[test]
fn a_rollback_by_hand_after_a_completed_release_gives_the_version_that_is_configured_next_nothing() {
    let mut bench = Bench::with_plan(SLOW);
    ["start", "promote", "promote"].iter().for_each(|operation| drop(bench.operate(operation)));
    let rest = format!("release: {SLOW}\n{GATE}");
    let next = config(&[bench.green.address], &[bench.blue.address], &rest);
    let next = next.replace("version: v2", "version: v3").replace("version: v1", "version: v2");
    bench.crash_and_start(&next);
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["blue"]["version"]), (&json!("idle"), &json!("v2")), "{status:#}");
    assert_eq!(bench.operate("rollback")["blue"]["version"], "v2");
    bench.assert_all_to(&bench.green, &bench.blue);
    assert_eq!(bench.operate("start")["green"]["version"], "v3");
}

#[test]
fn a_restart_without_the_version_that_had_become_blue_says_that_its_traffic_goes_elsewhere() {
    let mut bench = Bench::with_plan(SLOW);
    ["start", "promote", "promote"].iter().for_each(|operation| drop(bench.operate(operation)));
    let text = bench.text.replace("version: v2", "version: v3");
    bench.crash_and_start(&text);
    let said = bench.proxy.until_logged("the blue of before is not configured: its traffic goes to another version");
    assert_eq!((&said["was"], &said["is"]), (&json!("v2"), &json!("v1")));
    assert_eq!(bench.proxy.status()["state"], "idle");
}

#[test]
fn what_was_counted_of_a_version_stays_with_it_when_green_becomes_blue_and_when_that_is_rolled_back() {
    let (v1, v2) = (Backend::answering(200), Backend::answering(200));
    let proxy = Proxy::start(&config(&[v1.address], &[v2.address], GATE));
    let mut client = proxy.client();
    let operate = |operation: &str| assert_eq!(proxy.post(&format!("/v1/release{operation}"), &json!({})).status, 200);
    let shows = |blue: (&str, u64), green: (&str, u64)| {
        proxy.until(|status| {
            let of = |name: &str, (version, requests): (&str, u64)| {
                status[name]["version"] == version && status[name]["requests"] == requests
            };
            of("blue", blue) && of("green", green)
        });
    };
    operate("");
    (0..20).for_each(|_| drop(client.get("/")));
    shows(("v1", 20), ("v2", 0));
    operate("/promote");
    (0..30).for_each(|_| drop(client.get("/")));
    operate("/promote");
    shows(("v2", 30), ("v1", 20));
    (0..5).for_each(|_| drop(client.get("/")));
    shows(("v2", 35), ("v1", 20));
    operate("/rollback");
    shows(("v1", 20), ("v2", 35));
}

#[test]
fn a_second_process_on_the_same_journal_is_refused_by_name() {
    let bench = Bench::with_plan(SLOW);
    let file = bench.data.path().join("second.yaml");
    let text = config(&[bench.blue.address], &[bench.green.address], GATE);
    std::fs::write(&file, text).expect("the folder is writable");
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    let output = command.args(["run", "--config"]).arg(&file).arg("--data").arg(bench.data.path()).output();
    let output = output.expect("the binary is built");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let pid = bench.proxy.pid().to_string();
    assert!(said.contains(&bench.data.path().display().to_string()) && said.contains(&pid), "{pid}: {said}");
    assert_eq!(bench.proxy.get("/").status, 200);
}
