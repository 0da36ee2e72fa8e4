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
mod tests {
    use super::*;
    use crate::gate::trigger::{Action, Cadence, Confirm, Quantile, Rate, Span, Times};

    fn trigger(condition: Condition) -> Trigger {
        Trigger {
            name: "worse".to_owned(),
            condition,
            window: Duration::from_secs(10),
            sustained: Duration::ZERO,
            minimum_requests: 50,
            cadence: Cadence::EveryTick,
            confirm: Confirm::No,
            action: Action::Rollback,
        }
    }

    fn share(fraction: f64) -> Share {
        Share::try_from(fraction).expect("in range")
    }

    fn times(factor: f64) -> Times {
        Times::try_from(factor).expect("in range")
    }

    fn counted((failures, requests): (u64, u64)) -> Evidence {
        Evidence { requests, failures, ..Evidence::default() }
    }

    /// `(requests, milliseconds)` each.
    fn timed(groups: &[(u64, u64)]) -> Evidence {
        let mut evidence = Evidence::default();
        for (requests, millis) in groups {
            evidence.requests += requests;
            (0..*requests).for_each(|_| evidence.latency.record(Duration::from_millis(*millis)));
        }
        evidence
    }

    #[derive(Debug, PartialEq)]
    enum Short {
        FewOfGreen,
        FewOfBlue,
        Within,
        Crossed(BlueStands),
    }

    fn check(condition: Condition, green: &Evidence, blue: &Evidence, expected: Short) {
        let short = match cross(&trigger(condition), ByVersion { blue, green }) {
            Crossing::TooFew { version: Version::Green, .. } => Short::FewOfGreen,
            Crossing::TooFew { version: Version::Blue, .. } => Short::FewOfBlue,
            Crossing::Within => Short::Within,
            Crossing::Crossed { blue, .. } => Short::Crossed(blue),
        };
        assert_eq!(short, expected, "{condition:?}: green {green:?}, blue {blue:?}");
    }

    #[test]
    fn promise_5_how_blue_stands_at_an_error_bound_decides_about_blame() {
        use BlueStands::{Clear, Doubtful, Near, Over};
        let bound = Condition::FailuresAbove { share: share(0.1), written: Rate::Errors };
        for (green, blue, expected) in [
            ((49, 49), (0, 1000), Short::FewOfGreen),
            ((0, 0), (0, 0), Short::FewOfGreen),
            ((5, 50), (0, 450), Short::Within),
            ((6, 50), (0, 450), Short::Crossed(Clear)),
            ((6, 50), (0, 0), Short::Crossed(Clear)),
            ((50, 50), (1, 10), Short::Crossed(Clear)),
            ((6, 50), (3, 50), Short::Crossed(Near)),
            ((50, 50), (4, 50), Short::Crossed(Clear)),
            ((6, 50), (5, 49), Short::Crossed(Doubtful)),
            ((6, 50), (5, 50), Short::Crossed(Near)),
            ((6, 50), (6, 50), Short::Crossed(Over)),
            ((500, 1000), (101, 1000), Short::Crossed(Over)),
        ] {
            check(bound, &counted(green), &counted(blue), expected);
        }
    }

    #[test]
    fn a_rate_relative_to_blue_must_pass_the_factor_and_the_floor() {
        use BlueStands::Clear;
        let bound = Condition::FailuresAboveBlue { times: times(2.0), floor: share(0.01) };
        for (green, blue, expected) in [
            ((50, 50), (0, 49), Short::FewOfBlue),
            ((1, 100), (0, 50), Short::Within),
            ((2, 100), (0, 50), Short::Crossed(Clear)),
            ((8, 100), (4, 100), Short::Within),
            ((9, 100), (4, 100), Short::Crossed(Clear)),
            ((100, 100), (60, 100), Short::Within),
        ] {
            check(bound, &counted(green), &counted(blue), expected);
        }
    }

