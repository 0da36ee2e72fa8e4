//! What all workers have counted since the last tick, added up in one place.

use super::clients::Clients;
use super::gauges::Gauges;
use super::mirrored::Mirrored;
use super::replicas::Drawers;
use super::routes::{RouteSums, RouteTicks, RouteWaits};
use super::shard::{Collector, FailedAt, Sample, Shard};
use super::shields::InEpoch;
use crate::gate::streak::Routed;
use crate::gate::{ByVersion, Evidence, Latency, Version};

/// One tick of evidence.
#[derive(Clone, Debug, Default)]
pub struct Tick {
    /// Of requests that were routed at the present weight.
    pub samples: ByVersion<Sample>,
    /// Of requests of the same epoch that were routed before the weight last changed. Bounds are judged by them as well; the
    /// comparison is not: quick answers and slow ones of two weights are no fair sample of both versions.
    pub late: ByVersion<Sample>,
    /// What people are shown: every request of the epoch, with the times that clients saw.
    pub shown: ByVersion<Evidence>,
    /// How long the requests that have no response head yet have waited for one. A view of this moment, not a count over
    /// time: the next tick shows the same requests again, older.
    pub waiting: ByVersion<Latency>,
    /// How many draws the requests come from, where a key keeps clients on one version.
    pub clients: ByVersion<Option<u64>>,
    /// The part of blue's samples, of its waiting requests and its clients that is drawn to stand in for green.
    pub arm: Part,
    /// Failures that may be an endpoint's, and what the endpoints served beside them.
    pub failed: Vec<FailedAt>,
    pub served: ByVersion<Vec<u64>>,
    /// How many failures of each version are held back until it is known whose they are.
    pub held: ByVersion<u64>,
    /// What blue got in green's place.
    pub shielded: InEpoch,
    /// The samples, the waiting requests and their clients once more, by route.
    pub routes: RouteTicks,
    pub gauges: Gauges,
    /// Of mirrored requests of the epoch; none where there were none.
    pub mirrored: Option<Box<Mirrored>>,
    /// What triggers see of requests whose version was chosen, or that are of a cohort; none where there were none.
    pub overridden: Option<Box<ByVersion<Sample>>>,
}

/// A part of one version's requests.
#[derive(Clone, Debug, Default)]
pub struct Part {
    pub sample: Sample,
    pub waiting: Latency,
    pub clients: Option<u64>,
}

/// The control thread's side of all workers.
pub struct Collectors {
    workers: Vec<Worker>,
    clients: ByVersion<Clients>,
    arm_clients: Clients,
    routes: RouteSums,
}

struct Worker {
    collector: Collector,
    newest: Newest,
}

/// What a worker last said of the moment.
#[derive(Default)]
struct Newest {
    routed: Routed,
    gauges: Gauges,
    waiting: ByVersion<Latency>,
    arm_waiting: Latency,
    routes: RouteWaits,
}

impl Tick {
    fn take(&mut self, shard: &Shard, routed: Routed) {
        let is_late = routed.changed_since(shard.routed);
        for version in Version::BOTH {
            let (own, only) = (shard.samples.of(version), shard.judged_only.of(version));
            let shown = self.shown.of_mut(version);
            shown.add(&own.evidence);
            shown.add(&shard.shown_only.of(version).evidence);
            self.late.of_mut(version).add(shard.late.of(version));
            let evidence = if is_late { self.late.of_mut(version) } else { self.samples.of_mut(version) };
            evidence.add(own);
            evidence.add(only);
            let served = self.served.of_mut(version);
            let of_shard = shard.served.of(version);
            served.resize(served.len().max(of_shard.len()), 0);
            served.iter_mut().zip(of_shard).for_each(|(sum, count)| *sum += u64::from(*count));
        }
        let shields = shard.shields.in_epoch();
        self.shown.green.shielded += shields.answered;
        self.shielded.add(shields);
        self.failed.extend(&shard.failed);
        if !is_late {
            self.arm.sample.add(&shard.arm);
        }
    }
}

impl Collectors {
    pub fn new(collectors: impl IntoIterator<Item = Collector>) -> Collectors {
        let workers = collectors.into_iter().map(|collector| Worker { collector, newest: Newest::default() });
        Collectors {
            workers: workers.collect(),
            clients: ByVersion::default(),
            arm_clients: Clients::default(),
            routes: RouteSums::default(),
        }
    }

    /// Tells so many places of this edition apart from here on.
    pub fn follow_routes(&mut self, edition: u16, places: usize) {
        self.routes.follow(edition, places);
    }

