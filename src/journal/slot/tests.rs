use std::time::Duration;

use hdrhistogram::Histogram;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::gate::latency::LONGEST;
use crate::gate::trigger::Quantile;
use crate::gate::{ByVersion, Latency};
use crate::journal::store::stored_bytes;

const AT: Timestamp = Timestamp::UNIX_EPOCH;

fn packed(slots: &[Slot]) -> Vec<u8> {
    let mut open = OpenChunk::new(7, 0);
    slots.iter().for_each(|slot| open.push(slot));
    open.take(AT).pack()
}

fn any_buckets() -> impl Strategy<Value = Buckets> {
    // Of every magnitude alike.
    vec((any::<u64>(), 0..64_u32, 1..100_000_u64), 0..20)
        .prop_map(|counts| counts.into_iter().map(|(micros, shift, count)| (micros >> shift, count)).collect())
}

fn any_counted() -> impl Strategy<Value = Counted> {
    let health = option::of((any::<u64>(), any::<u64>(), any::<u64>()))
        .prop_map(|health| health.map(|(endpoints, failing, unhealthy)| Health { endpoints, failing, unhealthy }));
    let counts = (any::<u64>(), prop_oneof![Just(0), any::<u64>()]);
    (counts, any_buckets(), option::of(any_buckets()), any_buckets(), option::of(any::<u64>()), health).prop_map(
        |((requests, failures), head, whole, waiting, clients, health)| Counted {
            requests,
            failures,
            head,
            whole,
            waiting,
            clients,
            health,
        },
    )
}

fn any_beside() -> impl Strategy<Value = Beside> {
    (any_counted(), any_counted(), any_counted(), any::<u64>()).prop_map(|(late_blue, late_green, arm, held)| Beside {
        late_blue,
        late_green,
        arm,
        held,
    })
}

fn any_on_route() -> impl Strategy<Value = OnRoute> {
    (any::<u8>(), any_counted(), any_counted()).prop_map(|(number, blue, green)| OnRoute { number, blue, green })
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        (any_counted(), any_counted(), option::of(any_beside()), vec(any_on_route(), 0..4))
            .prop_map(|(blue, green, beside, routes)| Input::Tick(Box::new(Tick { blue, green, beside, routes }))),
        (any::<f64>(), ".*").prop_map(|(number, text)| Input::Other(json!({ "number": number, "text": text }))),
    ]
}

fn any_slots() -> impl Strategy<Value = Vec<Slot>> {
    vec((0..20_000_000_000_u64, any_input()), 0..8).prop_map(|steps| {
        let mut after = Duration::ZERO;
        let slots = steps.into_iter().map(|(step, input)| {
            after += Duration::from_nanos(step);
            Slot { after, input }
        });
        slots.collect()
    })
}

proptest! {
    #[test]
    fn slots_come_back_as_they_were(slots in any_slots()) {
        prop_assert_eq!(unpack(&packed(&slots)).expect("whole"), slots.clone());
        let json = serde_json::to_string(&slots).expect("string keys");
        prop_assert_eq!(serde_json::from_str::<Vec<Slot>>(&json).expect("the same"), slots);
    }

    /// What recording an edge as often as its count says brings back is all that can be seen of a histogram.
    #[test]
    fn buckets_bring_back_the_histogram_that_gate_counted_in(
        micros in vec((any::<u64>(), 0..64_u32).prop_map(|(micros, shift)| micros >> shift), 0..200),
    ) {
        let mut live = Latency::default();
        micros.iter().for_each(|micros| live.record(Duration::from_micros(*micros)));
        let buckets: Buckets = live.buckets().map(|(edge, count)| (edge.as_micros() as u64, count)).collect();

        let mut replayed = Latency::default();
        for (micros, count) in buckets.iter() {
            (0..count).for_each(|_| replayed.record(Duration::from_micros(micros)));
        }
        let all = |latency: &Latency| latency.buckets().collect::<Vec<_>>();
        prop_assert_eq!(all(&replayed), all(&live));
        for quantile in [0.001, 0.5, 0.95, 0.99, 0.999] {
            let quantile = Quantile::try_from(quantile).expect("between 0 and 1");
            prop_assert_eq!(replayed.quantile(quantile), live.quantile(quantile));
        }
        for bound in micros.iter().map(|micros| Duration::from_micros(*micros)) {
            prop_assert_eq!(replayed.slower_than(bound), live.slower_than(bound));
        }
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_refused(bytes in vec(any::<u8>(), 0..200)) {
        // Either way, but without a panic: most are no slots, some are by chance.
        let _ = unpack(&bytes);
        let _ = unpack(&code::pack(&bytes));
    }
}

#[test]
fn the_buckets_are_those_of_an_hdrhistogram() {
    let longest = LONGEST.as_micros() as u64;
    let histogram = Histogram::<u32>::new_with_bounds(1, longest, 2).expect("the bounds fit");
    let mut micros = 0;
    while micros < longest {
        let edge = histogram.highest_equivalent(micros);
        for value in [micros, edge] {
            let bucket: Vec<_> = Buckets::from(vec![(value, 3)]).iter().collect();
            assert_eq!(bucket, [(edge, 3)], "{value}");
        }
        micros = edge + 1;
    }
    assert_eq!(Buckets::from(vec![(u64::MAX, 1)]).iter().collect::<Vec<_>>(), [(u64::MAX, 1)]);
}

#[test]
fn buckets_are_sorted_and_added_up() {
    let buckets = Buckets::from(vec![(700, 1), (3, 2), (701, 4), (3, 8)]);
    assert_eq!(buckets.iter().collect::<Vec<_>>(), [(3, 10), (703, 5)]);
}

#[test]
fn damage_to_a_chunk_is_found() {
    let slots: Vec<Slot> = (1..50)
        .map(|number| Slot { after: Duration::from_millis(number * 100), input: Input::Other(json!(number * number)) })
        .collect();
    let whole = packed(&slots);
    assert_eq!(unpack(&whole).expect("whole"), slots);
    for position in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[position] ^= 1 << (position % 8);
        // A few bits say nothing: how hard the compressor tried, and what fills its last byte.
        assert!(unpack(&damaged).map_or(true, |found| found == slots), "byte {position}");
        assert!(unpack(&whole[..position]).is_err(), "cut at {position}");
    }
}

