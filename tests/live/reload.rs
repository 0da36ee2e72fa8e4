//! The configuration is read again: by SIGHUP, over the API, by the command, or because its file has changed.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{QUICK, SLOW, granted, named, refusal};
use crate::support::bench::{GATE, folder};
use crate::support::{Backend, Bench, Proxy, config, eventually, portcullis, refused};

const RELOAD: &str = "/v1/config/reload";

fn metric(proxy: &Proxy, line: &str) -> Option<f64> {
    let metrics = proxy.metrics();
    metrics.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

fn write(proxy: &Proxy, text: &str) {
    std::fs::write(proxy.file(), text).expect("the file can be written");
}

#[test]
fn row_91_a_hang_up_reads_the_configuration_again_and_ends_nothing() {
    let bench = Bench::with_plan(SLOW);
    let other = Backend::answering(200);
    let text = bench.text.replace(&bench.blue.address.to_string(), &other.address.to_string());
    write(&bench.proxy, &text);
    bench.proxy.signal("HUP");
    let event = bench.events.until("reloaded");
    assert_eq!(event.data["actor"], "SIGHUP");
    let said = event.data["sentence"].as_str().expect("a sentence").to_owned();
    assert!(said.contains(&format!("blue (v1 at {})", other.address)), "{said}");
    bench.assert_all_to(&other, &bench.blue);
    assert_eq!(bench.load.stop().lost, [""; 0]);
}

#[test]
fn row_64_a_configuration_with_faults_changes_nothing_and_every_fault_is_told() {
    let bench = Bench::with_plan(SLOW);
    let text = bench.text.replace("above: 50%", "above: 500%").replace("version: v1", "version: v2");
    write(&bench.proxy, &format!("{text}\nunheard: of\n"));
    let before = metric(&bench.proxy, "portcullis_config_last_reload_success_timestamp_seconds ").expect("a time");
    let response = bench.proxy.post(RELOAD, &Value::Null);
    let detail = refusal(&response, 422);
    let problem: Value = serde_json::from_slice(&response.body).expect("a document");
    let faults = problem["faults"].as_array().expect("a list");
    assert_eq!(faults.len(), 3, "{faults:#?}");
    assert!(faults.iter().all(|fault| fault["line"].is_u64() && fault["column"].is_u64()), "{faults:#?}");
    assert!(detail.contains("unheard") && detail.contains("500%"), "{detail}");
    let logged = bench.proxy.until_logged("the configuration was not loaded: everything is as it was");
    assert!(logged["error"].as_str().is_some_and(|error| error.contains("3 faults")), "{logged}");
    bench.assert_all_to(&bench.blue, &bench.green);
    assert_eq!(metric(&bench.proxy, "portcullis_config_reload_total{result=\"failure\"} "), Some(1.0));
    assert_eq!(metric(&bench.proxy, "portcullis_config_reload_total{result=\"success\"} "), Some(0.0));
    assert_eq!(metric(&bench.proxy, "portcullis_config_last_reload_success_timestamp_seconds "), Some(before));
    let command = ["reload", "--admin", &bench.url()];
    assert!(refused(&portcullis(&command, &[]), 1).contains("3 faults"));
    write(&bench.proxy, &bench.text);
    assert!(portcullis(&command, &[]).status.success());
    assert_eq!(metric(&bench.proxy, "portcullis_config_reload_total{result=\"success\"} "), Some(1.0));
    assert!(metric(&bench.proxy, "portcullis_config_last_reload_success_timestamp_seconds ") > Some(before));
}

#[test]
fn row_64_what_cannot_change_is_refused_by_name_and_nothing_of_the_rest_is_taken() {
    let bench = Bench::with_plan(SLOW);
    let text = bench.text.replace("workers: 1", "workers: 2").replace("above: 50%", "above: 40%");
    write(&bench.proxy, &text);
    let detail = refusal(&bench.proxy.post(RELOAD, &Value::Null), 409);
    assert_eq!(detail, "workers cannot change while the process runs; start it anew, or take the change back");
    bench.operate("start");
    write(&bench.proxy, &bench.text.replace("version: v2", "version: v3"));
    let detail = refusal(&bench.proxy.post(RELOAD, &Value::Null), 409);
    assert!(detail.starts_with("green.version is v2 in release 1, which is open, and cannot become v3"), "{detail}");
}

#[test]
fn row_64_a_running_release_is_judged_by_the_policy_that_was_loaded_and_its_report_and_replay_say_so() {
    let bench = Bench::with_plan(SLOW);
    bench.operate("start");
    bench.events.until("stepped");
    write(&bench.proxy, &bench.text.replace("above: 50%", "above: 99.9%"));
    let status = granted(&bench.proxy.post(RELOAD, &Value::Null));
    assert_eq!((&status["state"], &status["weight"]), (&json!("stepping"), &json!(50.0)));
    // Half of what a bound of 50 % needs, and more than one of 99.9 %.
    bench.green.answer(500);
    bench.load.until_more(20);
    bench.green.answer(200);
    write(&bench.proxy, &bench.text.replace("above: 50%", "above: 0.1%"));
    granted(&bench.proxy.post(RELOAD, &Value::Null));
    let rolled_back = bench.events.until("rolledBack");
    assert!(rolled_back.data["sentence"].as_str().is_some_and(|said| said.contains("above 0.1 %")), "{rolled_back:?}");
    let report = bench.proxy.call("GET", "/v1/releases/v2-1/report", &Value::Null).text();
    assert_eq!(report.matches("what changed: gate").count(), 2, "{report}");
    let replay = portcullis(&["replay", "--admin", &bench.url(), "v2-1"], &[]);
    assert!(replay.status.success(), "{}", crate::support::printed(&replay));
}

#[test]
fn a_plan_that_is_loaded_while_a_release_runs_is_the_one_of_the_next() {
    let bench = Bench::with_plan(SLOW);
    bench.operate("start");
    write(&bench.proxy, &bench.text.replace(SLOW, QUICK));
    let status = granted(&bench.proxy.post(RELOAD, &Value::Null));
    assert_eq!(status["plan"]["steps"][0]["bake"], 3600.0);
    bench.operate("rollback");
    bench.operate("start");
    bench.until_state("completed");
}

#[test]
fn row_91_a_watched_file_that_is_a_symbolic_link_is_followed_when_that_is_swapped() {
    let (blue, other) = (Backend::answering(200), Backend::answering(200));
    let text = |blue: &Backend| config(&[blue.address], &[blue.address], GATE).replace("version: v2", "version: other");
    let data = folder();
    let proxy = Proxy::start_watching(data.path(), &text(&blue));
    // As a mounted ConfigMap: the file is a link, and another link takes its place.
    let (real, link) = (data.path().join("second.yaml"), proxy.file().with_extension("link"));
    std::fs::write(&real, text(&other)).expect("a file");
    std::os::unix::fs::symlink(&real, &link).expect("a link");
    std::fs::rename(&link, proxy.file()).expect("links are renamed");
    assert!(proxy.file().read_link().is_ok_and(|to| to == Path::new(&real)));
    eventually("an answer of the other", || {
        assert_eq!(proxy.get("/").status, 200);
        (other.count() > 0).then_some(())
    });
}

#[test]
fn tokens_and_signals_are_read_again() {
    let data = folder();
    let tokens = data.path().join("tokens.yaml");
    let write_token = |secret: &str| {
        let digest: String = Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("tokens:\n- {{ name: ci, role: operator, sha256: {digest} }}\n");
        std::fs::write(&tokens, text).expect("a file");
    };
    let (first, second) = ("the-first", "the-second");
    write_token(first);
    let blue = Backend::answering(200);
    let text = config(&[blue.address], &[blue.address], GATE);
    let text = text.replace(
        "admin: { listen: 127.0.0.1:0 }",
        &format!("admin: {{ listen: 127.0.0.1:0, tokens: {} }}", tokens.display()),
    );
    let proxy = Proxy::start(&text);
    let ask = |path: &str, secret: &str| {
        let host = format!("Host: {}", proxy.admin);
        let bearer = format!("Authorization: Bearer {secret}");
        proxy.ask("POST", path, &[&host, &bearer, "Content-Type: application/json"], "{\"state\": \"firing\"}").status
    };
    assert_eq!((ask("/v1/signals/alerts", first), ask("/v1/signals/alerts", second)), (200, 401));
    write_token(second);
    write(&proxy, &text.replace("name: alerts", "name: pages"));
    assert_eq!(ask(RELOAD, first), 200);
    assert_eq!((ask("/v1/signals/alerts", second), ask("/v1/signals/pages", first)), (404, 401));
    assert_eq!(ask("/v1/signals/pages", second), 200);
}

#[test]
fn a_green_that_was_named_stays_through_a_reload_of_the_same_file() {
    let bench = Bench::with_plan(SLOW);
    let third = Backend::answering(200);
    granted(&bench.proxy.post("/v1/release", &named("v3", &third)));
    write(&bench.proxy, &bench.text.replace("above: 50%", "above: 51%"));
    let status = granted(&bench.proxy.post(RELOAD, &Value::Null));
    assert_eq!((&status["green"]["version"], &status["state"]), (&json!("v3"), &json!("stepping")));
}

#[test]
fn new_endpoints_of_the_green_of_the_file_do_not_take_the_place_of_another_green_that_is_being_released() {
    let bench = Bench::with_plan(SLOW);
    let (third, fourth) = (Backend::answering(200), Backend::answering(200));
    granted(&bench.proxy.post("/v1/release", &named("v3", &third)));
    write(&bench.proxy, &bench.text.replace(&bench.green.address.to_string(), &fourth.address.to_string()));
    let detail = refusal(&bench.proxy.post(RELOAD, &Value::Null), 409);
    assert!(detail.starts_with("green.version is v3 in release 1, which is open, and cannot become v2"), "{detail}");
    assert_eq!(bench.proxy.status()["green"]["version"], "v3");
    bench.events.until("stepped");
    bench.load.until_more(100);
    assert!(third.count() > 0 && fourth.count() == 0);
}

#[test]
fn a_release_that_is_irreversible_stays_so_when_the_file_no_longer_says_it() {
    let plan = |irreversible: &str| format!("{{ steps: [{{ weight: 50%, bake: 1h }}], monitoring: 1h{irreversible} }}");
    let (with, without) = (plan(", irreversible: \"the table is gone\""), plan(""));
    // By the default policy, in which the workers roll back by themselves.
    let bench = Bench::with(&format!("release: {with}\n"));
    bench.operate("start");
    bench.events.until("stepped");
    write(&bench.proxy, &bench.text.replace(&with, &without));
    granted(&bench.proxy.post(RELOAD, &Value::Null));
    bench.green.answer(500);
    bench.events.until("irreversible");
    assert_eq!(bench.proxy.status()["weight"], 50.0);
}
