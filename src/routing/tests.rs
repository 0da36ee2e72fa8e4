use super::*;
use crate::gate::route::{Goes, RollbackOf, RouteRule};
use crate::gate::trigger::Conviction;
use crate::gate::{Charge, Routes};

fn routing() -> (Routing, tokio::sync::mpsc::Receiver<Notice>) {
    let (sender, receiver) = tokio::sync::mpsc::channel(NOTICES);
    let (name, conviction) = ("dead".to_owned(), Conviction::ByEvidence);
    let trigger = StreakTrigger { name, at_least: 2, conviction, action: Action::Rollback };
    (Routing::new(Table::default(), Some(trigger), sender), receiver)
}

fn observe(routing: &Routing, version: Version, charge: Charge) {
    routing.observe(Answer::of(version, charge, routing.table().routed()));
}

/// Green fails every time, and blue answers thirty times between.
fn fail_until_latched(routing: &Routing) -> usize {
    let failures = (1..=10).find(|_| {
        observe(routing, Version::Green, Charge::Failed);
        let latched = routing.table().route == Route::Latched;
        (0..30).for_each(|_| observe(routing, Version::Blue, Charge::Served));
        latched
    });
    failures.expect("green is convicted")
}

fn percent(weight: f64) -> Weight {
    Weight::from_percent(weight).expect("a weight")
}

#[test]
fn promise_2_a_rollback_is_latched_and_only_a_new_epoch_opens_green_again() {
    let (routing, _notices) = routing();
    let first = Epoch::default().next();
    assert!(routing.route(first, percent(50.0)));
    assert!(routing.latch(first));
    assert!(!routing.latch(first), "the second rollback of an epoch changes nothing");
    assert!(!routing.route(first, percent(50.0)), "a weight that arrives late is refused");
    assert_eq!(routing.table().weight(), Weight::ZERO);
    assert!(routing.route(first.next(), percent(1.0)));
    assert!(!routing.latch(first), "a rollback of an old epoch does not touch the new one");
    assert_eq!(routing.table().weight(), percent(1.0));
}

#[test]
fn a_route_is_taken_back_in_the_epoch_that_is_open_and_until_that_ends() {
    let (routing, _notices) = routing();
    let rule = |name: &str| RouteRule { name: name.to_owned(), goes: Goes::Judged, rollback: RollbackOf::Route };
    let routes = Routes::new(vec![rule("a"), rule("b")]);
    let set = RouteSet::named(["b"], &routes, 0);
    let (first, second) = (Epoch::default().next(), Epoch::default().next().next());
    assert!(routing.route(first, percent(50.0)));
    let before = routing.table().routed();
    assert!(routing.take_back(first, set) && !routing.take_back(first, set) && !routing.take_back(second, set));
    assert_eq!((routing.table().taken_back, routing.table().weight()), (set, percent(50.0)));
    assert!(routing.table().routed().changed_since(before), "what was routed before is told from what comes");
    assert!(routing.route(first, percent(60.0)) && routing.table().taken_back == set);

    assert!(routing.complete(first) && !routing.take_back(first, set));
    assert_eq!(routing.table().taken_back, RouteSet::default(), "green is blue on every route");
    assert!(routing.route(second, percent(1.0)) && routing.take_back(second, set) && routing.latch(second));
    assert!(routing.route(second.next(), percent(1.0)));
    assert_eq!(routing.table().taken_back, RouteSet::default());
}

#[test]
fn the_last_failures_of_a_completed_release_do_not_keep_it_from_being_rolled_back() {
    let (routing, mut notices) = routing();
    let first = Epoch::default().next();
    assert!(routing.route(first, Weight::FULL));
    observe(&routing, Version::Green, Charge::Failed);
    assert!(routing.complete(first));
    observe(&routing, Version::Blue, Charge::Served);
    for _ in 0..3 {
        observe(&routing, Version::Green, Charge::Failed);
    }
    assert!(!routing.latch(first) && !routing.route(first, percent(1.0)));
    assert_eq!(routing.table().route, Route::Completed);
    while let Ok(notice) = notices.try_recv() {
        assert!(!matches!(notice, Notice::Convicted { .. }), "{notice:?}");
    }
    assert!(routing.revert(first));
    assert_eq!((routing.table().route, routing.table().roles), (Route::Latched, Roles::AsConfigured));
}

