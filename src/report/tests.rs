use serde_json::{Value, json};

use super::markdown::escape;
use super::*;
use crate::journal::{ActionRecord, ActionResult, ReleaseHeader, ReleaseRecord};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_269_600 + seconds).expect("in range")
}

fn release(outcome: Outcome, decisions: Vec<DecisionRecord>) -> ReleaseDocument {
    let ended = (outcome != Outcome::Open).then(|| at(3_723));
    let header = ReleaseHeader {
        epoch: 7,
        id: "v2.1.0_rc-7".to_owned(),
        blue: "v2.0.3".to_owned(),
        green: "v2.1.0_rc".to_owned(),
        started: at(0),
        ended,
        outcome,
    };
    ReleaseDocument {
        record: ReleaseRecord { header, policy: String::new(), plan: Value::Null, clients: Value::Null },
        decisions,
        actions: vec![],
    }
}

/// In Markdown, without the evidence.
fn tell(release: &ReleaseDocument) -> String {
    Report::new(release.clone(), None, at(7_200)).markdown()
}

#[test]
fn what_a_release_brought_along_is_told_and_reasons_are_no_markup() {
    let mut release = release(Outcome::Open, vec![]);
    let approval = json!({ "within": 86_400.0, "otherwise": "rollback" });
    release.record.plan = json!({
        "steps": [
            { "weight": 0.5, "bake": 90.0, "approval": false, "approvalDeadline": null },
            { "weight": 10.0, "bake": 0.3, "approval": true, "approvalDeadline": null },
            { "weight": 50.0, "bake": 600.0, "approval": true, "approvalDeadline": approval },
            { "weight": 100.0, "bake": 3600.0, "approval": false, "approvalDeadline": null },
        ],
        "irreversible": "the *old* table is gone",
        "source": "release",
    });
    let told = tell(&release);
    let plan = "| Plan | 0.5 % for 90 s, 10 % for 300 ms and an approval, 50 % for 10 min and an approval within 24 h, \
                otherwise rollback, 100 % for 1 h; of this release alone |\n";
    assert!(told.contains(plan), "{told}");
    release.record.plan["maxWeight"] = json!(50.0);
    let bounded = tell(&release);
    assert!(
        bounded.contains("100 % for 1 h; beyond 50 % by an operator alone; of this release alone |\n"),
        "{bounded}"
    );
    assert!(told.contains("| Irreversible | the \\*old\\* table is gone |\n"), "{told}");
    // As programs wrote it that knew no plan but the configuration's.
    release.record.plan =
        json!({ "steps": [{ "weight": 100.0, "bake": 60.0, "approval": false }], "irreversible": null });
    let told = tell(&release);
    assert!(told.contains("| Plan | 100 % for 1 min |\n") && !told.contains("Irreversible"), "{told}");
}

struct Told<'a>(i64, &'a str, &'a str, &'a str, u16, &'a str);

fn decision(seq: u32, told: &Told<'_>, evidence: Value) -> DecisionRecord {
    let Told(seconds, kind, actor, state, weight, sentence) = *told;
    DecisionRecord {
        epoch: 7,
        seq,
        at: at(seconds),
        after: Duration::from_secs(seconds.unsigned_abs()),
        kind: kind.to_owned(),
        actor: actor.to_owned(),
        sentence: sentence.to_owned(),
        state: state.to_owned(),
        weight,
        evidence,
    }
}

fn rolled_back() -> ReleaseDocument {
    let evidence = json!({
        "trigger": "error-spike",
        "window": "1m",
        "grounds": {
            "bad": "failed", "over": "in the last 1 min", "bound": { "metric": "errorRate", "above": 0.01 },
            "blue": { "bad": 12, "units": 12_345 }, "green": { "bad": 123, "units": 1_371 },
        },
        "comparison": {
            "errors": {
                "blocks": 91, "expected": 0.000_478_885_239_683, "lnEvidence": 14.147_025_664_847_222,
                "blue": { "bad": 4, "units": 9_412 }, "green": { "bad": 118, "units": 1_046 },
            },
            "p99": {
                "blocks": 90, "lnEvidence": -1.1, "slowAbove": { "blue": 44_031, "green": 55_295 },
                "blue": { "bad": 93, "units": 9_412 }, "green": { "bad": 0, "units": 0 },
            },
            "p50": { "blocks": 0, "lnEvidence": -0.69 },
            "lnEvidence": 14.2, "standing": "calm",
        },
        "blue": { "requests": 12_345, "failures": 12, "errorRate": 0.000_972, "p50": 19.8, "p95": 44, "p99": null, "endpoints": 3 },
        "green": { "requests": 1_371, "failures": 123, "errorRate": 0.0897, "p50": 20.4, "p95": 61.5, "p99": 1240.0, "restarts": 2 },
    });
    let told = [
        (Told(0, "started", "ann", "stepping", 0, "v2.1.0_rc is here"), Value::Null),
        (Told(30, "stepped", "gate", "stepping", 100, "the step of 1 % begins"), Value::Null),
        (Told(330, "stepped", "gate", "stepping", 1_000, "the step of 10 % begins"), Value::Null),
        (Told(400, "paused", "bob | <b>root</b>", "paused", 1_000, "let me look\n# first\n| a | b |"), json!({})),
        (
            Told(
                3_600,
                "resumed",
                "bob | <b>root</b>",
                "stepping",
                1_000,
                "[looks](https://evil.example) *fine* & well",
            ),
            json!({}),
        ),
        (
            Told(3_723, "rolledBack", "gate", "rolledBack", 0, "green fails 9.0 % of 1,371 requests, above 1 %"),
            evidence,
        ),
        (Told(3_724, "notified", "gate", "rolledBack", 0, "the pager was called"), Value::Null),
        (Told(3_724, "actionDone", "proxy", "rolledBack", 0, "flag-off (http, rolledBack): 204 No Content"), json!({})),
    ];
    let decisions = (0..).zip(told).map(|(seq, (told, evidence))| decision(seq, &told, evidence)).collect();
    ReleaseDocument { actions: actions(), ..release(Outcome::RolledBack, decisions) }
}

