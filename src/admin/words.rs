//! What is wrong with a value, by the schema of what it should be, in words for people.
//!
//! The schema is the one that `GET /openapi.json` shows, so what is promised there is what is asked for here.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::config::closest;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// As `green.endpoints[0]`.
    pub field: String,
    /// Begins with the field, and says what would be right.
    pub detail: String,
}

/// Nobody mends more at once.
const MOST: usize = 20;

/// What is shown of a value; the rest of it is cut.
const SHOWN: usize = 60;

impl Wrong {
    pub(super) fn new(field: impl Into<String>, detail: impl AsRef<str>) -> Wrong {
        let field = field.into();
        Wrong { detail: format!("{field}: {}", detail.as_ref()), field }
    }
}

/// The schema of what is read as `T`, in one piece.
pub(super) fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// What is wrong with `value`, in the order of its fields; all of it, unless that is very much.
pub(super) fn check(value: &Value, schema: &Value) -> Vec<Wrong> {
    let mut found = Vec::new();
    look(value, schema, "", &mut found);
    found.truncate(MOST);
    found
}

/// What `field` of a value of this schema is to be; nothing where there is no such field.
pub(super) fn wanted_at(field: &str, schema: &Value) -> Option<String> {
    let mut schema = schema;
    for name in field.split('.') {
        let (name, is_element) = name.split_once('[').map_or((name, false), |(name, _)| (name, true));
        schema = only(schema.get("properties")?.get(name)?);
        if is_element {
            schema = schema.get("items")?;
        }
    }
    Some(wanted(schema))
}

fn look(value: &Value, schema: &Value, field: &str, found: &mut Vec<Wrong>) {
    if value.is_null() && takes(schema, "null") {
        return;
    }
    let schema = only(schema);
    let mut wrong = |what: &str| found.push(Wrong::new(field, format!("{what}; write {}", wanted(schema))));
    if let Some(known) = among(schema) {
        if !known.contains(value) {
            let names: Vec<&str> = known.iter().filter_map(Value::as_str).collect();
            match value.as_str().map(|text| closest(text, &names)) {
                Some(Some(meant)) => {
                    found.push(Wrong::new(field, format!("{} is unknown; did you mean `{meant}`?", shown(value))));
                }
                Some(None) => wrong(&format!("{} is unknown", shown(value))),
                None => wrong(&told(value)),
            }
        }
        return;
    }
    if !["null", "boolean", "integer", "number", "string", "array", "object"]
        .iter()
        .any(|kind| takes(schema, kind) && is(value, kind))
    {
        return wrong(&told(value));
    }
    match value {
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
            if bound("minimum").is_some_and(|least| number < least) {
                wrong(&format!("{} is too low", cut(&number.to_string())));
            } else if bound("maximum").is_some_and(|most| number > most) {
                wrong(&format!("{} is too high", cut(&number.to_string())));
            } else if bound("multipleOf").is_some_and(|unit| !is_multiple(number, unit)) {
                wrong(&format!("{} is too fine", cut(&number.to_string())));
            }
        }
        Value::String(text) => {
            let length = text.chars().count() as u64;
            let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
            if bound("maxLength").is_some_and(|most| length > most) {
                wrong(&format!("it has {length} characters"));
            } else if bound("minLength").is_some_and(|least| length < least) {
                wrong("it is empty");
            }
        }
        Value::Array(elements) => {
            if schema.get("maxItems").and_then(Value::as_u64).is_some_and(|most| elements.len() as u64 > most) {
                return wrong(&format!("it has {} entries", elements.len()));
            }
            let Some(items) = schema.get("items") else { return };
            for (index, element) in elements.iter().enumerate() {
                if found.len() >= MOST {
                    return;
                }
                look(element, items, &format!("{field}[{index}]"), found);
            }
        }
        Value::Object(fields) => look_into(fields, schema, field, found),
        Value::Null | Value::Bool(_) => {}
    }
}

