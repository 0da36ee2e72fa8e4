//! `portcullis gate` in a shell script, as a pipeline uses it.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::support::bench::GATE;
use super::support::{Backend, Bench, Proxy, Upstream, config, portcullis, printed, refused, stdout};

const PLAN: &str = "{ steps: [{ weight: 20%, bake: 300ms }], monitoring: 300ms }";
const SLOW: &str = "{ steps: [{ weight: 20%, bake: 1h }], monitoring: 1h }";

/// What a pipeline does: it starts the release, waits for its fate, and goes its way by the exit code.
const PIPELINE: &str = r#"
set -eu
portcullis release start --reason "build 42" >/dev/null
code=0
said=$(portcullis gate --wait --timeout "$TIMEOUT") || code=$?
case $code in
  0) echo "tag as stable: $said" ;;
  1) echo "open a ticket: $said" ;;
  2) echo "ask somebody: $said" ;;
  *) echo "broken: $code" >&2; exit 70 ;;
esac
"#;

fn pipeline(admin: &str, timeout: &str) -> Child {
    let binary = Path::new(env!("CARGO_BIN_EXE_portcullis"));
    let folder = binary.parent().expect("it is in a folder").display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    Command::new("bash")
        .args(["-c", PIPELINE])
        .env_remove("PORTCULLIS_TOKEN")
        .envs([("PATH", path.as_str()), ("PORTCULLIS_ADMIN", admin), ("TIMEOUT", timeout)])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bash is there")
}

#[track_caller]
fn end(pipeline: Child) -> String {
    let output = pipeline.wait_with_output().expect("a child of ours");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    stdout(&output)
}

#[test]
fn a_pipeline_goes_on_when_the_release_was_promoted() {
    let bench = Bench::with_plan(PLAN);
    let said = end(pipeline(&bench.url(), "20s"));
    assert_eq!(said, "tag as stable: promoted (epoch 1, completed): v2 has all the traffic and is the new blue\n");
}

#[test]
fn a_pipeline_stops_when_the_release_was_rolled_back_and_hears_why() {
    let bench = Bench::with_plan(SLOW);
    let pipeline = pipeline(&bench.url(), "20s");
    bench.events.until("stepped");
    bench.green.answer(500);
    let reason = bench.events.until("rolledBack").data["sentence"].as_str().expect("a sentence").to_owned();
    assert_eq!(end(pipeline), format!("open a ticket: rolled back (epoch 1, rolledBack): {reason}\n"));
}

#[test]
fn a_pipeline_that_has_waited_long_enough_is_told_that_nothing_is_decided() {
    let bench = Bench::with_plan(SLOW);
    let began = Instant::now();
    let said = end(pipeline(&bench.url(), "500ms"));
    assert!(began.elapsed() >= Duration::from_millis(500));
    assert!(said.starts_with("ask somebody: undecided (epoch 1, stepping): "), "{said}");
}

#[test]
fn a_pipeline_waits_on_while_the_proxy_restarts_and_hears_what_came_of_the_release() {
    let mut bench = Bench::with_plan(SLOW);
    let pipeline = pipeline(&bench.url(), "20s");
    bench.events.until("stepped");
    // The same address as before, which the pipeline knows.
    let text =
        bench.text.replace("admin: { listen: 127.0.0.1:0 }", &format!("admin: {{ listen: {} }}", bench.proxy.admin));
    bench.crash_and_start(&text);
    bench.operate("rollback");
    assert_eq!(end(pipeline), "open a ticket: rolled back (epoch 1, rolledBack): rolled back by local: a test\n");
}

#[test]
fn a_pipeline_learns_at_once_which_release_it_waits_for_so_that_a_restart_cannot_hide_its_end() {
    let admin = Upstream::scripted(|connection| {
        while let Some(request) = connection.request() {
            let (outcome, state) = match request.target.as_str() {
                "/v1/gate?wait=0ms" => ("undecided", "stepping"),
                _ => ("rolledBack", "idle"),
            };
            let body = json!({ "outcome": outcome, "epoch": 7, "state": state, "sentence": "" }).to_string();
            connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
        }
    });
    let url = format!("http://{}", admin.address);
    let waited = portcullis(&["gate", "--wait", "--timeout", "20s", "--admin", &url], &[]);
    assert_eq!(stdout(&waited), "rolled back (epoch 7, idle): \n");
    let [first, second] = &admin.requests()[..] else { panic!("{:?}", admin.requests()) };
    assert_eq!(first.target, "/v1/gate?wait=0ms");
    assert!(second.target.ends_with("ms&epoch=7"), "{}", second.target);
}

#[test]
fn a_release_that_another_green_version_ended_was_rolled_back() {
    let mut bench = Bench::with_plan(SLOW);
    bench.operate("start");
    bench.events.until("stepped");
    let text = bench.text.replace("version: v2", "version: v3");
    bench.crash_and_start(&text);
    let response = bench.proxy.call("GET", "/v1/gate?epoch=1&wait=60s", &Value::Null);
    let answer: Value = serde_json::from_slice(&response.body).expect("JSON");
    let expected = json!({
        "outcome": "rolledBack", "epoch": 1, "state": "idle", "sentence": "release 1 was rolled back; no release is open",
    });
    assert_eq!(answer, expected);
}

