use serde_json::json;

use super::*;

#[test]
fn a_card_tells_what_a_person_needs_at_night() {
    let action = action(Moment::Recovered, "{ teams: { url: env:URL } }");
    let context = context(Facts { green: "[v2](https://evil)".to_owned(), ..facts(Moment::Recovered) }, vec![]);
    let request = sent(&action, &context, &[]);
    assert_eq!(line(&request), "POST https://hooks.example/s3cr3t");
    let said = body(&request);
    assert_eq!(said["type"], "message");
    assert_eq!(said["attachments"][0]["contentType"], "application/vnd.microsoft.card.adaptive");
    let card = &said["attachments"][0]["content"];
    assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.4")));
    let title = r"checkout: v1 is well after the rollback of \[v2\](https://evil)";
    assert_eq!(
        card["body"][0],
        json!({ "type": "TextBlock", "text": title, "wrap": true, "size": "Large", "weight": "Bolder", "color": "Good" })
    );
    assert_eq!(card["body"][1], json!({ "type": "TextBlock", "text": "errorRate of green is 12.50 %", "wrap": true }));
    assert_eq!(card["body"][2]["type"], "FactSet");
    assert_eq!(card["body"][2]["facts"][0], json!({ "title": "Status", "value": "resolved, all traffic is on v1" }));
    assert_eq!(card["actions"], json!([{ "type": "Action.OpenUrl", "title": "Report", "url": REPORT }]));
    // Workflows take a message and answer 202.
    assert_eq!(delivered(&action, &context, &[answer(202, "")]), BTreeMap::new());
}

#[test]
fn a_runbook_has_a_title_and_a_text_of_its_own() {
    let entry = "{ teams: { url: env:URL, title: \"**{{ service }}**\", text: \"{{ reason }}\" } }";
    let action = action(Moment::RolledBack, entry);
    let context = context(Facts { reason: "*all* of it".to_owned(), ..facts(Moment::RolledBack) }, vec![]);
    let said = body(&sent(&action, &context, &[]));
    let blocks = &said["attachments"][0]["content"]["body"];
    assert_eq!((&blocks[0]["text"], &blocks[1]["text"]), (&json!("**checkout**"), &json!(r"\*all\* of it")));
    assert_eq!(blocks.get(2), None);
}

#[test]
fn a_connector_says_no_with_200() {
    let action = action(Moment::RolledBack, "{ teams: { url: env:URL } }");
    let context = context(facts(Moment::RolledBack), vec![]);
    let said =
        "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId";
    assert_eq!(retried(&action, &context, &[answer(200, said)]), None);
    assert_eq!(delivered(&action, &context, &[answer(200, "1")]), BTreeMap::new());
}
