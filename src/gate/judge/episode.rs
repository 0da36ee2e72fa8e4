//! One episode: how long green has been over a bound, and what has been ordered because of it.

use std::time::Duration;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Within,
    Crossed(Crossed),
}

/// One episode in which green crosses the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crossed {
    pub(super) since: Duration,
    seen_at: Duration,
    /// How long green has been seen over the bound, times without enough requests left out.
    pub(super) held: Duration,
    /// How long there have been too few requests to tell.
    unknown: Duration,
    ordered: Ordered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ordered {
    Nothing,
    Probe,
    Action,
}

/// A sustained bound forgets an episode after this long without enough requests, or half its time if that is longer.
const UNKNOWN_RESETS_AFTER: Duration = Duration::from_secs(60);

impl Phase {
    /// Green is over the bound; begins an episode or goes on with it.
    pub(super) fn cross(&mut self, now: Duration) -> Crossed {
        let crossed = match *self {
            Phase::Within => Crossed::beginning(now),
            Phase::Crossed(crossed) => {
                let passed = if crossed.unknown.is_zero() { now - crossed.seen_at } else { Duration::ZERO };
                Crossed { seen_at: now, held: crossed.held + passed, unknown: Duration::ZERO, ..crossed }
            }
        };
        *self = Phase::Crossed(crossed);
        crossed
    }

    /// There are too few requests to tell.
    pub(super) fn lose_sight(&mut self, sustained: Duration, now: Duration) {
        let Phase::Crossed(crossed) = *self else { return };
        let unknown = crossed.unknown + (now - crossed.seen_at);
        *self = if unknown > UNKNOWN_RESETS_AFTER.max(sustained / 2) {
            Phase::Within
        } else {
            Phase::Crossed(Crossed { seen_at: now, unknown, ..crossed })
        };
    }

    /// Notes that `ordered` has been given in this episode; false if it, or more, was given before.
    pub(super) fn first(&mut self, ordered: Ordered) -> bool {
        match self {
            Phase::Within => true,
            Phase::Crossed(crossed) => {
                let first = crossed.ordered < ordered;
                if first {
                    crossed.ordered = ordered;
                }
                first
            }
        }
    }
}

impl Crossed {
    pub(super) const fn beginning(since: Duration) -> Crossed {
        Crossed { since, seen_at: since, held: Duration::ZERO, unknown: Duration::ZERO, ordered: Ordered::Nothing }
    }
}
