//! What one worker has counted since it last handed its shard over.

use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::clients::Clients;
use super::cohorts::Cohorts;
use super::gauges::Gauges;
use super::handshakes::{Handshake, Handshakes};
use super::mirrored::Mirrored;
use super::overrides::{Overridden, Overrides};
use super::proxy_headers::{ProxyHeader, ProxyHeaders};
use super::record::count_in;
pub use super::record::{Arm, Count, FailedAt, Member, Record, Standing, Took, Unanswered};
use super::routes::RouteShards;
pub use super::sample::Sample;
use super::sheds::{Shed, Sheds};
use super::shields::{OfGreen, Shielded, Shields};
use super::templates::Templates;
use crate::gate::policy::Seen;
use crate::gate::streak::Routed;
use crate::gate::{ByVersion, Charge, Latency, Version};

/// One worker's counts.
///
/// Most requests are judged by what is shown, and counted once, in `samples`. The others are counted in two of the parts.
#[derive(Debug, Default)]
pub struct Shard {
    /// By the newest table that the worker has seen.
    pub routed: Routed,
    /// Without those on routes; see [`Shard::counts`].
    pub(super) plain: Vec<Count>,
    /// None before the first request on one.
    pub(super) routes: Option<Box<RouteShards>>,
    /// Evidence of requests that were routed by that table.
    pub samples: ByVersion<Sample>,
    /// Evidence as well, of which something else is shown.
    pub judged_only: ByVersion<Sample>,
    /// Evidence of requests that were routed in the same epoch before the weight last changed.
    pub late: ByVersion<Sample>,
    /// What is shown of requests of this epoch that are not in `samples`.
    pub shown_only: ByVersion<Sample>,
    /// What is shown in metrics alone: of earlier epochs, or of requests that stand aside.
    pub aside: ByVersion<Sample>,
    /// Failures that may be an endpoint's. They are in `shown_only`, and no evidence yet.
    pub failed: Vec<FailedAt>,
    /// Requests that each endpoint served, where it is told from its version.
    pub served: ByVersion<Vec<u32>>,
    /// The part of blue's evidence that is drawn to stand in for green.
    pub arm: Sample,
    pub arm_clients: Clients,
    /// Of the requests in `samples` and `judged_only`.
    pub clients: ByVersion<Clients>,
    /// How long the versions have had the requests without a response head, when the shard was handed over; only of those
    /// that were routed by the newest table.
    pub waiting: ByVersion<Latency>,
    pub arm_waiting: Latency,
    /// How long connections took to be made.
    pub connects: ByVersion<Latency>,
    pub gauges: Gauges,
    pub panics: u64,
    pub handshakes: Handshakes,
    pub proxy_headers: ProxyHeaders,
    pub sheds: Sheds,
    pub shields: Shields,
    /// Of requests on no route, where routes are learnt.
    pub templates: Templates,
    /// None where nothing was copied.
    pub mirrored: Option<Box<Mirrored>>,
    /// What triggers see of requests whose version was chosen, or that are of a cohort; none where there were none.
    pub overridden: Option<Box<ByVersion<Sample>>>,
    pub overrides: Overrides,
    pub cohorts: Cohorts,
}

/// The worker's side: counts, and hands over.
pub struct Recorder {
    shard: Box<Shard>,
    handed: Sender<Box<Shard>>,
    emptied: Receiver<Box<Shard>>,
    /// What was last said of the moment.
    gauges: Gauges,
    waited: bool,
}

/// The control thread's side of one worker.
pub struct Collector {
    handed: Receiver<Box<Shard>>,
    emptied: Sender<Box<Shard>>,
}

/// Shards that wait to be collected. When they are not, the worker goes on counting in the one it has.
const WAITING: usize = 4;

/// Failures between two hand-overs that are kept one by one. Where there are more the version itself is bad.
const MOST_FAILED: usize = 1024;

/// Both ends for one worker.
pub fn pair() -> (Recorder, Collector) {
    let (hand, handed) = channel(WAITING);
    let (empty, emptied) = channel(WAITING + 1);
    let recorder = Recorder { shard: Box::default(), handed: hand, emptied, gauges: Gauges::default(), waited: false };
    (recorder, Collector { handed, emptied: empty })
}

