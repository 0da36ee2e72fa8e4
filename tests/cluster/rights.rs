//! What the account of the replicas may do: what they need, and nothing else.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::support::cluster::{Cluster, Namespace};
use super::super::support::stderr;
use super::Rollout;
use super::rollout::{NAME, resource};
use super::slices::{between_services, own_address, slice};

/// Everything that replicas in front of two Services may do in their namespace, and no name means that of any object.
const NEEDED: &[(&str, &str, &[&str])] = &[
    ("gatedrollouts.portcullis.dev", NAME, &["get", "list", "watch", "patch"]),
    ("gatedrollouts.portcullis.dev/status", NAME, &["patch", "update"]),
    ("leases.coordination.k8s.io", "", &["get", "list", "create", "update", "delete"]),
    ("endpointslices.discovery.k8s.io", "", &["list", "watch"]),
    ("events.events.k8s.io", "", &["create"]),
];

/// What anybody may do who is known: ask who he is and what he may do.
const ANYBODY: &[(&str, &str, &[&str])] = &[
    ("selfsubjectaccessreviews.authorization.k8s.io", "", &["create"]),
    ("selfsubjectrulesreviews.authorization.k8s.io", "", &["create"]),
    ("selfsubjectreviews.authentication.k8s.io", "", &["create"]),
];

/// Verb, resource with its group, and name.
type Right = (String, String, String);

fn right(verb: &str, resource: &str, name: &str) -> Right {
    (verb.to_owned(), resource.to_owned(), name.to_owned())
}

fn rights(table: &[(&str, &str, &[&str])]) -> BTreeSet<Right> {
    let all = table.iter().flat_map(|(resource, name, verbs)| verbs.iter().map(|verb| right(verb, resource, name)));
    all.collect()
}

fn account(namespace: &Namespace<'_>) -> String {
    format!("system:serviceaccount:{}:portcullis", namespace.name)
}

/// What the account is answered when it asks for its own rights, in the name of the administrator.
fn review(namespace: &Namespace<'_>, kind: &str, spec: Value) -> Value {
    let review = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec }).to_string();
    // Which kubectl would do by definitions that are not for the account.
    let arguments = ["create", "--validate=false", "-f", "-", "--output=json", "--as", &account(namespace)];
    let answer: Value = serde_json::from_str(&namespace.done(&arguments, &review)).expect("JSON");
    answer["status"].clone()
}

/// Every right of the account within a namespace.
fn granted(namespace: &Namespace<'_>, within: &str) -> BTreeSet<Right> {
    let status = review(namespace, "SelfSubjectRulesReview", json!({ "namespace": within }));
    assert_eq!(status["incomplete"], false, "{status}");
    let words = |rule: &Value, key: &str| -> Vec<String> {
        let words = rule[key].as_array().into_iter().flatten();
        words.map(|word| word.as_str().expect("a word").to_owned()).collect()
    };
    let mut granted = BTreeSet::new();
    for rule in status["resourceRules"].as_array().expect("a list") {
        let names = Some(words(rule, "resourceNames")).filter(|names| !names.is_empty());
        for name in names.unwrap_or_else(|| vec![String::new()]) {
            for (verb, resource) in words(rule, "verbs")
                .iter()
                .flat_map(|verb| words(rule, "resources").into_iter().map(move |resource| (verb.clone(), resource)))
            {
                for group in words(rule, "apiGroups") {
                    granted.insert(right(&verb, &of_group(&resource, &group), &name));
                }
            }
        }
    }
    granted
}

/// As kubectl writes it: `gatedrollouts.portcullis.dev/status`.
fn of_group(resource: &str, group: &str) -> String {
    let (resource, below) = resource.split_once('/').unwrap_or((resource, ""));
    let dot = if group.is_empty() { "" } else { "." };
    let slash = if below.is_empty() { "" } else { "/" };
    format!("{resource}{dot}{group}{slash}{below}")
}

