//! A new green in the spec is a release, and what it comes to is told.

use serde_json::json;

use super::*;

/// Waits until a release is under way, at half of the traffic.
fn until_half(proxy: &Proxy) {
    proxy.until(|status| status["weight"] == 50.0);
}

#[test]
fn a_new_green_is_a_release_once_and_a_rolled_back_one_does_not_begin_again() {
    let (server, blue, green) = (ApiServer::start(), named("blue"), named("green"));
    server.put(ROLLOUTS, rollout(version("v1", &[blue.address]), version("v2", &[green.address])));
    let data = crate::support::folder();
    let arguments = ["--data", data.path().to_str().expect("text")];
    let proxy = Proxy::start_by_resource(&server, NAME, &arguments);
    until_half(&proxy);
    let told =
        server.until("it is told", ROLLOUTS, NAME, |resource| condition(resource, "Progressing") == "True Stepping");
    assert_eq!(
        (told["status"]["released"].clone(), condition(&told, "Healthy")),
        (json!("v2"), "True Serving".to_owned())
    );
    assert_eq!(proxy.post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
    server.until("it is degraded", ROLLOUTS, NAME, |resource| condition(resource, "Healthy") == "False RolledBack");
    let why = proxy.until_logged("no release begins")["why"].clone();
    assert!(why.as_str().is_some_and(|why| why.starts_with("it was released before")), "{why}");
    // Nothing that is not another green begins one.
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "timeouts": { "connect": "2s" } } }));
    server.until("it is taken", ROLLOUTS, NAME, |resource| resource["status"]["observedGeneration"] == 2);
    assert_eq!(proxy.status()["state"], "rolledBack");
    drop(proxy);
    let proxy = Proxy::start_by_resource(&server, NAME, &arguments);
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "green": { "version": "v3" } } }));
    until_half(&proxy);
    let status = proxy.status();
    assert_eq!((status["epoch"].clone(), status["green"]["version"].clone()), (json!(2), json!("v3")));
    server.until_there("two releases", EVENTS, |events| times(events, "Started") == 2);
    // Nor does it begin again when another was rolled back since: a tool that goes back to it would go round in circles.
    assert_eq!(proxy.post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
    server.until("both are known", ROLLOUTS, NAME, |resource| resource["status"]["foundBad"] == json!(["v3", "v2"]));
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "green": { "version": "v2" } } }));
    crate::support::eventually("why not", || {
        proxy.logged("no release begins").into_iter().find(|line| line["green"] == "v2")
    });
    server.patch(ROLLOUTS, NAME, &json!({ "metadata": { "annotations": { "portcullis.dev/start": "mended" } } }));
    until_half(&proxy);
    assert_eq!(proxy.status()["epoch"], 3);
    assert_eq!(told_times(&server, "RolledBack"), 2);
}

#[test]
fn the_actor_is_the_program_that_wrote_the_spec() {
    let (server, blue, green) = (ApiServer::start(), named("blue"), named("green"));
    let mut resource = rollout(version("v1", &[blue.address]), version("v2", &[green.address]));
    resource["metadata"]["managedFields"] = json!([
        { "manager": "kubectl-edit", "time": "2026-01-01T00:00:00Z", "operation": "Update", "fieldsV1": { "f:spec": {} } },
    ]);
    server.put(ROLLOUTS, resource);
    let proxy = Proxy::start_by_resource(&server, NAME, &[]);
    until_half(&proxy);
    let event = crate::support::eventually("the event", || {
        server.all(EVENTS).into_iter().find(|event| event["reason"] == "Started")
    });
    assert!(event["note"].as_str().is_some_and(|note| note.ends_with("(kubectl-edit)")), "{event:#}");
    assert_eq!((event["type"].clone(), event["regarding"]["name"].clone()), (json!("Normal"), json!(NAME)));
}

#[test]
fn a_green_without_an_endpoint_that_answers_waits_for_one() {
    let (server, blue, green) = (ApiServer::start(), named("blue"), named("green"));
    server.put(SLICES, slice("shop-green", green.address.port(), &[]));
    let service = json!({ "version": "v2", "service": { "name": "shop-green", "port": "http" } });
    server.put(ROLLOUTS, rollout(version("v1", &[blue.address]), service));
    let proxy = Proxy::start_by_resource(&server, NAME, &[]);
    assert_eq!(proxy.until_logged("no release begins")["why"], "no endpoint of it takes requests yet");
    assert_eq!(proxy.status()["epoch"], 0);
    server.put(SLICES, slice("shop-green", green.address.port(), &[pod("a", "127.0.0.1", json!({ "ready": true }))]));
    until_half(&proxy);
}

