//! Is one trigger crossed in this window, and is the difference between the versions enough for blame?
//!
//! Every condition is brought to the same form: of `units` requests so many were `bad`, and more than `allowed` is
//! too many. So the rule for blame is written once.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::{Evidence, Window};
use super::trigger::{Condition, Share, Times, Trigger};
use super::version::{ByVersion, Version};

/// Bad units of one version in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Tally {
    pub bad: u64,
    pub units: u64,
}

impl Tally {
    pub const fn add(&mut self, other: Tally) {
        self.bad += other.bad;
        self.units += other.units;
    }

    const fn less(self, part: Tally) -> Tally {
        Tally { bad: self.bad - part.bad, units: self.units - part.units }
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
    /// Green crosses the bound. `measured` says how the two versions stand, with blue as it would have been at the times of
    /// green's requests where it stands worse then: `shifted`.
    Crossed { measured: ByVersion<Tally>, blue: BlueStands, shifted: bool },
}

/// How blue stands at the bound that green crosses, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlueStands {
    /// Clearly better: green is to blame.
    Clear,
    /// Within the bound, but over half of it or the bound is relative to it, and the difference could be chance.
    Near,
    /// Over the bound with too few requests to rely on.
    Doubtful,
    /// Over the bound as well: the cause is common.
    Over,
}

/// A difference of this many standard errors between the versions is not chance.
const CLEAR_STANDARD_ERRORS: f64 = 3.0;

/// What would come in one of so many windows if green were as blue is not chance.
const WINDOWS: f64 = 1e4;

/// Judges `trigger` on one window of both versions.
pub fn cross<'e>(trigger: &Trigger, window: impl Into<Window<'e>>) -> Crossing {
    let window = window.into();
    let evidence = window.total;
    let minimum = trigger.minimum_requests.max(1);
    let seen = ByVersion::build(|version| units(trigger, evidence.of(version)));
    if seen.green < minimum {
        return Crossing::TooFew { version: Version::Green, seen: seen.green };
    }
    match trigger.condition {
        Condition::FailuresAbove { share, .. } => absolute(trigger, measure(window, failures), share),
        Condition::LatencyAbove { quantile, bound, .. } => {
            absolute(trigger, measure(window, |evidence| slower(evidence, bound)), quantile.tail())
        }
        Condition::FailuresAboveBlue { .. } | Condition::LatencyAboveBlue { .. } if seen.blue < minimum => {
            Crossing::TooFew { version: Version::Blue, seen: seen.blue }
        }
        Condition::FailuresAboveBlue { times, floor } => {
            let measured = measure(window, failures);
            relative(measured, (measured.worse_blue() * times.factor()).max(floor.fraction()))
        }
        Condition::LatencyAboveBlue { quantile, times, floor, .. } => {
            let of_blue =
                evidence.blue.latency.quantile(quantile).expect("blue has the minimum, which is at least one");
            let bound = times_blue(of_blue, times, floor);
            let measured = measure(window, |evidence| slower(evidence, bound));
            relative(measured, quantile.tail().fraction().max(measured.shifted.rate()))
        }
    }
}

/// What makes a request bad for a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    Failed,
    SlowerThan(Duration),
}

impl Bad {
    /// Where the bound is relative to blue, by what blue took in this window.
    pub fn of(trigger: &Trigger, evidence: ByVersion<&Evidence>) -> Bad {
        match trigger.condition {
            Condition::FailuresAbove { .. } | Condition::FailuresAboveBlue { .. } => Bad::Failed,
            Condition::LatencyAbove { bound, .. } => Bad::SlowerThan(bound),
            Condition::LatencyAboveBlue { quantile, times, floor, .. } => {
                let of_blue = evidence.blue.latency.quantile(quantile).unwrap_or_default();
                Bad::SlowerThan(times_blue(of_blue, times, floor))
            }
        }
    }
}

/// The bad units of both versions in one window.
pub fn bad_units(trigger: &Trigger, evidence: ByVersion<&Evidence>) -> ByVersion<Tally> {
    let bad = Bad::of(trigger, evidence);
    ByVersion::build(|version| match bad {
        Bad::Failed => failures(evidence.of(version)),
        Bad::SlowerThan(bound) => slower(evidence.of(version), bound),
    })
}

