//! The routing table: the one value that the workers share. Immutable, read once per request, replaced whole.
//!
//! Every writer goes through [`Routing`], so that no weight can overtake a latch: a rollback wins every merge.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use crate::gate::Version;
use crate::gate::streak::{Answer, Routed, Row, Rule, Signal, Streak};
use crate::gate::trigger::{Action, StreakTrigger};
use crate::release::{Epoch, Weight};

/// How new requests are routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    pub epoch: Epoch,
    pub roles: Roles,
    pub route: Route,
    /// How often the weight has changed in this epoch.
    pub change: u16,
}

/// Which of the two configured versions is blue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Roles {
    #[default]
    AsConfigured,
    /// The version that is configured as green is blue: its release has completed.
    Exchanged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Green gets this share.
    Split(Weight),
    /// The epoch was rolled back: blue gets everything.
    Latched,
    /// The release has completed and the roles are exchanged: blue gets everything, and the last failures of what was
    /// green then blame nobody.
    Completed,
}

impl Roles {
    /// The section of the configuration whose endpoints serve `version`.
    pub const fn section(self, version: Version) -> Version {
        match (self, version) {
            (Roles::AsConfigured, version) => version,
            (Roles::Exchanged, Version::Blue) => Version::Green,
            (Roles::Exchanged, Version::Green) => Version::Blue,
        }
    }

    #[must_use]
    pub const fn exchanged(self) -> Roles {
        match self {
            Roles::AsConfigured => Roles::Exchanged,
            Roles::Exchanged => Roles::AsConfigured,
        }
    }
}

/// Everything on blue, in the epoch before the first release.
impl Default for Table {
    fn default() -> Table {
        Table { epoch: Epoch::default(), roles: Roles::default(), route: Route::Split(Weight::ZERO), change: 0 }
    }
}

impl Table {
    pub const fn weight(&self) -> Weight {
        match self.route {
            Route::Split(weight) => weight,
            Route::Latched | Route::Completed => Weight::ZERO,
        }
    }

    /// What a request is marked with that is routed by this table.
    pub const fn routed(&self) -> Routed {
        Routed { epoch: self.epoch, change: self.change }
    }

    fn weighed(self, weight: Weight) -> Table {
        let change = if weight == self.weight() { self.change } else { self.change.wrapping_add(1) };
        Table { route: Route::Split(weight), change, ..self }
    }
}

/// What a worker did by itself and `control` must learn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Notice {
    /// The streak convicted green; with [`Action::Rollback`] the table is latched already.
    Convicted { epoch: Epoch, row: Row, reaction: Duration },
    /// The streak is long enough, and its evidence is not; with [`Action::Rollback`] the weight is lowered already.
    Probing { epoch: Epoch, row: Row },
    /// Both versions fail in a row.
    Common { epoch: Epoch, row: Row },
}

/// Room for the notices of one tick. `control` also looks at the table itself, so a lost one delays only its record.
pub const NOTICES: usize = 64;

/// The shared table, the streak, and the only ways to change them.
pub struct Routing {
    table: Arc<ArcSwap<Table>>,
    streak: AtomicU64,
    judged_by: Option<(Rule, Action)>,
    notices: Sender<Notice>,
}

/// A worker's own view of the table: one load per request, without a reference count.
pub type View = Cache<Arc<ArcSwap<Table>>, Arc<Table>>;

impl Routing {
    /// Starts with `table`, which is everything on blue unless the journal remembers more.
    pub fn new(table: Table, trigger: Option<StreakTrigger>, notices: Sender<Notice>) -> Routing {
        Routing {
            streak: AtomicU64::new(Streak::opened(table.epoch).pack()),
            table: Arc::new(ArcSwap::from_pointee(table)),
            judged_by: trigger.map(|trigger| (Rule::new(&trigger), trigger.action)),
            notices,
        }
    }

    pub fn view(&self) -> View {
        Cache::new(Arc::clone(&self.table))
    }

    pub fn table(&self) -> Table {
        **self.table.load()
    }

    /// The rollback: routes every request that starts from here on to blue. True if this call did it.
    pub fn latch(&self, epoch: Epoch) -> bool {
        self.change(|table| match table.route {
            Route::Split(_) if table.epoch == epoch => Some(Table { route: Route::Latched, ..*table }),
            Route::Split(_) | Route::Latched | Route::Completed => None,
        })
    }

    /// Makes green the new blue: the release of `epoch` has completed.
    pub fn complete(&self, epoch: Epoch) -> bool {
        self.change(|table| match table.route {
            Route::Split(_) if table.epoch == epoch => {
                Some(Table { roles: table.roles.exchanged(), route: Route::Completed, ..*table })
            }
            Route::Split(_) | Route::Latched | Route::Completed => None,
        })
    }

