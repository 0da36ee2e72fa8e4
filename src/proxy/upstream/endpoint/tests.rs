use std::time::Duration;

use super::*;
use crate::config::{self, Authority};
use crate::gate::ByVersion;
use crate::live::Addresses;
use crate::proxy::wire::Progress;

fn endpoints(count: u16) -> (Arc<Upstreams>, Vec<Rc<Endpoint>>) {
    at((0..count).map(|number| ("127.0.0.1", 1000 + number)))
}

fn at(addresses: impl Iterator<Item = (&'static str, u16)>) -> (Arc<Upstreams>, Vec<Rc<Endpoint>>) {
    let at = |(host, port): (&str, u16)| config::Endpoint::At(Authority { host: host.to_owned(), port });
    let authorities: Vec<config::Endpoint> = addresses.map(at).collect();
    let both = ByVersion { blue: authorities.as_slice(), green: authorities.as_slice() };
    let upstreams = Arc::new(Upstreams::new(both, &Addresses::default()));
    let all = Endpoint::all(upstreams.of(Version::Green), &Transport::default(), &[]);
    (upstreams, all)
}

const EJECTION: Ejection = Ejection { failures: 3, duration: Duration::from_secs(30) };

fn green(upstreams: &Upstreams) -> Among<'_> {
    Among { upstreams, section: Version::Green, version: Version::Green }
}

fn fail(endpoint: &Endpoint, upstreams: &Upstreams) {
    for _ in 0..EJECTION.failures {
        endpoint.report(Charge::Failed, &EJECTION, green(upstreams));
    }
}

fn in_use(upstreams: &Upstreams, version: Version) -> usize {
    upstreams.of(version).iter().filter(|known| known.takes_requests()).count()
}

#[test]
fn one_bad_endpoint_is_ejected_and_the_others_serve() {
    let (upstreams, all) = endpoints(3);
    fail(&all[1], &upstreams);
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..100 {
        let picked = pick(&all, &[], &mut random).expect("two are left");
        assert!(!Rc::ptr_eq(&picked.endpoint, &all[1]));
    }
    assert_eq!(in_use(&upstreams, Version::Green), 2);
    assert_eq!(in_use(&upstreams, Version::Blue), 3);
}

#[test]
fn at_most_half_of_a_bad_version_is_ejected_and_never_its_last_endpoint() {
    for (count, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
        let (upstreams, all) = endpoints(count);
        all.iter().for_each(|endpoint| fail(endpoint, &upstreams));
        assert_eq!(usize::from(count) - in_use(&upstreams, Version::Green), most, "of {count}");
    }
}

#[test]
fn one_that_is_on_trial_gets_one_request_at_a_time_and_few() {
    let (upstreams, all) = endpoints(3);
    let ejection = Ejection { failures: 3, duration: Duration::ZERO };
    (0..3).for_each(|_| all[1].report(Charge::Failed, &ejection, green(&upstreams)));
    let mut random = fastrand::Rng::with_seed(1);
    while all[1].known.stands() == Stands::Out {}
    let mut trials: Vec<Trial> = (0..200).filter_map(|_| pick(&all, &[], &mut random)?.trial).collect();
    assert_eq!(trials.len(), 1, "the next waits for the end of the first");
    trials.clear();
    let tried = (0..1_000).filter(|_| pick(&all, &[], &mut random).is_some_and(|picked| picked.trial.is_some()));
    assert!((50..150).contains(&tried.count()), "one in ten");
    (0..5).for_each(|_| all[1].report(Charge::Served, &ejection, green(&upstreams)));
    let picked = (0..100).filter_map(|_| pick(&all, &[], &mut random));
    assert!(picked.filter(|picked| Rc::ptr_eq(&picked.endpoint, &all[1])).count() > 20, "it has its share again");
}

#[test]
fn a_success_in_between_starts_the_count_again() {
    let (upstreams, all) = endpoints(2);
    for charge in [Charge::Failed, Charge::Failed, Charge::Served, Charge::Failed, Charge::Nobody, Charge::Failed] {
        all[0].report(charge, &EJECTION, green(&upstreams));
    }
    assert!(in_use(&upstreams, Version::Green) == 2);
}

#[test]
fn the_busier_of_two_is_not_picked() {
    let (_upstreams, all) = endpoints(2);
    let _under_way = all[0].begin(&Rc::new(Progress::new()));
    let mut random = fastrand::Rng::with_seed(1);
    assert!((0..50).all(|_| pick(&all, &[], &mut random).is_some_and(|picked| Rc::ptr_eq(&picked.endpoint, &all[1]))));
    assert!(pick(&all, &all, &mut random).is_none());
}

#[test]
fn after_an_endpoint_that_cannot_be_reached_one_of_the_other_address_family_is_tried() {
    let (_upstreams, all) = at((1..=9).map(|port| ("::1", port)).chain([("127.0.0.1", 1)]));
    let mut random = fastrand::Rng::with_seed(1);
    for number in 0..9 {
        let second = pick(&all, &all[number..=number], &mut random).expect("nine are left");
        assert!(Family::of(&second.endpoint.known) == Family::IpV4);
    }
    let third = pick(&all, &[Rc::clone(&all[0]), Rc::clone(&all[9])], &mut random).expect("eight are left");
    assert!(Family::of(&third.endpoint.known) == Family::IpV6);
    assert!(!Rc::ptr_eq(&third.endpoint, &all[0]));
    let last = pick(&all, &[all[..8].to_vec(), all[9..].to_vec()].concat(), &mut random).expect("one is left");
    assert!(Rc::ptr_eq(&last.endpoint, &all[8]), "one of the same family where there is no other");
}

