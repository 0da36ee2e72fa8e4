//! What is recorded of releases, through the API and the commands: the list, the report, the evidence and its replay.

use serde_json::{Value, json};

use super::support::{Backend, Bench, Proxy, Upstream, config, eventually, portcullis, printed, refused, stdout};

const SLOW: &str = "{ steps: [{ weight: 20%, bake: 300ms }, { weight: 50%, bake: 1h }], monitoring: 1h }";

/// One release that the gate rolled back, and what the journal calls it.
fn rolled_back() -> Bench {
    let bench = Bench::with_plan(SLOW);
    bench.operate("start");
    bench.events.until("stepped");
    bench.operate("pause");
    bench.operate("resume");
    assert_eq!(bench.events.until("stepped").data["weight"], 50.0);
    bench.green.answer(500);
    bench.events.until("rolledBack");
    bench
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn promise_6_a_replay_decides_as_was_decided_to_the_last_bit_and_another_policy_as_it_would() {
    let mut bench = rolled_back();
    let url = bench.url();
    let shown = printed(&portcullis(&["replay", "v2-1", "--admin", &url], &[]));
    assert!(shown.ends_with("Every decision comes out as it was, to the last bit.\n"), "{shown}");
    for kind in ["started", "stepped", "paused", "resumed", "rolledBack"] {
        assert_eq!(shown.matches(&format!("  {kind} by ")).count() % 2, 0, "each twice: {kind} in {shown}");
        assert!(shown.contains(kind), "{shown}");
    }
    let all = parsed(&printed(&portcullis(&["replay", "v2-1", "--json", "--admin", &url], &[])));
    assert_eq!((&all["difference"], &all["recorded"]), (&Value::Null, &all["replayed"]));

    let other = bench.data.path().join("other.yaml");
    let name = other.to_str().expect("text").to_owned();
    std::fs::write(&other, bench.text.replace("name: spike,", "name: spike, action: pause,")).expect("writable");
    let shown = printed(&portcullis(&["replay", "--policy", &name, "v2-1", "--admin", &url], &[]));
    let (was, would) = shown.split_once("other.yaml decides").expect("both");
    assert!(was.contains("rolledBack by gate") && !would.contains("rolledBack"), "{shown}");
    assert!(would.contains("paused by gate, green at 50 %"), "{shown}");

    std::fs::write(&other, "gate: {}\n").expect("writable");
    let said = refused(&portcullis(&["replay", "--policy", &name, "v2-1", "--admin", &url], &[]), 1);
    assert!(said.contains("missing key `listen`") && said.contains("is not usable"), "{said}");

    // Also after a crash in the middle of a release.
    bench.green.answer(200);
    bench.operate("start");
    bench.events.until("stepped");
    let text = bench.text.clone();
    bench.crash_and_start(&text);
    bench.green.answer(500);
    bench.events.until("rolledBack");
    let shown = printed(&portcullis(&["replay", "v2-2", "--admin", &bench.url()], &[]));
    assert!(shown.contains("restarted by plan") && shown.contains("to the last bit"), "{shown}");
}

#[test]
fn promise_6_a_release_of_variables_is_replayed_where_they_are_not_set_and_no_secret_is_recorded() {
    let (blue, green) = (Backend::answering(200), Backend::answering(500));
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens.yaml");
    std::fs::write(&tokens, "tokens: [{ name: otto, role: operator, token: env:OTTO }]\n").expect("writable");
    let gate =
        "gate: { compare: { enabled: false }, triggers: [{ name: ${NAME}, metric: failureStreak, atLeast: ${FIVE} }] }";
    let admin = format!("admin: {{ listen: 127.0.0.1:0, tokens: {tokens:?} }}");
    let text = config(&[blue.address], &[green.address], gate).replace("admin: { listen: 127.0.0.1:0 }", &admin);
    let secret = "hunter2-and-more";
    let token = format!("OTTO={secret}");
    let data = folder.path().join("data");
    let proxy = Proxy::start_by(&["env", "NAME=dead-by-name", "FIVE=5", &token], &data, &text);
    let authorization = format!("Authorization: Bearer {secret}");
    let host = format!("Host: {}", proxy.admin);
    let fields = [host.as_str(), authorization.as_str(), "Content-Type: application/json"];
    let set = proxy.ask("PUT", "/v1/weight", &fields, r#"{"weight": 10, "reason": "a test"}"#);
    assert_eq!(set.status, 200, "{}", set.text());
    let mut client = proxy.client();
    (0..100).for_each(|_| _ = client.get("/"));
    let url = format!("http://{}", proxy.admin);
    let call = |arguments: &[&str]| {
        let to = ["--admin", &url, "--token", secret];
        portcullis(&[arguments, &to].concat(), &[])
    };
    eventually("the rollback", || {
        let status = parsed(&proxy.ask("GET", "/v1/status", &fields, "").text());
        (status["state"] == "rolledBack").then_some(())
    });
    let replayed = printed(&call(&["replay", "v2-1"]));
    assert!(replayed.ends_with("to the last bit.\n"), "{replayed}");
    let release = proxy.ask("GET", "/v1/releases/v2-1", &fields, "").text();
    assert!(release.contains("dead-by-name") && !release.contains("${FIVE}"), "{release}");
    let log = proxy.log();
    drop(proxy);
    let journal = std::fs::read(data.join("journal.redb")).expect("it was written");
    let holds = |secret: &str| journal.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
    assert!(holds("dead-by-name") && !holds(secret), "the values are in the journal, the secret is not");
    assert!(!log.contains(secret) && !release.contains(secret), "{log}{release}");
}

/// A journal of three releases: rolled back by the streak of then, by the comparison, and promoted. It was made by commit
/// 535de25, before decisions had their grounds and streaks their numbers, with one client over loopback.
const OLD_JOURNAL: &[u8] = include_bytes!("records/before-evidence.redb.gz");

const OLD_CONFIGURATION: &str =
    "release: { steps: [{ weight: 20%, bake: 2s }, { weight: 50%, bake: 2s }], monitoring: 2s }
gate:
  minimumRequests: 20
  warmUp: { time: 0s, requests: 0 }
  triggers:
  - { name: dead, metric: failureStreak, atLeast: 5 }
  - { name: meltdown, metric: errorRate, above: 60%, window: 5s }
";

#[test]
fn a_journal_of_an_older_version_is_read_and_a_replay_says_which_decision_differs_and_how() {
    let data = tempfile::tempdir().expect("a folder");
    let mut journal = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(OLD_JOURNAL), &mut journal).expect("it is packed");
    std::fs::write(data.path().join("journal.redb"), journal).expect("writable");
    let (blue, green) = (Upstream::ok(), Upstream::ok());
    let proxy = Proxy::start_in(data.path(), &config(&[blue.address], &[green.address], OLD_CONFIGURATION));
    let url = format!("http://{}", proxy.admin);
    let call = |arguments: &[&str]| portcullis(&[arguments, &["--admin", &url]].concat(), &[]);

    let history = printed(&call(&["history"]));
    let outcomes = ["v2-3  promoted ", "v2-2  rolled back ", "v2-1  rolled back "];
    assert!(history.lines().zip(outcomes).all(|(line, outcome)| line.starts_with(outcome)), "{history}");
    for id in ["v2-2", "v2-3"] {
        let shown = printed(&call(&["replay", id]));
        assert!(shown.ends_with("Every decision comes out as it was, to the last bit.\n"), "{shown}");
    }
    let output = call(&["replay", "v2-1"]);
    let shown = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    let differs = shown.lines().last().expect("a line");
    assert!(
        differs.starts_with("The decisions differ: `rolledBack by gate, rolledBack at 0 %: green failed 5"),
        "{differs}"
    );
    assert!(differs.contains("blue has answered since the first of them` was decided, but in the replay"), "{differs}");
    let report = printed(&call(&["report", "v2-1"]));
    assert!(report.contains("> green failed 5 requests in a row; blue has answered since"), "{report}");
    assert!(report.contains("What green was compared by is not in the journal"), "{report}");
}

#[test]
fn promise_6_the_report_of_a_streak_shows_the_failures_that_it_was_decided_on() {
    let (blue, green) = (Backend::answering(200), Backend::answering(500));
    let data = tempfile::tempdir().expect("a folder");
    let gate = "gate: { compare: { enabled: false }, triggers: [{ name: dead, metric: failureStreak, atLeast: 5 }] }";
    let proxy = Proxy::start_in(data.path(), &config(&[blue.address], &[green.address], gate));
    proxy.set_weight(10.0);
    let mut client = proxy.client();
    (0..100).for_each(|_| _ = client.get("/"));
    proxy.until(|status| status["state"] == "rolledBack");
    let failed = green.count();
    let report = printed(&portcullis(&["report", "v2-1", "--admin", &format!("http://{}", proxy.admin)], &[]));
    let grounds = format!("| {failed} of {failed} (100.0 %) |");
    assert!(report.contains("| since the first failure of green's row | blue (v1) | green (v2) |"), "{report}");
    assert!(report.contains("| failed | 0 of ") && report.contains(&grounds), "{report}");
    assert!(report.contains("chance alone would bring such a row at most once in "), "{report}");
    assert!(report.contains(&format!("| Failures | 0 | {failed} |")), "the deciding request is counted: {report}");
    assert!(!report.contains("ln evidence"), "{report}");
    let replayed = printed(&portcullis(&["replay", "v2-1", "--admin", &format!("http://{}", proxy.admin)], &[]));
    assert!(replayed.ends_with("to the last bit.\n"), "{replayed}");
}

#[test]
fn the_history_and_the_report_tell_of_every_release() {
    let bench = rolled_back();
    bench.green.answer(200);
    bench.operate("start");
    let url = bench.url();
    let shown = printed(&portcullis(&["history", "--admin", &url], &[]));
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 2, "{shown}");
    assert!(lines[0].starts_with("v2-2  open         v1 -> v2, started 20"), "{shown}");
    assert!(
        lines[1].starts_with("v2-1  rolled back  v1 -> v2, started 20") && lines[1].contains(", ended 20"),
        "{shown}"
    );
    let list = parsed(&printed(&portcullis(&["history", "--json", "--admin", &url], &[])));
    assert_eq!(list[0]["outcome"], "open");
    assert_eq!((&list[1]["id"], &list[1]["outcome"]), (&json!("v2-1"), &json!("rolledBack")));
    assert_eq!(list, parsed(&bench.proxy.call("GET", "/v1/releases", &Value::Null).text()));

    let report = printed(&portcullis(&["report", "v2-1", "--admin", &url], &[]));
    assert!(report.starts_with("# Release v2-1: rolled back\n"), "{report}");
    assert!(report.contains("\n| Trigger | spike |\n"), "{report}");
    let release = parsed(&printed(&portcullis(&["report", "v2-1", "--json", "--admin", &url], &[])));
    let rollback = release["decisions"].as_array().and_then(|decisions| decisions.last()).expect("decisions");
    assert_eq!((&rollback["kind"], &rollback["actor"]), (&json!("rolledBack"), &json!("gate")));
    assert!(rollback["evidence"]["green"]["failures"].as_u64() > Some(0), "{rollback:#}");
    let answer = bench.proxy.call("GET", "/v1/releases/v2-1/report", &Value::Null);
    assert_eq!(
        (answer.head.one("content-type").as_str(), answer.text()),
        ("text/markdown; charset=utf-8", report.clone())
    );
}

