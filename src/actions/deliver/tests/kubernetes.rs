use serde_json::json;

use super::*;

const UNDO: &str = "{ kubernetes: { undo: checkout-green, namespace: shop } }";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/checkout-green";

fn deployment(template: &Value, annotations: &Value) -> Answer {
    let object = json!({
        "metadata": { "name": "checkout-green", "uid": "d-1", "resourceVersion": "77", "annotations": annotations },
        "spec": {
            "selector": {
                "matchLabels": { "app": "checkout", "side": "green" },
                "matchExpressions": [{ "key": "tier", "operator": "In", "values": ["a", "b"] }],
            },
            "template": template,
        },
    });
    answer(200, &object.to_string())
}

fn set(owner: &str, revision: &str, image: &str) -> Value {
    json!({
        "metadata": {
            "annotations": {
                "deployment.kubernetes.io/revision": revision,
                "deployment.kubernetes.io/max-replicas": "4",
                "kubernetes.io/change-cause": format!("to {image}"),
            },
            "ownerReferences": [{ "kind": "Deployment", "controller": true, "uid": owner }],
        },
        "spec": { "template": {
            "metadata": { "labels": { "app": "checkout", "pod-template-hash": "5d5" } },
            "spec": { "containers": [{ "image": image }] },
        } },
    })
}

fn template(image: &str) -> Value {
    json!({ "metadata": { "labels": { "app": "checkout" } }, "spec": { "containers": [{ "image": image }] } })
}

fn sets(sets: &[Value]) -> Answer {
    answer(200, &json!({ "items": sets }).to_string())
}

/// What a person has annotated by hand belongs to the revision that it was annotated in.
fn at_revision(revision: &str) -> Value {
    json!({ "deployment.kubernetes.io/revision": revision, "team": "shop" })
}

#[test]
fn an_undo_brings_the_template_of_the_revision_before_back_as_kubectl_does() {
    let (undo, context) = (action(Moment::RolledBack, UNDO), context(facts(Moment::RolledBack), vec![]));
    let first = sent(&undo, &context, &[]);
    assert_eq!(line(&first), format!("GET {DEPLOYMENT}"));
    let found = deployment(&template("shop:v2"), &at_revision("12"));
    let second = sent(&undo, &context, std::slice::from_ref(&found));
    assert_eq!(
        line(&second),
        "GET /apis/apps/v1/namespaces/shop/replicasets?labelSelector=app%3Dcheckout%2Cside%3Dgreen%2Ctier%20in%20%28a%2Cb%29"
    );
    // Revision 9 is older, and the others belong to somebody else.
    let all =
        [set("d-1", "9", "shop:v0"), set("d-1", "12", "shop:v2"), set("d-1", "10", "shop:v1"), set("x", "11", "y")];
    let answers = [found, sets(&all)];
    let third = sent(&undo, &context, &answers);
    assert_eq!(
        (third.method.as_str(), third.uri.to_string()),
        ("PATCH", format!("{DEPLOYMENT}?fieldManager=portcullis"))
    );
    assert_eq!(third.headers["content-type"], "application/json-patch+json");
    assert_eq!(
        body(&third),
        json!([
            { "op": "replace", "path": "/metadata/resourceVersion", "value": "77" },
            { "op": "replace", "path": "/metadata/annotations", "value": {
                "deployment.kubernetes.io/revision": "12",
                "kubernetes.io/change-cause": "to shop:v1",
                "portcullis.dev/undone-by": "v2-7/rolledBack/told/0",
            } },
            { "op": "replace", "path": "/spec/template", "value": template("shop:v1") },
        ])
    );
    let done = [answers.as_slice(), &[answer(200, "{}")]].concat();
    assert_eq!(delivered(&undo, &context, &done)["revision"], "10");
}

#[test]
fn an_undo_that_was_done_is_not_done_again_which_would_bring_back_what_was_undone() {
    let (undo, context) = (action(Moment::RolledBack, UNDO), context(facts(Moment::RolledBack), vec![]));
    let by_us = json!({ "portcullis.dev/undone-by": "v2-7/rolledBack/told/0" });
    delivered(&undo, &context, &[deployment(&template("shop:v1"), &by_us)]);
    let by_an_earlier_release = json!({ "portcullis.dev/undone-by": "v1-6/rolledBack/told/0" });
    assert_eq!(sent(&undo, &context, &[deployment(&template("shop:v2"), &by_an_earlier_release)]).method, "GET");
}

