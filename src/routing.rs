//! The one value that the workers share: the routing table and what it routes to. Immutable, read once per request,
//! replaced whole.
//!
//! Every writer goes through [`Routing`], so that no weight can overtake a latch: a rollback wins every merge.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use crate::gate::Version;
use crate::gate::route::RouteSet;
use crate::gate::streak::{Answer, Routed, Row, Rule, Signal, Streak};
use crate::gate::trigger::{Action, StreakTrigger};
use crate::release::{Epoch, Weight};

mod cohorts;
mod following;

pub use cohorts::Cohorts;

/// How new requests are routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    pub epoch: Epoch,
    pub roles: Roles,
    pub route: Route,
    /// How often the weight, or which routes go to blue, has changed in this epoch.
    pub change: u16,
    /// The share of blue's requests that green gets copies of, while the route is [`Route::Split`]; none where no release is
    /// open.
    pub mirror: Option<Weight>,
    /// Those that are on green whatever the weight, while the route is [`Route::Split`].
    pub cohorts: Cohorts,
    /// Routes that go to blue although the release goes on.
    pub taken_back: RouteSet,
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
        let route = Route::Split(Weight::ZERO);
        Table {
            epoch: Epoch::default(),
            roles: Roles::default(),
            route,
            change: 0,
            mirror: None,
            cohorts: Cohorts::NONE,
            taken_back: RouteSet::default(),
        }
    }
}

impl Table {
    pub const fn weight(&self) -> Weight {
        match self.route {
            Route::Split(weight) => weight,
            Route::Latched | Route::Completed => Weight::ZERO,
        }
    }

    /// The share of blue's requests that is copied.
    pub const fn copied(&self) -> Weight {
        match (self.route, self.mirror) {
            (Route::Split(_), Some(share)) => share,
            (Route::Split(_), None) | (Route::Latched | Route::Completed, _) => Weight::ZERO,
        }
    }

    /// The cohorts that are on green.
    pub const fn cohorts(&self) -> Cohorts {
        match self.route {
            Route::Split(_) => self.cohorts,
            Route::Latched | Route::Completed => Cohorts::NONE,
        }
    }

