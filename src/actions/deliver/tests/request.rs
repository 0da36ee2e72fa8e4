use super::*;

fn http(keys: &str) -> (Arc<Action>, Context) {
    let entry = format!("{{ http: {{ url: \"https://flags.example/checkout\", {keys} }} }}");
    (action(Moment::RolledBack, &entry), context(facts(Moment::RolledBack), vec![]))
}

#[test]
fn what_is_expected_is_done_and_nothing_else_is() {
    let (any, context) = http("json: {}");
    for status in [200, 201, 204, 299] {
        assert!(delivered(&any, &context, &[answer(status, "")]).is_empty(), "{status}");
    }
    let (gone, context) = http("method: DELETE, expect: [204, 404]");
    delivered(&gone, &context, &[answer(404, "no such flag")]);
    assert_eq!(failed(&gone, &context, &[answer(200, "still there")]), "the answer was 200 OK: still there");
    assert_eq!(retried(&gone, &context, &[answer(500, "")]), None);
}

#[test]
fn what_is_to_be_remembered_has_to_be_in_the_answer() {
    let (ticket, context) = http("json: {}, remember: { key: /ticket/key, number: /ticket/id, open: /open }");
    let said = r#"{"ticket": {"key": "SHOP-1", "id": 17}, "open": true}"#;
    let expected = [("key", "SHOP-1"), ("number", "17"), ("open", "true")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(delivered(&ticket, &context, &[answer(201, said)]), BTreeMap::from(expected));
    for said in [said.replace("17", "null"), said.replace("key", "name"), "created".to_owned()] {
        let why = failed(&ticket, &context, &[answer(201, &said)]);
        assert!(why.starts_with("the answer was 201 Created, and has nothing at /ticket/"), "{said}: {why}");
    }
}

#[test]
fn a_webhook_says_when_its_attempt_is_made_which_receivers_look_at_and_when_it_happened() {
    let action = action(Moment::RolledBack, "{ webhook: { url: env:URL } }");
    let happened = facts(Moment::RolledBack);
    let request = sent(&action, &context(happened.clone(), vec![]), &[]);
    let attempted: i64 = request.headers["webhook-timestamp"].to_str().expect("text").parse().expect("a number");
    assert!(attempted > happened.at.as_second(), "it happened before");
    assert_eq!(body(&request)["timestamp"], happened.at.to_string());
}
