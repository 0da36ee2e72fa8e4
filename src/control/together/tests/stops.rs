//! Starts, stops of the process, and a Lease that passes on.

use super::*;
use crate::routing::Cohorts;

#[tokio::test(start_paused = true)]
async fn a_replica_that_starts_gives_green_nothing_before_it_has_read_the_state() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = releasing(&config);
    let mut again = Replica::start_as(&leader, &config);
    assert_eq!(again.percent(), 0.0);
    // What is watched may be old.
    again.watches(&store);
    again.ticks();
    assert_eq!(again.percent(), 0.0);
    again.is_served(&mut store);
    assert_eq!(again.percent(), 10.0);

    leader.asks(roll_back());
    let mut late = Replica::start_as(&leader, &config);
    leader.is_served(&mut store);
    late.watches(&store);
    assert_eq!(late.table().route, Route::Latched, "of a latch it need not be sure");
}

/// As after the resource was made anew, or the first start by one.
#[tokio::test(start_paused = true)]
async fn where_nobody_has_written_anything_the_release_of_the_journal_goes_on_and_is_what_others_follow() {
    let config = config_of(STEPS, "");
    let (_, leader) = releasing(&config);
    let mut again = Replica::start_as(&leader, &config);
    let mut store = Store::default();
    again.is_served(&mut store);
    assert_eq!((again.percent(), store.shared.is_none()), (0.0, true), "others may know more");
    again.wins_the_lease();
    again.is_served(&mut store);
    let follower = following(&config, &mut store);
    assert_eq!((again.percent(), store.percent(), follower.percent()), (10.0, 10.0, 10.0));
}

#[tokio::test(start_paused = true)]
async fn after_a_stop_of_the_process_green_gets_nothing_until_the_state_has_been_read() {
    let steps = "steps: [{ cohort: staff, bake: 1m }, { weight: 10%, bake: 1m }], onLowTraffic: pass";
    let rest = "cohorts: [{ name: staff, from: [\"10.0.0.0/8\"] }]\nmirror: { share: 30% }\n\
                gate: { triggers: [{ name: spike, metric: errorRate, above: 5% }] }";
    let config = config_of(steps, rest);
    let (mut store, mut leader) = releasing(&config);
    let green_has = |replica: &Replica| {
        let table = replica.table();
        (table.weight().percent(), table.copied().percent(), table.cohorts() != Cohorts::NONE)
    };
    pass(&mut [&mut leader], MINUTE + 2).await;
    leader.is_served(&mut store);
    assert_eq!(green_has(&leader), (10.0, 30.0, true));
    let mut follower = following(&config, &mut store);
    assert_eq!(green_has(&follower), (10.0, 30.0, true));
    let mut raised = leader.asks(weight(50.0));
    tokio::time::advance(LONGEST_STOP + Duration::from_millis(1)).await;
    for replica in [&mut leader, &mut follower] {
        replica.ticks();
        assert_eq!(green_has(replica), (0.0, 0.0, false));
    }
    assert!(raised.answer().starts_with("another replica has decided something"), "{}", raised.answer());
    follower.is_served(&mut store);
    assert_eq!(green_has(&follower), (10.0, 30.0, true));
}

#[tokio::test(start_paused = true)]
async fn a_command_after_a_stop_of_the_process_is_not_obeyed_by_what_was_known_before() {
    let config = config_of(STEPS, "");
    let (_store, mut leader) = releasing(&config);
    tokio::time::advance(LONGEST_STOP + Duration::from_millis(1)).await;
    assert_eq!((leader.asks(promote()).answer().as_str(), leader.percent()), ("waits", 0.0));
}

#[tokio::test(start_paused = true)]
async fn the_next_leader_bakes_the_step_anew_and_begins_no_other_before() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = releasing(&config);
    let mut next = following(&config, &mut store);
    pass(&mut [&mut leader, &mut next], MINUTE - 10).await;
    leader.loses_the_lease_to(None);
    next.wins_the_lease();
    next.is_served(&mut store);
    pass(&mut [&mut leader, &mut next], MINUTE - 2).await;
    next.is_served(&mut store);
    leader.is_served(&mut store);
    assert_eq!((leader.percent(), next.percent(), store.percent()), (10.0, 10.0, 10.0));
    pass(&mut [&mut leader, &mut next], 4).await;
    next.is_served(&mut store);
    leader.watches(&store);
    assert_eq!((leader.percent(), next.percent(), store.percent()), (20.0, 20.0, 20.0));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_led_before_takes_over_as_any_other() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = releasing(&config);
    pass(&mut [&mut leader], MINUTE - 10).await;
    leader.loses_the_lease_to(None);
    leader.wins_the_lease();
    leader.is_served(&mut store);
    pass(&mut [&mut leader], MINUTE - 2).await;
    leader.is_served(&mut store);
    assert_eq!(leader.percent(), 10.0);
}

#[tokio::test(start_paused = true)]
async fn who_no_longer_has_the_lease_takes_no_step_even_where_nobody_says_so() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = leading(&config);
    leader.hears(Word::Leads { until: Instant::now() + Duration::from_secs(30) });
    leader.begins(&mut store, start());
    assert_eq!(*leader.ends.place.borrow(), Place::Leads);
    pass(&mut [&mut leader], 3 * MINUTE).await;
    leader.is_served(&mut store);
    assert_eq!(leader.percent(), 10.0);
    leader.loses_the_lease_to(None);
    assert_eq!(*leader.ends.place.borrow(), Place::Follows);
}
