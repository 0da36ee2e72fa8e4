use super::*;
use crate::gate::{Charge, Evidence};
use crate::measure::shard::{Sample, Took};
use crate::measure::{Compared, InEpoch, Mirrored};

const PERCENT: fn(f64) -> Weight = |percent| Weight::from_percent(percent).expect("in range");

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn split(epoch: u32, percent: f64) -> Split {
    Split { epoch: Epoch::from(epoch), weight: PERCENT(percent), taken_back: 0 }
}

fn sample(requests: u64, failures: u64) -> Sample {
    let mut sample = Sample::default();
    for number in 0..requests {
        let charge = if number < failures { Charge::Failed } else { Charge::Served };
        sample.record(charge, Took { head: Some(at(5)), whole: Some(at(7)) });
    }
    sample
}

/// One blue request and so many of green's, one of which failed; of the blue one an arm.
fn counted(split: Split, green: u64) -> Counted {
    let samples = ByVersion { blue: sample(1, 0), green: sample(green, 1) };
    let shown: ByVersion<Evidence> =
        ByVersion { blue: samples.blue.evidence.clone(), green: samples.green.evidence.clone() };
    let arm = Part { sample: sample(1, 0), ..Part::default() };
    Counted { split, tick: Tick { samples, shown, arm, ..Tick::default() }, drawers: Drawers::default() }
}

fn waits(mut counted: Counted, millis: &[u64]) -> Counted {
    millis.iter().for_each(|ms| counted.tick.waiting.green.record(at(*ms)));
    counted
}

/// Of one that leads since 0.
fn leading(split: Split) -> Replicas {
    let mut replicas = Replicas::default();
    assert_eq!(summed(&mut replicas, split, 0), (0, 0, 0, 0));
    replicas
}

/// What the sum has of green: present, late and shown requests, and those that wait.
fn summed(replicas: &mut Replicas, split: Split, now: u64) -> (u64, u64, u64, u64) {
    let mut sum = Tick::default();
    replicas.add_to(&mut sum, &Drawers::default(), split, at(now));
    let requests = |sample: &Sample| sample.evidence.requests;
    (requests(&sum.samples.green), requests(&sum.late.green), sum.shown.green.requests, sum.waiting.green.len())
}

#[test]
fn what_others_counted_at_the_present_weight_counts_as_if_it_had_been_counted_here() {
    let mut replicas = Replicas::default();
    let one = split(3, 1.0);
    replicas.take("b", at(950), counted(one, 4));
    replicas.take("b", at(1_050), counted(one, 2));
    replicas.take("c", at(100), counted(one, 1));
    let mut sum = Tick { samples: ByVersion { blue: sample(10, 0), green: sample(1, 0) }, ..Tick::default() };
    replicas.add_to(&mut sum, &Drawers::default(), one, at(0));
    let ByVersion { blue, green } = &sum.samples;
    assert_eq!((blue.evidence.requests, green.evidence.requests, green.evidence.failures), (13, 8, 3));
    assert_eq!((green.whole.len(), sum.arm.sample.evidence.requests), (8, 3));
    assert_eq!(summed(&mut replicas, one, 1_200), (0, 0, 0, 0), "and once");
}

#[test]
fn what_was_counted_at_another_weight_is_late_and_what_of_another_epoch_is_dropped() {
    let mut replicas = Replicas::default();
    for other in [split(3, 10.0), Split { taken_back: 1, ..split(3, 1.0) }] {
        replicas.take("b", at(1_000), waits(counted(other, 4), &[70]));
        assert_eq!(summed(&mut replicas, split(3, 1.0), 1_000), (0, 4, 4, 0));
    }
    replicas.take("b", at(1_000), waits(counted(split(2, 1.0), 4), &[70]));
    assert_eq!(summed(&mut replicas, split(3, 1.0), 1_000), (0, 0, 0, 0));
    let Account { present, late, of_other_epoch, too_old, .. } = replicas.account("b");
    assert_eq!((present, late, of_other_epoch, too_old), (0, 2, 1, 0));
}

#[test]
fn what_was_counted_before_the_weight_changed_and_came_back_is_late() {
    let mut replicas = Replicas::default();
    let (one, ten) = (split(3, 1.0), split(3, 10.0));
    assert_eq!(summed(&mut replicas, one, 500), (0, 0, 0, 0));
    assert_eq!(summed(&mut replicas, ten, 1_000), (0, 0, 0, 0));
    assert_eq!(summed(&mut replicas, one, 1_500), (0, 0, 0, 0));
    replicas.take("b", at(900), counted(one, 4));
    replicas.take("b", at(1_600), counted(one, 2));
    assert_eq!(summed(&mut replicas, one, 1_700), (2, 4, 6, 0));
}