#[test]
fn row_46_an_unhealthy_endpoint_is_not_picked_even_when_it_is_the_last_and_an_ejected_one_is() {
    let mut random = fastrand::Rng::with_seed(1);
    for count in [1, 2, 3] {
        let (upstreams, all) = endpoints(count);
        (0..all.len()).for_each(|index| all[index].known.checked(3, false));
        assert!(pick(&all, &[], &mut random).is_none(), "of {count}");
        all[0].known.checked(0, true);
        fail(&all[0], &upstreams);
        for _ in 0..20 {
            let picked = pick(&all, &[], &mut random).expect("one is healthy");
            assert!(Rc::ptr_eq(&picked.endpoint, &all[0]), "of {count}");
        }
        assert!(pick(&all, &all[..1], &mut random).is_none(), "of {count}");
    }
}

#[test]
fn a_version_fails_its_checks_for_as_long_as_the_best_of_its_endpoints() {
    let (upstreams, all) = endpoints(2);
    let failing = |failed: [u32; 2]| {
        (0..2).for_each(|index| all[index].known.checked(failed[index], true));
        upstreams.health(Version::Green).failing_for
    };
    assert_eq!(upstreams.health(Version::Green).failing_for, 0, "nothing was checked");
    assert_eq!([failing([5, 0]), failing([5, 3]), failing([4, 4])], [0, 3, 4]);
    assert_eq!(upstreams.health(Version::Blue).failing_for, 0);
    let none = Upstreams::new(ByVersion { blue: &[], green: &[] }, &Addresses::default());
    assert_eq!(none.health(Version::Green).failing_for, 0);
}

fn in_order(all: &[Rc<Endpoint>], order: &[usize], tried: &[Rc<Endpoint>], random: &mut fastrand::Rng) -> usize {
    let picked = pick_in_order(all, order.iter().copied(), tried, random).expect("there are some");
    all.iter().position(|endpoint| Rc::ptr_eq(endpoint, &picked.endpoint)).expect("it is one of them")
}

#[test]
fn a_keys_requests_pass_to_the_next_of_its_endpoints_while_one_is_ejected_or_unhealthy_or_was_tried() {
    let (upstreams, all) = endpoints(4);
    let mut random = fastrand::Rng::with_seed(9);
    let order = [2, 2, 0, 3, 1];
    let mut next = |tried: &[Rc<Endpoint>]| in_order(&all, &order, tried, &mut random);
    assert_eq!(next(&[]), 2);
    assert_eq!(next(&all[2..3]), 0);
    fail(&all[2], &upstreams);
    assert_eq!(next(&[]), 0);
    all[0].known.checked(3, false);
    assert_eq!(next(&[]), 3);
    all[0].known.checked(0, true);
    assert_eq!(next(&[]), 0);
}

#[test]
fn a_key_whose_endpoints_all_take_nothing_has_any_that_is_healthy() {
    let (_, all) = endpoints(3);
    let mut random = fastrand::Rng::with_seed(10);
    all[0].known.checked(3, false);
    assert_eq!(in_order(&all, &[0; MOST_POINTS + 1], &all[1..2], &mut random), 2);
    let far = [[0; MOST_POINTS].as_slice(), &[2]].concat();
    assert!((0..50).any(|_| in_order(&all, &far, &[], &mut random) == 1), "its own is too far round the ring");
    assert!(pick_in_order(&all, iter::empty(), &all, &mut random).is_none());
}

#[test]
fn a_key_keeps_its_own_endpoint_also_where_all_that_are_healthy_are_ejected() {
    let (upstreams, all) = endpoints(4);
    let mut random = fastrand::Rng::with_seed(12);
    all[1..3].iter().for_each(|endpoint| fail(endpoint, &upstreams));
    [0, 3].iter().for_each(|index| all[*index].known.checked(3, false));
    assert_eq!(in_use(&upstreams, Version::Green), 0);
    assert_eq!(in_order(&all, &[3, 2, 0, 1], &[], &mut random), 2);
    assert_eq!(in_order(&all, &[0, 1, 3, 2], &[], &mut random), 1);
    assert_eq!(in_order(&all, &[3, 2, 0, 1], &all[2..3], &mut random), 1);
    assert_eq!(in_order(&all, &[3, 0], &[], &mut random), 1, "neither is healthy");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_on_trial_gets_some_of_its_own_keys_one_at_a_time() {
    let (upstreams, all) = endpoints(4);
    let mut random = fastrand::Rng::with_seed(11);
    fail(&all[2], &upstreams);
    tokio::time::advance(EJECTION.duration).await;
    let mut picked = |order: &[usize]| pick_in_order(&all, order.iter().copied(), &[], &mut random).expect("some");
    assert!((0..200).all(|_| picked(&[0, 2]).trial.is_none()), "the key is another's");
    let held: Vec<Picked> = (0..200).map(|_| picked(&[2, 0])).collect();
    assert_eq!(held.iter().filter(|picked| picked.trial.is_some()).count(), 1);
    assert!(held.iter().all(|picked| Rc::ptr_eq(&picked.endpoint, &all[0]) != picked.trial.is_some()));
}
