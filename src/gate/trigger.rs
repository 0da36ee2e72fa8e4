//! The user's own rules: a metric, a bound, a time to be sustained, an action.

use std::time::Duration;

use serde::Serialize;

use super::route::NamedRoute;

/// A share of all requests, kept in millionths so that comparisons are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

/// A quantile strictly between 0 and 1, kept in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantile(u32);

/// How many times blue's value green may reach; at least 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Times(f64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("out of range")]
pub struct OutOfRange;

const MILLION: u32 = 1_000_000;

impl TryFrom<f64> for Share {
    type Error = OutOfRange;

    fn try_from(fraction: f64) -> Result<Self, OutOfRange> {
        if !(0.0..=1.0).contains(&fraction) {
            return Err(OutOfRange);
        }
        Ok(Share((fraction * f64::from(MILLION)).round() as u32))
    }
}

impl Share {
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(MILLION)
    }

    /// What is left of the whole.
    pub const fn rest(self) -> Share {
        Share(MILLION - self.0)
    }

    /// Whether `bad` of `units` is more than this share; never without units.
    pub fn exceeded_by(self, bad: u64, units: u64) -> bool {
        u128::from(bad) * u128::from(MILLION) > u128::from(units) * u128::from(self.0)
    }
}

impl TryFrom<f64> for Quantile {
    type Error = OutOfRange;

    fn try_from(fraction: f64) -> Result<Self, OutOfRange> {
        let millionths = (fraction * f64::from(MILLION)).round();
        if !(1.0..f64::from(MILLION)).contains(&millionths) {
            return Err(OutOfRange);
        }
        Ok(Quantile(millionths as u32))
    }
}

impl Quantile {
    pub const P50: Quantile = Quantile(500_000);
    pub const P95: Quantile = Quantile(950_000);
    pub const P99: Quantile = Quantile(990_000);

    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(MILLION)
    }

    /// The share of requests that may be slower than the quantile.
    pub const fn tail(self) -> Share {
        Share(MILLION - self.0)
    }
}

impl TryFrom<f64> for Times {
    type Error = OutOfRange;

    fn try_from(times: f64) -> Result<Self, OutOfRange> {
        if times.is_finite() && times >= 1.0 { Ok(Times(times)) } else { Err(OutOfRange) }
    }
}

impl Times {
    pub const fn factor(self) -> f64 {
        self.0
    }
}

/// What happens to the release when a trigger fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    Rollback,
    Pause,
    Notify,
}

/// How a rate is written in the policy, and so how sentences speak of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    Errors,
    Successes,
}

/// Which span of a request is its latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Span {
    /// From the request sent on a connection that stands to the response head received, without the time in which the
    /// client's body was waited for.
    Head,
    /// The same to the end of the answer.
    Whole,
}

/// What counts as too bad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// More than this share of the requests failed.
    FailuresAbove { share: Share, written: Rate },
    /// Green's error rate is above `times` blue's, and above `floor`.
    FailuresAboveBlue { times: Times, floor: Share },
    /// The quantile of the latency is above this bound.
    LatencyAbove { quantile: Quantile, span: Span, bound: Duration },
    /// Green's quantile is above `times` blue's, and above `floor`.
    LatencyAboveBlue { quantile: Quantile, span: Span, times: Times, floor: Duration },
}

/// One rule that is judged on windows of evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    pub name: String,
    /// What it looks at; none for the whole of both versions.
    pub route: Option<NamedRoute>,
    pub condition: Condition,
    pub window: Duration,
    /// How long the bound must stay crossed.
    pub sustained: Duration,
    /// With fewer requests of green in the window nothing is decided.
    pub minimum_requests: u64,
    pub cadence: Cadence,
    pub confirm: Confirm,
    pub action: Action,
}

/// How often a window is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cadence {
    /// At every look; the trigger fires when the bound has been crossed for its sustained time.
    #[default]
    EveryTick,
    /// Once in `every`, with no sustained time: the trigger fires when more than `failure_limit` judgements have failed
    /// in this release, or `consecutive_limit` in a row. At least one of the two is set.
    Interval { every: Duration, failure_limit: Option<u32>, consecutive_limit: Option<u32> },
}

/// Who else must find green worse before the action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confirm {
    #[default]
    No,
    /// The comparison, in the same metric.
    Comparison,
}

/// What a row of failures needs to convict, once it is long enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conviction {
    /// That both versions failing alike is as good as excluded.
    #[default]
    ByEvidence,
    /// Nothing: its length is the user's own word, unless blue has failed as often.
    ByCount,
}

/// The rule that the workers judge themselves, request by request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreakTrigger {
    pub name: String,
    pub at_least: u16,
    pub conviction: Conviction,
    pub action: Action,
}

/// The rule about active health checks: every endpoint of green failed at least so many in a row, while blue's pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckTrigger {
    pub name: String,
    pub at_least: u32,
    pub sustained: Duration,
    pub action: Action,
}

/// The rule that somebody else judges and tells us of by a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalTrigger {
    pub name: String,
    pub signal: String,
    pub action: Action,
}

impl Condition {
    /// Whether blue has no part in the bound.
    pub const fn is_absolute(&self) -> bool {
        match self {
            Condition::FailuresAbove { .. } | Condition::LatencyAbove { .. } => true,
            Condition::FailuresAboveBlue { .. } | Condition::LatencyAboveBlue { .. } => false,
        }
    }

    pub const fn span(&self) -> Span {
        match self {
            Condition::FailuresAbove { .. } | Condition::FailuresAboveBlue { .. } => Span::Head,
            Condition::LatencyAbove { span, .. } | Condition::LatencyAboveBlue { span, .. } => *span,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_exceeded_by_more_and_not_by_as_much() {
        let tenth = Share::try_from(0.1).expect("in range");
        assert!(!tenth.exceeded_by(5, 50));
        assert!(tenth.exceeded_by(6, 50));
        assert!(!tenth.exceeded_by(0, 0));
        assert!(tenth.exceeded_by(u64::MAX, u64::MAX));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for fraction in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::try_from(fraction), Err(OutOfRange), "{fraction}");
        }
        for fraction in [0.0, 1.0, 1.5, -1.0, f64::NAN] {
            assert_eq!(Quantile::try_from(fraction), Err(OutOfRange), "{fraction}");
        }
        for times in [0.99, f64::NAN, f64::INFINITY] {
            assert_eq!(Times::try_from(times), Err(OutOfRange), "{times}");
        }
    }
}
