//! Reports of releases whose evidence is there.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Told, at, decision, release};
use crate::journal::slot::{self, Slot};
use crate::journal::{ActionRecord, DecisionRecord, Outcome, ReleaseHeader};
use crate::report::charts::{Measured, Point};
use crate::report::trace::Trace;
use crate::report::{Report, svg, window};

/// A tick in which green got so many requests, of which so many failed, all answered after so many milliseconds; blue got 100.
fn tick(millis: u64, (requests, failures): (u64, u64), answered_ms: u64) -> Slot {
    let counted = |requests: u64, failures: u64, millis: u64| slot::Counted {
        requests,
        failures,
        head: [(millis * 1_000, requests)].into_iter().filter(|(_, count)| *count > 0).collect(),
        ..slot::Counted::default()
    };
    let tick = slot::Tick {
        blue: counted(100, 0, 20),
        green: counted(requests, failures, answered_ms),
        ..slot::Tick::default()
    };
    Slot { after: Duration::from_millis(millis), input: slot::Input::Tick(Box::new(tick)) }
}

/// A release of eight seconds, with a tick every 100 ms. Green is well for four, in which it has no request from 2 s to 3 s, and
/// nothing is counted from 5 s to 6 s. From `bad` on it fails, or is slow.
fn measured(bad: u64, grounds: Value, of_bad: impl Fn(u64) -> Slot) -> Report {
    let evidence = json!({ "trigger": "spike", "grounds": grounds, "clients": { "requests": 700, "failures": 60, "toBlue": 10, "failedByBlue": 3 } });
    let told = [
        (Told(0, "started", "ann", "stepping", 0, "v2.1.0_rc is here"), Value::Null),
        (Told(1, "stepped", "plan", "stepping", 2_500, "step 1 of 2 at 25 %"), Value::Null),
        (Told(8, "rolledBack", "gate", "rolledBack", 0, "green is bad."), evidence),
    ];
    let decisions = (0..).zip(told).map(|(seq, (told, evidence))| decision(seq, &told, evidence)).collect();
    let mut release = release(Outcome::RolledBack, decisions);
    release.record.header.ended = Some(at(8));
    let ticks = (1..=80).map(|number| number * 100).filter(|after| !(5_001..=6_000).contains(after));
    let slots = ticks.map(|after| match after {
        2_001..=3_000 => tick(after, (0, 0), 20),
        after if after > bad => of_bad(after),
        after => tick(after, (10, 0), 20),
    });
    let trace = Trace::read(window(&release, at(9)), slots.map(Ok)).expect("it is readable");
    Report::new(release, Some(&trace), at(9))
}

fn failing() -> Report {
    let grounds = json!({
        "bad": "failed", "over": "in the last 1 min", "bound": { "metric": "errorRate", "above": 0.05 },
        "blue": { "bad": 0, "units": 7_000 }, "green": { "bad": 60, "units": 600 },
    });
    measured(6_500, grounds, |after| tick(after, (10, 4), 20))
}

fn slow() -> Report {
    let grounds = json!({
        "bad": "slower than 200 ms", "over": "in the last 5 s",
        "bound": { "metric": "latency", "above": 200.0, "quantile": 0.95, "measure": "head" },
        "blue": { "bad": 0, "units": 5_000 }, "green": { "bad": 140, "units": 450 },
    });
    measured(6_600, grounds, |after| tick(after, (10, 0), 500))
}

#[test]
fn the_charts_have_the_evidence_in_slices_that_end_with_the_decision_and_gaps_where_there_is_none() {
    let charts = failing().charts.expect("there is evidence");
    assert_eq!((charts.slice_seconds, charts.slices.len()), (0.2, 40));
    let slice = |number: usize| {
        let Point { at, blue, green } = &charts.slices[number];
        let of = |side: &Option<Measured>| side.as_ref().map(|of| (of.requests, of.failures, of.error_rate, of.p50));
        (at.as_millisecond() - super::at(0).as_millisecond(), of(blue), of(green))
    };
    let p50 = |millis: u64| {
        let mut latency = crate::gate::Latency::default();
        latency.record(Duration::from_millis(millis));
        latency.quantile(crate::gate::trigger::Quantile::P50).map(|it| it.as_micros() as f64 / 1e3)
    };
    let blue = Some((200, 0, Some(0.0), p50(20)));
    assert_eq!(slice(0), (0, blue, Some((20, 0, Some(0.0), p50(20)))));
    assert_eq!(slice(12), (2_400, blue, Some((0, 0, None, None))), "no request is no rate");
    assert_eq!(slice(27), (5_400, None, None), "what was not measured is not nothing");
    assert_eq!(slice(39), (7_800, blue, Some((20, 8, Some(0.4), p50(20)))));
    let weights: Vec<f64> = charts.weights.iter().map(|mark| mark.weight).collect();
    assert_eq!((weights, charts.moment.map(|moment| moment.at)), (vec![0.0, 25.0, 0.0], Some(at(8))));
}

