//! What a decision was made on, as it is recorded: exact, so that a replay can be compared with it bit for bit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Course;
use super::grounds::Grounds;
use crate::gate::compare::{Comparison, RouteSummary, Summary};
use crate::gate::exposure::Harm;
use crate::gate::trigger::{Quantile, Span};
use crate::gate::verdict::duration;
use crate::gate::{ByVersion, Evidence};
use crate::measure::window::STATUS_WINDOW;
use crate::release::State;

#[derive(Clone, Debug, Serialize)]
pub struct Basis {
    /// What rolled the release back: a trigger of the policy, or one of [`crate::release::input::RESERVED`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// What it was made on; none where a person or the plan decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grounds: Option<Grounds>,
    /// The window that the counts beside it are of.
    pub window: String,
    #[serde(flatten)]
    pub counts: Counts,
    pub comparison: Option<Summary>,
    /// Of a release that has an exposure budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Harm>,
    /// The routes that speak most against green.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteSummary>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Counts {
    pub blue: Counted,
    pub green: Counted,
}

/// One version in one window. Latencies are in milliseconds, null without requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    pub requests: u64,
    pub failures: u64,
    pub error_rate: f64,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

impl Course {
    /// What both versions did in the window that status shows, and what the comparison makes of the whole release.
    pub fn basis(&self) -> Basis {
        let ByVersion { blue, green } = self.windows.evidence(STATUS_WINDOW, Span::Head);
        let (trigger, blue, green) = match &self.state {
            State::RolledBack { cause, .. } => (Some(cause.trigger.clone()), blue, green),
            // The release is told as it was run, with the blue that it had.
            State::Completed { .. } => (None, green, blue),
            State::Idle { .. } | State::Open(_) => (None, blue, green),
        };
        Basis {
            trigger,
            grounds: self.grounds.clone(),
            window: duration(STATUS_WINDOW),
            counts: Counts { blue: Counted::new(blue), green: Counted::new(green) },
            comparison: self.compared(),
            exposure: self.harm(),
            routes: self.told_routes(),
        }
    }

    /// What the comparison makes of the release so far.
    pub fn compared(&self) -> Option<Summary> {
        self.comparison.as_ref().map(Comparison::evidence)
    }
}

impl Counted {
    pub fn new(evidence: &Evidence) -> Counted {
        let quantile =
            |quantile: Quantile| evidence.latency.quantile(quantile).map(|latency| latency.as_secs_f64() * 1e3);
        Counted {
            requests: evidence.requests,
            failures: evidence.failures,
            error_rate: evidence.error_rate(),
            p50: quantile(Quantile::P50),
            p95: quantile(Quantile::P95),
            p99: quantile(Quantile::P99),
        }
    }
}
