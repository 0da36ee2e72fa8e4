use serde_json::json;

use super::super::seen::Heard;
use super::*;

/// A release in its second step, of which three seconds were seen.
fn seen() -> Seen {
    let version = |name: &str, requests: u64, failures: u64| {
        json!({
            "version": name, "requests": requests, "failures": failures,
            "errorRate": failures as f64 / requests as f64, "p50": 9.8, "p95": 44.0, "p99": 180.5,
            "healthyEndpoints": 2, "endpoints": 3,
        })
    };
    let status = json!({
        "service": "checkout", "state": "stepping", "weight": 10.0, "epoch": 3, "step": 2, "baked": 45.0,
        "plan": { "steps": [
            { "weight": 1.0, "bake": 60.0, "approval": false },
            { "weight": 10.0, "bake": 60.0, "approval": true, "approvalDeadline": null },
            { "weight": 100.0, "bake": 3600.0, "approval": false },
        ] },
        "blue": version("v1.1.0", 12_345, 12), "green": version("v1.2.0", 1_371, 45), "rollback": null,
        "verdict": { "kind": "wait", "sentence": "green had 1,371 requests, and 5,000 are too few to tell \u{1b}[2J" },
        "bounds": [
            { "name": "meltdown", "metric": "errorRate", "bound": 0.1, "green": 0.033 },
            { "name": "slow", "metric": "latency", "bound": 200.0, "green": 180.5 },
            { "name": "dead", "metric": "failureStreak", "bound": 5.0, "green": null },
        ],
        "convictsAt": 6.9, "comparison": { "lnEvidence": 3.45, "lnArm": -0.2 },
        "routes": [{ "route": "pay", "blue": { "requests": 50, "failures": 0 }, "green": { "requests": 9, "failures": 4 } }],
        "endpointsOut": [{ "version": "green", "endpoint": "10.0.1.1:8080", "why": "ejected" }],
    });
    let point = |number: u64, failures: u64| {
        let of = |failures: u64| json!({ "requests": 10, "failures": failures, "errorRate": failures as f64 / 10.0, "p50": 9.0, "p95": 40.0, "p99": 100.0 });
        json!({ "every": 1, "number": number, "blue": of(0), "green": of(failures) })
    };
    let event = |second: u64, kind: &str| json!({ "at": format!("2026-11-21T14:00:{second:02}.123456789Z"), "kind": kind, "actor": "ann", "weight": 10.0, "sentence": "as planned" });
    let mut seen = Seen::new();
    let now = Instant::now();
    seen.take(Heard::Status(status), now);
    [point(1, 0), point(2, 5), point(3, 10)].into_iter().for_each(|point| seen.take(Heard::Point(point), now));
    [event(1, "started"), event(2, "stepped")].into_iter().for_each(|event| seen.take(Heard::Event(event), now));
    seen
}

fn shown(seen: &Seen, rows: usize, columns: usize) -> Vec<String> {
    let now = Instant::now();
    let lines = lines(seen, now, (rows, columns), now);
    lines.iter().map(|line| console::strip_ansi_codes(line).into_owned()).collect()
}

#[test]
fn everything_of_a_release_is_in_the_picture_on_a_screen_of_usual_size() {
    let shown = shown(&seen(), 40, 80).join("\n");
    for line in [
        "checkout  STEPPING  green at 10 %, epoch 3",
        "1 %         ████████████████████████████████████████ done",
        "10 %        ██████████████████████████████░░░░░░░░░░ 15 s left, then an approval",
        "100 %       ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ 1 h",
        "            blue v1.1.0                       green v1.2.0",
        "requests    12,345                            1,371",
        "error rate  0.10 %                        ▁▁▁ 3.3 %                         ▁▅█",
        "endpoints   2 of 3                            2 of 3",
        "wait: green had 1,371 requests, and 5,000 are too few to tell \u{fffd}[2J",
        "slow        ████████████████████████████████████░░░░ 180 ms of 200 ms",
        "meltdown    █████████████░░░░░░░░░░░░░░░░░░░░░░░░░░░ 3.3 % of 10.0 %",
        "comparison  ████████████████████░░░░░░░░░░░░░░░░░░░░ 3.5 of 6.9",
        "A/A arm     ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ 0.0 of 6.9",
        "route pay: green failed 4 of 9, blue 0 of 50",
        "endpoint 10.0.1.1:8080 of green is ejected",
        "14:00:02 stepped by ann, green at 10 %: as planned\n14:00:01 started by ann, green at 10 %: as planned",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
}

#[test]
fn a_picture_fits_a_narrow_terminal_and_a_low_one() {
    for (rows, columns) in [(24, 40), (10, 40), (3, 20), (1, 1), (200, 300)] {
        let lines = shown(&seen(), rows, columns);
        if columns >= 40 {
            let widest = lines.iter().map(|line| measure_text_width(line)).max();
            assert!(widest <= Some(columns + 20), "{widest:?} of {columns}: {lines:#?}");
            assert!(lines.iter().any(|line| line.contains("15 s left")), "{lines:#?}");
        }
    }
    let narrow = shown(&seen(), 30, 40);
    assert_eq!(narrow[0], "checkout  STEPPING");
    assert_eq!(narrow[1], "green at 10 %, epoch 3");
    assert!(narrow.contains(&"error rate  0.10 %    ▁▁▁ 3.3 %     ▁▅█".to_owned()), "{narrow:#?}");
}

#[test]
fn a_connection_that_is_lost_is_told_and_how_long() {
    let mut seen = seen();
    let now = Instant::now();
    let later = now + Duration::from_secs(65);
    let told = |seen: &Seen, heard| lines(seen, heard, (30, 80), later).join("\n");
    assert!(!told(&seen, later).contains("CONNECTION") && !told(&seen, later).contains("NOTHING"));
    assert!(told(&seen, now).contains("NOTHING HEARD for 65 s"), "{}", told(&seen, now));
    seen.take(Heard::Lost("no proxy answers".to_owned()), now);
    seen.take(Heard::Lost("still none".to_owned()), now + Duration::from_secs(2));
    let lost = told(&seen, now);
    assert!(lost.contains("CONNECTION LOST for 65 s, trying again: still none"), "{lost}");
    seen.take(Heard::Hello, later);
    assert!(!told(&seen, later).contains("CONNECTION LOST"));
}

#[test]
fn how_a_release_has_ended_is_to_be_seen_with_the_reason() {
    let mut seen = seen();
    seen.status["state"] = json!("rolledBack");
    seen.status["rollback"] = json!({ "at": "2026-11-21T14:00:03.5Z", "reason": "green failed 5 requests in a row" });
    let shown = shown(&seen, 40, 80).join("\n");
    assert!(
        shown.contains("ROLLED BACK") && shown.contains("rolled back at 2026-11-21T14:00:03Z: green failed 5"),
        "{shown}"
    );
}
