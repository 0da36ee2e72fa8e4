use std::time::Duration;

use super::*;
use crate::gate::{Charge, RouteNumber, Version};
use crate::measure::replicas::Drawers;
use crate::measure::shard::{Sample, Took};
use crate::measure::{Compared, Part, RouteTick};

fn sample(random: &mut fastrand::Rng) -> Sample {
    let mut sample = Sample::default();
    for _ in 0..random.u32(..20) {
        let charge = [Charge::Failed, Charge::Served, Charge::Nobody][random.usize(..3)];
        let head = random.bool().then(|| Duration::from_micros(random.u64(..59_000_000)));
        sample.record(charge, Took { head, whole: head.map(|head| head * 2) });
    }
    sample
}

/// What control may come to in one tick, with everything that there can be.
fn tick(random: &mut fastrand::Rng) -> (Tick, Drawers) {
    let arm = Part { sample: sample(random), ..Part::default() };
    let mut tick = Tick { arm, ..Tick::default() };
    tick.samples = ByVersion { blue: sample(random), green: sample(random) };
    tick.samples.blue.add(&tick.arm.sample);
    tick.late = ByVersion { blue: sample(random), green: sample(random) };
    tick.shown = ByVersion { blue: sample(random).evidence, green: sample(random).evidence };
    for _ in 0..random.u32(..5) {
        let age = Duration::from_millis(random.u64(..9_000));
        tick.waiting.blue.record(age);
        tick.arm.waiting.record(age);
        tick.waiting.green.record(age / 2);
    }
    tick.held.green = random.u64(..3);
    if random.bool() {
        tick.shown.green.shielded = 2;
        tick.shielded = InEpoch { given: 5, answered: 2, failed: 1 };
        let samples = ByVersion { blue: sample(random), green: sample(random) };
        tick.mirrored = Some(Box::new(Mirrored::told(Epoch::from(7), [1, 2, 3, 4], samples)));
        tick.overridden = Some(Box::new(ByVersion { blue: sample(random), green: sample(random) }));
    }
    let on_route = |random: &mut fastrand::Rng| RouteTick {
        judged: ByVersion { blue: sample(random).evidence, green: sample(random).evidence },
        ..RouteTick::default()
    };
    tick.routes.places = (0..3).map(|_| on_route(random)).collect();
    let mut keys = || {
        let mut marks: Vec<u16> = (0..random.u32(..6)).map(|_| random.u16(..)).collect();
        marks.sort_unstable();
        marks.dedup();
        Keys::new(marks, random.u64(..4)).expect("they rise")
    };
    let mut both = || ByVersion { blue: keys(), green: keys() };
    let drawers =
        Drawers { versions: both(), routes: vec![both(), both(), both()], arm: Keys::new(vec![9], 1).expect("one") };
    (tick, drawers)
}

type TickTold = (slot::Tick, slot::Tick, u64, InEpoch, Option<[u64; 4]>, Option<slot::Tick>, Option<slot::Tick>);

/// Everything of a tick that is told, as it is told.
fn told(tick: &Tick) -> TickTold {
    let mut counted = slots::tick(tick, ByVersion::default());
    without_clients(&mut counted);
    let mirrored = tick.mirrored.as_deref();
    (
        counted,
        shown(&tick.shown),
        tick.shown.green.shielded,
        tick.shielded,
        mirrored.map(|mirrored| Compared::ALL.map(|compared| mirrored.compared(compared))),
        mirrored.map(|mirrored| slots::kept(&mirrored.samples)),
        tick.overridden.as_deref().map(slots::kept),
    )
}

#[test]
fn what_is_told_of_a_tick_is_what_was_counted() {
    let mut random = fastrand::Rng::with_seed(13);
    for round in 0..300 {
        let (tick, drawers) = tick(&mut random);
        let (back, of) = unpack(&pack(&tick, &drawers), 3, Epoch::from(7)).expect("it was packed");
        assert_eq!(told(&back), told(&tick), "round {round}");
        assert_eq!(of, drawers, "round {round}");
        for number in (0..3).filter_map(RouteNumber::from_index) {
            let of = |tick: &Tick| tick.routes.of(number).map(|place| place.judged.green.requests).unwrap_or_default();
            assert_eq!(of(&back), of(&tick));
        }
    }
}

