//! CHECKLIST row 87: what the API server does to its clients moves no traffic, and nothing is missed for good.

use serde_json::json;

use super::*;

fn ready() -> Value {
    json!({ "ready": true })
}

/// In front of a Service of one pod.
fn before_service() -> (ApiServer, Proxy, [Upstream; 2]) {
    let (server, blue, other) = (ApiServer::start(), named("blue"), named("other"));
    server.put(SLICES, slice("shop", blue.address.port(), &[pod("a", "127.0.0.1", ready())]));
    let service = json!({ "version": "v1", "service": { "name": "shop" } });
    server.put(ROLLOUTS, rollout(service, version("v2", &[])));
    let proxy = Proxy::start_by_resource(&server, NAME, &[]);
    (server, proxy, [blue, other])
}

#[test]
fn row_87_while_the_api_server_is_down_traffic_goes_where_it_went_and_changes_are_seen_when_it_is_back() {
    let (server, proxy, [_blue, other]) = before_service();
    server.down();
    proxy.until_logged("not followed: what was seen last holds");
    assert_eq!(served_by(&proxy), "blue");
    // What changes while nobody can ask.
    server.put(SLICES, slice("shop", other.address.port(), &[pod("b", "127.0.0.1", ready())]));
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "timeouts": { "connect": "2s" } } }));
    assert_eq!(served_by(&proxy), "blue");
    assert_eq!(proxy.post("/v1/config/reload", &json!({})).status, 200, "by what was seen last");
    server.up();
    crate::support::eventually("the new pod serves", || (served_by(&proxy) == "other").then_some(()));
    server.until("the new spec is taken", ROLLOUTS, NAME, |resource| {
        resource["status"]["observedGeneration"] == 2 && condition(resource, "Accepted") == "True Valid"
    });
}

#[test]
fn row_87_a_watch_that_ends_goes_on_where_it_was() {
    let (server, proxy, [_blue, other]) = before_service();
    let lists = |requests: &[String]| {
        let is_list = |request: &&String| request.contains("/endpointslices?") && !request.contains("watch=");
        requests.iter().filter(is_list).count()
    };
    let before = lists(&server.requests());
    server.end_watches();
    server.put(SLICES, slice("shop", other.address.port(), &[pod("b", "127.0.0.1", ready())]));
    crate::support::eventually("the new pod serves", || (served_by(&proxy) == "other").then_some(()));
    assert_eq!(lists(&server.requests()), before, "nothing had to be listed anew");
    // One that is silently gone is noticed within a minute.
    let requests = server.requests();
    let mut watches = requests.iter().filter(|request| request.contains("watch="));
    assert!(watches.all(|request| request.contains("timeoutSeconds=60")), "{requests:#?}");
}

#[test]
fn row_87_a_version_that_is_gone_is_listed_anew_and_nothing_is_missed() {
    let (server, proxy, [_blue, other]) = before_service();
    server.down();
    proxy.until_logged("not followed: what was seen last holds");
    server.put(SLICES, slice("shop", other.address.port(), &[pod("b", "127.0.0.1", ready())]));
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "timeouts": { "connect": "2s" } } }));
    server.forget();
    server.up();
    crate::support::eventually("the new pod serves", || (served_by(&proxy) == "other").then_some(()));
    server.until("the new spec is taken", ROLLOUTS, NAME, |resource| resource["status"]["observedGeneration"] == 2);
}

#[test]
fn row_87_conflicts_move_nothing_and_conditions_are_written_when_they_end() {
    let (server, proxy, _endpoints) = before_service();
    server.until("it is accepted", ROLLOUTS, NAME, |resource| condition(resource, "Accepted") == "True Valid");
    server.conflict(2);
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "timeouts": { "connect": "2s" } } }));
    server.until("it is told", ROLLOUTS, NAME, |resource| resource["status"]["observedGeneration"] == 2);
    assert_eq!(served_by(&proxy), "blue");
}

#[test]
fn a_resource_that_is_deleted_leaves_everything_as_it_was() {
    let (server, proxy, _endpoints) = before_service();
    server.delete(ROLLOUTS, NAME);
    proxy.until_logged("the resource was deleted: everything is as it was");
    assert_eq!(served_by(&proxy), "blue");
    assert_eq!(proxy.post("/v1/config/reload", &json!({})).status, 409);
}

#[test]
fn row_87_a_start_without_the_api_server_goes_by_the_resource_that_was_kept() {
    let (server, blue, other) = (ApiServer::start(), named("blue"), named("other"));
    let data = crate::support::folder();
    let arguments = ["--data", data.path().to_str().expect("text")];
    server.put(ROLLOUTS, rollout(version("v1", &[blue.address]), version("v2", &[])));
    let proxy = Proxy::start_by_resource(&server, NAME, &arguments);
    server.until("it is accepted", ROLLOUTS, NAME, |resource| condition(resource, "Accepted") == "True Valid");
    drop(proxy);
    server.down();
    let proxy = Proxy::start_by_resource(&server, NAME, &arguments);
    assert_eq!(served_by(&proxy), "blue");
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "blue": { "endpoints": [other.address.to_string()] } } }));
    server.up();
    crate::support::eventually("the spec of today is taken", || (served_by(&proxy) == "other").then_some(()));
    // And kept in the place of the one before.
    server.until("it is accepted", ROLLOUTS, NAME, |resource| resource["status"]["observedGeneration"] == 2);
    drop(proxy);
    server.down();
    let proxy = Proxy::start_by_resource(&server, NAME, &arguments);
    assert_eq!(served_by(&proxy), "other");
}

#[test]
fn row_87_a_spec_that_was_changed_and_changed_back_while_nobody_could_see_it_is_observed() {
    let (server, proxy, _endpoints) = before_service();
    server.until("it is accepted", ROLLOUTS, NAME, |resource| resource["status"]["observedGeneration"] == 1);
    server.down();
    proxy.until_logged("not followed: what was seen last holds");
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "timeouts": { "connect": "2s" } } }));
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "timeouts": null } }));
    server.forget();
    server.up();
    server.until("it is observed", ROLLOUTS, NAME, |resource| resource["status"]["observedGeneration"] == 3);
}

#[test]
fn row_87_a_resource_that_was_deleted_while_nobody_could_see_it_is_gone() {
    let (server, proxy, _endpoints) = before_service();
    server.down();
    proxy.until_logged("not followed: what was seen last holds");
    server.delete(ROLLOUTS, NAME);
    server.forget();
    server.up();
    crate::support::eventually("it is not there", || {
        (proxy.post("/v1/config/reload", &json!({})).status == 409).then_some(())
    });
    assert_eq!(served_by(&proxy), "blue");
}