fn look_into(fields: &serde_json::Map<String, Value>, schema: &Value, field: &str, found: &mut Vec<Wrong>) {
    let at = |name: &str| if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
    let nothing = serde_json::Map::new();
    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&nothing);
    let others = schema.get("additionalProperties");
    for (name, value) in fields {
        if found.len() >= MOST {
            return;
        }
        match (known.get(name), others) {
            (Some(schema), _) => look(value, schema, &at(name), found),
            (None, Some(Value::Bool(false))) => {
                let names: Vec<&str> = known.keys().map(String::as_str).collect();
                let instead = match closest(name, &names) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("the fields here are {}", listed(&names, "and")),
                };
                found.push(Wrong::new(at(&cut(name)), format!("is an unknown field; {instead}")));
            }
            (None, Some(schema @ Value::Object(_))) => look(value, schema, &at(&cut(name)), found),
            (None, _) => {}
        }
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for name in required.filter(|name| !fields.contains_key(*name)) {
        let write = known.get(name).map_or_else(String::new, |schema| format!("; write {}", wanted(only(schema))));
        found.push(Wrong::new(at(name), format!("is missing{write}")));
    }
}

/// Without the `null` that stands for what is left out.
fn only(schema: &Value) -> &Value {
    let others = schema.get("anyOf").and_then(Value::as_array);
    let mut others = others.into_iter().flatten().filter(|other| other.get("type") != Some(&"null".into()));
    match (others.next(), others.next()) {
        (Some(other), None) => other,
        _ => schema,
    }
}

/// The values that are taken, where no others are.
fn among(schema: &Value) -> Option<Vec<Value>> {
    if let Some(known) = schema.get("enum").and_then(Value::as_array) {
        return Some(known.clone());
    }
    let known: Vec<Value> =
        schema.get("oneOf")?.as_array()?.iter().filter_map(|one| one.get("const")).cloned().collect();
    (!known.is_empty()).then_some(known)
}

/// Whether a schema takes values of a type. One that says nothing of types takes all.
fn takes(schema: &Value, kind: &str) -> bool {
    match (schema.get("type"), schema.get("anyOf")) {
        (Some(Value::String(known)), _) => known == kind,
        (Some(Value::Array(known)), _) => known.iter().any(|known| known == kind),
        (_, Some(Value::Array(others))) => others.iter().any(|other| takes(other, kind)),
        _ => true,
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match value {
        Value::Null => kind == "null",
        Value::Bool(_) => kind == "boolean",
        Value::Number(number) => kind == "number" || kind == "integer" && !number.is_f64(),
        Value::String(_) => kind == "string",
        Value::Array(_) => kind == "array",
        Value::Object(_) => kind == "object",
    }
}

/// What a value of this schema is, as a sentence goes on after "write".
fn wanted(schema: &Value) -> String {
    if let Some(known) = among(schema) {
        let names: Vec<&str> = known.iter().filter_map(Value::as_str).collect();
        return listed(&names, "or");
    }
    let number = |key: &str| schema.get(key).and_then(Value::as_f64);
    let length = |key: &str| schema.get(key).and_then(Value::as_u64);
    let range = match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(" from {least} on"),
        (None, Some(most)) => format!(" up to {most}"),
        (None, None) => String::new(),
    };
    let fine = if number("multipleOf").is_some_and(|unit| unit < 1.0) { " with at most two decimals" } else { "" };
    let taken = |kind: &str| takes(schema, kind);
    if taken("number") {
        return format!("a number{range}{fine}");
    }
    if taken("integer") {
        return format!("a whole number{range}");
    }
    let most = |key: &str| length(key).map(|most| format!(" of at most {most}")).unwrap_or_default();
    if taken("boolean") {
        "true or false".to_owned()
    } else if taken("string") {
        let most = most("maxLength");
        if most.is_empty() { "text".to_owned() } else { format!("text{most} characters") }
    } else if taken("array") {
        format!("a list{}", most("maxItems"))
    } else {
        "an object".to_owned()
    }
}