#[test]
fn where_clients_are_not_sticky_every_request_is_drawn_by_itself() {
    let mut tick = Tick::default();
    for version in Version::BOTH {
        tick.samples.of_mut(version).record(Charge::Served, Took::default());
    }
    let packed = pack(&tick, &Drawers::default());
    assert!(packed.len() < 16, "{} bytes", packed.len());
    let (_, drawers) = unpack(&packed, 0, Epoch::default()).expect("it was packed");
    assert_eq!((drawers.versions.green.single(), drawers.versions.green.marks().len()), (1, 0));
}

#[test]
fn what_nobody_can_have_counted_is_refused_whole() {
    let refused = |what: &str, change: &dyn Fn(&mut slot::Tick)| {
        let mut tick = Tick::default();
        for _ in 0..3 {
            tick.samples.blue.record(Charge::Failed, Took { head: Some(Duration::from_millis(3)), whole: None });
        }
        tick.arm.sample.record(Charge::Failed, Took { head: Some(Duration::from_millis(3)), whole: None });
        let mut counted = slots::tick(&tick, ByVersion::default());
        let packed = |counted: &slot::Tick| {
            slot::plain(&[Slot { after: Duration::ZERO, input: Input::Tick(Box::new(counted.clone())) }])
        };
        assert!(unpack(&packed(&counted), 1, Epoch::default()).is_some());
        change(&mut counted);
        assert!(unpack(&packed(&counted), 1, Epoch::default()).is_none(), "{what}");
    };
    refused("more failures than requests", &|tick| tick.blue.failures = 4);
    refused("more requests than there are", &|tick| tick.green.requests = u64::MAX);
    refused("an arm that is more than blue", &|tick| tick.blue.requests = 0);
    refused("an arm of other latencies than blue", &|tick| tick.blue.head = Buckets::from_iter([(4_000, 3)]));
    refused("an arm that waits for more than blue", &|tick| {
        tick.beside.as_mut().expect("of the arm").arm.waiting = Buckets::from_iter([(4_000, 3)]);
    });
    refused("a bucket that is too full", &|tick| tick.blue.head = Buckets::from_iter([(3_000, 1 << 33)]));
    refused("a route that is none", &|tick| {
        tick.routes = vec![slot::OnRoute { number: 1, ..slot::OnRoute::default() }];
    });
    let refused_beside = |what: &str, change: &dyn Fn(&mut Beside)| {
        let packed = |beside: &Beside| {
            let value = serde_json::to_value(beside).expect("plain data");
            let inputs = [Input::Tick(Box::default()), Input::Other(value)];
            slot::plain(&inputs.map(|input| Slot { after: Duration::ZERO, input }))
        };
        let mut beside = Beside { shielded: 1, to_blue: Some([1, 1, 0]), ..Beside::default() };
        assert!(unpack(&packed(&beside), 1, Epoch::default()).is_some());
        change(&mut beside);
        assert!(unpack(&packed(&beside), 1, Epoch::default()).is_none(), "{what}");
    };
    let none = || Marks(Vec::new(), 0);
    let keyed = |blue: Marks, routes: usize| {
        let routes = (0..routes).map(|_| [none(), none()]).collect();
        Some(Keyed { blue, green: none(), arm: none(), routes })
    };
    refused_beside("more answers of the shield than there are", &|beside| beside.shielded = u64::MAX);
    refused_beside("more failures than blue was given", &|beside| beside.to_blue = Some([u64::MAX, 0, 0]));
    refused_beside("clients of a route that is none", &|beside| beside.keys = keyed(none(), 2));
    refused_beside("clients in no order", &|beside| beside.keys = keyed(Marks(vec![2, 1], 0), 1));
    for broken in [&b""[..], &[0xff; 40], &[0, 0, 0, 0, 0, 0, 0, 0, 0]] {
        assert!(unpack(broken, 0, Epoch::default()).is_none(), "{broken:?}");
    }
}

#[test]
fn what_is_too_long_or_holds_too_many_slots_is_refused_before_it_is_read_whole() {
    let empty = Slot { after: Duration::ZERO, input: Input::Tick(Box::default()) };
    let packed = |slots: usize| slot::plain(&vec![empty.clone(); slots]);
    assert!(unpack(&packed(2), 0, Epoch::default()).is_some());
    assert!(unpack(&packed(4), 0, Epoch::default()).is_none());
    assert!(unpack(&packed(LONGEST / 2), 0, Epoch::default()).is_none());
    let long = Slot { after: Duration::ZERO, input: Input::Other(" ".repeat(LONGEST).into()) };
    assert!(unpack(&slot::plain(&[empty, long]), 0, Epoch::default()).is_none());
}
