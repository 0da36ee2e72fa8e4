use serde_json::json;

use super::*;

const ENTRY: &str = "{ pagerduty: { routingKey: env:SECRET } }";

#[test]
fn what_a_rollback_triggers_its_resolution_resolves() {
    let trigger = action(Moment::RolledBack, ENTRY);
    let context_of = |moment| context(facts(moment), vec![]);
    let request = sent(&trigger, &context_of(Moment::RolledBack), &[]);
    assert_eq!(line(&request), "POST https://events.pagerduty.com/v2/enqueue");
    assert_eq!(
        body(&request),
        json!({
            "routing_key": SECRET,
            "event_action": "trigger",
            "dedup_key": "portcullis/checkout/v2-7",
            "client": "Portcullis",
            "client_url": REPORT,
            "links": [{ "href": REPORT, "text": "Report" }],
            "payload": {
                "summary": "checkout: v2 was rolled back to v1: errorRate of green is 12.50 %",
                "source": "checkout",
                "severity": "error",
                "timestamp": "2026-01-31T13:14:15Z",
                "component": "v2",
                "group": "checkout",
                "class": "rolledBack",
                "custom_details": {
                    "Reason": "errorRate of green is 12.50 %",
                    "Status": "mitigated, all traffic is on v1",
                    "Versions": "blue v1, green v2",
                    "Decided by": "gate (meltdown)",
                    "At": "2026-01-31 13:14:15 UTC",
                    "Step": "2 of 4",
                    "Green": "50 of 400 requests failed (12.50 %) in 1m, P99 900 ms",
                    "Blue": "4 of 4000 requests failed (0.10 %) in 1m, P99 80 ms",
                    "Release": "v2-7",
                },
            },
        })
    );
    let taken =
        answer(202, r#"{"status":"success","message":"Event processed","dedup_key":"portcullis/checkout/v2-7"}"#);
    assert_eq!(delivered(&trigger, &context_of(Moment::RolledBack), &[taken])["dedupKey"], "portcullis/checkout/v2-7");

    let resolve = sent(&action(Moment::Recovered, ENTRY), &context_of(Moment::Recovered), &[]);
    let expected = json!({ "routing_key": SECRET, "event_action": "resolve", "dedup_key": "portcullis/checkout/v2-7" });
    assert_eq!(body(&resolve), expected);
}

#[test]
fn the_worse_it_is_the_more_severe_is_the_event() {
    for (moment, event, severity) in [
        (Moment::NotRecovered, "trigger", "critical"),
        (Moment::RolledBack, "trigger", "error"),
        (Moment::Paused, "trigger", "warning"),
    ] {
        let said = body(&sent(&action(moment, ENTRY), &context(facts(moment), vec![]), &[]));
        assert_eq!((&said["event_action"], &said["payload"]["severity"]), (&json!(event), &json!(severity)));
    }
    for moment in [Moment::Started, Moment::Promoted, Moment::Recovered] {
        assert_eq!(
            body(&sent(&action(moment, ENTRY), &context(facts(moment), vec![]), &[]))["event_action"],
            "resolve"
        );
    }
}

#[test]
fn a_runbook_says_what_it_knows_better() {
    let entry = "{ pagerduty: { routingKey: env:SECRET, event: trigger, severity: info, dedupKey: \"{{ service }}\", \
                 summary: \"{{ service }} is back\", details: { Runbook: \"https://wiki.example/{{ service }}\", Step: 9 } } }";
    let said = body(&sent(&action(Moment::Recovered, entry), &context(facts(Moment::Recovered), vec![]), &[]));
    assert_eq!((&said["event_action"], &said["dedup_key"]), (&json!("trigger"), &json!("checkout")));
    assert_eq!(
        (&said["payload"]["summary"], &said["payload"]["severity"]),
        (&json!("checkout is back"), &json!("info"))
    );
    let details = &said["payload"]["custom_details"];
    assert_eq!((&details["Runbook"], &details["Step"]), (&json!("https://wiki.example/checkout"), &json!(9)));
}

#[test]
fn a_summary_is_no_longer_than_pagerduty_takes() {
    let context = context(Facts { reason: "ä\n".repeat(2_000), ..facts(Moment::RolledBack) }, vec![]);
    let said = body(&sent(&action(Moment::RolledBack, ENTRY), &context, &[]));
    let summary = said["payload"]["summary"].as_str().expect("text");
    assert_eq!((summary.chars().count(), summary.contains('\n')), (1_024, false));
}

#[test]
fn an_event_has_a_word_that_pagerduty_knows() {
    for (entry, expected) in [
        ("{ pagerduty: {} }", "missing key `runbook.rolledBack[0].pagerduty.routingKey`"),
        ("{ pagerduty: { routingKey: env:SECRET, severity: high } }", "`high` is not a severity"),
        ("{ pagerduty: { routingKey: env:SECRET, event: triger } }", "did you mean `trigger`?"),
        ("{ pagerduty: { routingKey: env:SECRET, event: resolve, details: { a: b } } }", "is for what triggers"),
    ] {
        let faults = parsed(Moment::RolledBack, entry).expect_err("a fault");
        assert!(faults.contains(expected), "{faults}");
    }
}
