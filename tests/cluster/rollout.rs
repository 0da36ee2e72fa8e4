//! A rollout in a cluster: its resource, what it may do, and replicas of the real binary under load.

use std::ffi::OsStr;
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::support::cluster::{Cluster, Namespace};
use super::super::support::{Backend, DEADLINE, Load, Proxy};

/// Of the resource in each namespace.
pub const NAME: &str = "shop";

/// Short, so that a test sees a leader taken over from.
pub const LEASE: Duration = Duration::from_secs(3);

/// The time of an answer, which paces the load: a replica is to be late for no lease because the machine is busy.
const PACE: Duration = Duration::from_millis(10);

/// Two versions, the account of the replicas by deploy/kubernetes, and all that the resource has been.
pub struct Rollout<'c> {
    pub namespace: Namespace<'c>,
    pub blue: Backend,
    pub green: Backend,
    pub history: History,
}

/// Every state of the resource from its creation on.
pub struct History {
    watch: Child,
    seen: Arc<(Mutex<Vec<Seen>>, Condvar)>,
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub resource: Value,
    pub at: Instant,
}

/// Where a release stood: its epoch and percent.
pub type Place = (u64, f64);

/// A process and the load on it.
pub struct Replica {
    pub name: String,
    pub proxy: Proxy,
    pub load: Option<Load>,
}

/// A configuration on free ports with one worker and without a shield, which would hide what green does.
pub fn spec(blue: Value, green: Value, release: Value) -> Value {
    json!({
        "service": NAME,
        "listen": "127.0.0.1:0",
        "admin": { "listen": "127.0.0.1:0" },
        "workers": 1,
        "shield": "off",
        "blue": blue,
        "green": green,
        "release": release,
        "gate": gate(),
    })
}

/// A gate that takes few requests and convicts by failures alone.
fn gate() -> Value {
    json!({
        "minimumRequests": 5,
        "warmUp": { "time": "0s", "requests": 0 },
        "compare": { "enabled": false },
        "triggers": [
            { "name": "dead", "metric": "failureStreak", "atLeast": 5, "action": "rollback" },
            { "name": "spike", "metric": "errorRate", "above": "50%", "window": "10s", "action": "rollback" },
        ],
    })
}

impl<'c> Rollout<'c> {
    /// A resource with this plan, and nothing but blue yet.
    pub fn with_plan(cluster: &'c Cluster, release: Value) -> Rollout<'c> {
        let (blue, green) = (Backend::answering(200), Backend::answering(200));
        let spec = spec(
            json!({ "version": "v1", "endpoints": [blue.address] }),
            json!({ "version": "none", "endpoints": [] }),
            release,
        );
        Rollout::between(cluster, "standalone", blue, green, spec)
    }

    /// The replicas have the rights of this overlay of deploy/kubernetes.
    pub fn between(cluster: &'c Cluster, overlay: &str, blue: Backend, green: Backend, spec: Value) -> Rollout<'c> {
        blue.take(PACE);
        green.take(PACE);
        let namespace = cluster.namespace();
        namespace.apply(&account(cluster, overlay, &namespace.name));
        namespace.apply(&resource(spec).to_string());
        let history = History::of(&namespace);
        Rollout { namespace, blue, green, history }
    }

    /// A replica that speaks to the API server itself, under load.
    pub fn replica(&self, name: &str) -> Replica {
        self.replica_by(&[], name, self.namespace.cluster.address())
    }

    pub fn replicas(&self) -> Vec<Replica> {
        ["a", "b", "c"].map(|name| self.replica(name)).into()
    }

    pub fn replica_without_load(&self, name: &str) -> Replica {
        self.replica_without_load_by(&[], name, self.namespace.cluster.address())
    }

    pub fn replica_without_load_by(&self, program: &[&str], name: &str, server: SocketAddr) -> Replica {
        let kubeconfig = self.namespace.account("portcullis", server);
        let resource = format!("{}/{NAME}", self.namespace.name);
        let lease = format!("{}ms", LEASE.as_millis());
        let arguments = ["--replica", name, "--lease", &lease];
        let proxy = Proxy::of_resource(program, &resource, &arguments, &[("KUBECONFIG", OsStr::new(&kubeconfig))]);
        Replica { name: name.to_owned(), proxy, load: None }
    }

    /// A replica that is started by `program` and speaks to the API server at `server`.
    pub fn replica_by(&self, program: &[&str], name: &str, server: SocketAddr) -> Replica {
        let replica = self.replica_without_load_by(program, name, server);
        let load = Some(Load::start(replica.proxy.listen, 2));
        Replica { load, ..replica }
    }

    /// Begins a release, as a person does it.
    pub fn release(&self, version: &str) {
        self.patch(&json!({ "spec": { "green": { "version": version, "endpoints": [self.green.address] } } }));
    }

    pub fn patch(&self, patch: &Value) {
        self.namespace.done(&["patch", "gro", NAME, "--type=merge", "--patch", &patch.to_string()], "");
    }

    /// A command of a person by kubectl.
    pub fn annotate(&self, command: &str, value: &str) {
        let annotation = format!("portcullis.dev/{command}={value}");
        self.namespace.done(&["annotate", "gro", NAME, "--overwrite", &annotation], "");
    }

    /// Waits for a status of the resource.
    #[track_caller]
    pub fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.history.until(what, |seen| wanted(&seen.resource["status"])).resource["status"].clone()
    }

    #[track_caller]
    pub fn until_state(&self, state: &str) -> Value {
        self.until(state, |status| status["state"] == state)
    }
}

/// The account of the replicas and its rights, in this namespace.
fn account(cluster: &Cluster, overlay: &str, namespace: &str) -> String {
    let overlays = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/overlays");
    let all = cluster.done(&["kustomize", &format!("{overlays}/{overlay}")], "");
    let kinds = ["ServiceAccount", "Role", "RoleBinding"];
    let is_wanted = |object: &&str| kinds.iter().any(|kind| object.contains(&format!("\nkind: {kind}\n")));
    let wanted: Vec<_> = all.split("\n---\n").filter(is_wanted).collect();
    assert!(wanted.len() >= kinds.len(), "{all}");
    wanted.join("\n---\n").replace("namespace: shop", &format!("namespace: {namespace}"))
}

pub fn resource(spec: Value) -> Value {
    json!({
        "apiVersion": "portcullis.dev/v1alpha1",
        "kind": "GatedRollout",
        "metadata": { "name": NAME },
        "spec": spec,
    })
}

impl History {
    fn of(namespace: &Namespace<'_>) -> History {
        let mut command = namespace.cluster.kubectl();
        command.args(["--namespace", &namespace.name, "get", "gro", NAME, "--watch", "--output=json"]);
        let mut watch = command.stdout(Stdio::piped()).spawn().expect("kubectl is built");
        let said = watch.stdout.take().expect("it was piped");
        let seen = Arc::new((Mutex::default(), Condvar::new()));
        std::thread::spawn({
            let seen = Arc::clone(&seen);
            move || History::read(said, &seen)
        });
        History { watch, seen }
    }

