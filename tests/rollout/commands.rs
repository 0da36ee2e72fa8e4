//! Annotations are commands, each carried out once.

use serde_json::json;

use super::*;
use crate::support::{portcullis, printed, refused};

/// A release at half of the traffic.
fn released() -> (ApiServer, Proxy, [Upstream; 2]) {
    let (server, blue, green) = (ApiServer::start(), named("blue"), named("green"));
    server.put(ROLLOUTS, rollout(version("v1", &[blue.address]), version("v2", &[green.address])));
    let proxy = Proxy::start_by_resource(&server, NAME, &[]);
    proxy.until(|status| status["weight"] == 50.0);
    (server, proxy, [blue, green])
}

fn annotate(server: &ApiServer, name: &str, value: &str) {
    server.patch(
        ROLLOUTS,
        NAME,
        &json!({ "metadata": { "annotations": { (format!("portcullis.dev/{name}")): value } } }),
    );
}

/// Waits until the last command is this one, and its annotation gone. Returns why it was refused.
fn carried_out(server: &ApiServer, name: &str) -> Option<String> {
    let resource = server.until(name, ROLLOUTS, NAME, |resource| resource["status"]["command"]["name"] == name);
    assert!(resource["metadata"]["annotations"].get(format!("portcullis.dev/{name}")).is_none(), "{resource:#}");
    resource["status"]["command"]["refused"].as_str().map(str::to_owned)
}

#[test]
fn annotations_set_the_weight_pause_resume_and_roll_back_and_are_taken_away() {
    let (server, proxy, _endpoints) = released();
    annotate(&server, "weight", "25");
    assert_eq!(carried_out(&server, "weight"), None);
    assert_eq!(proxy.status()["weight"], 25.0);
    annotate(&server, "pause", "lunch");
    assert_eq!(carried_out(&server, "pause"), None);
    assert_eq!(told_times(&server, "Paused"), 1);
    annotate(&server, "resume", "");
    assert_eq!(carried_out(&server, "resume"), None);
    assert_eq!(proxy.status()["state"], "stepping");
    annotate(&server, "rollback", "enough");
    assert_eq!(carried_out(&server, "rollback"), None);
    let status = proxy.status();
    assert_eq!((status["state"].clone(), served_by(&proxy)), (json!("rolledBack"), "blue".to_owned()));
    assert!(status["rollback"]["reason"].as_str().is_some_and(|reason| reason.ends_with("enough")), "{status:#}");
    annotate(&server, "start", "once more");
    assert_eq!(carried_out(&server, "start"), None);
    assert_eq!((proxy.status()["epoch"].clone(), proxy.status()["green"]["version"].clone()), (json!(2), json!("v2")));
}

#[test]
fn a_command_that_is_refused_says_why_in_the_status_and_as_an_event() {
    let (server, proxy, _endpoints) = released();
    annotate(&server, "approve", "fine");
    let why = carried_out(&server, "approve").expect("there is nothing to approve");
    assert!(why.contains("has no step that waits for an approval"), "{why}");
    annotate(&server, "weight", "101");
    let why = carried_out(&server, "weight").expect("it is no weight");
    assert!(why.contains("`101` is no weight; write a percentage from 0 to 100"), "{why}");
    assert_eq!(proxy.status()["weight"], 50.0);
    let events = server.all(EVENTS);
    let told: Vec<&Value> = events.iter().filter(|event| event["reason"] == "CommandRefused").collect();
    assert!(told.len() == 2 && told.iter().all(|event| event["type"] == "Warning"), "{told:#?}");
}

#[test]
fn row_87_a_command_whose_annotation_cannot_be_taken_away_at_first_is_carried_out_once() {
    let (server, proxy, _endpoints) = released();
    server.conflict(1);
    annotate(&server, "weight", "10");
    assert_eq!(carried_out(&server, "weight"), None);
    assert_eq!(proxy.status()["weight"], 10.0);
    assert_eq!(told_times(&server, "WeightSet"), 1);
}

#[test]
fn the_same_annotation_is_a_command_whenever_it_is_written_in_the_name_of_whoever_writes_it() {
    let (server, proxy, _endpoints) = released();
    let by = |manager: &str| {
        json!({ "metadata": { "annotations": { "portcullis.dev/pause": "lunch" }, "managedFields": [
            { "manager": manager, "time": "2026-01-01T00:00:00Z", "operation": "Update",
                "fieldsV1": { "f:metadata": { "f:annotations": { "f:portcullis.dev/pause": {} } } } },
        ] } })
    };
    for manager in ["kubectl-annotate", "a-pipeline"] {
        server.patch(ROLLOUTS, NAME, &by(manager));
        let told = server
            .until("it is carried out", ROLLOUTS, NAME, |resource| resource["status"]["command"]["actor"] == manager);
        assert_eq!(told["status"]["command"]["value"], "lunch");
        assert_eq!(proxy.status()["state"], "paused");
        annotate(&server, "resume", "back");
        assert_eq!(carried_out(&server, "resume"), None);
    }
}

#[test]
fn status_and_release_work_on_the_resource_by_a_kubeconfig() {
    let (server, proxy, [_blue, green]) = released();
    let kubeconfig = server.kubeconfig();
    let environment = [("KUBECONFIG", kubeconfig.to_str().expect("text"))];
    let by_resource = |arguments: &[&str]| portcullis(&[arguments, &["--resource", NAME]].concat(), &environment);
    server.until("it is told", ROLLOUTS, NAME, |resource| condition(resource, "Progressing") == "True Stepping");
    let shown = printed(&by_resource(&["status"]));
    assert!(shown.contains("shop/checkout") && shown.contains("Progressing True (Stepping)"), "{shown}");
    printed(&by_resource(&["weight", "5"]));
    assert_eq!(proxy.status()["weight"], 5.0);
    let told = refused(&by_resource(&["release", "approve"]), 1);
    assert!(told.contains("has no step that waits for an approval"), "{told}");
    // What the plan of a resource says is not said by a command.
    let told = refused(&by_resource(&["release", "start", "--irreversible", "a migration"]), 1);
    assert!(told.contains("a resource has its plan in `spec.release`"), "{told}");
    printed(&by_resource(&["release", "promote", "--reason", "by hand"]));
    assert_eq!(proxy.status()["weight"], 100.0);
    printed(&by_resource(&["weight", "5"]));
    // The same command once more is another one.
    printed(&by_resource(&["weight", "5"]));
    let shown = printed(&by_resource(&["release", "rollback", "--reason", "by hand", "--json"]));
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(
        (&shown["command"]["name"], &shown["conditions"][2]["reason"]),
        (&json!("rollback"), &json!("RolledBack"))
    );
    assert_eq!(proxy.status()["state"], "rolledBack");
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "green": { "service": { "name": "shop" }, "endpoints": null } } }));
    let endpoint = green.address.to_string();
    printed(&by_resource(&["release", "start", "--green", "v3", "--endpoint", &endpoint]));
    let spec = server.get(ROLLOUTS, NAME).expect("it is there")["spec"]["green"].clone();
    assert_eq!(spec, json!({ "version": "v3", "endpoints": [endpoint] }));
    proxy.until(|status| status["green"]["version"] == "v3" && status["weight"] == 50.0);
}
