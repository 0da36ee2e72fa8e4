use serde_json::json;

use super::*;

const ENTRY: &str = "{ grafana: { url: https://grafana.example/, token: env:SECRET, tags: [shop] } }";
const MADE: &str = r#"{"message":"Annotation added","id":5}"#;

#[test]
fn a_region_goes_from_the_start_of_the_release_to_its_end() {
    let started = action(Moment::Started, ENTRY);
    let begun = Facts { at: facts(Moment::Started).started, ..facts(Moment::Started) };
    let before = context(begun, vec![]);
    let made = sent(&started, &before, &[]);
    assert_eq!(line(&made), "POST https://grafana.example/api/annotations; authorization: Bearer s3cr3t");
    let said = body(&made);
    assert_eq!((&said["time"], &said["timeEnd"]), (&json!(1_769_864_400_000_i64), &json!(1_769_864_400_000_i64)));
    assert_eq!(said["tags"], json!(["portcullis", "checkout", "started", "shop"]));
    let values = delivered(&started, &before, &[answer(200, MADE)]);
    assert_eq!(values["annotation"], "5");

    let rolled_back = action(Moment::RolledBack, ENTRY);
    let known = Remembered { values, ..earlier("grafana", &[]) };
    let after = context(facts(Moment::RolledBack), vec![known]);
    let changed = sent(&rolled_back, &after, &[]);
    assert_eq!(line(&changed), "PATCH https://grafana.example/api/annotations/5; authorization: Bearer s3cr3t");
    assert_eq!(
        body(&changed),
        json!({
            "time": 1_769_864_400_000_i64,
            "timeEnd": 1_769_865_255_000_i64,
            "tags": ["portcullis", "checkout", "rolledBack", "shop"],
            "text": format!(
                "checkout: v2 was rolled back to v1: errorRate of green is 12.50 % <a href=\"{REPORT}\">Report</a>"
            ),
        })
    );
    assert_eq!(
        delivered(&rolled_back, &after, &[answer(200, r#"{"message":"Annotation patched"}"#)])["annotation"],
        "5"
    );
}

#[test]
fn an_annotation_that_somebody_removed_is_made_again() {
    let rolled_back = action(Moment::RolledBack, ENTRY);
    let known = earlier("grafana", &[("annotation", "5"), ("url", "https://grafana.example")]);
    let context = context(facts(Moment::RolledBack), vec![known]);
    let gone = answer(404, r#"{"message":"Annotation not found"}"#);
    assert_eq!(sent(&rolled_back, &context, std::slice::from_ref(&gone)).method, "POST");
    assert_eq!(delivered(&rolled_back, &context, &[gone, answer(200, &MADE.replace('5', "6"))])["annotation"], "6");
}

#[test]
fn it_stands_on_one_dashboard_or_on_all_that_ask_for_its_tags() {
    let entry = "{ grafana: { url: https://grafana.example, token: env:SECRET, dashboard: jcIIG-07z, panel: 2, \
                 text: \"<b>{{ reason }}</b>\" } }";
    let context = context(Facts { reason: "<script>".to_owned(), ..facts(Moment::RolledBack) }, vec![]);
    let said = body(&sent(&action(Moment::RolledBack, entry), &context, &[]));
    assert_eq!((&said["dashboardUID"], &said["panelId"]), (&json!("jcIIG-07z"), &json!(2)));
    assert_eq!(said["text"], "<b>&lt;script&gt;</b>");
    let faults = parsed(Moment::RolledBack, "{ grafana: { url: https://g.example, token: env:SECRET, panel: 2 } }");
    assert!(faults.expect_err("a fault").contains("add `dashboard`"));
}
