//! What is counted by route, where a configuration names routes: the same requests as those of the versions, told apart.
//!
//! Of one route a shard takes 2 × 21 KiB of latencies at most, and a fifth of that where the slowest requests take ten times
//! as long as the quickest; and 2 × 5 KiB more where clients are sticky.

use super::clients::{Clients, Keys, MOST_CLIENTS_OF_ROUTE};
use super::record::{Count, FailedAt, Record, Took, Unanswered, count_in};
use super::sample::Sample;
use crate::gate::{ByVersion, Charge, Evidence, Latency, RouteMark, RouteNumber, Version};

/// One worker's counts by route.
#[derive(Debug, Default)]
pub struct RouteShards {
    edition: u16,
    places: Vec<RouteShard>,
    /// Of requests on routes of earlier editions, which were under way when the routes changed.
    earlier: Vec<Count>,
}

/// What a worker counted on one route.
#[derive(Debug, Default)]
struct RouteShard {
    counts: Vec<Count>,
    /// Of requests that were routed by the newest table.
    judged: ByVersion<Evidence>,
    waiting: ByVersion<Latency>,
    clients: ByVersion<Clients>,
}

/// One tick of evidence by route; none where no routes are configured.
#[derive(Clone, Debug, Default)]
pub struct RouteTicks {
    pub edition: u16,
    /// By number.
    pub places: Vec<RouteTick>,
}

/// What all workers counted on one route since the last tick, of requests that were routed at the present weight.
#[derive(Clone, Debug, Default)]
pub struct RouteTick {
    pub judged: ByVersion<Evidence>,
    /// As [`super::Tick::waiting`].
    pub waiting: ByVersion<Latency>,
    /// As [`super::Tick::clients`].
    pub clients: ByVersion<Option<u64>>,
}

/// The control thread's side: what it needs to add up the routes of all workers.
#[derive(Debug, Default)]
pub(super) struct RouteSums {
    edition: u16,
    clients: Vec<ByVersion<Clients>>,
}

/// What the requests that wait on each route of one worker took so far.
#[derive(Debug, Default)]
pub(super) struct RouteWaits {
    edition: u16,
    waiting: Vec<ByVersion<Latency>>,
}

impl RouteShards {
    /// Counts a request that ended, whatever it is evidence of.
    pub(super) fn count(&mut self, route: RouteMark, record: &Record) {
        match self.at(route) {
            Some(place) => count_in(&mut place.counts, record),
            None => self.earlier.push(Count::from(record)),
        }
    }

    /// Adds one that is evidence.
    pub(super) fn take(&mut self, version: Version, record: &Record, judged: Took) {
        let Some(place) = record.route.and_then(|route| self.at(route)) else { return };
        place.judged.of_mut(version).record(record.charge, judged.head);
        if record.charge != Charge::Nobody {
            place.clients.of_mut(version).add_up_to(record.drawn, MOST_CLIENTS_OF_ROUTE);
        }
    }

    pub(super) fn wait(&mut self, waiting: &Unanswered) {
        let Unanswered { version, age, route, .. } = *waiting;
        if let Some(place) = route.and_then(|route| self.at(route)) {
            place.waiting.of_mut(version).record(age);
        }
    }

    pub(super) fn wait_no_more(&mut self) {
        self.places.iter_mut().for_each(|place| clear(&mut place.waiting, Latency::clear));
    }

    /// Forgets what came by an earlier table.
    pub(super) fn open(&mut self) {
        for place in &mut self.places {
            clear(&mut place.judged, Evidence::clear);
            clear(&mut place.clients, Clients::clear);
        }
    }

