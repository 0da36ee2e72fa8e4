//! The numbers of a comparison, for status, journal and replay.

use std::time::Duration;

use serde::Serialize;

use super::relative::Relative;
use crate::gate::ByVersion;

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
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

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// ln M of this metric.
    pub ln_evidence: f64,
    pub blocks: u64,
    /// The share of bad units that is expected of blue.
    pub expected: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_above: Option<SlowAbove>,
}

/// The bounds of a tail, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SlowAbove {
    pub blue: u64,
    pub green: u64,
}

impl Measured {
    pub(super) fn of(relative: &Relative, bounds: Option<ByVersion<Duration>>) -> Measured {
        let micros = |bound: Duration| bound.as_micros() as u64;
        Measured {
            ln_evidence: relative.ln(),
            blocks: relative.blocks(),
            expected: relative.expected(),
            slow_above: bounds.map(|bounds| SlowAbove { blue: micros(bounds.blue), green: micros(bounds.green) }),
        }
    }
}
