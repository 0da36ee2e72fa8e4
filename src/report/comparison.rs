//! The comparison of green with blue, in words: what was counted, and how rare it would be by chance.

use std::time::Duration;

use serde_json::Value;

use super::block::{Page, end, row, start};
use super::evidence::versions;
use crate::gate::verdict::{count, duration, once_in, percent};
use crate::journal::ReleaseHeader;
use crate::release::input::COMPARISON;

/// The tests of the comparison as they are recorded, and what they count.
const TESTS: [(&str, &str); 3] = [("errors", "Failures"), ("p99", "Slowest 1 %"), ("p50", "Slower half")];

pub(super) fn section(comparison: &Value, to: &mut Page) {
    if TESTS.iter().all(|(key, _)| tally(&comparison[*key]["green"]).is_none()) {
        to.text("What green was compared by is not in the journal: an older version recorded the release.");
        return;
    }
    let seen = TESTS.iter().any(|(key, _)| tally(&comparison[*key]["green"]).is_some_and(|(_, units)| units > 0));
    if !seen {
        to.text("The comparison of green with blue had nothing to compare.");
        return;
    }
    to.text("Green compared with blue in the same moments of this release:");
    let rows = TESTS.map(|(key, name)| {
        let test = &comparison[key];
        let bad = match (micros(&test["slowAbove"]["green"]), micros(&test["slowAbove"]["blue"])) {
            (Some(green), Some(blue)) => format!("slower than {} (blue: {})", duration(green), duration(blue)),
            _ if key == "errors" => "a failure".to_owned(),
            _ => "not known yet".to_owned(),
        };
        row([name, &bad, &share(&test["blue"]), &share(&test["green"]), &chance(test)])
    });
    let columns = vec![start("test"), start("bad is"), end("blue"), end("green"), start("by chance")];
    to.table(columns, rows.to_vec());
}

/// The routes on which green stands worst, where routes are told apart.
pub(super) fn routes(routes: &[Value], to: &mut Page) {
    if routes.is_empty() {
        return;
    }
    to.text("The routes that speak most against green, each by itself:");
    let line = |route: &Value| {
        let (errors, name) = (&route["errors"], route["route"].as_str().unwrap_or_default());
        row([name, &share(&errors["blue"]), &share(&errors["green"]), &chance(route)])
    };
    let columns = vec![start("route"), end("blue failed"), end("green failed"), start("by chance")];
    to.table(columns, routes.iter().map(line).collect());
}

/// What one decision was made on.
pub(super) fn grounds(evidence: &Value, header: &ReleaseHeader, to: &mut Page) {
    let grounds = &evidence["grounds"];
    let text = |key: &str| grounds[key].as_str();
    let Some(bad) = text("bad") else { return };
    to.heading("What it was decided on");
    if let Some(route) = text("route") {
        to.text(format!("On the route {route}:"));
    }
    let of_blue = text("badOfBlue").filter(|of_blue| *of_blue != bad);
    let bad = of_blue.map_or_else(|| bad.to_owned(), |of_blue| format!("{bad} (blue: {of_blue})"));
    to.table(
        versions(start(text("over").unwrap_or_default()), header),
        vec![row([&bad, &share(&grounds["blue"]), &share(&grounds["green"])])],
    );
    if let Some(times) = grounds["onceIn"].as_f64() {
        to.text(match evidence["trigger"].as_str() {
            Some(COMPARISON) => {
                format!("If green were no worse than blue allows, chance alone would show this {}.", by_chance(times))
            }
            _ => format!(
                "If both versions failed alike, chance alone would bring such a row at most once in {} times.",
                once_in(times)
            ),
        });
    }
}

fn chance(test: &Value) -> String {
    test["lnEvidence"].as_f64().map_or_else(|| "–".to_owned(), |ln| by_chance(libm::exp(ln)))
}

fn tally(value: &Value) -> Option<(u64, u64)> {
    Some((value["bad"].as_u64()?, value["units"].as_u64()?))
}

fn share(value: &Value) -> String {
    match tally(value) {
        None => "–".to_owned(),
        Some((_, 0)) => "none".to_owned(),
        Some((bad, units)) => {
            format!("{} of {} ({})", count(bad), count(units), percent(bad as f64 / units as f64))
        }
    }
}

fn micros(value: &Value) -> Option<Duration> {
    value.as_u64().map(Duration::from_micros)
}

fn by_chance(times: f64) -> String {
    if times < 2.0 { "as often as not".to_owned() } else { format!("in at most 1 of {} releases", once_in(times)) }
}