#[test]
fn without_wait_the_exit_code_is_that_of_the_moment() {
    let bench = Bench::with_plan(SLOW);
    let url = bench.url();
    let gate = |arguments: &[&str]| portcullis(&[&["gate", "--admin", &url], arguments].concat(), &[]);
    let code = |output: &Output| output.status.code();
    assert_eq!(code(&gate(&[])), Some(2), "no release yet");
    bench.operate("start");
    let output = gate(&["--json"]);
    let answer: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!((code(&output), &answer["outcome"], &answer["epoch"]), (Some(2), &json!("undecided"), &json!(1)));
    bench.operate("promote");
    assert_eq!(code(&gate(&[])), Some(2), "at 100 % the gate still watches");
    bench.operate("promote");
    assert_eq!(printed(&gate(&[])), "promoted (epoch 1, completed): v2 has all the traffic and is the new blue\n");
    bench.operate("rollback");
    assert_eq!(code(&gate(&[])), Some(1));
    let usage = refused(&gate(&["--timeout", "1h"]), 2);
    assert!(usage.contains("--wait"), "{usage}");
    let usage = refused(&gate(&["--wait", "--timeout", "soon"]), 2);
    assert!(usage.contains("is not a duration"), "{usage}");
}

#[test]
fn a_release_that_waits_for_people_is_undecided_and_the_pipeline_hears_for_what_and_waits_on() {
    let approval = "steps: [{ weight: 20%, bake: 100ms, approval: true }], monitoring: 100ms";
    let gate = "runbook: { beforeStart: [{ name: owner, manual: { text: Ask the owner } }] }";
    for (plan, runbook, event, told) in [
        (approval, "", "awaitingApproval", "the bake is over, and the step waits for an approval"),
        (
            "steps: [{ weight: 20%, bake: 100ms }], monitoring: 100ms",
            gate,
            "gateRefused",
            "`beforeStart` has refused: `owner` is for people: Ask the owner",
        ),
    ] {
        let bench = Bench::with(&format!("release: {{ {plan} }}\n{GATE}{runbook}\n"));
        bench.operate("start");
        bench.events.until(event);
        let url = bench.url();
        let waited = portcullis(&["gate", "--wait", "--timeout", "100ms", "--admin", &url], &[]);
        let said = stdout(&waited);
        assert_eq!(waited.status.code(), Some(2), "{said}");
        assert!(said.starts_with(&format!("undecided (epoch 1, paused): {told}")), "{said}");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| portcullis(&["gate", "--wait", "--timeout", "20s", "--admin", &url], &[]));
            bench.operate("approve");
            assert_eq!(waiting.join().expect("it ends").status.code(), Some(0));
        });
    }
}

#[test]
fn the_endpoint_answers_when_the_fate_is_known_and_remembers_that_of_an_earlier_release() {
    let bench = Bench::with_plan(SLOW);
    let ask = |query: &str| {
        let response = bench.proxy.call("GET", &format!("/v1/gate{query}"), &Value::Null);
        (response.status, serde_json::from_slice::<Value>(&response.body).expect("JSON"))
    };
    assert_eq!(ask("").1["outcome"], "undecided");
    bench.operate("start");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ask("?wait=60s"));
        bench.operate("rollback");
        let (status, answer) = waiting.join().expect("it is answered");
        assert_eq!((status, &answer["outcome"], &answer["epoch"]), (200, &json!("rolledBack"), &json!(1)));
    });
    bench.operate("start");
    let (_, answer) = ask("?wait=60s&epoch=1");
    assert_eq!((&answer["outcome"], &answer["epoch"]), (&json!("rolledBack"), &json!(1)));
    assert_eq!(answer["sentence"], "release 1 was rolled back; epoch 2 has begun since");
    assert_eq!(ask("?epoch=9").1["outcome"], "undecided");
    assert_eq!(ask("?epoch=2").1["outcome"], "undecided");
    for (query, field) in [("?wait=61s", "wait"), ("?wait=-1s", "wait"), ("?wait=30", "wait"), ("?wiat=1s", "wiat")] {
        let (status, problem) = ask(query);
        assert_eq!((status, &problem["field"]), (422, &json!(field)), "{query}: {problem}");
    }
}

#[test]
fn a_refused_token_and_a_proxy_that_is_not_there_are_neither_promoted_nor_rolled_back() {
    let backend = Backend::answering(200);
    let digest: String = Sha256::digest(b"right").iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let tokens = folder.path().join("tokens.yaml");
    std::fs::write(&tokens, format!("tokens: [{{ name: vera, role: viewer, sha256: \"{digest}\" }}]"))
        .expect("writable");
    let text = config(&[backend.address], &[backend.address], "")
        .replace("admin: { listen: 127.0.0.1:0 }", &format!("admin: {{ listen: 127.0.0.1:0, tokens: {tokens:?} }}"));
    let proxy = Proxy::start(&text);
    let url = format!("http://{}", proxy.admin);
    for arguments in [&["gate"] as &[&str], &["gate", "--wait"]] {
        let go = |rest: &[&str]| portcullis(&[arguments, rest].concat(), &[]);
        assert!(refused(&go(&["--admin", &url]), 3).contains("a bearer token is needed"));
        assert!(refused(&go(&["--admin", &url, "--token", "wrong"]), 3).contains("not known"));
        assert!(refused(&go(&["--admin", "ftp://127.0.0.1:1"]), 3).contains("http and https only"));
    }
    assert_eq!(portcullis(&["gate", "--admin", &url, "--token", "right"], &[]).status.code(), Some(2));
    assert!(refused(&portcullis(&["gate", "--admin", "http://127.0.0.1:1"], &[]), 3).contains("no proxy answers"));
    let waited = portcullis(&["gate", "--wait", "--timeout", "1s", "--admin", "http://127.0.0.1:1"], &[]);
    assert!(refused(&waited, 2).contains("no answer within 1 s"));
}
