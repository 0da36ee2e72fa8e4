//! What one decision of the gate was made on: what was counted of both versions at that moment, and how surely it is no
//! chance. Exact, so that a replay can be compared with it bit for bit.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Course;
use crate::gate::compare::Difference;
use crate::gate::crossing::{Bad, Tally, bad_units, times_blue};
use crate::gate::streak::Row;
use crate::gate::trigger::{Condition, Quantile, Span};
use crate::gate::verdict::duration;
use crate::gate::{ByVersion, Evidence, Trigger};

/// Bad requests of both versions, and what makes them bad.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Grounds {
    /// Where; none for the whole of both versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// `failed`, or `slower than 9.3 ms`.
    pub bad: String,
    /// Blue's own bound of slowness, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_of_blue: Option<String>,
    /// What green was not to exceed; none where no number was the bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
    /// The time that is counted.
    pub over: String,
    pub blue: Tally,
    pub green: Tally,
    /// In how many releases, or rows of failures, chance alone would bring this once, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub once_in: Option<f64>,
}

/// A number that can be drawn beside what was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "metric")]
pub enum Bound {
    /// A share of 1.
    ErrorRate { above: f64 },
    /// In milliseconds. Without a quantile it is what parts the slow requests from the others.
    Latency {
        above: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quantile: Option<f64>,
        measure: Measure,
    },
}

/// Which span of a request is its latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Measure {
    Head,
    Whole,
}

impl Grounds {
    pub(super) fn of_row(row: &Row) -> Grounds {
        let Row { failures, blue, ln_evidence, .. } = *row;
        Grounds {
            route: None,
            bad: "failed".to_owned(),
            bad_of_blue: None,
            bound: None,
            over: "since the first failure of green's row".to_owned(),
            blue,
            green: Tally { bad: failures, units: failures },
            once_in: once_in(ln_evidence),
        }
    }

    pub(super) fn of_difference(difference: &Difference) -> Grounds {
        let Difference { route, slower_than, counted, ln_evidence } = difference;
        let slower = |bound| format!("slower than {}", duration(bound));
        Grounds {
            route: route.clone(),
            bad: slower_than.map_or_else(|| "failed".to_owned(), |bounds| slower(bounds.green)),
            bad_of_blue: slower_than.map(|bounds| slower(bounds.blue)),
            bound: slower_than.map(|bounds| Bound::slower_than(bounds.green)),
            over: "in the same moments, since the evidence began".to_owned(),
            blue: counted.blue,
            green: counted.green,
            once_in: once_in(*ln_evidence),
        }
    }

    fn of_trigger(trigger: &Trigger, evidence: ByVersion<&Evidence>) -> Grounds {
        let ByVersion { blue, green } = bad_units(trigger, evidence);
        let bad = match Bad::of(trigger, evidence) {
            Bad::Failed => "failed".to_owned(),
            Bad::SlowerThan(bound) => format!("slower than {}", duration(bound)),
        };
        let over = format!("in the last {}", duration(trigger.window));
        let route = trigger.route.as_ref().map(|route| route.name.clone());
        let bound = Some(Bound::of(trigger, evidence));
        Grounds { route, bad, bad_of_blue: None, bound, over, blue, green, once_in: None }
    }
}

impl Bound {
    /// Where it is relative to blue, by what blue had in this window.
    fn of(trigger: &Trigger, evidence: ByVersion<&Evidence>) -> Bound {
        let measure = match trigger.condition.span() {
            Span::Head => Measure::Head,
            Span::Whole => Measure::Whole,
        };
        let latency = |quantile: Quantile, bound: Duration| Bound::Latency {
            above: millis(bound),
            quantile: Some(quantile.fraction()),
            measure,
        };
        match trigger.condition {
            Condition::FailuresAbove { share, .. } => Bound::ErrorRate { above: share.fraction() },
            Condition::FailuresAboveBlue { times, floor } => {
                Bound::ErrorRate { above: (evidence.blue.error_rate() * times.factor()).max(floor.fraction()) }
            }
            Condition::LatencyAbove { quantile, bound, .. } => latency(quantile, bound),
            Condition::LatencyAboveBlue { quantile, times, floor, .. } => {
                let of_blue = evidence.blue.latency.quantile(quantile).unwrap_or_default();
                latency(quantile, times_blue(of_blue, times, floor))
            }
        }
    }

    fn slower_than(bound: Duration) -> Bound {
        Bound::Latency { above: millis(bound), quantile: None, measure: Measure::Head }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl Course {
    /// What the trigger of this name has seen; none where it judges no window.
    pub(super) fn grounds_of(&self, trigger: &str) -> Option<Grounds> {
        let named = |known: &&Trigger| known.name == trigger;
        if let Some(trigger) = self.policy.mirror.iter().find(named) {
            let windows = self.mirroring.windows();
            return Some(Grounds::of_trigger(trigger, windows.evidence(trigger.window, trigger.condition.span())));
        }
        let trigger = self.policy.triggers.iter().find(named)?;
        let with_testers = self.with_testers(trigger);
        let evidence = match &with_testers {
            Some(seen) => seen.as_ref(),
            None => self.windows.of(trigger).total,
        };
        Some(Grounds::of_trigger(trigger, evidence))
    }
}

/// None where chance is as good an explanation as any.
fn once_in(ln_evidence: f64) -> Option<f64> {
    (ln_evidence > 0.0).then(|| libm::exp(ln_evidence))
}
