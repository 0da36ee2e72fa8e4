//! Which pods `EndpointSlice`s send traffic to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointSlice};

use crate::config::{Service, ServicePort};
use crate::live::Site;

/// As many as a version may have endpoints.
const MOST: usize = 1000;

/// What a pod is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Ready,
    /// It is leaving and still serves.
    Leaving,
    Out,
}

/// The places of the pods that get requests, in order: those that are ready, or, where none is, those that are leaving and
/// still serve, as Kubernetes has its own proxies do (KEP-1669). `chosen` are the pods that are meant; none: all of them. A pod
/// with addresses of both families is one.
pub(super) fn places<'s>(
    slices: impl Iterator<Item = &'s EndpointSlice>,
    service: &Service,
    chosen: Option<&BTreeSet<String>>,
) -> Vec<Site> {
    let (mut ready, mut leaving) = (BTreeMap::new(), BTreeMap::new());
    for slice in slices {
        let Some(port) = port(slice, service.port.as_ref()) else { continue };
        for endpoint in &slice.endpoints {
            let pod = endpoint.target_ref.as_ref().and_then(|target| target.name.as_ref());
            if chosen.is_some_and(|chosen| pod.is_none_or(|pod| !chosen.contains(pod))) {
                continue;
            }
            // The others of an endpoint mean nothing (EndpointSlice's API, `endpoints.addresses`).
            let Some(ip) = endpoint.addresses.first().and_then(|text| text.parse::<IpAddr>().ok()) else { continue };
            let address = SocketAddr::new(ip, port);
            let known = match stands(endpoint) {
                Stands::Ready => &mut ready,
                Stands::Leaving => &mut leaving,
                Stands::Out => continue,
            };
            let key = pod.cloned().unwrap_or_else(|| ip.to_string());
            // IPv4 comes before IPv6.
            let first = known.entry((key, port)).or_insert(address);
            *first = address.min(*first);
        }
    }
    let known = if ready.is_empty() { leaving } else { ready };
    let mut places: Vec<Site> = known.into_values().map(Site::from).collect();
    places.sort_unstable();
    places.dedup();
    places.truncate(MOST);
    places
}

/// What is not said is as the API has it: ready unless it says otherwise, serving as far as it is ready.
fn stands(endpoint: &Endpoint) -> Stands {
    let EndpointConditions { ready, serving, terminating } = endpoint.conditions.clone().unwrap_or_default();
    let terminating = terminating.unwrap_or(false);
    let ready = ready.unwrap_or(true);
    match terminating {
        false if ready => Stands::Ready,
        true if serving.unwrap_or(ready) => Stands::Leaving,
        false | true => Stands::Out,
    }
}

