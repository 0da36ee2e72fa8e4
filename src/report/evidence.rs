//! The evidence of a decision: both versions side by side, and what else was recorded with it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::block::{Align, Column, Page, end, row, start};
use super::comparison;
use super::text::words;
use crate::course::grounds::Bound;
use crate::gate::ByVersion;
use crate::gate::crossing::Tally;
use crate::gate::verdict::{count, duration, percent};
use crate::journal::{DecisionRecord, Outcome, ReleaseDocument, ReleaseHeader};
use crate::release::input::{COMPARISON, OPERATOR};

/// The decision that a release is remembered for.
#[derive(Clone, Copy)]
pub(super) struct Decided<'r> {
    pub decision: &'r DecisionRecord,
}

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

impl<'r> Decided<'r> {
    /// The one that rolled it back, or the last that had both versions to compare.
    pub(super) fn of(release: &'r ReleaseDocument) -> Option<Decided<'r>> {
        let found = match release.record.header.outcome {
            Outcome::RolledBack => rollback(release),
            Outcome::Open | Outcome::Promoted => {
                release.decisions.iter().rfind(|decision| sides(&decision.evidence).is_some())
            }
        };
        found.map(|decision| Decided { decision })
    }

    pub(super) fn trigger(self) -> Option<&'r str> {
        self.decision.evidence.get("trigger")?.as_str()
    }

    /// What found that green was bad, in a sentence; none where a person did.
    pub(super) fn found_by(self) -> Option<String> {
        match self.trigger()? {
            OPERATOR => None,
            COMPARISON => Some("the comparison".to_owned()),
            trigger => Some(format!("the trigger {trigger}")),
        }
    }

    /// What part of the requests it was decided on; none for the whole.
    pub(super) fn route(self) -> Option<&'r str> {
        route(&self.decision.evidence)
    }

    pub(super) fn bound(self) -> Option<Bound> {
        Bound::deserialize(&self.decision.evidence["grounds"]["bound"]).ok()
    }

    /// What was counted of both versions, and none where no count was decided on.
    pub(super) fn tallies(self) -> Option<ByVersion<Tally>> {
        let of = |version: &str| Tally::deserialize(&self.decision.evidence["grounds"][version]).ok();
        Some(ByVersion { blue: of("blue")?, green: of("green")? })
    }

    /// What was counted, in words.
    pub(super) fn slow(self) -> Option<String> {
        let grounds = &self.decision.evidence["grounds"];
        Some(format!("green's requests {}, {}", grounds["bad"].as_str()?, grounds["over"].as_str()?))
    }
}

pub(super) fn rollback(release: &ReleaseDocument) -> Option<&DecisionRecord> {
    release.decisions.iter().find(|decision| decision.state == "rolledBack")
}

pub(super) fn route(evidence: &Value) -> Option<&str> {
    evidence["grounds"]["route"].as_str()
}

/// Of a decision of the release with this header.
pub(super) fn section(header: &ReleaseHeader, evidence: &Value, to: &mut Page) {
    comparison::grounds(evidence, header, to);
    if let Some(ByVersion { blue, green }) = sides(evidence) {
        let window = evidence["window"].as_str().map(|window| format!(", the last {window}"));
        to.heading(format!("Both versions{}", window.unwrap_or_default()));
        let known = |key: &str| KNOWN.iter().any(|(known, _, _)| *known == key);
        let mut rows = Vec::new();
        let mut told = |key: &str, name: &str, unit: Option<Unit>| {
            let cell =
                |side: &Map<String, Value>| side.get(key).map_or_else(|| "–".to_owned(), |value| show(value, unit));
            rows.push(row([name, &cell(blue), &cell(green)]));
        };
        for (key, name, unit) in KNOWN {
            if blue.contains_key(key) || green.contains_key(key) {
                told(key, name, Some(unit));
            }
        }
        let greens = green.keys().filter(|key| !blue.contains_key(*key));
        for key in blue.keys().chain(greens).filter(|key| !known(key)) {
            told(key, &words(key), None);
        }
        to.table(versions(start(""), header), rows);
    }
    if let Some(compared) = evidence.get("comparison").filter(|compared| compared.is_object()) {
        comparison::section(compared, to);
    }
    if let Some(routes) = evidence["routes"].as_array() {
        comparison::routes(routes, to);
    }
}

/// A column for each version, behind `first`.
pub(super) fn versions(first: Column, header: &ReleaseHeader) -> Vec<Column> {
    let ReleaseHeader { blue, green, .. } = header;
    vec![first, end(format!("blue ({blue})")), Column { name: format!("green ({green})"), align: Align::End }]
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
        (_, Value::String(text)) => text.clone(),
        (_, value) => value.to_string(),
    }
}
