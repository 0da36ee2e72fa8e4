//! How many requests come in a second, of both versions.

use std::time::Duration;

use crate::gate::compare::numbers::pow;

#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic {
    began: Duration,
    until: Duration,
    requests: f64,
    seconds: f64,
}

/// After this long a request counts for half.
const HALF_LIFE: f64 = 10.0;

/// Nothing is made of less than this.
const LEAST_TIME: Duration = Duration::from_secs(5);

impl Traffic {
    pub(super) const fn new(now: Duration) -> Traffic {
        Traffic { began: now, until: now, requests: 0.0, seconds: 0.0 }
    }

    pub(super) fn add(&mut self, requests: u64, now: Duration) {
        let seconds = now.saturating_sub(std::mem::replace(&mut self.until, now)).as_secs_f64();
        let kept = pow(0.5, seconds / HALF_LIFE);
        self.requests = self.requests * kept + requests as f64;
        self.seconds = self.seconds * kept + seconds;
    }

    /// None while it is not known.
    pub(super) fn rate(&self, now: Duration) -> Option<f64> {
        let is_known = now - self.began >= LEAST_TIME && self.requests >= 1.0;
        is_known.then(|| self.requests / self.seconds)
    }
}
