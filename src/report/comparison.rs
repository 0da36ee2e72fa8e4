//! The comparison of green with blue, in words: what was counted, and how rare it would be by chance.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use super::text::escape;
use crate::gate::verdict::{count, duration, once_in, percent};

/// The tests of the comparison as they are recorded, and what they count.
const TESTS: [(&str, &str); 3] = [("errors", "Failures"), ("p99", "Slowest 1 %"), ("p50", "Slower half")];

pub(super) fn section(comparison: &Value, to: &mut String) -> std::fmt::Result {
    if TESTS.iter().all(|(key, _)| tally(&comparison[*key]["green"]).is_none()) {
        return writeln!(
            to,
            "\nWhat green was compared by is not in the journal: an older version recorded the release."
        );
    }
    let seen = TESTS.iter().any(|(key, _)| tally(&comparison[*key]["green"]).is_some_and(|(_, units)| units > 0));
    if !seen {
        return writeln!(to, "\nThe comparison of green with blue had nothing to compare.");
    }
    writeln!(to, "\nGreen compared with blue in the same moments of this release:\n")?;
    writeln!(to, "| test | bad is | blue | green | by chance |\n|---|---|---:|---:|---|")?;
    for (key, name) in TESTS {
        let test = &comparison[key];
        let bad = match (micros(&test["slowAbove"]["green"]), micros(&test["slowAbove"]["blue"])) {
            (Some(green), Some(blue)) => format!("slower than {} (blue: {})", duration(green), duration(blue)),
            _ if key == "errors" => "a failure".to_owned(),
            _ => "not known yet".to_owned(),
        };
        let chance = test["lnEvidence"].as_f64().map_or_else(|| "–".to_owned(), |ln| by_chance(libm::exp(ln)));
        writeln!(to, "| {name} | {bad} | {} | {} | {chance} |", share(&test["blue"]), share(&test["green"]))?;
    }
    Ok(())
}

/// The routes on which green stands worst, where routes are told apart.
pub(super) fn routes(routes: &[Value], to: &mut String) -> std::fmt::Result {
    if routes.is_empty() {
        return Ok(());
    }
    writeln!(to, "\nThe routes that speak most against green, each by itself:\n")?;
    writeln!(to, "| route | blue failed | green failed | by chance |\n|---|---:|---:|---|")?;
    for route in routes {
        let errors = &route["errors"];
        let chance = route["lnEvidence"].as_f64().map_or_else(|| "–".to_owned(), |ln| by_chance(libm::exp(ln)));
        let name = route["route"].as_str().map(escape).unwrap_or_default();
        writeln!(to, "| {name} | {} | {} | {chance} |", share(&errors["blue"]), share(&errors["green"]))?;
    }
    Ok(())
}

/// What one decision was made on.
pub(super) fn grounds(grounds: &Value, (blue, green): (&str, &str), to: &mut String) -> std::fmt::Result {
    let text = |key: &str| grounds[key].as_str().map(escape);
    let Some(bad) = text("bad") else { return Ok(()) };
    writeln!(to, "\n## What it was decided on\n")?;
    if let Some(route) = text("route") {
        writeln!(to, "On the route {route}:\n")?;
    }
    writeln!(
        to,
        "| {} | blue ({}) | green ({}) |\n|---|---:|---:|",
        text("over").unwrap_or_default(),
        escape(blue),
        escape(green)
    )?;
    let of_blue = text("badOfBlue").filter(|of_blue| *of_blue != bad);
    let bad = of_blue.map_or_else(|| bad.clone(), |of_blue| format!("{bad} (blue: {of_blue})"));
    writeln!(to, "| {bad} | {} | {} |", share(&grounds["blue"]), share(&grounds["green"]))?;
    if let Some(releases) = grounds["onceIn"].as_f64() {
        writeln!(
            to,
            "\nIf green were no worse than blue allows, chance alone would show this {}.",
            by_chance(releases)
        )?;
    }
    Ok(())
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
