//! What blue did before a release, for the comparison to begin from.

use std::time::Duration;

use super::Ring;
use crate::gate::trigger::Span;
use crate::gate::{ByVersion, Evidence};
use crate::measure::shard::Sample;

/// What blue did in the ten minutes before now, across epochs.
#[derive(Clone, Debug)]
pub struct History(Ring);

pub(in crate::measure) const HISTORY: Duration = Duration::from_secs(600);

impl Default for History {
    fn default() -> History {
        History(Ring::new(HISTORY, Span::Head))
    }
}

impl History {
    /// What is known already, as if all of it had happened at `now`.
    pub fn of(blue: Evidence, now: Duration) -> History {
        let mut history = History::default();
        let sample = Sample { evidence: blue, ..Sample::default() };
        history.add(ByVersion { blue: &sample, green: &Sample::default() }, now);
        history
    }

    pub fn add(&mut self, sample: ByVersion<&Sample>, now: Duration) {
        self.0.add(sample, now);
    }

    /// As [`Windows::exchange`].
    pub fn exchange(&mut self) {
        self.0.exchange();
    }

    pub fn blue(&self) -> &Evidence {
        &self.0.total.blue
    }
}