impl Shard {
    pub fn record(&mut self, record: &Record) {
        match record.route {
            None => count_in(&mut self.plain, record),
            Some(route) => self.routes.get_or_insert_default().count(route, record),
        }
        let Some(version) = record.version else { return };
        if record.routed != self.routed {
            self.open(record.routed);
        }
        let is_old = record.routed.epoch != self.routed.epoch;
        let to_triggers = match record.standing {
            Standing::Overridden(Seen { triggers, .. }) => triggers,
            Standing::Cohort(Member { cohort, .. }) => {
                self.cohorts.count(usize::from(cohort), record.charge);
                true
            }
            Standing::Evidence | Standing::WarmUp | Standing::Aside => false,
        };
        if to_triggers && !is_old {
            let judged = if record.standing.is_of_warm_up() { Took::default() } else { record.judged };
            self.overridden.get_or_insert_default().of_mut(version).record(record.charge, judged);
        }
        if is_old || !matches!(record.standing, Standing::Evidence | Standing::WarmUp) {
            return self.aside.of_mut(version).record(record.charge, record.shown);
        }
        self.take(version, record);
    }

    /// Counts a request of this epoch.
    fn take(&mut self, version: Version, record: &Record) {
        let Record { charge, standing, drawn, arm, route, endpoint, routed, shown, .. } = *record;
        let judged = if standing == Standing::WarmUp { Took::default() } else { record.judged };
        if let Some(endpoint) = endpoint {
            if charge == Charge::Failed && self.failed.len() < MOST_FAILED {
                self.shown_only.of_mut(version).record(charge, shown);
                self.failed.push(FailedAt { version, endpoint, routed, arm, route, judged });
                return;
            }
            if charge == Charge::Served {
                self.serve(version, endpoint);
            }
        }
        if routed != self.routed {
            self.late.of_mut(version).record(charge, judged);
            self.shown_only.of_mut(version).record(charge, shown);
            return;
        }
        if judged == shown {
            self.samples.of_mut(version).record(charge, judged);
        } else {
            self.judged_only.of_mut(version).record(charge, judged);
            self.shown_only.of_mut(version).record(charge, shown);
        }
        if let Some(routes) = &mut self.routes {
            routes.take(version, record, judged);
        }
        if arm == Arm::Drawn {
            self.arm.record(charge, judged);
        }
        if charge != Charge::Nobody {
            self.clients.of_mut(version).add(drawn);
            if arm == Arm::Drawn {
                self.arm_clients.add(drawn);
            }
        }
    }

    fn serve(&mut self, version: Version, endpoint: usize) {
        let served = self.served.of_mut(version);
        if served.len() <= endpoint {
            served.resize(endpoint + 1, 0);
        }
        served[endpoint] += 1;
    }

    /// Takes note of a table, if it is newer than the one known.
    fn open(&mut self, routed: Routed) {
        let begins = routed.epoch > self.routed.epoch;
        if !begins && (routed.epoch < self.routed.epoch || !routed.changed_since(self.routed)) {
            return;
        }
        for version in Version::BOTH {
            let sample = self.samples.of_mut(version);
            if begins {
                self.aside.of_mut(version).add(sample);
                self.aside.of_mut(version).add(self.shown_only.of(version));
                self.shown_only.of_mut(version).clear();
                self.late.of_mut(version).clear();
                self.served.of_mut(version).clear();
            } else {
                self.late.of_mut(version).add(sample);
                self.late.of_mut(version).add(self.judged_only.of(version));
                self.shown_only.of_mut(version).add(sample);
            }
            sample.clear();
            self.judged_only.of_mut(version).clear();
            self.clients.of_mut(version).clear();
        }
        if begins {
            self.shields.begin();
            self.failed.clear();
            self.overridden = None;
        }
        if let Some(routes) = &mut self.routes {
            routes.open();
        }
        self.arm.clear();
        self.arm_clients.clear();
        self.routed = routed;
    }

    fn of_green(&mut self, failed: Option<Routed>) -> OfGreen {
        let Some(routed) = failed else { return OfGreen::Aside };
        self.open(routed);
        if routed.epoch == self.routed.epoch { OfGreen::Failure } else { OfGreen::Aside }
    }

    fn wait(&mut self, waiting: impl Iterator<Item = Unanswered>) {
        for version in Version::BOTH {
            self.waiting.of_mut(version).clear();
        }
        self.arm_waiting.clear();
        if let Some(routes) = &mut self.routes {
            routes.wait_no_more();
        }
        for unanswered in waiting {
            let Unanswered { version, arm, age, route } = unanswered;
            self.waiting.of_mut(version).record(age);
            if route.is_some() {
                self.routes.get_or_insert_default().wait(&unanswered);
            }
            if arm == Arm::Drawn {
                self.arm_waiting.record(age);
            }
        }
    }

    /// Every request that ended, by what it came to.
    pub fn counts(&self) -> impl Iterator<Item = &Count> {
        self.plain.iter().chain(self.routes.iter().flat_map(|routes| routes.counts()))
    }

