//! The rate that blue is expected to have. A poor estimate costs power, never validity; so it may be learned, but from
//! blue alone and only from what was counted before the block that it is used for.

use std::time::Duration;

use super::numbers::pow;
use crate::gate::crossing::Tally;

#[derive(Clone, Copy, Debug)]
pub struct Baseline {
    bad: f64,
    units: f64,
    /// Counted since the last refresh.
    pending: Tally,
    refreshed: Duration,
    rate: f64,
}

/// After this long a unit counts for half.
const HALF_LIFE: Duration = Duration::from_secs(600);

const REFRESH: Duration = Duration::from_secs(60);

const LOWEST: f64 = 1e-5;
const HIGHEST: f64 = 0.5;

impl Baseline {
    /// From what blue did before the release.
    pub fn new(history: Tally, now: Duration) -> Baseline {
        let (bad, units) = (history.bad as f64, history.units as f64);
        let mut baseline = Baseline { bad, units, pending: Tally::default(), refreshed: now, rate: HIGHEST };
        baseline.estimate();
        baseline
    }

    pub const fn add(&mut self, blue: Tally) {
        self.pending.add(blue);
    }

    /// Once a minute; sooner while what is new outweighs what was known, which is so when there was little history.
    pub fn is_due(&self, now: Duration) -> bool {
        now - self.refreshed >= REFRESH || self.pending.units as f64 > self.units
    }

    /// Call it only between two blocks. Time in which blue has no units, as at 100 %, makes nothing older.
    pub fn refresh(&mut self, now: Duration) {
        let silent = self.pending.units == 0;
        let elapsed = now - std::mem::replace(&mut self.refreshed, now);
        if silent {
            return;
        }
        let kept = pow(0.5, elapsed.as_secs_f64() / HALF_LIFE.as_secs_f64());
        self.bad = self.bad * kept + self.pending.bad as f64;
        self.units = self.units * kept + self.pending.units as f64;
        self.pending = Tally::default();
        self.estimate();
    }

    pub const fn rate(&self) -> f64 {
        self.rate
    }

    fn estimate(&mut self) {
        self.rate = ((self.bad + 0.5) / (self.units + 1.0)).clamp(LOWEST, HIGHEST);
    }
}
