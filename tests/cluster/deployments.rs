//! A green of a Deployment, as the controllers of Kubernetes roll it out, and the runbook that undoes it.

use serde_json::{Value, json};

use super::super::support::cluster::{Cluster, Namespace};
use super::super::support::{Backend, Load, eventually};
use super::Rollout;
use super::rollback::half;
use super::rollout::{NAME, spec};

/// What the overlay calls it, which its rights name.
const GREEN: &str = "shop-green";

fn deployment(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": GREEN },
        "spec": { "replicas": 1, "selector": { "matchLabels": { "app": NAME } }, "template": {
            "metadata": { "labels": { "app": NAME } },
            "spec": { "nodeName": "loopback", "containers": [{ "name": "app", "image": image }] },
        } },
    })
}

/// Has the new pods run, as far as anybody can tell, until the Deployment is rolled out.
fn roll_out(namespace: &Namespace<'_>) {
    eventually("the roll-out", || {
        for pod in namespace.json(&["get", "pods", "--selector", &format!("app={NAME}")])["items"].as_array()? {
            if pod["status"]["phase"] == "Pending" && pod["metadata"]["deletionTimestamp"].is_null() {
                let name = pod["metadata"]["name"].as_str()?;
                let ready = json!([{ "type": "Ready", "status": "True" }]);
                let status = json!({ "status": { "phase": "Running", "conditions": ready } }).to_string();
                namespace.done(&["patch", "pod", name, "--subresource=status", "--type=merge", "--patch", &status], "");
            }
        }
        let deployment = namespace.json(&["get", "deployment", GREEN]);
        let status = &deployment["status"];
        let counts = ["replicas", "updatedReplicas", "availableReplicas"].map(|count| status[count] == 1);
        let is_current = status["observedGeneration"] == deployment["metadata"]["generation"];
        (is_current && counts == [true; 3]).then_some(())
    });
}

fn set_image(namespace: &Namespace<'_>, image: &str) {
    namespace.done(&["set", "image", &format!("deployment/{GREEN}"), &format!("app={image}")], "");
}

#[test]
fn a_newer_template_ends_the_release_and_what_the_runbook_undoes_begins_none() {
    let Some(cluster) = Cluster::shared() else { return };
    let (blue, green) = (Backend::answering(200), Backend::answering(200));
    let mut spec = spec(
        json!({ "version": "v1", "endpoints": [blue.address] }),
        json!({ "deployment": GREEN, "endpoints": [green.address] }),
        half(),
    );
    spec["runbook"] = json!({ "rolledBack": [{ "name": "undo", "kubernetes": { "undo": GREEN } }] });
    let rollout = Rollout::between(cluster, "by-deployment", blue, green, spec);
    let namespace = &rollout.namespace;
    namespace.apply(&deployment("shop:v1").to_string());
    roll_out(namespace);
    let mut replica = rollout.replica("a");
    rollout.until("the first template", |status| status["candidate"]["version"] == "v1");
    // It is of blue's version, and the spec is one that can be used.
    rollout.patch(&json!({ "spec": { "timeouts": { "connect": "2s" } } }));
    rollout.until("the change", |status| status["observedGeneration"] == 2 && accepted(status) == "Valid");

    set_image(namespace, "shop:v2");
    roll_out(namespace);
    replica.until_weight(50.0);
    set_image(namespace, "shop:v3");
    let ended = replica.until_state("rolledBack");
    assert_eq!(ended["rollback"]["reason"], "superseded by kubectl-set: Deployment shop-green has a new pod template");
    roll_out(namespace);
    replica.proxy.until(|status| status["weight"] == 50.0 && status["green"]["version"] == "v3");

    rollout.green.answer_late(500);
    let bad = Load::start(replica.proxy.listen, 2);
    bad.mark();
    replica.until_state("rolledBack");
    bad.stop();
    let is_undone = |deployment: &Value| deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "shop:v2";
    eventually("the undo", || is_undone(&namespace.json(&["get", "deployment", GREEN])).then_some(()));
    roll_out(namespace);
    let known = rollout.until("what it was undone to", |status| status["candidate"]["version"] == "v2");
    assert_eq!(known["candidate"]["actor"], "portcullis");
    eventually("why nothing begins", || {
        let why = "a runbook has put it there; the annotation portcullis.dev/start releases it";
        replica.proxy.logged("no release begins").into_iter().find(|line| line["why"] == why)
    });
    let status = replica.proxy.status();
    assert_eq!((&status["epoch"], &status["state"]), (&json!(2), &json!("rolledBack")));
    replica.calm();
}

/// The reason of the condition.
fn accepted(status: &Value) -> &str {
    let all = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = all.iter().find(|condition| condition["type"] == "Accepted");
    found.and_then(|condition| condition["reason"].as_str()).unwrap_or_default()
}
