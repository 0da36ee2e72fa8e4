//! What the API server makes of our definition: what it shows, and what it refuses before any replica has seen it.

use serde_json::{Value, json};

use super::super::support::cluster::{Cluster, Namespace};
use super::rollout::resource;

fn spec() -> Value {
    json!({
        "listen": "127.0.0.1:8080",
        "admin": { "listen": "127.0.0.1:9090" },
        "blue": { "version": "v1", "endpoints": ["127.0.0.1:9001"] },
        "green": { "version": "v2", "endpoints": ["127.0.0.1:9002"] },
    })
}

/// What is said to the spec with this merged into it.
#[track_caller]
fn refused(namespace: &Namespace<'_>, patch: Value, said: &str) {
    let mut spec = spec();
    merge(&mut spec, patch.clone());
    let all = namespace.refused(&["create", "-f", "-"], &resource(spec).to_string());
    assert!(all.contains(said), "{patch}: {all}");
}

/// As `kubectl patch --type=merge` does it.
fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let into = into.as_object_mut().expect("it is an object");
    for (key, value) in patch {
        if value.is_null() {
            into.remove(&key);
        } else {
            merge(into.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[test]
fn the_api_server_refuses_a_bad_spec_with_a_sentence_that_names_the_key() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace();
    namespace.done(&["create", "--dry-run=server", "-f", "-"], &resource(spec()).to_string());
    for (patch, said) in [
        // What the types say.
        (json!({ "blue": null }), "spec.blue: Required value"),
        (json!({ "listn": "127.0.0.1:80" }), "unknown field \"spec.listn\""),
        (json!({ "workers": "many" }), "spec.workers"),
        (json!({ "release": { "steps": "1%" } }), "spec.release.steps: Invalid value: \"string\""),
        (
            json!({ "gate": { "triggers": [{ "name": "a", "metric": "errorRate", "above": "1%", "actoin": "rollback" }] } }),
            "unknown field \"spec.gate.triggers[0].actoin\"",
        ),
        // What they cannot say.
        (
            json!({ "green": { "service": { "name": "shop", "port": "http" } } }),
            "spec.green: Invalid value: write `endpoints` or `service`, and not both",
        ),
        (
            json!({ "blue": { "endpoints": null } }),
            "spec.blue: Invalid value: write `endpoints` or `service`, and not both",
        ),
        (
            json!({ "green": { "version": null } }),
            "spec.green: Invalid value: write `version`, or `deployment` to have it made of that",
        ),
        (json!({ "blue": { "maxWeight": "10%" } }), "spec.blue: Invalid value: `maxWeight` is green's alone"),
        (json!({ "green": { "ramp": "10s" } }), "spec.green: Invalid value: `ramp` is blue's alone"),
        (
            json!({ "blue": { "healthCheck": { "path": "/", "tcp": true } } }),
            "spec.blue.healthCheck: Invalid value: write `path` or `tcp: true`, and not both",
        ),
    ] {
        refused(&namespace, patch, said);
    }
}

#[test]
fn kubectl_explains_the_spec_and_knows_the_short_name() {
    let Some(cluster) = Cluster::shared() else { return };
    let explained = cluster.done(&["explain", "gro.spec.gate.triggers"], "");
    for word in ["metric", "sustained", "minimumRequests"] {
        assert!(explained.contains(word), "{word}: {explained}");
    }
    let resources = cluster.done(&["api-resources", "--api-group=portcullis.dev", "--no-headers"], "");
    assert_eq!(
        resources.split_whitespace().collect::<Vec<_>>(),
        ["gatedrollouts", "gro", "portcullis.dev/v1alpha1", "true", "GatedRollout"]
    );
}