    pub fn is_empty(&self) -> bool {
        let of_connections = !self.handshakes.is_empty() || !self.proxy_headers.is_empty() || !self.sheds.is_empty();
        let on_routes = self.routes.as_ref().is_some_and(|routes| !routes.is_empty());
        let of_connections = of_connections || !self.overrides.is_empty() || !self.cohorts.is_empty();
        let counted = self.panics > 0 || !self.shields.is_empty() || !self.plain.is_empty() || on_routes;
        let counted = counted || self.mirrored.is_some();
        !counted && !of_connections && Version::BOTH.into_iter().all(|v| self.connects.of(v).is_empty())
    }

    fn clear(&mut self) {
        self.plain.clear();
        if let Some(routes) = &mut self.routes {
            routes.clear();
        }
        self.panics = 0;
        self.handshakes = Handshakes::default();
        self.proxy_headers = ProxyHeaders::default();
        self.sheds = Sheds::default();
        self.shields = Shields::default();
        self.templates.clear();
        self.mirrored = None;
        self.overridden = None;
        self.overrides = Overrides::default();
        self.cohorts.clear();
        self.failed.clear();
        self.arm.clear();
        self.arm_clients.clear();
        self.arm_waiting.clear();
        for version in Version::BOTH {
            let parts =
                [&mut self.samples, &mut self.judged_only, &mut self.late, &mut self.shown_only, &mut self.aside];
            parts.into_iter().for_each(|part| part.of_mut(version).clear());
            self.served.of_mut(version).clear();
            self.clients.of_mut(version).clear();
            self.waiting.of_mut(version).clear();
            self.connects.of_mut(version).clear();
        }
    }
}

impl Recorder {
    pub fn record(&mut self, record: &Record) {
        self.shard.record(record);
    }

    pub fn shook_hands(&mut self, handshake: Handshake) {
        self.shard.handshakes.count(handshake);
    }

    pub fn read_proxy_header(&mut self, header: ProxyHeader) {
        self.shard.proxy_headers.count(header);
    }

    pub fn shed(&mut self, what: Shed) {
        self.shard.sheds.count(what);
    }

    /// What became of a request that green `failed`, routed so, if that is a failure that people are shown.
    pub fn shielded(&mut self, shielded: Shielded, failed: Option<Routed>) {
        let of_green = self.shard.of_green(failed);
        self.shard.shields.count(shielded, of_green);
    }

    /// Blue gets a request that green `failed`, routed so, if that is a failure that people are shown.
    pub fn gave_to_blue(&mut self, failed: Option<Routed>) {
        let of_green = self.shard.of_green(failed);
        self.shard.shields.give(of_green);
    }

    /// A request on no route was for `path`.
    pub fn saw(&mut self, path: &str) {
        self.shard.templates.see(path);
    }

    /// A request asked for a version.
    pub fn overridden(&mut self, came_to: Overridden) {
        self.shard.overrides.count(came_to);
    }

    pub fn mirrored(&mut self) -> &mut Mirrored {
        self.shard.mirrored.get_or_insert_default()
    }

    pub fn panicked(&mut self) {
        self.shard.panics += 1;
    }

    /// A connection to an endpoint of `version` was made in this time.
    pub fn connected(&mut self, version: Version, took: Duration) {
        self.shard.connects.of_mut(version).record(took);
    }

    /// Hands the shard over if it holds anything new. Call it twice a tick; it never waits.
    ///
    /// `routed` is by the table as of now, and `waiting` the requests by that table which have no response head yet and
    /// will be evidence of latency.
    pub fn hand_over(&mut self, gauges: Gauges, routed: Routed, waiting: impl Iterator<Item = Unanswered>) {
        self.shard.open(routed);
        self.shard.wait(waiting);
        let waits = Version::BOTH.into_iter().any(|version| !self.shard.waiting.of(version).is_empty());
        if self.shard.is_empty() && gauges == self.gauges && !waits && !self.waited {
            return;
        }
        self.shard.gauges = gauges;
        let mut next = self.emptied.try_recv().unwrap_or_default();
        next.routed = self.shard.routed;
        match self.handed.try_send(std::mem::replace(&mut self.shard, next)) {
            Ok(()) => {
                self.gauges = gauges;
                self.waited = waits;
            }
            Err(refused) => self.shard = refused.into_inner(),
        }
    }
}

impl Collector {
    /// Passes every shard that has been handed over to `take`.
    pub fn collect(&mut self, mut take: impl FnMut(&mut Shard)) {
        while let Ok(mut shard) = self.handed.try_recv() {
            take(&mut shard);
            shard.clear();
            if self.emptied.try_send(shard).is_err() {
                // The worker is gone or has enough: the memory goes back.
            }
        }
    }
}

#[cfg(test)]
mod tests;