struct Did<'a>(&'a str, &'a str, u32, ActionResult, &'a str);

fn actions() -> Vec<ActionRecord> {
    let told = [
        Did("flag-off", "http", 1, ActionResult::Done, "204 No Content"),
        Did("ticket", "jira", 2, ActionResult::Done, "OPS-7 was created"),
        Did("pager", "pagerduty", 5, ActionResult::Failed, "the answer was 500; given up after 5 attempts"),
        Did("updates", "slack", 1, ActionResult::Skipped, "what it was an update of has ended"),
        Did("database", "manual", 1, ActionResult::Task, "Look at *orders*; 1. see whether <b>old</b> rows are left"),
        Did("post-mortem", "jira", 0, ActionResult::Pending, ""),
    ];
    let action = |(number, did): (u32, Did<'_>)| {
        let Did(name, kind, attempts, result, sentence) = did;
        ActionRecord {
            epoch: 7,
            number,
            occasion: 0,
            key: format!("7-{name}"),
            name: name.to_owned(),
            kind: kind.to_owned(),
            moment: "rolledBack".to_owned(),
            occurrence: if name == "updates" { 2 } else { 0 },
            due: at(90_123),
            attempts,
            result,
            at: (result != ActionResult::Pending).then(|| at(3_724 + i64::from(number))),
            sentence: sentence.to_owned(),
            remembered: (name == "ticket").then(|| ("key".to_owned(), "OPS-7".to_owned())).into_iter().collect(),
        }
    };
    (0..).zip(told).map(action).collect()
}

fn promoted() -> ReleaseDocument {
    let sides = |requests: u64| json!({ "blue": { "requests": 10 }, "green": { "requests": requests } });
    let told = [
        (Told(0, "started", "gate", "stepping", 0, "a new version"), Value::Null),
        (Told(60, "stepped", "gate", "stepping", 3_333, "10 is enough"), sides(10)),
        (Told(120, "promoted", "gate", "promoted", 10_000, "20 is enough"), sides(20)),
        (Told(3_723, "completed", "gate", "completed", 0, "v2.1.0_rc is blue"), Value::Null),
    ];
    let decisions = (0..).zip(told).map(|(seq, (told, evidence))| decision(seq, &told, evidence)).collect();
    release(Outcome::Promoted, decisions)
}

#[track_caller]
fn check(release: &ReleaseDocument, golden: &str) {
    let report = tell(release);
    assert!(report == golden, "the report is not the golden one, but:\n{report}");
}

#[test]
fn a_rolled_back_release_is_told_with_its_trigger_and_both_versions() {
    check(&rolled_back(), include_str!("tests/rolled_back.md"));
}

#[test]
fn a_promoted_release_is_told_with_the_last_comparison() {
    check(&promoted(), include_str!("tests/promoted.md"));
}

#[test]
fn what_paused_a_promoted_release_is_left_to_be_looked_into_and_an_approval_is_not() {
    for (kind, expected) in [("awaitingApproval", false), ("paused", true), ("frozen", true)] {
        let told = Told(60, kind, "gate", "paused", 1_000, "it waits");
        let report = tell(&release(Outcome::Promoted, vec![decision(0, &told, Value::Null)]));
        assert_eq!(report.contains("Look into what paused the release"), expected, "{kind}");
    }
}

#[test]
fn a_release_of_which_nothing_is_known_is_told_nevertheless() {
    check(&release(Outcome::Open, vec![]), include_str!("tests/open.md"));
    let report = tell(&release(Outcome::RolledBack, vec![]));
    assert!(report.starts_with("# Release v2.1.0\\_rc-7: rolled back\n"), "{report}");
}

#[test]
fn text_of_people_stays_text() {
    for (given, expected) in [
        ("plain words, 10.5 % - fine", "plain words, 10.5 % - fine"),
        ("a | b", "a \\| b"),
        ("<script>", "\\<script\\>"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("![x](y)", "\\!\\[x\\](y)"),
        ("one\ntwo\r\nthree\tfour", "one two  three four"),
        ("# heading", "\\# heading"),
        ("- item", "\\- item"),
        ("12. item", "12\\. item"),
        ("1) item", "1\\) item"),
        ("12.", "12\\."),
        ("3 failures", "3 failures"),
        ("14.2 s", "14.2 s"),
        ("===", "\\==="),
        ("\\| a", "\\\\\\| a"),
        ("\u{1b}[31mred \u{202e}dne", "\u{fffd}\\[31mred \u{fffd}dne"),
    ] {
        assert_eq!(escape(given), expected);
    }
}

mod measured;
