use serde_json::json;

use super::*;

const CHANNEL: &str = "{ slack: { token: env:SECRET, channel: \"#releases\" } }";

#[test]
fn a_webhook_alone_tells_what_a_person_needs_at_night() {
    let action = action(Moment::RolledBack, "{ slack: { url: env:URL } }");
    let context = context(facts(Moment::RolledBack), vec![]);
    let request = sent(&action, &context, &[]);
    assert_eq!(line(&request), "POST https://hooks.example/s3cr3t");
    let section = |text: &str| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    assert_eq!(
        body(&request),
        json!({
            "text": ":rotating_light: checkout: v2 was rolled back to v1: errorRate of green is 12.50 %",
            "unfurl_links": false,
            "blocks": [
                section(":rotating_light: *checkout: v2 was rolled back to v1*\nerrorRate of green is 12.50 %"),
                section(&format!(
                    "*Status:* mitigated, all traffic is on v1\n\
                     *Versions:* blue v1, green v2\n\
                     *Decided by:* gate (meltdown)\n\
                     *At:* 2026-01-31 13:14:15 UTC\n\
                     *Step:* 2 of 4\n\
                     *Green:* 50 of 400 requests failed (12.50 %) in 1m, P99 900 ms\n\
                     *Blue:* 4 of 4000 requests failed (0.10 %) in 1m, P99 80 ms\n\
                     *Release:* v2-7\n\
                     <{REPORT}|Report>"
                )),
            ],
        })
    );
    assert_eq!(delivered(&action, &context, &[answer(200, "ok")]), BTreeMap::new());
}

#[test]
fn what_people_wrote_calls_nobody_and_a_runbook_may() {
    let facts = Facts { reason: "<!channel> & all".to_owned(), ..facts(Moment::Paused) };
    let context = context(facts, vec![]);
    let own = action(Moment::Paused, "{ slack: { url: env:URL, text: \"<!here> {{ service }}: {{ reason }}\" } }");
    let said = body(&sent(&own, &context, &[]));
    assert_eq!(said, json!({ "text": "<!here> checkout: &lt;!channel&gt; &amp; all", "unfurl_links": false }));
    let usual = action(Moment::Paused, "{ slack: { url: env:URL } }");
    let said = sent(&usual, &context, &[]).shown(&context);
    assert!(said.contains("&lt;!channel&gt; &amp; all") && !said.contains("<!channel>"), "{said}");
}

#[test]
fn the_later_messages_of_a_release_go_into_the_thread_of_the_first() {
    let rolled_back = action(Moment::RolledBack, CHANNEL);
    let before = context(facts(Moment::RolledBack), vec![]);
    let request = sent(&rolled_back, &before, &[]);
    assert_eq!(line(&request), "POST https://slack.com/api/chat.postMessage; authorization: Bearer s3cr3t");
    assert_eq!(body(&request)["channel"], "#releases");
    assert_eq!(body(&request).get("thread_ts"), None);
    let posted = answer(200, r#"{"ok":true,"channel":"C024BE91L","ts":"1503435956.000247"}"#);
    let values = delivered(&rolled_back, &before, &[posted]);
    assert_eq!(values["ts"], "1503435956.000247");

    let resolved = action(Moment::Recovered, CHANNEL);
    let known = Remembered { values, ..earlier("slack", &[]) };
    let other = earlier("slack", &[("channel", "#other"), ("ts", "1.0")]);
    let after = context(facts(Moment::Recovered), vec![other, known]);
    let reply = body(&sent(&resolved, &after, &[]));
    assert_eq!((&reply["thread_ts"], &reply["reply_broadcast"]), (&json!("1503435956.000247"), &json!(false)));
    let replied = answer(200, r#"{"ok":true,"ts":"1503435999.000100"}"#);
    assert_eq!(
        delivered(&resolved, &after, &[replied])["ts"],
        "1503435956.000247",
        "the thread goes on from its first"
    );

    let shown = action(Moment::Recovered, "{ slack: { token: env:SECRET, channel: \"#releases\", broadcast: true } }");
    assert_eq!(body(&sent(&shown, &after, &[]))["reply_broadcast"], true);
    let apart = action(Moment::Recovered, "{ slack: { token: env:SECRET, channel: \"#releases\", thread: false } }");
    assert_eq!(body(&sent(&apart, &after, &[])).get("thread_ts"), None);
}

#[test]
fn slack_says_no_with_200() {
    let action = action(Moment::RolledBack, CHANNEL);
    let context = context(facts(Moment::RolledBack), vec![]);
    let said = |error: &str| answer(200, &json!({ "ok": false, "error": error }).to_string());
    assert!(failed(&action, &context, &[said("channel_not_found")]).contains("channel_not_found"));
    assert!(failed(&action, &context, &[said("invalid_auth")]).contains("invalid_auth"));
    assert_eq!(retried(&action, &context, &[said("internal_error")]), None);
    let limited = answer_with(200, &[("retry-after", "7")], r#"{"ok":false,"error":"ratelimited"}"#);
    assert_eq!(retried(&action, &context, &[limited]), Some(Duration::from_secs(7)));
    assert!(failed(&action, &context, &[answer(200, "<html>a proxy</html>")]).contains("not Slack's"));
}

#[test]
fn a_message_goes_by_a_webhook_or_to_a_channel() {
    for (entry, expected) in [
        ("{ slack: {} }", "missing key `runbook.rolledBack[0].slack.url`"),
        ("{ slack: { url: env:URL, channel: a } }", "is not for an incoming webhook"),
        ("{ slack: { token: env:SECRET } }", "missing key `runbook.rolledBack[0].slack.channel`"),
        ("{ slack: { token: xoxb-1, channel: a } }", "is written out, and is a secret"),
        ("{ slack: { token: env:SECRET, channel: a, thread: false, broadcast: true } }", "`thread` is off"),
        ("{ slack: { url: env:URL, text: \"{{ gren }}\" } }", "did you mean `green`?"),
        ("{ slack: { uri: env:URL } }", "did you mean `url`?"),
    ] {
        let faults = parsed(Moment::RolledBack, entry).expect_err("a fault");
        assert!(faults.contains(expected), "{faults}");
    }
}
