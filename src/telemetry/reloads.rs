//! How often the configuration was read again.

use metrics::{Counter, Gauge};

/// Counts how often the configuration was read again, and what came of it.
#[derive(Clone)]
pub struct Reloads {
    pub(super) successes: Counter,
    pub(super) failures: Counter,
    /// When it was last loaded, in seconds since 1970.
    pub(super) last_success: Gauge,
}

impl Reloads {
    pub fn failed(&self) {
        self.failures.increment(1);
    }

    pub fn succeeded(&self) {
        self.successes.increment(1);
        self.loaded_now();
    }

    pub(super) fn loaded_now(&self) {
        self.last_success.set(jiff::Timestamp::now().as_millisecond() as f64 / 1e3);
    }
}