    /// Rolls the release of `epoch`, which has completed, back: what was blue before it is blue again, and the epoch is latched.
    pub fn revert(&self, epoch: Epoch) -> bool {
        self.change(|table| match table.route {
            Route::Completed if table.epoch == epoch => {
                Some(Table { roles: table.roles.exchanged(), route: Route::Latched, ..*table })
            }
            Route::Split(_) | Route::Latched | Route::Completed => None,
        })
    }

    /// Sets the weight of `epoch`, or opens it; changes nothing in a latched, a completed or a later epoch.
    pub fn route(&self, epoch: Epoch, weight: Weight) -> bool {
        self.change(|table| {
            if table.epoch < epoch {
                // Before anything is routed in the epoch. What still runs of an earlier one no longer matters.
                self.streak.store(Streak::opened(epoch).pack(), Ordering::Release);
                return Some(Table { epoch, route: Route::Split(weight), change: 0, ..*table });
            }
            let open = table.epoch == epoch && matches!(table.route, Route::Split(_));
            open.then(|| table.weighed(weight))
        })
    }

    /// Lowers the weight of `epoch` to `to`, if it is above it.
    fn lower(&self, epoch: Epoch, to: Weight) -> bool {
        self.change(|table| match table.route {
            Route::Split(weight) if table.epoch == epoch && weight > to => Some(table.weighed(to)),
            Route::Split(_) | Route::Latched | Route::Completed => None,
        })
    }

    /// Takes one request into the streak, and acts on it. Called by the worker when the request ends.
    pub fn observe(&self, answer: Answer) {
        self.observe_and(answer, || {});
    }

    /// As [`Routing::observe`]; `before_telling` comes between what is done to the table and the notice of it.
    pub fn observe_and(&self, answer: Answer, before_telling: impl FnOnce()) {
        let Some((rule, action)) = &self.judged_by else { return };
        let mut packed = self.streak.load(Ordering::Acquire);
        if Streak::is_untouched(packed, &answer) {
            return;
        }
        let signal = loop {
            let (next, signal) = Streak::unpack(packed).observe(answer, rule);
            let next = next.pack();
            if next == packed {
                return;
            }
            match self.streak.compare_exchange_weak(packed, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break signal,
                Err(seen) => packed = seen,
            }
        };
        if signal != Signal::Nothing {
            let notice = self.act(signal, *action, answer.routed.epoch);
            before_telling();
            if let Some(notice) = notice
                && self.notices.try_send(notice).is_err()
            {
                tracing::warn!(?notice, "control is behind: a notice was dropped");
            }
        }
    }

    fn act(&self, signal: Signal, action: Action, epoch: Epoch) -> Option<Notice> {
        let judged_at = Instant::now();
        let moves_traffic = action == Action::Rollback;
        Some(match signal {
            Signal::Nothing => return None,
            Signal::Convict(row) => {
                if moves_traffic && !self.latch(epoch) {
                    return None;
                }
                Notice::Convicted { epoch, row, reaction: judged_at.elapsed() }
            }
            Signal::Probe(row) => {
                if moves_traffic {
                    self.lower(epoch, Weight::PROBE);
                }
                Notice::Probing { epoch, row }
            }
            Signal::Common(row) => Notice::Common { epoch, row },
        })
    }

