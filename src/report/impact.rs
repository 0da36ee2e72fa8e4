//! What a release cost. What was counted is told apart from what is estimated.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::block::{Align, Page, row};
use super::evidence::Decided;
use super::text::{clock, elapsed, since};
use super::trace::{Slice, Trace};
use crate::control::felt::CLIENTS;
use crate::course::grounds::Bound;
use crate::gate::ByVersion;
use crate::gate::crossing::Tally;
use crate::gate::trigger::Quantile;
use crate::gate::verdict::{count, duration, percent};
use crate::journal::{DecisionRecord, ReleaseDocument};

/// Counted, but for `estimated`. Null is what is not known.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    /// Green's, in the whole release; null where an older program recorded it.
    pub requests: Option<Requests>,
    /// Seconds from green's first share of the traffic to its last.
    pub green_seconds: f64,
    pub estimated: Estimated,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    pub total: u64,
    /// Held against green.
    pub failed: u64,
    /// Of the failed: sent to blue instead.
    pub to_blue: u64,
    /// Of those: not answered yet, and failed by blue as well.
    pub under_way: u64,
    pub failed_by_blue: u64,
    /// Failures that clients saw.
    pub seen_by_clients: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimated {
    /// One for each failure that clients saw: fewer where a client saw several.
    pub clients_at_most: Option<u64>,
    /// To the slice: since when green was bad in the way that the decision is about. Null where it was about no counts of the
    /// whole of both versions, or where their evidence is not kept.
    pub trouble_began: Option<Timestamp>,
    /// From then to the decision.
    pub trouble_seconds: Option<f64>,
}

impl Impact {
    pub(super) fn new(release: &ReleaseDocument, lasted: Duration, trace: Option<&Trace>) -> Impact {
        let requests = Requests::of(release);
        let began = trace.zip(Decided::of(release)).and_then(|(trace, decided)| trouble_began(trace, decided));
        let decided = Decided::of(release).map(|decided| decided.decision.after);
        let estimated = Estimated {
            clients_at_most: requests.map(|requests| requests.seen_by_clients),
            trouble_began: began.map(|began| since(release.record.header.started, began)),
            trouble_seconds: began.zip(decided).map(|(began, decided)| decided.saturating_sub(began).as_secs_f64()),
        };
        Impact { requests, green_seconds: of_green(&release.decisions, lasted).as_secs_f64(), estimated }
    }
}

impl Requests {
    /// As it was settled when the release had ended, or as of the last decision that has it.
    fn of(release: &ReleaseDocument) -> Option<Requests> {
        let settled = Some(&release.record.clients).filter(|clients| clients.is_object());
        let of_decision = |decision: &'_ DecisionRecord| decision.evidence.get(CLIENTS).cloned();
        let clients: Value = settled.cloned().or_else(|| release.decisions.iter().rev().find_map(of_decision))?;
        let number = |key: &str| clients[key].as_u64();
        let (total, failed, to_blue) = (number("requests")?, number("failures")?, number("toBlue")?);
        let [under_way, failed_by_blue] = ["underWay", "failedByBlue"].map(|key| number(key).unwrap_or_default());
        let seen_by_clients = failed.saturating_sub(to_blue - failed_by_blue.min(to_blue));
        Some(Requests { total, failed, to_blue, under_way, failed_by_blue, seen_by_clients })
    }

    /// The share of the requests that did not fail in this way.
    pub(super) fn success(&self, failures: u64) -> Option<f64> {
        (self.total > 0).then(|| self.total.saturating_sub(failures) as f64 / self.total as f64)
    }
}

