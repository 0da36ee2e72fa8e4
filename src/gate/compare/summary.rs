//! The numbers of a comparison, for status, journal and replay.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::relative::Relative;
use crate::gate::ByVersion;
use crate::gate::crossing::Tally;

#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// ln M of all metrics together: the evidence that green is worse than acceptable.
    pub ln_evidence: f64,
    pub errors: Measured,
    pub p99: Measured,
    pub p50: Measured,
    /// ln M of blue against itself.
    pub ln_arm: f64,
    /// The evidence that green fails less than is unacceptable.
    pub ln_pass: f64,
    /// The error rate from which on a version is suspected, and the evidence that each is above it.
    pub suspicious: f64,
    pub ln_green: f64,
    pub ln_blue: f64,
    pub standing: &'static str,
}

/// The numbers of one route.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteSummary {
    pub route: String,
    /// ln M of the route by itself.
    pub ln_evidence: f64,
    pub errors: Measured,
    pub p99: Measured,
    pub p50: Measured,
}

/// How green differs from blue in one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where it is; none for the whole of both versions.
    pub route: Option<String>,
    /// The bounds between fast and slow; none where failures are counted.
    pub slower_than: Option<ByVersion<Duration>>,
    /// Bad units, in the same moments.
    pub counted: ByVersion<Tally>,
    /// ln M of all metrics, of the whole and of every route together.
    pub ln_evidence: f64,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// ln M of this metric.
    pub ln_evidence: f64,
    pub blocks: u64,
    /// The share of bad units that is expected of blue.
    pub expected: f64,
    /// What the evidence rests on: bad units in the same moments.
    pub blue: Tally,
    pub green: Tally,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_above: Option<SlowAbove>,
}

/// The bounds of a tail, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct SlowAbove {
    pub blue: u64,
    pub green: u64,
}

impl Measured {
    pub(super) fn of(relative: &Relative, bounds: Option<ByVersion<Duration>>) -> Measured {
        let micros = |bound: Duration| bound.as_micros() as u64;
        let counted = relative.since().counted;
        Measured {
            ln_evidence: relative.ln(),
            blocks: relative.blocks(),
            expected: relative.expected(),
            blue: counted.blue,
            green: counted.green,
            slow_above: bounds.map(|bounds| SlowAbove { blue: micros(bounds.blue), green: micros(bounds.green) }),
        }
    }
}
