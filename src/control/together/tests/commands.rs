//! Commands: who obeys them, and when.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_follower_rolls_back_when_it_is_asked_and_leaves_everything_else_to_the_leader() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = releasing(&config);
    let mut follower = following(&config, &mut store);
    for change in [weight(1.0), pause(), promote(), start()] {
        let refused = follower.asks(change).answer();
        assert_eq!(refused, "this replica follows leader, which takes the steps; ask that one");
    }
    assert_eq!(follower.percent(), 10.0);
    assert_eq!(follower.asks(roll_back()).answer(), "done");
    assert_eq!((follower.table().route, follower.status().state), (Route::Latched, "rolledBack"));
    follower.is_served(&mut store);
    assert_eq!(store.body().record.latch.as_ref().map(|latch| latch.actor.as_str()), Some("alice"));
    leader.watches(&store);
    assert_eq!(leader.table().route, Route::Latched);
}

#[tokio::test(start_paused = true)]
async fn who_has_not_taken_over_yet_lets_commands_wait_and_no_longer_than_five_seconds() {
    let config = config_of(STEPS, "");
    let (mut store, leader) = releasing(&config);
    let mut next = following(&config, &mut store);
    drop(leader);
    next.wins_the_lease();
    let mut asked = [next.asks(weight(50.0)), next.asks(pause())];
    assert!(asked.iter_mut().all(|asked| asked.answer() == "waits"));
    assert_eq!(next.percent(), 10.0, "it has not read the state yet");
    next.is_served(&mut store);
    next.is_served(&mut store);
    assert!(asked.iter_mut().all(|asked| asked.answer() == "done"));
    assert_eq!((next.percent(), next.status().state), (50.0, "paused"));

    let mut other = following(&config, &mut store);
    other.wins_the_lease();
    let mut asked = other.asks(promote());
    pass(&mut [&mut other], 5).await;
    assert_eq!(asked.answer(), "waits");
    pass(&mut [&mut other], 1).await;
    assert!(asked.answer().starts_with("this replica leads and cannot be sure of it"));
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_refused_when_another_leads() {
    let config = config_of(STEPS, "");
    let (mut store, _leader) = releasing(&config);
    let mut next = following(&config, &mut store);
    next.wins_the_lease();
    let mut asked = next.asks(promote());
    next.loses_the_lease_to(Some("another"));
    assert!(asked.answer().starts_with("this replica follows another"));
}

#[tokio::test(start_paused = true)]
async fn while_a_write_is_under_way_less_is_obeyed_at_once_and_more_waits() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = releasing(&config);
    let mut raised = leader.asks(weight(15.0));
    let mut more = leader.asks(weight(30.0));
    assert_eq!((leader.percent(), raised.answer().as_str(), more.answer().as_str()), (10.0, "waits", "waits"));
    leader.is_served(&mut store);
    leader.is_served(&mut store);
    assert_eq!((leader.percent(), raised.answer().as_str(), more.answer().as_str()), (30.0, "done", "done"));
}
