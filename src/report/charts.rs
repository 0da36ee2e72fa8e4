//! What is drawn: error rate and latency of both versions around the decision that the release is remembered for.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::evidence::Decided;
use super::text::{clock, instant, since};
use super::trace::{Slice, Trace};
use crate::course::grounds::{Bound, Measure};
use crate::gate::trigger::Quantile;
use crate::gate::verdict::duration;
use crate::journal::{DecisionRecord, ReleaseDocument};

/// The numbers of the charts, which are the journal's evidence summed up.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Charts {
    /// How long a slice is.
    pub slice_seconds: f64,
    /// Which latencies: `head` to the response head, `whole` to the end of the answer.
    pub measure: Measure,
    /// The quantile that is drawn beside the median.
    pub quantile: f64,
    /// What green was not to exceed; null where no number was the bound, or where it was that of a route alone.
    pub bound: Option<Bound>,
    /// The decision that the charts are drawn around; null where there is none.
    pub moment: Option<Mark>,
    /// Where green's share changed, oldest first.
    pub weights: Vec<Mark>,
    pub slices: Vec<Point>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    pub at: Timestamp,
    pub kind: String,
    /// Green's share after it, in percent.
    pub weight: f64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// When the slice begins.
    pub at: Timestamp,
    /// Null where nothing was measured.
    pub blue: Option<Measured>,
    pub green: Option<Measured>,
}

/// One version in one slice. Null without requests; latencies in milliseconds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    pub requests: u64,
    pub failures: u64,
    pub error_rate: Option<f64>,
    pub p50: Option<f64>,
    /// At the charts' quantile.
    pub at_quantile: Option<f64>,
}

impl Charts {
    /// None where the evidence of the time has not been kept.
    pub(super) fn new(release: &ReleaseDocument, trace: &Trace) -> Option<Charts> {
        trace.slices.iter().flatten().next()?;
        let decided = Decided::of(release);
        let bound = decided.filter(|decided| decided.route().is_none()).and_then(Decided::bound);
        let (measure, quantile) = match bound {
            Some(Bound::Latency { measure, quantile, .. }) => (measure, quantile),
            Some(Bound::ErrorRate { .. }) | None => (Measure::Head, None),
        };
        let quantile = quantile.and_then(|quantile| Quantile::try_from(quantile).ok()).unwrap_or(Quantile::P99);
        let started = release.record.header.started;
        let at = |after: Duration| since(started, after);
        let of = |slice: &Slice| Measured::new(slice, measure, quantile);
        let slices = trace.slices.iter().enumerate().map(|(index, slice)| Point {
            at: at(trace.window.begin(index)),
            blue: slice.as_ref().map(|both| of(&both.blue)),
            green: slice.as_ref().map(|both| of(&both.green)),
        });
        let slices: Vec<Point> = slices.collect();
        let ends = trace.window.begin(slices.len());
        let drawn = |after: Duration| after >= trace.window.from && after <= ends;
        let mark = |decision: &DecisionRecord| Mark {
            at: at(decision.after),
            kind: decision.kind.clone(),
            weight: f64::from(decision.weight) / 100.0,
        };
        let mut weights: Vec<Mark> = Vec::new();
        let mut share = None;
        for decision in &release.decisions {
            if share.replace(decision.weight) != Some(decision.weight) && drawn(decision.after) {
                weights.push(mark(decision));
            }
        }
        let moment = decided.filter(|_| release.record.header.ended.is_some()).map(|decided| mark(decided.decision));
        let slice_seconds = trace.window.slice().as_secs_f64();
        Some(Charts { slice_seconds, measure, quantile: quantile.fraction(), bound, moment, weights, slices })
    }

    pub(super) fn slice(&self) -> Duration {
        Duration::from_secs_f64(self.slice_seconds)
    }

    /// The first and the last instant that is drawn.
    pub(super) fn ends(&self) -> (Timestamp, Timestamp) {
        let first = self.slices.first().map(|point| point.at).unwrap_or_default();
        let last = self.slices.last().map(|point| since(point.at, self.slice())).unwrap_or_default();
        (first, last)
    }

    /// What is said where nothing can be drawn.
    pub(super) fn instead(&self) -> String {
        let (first, last) = self.ends();
        format!(
            "The HTML form of this report draws both versions' error rate and latency from {} to {}, in slices of {}; its \
             JSON form has the numbers.",
            instant(first),
            clock(last),
            duration(self.slice())
        )
    }
}

impl Measured {
    fn new(slice: &Slice, measure: Measure, quantile: Quantile) -> Measured {
        let latency = slice.latency(measure);
        let millis = |quantile: Quantile| latency.quantile(quantile).map(|latency| latency.as_micros() as f64 / 1e3);
        Measured {
            requests: slice.requests,
            failures: slice.failures,
            error_rate: (slice.requests > 0).then(|| slice.failures as f64 / slice.requests as f64),
            p50: millis(Quantile::P50),
            at_quantile: millis(quantile),
        }
    }
}
