//! What several proxies have counted, added up in one of them, tick by tick. Pure.
//!
//! All of them draw green's share alike, so a tick in which one of them counted is a fair sample of both versions whether it
//! comes at once or two seconds later: both versions are as late. What must not be mixed is different shares: where green
//! gets more of its traffic in a bad zone than elsewhere, the sum blames it for the zone. So only what was counted at the
//! present weight is added as if it had been counted here.
//!
//! Absent: endpoints. Every proxy singles its own bad ones out before it tells what it counted.

use std::collections::BTreeMap;
use std::time::Duration;

use super::clients::{Keys, Union};
use super::routes::{RouteTick, RouteTicks};
use super::tick::{Part, Tick};
use crate::gate::{ByVersion, Latency, Version};
use crate::release::{Epoch, Weight};

/// What requests are routed by, alike in all proxies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    pub epoch: Epoch,
    pub weight: Weight,
    /// How many routes go to blue although the release goes on.
    pub taken_back: usize,
}

/// Whose requests a tick had, as far as others need to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drawers {
    pub versions: ByVersion<Keys>,
    pub arm: Keys,
    /// By number.
    pub routes: Vec<ByVersion<Keys>>,
}

/// One tick of one proxy.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub split: Split,
    pub tick: Tick,
    pub drawers: Drawers,
}

/// The other proxies, and what they have told.
#[derive(Clone, Debug, Default)]
pub struct Replicas {
    of: BTreeMap<String, Replica>,
    split: Split,
    /// Since when requests are split like this.
    since: Duration,
}

/// What is known of one.
#[derive(Clone, Debug, Default)]
struct Replica {
    /// What has come since the last tick, with when it was counted.
    due: Vec<(Duration, Counted)>,
    /// What holds of the moment: it is added to every tick until a newer one comes.
    newest: Option<Moment>,
    account: Account,
}

/// What is no count over time.
#[derive(Clone, Debug, Default)]
struct Moment {
    split: Split,
    counted: Duration,
    waiting: ByVersion<Latency>,
    arm: Latency,
    routes: Vec<ByVersion<Latency>>,
    held: u64,
}

/// What became of the ticks that one has told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// As if they had been counted here.
    pub present: u64,
    /// As requests that were routed before the weight last changed: bounds are judged by them, the comparison is not.
    pub late: u64,
    /// Not at all: of another epoch.
    pub of_other_epoch: u64,
    /// Not at all: too old.
    pub too_old: u64,
    /// How old the newest was when it was added.
    pub lag: Duration,
}

/// What is older is no evidence of the same moments any more: bounds that must be crossed for a time would be crossed by a heap
/// of it. A proxy that answers is heard of ten times a second, and one that misses a beat or two is within this.
pub const PRESENT: Duration = Duration::from_secs(2);

/// What is older is not added at all: the shortest windows that people use would hold more of it than of the present. The proxy
/// that counted it has judged it.
pub const OLDEST: Duration = Duration::from_secs(10);

/// What becomes of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Becomes {
    Present,
    Late,
    OfOtherEpoch,
    TooOld,
}

impl Counted {
    /// Gives every route the number that `numbers` has for it, of which there are so many.
    pub fn renumber(&mut self, numbers: &[usize], places: usize) {
        let routes = std::mem::take(&mut self.tick.routes.places);
        let keys = std::mem::take(&mut self.drawers.routes);
        self.tick.routes.places.resize_with(places, RouteTick::default);
        self.drawers.routes.resize_with(places, ByVersion::default);
        for (route, number) in routes.iter().zip(numbers) {
            let Some(place) = self.tick.routes.places.get_mut(*number) else { continue };
            for version in Version::BOTH {
                place.judged.of_mut(version).add(route.judged.of(version));
                place.waiting.of_mut(version).add(route.waiting.of(version));
            }
        }
        for (keys, number) in keys.iter().zip(numbers) {
            let Some(place) = self.drawers.routes.get_mut(*number) else { continue };
            Version::BOTH.iter().for_each(|version| place.of_mut(*version).merge(keys.of(*version)));
        }
    }
}

impl Replicas {
    /// Takes a tick that `replica` counted at `counted`, on this proxy's clock. Ticks of one come in their order.
    pub fn take(&mut self, replica: &str, counted: Duration, tick: Counted) {
        match self.of.get_mut(replica) {
            Some(known) => known.due.push((counted, tick)),
            None => {
                let due = vec![(counted, tick)];
                self.of.insert(replica.to_owned(), Replica { due, ..Replica::default() });
            }
        }
    }

    /// It is no longer one of them, or another process by now: what waited there waits no more.
    pub fn forget(&mut self, replica: &str) {
        self.of.remove(replica);
    }

    pub fn forget_all(&mut self) {
        self.of.clear();
    }

    pub fn account(&self, replica: &str) -> Account {
        self.of.get(replica).map(|known| known.account).unwrap_or_default()
    }

