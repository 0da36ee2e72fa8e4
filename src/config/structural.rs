//! The schema of the file as Kubernetes wants it of a custom resource: structural, without references and alternatives.
//!
//! What it cannot say (`true` or a mapping, a text or a number with a fraction) is left open there: whoever reads the
//! resource finds the fault. Unknown keys are refused or pruned by the API server.

use serde_json::{Map, Value, json};

use super::path::FieldPath;
use super::schema::{schema, tidy};

/// Quantities that may be written as a number with a fraction, which Kubernetes has no type for beside text.
const FRACTIONS: [&str; 11] = [
    "above",
    "aboveBlue",
    "below",
    "falseAlarm",
    "floor",
    "margin",
    "minVersion",
    "quantile",
    "ratio",
    "slower",
    "unacceptable",
];

/// The schema of the `spec`.
pub fn structural_schema() -> Value {
    let mut schema = schema();
    for version in ["blue", "green"] {
        let version = &mut schema["properties"][version];
        // Of a Deployment it is made.
        version["required"].as_array_mut().expect("some keys are").retain(|key| key != "version");
    }
    make_structural(&mut schema, &FieldPath::default());
    schema
}

/// The same of a schema that was derived from a type of ours.
pub fn structural(mut schema: Value) -> Value {
    // No key of the file, whose example would be shown.
    let path = FieldPath::default().key("status");
    tidy(&mut schema, &path);
    make_structural(&mut schema, &path);
    schema
}

fn make_structural(schema: &mut Value, path: &FieldPath) {
    let Value::Object(said) = schema else {
        *schema = open();
        return;
    };
    for key in ["$schema", "title", "additionalProperties"] {
        if !said.get(key).is_some_and(Value::is_object) {
            said.remove(key);
        }
    }
    let is_fraction = path.last_key().is_some_and(|key| FRACTIONS.contains(&key));
    if said.contains_key("anyOf") {
        said.remove("anyOf");
        said.insert(OPEN.to_owned(), true.into());
    } else if said.get("type").is_some_and(Value::is_array) {
        said.remove("type");
        let what = if is_fraction { OPEN } else { "x-kubernetes-int-or-string" };
        said.insert(what.to_owned(), true.into());
    } else if !said.contains_key("type") {
        said.insert(OPEN.to_owned(), true.into());
    }
    if let Some(items) = said.get_mut("items") {
        make_structural(items, &path.index(0));
    }
    if let Some(values) = said.get_mut("additionalProperties") {
        make_structural(values, path);
    }
    if let Some(Value::Object(properties)) = said.get_mut("properties") {
        properties.iter_mut().for_each(|(key, property)| make_structural(property, &path.key(key)));
    }
}

const OPEN: &str = "x-kubernetes-preserve-unknown-fields";

fn open() -> Value {
    let open = Map::from_iter([(OPEN.to_owned(), json!(true))]);
    Value::Object(open)
}
