//! What both versions did, added up tick by tick, and how much of it lies in a window.

use std::time::Duration;

use portcullis::gate::trigger::Condition;
use portcullis::gate::{ByVersion, Charge, Trigger, Version};

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    pub requests: u64,
    pub failures: u64,
    pub timed: u64,
    pub slow: u64,
}

/// The counts of one epoch and process.
#[derive(Default)]
pub struct Counts {
    /// The running sums at each tick, on the clock of the core.
    sums: Vec<(Duration, ByVersion<Tally>)>,
    /// Since the last tick.
    pending: ByVersion<Tally>,
}

/// What a window holds lies between these two: its older edge moves by one slot at a time.
pub struct Window {
    pub surely: ByVersion<Tally>,
    pub at_most: ByVersion<Tally>,
}

pub const SLOWER_THAN: Duration = Duration::from_millis(400);
pub const ERRORS_ABOVE: f64 = 0.1;

impl Counts {
    pub fn add(&mut self, version: Version, charge: Charge, latency: Option<Duration>) {
        let tally = self.pending.of_mut(version);
        tally.requests += u64::from(charge != Charge::Nobody);
        tally.failures += u64::from(charge == Charge::Failed);
        tally.timed += u64::from(latency.is_some());
        tally.slow += u64::from(latency > Some(SLOWER_THAN));
    }

    /// Ends a tick, and returns what it held.
    pub fn tick(&mut self, now: Duration) -> ByVersion<Tally> {
        let pending = std::mem::take(&mut self.pending);
        let before = self.sums.last().map_or_else(ByVersion::default, |(_, sum)| *sum);
        let sum = ByVersion::build(|version| before.of(version).plus(*pending.of(version)));
        self.sums.push((now, sum));
        pending
    }

    pub fn forget(&mut self) {
        self.sums.clear();
    }

    /// Loses what no tick has held yet.
    pub fn lose(&mut self) {
        self.pending = ByVersion::default();
    }

    /// The window of `length` at the tick `now`.
    pub fn window(&self, length: Duration, now: Duration) -> Window {
        let until = |at: Option<Duration>| {
            let index = at.map_or(0, |at| self.sums.partition_point(|(counted, _)| *counted <= at));
            if index == 0 { ByVersion::default() } else { self.sums[index - 1].1 }
        };
        let all = until(Some(now));
        let since = |before: ByVersion<Tally>| ByVersion::build(|version| all.of(version).less(*before.of(version)));
        Window {
            surely: since(until(now.checked_sub(length))),
            at_most: since(until(now.checked_sub(length + length / 60))),
        }
    }
}

impl Tally {
    fn plus(self, other: Tally) -> Tally {
        Tally {
            requests: self.requests + other.requests,
            failures: self.failures + other.failures,
            timed: self.timed + other.timed,
            slow: self.slow + other.slow,
        }
    }

    fn less(self, other: Tally) -> Tally {
        Tally {
            requests: self.requests - other.requests,
            failures: self.failures - other.failures,
            timed: self.timed - other.timed,
            slow: self.slow - other.slow,
        }
    }
}

/// What the bound of `trigger` counts: bad units, all units, and how many bad ones a unit may have. None of a bound that
/// is relative to blue.
pub fn measured(trigger: &Trigger, tally: Tally) -> Option<(f64, f64, f64)> {
    match trigger.condition {
        Condition::FailuresAbove { .. } => Some((tally.failures as f64, tally.requests as f64, ERRORS_ABOVE)),
        Condition::LatencyAbove { quantile, .. } => {
            Some((tally.slow as f64, tally.timed as f64, 1.0 - quantile.fraction() + 1e-9))
        }
        Condition::FailuresAboveBlue { .. } | Condition::LatencyAboveBlue { .. } => None,
    }
}

pub fn over(trigger: &Trigger, tally: Tally) -> bool {
    measured(trigger, tally).is_some_and(|(bad, units, allowed)| bad > allowed * units)
}