/// What a value is that should be something else.
fn told(value: &Value) -> String {
    let kind = match value {
        Value::Null => return "null is nothing".to_owned(),
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    format!("{} is {kind}", shown(value))
}

fn shown(value: &Value) -> String {
    cut(&value.to_string())
}

/// A value is a whole number of units as far as a float can tell.
fn is_multiple(number: f64, unit: f64) -> bool {
    let units = number / unit;
    (units - units.round()).abs() < 1e-6
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn listed(names: &[&str], last: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((end, before)) => format!("{} {last} {end}", before.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    struct Order {
        #[schemars(range(min = 0, max = 100), extend("multipleOf" = 0.01))]
        weight: f64,
        #[serde(default)]
        #[schemars(length(max = 5))]
        reason: String,
        count: Option<u8>,
        #[serde(default)]
        again: bool,
        of: Option<Kind>,
        inner: Option<Inner>,
        #[serde(default)]
        #[schemars(length(max = 2))]
        list: Vec<String>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    enum Kind {
        Firing,
        Resolved,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    struct Inner {
        name: String,
    }

    #[test]
    fn what_is_wrong_is_told_with_its_field_and_what_would_be_right() {
        let schema = schema::<Order>();
        let check = |value: Value, expected: &[&str]| {
            let told: Vec<String> = check(&value, &schema).into_iter().map(|wrong| wrong.detail).collect();
            assert_eq!(told, expected, "{value}");
        };
        const WEIGHT: &str = "write a number from 0 to 100 with at most two decimals";
        check(json!({ "weight": 12.34, "reason": "fünf!", "of": "firing", "inner": { "name": "" } }), &[]);
        check(json!({ "weight": 100, "count": null, "of": null, "inner": null, "list": ["a", "b"] }), &[]);
        check(json!({ "weight": "5" }), &[&format!("weight: \"5\" is text; {WEIGHT}")]);
        check(json!({ "weight": null }), &[&format!("weight: null is nothing; {WEIGHT}")]);
        check(json!({ "weight": [1] }), &[&format!("weight: [1] is a list; {WEIGHT}")]);
        check(json!({ "weight": -1 }), &[&format!("weight: -1 is too low; {WEIGHT}")]);
        check(json!({ "weight": 100.01 }), &[&format!("weight: 100.01 is too high; {WEIGHT}")]);
        check(json!({ "weight": 33.333 }), &[&format!("weight: 33.333 is too fine; {WEIGHT}")]);
        check(json!({}), &[&format!("weight: is missing; {WEIGHT}")]);
        let known = "the fields here are `again`, `count`, `inner`, `list`, `of`, `reason` and `weight`";
        check(json!({ "weight": 1, "else": 2 }), &[&format!("else: is an unknown field; {known}")]);
        check(json!({ "weight": 1, "Weigth": 2 }), &["Weigth: is an unknown field; did you mean `weight`?"]);
        check(json!({ "weight": 1, "count": 1.5 }), &["count: 1.5 is a number; write a whole number from 0 to 255"]);
        check(json!({ "weight": 1, "count": 256 }), &["count: 256 is too high; write a whole number from 0 to 255"]);
        check(json!({ "weight": 1, "again": "yes" }), &["again: \"yes\" is text; write true or false"]);
        check(json!({ "weight": 1, "of": "fireing" }), &["of: \"fireing\" is unknown; did you mean `firing`?"]);
        check(json!({ "weight": 1, "of": 7 }), &["of: 7 is a number; write `firing` or `resolved`"]);
        check(json!({ "weight": 1, "inner": [] }), &["inner: [] is a list; write an object"]);
        check(
            json!({ "weight": 1, "inner": { "nam": 1 } }),
            &["inner.nam: is an unknown field; did you mean `name`?", "inner.name: is missing; write text"],
        );
        check(json!({ "weight": 1, "list": ["a", 2] }), &["list[1]: 2 is a number; write text"]);
        check(json!({ "weight": 1, "list": ["a", "b", "c"] }), &["list: it has 3 entries; write a list of at most 2"]);
        check(
            json!({ "weight": 1, "reason": "longer" }),
            &["reason: it has 6 characters; write text of at most 5 characters"],
        );
        check(
            json!({ "weight": true, "reason": 7 }),
            &[
                "reason: 7 is a number; write text of at most 5 characters",
                &format!("weight: true is a truth value; {WEIGHT}"),
            ],
        );
    }
}