    fn change(&self, next: impl Fn(&Table) -> Option<Table>) -> bool {
        let mut current = self.table.load();
        loop {
            let Some(wanted) = next(&current) else { return false };
            let previous = self.table.compare_and_swap(&*current, Arc::new(wanted));
            if Arc::ptr_eq(&previous, &current) {
                return true;
            }
            current = previous;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Charge;
    use crate::gate::trigger::Conviction;

    fn routing() -> (Routing, tokio::sync::mpsc::Receiver<Notice>) {
        let (sender, receiver) = tokio::sync::mpsc::channel(NOTICES);
        let (name, conviction) = ("dead".to_owned(), Conviction::ByEvidence);
        let trigger = StreakTrigger { name, at_least: 2, conviction, action: Action::Rollback };
        (Routing::new(Table::default(), Some(trigger), sender), receiver)
    }

    fn observe(routing: &Routing, version: Version, charge: Charge) {
        routing.observe(Answer::of(version, charge, routing.table().routed()));
    }

    /// Green fails every time, and blue answers thirty times between.
    fn fail_until_latched(routing: &Routing) -> usize {
        let failures = (1..=10).find(|_| {
            observe(routing, Version::Green, Charge::Failed);
            let latched = routing.table().route == Route::Latched;
            (0..30).for_each(|_| observe(routing, Version::Blue, Charge::Served));
            latched
        });
        failures.expect("green is convicted")
    }

    fn percent(weight: f64) -> Weight {
        Weight::from_percent(weight).expect("a weight")
    }

    #[test]
    fn promise_2_a_rollback_is_latched_and_only_a_new_epoch_opens_green_again() {
        let (routing, _notices) = routing();
        let first = Epoch::default().next();
        assert!(routing.route(first, percent(50.0)));
        assert!(routing.latch(first));
        assert!(!routing.latch(first), "the second rollback of an epoch changes nothing");
        assert!(!routing.route(first, percent(50.0)), "a weight that arrives late is refused");
        assert_eq!(routing.table().weight(), Weight::ZERO);
        assert!(routing.route(first.next(), percent(1.0)));
        assert!(!routing.latch(first), "a rollback of an old epoch does not touch the new one");
        assert_eq!(routing.table().weight(), percent(1.0));
    }

    #[test]
    fn the_last_failures_of_a_completed_release_do_not_keep_it_from_being_rolled_back() {
        let (routing, mut notices) = routing();
        let first = Epoch::default().next();
        assert!(routing.route(first, Weight::FULL));
        observe(&routing, Version::Green, Charge::Failed);
        assert!(routing.complete(first));
        observe(&routing, Version::Blue, Charge::Served);
        for _ in 0..3 {
            observe(&routing, Version::Green, Charge::Failed);
        }
        assert!(!routing.latch(first) && !routing.route(first, percent(1.0)));
        assert_eq!(routing.table().route, Route::Completed);
        while let Ok(notice) = notices.try_recv() {
            assert!(!matches!(notice, Notice::Convicted { .. }), "{notice:?}");
        }
        assert!(routing.revert(first));
        assert_eq!((routing.table().route, routing.table().roles), (Route::Latched, Roles::AsConfigured));
    }

    #[test]
    fn a_completed_release_makes_green_blue_and_its_rollback_undoes_that() {
        let (routing, _notices) = routing();
        let first = Epoch::default().next();
        routing.route(first, Weight::FULL);
        assert!(routing.complete(first));
        let completed = routing.table();
        assert_eq!(completed.weight(), Weight::ZERO);
        assert_eq!(completed.roles.section(Version::Blue), Version::Green);
        assert!(routing.revert(first));
        let reverted = routing.table();
        assert_eq!((reverted.route, reverted.roles.section(Version::Blue)), (Route::Latched, Version::Blue));
        assert!(!routing.complete(first), "a latched epoch does not complete");
        assert!(!routing.revert(first), "and is not rolled back twice");
    }

    #[test]
    fn the_worker_that_sees_the_last_failure_of_the_streak_latches_the_table_before_it_tells_anyone() {
        let (routing, mut notices) = routing();
        let epoch = Epoch::default().next();
        routing.route(epoch, percent(5.0));
        assert_eq!(fail_until_latched(&routing), 4);
        assert!(matches!(notices.try_recv(), Ok(Notice::Probing { .. })));
        let Ok(Notice::Convicted { row, .. }) = notices.try_recv() else { panic!("convicted") };
        assert_eq!((row.failures, row.at_weight, row.blue.bad, row.blue.units), (4, 4, 0, 90));
        observe(&routing, Version::Green, Charge::Failed);
        assert!(notices.try_recv().is_err(), "a request in flight at the flip does not trigger again");
    }

    #[test]
    fn without_evidence_the_weight_drops_to_a_tenth_and_what_comes_there_convicts() {
        let (routing, mut notices) = routing();
        let epoch = Epoch::default().next();
        routing.route(epoch, Weight::FULL);
        observe(&routing, Version::Green, Charge::Failed);
        observe(&routing, Version::Green, Charge::Failed);
        assert_eq!(routing.table().weight(), Weight::PROBE);
        assert!(matches!(notices.try_recv(), Ok(Notice::Probing { .. })));
        observe(&routing, Version::Blue, Charge::Served);
        assert_eq!(routing.table().weight(), Weight::PROBE, "a success of blue is no witness");
        fail_until_latched(&routing);
    }

    #[test]
    fn a_weight_that_is_set_again_leaves_what_is_under_way_as_evidence() {
        let (routing, _notices) = routing();
        let epoch = Epoch::default().next();
        routing.route(epoch, percent(10.0));
        let before = routing.table().routed();
        routing.route(epoch, percent(10.0));
        assert_eq!(routing.table().routed(), before);
        routing.route(epoch, percent(20.0));
        assert!(routing.table().routed().changed_since(before));
    }

    #[test]
    fn a_restored_epoch_has_a_streak_however_high_its_number() {
        let (sender, _notices) = tokio::sync::mpsc::channel(NOTICES);
        let trigger = StreakTrigger {
            name: "dead".to_owned(),
            at_least: 2,
            conviction: Conviction::ByEvidence,
            action: Action::Rollback,
        };
        let table = Table { epoch: Epoch::from(200), route: Route::Split(percent(10.0)), ..Table::default() };
        fail_until_latched(&Routing::new(table, Some(trigger), sender));
    }
}
