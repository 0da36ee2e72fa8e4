//! What a release was, told for the one who writes the incident down, and those who read it: as Markdown, as one HTML file,
//! or as JSON with the numbers.
//!
//! In reading order: [`trace`] sums up the evidence around the decision that the release is remembered for, [`impact`] says
//! what the release cost, [`charts`] what is drawn; a [`Report`] is these and the release. The sections make a [`block::Page`]
//! of it, which [`markdown`] and [`html`] write.
//!
//! Absent: anything that is not in the journal. What people wrote (reasons, actors, names) is text and never becomes markup.

mod actions;
mod block;
pub mod charts;
mod comparison;
mod evidence;
mod happened;
mod html;
pub mod impact;
mod left;
mod markdown;
mod plan;
mod svg;
mod text;
mod timeline;
pub mod trace;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use self::block::{Align, Block, Page, row};
use self::charts::Charts;
use self::evidence::{Decided, rollback};
pub use self::html::POLICY;
use self::impact::Impact;
use self::left::taken_back;
use self::text::{elapsed, instant, weight};
use self::trace::{Trace, Window};
use crate::config;
use crate::control::ramping::RAMP;
use crate::gate::verdict::count;
use crate::journal::{DecisionRecord, Outcome, ReleaseDocument};

/// The report of one release; serialized it is the JSON form, which holds the release as the journal has it and beside that
/// what the other forms say of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Rises when a member goes or means something else.
    pub report_version: u32,
    /// As the recorded configuration calls it; null where that is not usable any more.
    pub service: Option<String>,
    pub happened: [String; 3],
    pub impact: Impact,
    /// Of the decision that the release is remembered for, its number; null where there is none.
    pub decided_by: Option<u32>,
    /// Null where the evidence of the time is not kept.
    pub charts: Option<Charts>,
    #[serde(flatten)]
    pub release: ReleaseDocument,
}

const REPORT_VERSION: u32 = 1;

/// The evidence that [`Report::new`] takes of a release.
pub fn window(release: &ReleaseDocument, now: Timestamp) -> Window {
    Window::around(release, lasted(release, now))
}

impl Report {
    /// `trace` is none where the evidence cannot be read.
    pub fn new(release: ReleaseDocument, trace: Option<&Trace>, now: Timestamp) -> Report {
        let service = config::service_in(&release.record.policy);
        let impact = Impact::new(&release, lasted(&release, now), trace);
        Report {
            report_version: REPORT_VERSION,
            happened: happened::sentences(&release, service.as_deref(), &impact),
            service,
            impact,
            decided_by: Decided::of(&release).map(|decided| decided.decision.seq),
            charts: trace.and_then(|trace| Charts::new(&release, trace)),
            release,
        }
    }

    pub fn markdown(&self) -> String {
        markdown::write(&self.page())
    }

    /// One file that needs no other, and no script.
    pub fn html(&self) -> String {
        html::write(&self.page())
    }

    fn page(&self) -> Page {
        let release = &self.release;
        let header = &release.record.header;
        let mut page =
            Page { title: format!("Release {}: {}", header.id, outcome(header.outcome)), blocks: Vec::new() };
        page.text(self.happened.join(" "));
        impact::section(&self.impact, Decided::of(release), self.charts.as_ref().map(Charts::slice), &mut page);
        self.facts(&mut page);
        if let Some(Decided { decision }) = Decided::of(release) {
            page.heading("What decided it");
            page.quote(&decision.sentence);
            evidence::section(header, &decision.evidence, &mut page);
        }
        page.heading("Error rate and latency");
        match &self.charts {
            Some(charts) => page.blocks.push(Block::Charts(Box::new(charts.clone()))),
            None => page.text("The journal has no evidence of that time, so there is nothing to draw."),
        }
        timeline::section(release, &mut page);
        timeline::after_the_rollback(release, &mut page);
        actions::section(release, &mut page);
        left::to_do(release, &mut page);
        left::post_mortem(self, &mut page);
        page
    }

    fn facts(&self, to: &mut Page) {
        let release = &self.release;
        let header = &release.record.header;
        let mut rows = Vec::new();
        let mut told = |name: &str, value: &str| rows.push(row([name, value]));
        if let Some(service) = &self.service {
            told("Service", service);
        }
        told("Green (candidate)", &header.green);
        told("Blue (stable)", &header.blue);
        told("Epoch", &header.epoch.to_string());
        told("Started", &instant(header.started));
        if let Some(ended) = header.ended {
            told("Ended", &instant(ended));
            told("Lasted", &elapsed(lasted(release, ended)));
        }
        if let Some(steps) = plan::steps(&release.record.plan) {
            told("Plan", &steps);
        }
        if let Some(harmed) = release.decisions.iter().rev().find_map(|decision| plan::harmed(&decision.evidence)) {
            told("Harmed requests", &harmed);
        }
        if let Some(reason) = plan::irreversible(&release.record.plan) {
            told("Irreversible", &reason);
        }
        if let Some(routes) = taken_back(release) {
            told("Taken back alone", &routes);
        }
        if let Some(highest) = release.decisions.iter().map(|decision| decision.weight).max() {
            told("Highest weight", &weight(highest));
        }
        if header.outcome == Outcome::RolledBack
            && let Some(decision) = rollback(release)
        {
            told("Trigger", Decided { decision }.trigger().unwrap_or("not recorded"));
            told("Rolled back by", &decision.actor);
            told("After", &elapsed(decision.after));
        }
        let refused = |decision: &DecisionRecord| decision.evidence[RAMP]["refused"].as_u64();
        if let Some(refused) = release.decisions.iter().rev().find_map(refused) {
            told("Refused in the ramp", &format!("{} requests that blue could not take at once", count(refused)));
        }
        to.heading("The release");
        to.facts(rows, Align::Start);
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Open => "still open",
        Outcome::Promoted => "promoted",
        Outcome::RolledBack => "rolled back",
    }
}

/// Until its end, or until `now`.
fn lasted(release: &ReleaseDocument, now: Timestamp) -> Duration {
    let header = &release.record.header;
    Duration::try_from(header.ended.unwrap_or(now).duration_since(header.started)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