#[test]
fn a_newer_green_ends_the_open_release_without_calling_anybody_and_has_its_own() {
    let (server, blue, green) = (ApiServer::start(), named("blue"), named("green"));
    let pager = crate::support::Backend::answering(200);
    let page = json!({ "name": "page", "http": { "url": format!("http://{}/page", pager.address) } });
    let runbook = json!({ "allow": ["127.0.0.1"], "rolledBack": [page] });
    let mut resource = rollout(version("v1", &[blue.address]), version("v2", &[green.address]));
    resource["spec"]["runbook"] = runbook;
    server.put(ROLLOUTS, resource);
    let proxy = Proxy::start_by_resource(&server, NAME, &[]);
    until_half(&proxy);
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "green": { "version": "v3" } } }));
    let status = proxy.until(|status| status["green"]["version"] == "v3" && status["weight"] == 50.0);
    assert_eq!((&status["epoch"], &status["rollback"]), (&json!(2), &Value::Null));
    server.until("it is taken", ROLLOUTS, NAME, |resource| condition(resource, "Accepted") == "True Valid");
    let told = crate::support::eventually("the event", || {
        server.all(EVENTS).into_iter().find(|event| event["reason"] == "RolledBack")
    });
    let note = told["note"].as_str().expect("a note");
    assert!(note.starts_with("superseded by") && note.contains("spec.green has a new version"), "{note}");
    // It was not found bad, so it begins by itself when it comes back.
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "green": { "version": "v2" } } }));
    let status = proxy.until(|status| status["green"]["version"] == "v2" && status["weight"] == 50.0);
    assert_eq!(status["epoch"], 3);
    // What is found bad calls people, once.
    assert_eq!(proxy.post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
    crate::support::eventually("the page", || (pager.count() > 0).then_some(()));
    assert_eq!(pager.count(), 1);
}

#[test]
fn a_newer_green_waits_for_the_end_of_a_release_that_is_irreversible() {
    let (server, blue, green) = (ApiServer::start(), named("blue"), named("green"));
    let mut resource = rollout(version("v1", &[blue.address]), version("v2", &[green.address]));
    resource["spec"]["release"]["irreversible"] = json!("a migration");
    server.put(ROLLOUTS, resource);
    let proxy = Proxy::start_by_resource(&server, NAME, &[]);
    until_half(&proxy);
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "green": { "version": "v3" } } }));
    server.until("why not", ROLLOUTS, NAME, |resource| condition(resource, "Accepted") == "False Refused");
    let told = crate::support::eventually("the event", || {
        server.all(EVENTS).into_iter().find(|event| event["reason"] == "ReleaseNotSuperseded")
    });
    assert!(told["note"].as_str().expect("a note").contains("release 1 is irreversible (a migration)"), "{told:#}");
    assert_eq!(proxy.status()["green"]["version"], "v2");
    let all_the_same = json!({ "reason": "a test", "irreversible": true });
    assert_eq!(proxy.post("/v1/release/rollback", &all_the_same).status, 200);
    let status = proxy.until(|status| status["green"]["version"] == "v3" && status["weight"] == 50.0);
    assert_eq!(status["epoch"], 2);
    server.until("it is taken", ROLLOUTS, NAME, |resource| condition(resource, "Accepted") == "True Valid");
}

#[test]
fn a_release_that_somebody_began_by_hand_is_one_as_well() {
    let (server, blue, green) = (ApiServer::start(), named("blue"), named("green"));
    server.put(ROLLOUTS, rollout(version("v1", &[blue.address]), version("none", &[])));
    let proxy = Proxy::start_by_resource(&server, NAME, &[]);
    server.until("it is accepted", ROLLOUTS, NAME, |resource| condition(resource, "Accepted") == "True Valid");
    let begun = json!({ "green": { "version": "v7", "endpoints": [green.address.to_string()] } });
    crate::support::eventually("it leads", || (proxy.post("/v1/release", &begun).status == 200).then_some(()));
    server.until("it is told", ROLLOUTS, NAME, |resource| resource["status"]["released"] == "v7");
    assert_eq!(times(&server.all(EVENTS), "ReleaseNotStarted"), 0);
}
