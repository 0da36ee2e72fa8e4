//! The spec is the configuration: read as a file is, taken whole or not at all.

use serde_json::json;

use super::*;
use crate::support::{portcullis, printed};

#[test]
fn a_resource_is_waited_for_and_what_is_wrong_with_it_is_told_at_once() {
    let (server, blue) = (ApiServer::start(), named("blue"));
    let mut faulty = rollout(version("v1", &[blue.address]), version("v2", &[]));
    faulty["spec"]["gate"] =
        json!({ "minimumRequests": 0, "triggers": [{ "name": "t", "metric": "errorRat", "above": "1%" }] });
    server.put(ROLLOUTS, faulty);
    let proxy = std::thread::scope(|scope| {
        let starting = scope.spawn(|| Proxy::start_by_resource(&server, NAME, &[]));
        let told =
            server.until("the faults", ROLLOUTS, NAME, |resource| condition(resource, "Accepted") == "False Faults");
        let message = told["status"]["conditions"][0]["message"].as_str().expect("a message").to_owned();
        for part in ["gate.minimumRequests: `0`", "gate.triggers[0].metric: `errorRat`", "did you mean `errorRate`?"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert_eq!(told["status"]["observedGeneration"], 1);
        server.put(ROLLOUTS, rollout(version("v1", &[blue.address]), version("v2", &[])));
        starting.join().expect("it serves")
    });
    assert_eq!(served_by(&proxy), "blue");
    assert_eq!(proxy.logged("the resource is not usable, and waited for").len(), 1, "what it writes is no news");
    let taken =
        server.until("it is accepted", ROLLOUTS, NAME, |resource| condition(resource, "Accepted") == "True Valid");
    assert_eq!(
        (condition(&taken, "Progressing"), condition(&taken, "Healthy")),
        ("False Idle".into(), "True Serving".into())
    );
    assert_eq!(taken["status"]["observedGeneration"], 2);
}

#[test]
fn a_change_of_the_spec_is_taken_whole_or_not_at_all_and_the_condition_says_which() {
    let (server, blue, other) = (ApiServer::start(), named("blue"), named("other"));
    server.put(ROLLOUTS, rollout(version("v1", &[blue.address]), version("v2", &[])));
    let proxy = Proxy::start_by_resource(&server, &format!("shop/{NAME}"), &[]);
    let endpoints = |address: SocketAddr| json!([address.to_string()]);
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "blue": { "endpoints": endpoints(other.address) }, "timeouts": { "connect": "1 parsec" } } }));
    let told = server.until("its faults", ROLLOUTS, NAME, |resource| condition(resource, "Accepted") == "False Faults");
    assert_eq!((told["status"]["observedGeneration"].clone(), served_by(&proxy)), (json!(2), "blue".to_owned()));
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "timeouts": { "connect": "1s" } } }));
    server.until("it is taken", ROLLOUTS, NAME, |resource| condition(resource, "Accepted") == "True Valid");
    assert_eq!(served_by(&proxy), "other");
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "service": "renamed" } }));
    let told = server.until("why not", ROLLOUTS, NAME, |resource| condition(resource, "Accepted") == "False Refused");
    let message = told["status"]["conditions"][0]["message"].as_str().expect("a message").to_owned();
    assert!(message.contains("service cannot change while the process runs"), "{message}");
}

#[test]
fn what_only_kubernetes_knows_is_refused_in_a_file() {
    let folder = crate::support::folder();
    let file = folder.path().join("portcullis.yaml");
    let text = "listen: 127.0.0.1:8080\nadmin: { listen: 127.0.0.1:9090 }\nblue: { version: v1, service: { name: shop } }\n\
                green: { version: v2, deployment: shop-green, endpoints: [\"127.0.0.1:9002\"] }\n";
    std::fs::write(&file, text).expect("a folder can be written");
    let output = portcullis(&["check", file.to_str().expect("text")], &[]);
    let told = crate::support::stderr(&output);
    for part in
        ["blue.service: is for a proxy that runs by a resource of Kubernetes", "green.deployment: is for a proxy"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
}

/// After a change of the configuration's keys: `cargo run -- crd >deploy/kubernetes/crd/gatedrollouts.yaml`.
#[test]
fn the_committed_definition_is_the_one_that_is_printed() {
    let printed = printed(&portcullis(&["crd"], &[]));
    let committed = include_str!("../../deploy/kubernetes/crd/gatedrollouts.yaml");
    assert!(printed == committed, "deploy/kubernetes/crd/gatedrollouts.yaml is another: `portcullis crd` prints it");
}