#[test]
fn after_a_gap_what_is_older_than_two_seconds_is_late_and_what_is_older_than_ten_is_dropped() {
    let one = split(3, 1.0);
    let mut replicas = leading(one);
    for (counted_at, green) in [(9_000, 1), (10_500, 2), (17_900, 4), (18_500, 8), (20_400, 16)] {
        replicas.take("b", at(counted_at), counted(one, green));
    }
    assert_eq!(summed(&mut replicas, one, 20_500), (8 + 16, 2 + 4, 2 + 4 + 8 + 16, 0));
    let account = replicas.account("b");
    assert_eq!((account.too_old, account.lag), (1, at(100)));
}

#[test]
fn what_waits_at_a_replica_is_what_it_said_last_until_it_is_gone() {
    let one = split(3, 1.0);
    let mut replicas = leading(one);
    replicas.take("b", at(1_000), waits(counted(one, 1), &[10, 900]));
    replicas.take("c", at(1_000), waits(counted(one, 1), &[10]));
    assert_eq!(summed(&mut replicas, one, 1_100).3, 3);
    assert_eq!(summed(&mut replicas, one, 9_000).3, 3, "b and c are not heard, and their requests do not vanish");
    replicas.take("b", at(9_000), waits(counted(one, 1), &[20]));
    assert_eq!(summed(&mut replicas, one, 9_100).3, 2);
    replicas.forget("c");
    assert_eq!(summed(&mut replicas, one, 9_200).3, 1);
}

#[test]
fn a_failure_that_a_replica_holds_back_holds_the_sum_back() {
    let mut replicas = Replicas::default();
    let mut held = counted(split(3, 1.0), 1);
    held.tick.held.green = 2;
    replicas.take("b", at(0), held);
    for now in [0, 100] {
        let mut sum = Tick::default();
        sum.held.green = 1;
        replicas.add_to(&mut sum, &Drawers::default(), split(3, 1.0), at(now));
        assert_eq!(sum.held.green, 3);
    }
}

#[test]
fn a_client_of_two_replicas_counts_once_and_without_sticky_clients_nothing_is_counted() {
    let keys = |marks: &[u16], single| Keys::new(marks.to_vec(), single).expect("they rise");
    let of = |green: Keys| Drawers { versions: ByVersion { blue: Keys::default(), green }, ..Drawers::default() };
    let mut replicas = Replicas::default();
    let one = split(3, 1.0);
    replicas.take("b", at(0), Counted { drawers: of(keys(&[1, 2], 0)), ..counted(one, 5) });
    replicas.take("c", at(0), Counted { drawers: of(keys(&[], 4)), ..counted(one, 4) });
    let mut sum = Tick::default();
    replicas.add_to(&mut sum, &of(keys(&[2, 3], 0)), one, at(0));
    assert_eq!((sum.clients.green, sum.clients.blue), (Some(3 + 4), None));
}

#[test]
fn routes_are_added_by_their_own_numbers_and_those_unknown_here_to_what_is_on_none() {
    let mut told = counted(split(3, 1.0), 1);
    told.tick.routes.places = (1..=3)
        .map(|requests| RouteTick {
            judged: ByVersion { blue: Evidence::default(), green: sample(requests, 0).evidence },
            ..RouteTick::default()
        })
        .collect();
    // Here the second is the first, the first is unknown, and what is on none comes last.
    told.renumber(&[1, 0, 1], 2);
    let mut replicas = Replicas::default();
    replicas.take("b", at(0), told);
    let mut sum = Tick::default();
    sum.routes.places = vec![RouteTick::default(); 2];
    replicas.add_to(&mut sum, &Drawers::default(), split(3, 1.0), at(0));
    let of: Vec<u64> = sum.routes.places.iter().map(|place| place.judged.green.requests).collect();
    assert_eq!(of, [2, 1 + 3]);
}

