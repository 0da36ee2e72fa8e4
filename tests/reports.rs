//! The report of a release: its forms, and that each of its numbers is in the journal.

use std::collections::BTreeSet;
use std::time::Duration;

use portcullis::gate::verdict::{count, duration, percent};
use serde_json::{Value, json};

use super::support::bench::GATE;
use super::support::{Bench, eventually, portcullis, printed};

/// An action of each end.
const RUNBOOK: &str = "runbook:
  rolledBack:
  - { name: undo, exec: { command: [/bin/sh, -c, \"echo 17 pods\"] } }
  - { name: broken, retries: 1, exec: { command: [/bin/sh, -c, \"exit 3\"] } }
  - { name: large-ones, when: \"weight > 50\", manual: { text: Tell those who were on green } }
  - { name: database, manual: { text: Decide whether it goes back, steps: [Look, Take a backup] } }
";

/// One release that the gate rolled back, in which blue answered nothing in green's place.
fn rolled_back() -> Bench {
    let plan = "release: { steps: [{ weight: 50%, bake: 1h }], monitoring: 1h }";
    let bench = Bench::with(&format!("{plan}\n{GATE}{RUNBOOK}"));
    bench.operate("start");
    bench.events.until("stepped");
    bench.load.until_more(200);
    bench.green.answer(500);
    bench.events.until("rolledBack");
    eventually("what clients felt is settled", || {
        let clients = &parsed(&get(&bench, ""))["clients"];
        (clients.is_object() && clients["underWay"] == 0).then_some(())
    });
    bench.proxy.until(|status| status["actions"]["pending"] == json!([]));
    eventually("its evidence is written", || {
        parsed(&get(&bench, "/report?format=json"))["charts"].is_object().then_some(())
    });
    bench
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn get(bench: &Bench, below: &str) -> String {
    let answer = bench.proxy.call("GET", &format!("/v1/releases/v2-1{below}"), &Value::Null);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

#[test]
fn promise_6_every_number_of_a_report_can_be_recomputed_from_the_journal() {
    let bench = rolled_back();
    // What comes in after the rollback is written now and then.
    let forms = || ["json", "markdown", "html"].map(|form| get(&bench, &format!("/report?format={form}")));
    let ([report, markdown, html], [release, evidence]) = eventually("all of one moment", || {
        let sources = || ["", "/evidence"].map(|of| get(&bench, of));
        let before = sources();
        let forms = forms();
        (sources() == before).then_some((forms, before))
    });
    let (release, report) = (parsed(&release), parsed(&report));
    let evidence: Vec<Value> = evidence.lines().map(parsed).collect();
    for (member, value) in release.as_object().expect("an object") {
        assert_eq!(&report[member], value, "{member}");
    }
    let clients = &release["clients"];
    let number = |value: &Value| value.as_u64().expect("a count");
    let (failed, to_blue) = (number(&clients["failures"]), number(&clients["toBlue"]));
    let seen = failed - (to_blue - number(&clients["failedByBlue"]));
    assert!(failed > 0 && report["impact"]["requests"]["failed"] == failed, "{report:#}");
    assert_eq!(report["impact"]["requests"]["seenByClients"], seen);
    assert_eq!(report["impact"]["estimated"]["clientsAtMost"], seen);

    let decisions = release["decisions"].as_array().expect("decisions");
    let decided = decisions.iter().find(|decision| decision["state"] == "rolledBack").expect("a rollback");
    let stepped = decisions.iter().find(|decision| decision["kind"] == "stepped").expect("a step");
    let after = |decision: &Value| Duration::from_nanos(number(&decision["afterNanos"]));
    let with_green = after(decided) - after(stepped);
    assert_eq!(report["impact"]["greenSeconds"], with_green.as_secs_f64());
    assert_eq!(report["decidedBy"], decided["seq"]);

    let charts = &report["charts"];
    let slice = Duration::from_secs_f64(charts["sliceSeconds"].as_f64().expect("a length"));
    let slices = charts["slices"].as_array().expect("slices");
    let at = |value: &Value| value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()).expect("a time");
    let from = Duration::try_from(at(&slices[0]["at"]).duration_since(at(&release["started"]))).expect("forwards");
    let before = ((after(decided) - from).as_nanos() / slice.as_nanos()) as usize;
    assert_eq!(from + slice * u32::try_from(before).expect("few"), after(decided), "a slice ends with the decision");
    for (index, drawn) in (0..).zip(slices) {
        let begins = from + slice * index;
        let within = |slot: &&Value| (begins + Duration::from_nanos(1)..=begins + slice).contains(&after(slot));
        let ticks: Vec<Value> = evidence.iter().filter(within).filter_map(tick).collect();
        assert_eq!(drawn["green"].is_null(), ticks.is_empty(), "{drawn}");
        for version in ["blue", "green"] {
            let (requests, failures, p99) = counted(&ticks, version);
            let of = &drawn[version];
            if ticks.is_empty() {
                continue;
            }
            assert_eq!((&of["requests"], &of["failures"]), (&json!(requests), &json!(failures)), "slice {index}");
            assert_eq!(of["atQuantile"].as_f64(), p99, "slice {index} of {version}");
            let rate = (requests > 0).then(|| failures as f64 / requests as f64);
            assert_eq!(of["errorRate"].as_f64(), rate);
        }
    }
    let bound = &decided["evidence"]["grounds"]["bound"];
    assert_eq!((bound, &charts["bound"]), (&json!({ "metric": "errorRate", "above": 0.5 }), bound));
    let trouble = trouble_slices(&decided["evidence"]["grounds"], &slices[..before]);
    let seconds = (slice * trouble).as_secs_f64();
    let told = report["impact"]["estimated"]["troubleSeconds"].as_f64().expect("it is estimated");
    assert!((told - seconds).abs() < 1e-6, "{told} {seconds}");

    let mut known = BTreeSet::new();
    collect(&release, &mut known);
    let lasted = |from: &Value, to: &Value| Duration::try_from(at(to).duration_since(at(from))).expect("forwards");
    known.extend(numbers(&clock(lasted(&release["started"], &release["ended"]))));
    known.extend(numbers(&clock(with_green)));
    let total = number(&clients["requests"]);
    known.extend([failed, seen].into_iter().flat_map(|bad| numbers(&percent((total - bad) as f64 / total as f64))));
    known.extend(numbers(&count(seen)));
    known.extend([slice, slice * trouble].into_iter().flat_map(|length| numbers(&duration(length))));
    let began = report["impact"]["estimated"]["troubleBegan"].as_str().expect("it is estimated");
    known.extend(numbers(&time(began)));
    let ends = at(&release["started"]) + from + slice * u32::try_from(slices.len()).expect("few");
    known.extend(
        [slices[0]["at"].as_str().expect("a time"), &ends.to_string()].into_iter().flat_map(|at| numbers(&time(at))),
    );
    let actions = release["actions"].as_array().expect("actions");
    let ended = |result: &str| actions.iter().filter(|action| action["result"] == result).count();
    let results = ["done", "failed", "skipped", "task"].map(ended);
    assert_eq!((results, actions.len()), ([1; 4], 4), "{actions:#?}");
    known.insert(actions.len().to_string());
    for told in [
        "Of all 4: 1 done, 1 failed, 1 skipped, 1 left to people.",
        "| undo | exec | rolled back | done | ",
        "| output: 17 pods |",
        "- [ ] database: Decide whether it goes back; 1. Look; 2. Take a backup\n",
    ] {
        assert!(markdown.contains(told), "{told} in {markdown}");
    }
    // The names of the quantiles, and of the test of the slowest 1 %.
    known.extend(["50", "95", "99", "1"].map(str::to_owned));
    for text in [markdown, visible(&html)] {
        let unknown: Vec<String> = numbers(&text).filter(|number| !known.contains(number)).collect();
        assert!(unknown.is_empty(), "{unknown:?} are not in {release:#}\n{text}");
    }
}

/// What was counted between two ticks, or in one.
fn tick(slot: &Value) -> Option<Value> {
    let input = &slot["input"];
    [&input["tick"], &input["other"]["counted"], &input["other"]["aftermath"]]
        .into_iter()
        .find(|tick| tick.is_object())
        .cloned()
}

/// Requests, failures, and the P99 in milliseconds.
fn counted(ticks: &[Value], version: &str) -> (u64, u64, Option<f64>) {
    let late = if version == "blue" { "lateBlue" } else { "lateGreen" };
    let parts = || ticks.iter().flat_map(|tick| [&tick[version], &tick["beside"][late]]);
    let sum = |member: &str| parts().filter_map(|part| part[member].as_u64()).sum();
    let buckets = parts().filter_map(|part| part["head"].as_array()).flatten();
    let mut buckets: Vec<(u64, u64)> =
        buckets.map(|bucket| (bucket[0].as_u64().expect("micros"), bucket[1].as_u64().expect("a count"))).collect();
    buckets.sort_unstable();
    let total: u64 = buckets.iter().map(|(_, count)| count).sum();
    let rank = (total as f64 * 0.99).ceil() as u64;
    let mut passed = 0;
    let found = buckets.into_iter().find(|(_, count)| {
        passed += count;
        passed >= rank
    });
    (sum("requests"), sum("failures"), found.map(|(micros, _)| micros as f64 / 1e3))
}

/// How many slices before the decision the failures began.
fn trouble_slices(grounds: &Value, slices: &[Value]) -> u32 {
    let rate = |version: &str| {
        let of = |member: &str| grounds[version][member].as_f64().expect("a count");
        of("bad") / of("units")
    };
    let usual = (rate("blue") + rate("green")) / 2.0;
    let (mut excess, mut most) = (0.0, (0.0, 0));
    for (back, slice) in (1..).zip(slices.iter().rev()) {
        let of = |member: &str| slice["green"][member].as_f64().unwrap_or_default();
        excess += of("failures") - usual * of("requests");
        if excess > most.0 {
            most = (excess, back);
        }
    }
    most.1
}

/// The runs of digits in a text, with what parts digits from digits.
fn numbers(text: &str) -> impl Iterator<Item = String> + use<> {
    let parts = text.split(|letter: char| !letter.is_ascii_digit() && !matches!(letter, '.' | ',' | ':'));
    let trimmed = parts.map(|part| part.trim_matches(['.', ',', ':']).to_owned());
    trimmed.filter(|part| !part.is_empty()).collect::<Vec<_>>().into_iter()
}

fn clock(length: Duration) -> String {
    let seconds = length.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// As a report has it, with and without its milliseconds.
fn time(text: &str) -> String {
    let at: jiff::Timestamp = text.parse().expect("a time");
    format!("{} {}", at.strftime("%Y-%m-%d %H:%M:%S"), at.strftime("%H:%M:%S.%3f"))
}

/// Every number of a document, as it may be written in a report.
fn collect(value: &Value, known: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                match (member.as_str(), value.as_u64()) {
                    ("afterNanos", Some(nanos)) => {
                        let length = Duration::from_nanos(nanos);
                        known.extend(numbers(&clock(length)));
                        known.insert(format!("{}.{:03}", clock(length), length.subsec_millis()));
                    }
                    // In basis points.
                    ("weight", Some(weight)) => drop(known.insert((weight as f64 / 100.0).to_string())),
                    ("green" | "blue", _) if value["bad"].is_u64() && value["units"].as_f64() > Some(0.0) => {
                        let share = value["bad"].as_f64().expect("a count") / value["units"].as_f64().expect("a count");
                        known.extend(numbers(&percent(share)));
                        collect(value, known);
                    }
                    _ => collect(value, known),
                }
            }
        }
        Value::Array(members) => members.iter().for_each(|member| collect(member, known)),
        Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => known.extend(numbers(&time(text))),
        Value::String(text) => known.extend(numbers(text)),
        Value::Number(number) => {
            known.extend(number.as_u64().map(count));
            let number = number.as_f64().expect("a number");
            known.extend(numbers(&percent(number)));
            let lengths = [number / 1e3, number].map(Duration::try_from_secs_f64);
            known.extend(lengths.into_iter().flatten().flat_map(|length| numbers(&duration(length))));
        }
        Value::Bool(_) | Value::Null => {}
    }
}

/// The text of a page, without its style, its charts and its tags.
fn visible(html: &str) -> String {
    let mut text = html.to_owned();
    for (begin, end) in [("<style>", "</style>"), ("<svg", "</svg>"), ("<svg", "</svg>"), ("&", ";"), ("<", ">")] {
        while let Some(at) = text.find(begin) {
            let length = text[at..].find(end).expect("it ends") + end.len();
            text.replace_range(at..at + length, " ");
            if begin == "<style>" {
                break;
            }
        }
    }
    text
}

#[test]
fn the_charts_go_on_after_a_rollback_and_a_replay_does_not() {
    let bench = rolled_back();
    let slices = eventually("what came in since", || {
        let report = parsed(&get(&bench, "/report?format=json"));
        let at = |of: &Value| of["at"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()).expect("a time");
        let moment = at(&report["charts"]["moment"]);
        let slices = report["charts"]["slices"].as_array().expect("slices").iter();
        let later: Vec<Value> = slices.filter(|slice| at(slice) >= moment).cloned().collect();
        (later.len() > 3).then_some(later)
    });
    let sum =
        |version: &str, member: &str| slices.iter().filter_map(|slice| slice[version][member].as_u64()).sum::<u64>();
    assert!(sum("blue", "requests") > 0 && sum("blue", "failures") == 0, "{slices:?}");
    let replayed = printed(&portcullis(&["replay", "v2-1", "--admin", &bench.url()], &[]));
    assert!(replayed.ends_with("Every decision comes out as it was, to the last bit.\n"), "{replayed}");
}

#[test]
fn a_report_is_to_be_had_in_the_form_that_is_asked_for() {
    let bench = rolled_back();
    let host = format!("Host: {}", bench.proxy.admin);
    let ask = |query: &str, accept: &str| {
        let path = format!("/v1/releases/v2-1/report{query}");
        bench.proxy.ask("GET", &path, &[&host, &format!("Accept: {accept}")], "")
    };
    for (query, accept, content_type, beginning) in [
        ("", "*/*", "text/markdown; charset=utf-8", "# Release v2-1: rolled back\n"),
        ("", "text/html,*/*;q=0.8", "text/html; charset=utf-8", "<!DOCTYPE html>"),
        ("", "application/json", "application/json", "{"),
        ("?format=markdown", "text/html", "text/markdown; charset=utf-8", "# Release"),
        ("?format=html", "application/json", "text/html; charset=utf-8", "<!DOCTYPE html>"),
        ("?format=json", "text/html", "application/json", "{\"reportVersion\":1,\"service\":\"default\","),
    ] {
        let answer = ask(query, accept);
        let found = (answer.status, answer.head.one("content-type"), answer.head.one("vary"));
        assert_eq!(found, (200, content_type.to_owned(), "accept".to_owned()), "{query} {accept}");
        assert!(answer.text().starts_with(beginning), "{query} {accept}: {}", answer.text());
    }
    let policy = ask("?format=html", "*/*").head.one("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline'"), "{policy}");
    for (query, said) in [("?format=pdf", "markdown, html or json"), ("?form=html", "form")] {
        let answer = ask(query, "*/*");
        assert!(answer.status == 422 && answer.text().contains(said), "{}: {}", answer.status, answer.text());
    }
    let call =
        |more: &[&str]| printed(&portcullis(&[&["report", "v2-1", "--admin", &bench.url()], more].concat(), &[]));
    assert_eq!(call(&["--format", "html"]), get(&bench, "/report?format=html"));
    assert_eq!(call(&["-o", "markdown"]), call(&[]));
    let json = parsed(&get(&bench, "/report?format=json"));
    for way in [["--format", "json"].as_slice(), &["-o", "json"], &["--json"]] {
        assert_eq!(parsed(&call(way)), json, "{way:?}");
    }
}

#[test]
fn a_report_of_which_the_evidence_is_gone_or_not_there_yet_is_told_without_charts() {
    let bench = Bench::with_plan("{ steps: [{ weight: 50%, bake: 1h }], monitoring: 1h }");
    bench.operate("start");
    let report = parsed(&get(&bench, "/report?format=json"));
    assert_eq!((&report["outcome"], &report["happened"].as_array().map(Vec::len)), (&json!("open"), &Some(3)));
    assert!(get(&bench, "/report").contains("## Error rate and latency\n"));
}
