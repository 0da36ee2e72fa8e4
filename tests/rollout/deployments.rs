//! A Deployment whose pod template has changed is a new green.

use serde_json::json;

use super::*;

fn deployment(image: &str, updated: u32) -> Value {
    json!({
        "metadata": { "name": "shop-green", "namespace": "shop", "managedFields": [
            { "manager": "argocd-controller", "time": "2026-01-01T00:00:00Z", "operation": "Update",
                "fieldsV1": { "f:spec": { "f:template": {} } } },
        ] },
        "spec": { "replicas": 2, "selector": {}, "template": { "spec": { "containers": [{ "name": "shop", "image": image }] } } },
        "status": { "observedGeneration": 9, "replicas": 2, "updatedReplicas": updated, "availableReplicas": 2 },
    })
}

#[test]
fn a_changed_pod_template_is_a_release_when_its_pods_are_there_and_its_version_is_the_tag() {
    let (server, blue, green) = (ApiServer::start(), named("blue"), named("green"));
    server.put(DEPLOYMENTS, deployment("registry.example.com/shop:v1", 2));
    let of_deployment = json!({ "deployment": "shop-green", "endpoints": [green.address.to_string()] });
    server.put(ROLLOUTS, rollout(version("v1", &[blue.address]), of_deployment));
    let proxy = Proxy::start_by_resource(&server, NAME, &[]);
    server.until("it is known", ROLLOUTS, NAME, |resource| resource["status"]["candidate"]["version"] == "v1");
    server.put(DEPLOYMENTS, deployment("registry.example.com/shop:v2", 1));
    // The next look at the release comes after the Deployment's change has been heard of.
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "timeouts": { "connect": "2s" } } }));
    server.until("it is looked at", ROLLOUTS, NAME, |resource| resource["status"]["observedGeneration"] == 2);
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
}