#[test]
fn a_chunk_is_sent_again_as_it_grows_and_ends_when_it_is_full() {
    let mut open = OpenChunk::new(7, 3);
    let mut slots = vec![];
    while !open.is_full() {
        let after = Duration::from_millis(slots.len() as u64);
        slots.push(Slot { after, input: Input::Other("x".repeat(1_000).into()) });
        open.push(slots.last().expect("just pushed"));
        let so_far = open.so_far(AT);
        assert_eq!((so_far.epoch(), so_far.number()), (7, 3));
        assert_eq!(unpack(&so_far.pack()).expect("whole"), slots);
    }
    assert_eq!(slots.len(), 57, "56 KiB of 1,008 bytes");
    assert_eq!(unpack(&open.take(AT).pack()).expect("whole"), slots);
    assert!(open.is_empty());
    // The next chunk stands for itself, times and all.
    open.push(&slots[9]);
    let next = open.take(AT);
    assert_eq!(next.number(), 4);
    assert_eq!(unpack(&next.pack()).expect("whole"), slots[9..10]);
}

/// A service with a median of 20 ms and a 99th percentile of 64 ms, one failure in a thousand, 10 % to green, seen
/// in ticks of 100 ms that come up to a millisecond late.
fn bytes_per_hour(requests_per_second: u64) -> (u64, u64) {
    // Many chunks at every rate.
    let ticks = (600_000 / requests_per_second).max(600);
    let mut random = fastrand::Rng::with_seed(requests_per_second);
    let mut open = OpenChunk::new(7, 0);
    let (mut packed, mut stored) = (0, 0);
    for tick in 1..=ticks {
        let per_tick = requests_per_second / 10;
        let counted = ByVersion { blue: per_tick * 9 / 10, green: per_tick / 10 };
        let after = Duration::from_nanos(tick * 100_000_000 + random.u64(..1_000_000));
        let (blue, green) = (counted_of(counted.blue, &mut random), counted_of(counted.green, &mut random));
        open.push(&Slot { after, input: Input::Tick(Box::new(Tick { blue, green, ..Tick::default() })) });
        if open.is_full() || tick == ticks {
            let length = open.take(AT).pack().len();
            packed += length as u64;
            stored += stored_bytes(length);
        }
    }
    (packed * 36_000 / ticks, stored * 36_000 / ticks)
}

fn counted_of(requests: u64, random: &mut fastrand::Rng) -> Counted {
    let mut latency = |median: f64| {
        // A normal variate by Box and Muller (1958).
        let normal = (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos();
        (median * (normal * 0.5).exp()) as u64
    };
    let heads: Vec<u64> = (0..requests).map(|_| latency(20_000.0)).collect();
    let head = heads.iter().map(|micros| (*micros, 1)).collect();
    let whole = heads.iter().map(|micros| (micros + latency(300.0), 1)).collect();
    // By Little's law, 23 ms of the requests of 100 ms are still waiting.
    let waiting = (0..requests * 23 / 100).map(|_| (latency(10_000.0), 1)).collect();
    let failures = (0..requests).filter(|_| random.u32(..1_000) == 0).count() as u64;
    let health = Some(Health { endpoints: 3, failing: 0, unhealthy: 0 });
    Counted {
        requests,
        failures,
        head,
        whole: Some(whole),
        waiting,
        clients: Some(requests / 3 + random.u64(..3)),
        health,
    }
}

#[test]
fn the_evidence_of_an_hour_is_as_large_as_the_module_says() {
    let off = |bytes: u64, megabytes: f64| (bytes as f64 / (megabytes * 1e6) - 1.0).abs();
    for (requests_per_second, packed_megabytes, stored_megabytes) in
        [(100, 1.3, 1.5), (1_000, 6.5, 8.8), (10_000, 24.0, 42.0)]
    {
        let (packed, stored) = bytes_per_hour(requests_per_second);
        println!("{requests_per_second} requests/s: {packed} bytes per hour, {stored} on the disk");
        assert!(off(packed, packed_megabytes) < 0.05, "{requests_per_second} requests/s: {packed} bytes per hour");
        assert!(off(stored, stored_megabytes) < 0.05, "{requests_per_second} requests/s: {stored} bytes on the disk");
    }
}