#[test]
fn a_chart_draws_no_line_over_a_gap_and_has_the_bound_and_the_decision_in_it() {
    let charts = failing().charts.expect("there is evidence");
    let [errors, latency] = svg::figures(&charts);
    let path = |chart: &str, class: &str| {
        let begin = chart.find(&format!("<path class=\"{class}\" d=\"")).expect("a line");
        chart[begin..].split('"').nth(3).expect("its way").to_owned()
    };
    for chart in [&errors, &latency] {
        assert_eq!(path(chart, "green").matches('M').count(), 3, "before, between and after the two gaps: {chart}");
        assert_eq!(path(chart, "blue").matches('M').count(), 2, "{chart}");
        assert!(chart.contains(">rolled back 14:00:08</text>") && chart.contains("class=\"moment\""), "{chart}");
        assert!(chart.contains(">time (UTC)</text>") && chart.contains(">25 %</text>"), "{chart}");
    }
    assert!(errors.contains(">bound 5 %</text>") && errors.contains(">failed requests (%)</text>"), "{errors}");
    assert!(!latency.contains("bound") && latency.contains(">response head after (ms)</text>"), "{latency}");
    let [errors, latency] = svg::figures(&slow().charts.expect("there is evidence"));
    assert!(!errors.contains("bound") && latency.contains(">bound 200 ms</text>"), "{latency}");
    assert!(latency.contains(">green P95</text>") && latency.contains(">1000</text>"), "on a log scale: {latency}");
}

#[test]
fn what_a_release_cost_is_counted_and_what_is_estimated_says_so() {
    let report = failing();
    let requests = report.impact.requests.expect("they are recorded");
    assert_eq!((requests.total, requests.failed, requests.seen_by_clients), (700, 60, 53), "blue answered 7 of 10");
    assert_eq!((report.impact.green_seconds, report.impact.estimated.clients_at_most), (7.0, Some(53)));
    assert_eq!(report.impact.estimated.trouble_seconds, Some(1.6), "to the slice");
    // The first slow answers came after 6.6 s, to requests of half a second before.
    let seconds = slow().impact.estimated.trouble_seconds.expect("it is estimated");
    assert!((1.89..1.91).contains(&seconds), "{seconds}");
    let told = report.markdown();
    for row in [
        "| failed, which is held against green | 60 |\n",
        "| failures that clients saw | 53 |\n",
        "| success rate as clients saw it | 92.4 % |\n",
        "| green had a share of the traffic for | 0:00:07 |\n",
        "| clients affected (estimate) | at most 53 |\n",
        "| trouble lasted (estimate) | 1.6 s |\n",
    ] {
        assert!(told.contains(row), "{row}: {told}");
    }
    assert!(slow().markdown().contains("| green's requests slower than 200 ms, in the last 5 s | 140 of 450 |\n"));
}

#[test]
fn a_row_of_failures_began_in_the_slice_that_has_its_first() {
    let grounds = json!({
        "bad": "failed", "over": "since the first failure of green's row", "onceIn": 4_312_345.0,
        "blue": { "bad": 0, "units": 16 }, "green": { "bad": 8, "units": 8 },
    });
    let report = measured(7_800, grounds, |after| tick(after, (100, 4), 20));
    assert_eq!(report.impact.estimated.trouble_seconds, Some(0.2), "also where most requests of the slice are well");
    let told = report.markdown();
    assert!(told.contains("chance alone would bring such a row at most once in 4,300,000 times."), "{told}");
}

#[test]
fn what_happened_is_told_in_three_sentences() {
    assert_eq!(
        failing().happened,
        [
            "Release v2.1.0_rc-7 began at 2026-11-21 14:00:00 UTC and gave green, v2.1.0_rc, up to 25 % of the traffic \
             beside blue, v2.0.3.",
            "At 14:00:08, 0:00:08 after the beginning, the gate rolled it back by the trigger spike: green is bad.",
            "Green failed 60 of its 700 requests; 10 of them were sent to blue instead, and clients saw 53 fail; from the \
             rollback on new requests went to blue.",
        ]
    );
}