/// Between the decisions that gave green a share and those that took it.
fn of_green(decisions: &[DecisionRecord], lasted: Duration) -> Duration {
    let mut total = Duration::ZERO;
    let mut since = None;
    for decision in decisions {
        // What is blue once the release has completed was green until then.
        let has_a_share = decision.weight > 0;
        match (since, has_a_share) {
            (None, true) => since = Some(decision.after),
            (Some(began), false) => {
                total += decision.after.saturating_sub(began);
                since = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    total + since.map_or(Duration::ZERO, |began| lasted.saturating_sub(began))
}

/// When the first of the requests was sent that were bad in the way that the decision is about.
fn trouble_began(trace: &Trace, decided: Decided<'_>) -> Option<Duration> {
    if decided.route().is_some() {
        return None;
    }
    let ByVersion { blue, green } = decided.tallies()?;
    let bound = match decided.bound() {
        Some(Bound::Latency { above, measure, .. }) => Some((Duration::try_from_secs_f64(above / 1e3).ok()?, measure)),
        Some(Bound::ErrorRate { .. }) | None => None,
    };
    // A row of failures has no others in it.
    let is_row = green.bad == green.units;
    let before = trace.before(decided.decision.after);
    // What a worker has found is decided on before it is counted.
    let last = if is_row { (before + 1).min(trace.slices.len()) } else { before };
    let slices = trace.slices[..last].iter().enumerate().rev();
    let counted = slices.filter_map(|(index, both)| Some((index, &both.as_ref()?.green)));
    let tally = |slice: &Slice| match bound {
        Some((bound, measure)) => {
            let latency = slice.latency(measure);
            Tally { bad: latency.slower_than(bound), units: latency.len() }
        }
        None => Tally { bad: slice.failures, units: slice.requests },
    };
    let tallies = counted.map(|(index, slice)| (index, tally(slice)));
    let first = if is_row { beginning_of_row(tallies, green.bad) } else { change(tallies, blue, green) }?;
    let begins = trace.window.begin(first);
    let Some((_, measure)) = bound else { return Some(begins) };
    // What was answered late had been sent that much earlier.
    let latest = trace.slices[first].as_ref()?.green.latency(measure).quantile(Quantile::P99)?;
    Some(begins.saturating_sub(latest))
}

/// Backwards until so many failures have come together.
fn beginning_of_row(slices: impl Iterator<Item = (usize, Tally)>, failures: u64) -> Option<usize> {
    let mut together = 0;
    for (index, tally) in slices {
        together += tally.bad;
        if together >= failures {
            return Some(index);
        }
    }
    None
}

/// The slice from which on green's bad requests most exceed what lies half-way between both versions' shares of them, as they
/// were decided on: the last change that a cumulative sum finds (Page, "Continuous inspection schemes", Biometrika 41, 1954).
fn change(slices: impl Iterator<Item = (usize, Tally)>, blue: Tally, green: Tally) -> Option<usize> {
    let usual = f64::midpoint(blue.rate(), green.rate());
    let (mut excess, mut most) = (0.0, (0.0, None));
    for (index, Tally { bad, units }) in slices {
        excess += bad as f64 - usual * units as f64;
        if excess > most.0 {
            most = (excess, Some(index));
        }
    }
    most.1
}

pub(super) fn section(impact: &Impact, decided: Option<Decided<'_>>, slice: Option<Duration>, to: &mut Page) {
    to.heading("Impact");
    let mut rows = Vec::new();
    let mut told = |name: &str, value: String| rows.push(row([name, &value]));
    if let Some(requests) = &impact.requests {
        let rate = |failures: u64| requests.success(failures).map_or_else(|| "–".to_owned(), percent);
        told("green's requests in this release", count(requests.total));
        told("failed, which is held against green", count(requests.failed));
        told("sent to blue in its place", count(requests.to_blue));
        if requests.under_way > 0 {
            told("of them not answered yet", count(requests.under_way));
        }
        if requests.failed_by_blue > 0 {
            told("of them failed by blue too", count(requests.failed_by_blue));
        }
        told("failures that clients saw", count(requests.seen_by_clients));
        told("success rate", rate(requests.failed));
        told("success rate as clients saw it", rate(requests.seen_by_clients));
    }
    if let Some((decided, Bound::Latency { .. })) = decided.and_then(|decided| Some((decided, decided.bound()?)))
        && let (Some(slow), Some(tallies)) = (decided.slow(), decided.tallies())
    {
        told(&slow, format!("{} of {}", count(tallies.green.bad), count(tallies.green.units)));
    }
    told("green had a share of the traffic for", elapsed(Duration::from_secs_f64(impact.green_seconds)));
    let Estimated { clients_at_most, trouble_began, trouble_seconds } = impact.estimated;
    if let Some(clients) = clients_at_most {
        told(
            "clients affected (estimate)",
            if clients == 0 { "none".to_owned() } else { format!("at most {}", count(clients)) },
        );
    }
    if let (Some(began), Some(seconds)) = (trouble_began, trouble_seconds) {
        told("trouble began (estimate)", clock(began));
        told("trouble lasted (estimate)", duration(Duration::from_secs_f64(seconds)));
    }
    to.facts(rows, Align::End);
    if impact.requests.is_none() {
        to.text("What green's requests came to is not in the journal.");
    }
    if clients_at_most.is_some() {
        to.text("Clients are not told apart: the estimate takes each failure that a client saw for another client's.");
    }
    if let (Some(_), Some(slice)) = (trouble_began, slice) {
        to.text(format!(
            "When the trouble began is estimated from the evidence in slices of {}: when the requests were sent of the first \
             slice in which green was bad in the way that was decided on.",
            duration(slice)
        ));
    }
}
