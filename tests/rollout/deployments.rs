//! A Deployment whose pod template has changed is a new green.

use serde_json::json;

use super::*;

fn deployment(image: &str, updated: u32) -> Value {
    deployment_by("argocd-controller", image, updated)
}

fn deployment_by(writer: &str, image: &str, updated: u32) -> Value {
    json!({
        "metadata": { "name": "shop-green", "namespace": "shop", "managedFields": [
            { "manager": writer, "time": "2026-01-01T00:00:00Z", "operation": "Update",
                "fieldsV1": { "f:spec": { "f:template": {} } } },
        ] },
        "spec": { "replicas": 2, "selector": {}, "template": { "spec": { "containers": [{ "name": "shop", "image": image }] } } },
        "status": { "observedGeneration": 9, "replicas": 2, "updatedReplicas": updated, "availableReplicas": 2 },
    })
}

/// Nothing is released yet: the Deployment is of blue's version.
fn of_v1() -> (ApiServer, Proxy, [Upstream; 2]) {
    let (server, blue, green) = (ApiServer::start(), named("blue"), named("green"));
    server.put(DEPLOYMENTS, deployment("registry.example.com/shop:v1", 2));
    let of_deployment = json!({ "deployment": "shop-green", "endpoints": [green.address.to_string()] });
    server.put(ROLLOUTS, rollout(version("v1", &[blue.address]), of_deployment));
    let proxy = Proxy::start_by_resource(&server, NAME, &[]);
    server.until("it is known", ROLLOUTS, NAME, |resource| resource["status"]["candidate"]["version"] == "v1");
    (server, proxy, [blue, green])
}

#[test]
fn a_changed_pod_template_is_a_release_when_its_pods_are_there_and_its_version_is_the_tag() {
    let (server, proxy, _versions) = of_v1();
    server.put(DEPLOYMENTS, deployment("registry.example.com/shop:v2", 1));
    // The next look at the release comes after the Deployment's change has been heard of.
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "timeouts": { "connect": "2s" } } }));
    server.until("it is looked at", ROLLOUTS, NAME, |resource| {
        resource["status"]["observedGeneration"] == 2 && condition(resource, "Accepted") == "True Valid"
    });
    assert_eq!((proxy.status()["epoch"].clone(), proxy.status()["state"].clone()), (json!(0), json!("idle")));
    server.put(DEPLOYMENTS, deployment("registry.example.com/shop:v2", 2));
    let status = proxy.until(|status| status["weight"] == 50.0);
    assert_eq!((status["green"]["version"].clone(), status["epoch"].clone()), (json!("v2"), json!(1)));
    let event = crate::support::eventually("the event", || {
        server.all(EVENTS).into_iter().find(|event| event["reason"] == "Started")
    });
    let note = event["note"].as_str().expect("a note");
    assert!(
        note.contains("Deployment shop-green has a new pod template") && note.ends_with("(argocd-controller)"),
        "{note}"
    );
    // Another one in its place.
    assert_eq!(proxy.post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
    let mut other = deployment("registry.example.com/shop:v9", 2);
    other["metadata"]["name"] = "shop-other".into();
    server.put(DEPLOYMENTS, other);
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "green": { "deployment": "shop-other" } } }));
    proxy.until(|status| status["green"]["version"] == "v9" && status["weight"] == 50.0);
    let known = server.get(ROLLOUTS, NAME).expect("it is there")["status"]["candidate"].clone();
    assert_eq!((&known["deployment"], &known["version"]), (&json!("shop-other"), &json!("v9")));
}

/// A release of v2 at a half, of the Deployment's second template.
fn half_of_v2() -> (ApiServer, Proxy, [Upstream; 2]) {
    let (server, proxy, versions) = of_v1();
    server.put(DEPLOYMENTS, deployment("registry.example.com/shop:v2", 2));
    proxy.until(|status| status["weight"] == 50.0 && status["green"]["version"] == "v2");
    (server, proxy, versions)
}

#[test]
fn a_template_that_changes_under_an_open_release_ends_it_before_its_pods_are_there() {
    let (server, proxy, _versions) = half_of_v2();
    server.put(DEPLOYMENTS, deployment("registry.example.com/shop:v3", 1));
    let status = proxy.until(|status| status["state"] == "rolledBack");
    assert_eq!((&status["weight"], &status["rollback"]["trigger"]), (&json!(0.0), &json!("superseded")));
    assert_eq!(
        status["rollback"]["reason"],
        "superseded by argocd-controller: Deployment shop-green has a new pod template"
    );
    server.until("no fault", ROLLOUTS, NAME, |resource| {
        condition(resource, "Progressing") == "False Superseded" && condition(resource, "Healthy") == "True Serving"
    });
    server.put(DEPLOYMENTS, deployment("registry.example.com/shop:v3", 2));
    let status = proxy.until(|status| status["weight"] == 50.0);
    assert_eq!((&status["green"]["version"], &status["epoch"]), (&json!("v3"), &json!(2)));
}

#[test]
fn a_template_that_comes_back_is_the_version_that_it_was() {
    let (server, proxy, _versions) = half_of_v2();
    assert_eq!(proxy.post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
    // As `kubectl rollout undo` does it.
    server.put(DEPLOYMENTS, deployment("registry.example.com/shop:v1", 2));
    let known =
        server.until("it is known", ROLLOUTS, NAME, |resource| resource["status"]["candidate"]["version"] == "v1");
    assert_eq!(known["status"]["candidate"]["earlier"][0]["version"], "v2");
    assert_eq!(proxy.until_logged("no release begins")["why"], "it is blue");
    assert_eq!(proxy.status()["epoch"], 1);
}

#[test]
fn what_a_runbook_has_undone_is_no_release() {
    let (server, proxy, _versions) = half_of_v2();
    assert_eq!(proxy.post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
    // A revision from before the proxy was there.
    server.put(DEPLOYMENTS, deployment_by("portcullis", "registry.example.com/shop:v0", 2));
    let why = proxy.until_logged("no release begins")["why"].clone();
    assert!(why.as_str().is_some_and(|why| why.starts_with("a runbook has put it there")), "{why}");
    assert_eq!(proxy.status()["epoch"], 1);
}
