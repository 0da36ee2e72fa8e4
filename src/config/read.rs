//! A document to a raw type, with all faults of its structure: unknown keys, keys without a value, wrong types.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fault::Fault;
use super::keys::{KeysAt, example};
use super::path::{FieldPath, Step};
use super::quantity::quoted;
use super::report::{Point, Report, Wrong};
use super::source::{Document, Excerpts};

/// Each costs one more reading of the document.
const MOST_TYPE_FAULTS: usize = 100;
const TOO_MANY_TYPES: &str = "too many values have the wrong type, the rest of the file was not looked at";

/// The raw value with everything faulty left out; none when too much is faulty.
pub(super) fn read<T: DeserializeOwned>(
    document: &Document,
    faults: Vec<Fault>,
    keys_at: KeysAt,
) -> (Option<T>, Report<'_>) {
    let mut report = Report::new(document, faults);
    let mut value = document.value.clone();
    drop_nulls(&mut value, &FieldPath::default(), keys_at, &mut report);
    let mut raw = None;
    let mut unknown = Vec::new();
    for _ in 0..MOST_TYPE_FAULTS {
        unknown.clear();
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(&value, &mut track);
        match serde_ignored::deserialize(tracked, |path| unknown.push(FieldPath::from(&path))) {
            Ok(complete) => {
                raw = Some(complete);
                break;
            }
            Err(error) => {
                let path = FieldPath::from(&track.path());
                let wrong = mistyped(document, &path, &error);
                report.add(path.clone(), Point::Value, wrong);
                blank(&mut value, &path);
            }
        }
    }
    if raw.is_none() {
        report.add_as_is(FieldPath::default(), Point::Key, Wrong::new(TOO_MANY_TYPES, ""));
    }
    for path in unknown {
        let at = path.parent().unwrap_or_default();
        let known = keys_at(&at.pattern());
        let meant = closest(path.last_key().unwrap_or_default(), known);
        let wrong = unknown_key(document.source.excerpts, &path, meant, known);
        if let Some(meant) = meant {
            report.excuse(at.key(meant));
        }
        report.add_as_is(path, Point::Key, wrong);
    }
    (raw, report)
}

/// The known name that `written` was most likely meant to be.
pub(crate) fn closest<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |name: &str| name.replace(['_', '-', ' '], "").to_lowercase();
    let most = written.chars().count().max(3) / 3;
    known
        .iter()
        .map(|name| (strsim::osa_distance(&plain(written), &plain(name)), *name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}

/// The names as a sentence lists them.
pub(super) fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn unknown_key(excerpts: Excerpts, path: &FieldPath, meant: Option<&str>, known: &[&str]) -> Wrong {
    let label = match meant {
        Some(name) => format!("did you mean `{name}`?"),
        None => "not a key here".to_owned(),
    };
    // Somebody may write `secret: role` where a list of tokens belongs.
    let message = match (excerpts, meant) {
        (Excerpts::Hidden, None) => "unknown key".to_owned(),
        _ => format!("unknown key `{path}`"),
    };
    Wrong::new(message, label).help(format!("the keys here are {}", listed(known)))
}

fn mistyped(document: &Document, path: &FieldPath, error: &serde_json::Error) -> Wrong {
    let told = error.to_string();
    let expected = match told.rsplit_once("expected ").map_or("another type", |(_, expected)| expected) {
        "a sequence" => "a list",
        "a boolean" => "`true` or `false`",
        expected => expected,
    };
    let found = document.value_at(path);
    let written = document.place(path).and_then(|place| document.source.text.get(place.value.clone()));
    let label = match (found, written, document.source.excerpts) {
        (Some(Value::Number(_) | Value::Bool(_)), Some(text), Excerpts::Shown) if is_free_text(path) => {
            format!("text that looks like something else stands in quotes, write `\"{text}\"`")
        }
        _ => format!("expected {expected}"),
    };
    let wrong = Wrong::new(format!("expected {expected}, found {}", kind(found, document.source.excerpts)), label);
    match example(path) {
        Some(example) => wrong.help(format!("for example `{example}`")),
        None => wrong,
    }
}

/// Whether any text is right, also one that YAML reads as a number.
fn is_free_text(path: &FieldPath) -> bool {
    matches!(path.last_key(), Some("service" | "version" | "name" | "signal" | "irreversible" | "cookie" | "header"))
}

fn kind(value: Option<&Value>, excerpts: Excerpts) -> String {
    match (value, excerpts) {
        (Some(Value::Number(number)), Excerpts::Shown) => format!("the number {number}"),
        (Some(Value::Bool(value)), Excerpts::Shown) => format!("`{value}`"),
        (Some(Value::String(text)), Excerpts::Shown) => format!("the text {}", quoted(text)),
        (Some(Value::Number(_)), _) => "a number".to_owned(),
        (Some(Value::Bool(_)), _) => "a boolean".to_owned(),
        (Some(Value::String(_)), _) => "text".to_owned(),
        (Some(Value::Array(_)), _) => "a list".to_owned(),
        (Some(Value::Object(_)), _) => "a mapping".to_owned(),
        (Some(Value::Null) | None, _) => "nothing".to_owned(),
    }
}

/// Not below unknown keys, which are at fault as such.
fn drop_nulls(value: &mut Value, path: &FieldPath, keys_at: KeysAt, report: &mut Report<'_>) {
    let nothing = |path: &FieldPath| {
        let wrong = Wrong::new("has no value", "give it a value, or remove it");
        match example(path) {
            Some(example) => wrong.help(format!("for example `{example}`")),
            None => wrong,
        }
    };
    match value {
        Value::Object(entries) => entries.retain(|key, value| {
            if !keys_at(&path.pattern()).contains(&key.as_str()) {
                return true;
            }
            let path = path.key(key);
            if value.is_null() {
                if !report.is_spoiled(&path) {
                    report.add(path.clone(), Point::Key, nothing(&path));
                }
                return false;
            }
            drop_nulls(value, &path, keys_at, report);
            true
        }),
        Value::Array(values) => {
            for (index, value) in values.iter_mut().enumerate() {
                let path = path.index(index);
                if value.is_null() && !report.is_spoiled(&path) {
                    report.add(path.clone(), Point::Value, nothing(&path));
                }
                drop_nulls(value, &path, keys_at, report);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Takes a value out: a key goes, an element stays as null so that those after it keep their index.
fn blank(value: &mut Value, path: &FieldPath) {
    let Some((last, before)) = path.steps().split_last() else { return };
    let holder = before.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(index) => value.get_mut(index),
    });
    match (holder, last) {
        (Some(Value::Object(entries)), Step::Key(key)) => {
            entries.remove(key);
        }
        (Some(Value::Array(values)), Step::Index(index)) => {
            if let Some(element) = values.get_mut(*index) {
                *element = Value::Null;
            }
        }
        _ => {}
    }
}