#[test]
fn the_evidence_is_one_input_a_line_and_begins_with_the_beginning() {
    let bench = rolled_back();
    let answer = bench.proxy.call("GET", "/v1/releases/v2-1/evidence", &Value::Null);
    assert_eq!((answer.status, answer.head.one("content-type").as_str()), (200, "application/x-ndjson"));
    let slots: Vec<Value> = answer.text().lines().map(parsed).collect();
    assert!(slots[0]["input"]["other"]["opening"]["beganNanos"].is_u64(), "{}", slots[0]);
    assert_eq!(slots[1]["input"]["other"]["operator"]["start"]["actor"], "local", "{}", slots[1]);
    let counted = |version: &str| -> u64 {
        slots.iter().filter_map(|slot| slot["input"]["tick"][version]["failures"].as_u64()).sum()
    };
    assert!(counted("green") > 0);
    assert_eq!(counted("blue"), 0);
    let times: Vec<u64> = slots.iter().map(|slot| slot["afterNanos"].as_u64().expect("a time")).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn an_id_that_is_none_and_a_proxy_without_a_journal_say_so() {
    let bench = Bench::with_plan(SLOW);
    let url = bench.url();
    assert_eq!(printed(&portcullis(&["history", "--admin", &url], &[])), "no release has been recorded\n");
    for id in ["v2-1", "v2", "1", "..", "a/b", "x y%", "ä"] {
        for command in ["report", "replay"] {
            let said = refused(&portcullis(&[command, id, "--admin", &url], &[]), 1);
            assert_eq!(
                said,
                format!(
                    "error: no release has the id {id}; GET /v1/releases lists those that are recorded (404 Not Found)\n"
                )
            );
        }
    }
    for path in ["/v1/releases/v2-1", "/v1/releases/v2-1/report", "/v1/releases/v2-1/evidence"] {
        let answer = bench.proxy.call("GET", path, &Value::Null);
        assert_eq!(
            (answer.status, answer.head.one("content-type").as_str()),
            (404, "application/problem+json"),
            "{path}"
        );
    }
    let forgetful = Proxy::before(&Upstream::ok());
    let url = format!("http://{}", forgetful.admin);
    for arguments in [&["history"] as &[&str], &["report", "v2-1"], &["replay", "v2-1"]] {
        let said = refused(&portcullis(&[arguments, &["--admin", &url]].concat(), &[]), 1);
        assert!(said.contains("started without --data DIR") && said.contains("409"), "{said}");
    }
}

#[test]
fn watch_follows_a_release_to_its_end() {
    let bench = Bench::with_plan(SLOW);
    bench.operate("start");
    bench.events.until("stepped");
    let url = bench.url();
    let watching = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["watch", "--admin", &url]).args(arguments).stdout(std::process::Stdio::piped());
        command.spawn().expect("the binary is built")
    };
    let mut children = [watching(&[]), watching(&["--json"])];
    let firsts = children.each_mut().map(|child| {
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("piped")));
        (lines.next().expect("a line").expect("text"), lines)
    });
    bench.operate("rollback");
    let mut told = firsts
        .map(|(first, lines)| lines.map(|line| line.expect("text")).fold(first, |told, line| told + "\n" + &line));
    for child in &mut children {
        assert!(child.wait().expect("a child of ours").success());
    }
    let [plain, json] = &mut told;
    assert!(plain.starts_with("default: stepping, green at "), "{plain}");
    assert!(plain.contains("rolledBack, green at 0 %: rolled back by local: a test\n"), "{plain}");
    assert!(plain.contains("default: rolledBack, green at 0 % (epoch 1)\n"), "{plain}");
    let lines: Vec<Value> = json.lines().map(parsed).collect();
    assert!(lines[0]["status"]["state"] == "stepping", "{json}");
    assert!(lines.iter().any(|line| line["event"]["kind"] == "rolledBack"), "{json}");
    assert_eq!(lines.last().map(|line| &line["status"]["state"]), Some(&json!("rolledBack")), "{json}");
    let output = portcullis(&["status", "--admin", &url], &[]);
    assert!(stdout(&output).contains("rolledBack"));
}
