use serde_json::json;

use super::*;

const ENTRY: &str = "{ jira: { url: https://jira.example, user: bot@example.com, token: env:SECRET, project: OPS } }";
const FOUND: &str = r#"{"issues":[{"id":"10002","key":"OPS-7"}],"isLast":true}"#;
const NONE: &str = r#"{"issues":[],"isLast":true}"#;
const BASIC: &str = "; accept: application/json; authorization: Basic Ym90QGV4YW1wbGUuY29tOnMzY3IzdA==";

/// The text of a document, a line a node.
fn text(document: &Value) -> String {
    match (document["text"].as_str(), document["type"].as_str(), document["content"].as_array()) {
        (Some(text), _, _) => text.to_owned(),
        (None, Some("hardBreak"), _) => "\n".to_owned(),
        (None, kind, Some(content)) => {
            let ends = if matches!(kind, Some("paragraph")) { "\n" } else { "" };
            content.iter().map(text).collect::<String>() + ends
        }
        _ => String::new(),
    }
}

#[test]
fn the_first_action_of_a_release_creates_its_issue() {
    let entry = ENTRY.replace(
        "project: OPS",
        "project: OPS, issueType: Incident, labels: [rollback], eta: 30m, fields: { priority: { name: High }, duedate: \"{{ at }}\" }",
    );
    let action = action(Moment::RolledBack, &entry);
    let context = context(facts(Moment::RolledBack), vec![earlier("slack", &[])]);
    let search = sent(&action, &context, &[]);
    let jql = "project%20%3D%20%22OPS%22%20AND%20labels%20%3D%20%22portcullis%2Dcheckout%2Dv2%2D7%22%20ORDER%20BY%20created%20ASC";
    assert_eq!(
        line(&search),
        format!("GET https://jira.example/rest/api/3/search/jql?jql={jql}&fields=summary&maxResults=1{BASIC}")
    );
    let create = sent(&action, &context, &[answer(200, NONE)]);
    assert_eq!(line(&create), format!("POST https://jira.example/rest/api/3/issue{BASIC}"));
    let fields = &body(&create)["fields"];
    assert_eq!(fields["project"], json!({ "key": "OPS" }));
    assert_eq!(fields["issuetype"], json!({ "name": "Incident" }));
    assert_eq!(fields["summary"], "checkout: v2 was rolled back to v1");
    assert_eq!(fields["labels"], json!(["portcullis-checkout-v2-7", "rollback"]));
    assert_eq!(fields["priority"], json!({ "name": "High" }));
    assert_eq!(fields["duedate"], "2026-01-31T13:14:15Z");
    assert_eq!(fields["description"]["type"], "doc");
    let description = text(&fields["description"]);
    for expected in [
        "errorRate of green is 12.50 %\n",
        "Status: mitigated, all traffic is on v1\n",
        "Decided by: gate (meltdown)\n",
        "Steps taken:\nall traffic was sent to v1\nthe-slack (slack): delivered\n",
        "Expected to be well by 2026-01-31 13:44:15 UTC.\n",
        REPORT,
    ] {
        assert!(description.contains(expected), "{expected:?} in {description}");
    }
    let created = answer(201, r#"{"id":"10002","key":"OPS-7","self":"https://jira.example/rest/api/3/issue/10002"}"#);
    let remembered = delivered(&action, &context, &[answer(200, NONE), created]);
    assert_eq!((&*remembered["key"], &*remembered["url"]), ("OPS-7", "https://jira.example/browse/OPS-7"));
}

#[test]
fn the_later_ones_move_it_and_comment_on_it() {
    let entry = ENTRY.replace("project: OPS", "project: OPS, transition: done, eta: 30m");
    let action = action(Moment::Recovered, &entry);
    let known = earlier("jira", &[("key", "OPS-7"), ("label", "portcullis-checkout-v2-7")]);
    let context = context(facts(Moment::Recovered), vec![known]);
    let offered = sent(&action, &context, &[]);
    assert_eq!(line(&offered), format!("GET https://jira.example/rest/api/3/issue/OPS-7/transitions{BASIC}"));
    let offers =
        answer(200, r#"{"transitions":[{"id":"11","name":"Start"},{"id":"31","name":"Finish","to":{"name":"Done"}}]}"#);
    let moved = sent(&action, &context, std::slice::from_ref(&offers));
    assert_eq!(line(&moved), format!("POST https://jira.example/rest/api/3/issue/OPS-7/transitions{BASIC}"));
    assert_eq!(body(&moved), json!({ "transition": { "id": "31" } }));
    let comment = sent(&action, &context, &[offers.clone(), answer(204, "")]);
    assert_eq!(line(&comment), format!("POST https://jira.example/rest/api/3/issue/OPS-7/comment{BASIC}"));
    let said = text(&body(&comment)["body"]);
    assert!(said.contains("checkout: v1 is well after the rollback of v2\n"), "{said}");
    assert!(said.contains("Status: resolved, all traffic is on v1"), "{said}");
    assert!(!said.contains("Expected to be well"), "{said}");
    let answers = [offers, answer(204, ""), answer(201, "{}")];
    assert_eq!(delivered(&action, &context, &answers)["key"], "OPS-7");
}

#[test]
fn an_issue_whose_answer_was_lost_is_found_again() {
    let action = action(Moment::RolledBack, ENTRY);
    let context = context(facts(Moment::RolledBack), vec![]);
    let comment = sent(&action, &context, &[answer(200, FOUND)]);
    assert_eq!(line(&comment), format!("POST https://jira.example/rest/api/3/issue/OPS-7/comment{BASIC}"));
}

#[test]
fn a_transition_that_is_not_offered_does_not_keep_the_comment_back() {
    let entry = ENTRY.replace("project: OPS", "project: OPS, transition: Done, comment: \"{{ blue }} it is\"");
    let action = action(Moment::Recovered, &entry);
    let context = context(facts(Moment::Recovered), vec![]);
    let answers = [answer(200, FOUND), answer(200, r#"{"transitions":[]}"#)];
    assert_eq!(text(&body(&sent(&action, &context, &answers))["body"]), "v1 it is\n");
    let answers = [answer(200, FOUND), answer(200, r#"{"transitions":[]}"#), answer(201, "{}")];
    match next(&action.kind, &context, &answers).expect("it renders") {
        Next::Delivered { sentence, .. } => assert!(sentence.contains("offers no \"Done\""), "{sentence}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_release_may_have_another_issue() {
    let entry =
        ENTRY.replace("project: OPS", "project: OPS, issue: post-mortem, summary: \"Post-mortem: {{ green }}\"");
    let action = action(Moment::RolledBack, &entry);
    let known = earlier("jira", &[("key", "OPS-7"), ("label", "portcullis-checkout-v2-7")]);
    let context = context(facts(Moment::RolledBack), vec![known]);
    let search = sent(&action, &context, &[]).uri.to_string();
    assert!(search.contains("portcullis%2Dcheckout%2Dv2%2D7%2Dpost%2Dmortem"), "{search}");
    let fields = &body(&sent(&action, &context, &[answer(200, NONE)]))["fields"];
    assert_eq!(fields["summary"], "Post-mortem: v2");
    assert_eq!(fields["labels"], json!(["portcullis-checkout-v2-7-post-mortem"]));
}

#[test]
fn data_center_has_a_token_alone_and_wiki_markup() {
    let entry = "{ jira: { url: https://jira.example/, api: v2, token: env:SECRET, project: OPS, \
                 description: \"*{{ service }}*: {{ reason }}\" } }";
    let action = action(Moment::RolledBack, entry);
    let facts = Facts { reason: "{code} [~admin]".to_owned(), ..facts(Moment::RolledBack) };
    let context = context(facts, vec![]);
    let search = sent(&action, &context, &[]);
    let shown = line(&search);
    assert!(shown.starts_with("GET https://jira.example/rest/api/2/search?jql="), "{shown}");
    assert!(shown.ends_with("; authorization: Bearer s3cr3t"), "{shown}");
    let create = sent(&action, &context, &[answer(200, NONE)]);
    assert_eq!(body(&create)["fields"]["description"], r"*checkout*: \{code\} \[\~admin\]");
}

#[test]
fn what_jira_does_not_like_is_told_in_its_words() {
    let action = action(Moment::RolledBack, ENTRY);
    let context = context(facts(Moment::RolledBack), vec![]);
    let refused = answer(400, r#"{"errorMessages":[],"errors":{"issuetype":"Specify a valid issue type"}}"#);
    let why = failed(&action, &context, &[answer(200, NONE), refused]);
    assert!(why.contains("Specify a valid issue type"), "{why}");
    assert!(failed(&action, &context, &[answer(200, NONE), answer(201, "{}")]).contains("names no issue"));
    for (entry, expected) in [
        ("{ jira: { url: jira.example, token: env:SECRET, project: OPS } }", "is not the address of a server"),
        (
            "{ jira: { url: https://jira.example, token: env:SECRET, project: \"A\\\" OR\" } }",
            "is not the key of a project",
        ),
        (
            "{ jira: { url: https://jira.example, token: env:SECRET, project: A, api: v4 } }",
            "`v4` is not a version of the API",
        ),
        ("{ jira: { url: https://jira.example, token: env:SECRET, project: A, labels: [\"a b\"] } }", "is not a label"),
        ("{ jira: { url: https://jira.example, token: abc, project: A } }", "is written out, and is a secret"),
    ] {
        let faults = parsed(Moment::RolledBack, entry).expect_err("a fault");
        assert!(faults.contains(expected), "{faults}");
    }
}

#[test]
fn the_token_is_not_shown_as_it_is_sent() {
    let context = context(facts(Moment::RolledBack), vec![]);
    let shown = sent(&action(Moment::RolledBack, ENTRY), &context, &[]).shown(&context);
    assert!(shown.contains("authorization: Basic ***") && !shown.contains("Ym90"), "{shown}");
}