    /// Takes every shard that was handed over. What belongs to the epoch of `routed`, the table as of now, is evidence; `each`
    /// sees all of it.
    pub fn tick(&mut self, routed: Routed, mut each: impl FnMut(&Shard)) -> Tick {
        let Collectors { workers, clients, arm_clients, routes } = self;
        let mut tick = Tick { routes: routes.begin(), ..Tick::default() };
        for version in Version::BOTH {
            clients.of_mut(version).clear();
        }
        arm_clients.clear();
        for Worker { collector, newest } in workers {
            collector.collect(|shard| {
                each(shard);
                if shard.routed.epoch == routed.epoch {
                    tick.take(shard, routed);
                    if let Some(overridden) = &shard.overridden {
                        let sum = tick.overridden.get_or_insert_default();
                        Version::BOTH.iter().for_each(|version| sum.of_mut(*version).add(overridden.of(*version)));
                    }
                    for version in Version::BOTH {
                        clients.of_mut(version).merge(shard.clients.of(version));
                    }
                    arm_clients.merge(&shard.arm_clients);
                    if let Some(shards) = shard.routes.as_ref().filter(|_| !routed.changed_since(shard.routed)) {
                        routes.take(&mut tick.routes, shards);
                    }
                }
                if let Some(mirrored) = shard.mirrored.as_ref().filter(|mirrored| mirrored.epoch == routed.epoch) {
                    tick.mirrored.get_or_insert_default().add(mirrored);
                }
                newest.routed = shard.routed;
                newest.gauges = shard.gauges;
                std::mem::swap(&mut newest.waiting, &mut shard.waiting);
                std::mem::swap(&mut newest.arm_waiting, &mut shard.arm_waiting);
                newest.routes.take(shard.routes.as_deref_mut());
            });
            tick.gauges = tick.gauges.plus(newest.gauges);
            if newest.routed.epoch == routed.epoch && !routed.changed_since(newest.routed) {
                for version in Version::BOTH {
                    tick.waiting.of_mut(version).add(newest.waiting.of(version));
                }
                tick.arm.waiting.add(&newest.arm_waiting);
                newest.routes.add_to(&mut tick.routes);
            }
        }
        tick.clients = ByVersion::build(|version| clients.of(version).count());
        tick.arm.clients = arm_clients.count();
        routes.end(&mut tick.routes);
        tick
    }

    /// Whose requests the last tick had.
    pub fn drawers(&self) -> Drawers {
        Drawers {
            versions: ByVersion::build(|version| self.clients.of(version).keys()),
            arm: self.arm_clients.keys(),
            routes: self.routes.keys(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::clients::Drawn;
    use super::super::shard::{Arm, Record, Recorder, Standing, Took, Unanswered, pair};
    use super::*;
    use crate::gate::{Charge, Outcome};
    use crate::release::Epoch;

    fn workers<const COUNT: usize>() -> ([Recorder; COUNT], Collectors) {
        let (recorders, collectors): (Vec<_>, Vec<_>) = (0..COUNT).map(|_| pair()).unzip();
        (recorders.try_into().ok().expect("as many"), Collectors::new(collectors))
    }

    fn routed(epoch: Epoch) -> Routed {
        Routed { epoch, change: 0 }
    }

    fn record(epoch: Epoch, drawn: Drawn) -> Record {
        let took = Took { head: Some(Duration::from_millis(1)), whole: Some(Duration::from_millis(1)) };
        Record {
            version: Some(Version::Green),
            routed: routed(epoch),
            outcome: Outcome::Success,
            charge: Charge::Served,
            standing: Standing::Evidence,
            drawn,
            arm: Arm::Rest,
            route: None,
            endpoint: None,
            status: 200,
            grpc: None,
            judged: took,
            shown: took,
        }
    }

    fn hand_over(recorder: &mut Recorder, epoch: Epoch, waiting_ms: &[u64]) {
        let waiting = waiting_ms.iter().map(|ms| {
            let age = Duration::from_millis(*ms);
            Unanswered { version: Version::Green, arm: Arm::Rest, route: None, age }
        });
        recorder.hand_over(Gauges::default(), routed(epoch), waiting);
    }

    #[test]
    fn waiting_requests_are_those_of_the_newest_view_of_each_worker_and_not_a_sum_over_time() {
        let epoch = Epoch::default();
        let ([mut first, mut second], mut collectors) = workers();
        hand_over(&mut first, epoch, &[10, 20]);
        hand_over(&mut first, epoch, &[60, 70, 5]);
        hand_over(&mut second, epoch, &[1_000]);
        let longer = |tick: &Tick, ms| tick.waiting.green.slower_than(Duration::from_millis(ms));
        let tick = collectors.tick(routed(epoch), |_| {});
        assert_eq!((tick.waiting.green.len(), longer(&tick, 50), longer(&tick, 500)), (4, 3, 1));
        assert!(tick.waiting.blue.is_empty());
        hand_over(&mut first, epoch, &[]);
        hand_over(&mut second, epoch, &[1_050]);
        let tick = collectors.tick(routed(epoch), |_| {});
        assert_eq!(
            (tick.waiting.green.len(), longer(&tick, 1_000)),
            (1, 1),
            "the first worker waits for nothing any more"
        );
        hand_over(&mut second, epoch, &[]);
        assert!(collectors.tick(routed(epoch), |_| {}).waiting.green.is_empty());
    }

    #[test]
    fn requests_of_another_epoch_are_no_evidence_whether_they_wait_or_have_ended() {
        let (old, new) = (Epoch::default(), Epoch::default().next());
        let ([mut recorder], mut collectors) = workers();
        recorder.record(&record(old, Drawn::Client(1)));
        hand_over(&mut recorder, old, &[10]);
        let mut seen = 0;
        let tick = collectors.tick(routed(new), |shard| seen += shard.counts().count());
        assert_eq!((tick.samples.green.evidence.requests, tick.waiting.green.len(), seen), (0, 0, 1));
        // Nothing of the new epoch has ended yet.
        hand_over(&mut recorder, new, &[10]);
        assert_eq!(collectors.tick(routed(new), |_| {}).waiting.green.len(), 1);
    }

    #[test]
    fn a_client_that_came_to_two_workers_counts_once() {
        let epoch = Epoch::default();
        let (mut recorders, mut collectors) = workers::<2>();
        for (number, client) in [(0, 1), (1, 1), (1, 2)] {
            let recorder = &mut recorders[number];
            recorder.record(&record(epoch, Drawn::Client(client)));
            hand_over(recorder, epoch, &[]);
        }
        let tick = collectors.tick(routed(epoch), |_| {});
        assert_eq!((tick.samples.green.evidence.requests, tick.clients.green, tick.clients.blue), (3, Some(2), None));
        assert_eq!(collectors.tick(routed(epoch), |_| {}).clients.green, None);
    }
}