    fn read(said: impl Read, seen: &(Mutex<Vec<Seen>>, Condvar)) {
        for resource in serde_json::Deserializer::from_reader(said).into_iter() {
            // An error means that kubectl was ended in the middle of a word.
            let Ok(resource) = resource else { return };
            seen.0.lock().expect("nobody panics with the lock held").push(Seen { resource, at: Instant::now() });
            seen.1.notify_all();
        }
    }

    pub fn all(&self) -> Vec<Seen> {
        self.seen.0.lock().expect("nobody panics with the lock held").clone()
    }

    /// Waits until what was seen last is as `wanted`.
    #[track_caller]
    pub fn until(&self, what: &str, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let seen = self.seen.0.lock().expect("nobody panics with the lock held");
        let is_not_yet = |seen: &mut Vec<Seen>| !seen.last().is_some_and(&wanted);
        let (seen, waited) = self.seen.1.wait_timeout_while(seen, DEADLINE, is_not_yet).expect("nobody panics");
        let last = seen.last().cloned();
        drop(seen);
        assert!(!waited.timed_out(), "not within {} s: {what}; last: {last:#?}", DEADLINE.as_secs());
        last.expect("it was as wanted")
    }

    /// The way of the releases: where they stood, one after the other, while green may have got requests.
    pub fn places(&self) -> Vec<Place> {
        let mut places = self.all().iter().filter_map(|seen| place(&seen.resource["status"])).collect::<Vec<_>>();
        places.dedup();
        places
    }
}

fn place(status: &Value) -> Option<Place> {
    let weight = status["weight"].as_f64().filter(|weight| *weight > 0.0)?;
    Some((status["epoch"].as_u64()?, weight))
}

impl Drop for History {
    fn drop(&mut self) {
        self.watch.kill().ok();
        self.watch.wait().ok();
        if std::thread::panicking() {
            for seen in self.all() {
                let status = &seen.resource["status"];
                eprintln!(
                    "{:?}: {}",
                    seen.at,
                    json!([status["turn"], status["leader"], status["state"], place(status)])
                );
            }
        }
    }
}

impl Replica {
    /// Waits until it routes so many percent to green.
    #[track_caller]
    pub fn until_weight(&self, percent: f64) -> Value {
        self.proxy.until(|status| status["weight"].as_f64() == Some(percent))
    }

    #[track_caller]
    pub fn until_state(&self, state: &str) -> Value {
        self.proxy.until(|status| status["state"] == state)
    }

    /// Ends the load, of which nothing may be lost.
    #[track_caller]
    pub fn calm(&mut self) {
        let tally = self.load.take().expect("it is under load").stop();
        assert_eq!(tally.lost, [""; 0], "{}", self.name);
    }
}
