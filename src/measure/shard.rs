//! What one worker has counted since it last handed its shard over.

use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::clients::{Clients, Drawn};
use crate::gate::{ByVersion, Charge, Evidence, Latency, Outcome, Version};
use crate::release::Epoch;

/// Everything that one request adds to the counts.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// None when no version served it.
    pub version: Option<Version>,
    pub epoch: Epoch,
    pub outcome: Outcome,
    /// By what the policy counts as a failure.
    pub charge: Charge,
    pub standing: Standing,
    pub drawn: Drawn,
    /// The status that was sent, 0 when none was.
    pub status: u16,
    /// To the response head; none when no head came and the request did not wait for one either.
    pub head: Option<Duration>,
    pub whole: Duration,
}

/// What a request is evidence of. Whatever it is, it is counted and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Evidence,
    /// Of failures, and not of latency: its endpoint had only just begun.
    WarmUp,
    /// Of nothing: its path is excluded, no version served it, or its client has more than its share already.
    Aside,
}

/// Requests with the same outcome and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub version: Option<Version>,
    pub outcome: Outcome,
    pub status: u16,
    pub requests: u64,
}

/// What requests of one version came to: the evidence by head latency, and the whole latency beside it.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub evidence: Evidence,
    pub whole: Latency,
}

/// What is open at the moment when a shard is handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    pub in_flight: ByVersion<u32>,
    pub client_connections: u32,
    pub upstream_connections: u32,
}

/// One worker's counts.
#[derive(Debug, Default)]
pub struct Shard {
    pub epoch: Epoch,
    pub counts: Vec<Count>,
    /// Of requests that were routed in `epoch`.
    pub samples: ByVersion<Sample>,
    /// What is shown and is no evidence: of requests that were routed in earlier epochs, or stand aside, and the
    /// latencies of a warm-up.
    pub aside: ByVersion<Sample>,
    /// Of the requests in `samples`.
    pub clients: ByVersion<Clients>,
    /// Ages of the requests of `epoch` that had no response head when the shard was handed over.
    pub waiting: ByVersion<Latency>,
    pub gauges: Gauges,
    pub panics: u64,
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

/// Both ends for one worker.
pub fn pair() -> (Recorder, Collector) {
    let (hand, handed) = channel(WAITING);
    let (empty, emptied) = channel(WAITING + 1);
    let recorder = Recorder { shard: Box::default(), handed: hand, emptied, gauges: Gauges::default(), waited: false };
    (recorder, Collector { handed, emptied: empty })
}

impl Gauges {
    /// Both workers together.
    #[must_use]
    pub fn plus(self, other: Gauges) -> Gauges {
        Gauges {
            in_flight: ByVersion {
                blue: self.in_flight.blue + other.in_flight.blue,
                green: self.in_flight.green + other.in_flight.green,
            },
            client_connections: self.client_connections + other.client_connections,
            upstream_connections: self.upstream_connections + other.upstream_connections,
        }
    }
}

impl Shard {
    pub fn record(&mut self, record: &Record) {
        let Record { version, outcome, charge, status, head, whole, .. } = *record;
        let same = |count: &&mut Count| count.status == status && count.outcome == outcome && count.version == version;
        match self.counts.iter_mut().find(same) {
            Some(count) => count.requests += 1,
            None => self.counts.push(Count { version, outcome, status, requests: 1 }),
        }
        let Some(version) = version else { return };
        if record.epoch > self.epoch {
            self.open(record.epoch);
        }
        let standing = if record.epoch == self.epoch { record.standing } else { Standing::Aside };
        let (sample, aside) = (self.samples.of_mut(version), self.aside.of_mut(version));
        let whole = (charge != Charge::Nobody).then_some(whole);
        match standing {
            Standing::Evidence => sample.record(charge, head, whole),
            Standing::WarmUp => {
                sample.record(charge, None, None);
                aside.record(Charge::Nobody, head, whole);
            }
            Standing::Aside => return aside.record(charge, head, whole),
        }
        if charge != Charge::Nobody {
            self.clients.of_mut(version).add(record.drawn);
        }
    }

    fn open(&mut self, epoch: Epoch) {
        for version in Version::BOTH {
            let (aside, sample) = (self.aside.of_mut(version), self.samples.of_mut(version));
            aside.add(sample);
            sample.clear();
            self.clients.of_mut(version).clear();
        }
        self.epoch = epoch;
    }

    fn wait(&mut self, waiting: impl Iterator<Item = (Version, Duration)>) {
        for version in Version::BOTH {
            self.waiting.of_mut(version).clear();
        }
        waiting.for_each(|(version, age)| self.waiting.of_mut(version).record(age));
    }

    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.panics == 0
    }

    fn clear(&mut self) {
        self.counts.clear();
        self.panics = 0;
        for version in Version::BOTH {
            self.samples.of_mut(version).clear();
            self.aside.of_mut(version).clear();
            self.clients.of_mut(version).clear();
            self.waiting.of_mut(version).clear();
        }
    }
}