/// Everything between `<` and `>`.
fn tags(html: &str) -> Vec<&str> {
    html.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag).collect()
}

#[test]
fn the_html_form_is_one_file_without_script_in_which_the_text_of_people_stays_text() {
    let with = |text: &str| {
        let mut report = failing();
        let Report { service, happened, release, .. } = &mut report;
        *service = Some(text.to_owned());
        happened.iter_mut().for_each(|sentence| text.clone_into(sentence));
        let ReleaseHeader { id, blue, green, .. } = &mut release.record.header;
        [id, blue, green].into_iter().for_each(|name| text.clone_into(name));
        release.record.plan = json!({ "steps": [{ "cohort": text, "bake": 1.0 }], "irreversible": text });
        for DecisionRecord { kind, actor, sentence, state, evidence, .. } in &mut release.decisions {
            [actor, sentence].into_iter().for_each(|said| text.clone_into(said));
            // What decides which sections there are stays.
            if kind == "stepped" {
                [kind, state].into_iter().for_each(|name| text.clone_into(name));
            }
            if !evidence.is_null() {
                evidence["trigger"] = json!(text);
                evidence["window"] = json!(text);
                evidence["grounds"]["bad"] = json!(text);
                evidence["grounds"]["over"] = json!(text);
                evidence["blue"] = json!({ "requests": text, "extra": text });
                evidence["green"] = json!({ "requests": text, "extra": text });
                evidence["routes"] = json!([{ "route": text }]);
            }
        }
        release.actions = super::actions();
        for ActionRecord { name, kind, moment, sentence, remembered, .. } in &mut release.actions {
            [name, kind, moment, sentence].into_iter().for_each(|said| text.clone_into(said));
            remembered.insert(text.to_owned(), text.to_owned());
        }
        if let Some(charts) = &mut report.charts {
            charts.moment.iter_mut().for_each(|moment| text.clone_into(&mut moment.kind));
        }
        report.html()
    };
    let harmless = with("plain");
    let hostile = with("\"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;b&gt;\u{202e}</style></svg>");
    assert_eq!(tags(&hostile), tags(&harmless));
    assert!(hostile.contains("&lt;script&gt;alert(1)") && hostile.contains("&amp;lt;b&amp;gt;\u{fffd}"), "{hostile}");
    let tags = tags(&harmless);
    assert!(!tags.iter().any(|tag| ["script", "link", "img", "iframe"].iter().any(|name| tag.starts_with(name))));
    assert!(!harmless.contains("http://") && !harmless.contains("https://") && !harmless.contains("url("));
    assert!(harmless.contains("@media print") && harmless.contains("prefers-color-scheme: dark"), "{harmless}");
    assert!(tags.contains(&"meta name=\"viewport\" content=\"width=device-width, initial-scale=1\""), "{tags:?}");
    // Each tag that is opened is closed.
    let mut open: Vec<&str> = Vec::new();
    for tag in tags {
        let name = tag.split([' ', '/']).find(|name| !name.is_empty()).expect("a name");
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed));
        } else if !tag.ends_with('/') && !["!DOCTYPE", "meta"].contains(&name) {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}

#[test]
fn the_json_form_is_the_release_as_the_journal_has_it_and_what_the_others_say() {
    let report = failing();
    let json = serde_json::to_value(&report).expect("a report is plain data");
    let release = serde_json::to_value(&report.release).expect("a release is plain data");
    for (member, value) in release.as_object().expect("an object") {
        assert_eq!(&json[member], value, "{member}");
    }
    assert_eq!((&json["reportVersion"], &json["decidedBy"]), (&json!(1), &json!(2)));
    assert_eq!(json["happened"].as_array().map(Vec::len), Some(3));
    assert_eq!(json["impact"]["requests"]["seenByClients"], 53);
    assert_eq!(json["impact"]["estimated"]["troubleSeconds"], 1.6);
    assert_eq!(json["charts"]["bound"], json!({ "metric": "errorRate", "above": 0.05 }));
    assert_eq!(json["charts"]["slices"][27], json!({ "at": "2026-11-21T14:00:05.4Z", "blue": null, "green": null }));
    let untraced = Report::new(report.release, None, at(9));
    assert!(serde_json::to_value(&untraced).expect("plain")["charts"].is_null());
}
