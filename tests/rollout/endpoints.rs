//! The pods of Services are endpoints, and change live.

use serde_json::json;

use super::*;
use crate::support::eventually;

fn ready() -> Value {
    json!({ "ready": true, "serving": true, "terminating": false })
}

/// How many endpoints blue has.
fn until_endpoints(proxy: &Proxy, count: usize) {
    proxy.until(|status| status["blue"]["healthyEndpoints"] == count);
}

#[test]
fn the_pods_of_a_service_come_and_go_while_the_proxy_serves() {
    // Two pods on one port, as pods are, at addresses of their own.
    let server = ApiServer::start();
    let first = named("first");
    let port = first.address.port();
    let socket = std::net::TcpListener::bind(("127.0.0.2", port)).expect("the same port at another address");
    let second = Upstream::listening(socket, |connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond");
        }
    });
    server.put(SLICES, slice("shop", port, &[pod("a", "127.0.0.1", ready())]));
    let blue = json!({ "version": "v1", "service": { "name": "shop", "port": "http" } });
    server.put(ROLLOUTS, rollout(blue, version("v2", &[])));
    let proxy = Proxy::start_by_resource(&server, NAME, &[]);
    assert_eq!(served_by(&proxy), "first", "from the first request on");
    assert!(server.requests().iter().all(|request| !request.contains("/pods?")), "which a role need not allow");
    server.put(SLICES, slice("shop", port, &[pod("a", "127.0.0.1", ready()), pod("b", "127.0.0.2", ready())]));
    until_endpoints(&proxy, 2);
    eventually("the second pod serves", || (served_by(&proxy) == "second").then_some(()));
    let leaving = json!({ "ready": false, "serving": true, "terminating": true });
    server.put(SLICES, slice("shop", port, &[pod("a", "127.0.0.1", leaving.clone()), pod("b", "127.0.0.2", ready())]));
    until_endpoints(&proxy, 1);
    assert_eq!([served_by(&proxy), served_by(&proxy)], ["second", "second"]);
    server.put(SLICES, slice("shop", port, &[pod("a", "127.0.0.1", leaving)]));
    eventually("who leaves serves for want of others", || (served_by(&proxy) == "first").then_some(()));
    server.delete(SLICES, "shop-1");
    eventually("nobody is left", || (proxy.get("/").status == 503).then_some(()));
    server.until("it is degraded", ROLLOUTS, NAME, |resource| condition(resource, "Healthy") == "False NoEndpoints");
    // Another Service in its place, and nobody follows this one any more.
    server.put(SLICES, slice("other", port, &[pod("b", "127.0.0.2", ready())]));
    server.patch(ROLLOUTS, NAME, &json!({ "spec": { "blue": { "service": { "name": "other" } } } }));
    eventually("its pod serves", || (served_by(&proxy) == "second").then_some(()));
    eventually("nobody follows the one before", || {
        let before = server.requests().len();
        let of = |requests: &[String], service: &str| {
            let watches = requests.iter().skip(before).filter(|request| request.contains("/endpointslices?"));
            watches.filter(|request| request.contains(service)).count()
        };
        for round in 1..=2 {
            server.end_watches();
            server.until_requested("a new watch", |requests| of(requests, "service-name%3Dother") >= round);
        }
        (of(&server.requests(), "service-name%3Dshop") == 0).then_some(())
    });
    drop(second);
}

#[test]
fn one_service_is_split_by_a_label_of_its_pods() {
    let server = ApiServer::start();
    let blue = named("blue");
    let port = blue.address.port();
    let labelled = |name: &str, track: &str| json!({ "metadata": { "name": name, "namespace": "shop", "labels": { "app": "shop", "track": track } } });
    server.put(PODS, labelled("a", "blue"));
    server.put(PODS, labelled("b", "green"));
    server.put(SLICES, slice("shop", port, &[pod("a", "127.0.0.1", ready()), pod("b", "127.0.0.9", ready())]));
    let half = |track: &str| json!({ "version": track, "service": { "name": "shop", "labels": { "track": track } } });
    server.put(ROLLOUTS, rollout(half("blue"), half("green")));
    let proxy = Proxy::start_by_resource(&server, NAME, &[]);
    let status = proxy.status();
    assert_eq!((status["blue"]["endpoints"].clone(), status["green"]["endpoints"].clone()), (json!(1), json!(1)));
    // A pod that gets the label is of the other version from here on.
    server.patch(PODS, "b", &json!({ "metadata": { "labels": { "track": "blue" } } }));
    until_endpoints(&proxy, 2);
}