/// The port of the pods of a slice; none where the Service has no such port, or several and none is named.
fn port(slice: &EndpointSlice, wanted: Option<&ServicePort>) -> Option<u16> {
    let ports = slice.ports.as_deref().unwrap_or_default();
    let found = match (wanted, ports) {
        (Some(ServicePort::Named(name)), _) => ports.iter().find(|port| port.name.as_deref() == Some(name))?,
        (Some(ServicePort::Number(number)), _) => ports.iter().find(|port| port.port == Some(i32::from(*number)))?,
        (None, [only]) => only,
        (None, _) => return None,
    };
    u16::try_from(found.port?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn slice(kind: &str, ports: &Value, endpoints: &Value) -> EndpointSlice {
        let slice = json!({ "metadata": { "name": "s" }, "addressType": kind, "ports": ports, "endpoints": endpoints });
        serde_json::from_value(slice).expect("a slice")
    }

    fn pod(name: &str, address: &str, conditions: &Value) -> Value {
        json!({ "addresses": [address], "conditions": conditions, "targetRef": { "kind": "Pod", "name": name } })
    }

    fn check(slices: &[EndpointSlice], service: &str, chosen: Option<&[&str]>, expected: &[&str]) {
        let service: Service = service.parse().expect("a Service");
        let chosen = chosen.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let found = places(slices.iter(), &service, chosen.as_ref());
        let shown: Vec<String> =
            found.iter().map(|place| SocketAddr::new(place.ip, place.port.expect("of a pod")).to_string()).collect();
        assert_eq!(shown, expected, "{service} {chosen:?}");
    }

    #[test]
    fn pods_that_are_ready_get_requests_and_those_that_leave_only_where_no_other_is_there() {
        let http = json!([{ "name": "http", "port": 8080 }]);
        let ready = json!({ "ready": true, "serving": true, "terminating": false });
        let leaving = json!({ "ready": false, "serving": true, "terminating": true });
        let gone = json!({ "ready": false, "serving": false, "terminating": true });
        let starting = json!({ "ready": false, "serving": false, "terminating": false });
        let all = json!([
            pod("b", "10.0.0.2", &ready),
            pod("c", "10.0.0.3", &leaving),
            pod("d", "10.0.0.4", &gone),
            pod("e", "10.0.0.5", &starting),
            pod("a", "10.0.0.1", &json!({}))
        ]);
        check(&[slice("IPv4", &http, &all)], "service:shop", None, &["10.0.0.1:8080", "10.0.0.2:8080"]);
        let none =
            json!([pod("c", "10.0.0.3", &leaving), pod("d", "10.0.0.4", &gone), pod("e", "10.0.0.5", &starting)]);
        check(&[slice("IPv4", &http, &none)], "service:shop", None, &["10.0.0.3:8080"]);
        check(&[], "service:shop", None, &[]);
    }

    /// `publishNotReadyAddresses` of a Service has pods ready that end, and an older slice does not say who serves.
    #[test]
    fn a_pod_that_ends_is_leaving_whatever_else_is_said_of_it_and_serves_as_far_as_it_is_ready() {
        let http = json!([{ "name": "http", "port": 80 }]);
        let ready = pod("a", "10.0.0.1", &json!({ "ready": true }));
        let ends = pod("b", "10.0.0.2", &json!({ "ready": true, "terminating": true }));
        let ended = pod("c", "10.0.0.3", &json!({ "ready": false, "terminating": true }));
        let both = json!([ready, ends, ended]);
        check(&[slice("IPv4", &http, &both)], "service:shop", None, &["10.0.0.1:80"]);
        check(&[slice("IPv4", &http, &json!([ends, ended]))], "service:shop", None, &["10.0.0.2:80"]);
        let two = json!({ "addresses": ["10.0.0.4", "10.0.0.5"], "conditions": {} });
        check(&[slice("IPv4", &http, &json!([two]))], "service:shop", None, &["10.0.0.4:80"]);
    }

    #[test]
    fn a_port_is_found_by_its_name_by_its_number_or_because_it_is_the_only_one() {
        let two = json!([{ "name": "http", "port": 8080 }, { "name": "metrics", "port": 9100 }]);
        let (one, other) = (json!([{ "name": "", "port": 8080 }]), json!([{ "name": "http", "port": 8081 }]));
        let endpoints = json!([pod("a", "10.0.0.1", &json!({}))]);
        check(&[slice("IPv4", &two, &endpoints)], "service:shop:http", None, &["10.0.0.1:8080"]);
        check(&[slice("IPv4", &two, &endpoints)], "service:shop:9100", None, &["10.0.0.1:9100"]);
        check(&[slice("IPv4", &two, &endpoints)], "service:shop", None, &[]);
        check(&[slice("IPv4", &one, &endpoints)], "service:shop", None, &["10.0.0.1:8080"]);
        check(&[slice("IPv4", &one, &endpoints)], "service:shop:http", None, &[]);
        // Pods may differ in the number of a port that has a name.
        let others = json!([pod("b", "10.0.0.2", &json!({}))]);
        let both = [slice("IPv4", &two, &endpoints), slice("IPv4", &other, &others)];
        check(&both, "service:shop:http", None, &["10.0.0.1:8080", "10.0.0.2:8081"]);
    }

    #[test]
    fn a_pod_of_two_families_is_one_endpoint_and_labels_choose_among_pods() {
        let http = json!([{ "name": "http", "port": 80 }]);
        let v6 = slice("IPv6", &http, &json!([pod("a", "fd00::1", &json!({})), pod("c", "fd00::3", &json!({}))]));
        let v4 = slice("IPv4", &http, &json!([pod("a", "10.0.0.1", &json!({})), pod("b", "10.0.0.2", &json!({}))]));
        let both = [v6, v4];
        check(&both, "service:shop:http", None, &["10.0.0.1:80", "10.0.0.2:80", "[fd00::3]:80"]);
        check(&both, "service:shop:http?track=green", Some(&["a", "x"]), &["10.0.0.1:80"]);
        check(&both, "service:shop:http?track=green", Some(&[]), &[]);
        let bare = slice("IPv4", &http, &json!([{ "addresses": ["10.0.0.9"] }]));
        check(std::slice::from_ref(&bare), "service:shop:http", None, &["10.0.0.9:80"]);
        check(&[bare], "service:shop:http?track=green", Some(&["a"]), &[]);
    }
}
