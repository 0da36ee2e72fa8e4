//! Endpoints from Services, as the controllers of Kubernetes write them from the state of pods.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use serde_json::{Value, json};

use super::super::support::cluster::{Cluster, Namespace};
use super::super::support::{Backend, eventually};
use super::rollback::half;
use super::rollout::{NAME, spec};
use super::{Replica, Rollout};

/// An address of this machine that is not loopback's, which a slice may not hold. Nothing that is sent to it leaves the machine.
pub fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
    // Nothing is sent: the kernel says by which address it would be.
    socket.connect("192.0.2.1:9").or_else(|_| socket.connect("198.51.100.1:9")).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback())
}

/// A pod that runs as far as anybody can tell: its node is one by name alone, so it ends when the test says so.
struct Pod {
    name: &'static str,
    backend: Backend,
}

impl Pod {
    fn run(namespace: &Namespace<'_>, name: &'static str, version: &str, address: IpAddr) -> Pod {
        let backend = Backend::at(SocketAddr::new(address, 0), 200);
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": name, "labels": { "app": NAME, "version": version } },
            "spec": { "nodeName": "loopback", "containers": [{
                "name": "app",
                "image": "app",
                "ports": [{ "name": "http", "containerPort": backend.address.port() }],
            }] },
        });
        namespace.apply(&pod.to_string());
        let pod = Pod { name, backend };
        pod.set_ready(namespace, "True");
        pod
    }

    fn set_ready(&self, namespace: &Namespace<'_>, ready: &str) {
        let address = self.backend.address.ip();
        let condition = json!({ "type": "Ready", "status": ready });
        let status = json!({ "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{ "ip": address }],
            "conditions": [condition],
        } });
        let patch = status.to_string();
        namespace.done(&["patch", "pod", self.name, "--subresource=status", "--type=merge", "--patch", &patch], "");
    }

    fn end(&self, namespace: &Namespace<'_>) {
        namespace.done(&["delete", "pod", self.name, "--wait=false"], "");
    }

    /// Waits until new requests come to it, or until none does any more.
    #[track_caller]
    fn until_served(&self, replica: &Replica, wanted: bool) {
        eventually(&format!("requests to {}: {wanted}", self.name), || {
            let before = self.backend.count();
            (0..20).for_each(|_| assert_eq!(replica.proxy.get("/").status, 200));
            ((self.backend.count() > before) == wanted).then_some(())
        });
    }
}

fn service(name: &str, selector: Value) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name },
        "spec": { "selector": selector, "ports": [{ "name": "http", "port": 80, "targetPort": "http" }] },
    })
    .to_string()
}

/// A version of the Service with this name.
fn version(version: &str, service: &str) -> Value {
    json!({ "version": version, "service": { "name": service, "port": "http" } })
}

/// Two Services, of which green's has no endpoint yet: the slices are written by hand.
pub fn between_services(cluster: &Cluster, address: IpAddr) -> Rollout<'_> {
    let [blue, green] = [200; 2].map(|status| Backend::at(SocketAddr::new(address, 0), status));
    let spec = spec(version("v1", "shop-blue"), version("v2", "shop-green"), half());
    let rollout = Rollout::between(cluster, "standalone", blue, green, spec);
    rollout.namespace.apply(&slice("shop-blue", &rollout.blue));
    rollout
}

/// The only endpoint of a Service, which is ready.
pub fn slice(service: &str, endpoint: &Backend) -> String {
    let address = endpoint.address;
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": { "name": service, "labels": { "kubernetes.io/service-name": service } },
        "addressType": "IPv4",
        "ports": [{ "name": "http", "port": address.port() }],
        "endpoints": [{ "addresses": [address.ip()], "conditions": { "ready": true } }],
    })
    .to_string()
}

#[test]
fn endpoints_are_those_of_two_services_and_follow_what_is_ready_and_what_ends() {
    let Some(cluster) = Cluster::shared() else { return };
    let Some(address) = own_address() else {
        println!("skipped: endpoints of Services (this machine has no address but loopback's)");
        return;
    };
    let spec = spec(version("v1", "shop-blue"), version("v2", "shop-green"), half());
    let rollout = Rollout::between(cluster, "standalone", Backend::answering(200), Backend::answering(200), spec);
    let namespace = &rollout.namespace;
    namespace.apply(&service("shop-blue", json!({ "app": NAME, "version": "v1" })));
    namespace.apply(&service("shop-green", json!({ "app": NAME, "version": "v2" })));
    let blue = ["blue-1", "blue-2"].map(|name| Pod::run(namespace, name, "v1", address));
    let green = Pod::run(namespace, "green-1", "v2", address);
    let replica = rollout.replica_without_load("a");
    replica.until_weight(50.0);
    blue.iter().chain([&green]).for_each(|pod| pod.until_served(&replica, true));

    blue[0].set_ready(namespace, "False");
    blue[0].until_served(&replica, false);
    blue[0].set_ready(namespace, "True");
    blue[0].until_served(&replica, true);

    blue[1].end(namespace);
    blue[1].until_served(&replica, false);
    let late = Pod::run(namespace, "blue-3", "v1", address);
    late.until_served(&replica, true);

    // When all of them end, those that still serve are better than none.
    blue[0].end(namespace);
    late.end(namespace);
    blue[0].until_served(&replica, true);
}

#[test]
fn endpoints_are_those_of_one_service_split_by_a_label_of_its_pods() {
    let Some(cluster) = Cluster::shared() else { return };
    let Some(address) = own_address() else {
        println!("skipped: endpoints of one Service (this machine has no address but loopback's)");
        return;
    };
    let split = |version: &str| json!({ "version": version, "service": { "name": NAME, "port": "http", "labels": { "version": version } } });
    let spec = spec(split("v1"), split("v2"), half());
    let rollout = Rollout::between(cluster, "by-label", Backend::answering(200), Backend::answering(200), spec);
    let namespace = &rollout.namespace;
    namespace.apply(&service(NAME, json!({ "app": NAME })));
    let blue = Pod::run(namespace, "blue-1", "v1", address);
    let green = Pod::run(namespace, "green-1", "v2", address);
    let replica = rollout.replica_without_load("a");
    replica.until_weight(50.0);
    rollout.annotate("rollback", "a test");
    replica.until_state("rolledBack");
    green.until_served(&replica, false);
    blue.until_served(&replica, true);
}