/// What a latency that is relative to blue's may reach.
pub fn times_blue(of_blue: Duration, times: Times, floor: Duration) -> Duration {
    of_blue.mul_f64(times.factor().min(1e6)).max(floor)
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

fn absolute(trigger: &Trigger, measured: Measured, allowed: Share) -> Crossing {
    let Measured { own, shifted } = measured;
    if !allowed.exceeded_by(own.green.bad, own.green.units) {
        return Crossing::Within;
    }
    let stands = |blue: Tally| {
        if allowed.exceeded_by(blue.bad, blue.units) {
            if blue.units < trigger.minimum_requests { BlueStands::Doubtful } else { BlueStands::Over }
        } else if allowed.exceeded_by(2 * blue.bad, blue.units) && !differ_clearly(ByVersion { blue, ..own }) {
            BlueStands::Near
        } else {
            BlueStands::Clear
        }
    };
    let (as_it_was, at_greens_times) = (stands(own.blue), stands(shifted));
    if at_greens_times > as_it_was {
        let measured = ByVersion { blue: shifted, ..own };
        return Crossing::Crossed { measured, blue: at_greens_times, shifted: true };
    }
    Crossing::Crossed { measured: own, blue: as_it_was, shifted: false }
}

/// A bound that is relative to blue is only ever crossed by a difference, which a few requests of green's may make by chance.
fn relative(measured: Measured, allowed: f64) -> Crossing {
    let allowed = Share::try_from(allowed.min(1.0)).expect("a rate lies between 0 and 1");
    let Measured { own, shifted } = measured;
    if !allowed.exceeded_by(own.green.bad, own.green.units) {
        return Crossing::Within;
    }
    let blue = if shifted.rate() > own.blue.rate() { shifted } else { own.blue };
    let stands = if is_beyond_chance(own.green, blue) { BlueStands::Clear } else { BlueStands::Near };
    Crossing::Crossed { measured: own, blue: stands, shifted: false }
}

/// Whether as many bad units as green's would come of blue's rate in one of [`WINDOWS`] at most, by Chernoff's bound. Other
/// than [`differ_clearly`] it holds for few. One more of blue's is taken to be bad: its rate is only known so well.
fn is_beyond_chance(green: Tally, blue: Tally) -> bool {
    let (of_green, of_blue) = (green.rate(), (blue.bad + 1) as f64 / (blue.units + 1) as f64);
    let nats = |share: f64, of: f64| if share == 0.0 { 0.0 } else { share * (share / of).ln() };
    let divergence = nats(of_green, of_blue) + nats(1.0 - of_green, 1.0 - of_blue);
    of_green > of_blue && green.units as f64 * divergence >= WINDOWS.ln()
}

/// Bad units of one window.
#[derive(Clone, Copy)]
struct Measured {
    own: ByVersion<Tally>,
    /// Blue's, had its requests come at the times of green's.
    shifted: Tally,
}

impl Measured {
    fn worse_blue(&self) -> f64 {
        self.own.blue.rate().max(self.shifted.rate())
    }
}

/// Promise 5: after a change of the weight most of green's requests are of other times than most of blue's, and what
/// befell both of them then would look like green's doing. So blue's rates before and after the change are weighted as
/// green's requests are: direct standardisation, with as many units as its variance is worth.
fn measure(window: Window<'_>, tally: impl Fn(&Evidence) -> Tally) -> Measured {
    let of = |evidence: ByVersion<&Evidence>| ByVersion::build(|version| tally(evidence.of(version)));
    let own = of(window.total);
    let Some(since) = window.since_change.map(of) else { return Measured { own, shifted: own.blue } };
    let before = ByVersion::build(|version| own.of(version).less(*since.of(version)));
    let (mut rate, mut variance) = (0.0, 0.0);
    for part in [before, since] {
        let of_blue = if part.blue.units == 0 { own.blue } else { part.blue };
        let share = part.green.units as f64 / own.green.units as f64;
        rate += share * of_blue.rate();
        variance += share * share / of_blue.units.max(1) as f64;
    }
    let units = (1.0 / variance).min(own.blue.units as f64);
    Measured { own, shifted: Tally { bad: (rate * units).round() as u64, units: units.round() as u64 } }
}

fn failures(evidence: &Evidence) -> Tally {
    Tally { bad: evidence.failures, units: evidence.requests }
}

/// Requests slower than `bound`, of all that have a latency.
fn slower(evidence: &Evidence, bound: Duration) -> Tally {
    Tally { bad: evidence.latency.slower_than(bound), units: evidence.latency.len() }
}

#[cfg(test)]
mod tests;