#[test]
fn a_completed_release_makes_green_blue_and_its_rollback_undoes_that() {
    let (routing, _notices) = routing();
    let first = Epoch::default().next();
    routing.route(first, Weight::FULL);
    assert!(routing.complete(first));
    let completed = routing.table();
    assert_eq!(completed.weight(), Weight::ZERO);
    assert_eq!(completed.roles.section(Version::Blue), Version::Green);
    assert!(routing.revert(first));
    let reverted = routing.table();
    assert_eq!((reverted.route, reverted.roles.section(Version::Blue)), (Route::Latched, Version::Blue));
    assert!(!routing.complete(first), "a latched epoch does not complete");
    assert!(!routing.revert(first), "and is not rolled back twice");
}

#[test]
fn the_worker_that_sees_the_last_failure_of_the_streak_latches_the_table_before_it_tells_anyone() {
    let (routing, mut notices) = routing();
    let epoch = Epoch::default().next();
    routing.route(epoch, percent(5.0));
    assert_eq!(fail_until_latched(&routing), 4);
    assert!(matches!(notices.try_recv(), Ok(Notice::Probing { .. })));
    let Ok(Notice::Convicted { row, .. }) = notices.try_recv() else { panic!("convicted") };
    assert_eq!((row.failures, row.at_weight, row.blue.bad, row.blue.units), (4, 4, 0, 90));
    observe(&routing, Version::Green, Charge::Failed);
    assert!(notices.try_recv().is_err(), "a request in flight at the flip does not trigger again");
}

#[test]
fn without_evidence_the_weight_drops_to_a_tenth_and_what_comes_there_convicts() {
    let (routing, mut notices) = routing();
    let epoch = Epoch::default().next();
    routing.route(epoch, Weight::FULL);
    observe(&routing, Version::Green, Charge::Failed);
    observe(&routing, Version::Green, Charge::Failed);
    assert_eq!(routing.table().weight(), Weight::PROBE);
    assert!(matches!(notices.try_recv(), Ok(Notice::Probing { .. })));
    observe(&routing, Version::Blue, Charge::Served);
    assert_eq!(routing.table().weight(), Weight::PROBE, "a success of blue is no witness");
    fail_until_latched(&routing);
}

#[test]
fn a_weight_that_is_set_again_leaves_what_is_under_way_as_evidence() {
    let (routing, _notices) = routing();
    let epoch = Epoch::default().next();
    routing.route(epoch, percent(10.0));
    let before = routing.table().routed();
    routing.route(epoch, percent(10.0));
    assert_eq!(routing.table().routed(), before);
    routing.route(epoch, percent(20.0));
    assert!(routing.table().routed().changed_since(before));
}

#[test]
fn a_restored_epoch_has_a_streak_however_high_its_number() {
    let (sender, _notices) = tokio::sync::mpsc::channel(NOTICES);
    let trigger = StreakTrigger {
        name: "dead".to_owned(),
        at_least: 2,
        conviction: Conviction::ByEvidence,
        action: Action::Rollback,
    };
    let table = Table { epoch: Epoch::from(200), route: Route::Split(percent(10.0)), ..Table::default() };
    fail_until_latched(&Routing::new(table, Some(trigger), sender));
}

#[test]
fn what_is_served_and_the_places_of_its_cohorts_change_at_once_and_in_their_own_epoch_only() {
    let (routing, _notices) = routing();
    let first = Epoch::default().next();
    let [before, after] = [[0], [1]].map(Cohorts::from_iter);
    assert!(routing.route(first, percent(1.0)) && routing.beside(first, Some(Weight::ZERO), before));
    let live = Arc::new(());
    routing.serve_with(&live, first, after, RouteSet::default());
    assert!(Arc::ptr_eq(&routing.live(), &live));
    assert_eq!((routing.table().cohorts(), routing.table().weight()), (after, percent(1.0)));
    assert!(routing.route(first.next(), percent(1.0)));
    routing.serve_with(&live, first, before, RouteSet::default());
    assert!(routing.table().cohorts().is_none(), "of a release that is over");
}