    /// Whether a release is open, and not rolled back.
    pub const fn is_open(&self) -> bool {
        matches!((self.route, self.mirror), (Route::Split(_), Some(_)))
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

/// Whether blue can take what green fails, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuge {
    Open,
    Lost,
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

/// What a request is served by. `L` is what the table routes to.
#[derive(Debug)]
pub struct Shared<L> {
    pub table: Table,
    pub live: Arc<L>,
    judged_by: Option<Arc<(Rule, Action)>>,
}

/// The shared value, the streak, and the only ways to change them. Where nothing is served, `L` is nothing.
pub struct Routing<L = ()> {
    shared: Arc<ArcSwap<Shared<L>>>,
    streak: AtomicU64,
    refuge_is_lost: AtomicBool,
    notices: Sender<Notice>,
}

/// A worker's own view of the shared value: one load per request, without a reference count.
pub type View<L = ()> = Cache<Arc<ArcSwap<Shared<L>>>, Arc<Shared<L>>>;

impl Routing {
    /// Starts with `table`, which is everything on blue unless the journal remembers more.
    pub fn new(table: Table, trigger: Option<StreakTrigger>, notices: Sender<Notice>) -> Routing {
        Routing::to(Arc::new(()), table, trigger, notices)
    }
}

impl<L> Routing<L> {
    /// As [`Routing::new`], routing to `live`.
    pub fn to(live: Arc<L>, table: Table, trigger: Option<StreakTrigger>, notices: Sender<Notice>) -> Routing<L> {
        Routing {
            streak: AtomicU64::new(Streak::opened(table.epoch).pack()),
            shared: Arc::new(ArcSwap::from_pointee(Shared { table, live, judged_by: judged_by(trigger) })),
            refuge_is_lost: AtomicBool::new(false),
            notices,
        }
    }

    pub fn view(&self) -> View<L> {
        Cache::new(Arc::clone(&self.shared))
    }

    pub fn table(&self) -> Table {
        self.shared.load().table
    }

    pub fn live(&self) -> Arc<L> {
        Arc::clone(&self.shared.load().live)
    }

    pub fn refuge(&self) -> Refuge {
        if self.refuge_is_lost.load(Ordering::Relaxed) { Refuge::Lost } else { Refuge::Open }
    }

    pub fn set_refuge(&self, refuge: Refuge) {
        self.refuge_is_lost.store(refuge == Refuge::Lost, Ordering::Relaxed);
    }

    /// Routes to `live` from the next request on.
    pub fn serve(&self, live: &Arc<L>) {
        self.replace(|shared| Some(Shared { live: Arc::clone(live), ..shared.clone() }));
    }

    /// The same, where the cohorts that are on green in `epoch` have these places, and the routes that go to blue these
    /// numbers.
    pub fn serve_with(&self, live: &Arc<L>, epoch: Epoch, cohorts: Cohorts, taken_back: RouteSet) {
        self.replace(|shared| {
            let before = shared.table;
            let table = if before.epoch == epoch { Table { cohorts, taken_back, ..before } } else { before };
            Some(Shared { table, live: Arc::clone(live), ..shared.clone() })
        });
    }

    /// Judges the streak by another trigger. What has been seen of it stays.
    pub fn judge_by(&self, trigger: Option<StreakTrigger>) {
        let judged_by = judged_by(trigger);
        self.replace(|shared| Some(Shared { judged_by: judged_by.clone(), ..shared.clone() }));
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
                let roles = table.roles.exchanged();
                Some(Table { roles, route: Route::Completed, taken_back: RouteSet::default(), ..*table })
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
                return Some(Table {
                    epoch,
                    route: Route::Split(weight),
                    change: 0,
                    mirror: Some(Weight::ZERO),
                    cohorts: Cohorts::NONE,
                    taken_back: RouteSet::default(),
                    ..*table
                });
            }
            let open = table.epoch == epoch && matches!(table.route, Route::Split(_));
            open.then(|| table.weighed(weight))
        })
    }

    /// Has this share of blue's requests copied to green, in `epoch`, and these cohorts there; none where its release is not
    /// open.
    pub fn beside(&self, epoch: Epoch, share: Option<Weight>, cohorts: Cohorts) -> bool {
        self.change(|table| {
            let open = table.epoch == epoch && matches!(table.route, Route::Split(_));
            let next = Table { mirror: share, cohorts, ..*table };
            (open && next != *table).then_some(next)
        })
    }

    /// Has the requests on these routes, and on no others, go to blue in `epoch`, as long as its release is open. What was
    /// routed before is told from what comes as by another weight.
    pub fn take_back(&self, epoch: Epoch, routes: RouteSet) -> bool {
        self.change(|table| {
            let open = table.epoch == epoch && matches!(table.route, Route::Split(_));
            let change = table.change.wrapping_add(1);
            (open && table.taken_back != routes).then_some(Table { taken_back: routes, change, ..*table })
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
        let mut packed = self.streak.load(Ordering::Acquire);
        if Streak::is_untouched(packed, &answer) {
            return;
        }
        let shared = self.shared.load();
        let Some((rule, action)) = shared.judged_by.as_deref() else { return };
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
        self.replace(|shared| Some(Shared { table: next(&shared.table)?, ..shared.clone() }))
    }

    fn replace(&self, next: impl Fn(&Shared<L>) -> Option<Shared<L>>) -> bool {
        let mut current = self.shared.load();
        loop {
            let Some(wanted) = next(&current) else { return false };
            let previous = self.shared.compare_and_swap(&*current, Arc::new(wanted));
            if Arc::ptr_eq(&previous, &current) {
                return true;
            }
            current = previous;
        }
    }
}

impl<L> Clone for Shared<L> {
    fn clone(&self) -> Shared<L> {
        Shared { table: self.table, live: Arc::clone(&self.live), judged_by: self.judged_by.clone() }
    }
}

fn judged_by(trigger: Option<StreakTrigger>) -> Option<Arc<(Rule, Action)>> {
    trigger.map(|trigger| Arc::new((Rule::new(&trigger), trigger.action)))
}

#[cfg(test)]
mod tests;