#[test]
fn an_undo_that_somebody_else_was_quicker_than_looks_again_and_one_that_has_nothing_before_it_fails() {
    let (undo, context) = (action(Moment::RolledBack, UNDO), context(facts(Moment::RolledBack), vec![]));
    let found = deployment(&template("shop:v2"), &at_revision("2"));
    let two = sets(&[set("d-1", "2", "shop:v2"), set("d-1", "1", "shop:v1")]);
    let conflict = answer(409, r#"{"message":"the object has been modified"}"#);
    assert_eq!(retried(&undo, &context, &[found.clone(), two, conflict]), Some(Duration::from_secs(1)));
    let why = failed(&undo, &context, &[found.clone(), sets(&[set("d-1", "2", "shop:v2")])]);
    assert_eq!(why, "deployment checkout-green has no revision before the one that it is at");
    let forbidden = answer(403, r#"{"message":"deployments.apps \"checkout-green\" is forbidden"}"#);
    assert!(failed(&undo, &context, &[forbidden]).starts_with("the answer was 403 Forbidden"));
    let at_it = deployment(&template("shop:v1"), &at_revision("2"));
    let two = sets(&[set("d-1", "2", "shop:v2"), set("d-1", "1", "shop:v1")]);
    assert_eq!(delivered(&undo, &context, &[at_it, two])["revision"], "1");
}

#[test]
fn a_deployment_is_scaled_and_an_object_annotated_by_a_patch_that_may_come_twice() {
    let context = context(facts(Moment::RolledBack), vec![]);
    let scale = action(Moment::RolledBack, "{ after: 30s, kubernetes: { scale: checkout-green, namespace: shop } }");
    let request = sent(&scale, &context, &[]);
    assert_eq!(
        (request.method.as_str(), request.uri.to_string()),
        ("PATCH", format!("{DEPLOYMENT}/scale?fieldManager=portcullis"))
    );
    assert_eq!(request.headers["content-type"], "application/merge-patch+json");
    assert_eq!(body(&request), json!({ "spec": { "replicas": 0 } }));
    assert_eq!(delivered(&scale, &context, &[answer(200, "{}")])["replicas"], "0");
    assert_eq!(retried(&scale, &context, &[answer(409, "{}")]), Some(Duration::from_secs(1)));

    let entry = "{ kubernetes: { annotate: gatedrollout/checkout, namespace: shop, annotations: { shop.example/why: \
                 \"{{ green }}: {{ reason }}\" } } }";
    let annotate = action(Moment::RolledBack, entry);
    let request = sent(&annotate, &context, &[]);
    let path = "/apis/portcullis.dev/v1alpha1/namespaces/shop/gatedrollouts/checkout?fieldManager=portcullis";
    assert_eq!((request.method.as_str(), request.uri.to_string()), ("PATCH", path.to_owned()));
    let why = "v2: errorRate of green is 12.50 %";
    assert_eq!(body(&request), json!({ "metadata": { "annotations": { "shop.example/why": why } } }));
}

#[test]
fn an_event_is_about_an_object_and_there_once_however_often_it_is_sent() {
    let context = context(facts(Moment::RolledBack), vec![]);
    let event = action(Moment::RolledBack, "{ kubernetes: { event: service/checkout, namespace: shop } }");
    assert_eq!(line(&sent(&event, &context, &[])), "GET /api/v1/namespaces/shop/services/checkout");
    let found = answer(200, r#"{"metadata":{"uid":"s-1"}}"#);
    let request = sent(&event, &context, std::slice::from_ref(&found));
    assert_eq!(request.uri.to_string(), "/apis/events.k8s.io/v1/namespaces/shop/events?fieldManager=portcullis");
    let said = body(&request);
    assert_eq!(
        said["regarding"],
        json!({
            "apiVersion": "v1", "kind": "Service", "name": "checkout", "namespace": "shop", "uid": "s-1",
        })
    );
    assert_eq!(
        (&said["type"], &said["reason"], &said["eventTime"]),
        (&json!("Warning"), &json!("RolledBack"), &json!("2026-01-31T13:14:15.000000Z"),)
    );
    assert_eq!(said["note"], "checkout: v2 was rolled back to v1: errorRate of green is 12.50 %");
    let name = said["metadata"]["name"].as_str().expect("a name").to_owned();
    assert_eq!(name.strip_prefix("checkout.").map(str::len), Some(16));
    for last in [answer(201, "{}"), answer(409, "{}")] {
        assert_eq!(delivered(&event, &context, &[found.clone(), last])["event"], name);
    }
    // Who may not read the Service speaks of it without its uid.
    assert!(body(&sent(&event, &context, &[answer(403, "{}")]))["regarding"].get("uid").is_none());
}

#[test]
fn a_paused_deployment_is_not_undone_and_every_kind_of_selector_finds_its_sets() {
    let (undo, context) = (action(Moment::RolledBack, UNDO), context(facts(Moment::RolledBack), vec![]));
    let found =
        |spec: Value| answer(200, &json!({ "metadata": { "name": "checkout-green" }, "spec": spec }).to_string());
    let paused = failed(&undo, &context, &[found(json!({ "paused": true, "selector": {} }))]);
    assert_eq!(paused, "deployment checkout-green is paused: nothing is rolled out, and nothing undone");
    let expression = |key: &str, operator: &str| json!({ "key": key, "operator": operator, "values": ["x", "y"] });
    let expressions = json!([expression("a", "NotIn"), expression("b", "Exists"), expression("c", "DoesNotExist")]);
    let asked = sent(&undo, &context, &[found(json!({ "selector": { "matchExpressions": expressions } }))]);
    let query = asked.uri.query().expect("a selector").to_owned();
    let selector = percent_encoding::percent_decode_str(&query).decode_utf8_lossy().into_owned();
    assert_eq!(selector, "labelSelector=a notin (x,y),b,!c");
}

#[test]
fn a_note_is_no_longer_than_an_event_takes() {
    let context = context(facts(Moment::RolledBack), vec![]);
    let entry =
        format!("{{ kubernetes: {{ event: service/checkout, namespace: shop, note: {} }} }}", "x".repeat(3_000));
    let event = action(Moment::RolledBack, &entry);
    let said = body(&sent(&event, &context, &[answer(403, "{}")]));
    assert!(said["note"].as_str().is_some_and(|note| note.len() <= 1_024 && note.starts_with("xxx")), "{said:#}");
}

#[test]
fn a_trial_asks_the_cluster_and_changes_nothing() {
    let trial = Context::new(facts(Moment::RolledBack), Now::sample(), vec![], &Runbook::default());
    let scale = action(Moment::RolledBack, "{ after: 30s, kubernetes: { scale: checkout-green } }");
    let request = sent(&scale, &trial, &[]);
    let path = "/apis/apps/v1/namespaces/NAMESPACE/deployments/checkout-green/scale?fieldManager=portcullis&dryRun=All";
    assert_eq!(request.uri.to_string(), path);
}

#[test]
fn what_is_wrong_with_it_is_told_by_its_key() {
    for (entry, told) in [
        ("{ kubernetes: { namespace: shop } }", "does nothing"),
        ("{ kubernetes: { undo: a, scale: b } }", "is written beside `undo`"),
        ("{ kubernetes: { undo: Checkout } }", "`Checkout` is not the name of an object"),
        ("{ kubernetes: { undo: a, replicas: 2 } }", "means nothing beside `undo`"),
        ("{ kubernetes: { scale: a, replicas: -1 } }", "-1"),
        ("{ kubernetes: { annotate: a, annotations: { b: c } } }", "`a` names no object"),
        ("{ kubernetes: { annotate: pod/a, annotations: { b: c } } }", "pod"),
        ("{ kubernetes: { annotate: service/a } }", "annotations"),
        ("{ kubernetes: { annotate: service/a, annotations: { /b: c } } }", "is not the key of an annotation"),
        ("{ kubernetes: { event: service/a, reason: rolled back } }", "is not the reason of an Event"),
        ("{ kubernetes: { undo: a, namespace: a.b } }", "`a.b` is not a namespace"),
        ("{ after: 29s, kubernetes: { scale: a } }", "scales a to 0 29s after the rollback"),
    ] {
        let faults = parsed(Moment::RolledBack, entry).expect_err(entry);
        assert!(faults.contains(told), "{entry}: {faults}");
    }
}
