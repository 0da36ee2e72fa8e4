//! The evidence of a decision: both versions side by side, and what else was recorded with it.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Map, Value};

use super::text::{escape, words};
use super::{clients, comparison};
use crate::control::felt::CLIENTS;
use crate::control::ramping::RAMP;
use crate::gate::ByVersion;
use crate::gate::verdict::{count, duration, percent};
use crate::journal::ReleaseRecord;

/// How a member of a version's evidence is shown.
#[derive(Clone, Copy)]
enum Unit {
    Count,
    Fraction,
    Millis,
}

/// What every version's evidence has, in the order of reading; the rest follows by name.
const KNOWN: [(&str, &str, Unit); 6] = [
    ("requests", "Requests", Unit::Count),
    ("failures", "Failures", Unit::Count),
    ("errorRate", "Error rate", Unit::Fraction),
    ("p50", "P50", Unit::Millis),
    ("p95", "P95", Unit::Millis),
    ("p99", "P99", Unit::Millis),
];

/// What has a place of its own in the report.
const TOLD: [&str; 10] =
    ["blue", "green", "trigger", "grounds", "window", "comparison", "exposure", CLIENTS, "routes", RAMP];

pub(super) fn has_both(evidence: &Value) -> bool {
    sides(evidence).is_some()
}

pub(super) fn trigger(evidence: &Value) -> Option<&str> {
    evidence.get("trigger")?.as_str()
}

/// What part of the requests it was decided on; none for the whole.
pub(super) fn route(evidence: &Value) -> Option<&str> {
    evidence["grounds"]["route"].as_str()
}

/// Of a decision of `release`.
pub(super) fn section(release: &ReleaseRecord, evidence: &Value, to: &mut String) -> std::fmt::Result {
    let ReleaseRecord { header, clients: settled, .. } = release;
    comparison::grounds(&evidence["grounds"], (&header.blue, &header.green), to)?;
    if let Some(ByVersion { blue, green }) = sides(evidence) {
        let window = evidence["window"].as_str().map(|window| format!(", the last {}", escape(window)));
        writeln!(to, "\n## Both versions{}\n", window.unwrap_or_default())?;
        writeln!(to, "| | blue ({}) | green ({}) |\n|---|---:|---:|", escape(&header.blue), escape(&header.green))?;
        let row = |to: &mut String, key: &str, name: &str, unit: Option<Unit>| {
            let cell =
                |side: &Map<String, Value>| side.get(key).map_or_else(|| "–".to_owned(), |value| show(value, unit));
            writeln!(to, "| {name} | {} | {} |", cell(blue), cell(green))
        };
        for (key, name, unit) in KNOWN {
            if blue.contains_key(key) || green.contains_key(key) {
                row(to, key, name, Some(unit))?;
            }
        }
        let known = |key: &str| KNOWN.iter().any(|(known, _, _)| *known == key);
        let greens = green.keys().filter(|key| !blue.contains_key(*key));
        for key in blue.keys().chain(greens).filter(|key| !known(key)) {
            row(to, key, &words(key), None)?;
        }
    }
    clients::section(if settled.is_null() { &evidence[CLIENTS] } else { settled }, to)?;
    let Some(members) = evidence.as_object() else { return Ok(()) };
    if let Some(compared) = members.get("comparison").filter(|compared| compared.is_object()) {
        comparison::section(compared, to)?;
    }
    if let Some(routes) = members.get("routes").and_then(Value::as_array) {
        comparison::routes(routes, to)?;
    }
    let rest: Vec<_> = members.iter().filter(|(key, _)| !TOLD.contains(&key.as_str())).collect();
    if !rest.is_empty() {
        writeln!(to)?;
    }
    for (key, value) in rest {
        writeln!(to, "- {}: {}", words(key), show(value, None))?;
    }
    Ok(())
}

fn sides(evidence: &Value) -> Option<ByVersion<&Map<String, Value>>> {
    Some(ByVersion { blue: evidence.get("blue")?.as_object()?, green: evidence.get("green")?.as_object()? })
}

fn show(value: &Value, unit: Option<Unit>) -> String {
    match (unit, value) {
        (_, Value::Null) => "–".to_owned(),
        (Some(Unit::Count), value) if value.is_u64() => count(value.as_u64().unwrap_or_default()),
        (Some(Unit::Fraction), Value::Number(fraction)) => {
            fraction.as_f64().map_or_else(|| fraction.to_string(), percent)
        }
        (Some(Unit::Millis), Value::Number(millis)) => {
            let latency = millis.as_f64().and_then(|millis| Duration::try_from_secs_f64(millis / 1e3).ok());
            latency.map_or_else(|| millis.to_string(), duration)
        }
        (_, Value::String(text)) => escape(text),
        (_, Value::Object(members)) => {
            let member = |(key, value): (&String, &Value)| match value {
                Value::Object(_) => format!("{} ({})", words(key), show(value, None)),
                _ => format!("{} {}", words(key), show(value, None)),
            };
            members.iter().map(member).collect::<Vec<_>>().join(", ")
        }
        (None, Value::Number(number)) if number.is_f64() => {
            // The journal has every digit; a reader wants three.
            format!("{:.2e}", number.as_f64().unwrap_or_default())
                .parse::<f64>()
                .map_or_else(|_| number.to_string(), |rounded| rounded.to_string())
        }
        (_, value) => escape(&value.to_string()),
    }
}