    pub(super) fn clear(&mut self) {
        self.open();
        self.wait_no_more();
        self.earlier.clear();
        self.places.iter_mut().for_each(|place| place.counts.clear());
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = &Count> {
        self.places.iter().flat_map(|place| &place.counts).chain(&self.earlier)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts().next().is_none()
    }

    /// The place of a route; none of one that is no longer.
    fn at(&mut self, route: RouteMark) -> Option<&mut RouteShard> {
        if route.edition != self.edition {
            // Of two editions the later is ahead by less than half of all there are.
            if route.edition.wrapping_sub(self.edition) > u16::MAX / 2 {
                return None;
            }
            self.edition = route.edition;
            let before = std::mem::take(&mut self.places);
            self.earlier.extend(before.into_iter().flat_map(|place| place.counts));
        }
        let index = route.number.index();
        if self.places.len() <= index {
            self.places.resize_with(index + 1, RouteShard::default);
        }
        Some(&mut self.places[index])
    }
}

impl RouteTicks {
    pub(super) fn new(edition: u16, places: usize) -> RouteTicks {
        RouteTicks { edition, places: vec![RouteTick::default(); places] }
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Of a place that there is.
    pub fn of(&self, number: RouteNumber) -> Option<&RouteTick> {
        self.places.get(number.index())
    }

    /// Books a failure at an endpoint as one of the version's.
    pub fn charge(&mut self, failed: &FailedAt) {
        let Some(route) = failed.route.filter(|route| route.edition == self.edition) else { return };
        if let Some(place) = self.places.get_mut(route.number.index()) {
            place.judged.of_mut(failed.version).record(Charge::Failed, failed.judged.head);
        }
    }

    /// What was green when it was routed is blue by now.
    pub fn exchanged(&mut self) {
        for RouteTick { judged: ByVersion { blue, green }, .. } in &mut self.places {
            blue.add(green);
            green.clear();
        }
    }

    fn take(&mut self, shards: &RouteShards) {
        if shards.edition != self.edition {
            return;
        }
        for (sum, place) in self.places.iter_mut().zip(&shards.places) {
            for version in Version::BOTH {
                sum.judged.of_mut(version).add(place.judged.of(version));
            }
        }
    }
}

impl RouteSums {
    pub(super) fn follow(&mut self, edition: u16, places: usize) {
        *self = RouteSums { edition, clients: vec![ByVersion::default(); places] };
    }

    /// The tick to be filled.
    pub(super) fn begin(&mut self) -> RouteTicks {
        self.clients.iter_mut().for_each(|clients| clear(clients, Clients::clear));
        RouteTicks::new(self.edition, self.clients.len())
    }

    pub(super) fn take(&mut self, ticks: &mut RouteTicks, shards: &RouteShards) {
        ticks.take(shards);
        if shards.edition != self.edition {
            return;
        }
        for (sum, place) in self.clients.iter_mut().zip(&shards.places) {
            for version in Version::BOTH {
                sum.of_mut(version).merge(place.clients.of(version));
            }
        }
    }

    pub(super) fn keys(&self) -> Vec<ByVersion<Keys>> {
        self.clients.iter().map(|clients| ByVersion::build(|version| clients.of(version).keys())).collect()
    }

    pub(super) fn end(&self, ticks: &mut RouteTicks) {
        for (tick, clients) in ticks.places.iter_mut().zip(&self.clients) {
            tick.clients = ByVersion::build(|version| clients.of(version).count());
        }
    }
}

impl RouteWaits {
    /// Takes over what the newest shard of the worker says.
    pub(super) fn take(&mut self, shards: Option<&mut RouteShards>) {
        let Some(shards) = shards else { return self.waiting.clear() };
        self.edition = shards.edition;
        self.waiting.resize_with(shards.places.len(), ByVersion::default);
        for (waiting, place) in self.waiting.iter_mut().zip(&mut shards.places) {
            std::mem::swap(waiting, &mut place.waiting);
        }
    }