/// Where another replica routes, as [`Routing::follow`] has it.
fn follow(routing: &Routing, epoch: Epoch, route: Route) -> bool {
    routing.follow(&routing.live(), epoch, routing.table().roles, route)
}

#[test]
fn a_latch_and_a_completion_outlive_what_another_replica_has_not_heard_of() {
    let (routing, _notices) = routing();
    let first = Epoch::default().next();
    assert!(follow(&routing, first, Route::Split(percent(50.0))));
    assert!(follow(&routing, first, Route::Split(percent(20.0))), "less as well as more");
    assert_eq!(routing.table().weight(), percent(20.0));
    assert!(routing.latch(first));
    for route in [Route::Split(percent(50.0)), Route::Completed] {
        assert!(!follow(&routing, first, route), "{route:?}");
        assert_eq!(routing.table().route, Route::Latched);
    }
    let second = first.next();
    assert!(follow(&routing, second, Route::Split(percent(50.0))));
    for route in [Route::Split(percent(100.0)), Route::Latched, Route::Completed] {
        assert!(!follow(&routing, first, route), "an older epoch: {route:?}");
        assert_eq!((routing.table().epoch, routing.table().weight()), (second, percent(50.0)));
    }
    assert!(routing.complete(second));
    assert!(!follow(&routing, second, Route::Split(percent(100.0))));
    assert_eq!(routing.table().route, Route::Completed);
    // And its rollback, which gives the roles back.
    let live = routing.live();
    assert!(routing.follow(&live, second, Roles::AsConfigured, Route::Latched));
    assert_eq!((routing.table().route, routing.table().roles), (Route::Latched, Roles::AsConfigured));
}

#[test]
fn a_release_that_is_followed_is_open_from_the_first_request_on_and_blamed_for_no_failure_of_another() {
    let (routing, _notices) = routing();
    let first = Epoch::default().next();
    assert!(follow(&routing, first, Route::Split(percent(50.0))));
    assert!(routing.table().is_open(), "for copies and testers");
    observe(&routing, Version::Green, Charge::Failed);
    assert!(follow(&routing, first.next(), Route::Split(percent(50.0))));
    let failures = fail_until_latched(&routing);
    let (afresh, _other) = self::routing();
    assert!(afresh.route(first, percent(50.0)));
    assert_eq!(failures, fail_until_latched(&afresh), "as many as without the one before");
    assert!(follow(&routing, first.next().next(), Route::Latched) && !routing.table().is_open());
}

#[test]
fn routes_that_were_taken_back_are_on_green_when_it_has_become_blue_elsewhere() {
    let (routing, _notices) = routing();
    let rule = RouteRule { name: "a".to_owned(), goes: Goes::Judged, rollback: RollbackOf::Route };
    let set = RouteSet::named(["a"], &Routes::new(vec![rule]), 0);
    let first = Epoch::default().next();
    assert!(routing.route(first, percent(50.0)) && routing.take_back(first, set));
    assert!(follow(&routing, first, Route::Split(percent(100.0))) && routing.table().taken_back == set);
    assert!(routing.follow(&routing.live(), first, Roles::Exchanged, Route::Completed));
    assert_eq!((routing.table().taken_back, routing.table().roles), (RouteSet::default(), Roles::Exchanged));
}

#[test]
fn a_release_that_is_rolled_back_before_it_was_opened_is_latched_nevertheless() {
    let (routing, _notices) = routing();
    let first = Epoch::default().next();
    routing.open_shut(first);
    assert_eq!((routing.table().epoch, routing.table().weight()), (first, Weight::ZERO));
    assert!(routing.latch(first) && !routing.route(first, percent(50.0)));
    routing.open_shut(first);
    assert_eq!(routing.table().route, Route::Latched);
}
