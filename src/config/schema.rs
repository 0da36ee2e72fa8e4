//! The JSON Schema of the configuration file, for editors: its keys and types, with an example of each that has one. What values
//! mean is looked at by `portcullis check`.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::keys::example;
use super::path::FieldPath;
use super::raw::RawConfig;

/// The whole schema. The same program always makes the same of it.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<RawConfig>().to_value();
    tidy(&mut schema, &FieldPath::default());
    schema["title"] = "Portcullis".into();
    schema["description"] = "The configuration of a Portcullis proxy.".into();
    schema
}

/// A key without a value is a fault, and so is a key that is not known. What Rust calls a type is nobody's business.
pub(super) fn tidy(schema: &mut Value, path: &FieldPath) {
    let Value::Object(said) = schema else { return };
    for only_ours in ["title", "description", "format", "default"] {
        said.remove(only_ours);
    }
    if let Some(Value::Array(types)) = said.get("type") {
        let types: Vec<&Value> = types.iter().filter(|kind| *kind != "null").collect();
        let types = if let [only] = types[..] { only.clone() } else { json!(types) };
        said.insert("type".to_owned(), types);
    }
    if let Some(Value::Array(others)) = said.get_mut("anyOf") {
        others.retain(|other| *other != json!({ "type": "null" }));
        others.iter_mut().for_each(|other| tidy(other, path));
        if let [only] = &others[..] {
            *schema = only.clone();
            return;
        }
    }
    let Value::Object(said) = schema else { return };
    if let Some(items) = said.get_mut("items") {
        tidy(items, &path.index(0));
    }
    if let Some(Value::Object(properties)) = said.get_mut("properties") {
        properties.iter_mut().for_each(|(key, property)| describe(property, &path.key(key)));
        said.insert("additionalProperties".to_owned(), false.into());
    }
}

fn describe(property: &mut Value, path: &FieldPath) {
    tidy(property, path);
    if let (Value::Object(said), Some(example)) = (&mut *property, example(path)) {
        said.insert("description".to_owned(), format!("For example `{example}`").into());
    } else if *property == Value::Bool(true) {
        *property = Map::new().into();
    }
}