impl Sample {
    fn record(&mut self, charge: Charge, head: Option<Duration>, whole: Option<Duration>) {
        self.evidence.record(charge, head);
        if let Some(whole) = whole {
            self.whole.record(whole);
        }
    }

    pub fn add(&mut self, other: &Sample) {
        self.evidence.add(&other.evidence);
        self.whole.add(&other.whole);
    }

    pub fn clear(&mut self) {
        self.evidence.clear();
        self.whole.clear();
    }
}

impl Recorder {
    pub fn record(&mut self, record: &Record) {
        self.shard.record(record);
    }

    pub fn panicked(&mut self) {
        self.shard.panics += 1;
    }

    /// Hands the shard over if it holds anything new. Call it twice a tick; it never waits.
    ///
    /// `epoch` is that of the table now, and `waiting` the ages of the requests of that epoch which have no response head
    /// yet and will be evidence of latency.
    pub fn hand_over(&mut self, gauges: Gauges, epoch: Epoch, waiting: impl Iterator<Item = (Version, Duration)>) {
        if epoch > self.shard.epoch {
            self.shard.open(epoch);
        }
        self.shard.wait(waiting);
        let waits = Version::BOTH.into_iter().any(|version| !self.shard.waiting.of(version).is_empty());
        if self.shard.is_empty() && gauges == self.gauges && !waits && !self.waited {
            return;
        }
        self.shard.gauges = gauges;
        let mut next = self.emptied.try_recv().unwrap_or_default();
        next.epoch = self.shard.epoch;
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
mod tests {
    use super::*;

    fn record(epoch: Epoch, outcome: Outcome) -> Record {
        Record {
            version: Some(Version::Green),
            epoch,
            outcome,
            charge: outcome.charge(),
            standing: Standing::Evidence,
            drawn: Drawn::Request,
            status: 200,
            head: Some(Duration::from_millis(1)),
            whole: Duration::from_millis(2),
        }
    }

    #[test]
    fn a_request_of_an_earlier_epoch_is_counted_but_is_no_evidence() {
        let (first, second) = (Epoch::default().next(), Epoch::default().next().next());
        let mut shard = Shard::default();
        shard.record(&record(first, Outcome::ServerError));
        shard.record(&record(second, Outcome::Success));
        shard.record(&record(first, Outcome::ServerError));
        assert_eq!((shard.samples.green.evidence.requests, shard.samples.green.evidence.failures), (1, 0));
        assert_eq!((shard.aside.green.evidence.requests, shard.aside.green.evidence.failures), (2, 2));
        assert_eq!(shard.counts.iter().map(|count| count.requests).sum::<u64>(), 3);
    }

    #[test]
    fn nothing_is_lost_when_nobody_collects() {
        let (mut recorder, mut collector) = pair();
        for _ in 0..100 {
            recorder.record(&record(Epoch::default(), Outcome::Success));
            recorder.hand_over(Gauges::default(), Epoch::default(), std::iter::empty());
        }
        let mut requests = 0;
        collector.collect(|shard| requests += shard.samples.green.evidence.requests);
        recorder.hand_over(Gauges::default(), Epoch::default(), std::iter::empty());
        collector.collect(|shard| requests += shard.samples.green.evidence.requests);
        assert_eq!(requests, 100);
    }

    #[test]
    fn a_client_that_gave_up_counts_in_latency_but_is_neither_served_nor_failed() {
        let mut shard = Shard::default();
        shard.record(&record(Epoch::default(), Outcome::ClientCancelled));
        let green = &shard.samples.green;
        assert_eq!((green.evidence.requests, green.evidence.latency.len(), green.whole.len()), (0, 1, 0));
    }

    #[test]
    fn row_73_a_request_that_stands_aside_is_counted_and_shown_and_is_no_evidence() {
        let mut shard = Shard::default();
        shard.record(&Record { standing: Standing::Aside, ..record(Epoch::default(), Outcome::ServerError) });
        assert!(shard.samples.green.evidence.is_empty() && shard.samples.green.whole.is_empty());
        assert_eq!((shard.counts[0].requests, shard.aside.green.evidence.latency.len()), (1, 1));
    }

    #[test]
    fn a_request_of_a_warm_up_counts_for_failures_and_its_latency_is_only_shown() {
        let mut shard = Shard::default();
        shard.record(&Record { standing: Standing::WarmUp, ..record(Epoch::default(), Outcome::ServerError) });
        let (sample, aside) = (&shard.samples.green, &shard.aside.green);
        assert_eq!((sample.evidence.requests, sample.evidence.failures), (1, 1));
        assert_eq!((sample.evidence.latency.len(), sample.whole.len()), (0, 0));
        assert_eq!((aside.evidence.requests, aside.evidence.latency.len(), aside.whole.len()), (0, 1, 1));
    }
}
