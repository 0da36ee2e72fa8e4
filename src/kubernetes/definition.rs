//! The `CustomResourceDefinition`, of the types of the file and of the status.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::resource::GatedRolloutStatus;
use crate::config;

/// The whole definition. The same program always makes the same of it.
pub fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "gatedrollouts.portcullis.dev" },
        "spec": {
            "group": "portcullis.dev",
            "scope": "Namespaced",
            "names": {
                "kind": "GatedRollout",
                "listKind": "GatedRolloutList",
                "plural": "gatedrollouts",
                "singular": "gatedrollout",
                "shortNames": ["gro"],
            },
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                "additionalPrinterColumns": columns(),
                "schema": { "openAPIV3Schema": {
                    "description": "A release of one version of a service after another, behind a gate.",
                    "type": "object",
                    "required": ["spec"],
                    "properties": {
                        "apiVersion": { "type": "string" },
                        "kind": { "type": "string" },
                        "metadata": { "type": "object" },
                        "spec": spec(),
                        "status": status(),
                    },
                } },
            }],
        },
    })
}

fn columns() -> Value {
    let column = |name: &str, kind: &str, path: &str| json!({ "name": name, "type": kind, "jsonPath": path });
    json!([
        column("State", "string", ".status.state"),
        column("Weight", "number", ".status.weight"),
        column("Step", "integer", ".status.step"),
        column("Blue", "string", ".status.blue"),
        column("Green", "string", ".status.green"),
        column("Verdict", "string", ".status.verdict.kind"),
        column("Age", "date", ".metadata.creationTimestamp"),
    ])
}

fn spec() -> Value {
    let mut spec = config::structural_schema();
    spec["description"] = "The configuration, by the keys of the file.".into();
    rules(
        &mut spec,
        "",
        &[(
            "!has(self.blue.version) || !has(self.green.version) || self.blue.version != self.green.version",
            "blue and green are two versions, and have two names",
        )],
    );
    for version in ["blue", "green"] {
        let at = format!("/properties/{version}");
        rules(
            &mut spec,
            &at,
            &[
                (
                    "has(self.version) || has(self.deployment)",
                    "write `version`, or `deployment` to have it made of that",
                ),
                ("has(self.endpoints) != has(self.service)", "write `endpoints` or `service`, and not both"),
                ("!has(self.versionLabel) || has(self.deployment)", "`versionLabel` is a label of a Deployment's pods"),
            ],
        );
        let check = format!("{at}/properties/healthCheck");
        rules(
            &mut spec,
            &check,
            &[("has(self.path) != (has(self.tcp) && self.tcp)", "write `path` or `tcp: true`, and not both")],
        );
    }
    let plan =
        [("has(self.steps) || has(self.budget)", "write `steps`, or a `budget` that finds the weights by itself")];
    rules(&mut spec, "/properties/release", &plan);
    rules(&mut spec, "/properties/blue", &[("!has(self.maxWeight)", "`maxWeight` is green's alone")]);
    rules(&mut spec, "/properties/green", &[("!has(self.ramp)", "`ramp` is blue's alone")]);
    spec
}

/// Adds rules in CEL, each with what would be right.
fn rules(schema: &mut Value, at: &str, rules: &[(&str, &str)]) {
    let schema = schema.pointer_mut(at).expect("the key is there");
    let mut all = schema["x-kubernetes-validations"].as_array().cloned().unwrap_or_default();
    all.extend(rules.iter().map(|(rule, message)| json!({ "rule": rule, "message": message })));
    schema["x-kubernetes-validations"] = all.into();
}

fn status() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| settings.inline_subschemas = true);
    let mut status =
        config::structural(settings.into_generator().into_root_schema_for::<GatedRolloutStatus>().to_value());
    let conditions = &mut status["properties"]["conditions"];
    conditions["x-kubernetes-list-type"] = "map".into();
    conditions["x-kubernetes-list-map-keys"] = json!(["type"]);
    status
}