    /// Adds what the others have told to `sum`, which holds what was counted here, by the clients in `own`, since the last tick. Call
    /// it every tick.
    pub fn add_to(&mut self, sum: &mut Tick, own: &Drawers, split: Split, now: Duration) {
        if self.split != split {
            (self.split, self.since) = (split, now);
        }
        let mut clients = Clients::of(own);
        for replica in self.of.values_mut() {
            for (counted, tick) in std::mem::take(&mut replica.due) {
                let becomes = becomes(tick.split, counted, split, self.since, now);
                replica.account.note(becomes, now.saturating_sub(counted));
                add(sum, &tick.tick, becomes);
                if becomes == Becomes::Present {
                    clients.add(&tick.drawers);
                }
                replica.newest = Some(Moment::of(tick, counted));
            }
            // One that does not answer keeps what waited there: if that vanished and came back, it would be counted twice.
            let newest = replica.newest.as_ref();
            if let Some(moment) = newest.filter(|moment| moment.split == split && moment.counted >= self.since) {
                moment.add_to(sum);
            }
        }
        clients.count(sum);
    }
}

fn becomes(of: Split, counted: Duration, split: Split, since: Duration, now: Duration) -> Becomes {
    let age = now.saturating_sub(counted);
    if of.epoch != split.epoch {
        Becomes::OfOtherEpoch
    } else if age > OLDEST {
        Becomes::TooOld
    } else if of != split || counted < since || age > PRESENT {
        Becomes::Late
    } else {
        Becomes::Present
    }
}

impl Account {
    fn note(&mut self, becomes: Becomes, lag: Duration) {
        let count = match becomes {
            Becomes::Present => &mut self.present,
            Becomes::Late => &mut self.late,
            Becomes::OfOtherEpoch => &mut self.of_other_epoch,
            Becomes::TooOld => &mut self.too_old,
        };
        *count += 1;
        self.lag = lag;
    }
}

fn add(sum: &mut Tick, tick: &Tick, becomes: Becomes) {
    if matches!(becomes, Becomes::OfOtherEpoch | Becomes::TooOld) {
        return;
    }
    for version in Version::BOTH {
        let samples = tick.samples.of(version);
        match becomes {
            Becomes::Present => sum.samples.of_mut(version).add(samples),
            Becomes::Late | Becomes::OfOtherEpoch | Becomes::TooOld => sum.late.of_mut(version).add(samples),
        }
        sum.late.of_mut(version).add(tick.late.of(version));
        sum.shown.of_mut(version).add(tick.shown.of(version));
    }
    sum.shielded.add(tick.shielded);
    if becomes == Becomes::Present {
        sum.arm.sample.add(&tick.arm.sample);
        add_routes(&mut sum.routes, &tick.routes);
    }
    if let Some(mirrored) = &tick.mirrored {
        let of_sum = sum.mirrored.get_or_insert_default();
        of_sum.epoch = mirrored.epoch;
        of_sum.add(mirrored);
    }
    if let Some(overridden) = &tick.overridden {
        let of_sum = sum.overridden.get_or_insert_default();
        Version::BOTH.iter().for_each(|version| of_sum.of_mut(*version).add(overridden.of(*version)));
    }
}

fn add_routes(sum: &mut RouteTicks, routes: &RouteTicks) {
    for (sum, place) in sum.places.iter_mut().zip(&routes.places) {
        for version in Version::BOTH {
            sum.judged.of_mut(version).add(place.judged.of(version));
        }
    }
}

impl Moment {
    fn of(Counted { split, tick, .. }: Counted, counted: Duration) -> Moment {
        let Tick { waiting, arm: Part { waiting: arm, .. }, routes, held, .. } = tick;
        let routes = routes.places.into_iter().map(|place| place.waiting).collect();
        Moment { split, counted, waiting, arm, routes, held: held.green }
    }

    fn add_to(&self, sum: &mut Tick) {
        for version in Version::BOTH {
            sum.waiting.of_mut(version).add(self.waiting.of(version));
        }
        sum.arm.waiting.add(&self.arm);
        for (place, waiting) in sum.routes.places.iter_mut().zip(&self.routes) {
            for version in Version::BOTH {
                place.waiting.of_mut(version).add(waiting.of(version));
            }
        }
        sum.held.green += self.held;
    }
}

/// Whose requests are in the sum.
struct Clients {
    versions: ByVersion<Union>,
    arm: Union,
    routes: Vec<ByVersion<Union>>,
}

impl Clients {
    fn of(own: &Drawers) -> Clients {
        let routes = own.routes.iter().map(|_| ByVersion::default()).collect();
        let mut clients = Clients { versions: ByVersion::default(), arm: Union::default(), routes };
        clients.add(own);
        clients
    }

    fn add(&mut self, drawers: &Drawers) {
        let add = |union: &mut ByVersion<Union>, keys: &ByVersion<Keys>| {
            Version::BOTH.iter().for_each(|version| union.of_mut(*version).add(keys.of(*version)));
        };
        add(&mut self.versions, &drawers.versions);
        self.arm.add(&drawers.arm);
        self.routes.iter_mut().zip(&drawers.routes).for_each(|(union, keys)| add(union, keys));
    }

    fn count(&self, sum: &mut Tick) {
        sum.clients = ByVersion::build(|version| self.versions.of(version).count());
        sum.arm.clients = self.arm.count();
        for (place, union) in sum.routes.places.iter_mut().zip(&self.routes) {
            place.clients = ByVersion::build(|version| union.of(version).count());
        }
    }
}

#[cfg(test)]
mod tests;
