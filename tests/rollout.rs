//! A proxy that is run by a custom resource, in front of an API server of the test's own.

mod commands;
mod deployments;
mod endpoints;
mod outages;
mod releases;
mod spec;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{ApiServer, Proxy, Upstream};

const ROLLOUTS: &str = "/apis/portcullis.dev/v1alpha1/namespaces/shop/gatedrollouts";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";
const PODS: &str = "/api/v1/namespaces/shop/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";

/// The name of the resource.
const NAME: &str = "checkout";

/// Answers every request with its own name.
fn named(name: &'static str) -> Upstream {
    Upstream::scripted(move |connection| {
        while connection.request().is_some() {
            connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len()));
        }
    })
}

/// A resource on free ports, whose release is of one long step at half of the traffic.
fn rollout(blue: Value, green: Value) -> Value {
    json!({
        "apiVersion": "portcullis.dev/v1alpha1", "kind": "GatedRollout",
        "metadata": { "name": NAME, "namespace": "shop" },
        "spec": {
            "listen": "127.0.0.1:0", "admin": { "listen": "127.0.0.1:0" }, "workers": 1, "shield": false,
            "blue": blue, "green": green,
            "release": { "steps": [{ "weight": "50%", "bake": "1h" }, { "weight": "100%", "bake": "1h" }] },
        },
    })
}

fn version(name: &str, endpoints: &[SocketAddr]) -> Value {
    let endpoints: Vec<String> = endpoints.iter().map(SocketAddr::to_string).collect();
    json!({ "version": name, "endpoints": endpoints })
}

/// The pods of a Service that has this port, with the labels that a real one has.
fn slice(service: &str, port: u16, pods: &[Value]) -> Value {
    json!({
        "metadata": { "name": format!("{service}-1"), "namespace": "shop",
            "labels": { "kubernetes.io/service-name": service } },
        "addressType": "IPv4", "ports": [{ "name": "http", "port": port }], "endpoints": pods,
    })
}

fn pod(name: &str, address: &str, conditions: Value) -> Value {
    json!({ "addresses": [address], "conditions": conditions, "targetRef": { "kind": "Pod", "name": name } })
}

/// The reason of a condition, after its status.
fn condition(resource: &Value, kind: &str) -> String {
    let all = resource["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|condition| condition["type"] == kind);
    let text = |condition: &Value, key: &str| condition[key].as_str().unwrap_or_default().to_owned();
    found.map(|condition| format!("{} {}", text(condition, "status"), text(condition, "reason"))).unwrap_or_default()
}

/// How many of the Events have this reason.
fn times(events: &[Value], reason: &str) -> usize {
    events.iter().filter(|event| event["reason"] == reason).count()
}

/// The same once there is one: it is told after it is done.
fn told_times(server: &ApiServer, reason: &str) -> usize {
    server.until_there(reason, EVENTS, |events| times(events, reason) > 0);
    times(&server.all(EVENTS), reason)
}

/// Who answers a GET.
fn served_by(proxy: &Proxy) -> String {
    proxy.get("/").text()
}