#[test]
fn the_account_of_the_replicas_has_the_rights_that_they_need_and_no_others() {
    let Some(cluster) = Cluster::shared() else { return };
    let rollout = Rollout::with_plan(cluster, super::rollback::half());
    let (namespace, other) = (&rollout.namespace, cluster.namespace());
    let anybody = rights(ANYBODY);
    assert_eq!(granted(namespace, &namespace.name), &rights(NEEDED) | &anybody);
    for within in [&other.name, "default", "kube-system"] {
        assert_eq!(granted(namespace, within), anybody, "in {within}");
    }
    // The authorizer itself, where a rule might mean more than it says.
    for (namespaced, verb, group, resource, name, allowed) in [
        (&namespace.name, "patch", "portcullis.dev", "gatedrollouts", NAME, true),
        (&namespace.name, "patch", "portcullis.dev", "gatedrollouts", "another", false),
        (&namespace.name, "list", "portcullis.dev", "gatedrollouts", "", false),
        (&namespace.name, "delete", "portcullis.dev", "gatedrollouts", NAME, false),
        (&namespace.name, "create", "", "serviceaccounts/token", "portcullis", false),
        (&namespace.name, "get", "", "secrets", "portcullis", false),
        (&namespace.name, "impersonate", "", "users", "administrator", false),
        (&other.name, "get", "portcullis.dev", "gatedrollouts", NAME, false),
        (&other.name, "update", "coordination.k8s.io", "leases", NAME, false),
    ] {
        let (resource, below) = resource.split_once('/').unwrap_or((resource, ""));
        let asked = json!({ "resourceAttributes": {
            "namespace": namespaced, "verb": verb, "group": group, "resource": resource, "subresource": below, "name": name,
        } });
        let status = review(namespace, "SelfSubjectAccessReview", asked);
        assert_eq!(status["allowed"], allowed, "{verb} {resource} {name} in {namespaced}: {status}");
    }
}

#[test]
fn what_the_account_may_not_do_is_forbidden_and_what_the_replicas_do_is_all_that_it_may() {
    let Some(cluster) = Cluster::shared() else { return };
    let Some(address) = own_address() else {
        println!("skipped: what replicas do with their rights (this machine has no address but loopback's)");
        return;
    };
    let rollout = between_services(cluster, address);
    let namespace = &rollout.namespace;
    let as_account = account(namespace);
    let mut another = resource(json!({ "blue": {}, "green": {} }));
    another["metadata"]["name"] = "another".into();
    for (arguments, input) in [
        (&["get", "secrets"][..], String::new()),
        (&["get", "gro"], String::new()),
        (&["get", "gro", "another"], String::new()),
        (&["delete", "gro", NAME], String::new()),
        (&["get", "pods"], String::new()),
        (&["get", "gro", NAME, "--namespace=default"], String::new()),
        (&["create", "-f", "-"], another.to_string()),
        (&["create", "token", "portcullis"], String::new()),
        (&["scale", "deployment/shop", "--replicas=0"], String::new()),
    ] {
        let arguments = [arguments, &["--as", &as_account]].concat();
        let output = namespace.run(&arguments, &input);
        assert!(!output.status.success() && stderr(&output).contains("forbidden"), "{arguments:?}: {output:?}");
    }

    // A release with all that comes with it: begun, commanded, led by another one, rolled back, ended.
    let mut replicas = rollout.replicas();
    namespace.apply(&slice("shop-green", &rollout.green));
    replicas.iter().for_each(|replica| drop(replica.until_weight(50.0)));
    rollout.annotate("pause", "a test");
    let leader = rollout.until_state("paused")["leader"].clone();
    let place = replicas.iter().position(|replica| leader == replica.name).expect("one that lives");
    replicas[place].calm();
    let mut ended = replicas.remove(place);
    ended.proxy.sigterm();
    ended.proxy.wait_exit();
    rollout.until("another leader", |status| status["leader"] != leader && !status["leader"].is_null());
    rollout.annotate("rollback", "a test");
    replicas.iter().for_each(|replica| drop(replica.until_state("rolledBack")));
    for replica in &mut replicas {
        replica.calm();
        assert!(!replica.proxy.log().contains("forbidden"), "{}", replica.proxy.log());
    }
    let (used, refused) = used(cluster, &as_account);
    assert_eq!(refused, BTreeSet::new());
    assert_eq!(used, rights(NEEDED).into_iter().map(|(verb, resource, _)| (verb, resource)).collect());
}

/// Verbs with what they are of.
type Rights = BTreeSet<(String, String)>;

/// What the account has asked for without anybody in its place, by the API server's own record: what was done, and what was
/// refused.
fn used(cluster: &Cluster, account: &str) -> (Rights, Rights) {
    let log = std::fs::read_to_string(cluster.folder().join("audit.log")).expect("it is written");
    let (mut used, mut refused) = (BTreeSet::new(), BTreeSet::new());
    // The last line may not be whole yet.
    for entry in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if entry["user"]["username"] != account || !entry["impersonatedUser"].is_null() {
            continue;
        }
        let object = &entry["objectRef"];
        let part = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
        let resource = match part("subresource") {
            below if below.is_empty() => part("resource"),
            below => format!("{}/{below}", part("resource")),
        };
        let right = (entry["verb"].as_str().expect("a verb").to_owned(), of_group(&resource, &part("apiGroup")));
        match entry["responseStatus"]["code"].as_u64() {
            Some(403) => _ = refused.insert(right),
            _ => _ = used.insert(right),
        }
    }
    (used, refused)
}