    #[test]
    fn a_latency_quantile_is_crossed_when_more_than_its_tail_is_slower() {
        use BlueStands::{Clear, Doubtful, Over};
        let quantile = Quantile::try_from(0.9).expect("in range");
        let bound = Condition::LatencyAbove { quantile, span: Span::Head, bound: Duration::from_millis(200) };
        let fast = timed(&[(100, 5)]);
        for (green, blue, expected) in [
            (timed(&[(44, 5), (5, 400)]), &fast, Short::FewOfGreen),
            (timed(&[(90, 5), (10, 400)]), &fast, Short::Within),
            (timed(&[(89, 5), (11, 400)]), &fast, Short::Crossed(Clear)),
            (timed(&[(100, 200)]), &fast, Short::Within),
            (timed(&[(89, 5), (11, 400)]), &timed(&[(10, 400)]), Short::Crossed(Doubtful)),
            (timed(&[(89, 5), (11, 400)]), &timed(&[(80, 5), (20, 400)]), Short::Crossed(Over)),
        ] {
            check(bound, &green, blue, expected);
        }
    }

    #[test]
    fn a_latency_relative_to_blue_must_pass_the_factor_and_the_floor() {
        let quantile = Quantile::try_from(0.9).expect("in range");
        let floor = Duration::from_millis(10);
        let bound = Condition::LatencyAboveBlue { quantile, span: Span::Head, times: times(5.0), floor };
        for (green, blue, expected) in [
            (timed(&[(100, 400)]), timed(&[(49, 20)]), Short::FewOfBlue),
            (timed(&[(100, 98)]), timed(&[(100, 20)]), Short::Within),
            (timed(&[(100, 110)]), timed(&[(100, 20)]), Short::Crossed(BlueStands::Clear)),
            (timed(&[(100, 9)]), timed(&[(100, 1)]), Short::Within),
            (timed(&[(100, 12)]), timed(&[(100, 1)]), Short::Crossed(BlueStands::Clear)),
        ] {
            check(bound, &green, &blue, expected);
        }
    }

    #[test]
    fn promise_3_requests_without_a_latency_are_no_evidence_of_speed() {
        let quantile = Quantile::P99;
        let absolute = Condition::LatencyAbove { quantile, span: Span::Head, bound: Duration::from_millis(200) };
        let floor = Duration::from_millis(10);
        let relative = Condition::LatencyAboveBlue { quantile, span: Span::Head, times: times(5.0), floor };
        let (unanswered, answered) = (counted((1000, 1000)), timed(&[(100, 5)]));
        check(absolute, &unanswered, &answered, Short::FewOfGreen);
        check(relative, &unanswered, &answered, Short::FewOfGreen);
        check(relative, &answered, &unanswered, Short::FewOfBlue);
    }

    #[test]
    fn promise_5_a_blue_over_an_error_bound_that_fails_as_much_as_green_is_worse() {
        let bound = trigger(Condition::FailuresAbove { share: share(0.1), written: Rate::Errors });
        for (green, blue, expected) in [
            ((0, 0), (6, 50), true),
            ((10, 100), (20, 100), true),
            ((20, 100), (20, 100), true),
            ((21, 100), (20, 100), false),
            ((0, 100), (5, 50), false),
            ((0, 100), (49, 49), false),
        ] {
            let (green, blue) = (counted(green), counted(blue));
            assert_eq!(blue_is_worse(&bound, ByVersion { blue: &blue, green: &green }), expected, "{green:?} {blue:?}");
        }
    }

    #[test]
    fn a_difference_is_clear_beyond_three_standard_errors_and_only_when_green_is_the_worse() {
        let tally = |(bad, units)| Tally { bad, units };
        for (green, blue, expected) in [
            ((0, 0), (0, 100), false),
            ((10, 10), (0, 0), false),
            ((100, 100), (100, 100), false),
            ((12, 100), (5, 100), false),
            ((12, 100), (50, 1000), false),
            ((15, 100), (50, 1000), true),
            ((5, 100), (500, 1000), false),
        ] {
            let measured = ByVersion { blue: tally(blue), green: tally(green) };
            assert_eq!(differ_clearly(measured), expected, "{measured:?}");
        }
    }
}