    pub(super) fn add_to(&self, ticks: &mut RouteTicks) {
        if self.edition != ticks.edition {
            return;
        }
        for (tick, waiting) in ticks.places.iter_mut().zip(&self.waiting) {
            for version in Version::BOTH {
                tick.waiting.of_mut(version).add(waiting.of(version));
            }
        }
    }
}

/// What a route did, as a sample of both versions whose whole times nobody knows.
impl From<&Evidence> for Sample {
    fn from(evidence: &Evidence) -> Sample {
        Sample { evidence: evidence.clone(), whole: Latency::default() }
    }
}

fn clear<T>(both: &mut ByVersion<T>, clear: impl Fn(&mut T)) {
    clear(&mut both.blue);
    clear(&mut both.green);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::clients::Drawn;
    use super::super::record::{Arm, Standing};
    use super::super::shard::{Recorder, pair};
    use super::super::{Collectors, Gauges, Tick};
    use super::*;
    use crate::gate::Outcome;
    use crate::gate::streak::Routed;

    const MILLIS: Duration = Duration::from_millis(7);

    fn mark(edition: u16, index: usize) -> RouteMark {
        RouteMark { edition, number: RouteNumber::from_index(index).expect("there is room") }
    }

    fn record(route: RouteMark, charge: Charge) -> Record {
        let took = Took { head: Some(MILLIS), whole: Some(MILLIS) };
        Record {
            version: Some(Version::Green),
            routed: Routed::default(),
            outcome: if charge == Charge::Failed { Outcome::ServerError } else { Outcome::Success },
            charge,
            standing: Standing::Evidence,
            drawn: Drawn::Request,
            arm: Arm::Rest,
            route: Some(route),
            endpoint: None,
            status: 200,
            grpc: None,
            judged: took,
            shown: took,
        }
    }

    fn hand_over(recorder: &mut Recorder, waiting: &[RouteMark]) {
        let of = |route: &RouteMark| Unanswered {
            version: Version::Green,
            arm: Arm::Rest,
            route: Some(*route),
            age: MILLIS,
        };
        recorder.hand_over(Gauges::default(), Routed::default(), waiting.iter().map(of));
    }

    fn tick(collectors: &mut Collectors, seen: &mut Vec<Count>) -> Tick {
        collectors.tick(Routed::default(), |shard| seen.extend(shard.counts().copied()))
    }

    /// Requests, failures, those that wait and the clients, of each place.
    fn told(tick: &Tick) -> Vec<(u64, u64, u64, Option<u64>)> {
        let of = |place: &RouteTick| {
            let RouteTick { judged, waiting, clients } = place;
            (judged.green.requests, judged.green.failures, waiting.green.len(), clients.green)
        };
        tick.routes.places.iter().map(of).collect()
    }

    #[test]
    fn each_route_has_its_requests_those_that_wait_and_its_clients_of_all_workers() {
        let ((mut first, one), (mut second, other)) = (pair(), pair());
        let mut collectors = Collectors::new([one, other]);
        collectors.follow_routes(0, 2);
        first.record(&record(mark(0, 0), Charge::Served));
        first.record(&record(mark(0, 1), Charge::Failed));
        first.record(&Record { standing: Standing::Aside, ..record(mark(0, 1), Charge::Failed) });
        for client in [7, 7, 8] {
            second.record(&Record { drawn: Drawn::Client(client), ..record(mark(0, 0), Charge::Served) });
        }
        hand_over(&mut first, &[mark(0, 1)]);
        hand_over(&mut second, &[mark(0, 1), mark(0, 0)]);
        let mut seen = Vec::new();
        assert_eq!(told(&tick(&mut collectors, &mut seen)), [(4, 0, 1, Some(3)), (1, 1, 2, None)]);
        assert_eq!(seen.iter().map(|count| count.requests).sum::<u64>(), 6);
        hand_over(&mut first, &[]);
        hand_over(&mut second, &[mark(0, 0)]);
        assert_eq!(told(&tick(&mut collectors, &mut seen)), [(0, 0, 1, None), (0, 0, 0, None)]);
    }

    #[test]
    fn what_is_on_a_route_of_before_is_counted_and_is_evidence_of_no_other() {
        let (mut recorder, collector) = pair();
        let mut collectors = Collectors::new([collector]);
        collectors.follow_routes(1, 1);
        recorder.record(&record(mark(0, 0), Charge::Failed));
        recorder.record(&record(mark(1, 0), Charge::Served));
        recorder.record(&record(mark(0, 0), Charge::Failed));
        hand_over(&mut recorder, &[mark(0, 0)]);
        let mut seen = Vec::new();
        assert_eq!(told(&tick(&mut collectors, &mut seen)), [(1, 0, 0, None)]);
        let mut editions: Vec<_> =
            seen.iter().filter_map(|count| Some((count.route?.edition, count.requests))).collect();
        editions.sort_unstable();
        assert_eq!(editions, [(0, 1), (0, 1), (1, 1)]);
    }

    #[test]
    fn a_failure_that_was_held_back_is_charged_to_its_route() {
        let mut ticks = RouteTicks::new(3, 2);
        let failed = |route| FailedAt {
            version: Version::Blue,
            endpoint: 1,
            routed: Routed::default(),
            arm: Arm::Rest,
            route: Some(route),
            judged: Took { head: Some(MILLIS), whole: None },
        };
        ticks.charge(&failed(mark(3, 1)));
        ticks.charge(&failed(mark(2, 0)));
        let blues: Vec<u64> = ticks.places.iter().map(|place| place.judged.blue.failures).collect();
        assert_eq!(blues, [0, 1]);
    }
}
