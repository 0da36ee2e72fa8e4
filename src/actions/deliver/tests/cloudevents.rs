use serde_json::json;

use super::*;

/// What receivers compare; the facts as a whole are templates' business.
fn without_custom_data(mut said: Value) -> Value {
    let data = if said.get("data").is_some() { &mut said["data"] } else { &mut said };
    let custom = data.as_object_mut().expect("an object").remove("customData").expect("facts");
    assert_eq!((&custom["trigger"], &custom["release"]), (&json!("meltdown"), &json!("v2-7")));
    said
}

fn rolled_back() -> Value {
    json!({
        "context": {
            "specversion": "0.5.1",
            "id": "v2-7/rolledBack/told/0",
            "source": "/portcullis/checkout",
            "type": "dev.cdevents.service.rolledback.0.3.0",
            "timestamp": "2026-01-31T13:14:15Z",
            "chainId": "checkout/v2-7",
        },
        "subject": {
            "id": "checkout",
            "source": "/portcullis/checkout",
            "content": { "environment": { "id": "production" }, "artifactId": "pkg:generic/checkout@v1" },
        },
        "customDataContentType": "application/json",
    })
}

#[test]
fn a_rollback_is_an_event_of_cdevents_in_binary_mode() {
    let action = action(Moment::RolledBack, "{ cloudevents: { url: env:URL } }");
    let context = context(facts(Moment::RolledBack), vec![]);
    let request = sent(&action, &context, &[]);
    assert_eq!(
        line(&request),
        "POST https://hooks.example/s3cr3t; ce-specversion: 1.0; ce-type: dev.cdevents.service.rolledback.0.3.0; \
         ce-time: 2026-01-31T13:14:15Z; ce-id: v2-7/rolledBack/told/0; ce-source: /portcullis/checkout; ce-subject: checkout"
    );
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(without_custom_data(body(&request)), rolled_back());
    assert_eq!(delivered(&action, &context, &[answer(204, "")])["id"], "v2-7/rolledBack/told/0");
}

#[test]
fn in_structured_mode_it_is_one_document() {
    let action = action(Moment::RolledBack, "{ cloudevents: { url: env:URL, mode: structured } }");
    let request = sent(&action, &context(facts(Moment::RolledBack), vec![]), &[]);
    assert_eq!(line(&request), "POST https://hooks.example/s3cr3t");
    assert_eq!(request.headers["content-type"], "application/cloudevents+json");
    let expected = json!({
        "specversion": "1.0",
        "id": "v2-7/rolledBack/told/0",
        "source": "/portcullis/checkout",
        "type": "dev.cdevents.service.rolledback.0.3.0",
        "subject": "checkout",
        "time": "2026-01-31T13:14:15Z",
        "datacontenttype": "application/json",
        "data": rolled_back(),
    });
    assert_eq!(without_custom_data(body(&request)), expected);
}

#[test]
fn each_moment_has_its_type_and_the_version_that_it_is_of() {
    for (moment, kind, version) in [
        (Moment::Started, "dev.cdevents.service.deployed.0.3.0", "v2"),
        (Moment::Promoted, "dev.cdevents.service.upgraded.0.3.0", "v2"),
        (Moment::RolledBack, "dev.cdevents.service.rolledback.0.3.0", "v1"),
        (Moment::Paused, "dev.cdevents.incident.detected.0.3.0", "v2"),
        (Moment::NotRecovered, "dev.cdevents.incident.detected.0.3.0", "v1"),
        (Moment::Recovered, "dev.cdevents.incident.resolved.0.3.0", "v1"),
    ] {
        let action = action(moment, "{ cloudevents: { url: env:URL } }");
        let said = body(&sent(&action, &context(facts(moment), vec![]), &[]));
        assert_eq!(said["context"]["type"], kind);
        assert_eq!(said["subject"]["content"]["artifactId"], format!("pkg:generic/checkout@{version}"), "{kind}");
    }
}

#[test]
fn what_people_call_things_fits_into_headers_and_package_urls() {
    let entry = "{ cloudevents: { url: env:URL, environment: staging, artifact: \"pkg:oci/shop@{{ blue }}\", \
                 source: \"https://p.example/{{ service }}\", headers: { authorization: env:SECRET } } }";
    let facts = Facts { service: "Kässe 1".to_owned(), ..facts(Moment::RolledBack) };
    let request = sent(&action(Moment::RolledBack, entry), &context(facts.clone(), vec![]), &[]);
    assert_eq!(request.headers["authorization"], SECRET);
    assert_eq!(request.headers["ce-subject"], "K%C3%A4sse%201");
    assert_eq!(request.headers["ce-source"], "https://p.example/K%C3%A4sse%201");
    let said = body(&request);
    assert_eq!(said["subject"]["id"], "Kässe 1");
    assert_eq!(said["subject"]["content"]["environment"]["id"], "staging");
    assert_eq!(said["subject"]["content"]["artifactId"], "pkg:oci/shop@v1");
    let usual = action(Moment::RolledBack, "{ cloudevents: { url: env:URL } }");
    let said = body(&sent(&usual, &context(facts, vec![]), &[]));
    assert_eq!(said["subject"]["content"]["artifactId"], "pkg:generic/K%C3%A4sse%201@v1");
}

#[test]
fn there_is_no_event_of_what_may_happen() {
    let faults = parsed(Moment::BeforeStep, "{ cloudevents: { url: env:URL } }").expect_err("a fault");
    assert!(faults.contains("there is no type of event for `beforeStep`"), "{faults}");
    let faults = parsed(Moment::Started, "{ cloudevents: { url: env:URL, mode: batched } }").expect_err("a fault");
    assert!(faults.contains("use one of `binary`, `structured`"), "{faults}");
}
