//! What all workers have counted since the last tick, added up in one place.

use super::clients::Clients;
use super::shard::{Collector, Gauges, Sample, Shard};
use crate::gate::{ByVersion, Latency, Version};
use crate::release::Epoch;

/// One tick of evidence.
#[derive(Debug, Default)]
pub struct Tick {
    pub samples: ByVersion<Sample>,
    /// How long the requests that have no response head yet have waited for one. A view of this moment, not a count over
    /// time: the next tick shows the same requests again, older.
    pub waiting: ByVersion<Latency>,
    /// How many draws the requests come from, where a key keeps clients on one version.
    pub clients: ByVersion<Option<u64>>,
    pub gauges: Gauges,
}

/// The control thread's side of all workers.
pub struct Collectors {
    workers: Vec<Worker>,
    clients: ByVersion<Clients>,
}

struct Worker {
    collector: Collector,
    newest: Newest,
}

/// What a worker last said of the moment.
#[derive(Default)]
struct Newest {
    epoch: Epoch,
    gauges: Gauges,
    waiting: ByVersion<Latency>,
}

impl Collectors {
    pub fn new(collectors: impl IntoIterator<Item = Collector>) -> Collectors {
        let workers = collectors.into_iter().map(|collector| Worker { collector, newest: Newest::default() });
        Collectors { workers: workers.collect(), clients: ByVersion::default() }
    }

    /// Takes every shard that was handed over. What belongs to `epoch` is evidence; `each` sees all of it.
    pub fn tick(&mut self, epoch: Epoch, mut each: impl FnMut(&Shard)) -> Tick {
        let Collectors { workers, clients } = self;
        let mut tick = Tick::default();
        for version in Version::BOTH {
            clients.of_mut(version).clear();
        }
        for Worker { collector, newest } in workers {
            collector.collect(|shard| {
                each(shard);
                if shard.epoch == epoch {
                    for version in Version::BOTH {
                        tick.samples.of_mut(version).add(shard.samples.of(version));
                        clients.of_mut(version).merge(shard.clients.of(version));
                    }
                }
                newest.epoch = shard.epoch;
                newest.gauges = shard.gauges;
                std::mem::swap(&mut newest.waiting, &mut shard.waiting);
            });
            tick.gauges = tick.gauges.plus(newest.gauges);
            if newest.epoch == epoch {
                for version in Version::BOTH {
                    tick.waiting.of_mut(version).add(newest.waiting.of(version));
                }
            }
        }
        tick.clients = ByVersion::build(|version| clients.of(version).count());
        tick
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::clients::Drawn;
    use super::super::shard::{Record, Recorder, Standing, pair};
    use super::*;
    use crate::gate::{Charge, Outcome};

    fn workers<const COUNT: usize>() -> ([Recorder; COUNT], Collectors) {
        let (recorders, collectors): (Vec<_>, Vec<_>) = (0..COUNT).map(|_| pair()).unzip();
        (recorders.try_into().ok().expect("as many"), Collectors::new(collectors))
    }

    fn record(epoch: Epoch, drawn: Drawn) -> Record {
        Record {
            version: Some(Version::Green),
            epoch,
            outcome: Outcome::Success,
            charge: Charge::Served,
            standing: Standing::Evidence,
            drawn,
            status: 200,
            head: Some(Duration::from_millis(1)),
            whole: Duration::from_millis(1),
        }
    }

    fn hand_over(recorder: &mut Recorder, epoch: Epoch, waiting_ms: &[u64]) {
        let waiting = waiting_ms.iter().map(|ms| (Version::Green, Duration::from_millis(*ms)));
        recorder.hand_over(Gauges::default(), epoch, waiting);
    }

    #[test]
    fn waiting_requests_are_those_of_the_newest_view_of_each_worker_and_not_a_sum_over_time() {
        let epoch = Epoch::default();
        let ([mut first, mut second], mut collectors) = workers();
        hand_over(&mut first, epoch, &[10, 20]);
        hand_over(&mut first, epoch, &[60, 70, 5]);
        hand_over(&mut second, epoch, &[1_000]);
        let longer = |tick: &Tick, ms| tick.waiting.green.slower_than(Duration::from_millis(ms));
        let tick = collectors.tick(epoch, |_| {});
        assert_eq!((tick.waiting.green.len(), longer(&tick, 50), longer(&tick, 500)), (4, 3, 1));
        assert!(tick.waiting.blue.is_empty());
        hand_over(&mut first, epoch, &[]);
        hand_over(&mut second, epoch, &[1_050]);
        let tick = collectors.tick(epoch, |_| {});
        assert_eq!(
            (tick.waiting.green.len(), longer(&tick, 1_000)),
            (1, 1),
            "the first worker waits for nothing any more"
        );
        hand_over(&mut second, epoch, &[]);
        assert!(collectors.tick(epoch, |_| {}).waiting.green.is_empty());
    }

    #[test]
    fn requests_of_another_epoch_are_no_evidence_whether_they_wait_or_have_ended() {
        let (old, new) = (Epoch::default(), Epoch::default().next());
        let ([mut recorder], mut collectors) = workers();
        recorder.record(&record(old, Drawn::Client(1)));
        hand_over(&mut recorder, old, &[10]);
        let mut seen = 0;
        let tick = collectors.tick(new, |shard| seen += shard.counts.len());
        assert_eq!((tick.samples.green.evidence.requests, tick.waiting.green.len(), seen), (0, 0, 1));
        // Nothing of the new epoch has ended yet.
        hand_over(&mut recorder, new, &[10]);
        assert_eq!(collectors.tick(new, |_| {}).waiting.green.len(), 1);
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
        let tick = collectors.tick(epoch, |_| {});
        assert_eq!((tick.samples.green.evidence.requests, tick.clients.green, tick.clients.blue), (3, Some(2), None));
        assert_eq!(collectors.tick(epoch, |_| {}).clients.green, None);
    }
}
