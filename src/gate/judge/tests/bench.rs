//! A gate, its clock and what it looks at.

use super::*;
use crate::gate::Evidence;

pub(super) const TICK: Duration = Duration::from_millis(100);
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// A gate and its clock, which moves on by one tick with each look.
pub(super) struct Bench {
    pub(super) gate: Gate,
    pub(super) now: Duration,
    pub(super) health: ByVersion<Health>,
    pub(super) signals: Signals,
    pub(super) suspicion: Suspicion,
    pub(super) against_blue: Option<String>,
}

/// What an order is, without its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ordered {
    Rollback,
    Pause,
    Notify,
    Probe,
}

impl Bench {
    pub(super) fn new(triggers: impl IntoIterator<Item = Trigger>) -> Bench {
        Bench::of(&Policy { triggers: triggers.into_iter().collect(), ..Policy::default() })
    }

    pub(super) fn of(policy: &Policy) -> Bench {
        Bench {
            gate: Gate::new(policy),
            // A start other than zero: only differences of times may count.
            now: Duration::from_secs(1_000),
            health: ByVersion::default(),
            signals: Signals::default(),
            suspicion: Suspicion::default(),
            against_blue: None,
        }
    }

    /// One look at `(failures, requests)` of both versions.
    pub(super) fn look(&mut self, green: (u64, u64), blue: (u64, u64)) -> Judgement {
        self.look_at(&counted(green), &counted(blue))
    }

    pub(super) fn look_at(&mut self, green: &Evidence, blue: &Evidence) -> Judgement {
        self.now += TICK;
        let look = Look {
            windows: |_: &Trigger| ByVersion { blue, green },
            health: self.health,
            signals: &self.signals,
            suspicion: self.suspicion,
            against_blue: self.against_blue.as_deref(),
            taken_back: &[],
        };
        self.gate.judge(&look, self.now)
    }

    /// Looks at the same evidence until something is ordered; how many ticks after the first look that was.
    pub(super) fn ticks_to_order(&mut self, green: (u64, u64), blue: (u64, u64), at_most: u32) -> Option<u32> {
        (0..=at_most).find(|_| !self.look(green, blue).orders.is_empty())
    }
}

pub(super) fn counted((failures, requests): (u64, u64)) -> Evidence {
    Evidence { requests, failures, ..Evidence::default() }
}

pub(super) fn timed(requests: u64, millis: u64) -> Evidence {
    let mut evidence = counted((0, requests));
    (0..requests).for_each(|_| evidence.latency.record(Duration::from_millis(millis)));
    evidence
}

pub(super) fn share(fraction: f64) -> Share {
    Share::try_from(fraction).expect("in range")
}

pub(super) fn ordered(judgement: &Judgement) -> Vec<Ordered> {
    let kind = |order: &Order| match order {
        Order::Rollback { .. } => Ordered::Rollback,
        Order::Pause { .. } => Ordered::Pause,
        Order::Notify { .. } => Ordered::Notify,
        Order::Probe { .. } => Ordered::Probe,
    };
    judgement.orders.iter().map(kind).collect()
}

/// More than 10 % of at least 50 requests failed in 10 s: rollback, at once.
pub(super) fn meltdown() -> Trigger {
    Trigger {
        name: "meltdown".to_owned(),
        route: None,
        condition: Condition::FailuresAbove { share: share(0.1), written: Rate::Errors },
        window: WINDOW,
        sustained: Duration::ZERO,
        minimum_requests: 50,
        cadence: Cadence::EveryTick,
        confirm: Confirm::No,
        action: Action::Rollback,
    }
}

pub(super) fn sustained(seconds: u64) -> Trigger {
    Trigger { sustained: Duration::from_secs(seconds), ..meltdown() }
}

pub(super) fn acting(action: Action) -> Trigger {
    Trigger { action, ..meltdown() }
}

pub(super) fn tally(green: (u64, u64), blue: (u64, u64)) -> ByVersion<crossing::Tally> {
    let of = |(bad, units)| crossing::Tally { bad, units };
    ByVersion { blue: of(blue), green: of(green) }
}
