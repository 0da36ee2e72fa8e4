//! What a release was, told in Markdown: for the one who writes the incident down, and those who read it.
//!
//! Absent: anything that is not in the [`ReleaseDocument`]. What people wrote (reasons, actors, names) is text and never
//! becomes markup.

mod clients;
mod comparison;
mod evidence;
mod plan;
mod text;

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;

use self::text::{escape, words};
use crate::control::ramping::RAMP;
use crate::gate::verdict::count;
use crate::journal::{DecisionRecord, Outcome, ReleaseDocument};
use crate::release::Kind;

/// The report of one release.
pub fn markdown(release: &ReleaseDocument) -> String {
    let mut report = String::new();
    write_into(release, &mut report).expect("a string takes everything");
    report
}

fn write_into(release: &ReleaseDocument, to: &mut String) -> std::fmt::Result {
    summary(release, to)?;
    if let Some(decision) = decisive(release) {
        writeln!(to, "\n## What decided it\n\n> {}", escape(&decision.sentence))?;
        evidence::section(&release.record, &decision.evidence, to)?;
    }
    timeline(release, to)?;
    actors(release, to)?;
    checklist(release, to)
}

/// The decision that the release is remembered for: the one that rolled it back, or the last that had both versions to
/// compare.
fn decisive(release: &ReleaseDocument) -> Option<&DecisionRecord> {
    match release.record.header.outcome {
        Outcome::RolledBack => rollback(release),
        Outcome::Open | Outcome::Promoted => {
            release.decisions.iter().rfind(|decision| evidence::has_both(&decision.evidence))
        }
    }
}

fn rollback(release: &ReleaseDocument) -> Option<&DecisionRecord> {
    release.decisions.iter().find(|decision| decision.state == "rolledBack")
}

fn summary(release: &ReleaseDocument, to: &mut String) -> std::fmt::Result {
    let header = &release.record.header;
    let outcome = match header.outcome {
        Outcome::Open => "still open",
        Outcome::Promoted => "promoted",
        Outcome::RolledBack => "rolled back",
    };
    writeln!(to, "# Release {}: {outcome}\n", escape(&header.id))?;
    writeln!(to, "| | |\n|---|---|")?;
    let mut row = |name: &str, value: &str| writeln!(to, "| {name} | {value} |");
    row("Green (candidate)", &escape(&header.green))?;
    row("Blue (stable)", &escape(&header.blue))?;
    row("Epoch", &header.epoch.to_string())?;
    row("Started", &instant(header.started))?;
    if let Some(ended) = header.ended {
        row("Ended", &instant(ended))?;
        let lasted = Duration::try_from(ended.duration_since(header.started)).unwrap_or_default();
        row("Lasted", &elapsed(lasted))?;
    }
    if let Some(steps) = plan::steps(&release.record.plan) {
        row("Plan", &steps)?;
    }
    if let Some(harmed) = release.decisions.iter().rev().find_map(|decision| plan::harmed(&decision.evidence)) {
        row("Harmed requests", &harmed)?;
    }
    if let Some(reason) = plan::irreversible(&release.record.plan) {
        row("Irreversible", &reason)?;
    }
    if let Some(routes) = taken_back(release) {
        row("Taken back alone", &routes)?;
    }
    if let Some(highest) = release.decisions.iter().map(|decision| decision.weight).max() {
        row("Highest weight", &weight(highest))?;
    }
    if header.outcome == Outcome::RolledBack
        && let Some(decision) = rollback(release)
    {
        row("Trigger", &evidence::trigger(&decision.evidence).map_or_else(|| "not recorded".to_owned(), escape))?;
        row("Rolled back by", &escape(&decision.actor))?;
        row("After", &elapsed(decision.after))?;
    }
    let refused = |decision: &DecisionRecord| decision.evidence[RAMP]["refused"].as_u64();
    if let Some(refused) = release.decisions.iter().rev().find_map(refused) {
        row("Refused in the ramp", &format!("{} requests that blue could not take at once", count(refused)))?;
    }
    Ok(())
}