#[test]
fn what_the_shield_did_what_copies_came_to_and_what_testers_asked_for_is_added_up() {
    let (mut replicas, one) = (Replicas::default(), split(3, 1.0));
    let told = |requests: u64| {
        let samples = || ByVersion { blue: sample(requests, 0), green: sample(requests, 1) };
        let mut told = counted(one, 1);
        told.tick.shielded = InEpoch { given: requests, answered: 1, failed: 0 };
        told.tick.mirrored = Some(Box::new(Mirrored::told(one.epoch, [requests, 0, 0, 0], samples())));
        told.tick.overridden = Some(Box::new(samples()));
        told.tick.late.green = sample(requests, 0);
        told
    };
    replicas.take("b", at(0), told(2));
    replicas.take("c", at(0), told(3));
    let mut sum = Tick::default();
    replicas.add_to(&mut sum, &Drawers::default(), one, at(0));
    assert_eq!((sum.shielded.given, sum.shielded.answered), (5, 2));
    let mirrored = sum.mirrored.as_deref().expect("copies were told");
    assert_eq!((mirrored.epoch, mirrored.compared(Compared::ALL[0])), (one.epoch, 5));
    assert_eq!(mirrored.samples.green.evidence.requests, 5);
    let overridden = sum.overridden.as_deref().expect("testers were told");
    assert_eq!((overridden.blue.evidence.requests, overridden.green.evidence.failures), (5, 2));
    assert_eq!(sum.late.green.evidence.requests, 5);
}

#[test]
fn what_waits_is_added_in_blues_arm_and_on_routes_while_the_split_is_the_present_one() {
    let (mut replicas, one, ten) = (Replicas::default(), split(3, 1.0), split(3, 10.0));
    let mut told = waits(counted(one, 1), &[10]);
    told.tick.arm.waiting.record(at(10));
    told.tick.routes.places = vec![RouteTick::default(); 2];
    told.tick.routes.places[1].waiting.green.record(at(10));
    replicas.take("b", at(100), told);
    let mut waiting = |split: Split, now: u64| {
        let mut sum = Tick::default();
        sum.routes.places = vec![RouteTick::default(); 2];
        replicas.add_to(&mut sum, &Drawers::default(), split, at(now));
        [sum.waiting.green.len(), sum.arm.waiting.len(), sum.routes.places[1].waiting.green.len()]
    };
    assert_eq!(waiting(one, 100), [1, 1, 1]);
    assert_eq!(waiting(ten, 200), [0, 0, 0]);
    assert_eq!(waiting(one, 300), [0, 0, 0], "of before the weight changed and came back");
}

#[test]
fn what_is_late_is_no_evidence_of_routes_and_its_clients_are_nobodys() {
    let (mut replicas, one) = (Replicas::default(), split(3, 1.0));
    let keys = |marks: &[u16]| Keys::new(marks.to_vec(), 0).expect("they rise");
    let of = |marks: &[u16]| {
        let both = || ByVersion { blue: Keys::default(), green: keys(marks) };
        Drawers { versions: both(), arm: Keys::default(), routes: vec![both()] }
    };
    let on_route = |split: Split, marks: &[u16]| {
        let mut told = counted(split, 1);
        let judged = ByVersion { blue: Evidence::default(), green: sample(4, 0).evidence };
        told.tick.routes.places = vec![RouteTick { judged, ..RouteTick::default() }];
        Counted { drawers: of(marks), ..told }
    };
    replicas.take("b", at(0), on_route(one, &[1, 2]));
    replicas.take("c", at(0), on_route(split(3, 10.0), &[3, 4]));
    let mut sum = Tick::default();
    sum.routes.places = vec![RouteTick::default()];
    replicas.add_to(&mut sum, &of(&[2, 5]), one, at(0));
    let place = &sum.routes.places[0];
    assert_eq!((place.judged.green.requests, sum.clients.green, place.clients.green), (4, Some(3), Some(3)));
}

#[test]
fn routes_that_are_numbered_anew_keep_who_waits_and_whose_requests_they_are() {
    let mut told = counted(split(3, 1.0), 1);
    told.tick.routes.places = vec![RouteTick::default(); 2];
    told.tick.routes.places[0].waiting.green.record(at(10));
    told.drawers.routes = vec![ByVersion::default(); 2];
    told.drawers.routes[0].green = Keys::new(vec![7], 0).expect("one");
    told.renumber(&[1, 0], 2);
    assert_eq!(told.tick.routes.places.iter().map(|place| place.waiting.green.len()).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(told.drawers.routes.iter().map(|keys| keys.green.marks().len()).collect::<Vec<_>>(), [0, 1]);
}
