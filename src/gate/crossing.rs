//! Is one trigger crossed in this window, and is the difference between the versions enough for blame?
//!
//! Every condition is brought to the same form: of `units` requests so many were `bad`, and more than `allowed` is
//! too many. So the rule for blame is written once.

use std::time::Duration;

use super::evidence::Evidence;
use super::trigger::{Condition, Share, Trigger};
use super::version::{ByVersion, Version};

/// Bad units of one version in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub bad: u64,
    pub units: u64,
}

impl Tally {
    pub const fn add(&mut self, other: Tally) {
        self.bad += other.bad;
        self.units += other.units;
    }

    /// Bad units per unit, 0 without units.
    pub fn rate(self) -> f64 {
        if self.units == 0 { 0.0 } else { self.bad as f64 / self.units as f64 }
    }
}

/// What one look at the evidence says of one trigger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Crossing {
    /// Too few requests to say anything.
    TooFew { version: Version, seen: u64 },
    /// Green is within the bound.
    Within,
    /// Green crosses the bound. `measured` says how the two versions stand.
    Crossed { measured: ByVersion<Tally>, blue: BlueStands },
}

/// How blue stands at the bound that green crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlueStands {
    /// Clearly better: green is to blame.
    Clear,
    /// Within the bound, but over half of it, and the difference could be chance.
    Near,
    /// Over the bound with too few requests to rely on.
    Doubtful,
    /// Over the bound as well: the cause is common.
    Over,
}

/// A difference of this many standard errors between the versions is not chance.
const CLEAR_STANDARD_ERRORS: f64 = 3.0;

/// Judges `trigger` on one window of both versions.
pub fn cross(trigger: &Trigger, evidence: ByVersion<&Evidence>) -> Crossing {
    let minimum = trigger.minimum_requests.max(1);
    let seen = ByVersion::build(|version| units(trigger, evidence.of(version)));
    if seen.green < minimum {
        return Crossing::TooFew { version: Version::Green, seen: seen.green };
    }
    match trigger.condition {
        Condition::FailuresAbove { share, .. } => absolute(trigger, failures(evidence), share),
        Condition::LatencyAbove { quantile, bound, .. } => absolute(trigger, slower(evidence, bound), quantile.tail()),
        Condition::FailuresAboveBlue { .. } | Condition::LatencyAboveBlue { .. } if seen.blue < minimum => {
            Crossing::TooFew { version: Version::Blue, seen: seen.blue }
        }
        Condition::FailuresAboveBlue { times, floor } => {
            let allowed = (evidence.blue.error_rate() * times.factor()).max(floor.fraction()).min(1.0);
            let allowed = Share::try_from(allowed).expect("a rate lies between 0 and 1");
            relative(failures(evidence), allowed)
        }
        Condition::LatencyAboveBlue { quantile, times, floor, .. } => {
            let of_blue =
                evidence.blue.latency.quantile(quantile).expect("blue has the minimum, which is at least one");
            let bound = of_blue.mul_f64(times.factor().min(1e6)).max(floor);
            relative(slower(evidence, bound), quantile.tail())
        }
    }
}

/// Whether blue is over an error bound, with enough requests to be sure, and fails at least as much as green.
/// Promise 5: traffic is never flipped to a blue that is known to be worse. Slowness does not count here: a slow blue
/// is better than a green that fails.
pub fn blue_is_worse(trigger: &Trigger, evidence: ByVersion<&Evidence>) -> bool {
    let Condition::FailuresAbove { share, .. } = trigger.condition else { return false };
    let ByVersion { blue, green } = evidence;
    blue.requests >= trigger.minimum_requests
        && share.exceeded_by(blue.failures, blue.requests)
        && blue.error_rate() >= green.error_rate()
}

/// Whether the two tallies differ by more than chance, by the normal approximation for two proportions.
pub fn differ_clearly(measured: ByVersion<Tally>) -> bool {
    let ByVersion { blue, green } = measured;
    if blue.units == 0 || green.units == 0 {
        return false;
    }
    let (blue_units, green_units) = (blue.units as f64, green.units as f64);
    let pooled = (blue.bad + green.bad) as f64 / (blue_units + green_units);
    let variance = pooled * (1.0 - pooled) * (1.0 / blue_units + 1.0 / green_units);
    let difference = green.bad as f64 / green_units - blue.bad as f64 / blue_units;
    difference > CLEAR_STANDARD_ERRORS * variance.sqrt()
}

/// Requests that the condition can be judged by. One that was refused a connection has no latency; one that the client
/// gave up on has, though it is no unit of a rate.
fn units(trigger: &Trigger, evidence: &Evidence) -> u64 {
    match trigger.condition {
        Condition::FailuresAbove { .. } | Condition::FailuresAboveBlue { .. } => evidence.requests,
        Condition::LatencyAbove { .. } | Condition::LatencyAboveBlue { .. } => evidence.latency.len(),
    }
}

fn absolute(trigger: &Trigger, measured: ByVersion<Tally>, allowed: Share) -> Crossing {
    let ByVersion { blue, green } = measured;
    if !allowed.exceeded_by(green.bad, green.units) {
        return Crossing::Within;
    }
    let blue = if allowed.exceeded_by(blue.bad, blue.units) {
        if blue.units < trigger.minimum_requests { BlueStands::Doubtful } else { BlueStands::Over }
    } else if allowed.exceeded_by(2 * blue.bad, blue.units) && !differ_clearly(measured) {
        BlueStands::Near
    } else {
        BlueStands::Clear
    };
    Crossing::Crossed { measured, blue }
}

/// A bound that is relative to blue is only ever crossed by a difference.
fn relative(measured: ByVersion<Tally>, allowed: Share) -> Crossing {
    if allowed.exceeded_by(measured.green.bad, measured.green.units) {
        Crossing::Crossed { measured, blue: BlueStands::Clear }
    } else {
        Crossing::Within
    }
}

fn failures(evidence: ByVersion<&Evidence>) -> ByVersion<Tally> {
    ByVersion::build(|version| {
        let of = evidence.of(version);
        Tally { bad: of.failures, units: of.requests }
    })
}

/// Requests slower than `bound`, of all that have a latency.
fn slower(evidence: ByVersion<&Evidence>, bound: Duration) -> ByVersion<Tally> {
    ByVersion::build(|version| {
        let latency = &evidence.of(version).latency;
        Tally { bad: latency.slower_than(bound), units: latency.len() }
    })
}

#[cfg(test)]
mod tests;