/// The routes that went to blue alone; none where there are none.
fn taken_back(release: &ReleaseDocument) -> Option<String> {
    let taken = release.decisions.iter().filter(|decision| decision.kind == Kind::RouteTakenBack.name());
    let routes: Vec<String> = taken.filter_map(|decision| evidence::route(&decision.evidence)).map(escape).collect();
    (!routes.is_empty()).then(|| routes.join(", "))
}

fn timeline(release: &ReleaseDocument, to: &mut String) -> std::fmt::Result {
    writeln!(to, "\n## Timeline\n")?;
    if release.decisions.is_empty() {
        return writeln!(to, "Nothing was decided.");
    }
    writeln!(to, "| time | after | event | by | state | weight | what |\n|---|---|---|---|---|---|---|")?;
    for decision in &release.decisions {
        let DecisionRecord { at, after, kind, actor, sentence, state, weight: share, .. } = decision;
        let cells =
            [instant(*at), elapsed(*after), words(kind), escape(actor), words(state), weight(*share), escape(sentence)];
        writeln!(to, "| {} |", cells.join(" | "))?;
    }
    Ok(())
}

fn actors(release: &ReleaseDocument, to: &mut String) -> std::fmt::Result {
    if release.decisions.is_empty() {
        return Ok(());
    }
    writeln!(to, "\n## Who did what\n")?;
    let mut actors: Vec<(&str, Vec<&str>)> = vec![];
    for decision in &release.decisions {
        match actors.iter_mut().find(|(actor, _)| *actor == decision.actor) {
            Some((_, kinds)) => kinds.push(&decision.kind),
            None => actors.push((&decision.actor, vec![&decision.kind])),
        }
    }
    for (actor, kinds) in actors {
        let mut counted: Vec<(&str, u64)> = vec![];
        for kind in kinds {
            match counted.iter_mut().find(|(counted, _)| *counted == kind) {
                Some((_, times)) => *times += 1,
                None => counted.push((kind, 1)),
            }
        }
        let told: Vec<String> = counted
            .into_iter()
            .map(|(kind, times)| if times == 1 { words(kind) } else { format!("{} ({}×)", words(kind), count(times)) })
            .collect();
        writeln!(to, "- {}: {}", escape(actor), told.join(", "))?;
    }
    Ok(())
}

fn checklist(release: &ReleaseDocument, to: &mut String) -> std::fmt::Result {
    let header = &release.record.header;
    let (blue, green) = (escape(&header.blue), escape(&header.green));
    writeln!(to, "\n## What is left to do\n")?;
    let mut left = |task: String| writeln!(to, "- [ ] {task}");
    if let Some(routes) = taken_back(release) {
        left(format!("Find out what {green} does wrong on {routes}"))?;
    }
    match header.outcome {
        Outcome::Open => {
            let share = release.decisions.last().map_or(0, |decision| decision.weight);
            left(format!("End the release: green has {}; promote it, or roll it back", weight(share)))
        }
        Outcome::Promoted => {
            left(format!("Take {blue} out of service when nobody wants to go back to it"))?;
            left(format!("Name {green} as blue in the configuration"))?;
            // An approval is part of the plan.
            let stops = |decision: &DecisionRecord| {
                decision.state == "paused" && decision.kind != Kind::AwaitingApproval.name()
            };
            if release.decisions.iter().any(stops) {
                left("Look into what paused the release on its way".to_owned())?;
            }
            Ok(())
        }
        Outcome::RolledBack => {
            left(format!("See that {blue} serves everything as it should"))?;
            left("Tell those who wait for the release that it was rolled back".to_owned())?;
            left(format!("Keep what explains the failure of {green}: its logs, traces and dumps"))?;
            left(format!("Find the cause in {green}, and fix it"))?;
            left("Start a new release with what is fixed; this one stays rolled back".to_owned())
        }
    }
}

fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Hours, minutes and seconds.
fn elapsed(after: Duration) -> String {
    let seconds = after.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn weight(basis_points: u16) -> String {
    format!("{} %", f64::from(basis_points) / 100.0)
}

#[cfg(test)]
mod tests;
