//! Time in a stage, without what passed while the release was held.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    Running { since: Duration, before: Duration },
    Stopped { elapsed: Duration },
}

impl Clock {
    pub(super) const fn start(now: Duration) -> Clock {
        Clock::Running { since: now, before: Duration::ZERO }
    }

    pub(super) fn elapsed(self, now: Duration) -> Duration {
        match self {
            Clock::Running { since, before } => before + (now - since),
            Clock::Stopped { elapsed } => elapsed,
        }
    }

    #[must_use]
    pub(super) fn stopped(self, now: Duration) -> Clock {
        Clock::Stopped { elapsed: self.elapsed(now) }
    }

    #[must_use]
    pub(super) fn running(self, now: Duration) -> Clock {
        match self {
            Clock::Running { .. } => self,
            Clock::Stopped { elapsed } => Clock::Running { since: now, before: elapsed },
        }
    }
}
