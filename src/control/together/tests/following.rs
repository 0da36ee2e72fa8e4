//! What a replica makes of a state that another one has written.

use super::*;
use crate::config::Config;
use crate::gate::Version;

/// The store, the leader and a follower of a release that is at 10 %.
pub(super) fn both(config: &Config) -> (Store, Replica, Replica) {
    let (mut store, leader) = releasing(config);
    let follower = following(config, &mut store);
    (store, leader, follower)
}

#[tokio::test(start_paused = true)]
async fn a_follower_takes_no_step_and_makes_no_release_of_its_own() {
    let config = config_of(STEPS, "");
    let (_store, _leader, mut follower) = both(&config);
    pass(&mut [&mut follower], 3 * MINUTE).await;
    assert_eq!((follower.percent(), follower.status().step), (10.0, Some(1)));
    assert!(follower.ends.orders.try_recv().is_err(), "it has nothing to write");
}

#[tokio::test(start_paused = true)]
async fn a_decision_is_told_once_by_whoever_hears_of_it_and_in_the_name_of_its_actor() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader, mut follower) = both(&config);
    assert_eq!((leader.told(), follower.told()), (vec![Kind::Started, Kind::Stepped], vec![Kind::Stepped]));
    leader.asks(pause());
    leader.is_served(&mut store);
    leader.watches(&store);
    follower.watches(&store);
    follower.watches(&store);
    let told = follower.events();
    assert_eq!((told.len(), told[0].kind, told[0].actor.as_str()), (1, Kind::Paused, "alice"));
    assert_eq!(leader.told(), [Kind::Paused]);
    follower.asks(roll_back());
    follower.is_served(&mut store);
    leader.watches(&store);
    assert_eq!((leader.told(), follower.told()), (vec![Kind::RolledBack], vec![Kind::RolledBack]));
    // Whoever reads the same state once more has nothing to tell.
    tokio::time::advance(LONGEST_STOP + Duration::from_millis(1)).await;
    for replica in [&mut leader, &mut follower] {
        replica.ticks();
        replica.is_served(&mut store);
        assert_eq!(replica.told(), []);
    }
}

/// It was on its way to this replica before the worker latched.
#[tokio::test(start_paused = true)]
async fn a_latch_of_a_worker_outlives_a_state_that_is_about_to_be_followed() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader, mut follower) = both(&config);
    leader.asks(weight(15.0));
    leader.is_served(&mut store);
    assert!(follower.control.inputs.routing.latch(follower.table().epoch));
    follower.control.follow(store.body().clone());
    assert_eq!((follower.table().route, follower.status().state), (Route::Latched, "rolledBack"));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_of_another_is_told_as_ones_own() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader, mut follower) = both(&config);
    leader.asks(roll_back());
    leader.is_served(&mut store);
    follower.watches(&store);
    let (own, theirs) = (leader.status(), follower.status());
    let reason = "rolled back by alice: it fails";
    let of = |status: &Status| status.rollback.as_ref().map(|rollback| (rollback.reason.clone(), rollback.at));
    assert_eq!(of(&theirs).map(|(reason, _)| reason).as_deref(), Some(reason));
    assert_eq!(of(&theirs), of(&own));
    assert_eq!((theirs.verdict.kind, theirs.verdict.sentence.as_str()), (own.verdict.kind, reason));
    let exposition = follower.control.inputs.telemetry.exposition().render();
    assert!(exposition.contains("portcullis_rollbacks_total{trigger=\"operator\"} 1"), "{exposition}");
    // Whoever leads next knows what is not to be released again.
    follower.wins_the_lease();
    follower.is_served(&mut store);
    let refused = follower.asks(release_of("v2", "127.0.0.1:9002", Again::No)).answer();
    assert!(refused.starts_with("v2 was the last to be rolled back (rolled back by alice"), "{refused}");
    assert_eq!(follower.asks(release_of("v2", "127.0.0.1:9002", Again::Yes)).answer(), "waits");
}

#[tokio::test(start_paused = true)]
async fn a_latch_outlives_a_state_of_its_epoch_that_has_not_heard_of_it() {
    let config = config_of(STEPS, "");
    for by_worker in [false, true] {
        let (mut store, mut leader, mut follower) = both(&config);
        let epoch = follower.table().epoch;
        if by_worker {
            // Which `control` has not seen yet.
            assert!(follower.control.inputs.routing.latch(epoch));
        } else {
            follower.asks(roll_back());
        }
        leader.asks(weight(15.0));
        leader.is_served(&mut store);
        follower.watches(&store);
        assert_eq!((follower.table().route, follower.status().state), (Route::Latched, "rolledBack"));
        follower.is_served(&mut store);
        assert!(store.body().record.latch.is_some(), "it is written in the place of what overtook it");
        leader.watches(&store);
        assert_eq!(leader.table().route, Route::Latched);
    }
}

#[tokio::test(start_paused = true)]
async fn the_latch_of_a_release_is_none_of_the_next() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader, mut follower) = both(&config);
    leader.asks(roll_back());
    leader.is_served(&mut store);
    // Of the same release, while nobody can be told.
    follower.asks(roll_back());
    leader.begins(&mut store, release_of("v3", "127.0.0.1:9003", Again::No));
    follower.is_served(&mut store);
    assert_eq!((store.body().record.epoch, store.percent()), (2, 10.0));
    assert_eq!((follower.percent(), follower.status().green.version.as_str()), (10.0, "v3"));
}

#[tokio::test(start_paused = true)]
async fn versions_that_only_the_state_knows_are_served_at_its_endpoints_and_those_of_the_spec_at_the_specs() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader, mut follower) = both(&config);
    let endpoints = |replica: &Replica, version: Version| {
        let live = replica.control.inputs.routing.live();
        let section = replica.table().roles.section(version);
        live.upstreams.declared(section).map(ToString::to_string).collect::<Vec<_>>()
    };
    leader.asks(roll_back());
    leader.is_served(&mut store);
    leader.begins(&mut store, release_of("v3", "127.0.0.1:9003", Again::No));
    follower.watches(&store);
    let is_at = |replica: &Replica, blue: &str, green: &str| {
        let status = replica.status();
        let names = [status.blue.version.clone(), status.green.version.clone()];
        let [blue, green] = [blue, green].map(|port| vec![format!("127.0.0.1:{port}")]);
        assert_eq!((endpoints(replica, Version::Blue), endpoints(replica, Version::Green)), (blue, green), "{names:?}");
    };
    is_at(&follower, "9001", "9003");
    for _ in 0..2 {
        leader.asks(promote());
        leader.is_served(&mut store);
    }
    // It has missed what was in between.
    follower.watches(&store);
    is_at(&follower, "9003", "9001");
    assert_eq!((follower.table().route, follower.status().blue.version.as_str()), (Route::Completed, "v3"));
    leader.begins(&mut store, release_of("v2", "127.0.0.1:7000", Again::Yes));
    follower.watches(&store);
    // By the spec, of which a replica may have a newer one.
    is_at(&follower, "9003", "9002");
    assert_eq!((follower.percent(), follower.status().green.version.as_str()), (10.0, "v2"));
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_a_release_is_that_of_whoever_wrote_it() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = releasing(&config);
    pass(&mut [&mut leader], MINUTE / 2).await;
    leader.asks(weight(11.0));
    leader.is_served(&mut store);
    let written = store.body().record.resume["clock_nanos"].as_u64().expect("nanoseconds");
    // Whose own has just begun.
    let late = following(&config, &mut store);
    assert!(written > 29_000_000_000 && clock(&late) >= written, "{written} {}", clock(&late));
}

fn clock(replica: &Replica) -> u64 {
    replica.control.clock.now().as_nanos() as u64
}

#[tokio::test(start_paused = true)]
async fn whoever_follows_a_release_records_it_once_from_when_it_has_heard_of_it() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = releasing(&config);
    let folder = tempfile::tempdir().expect("a folder");
    let bounds = crate::journal::Bounds { age: config.journal.age, size: config.journal.size };
    let (journal, _) = Journal::open(folder.path(), bounds).expect("a new journal");
    let mut follower = Replica::recording(&config, Beginning::default(), Some(journal));
    follower.is_served(&mut store);
    let recorded = |replica: &Replica| {
        let ledger = &replica.control.inputs.ledger;
        ledger.header().map(|header| (header.epoch, header.green.clone())).zip(ledger.began())
    };
    let first = recorded(&follower).expect("it has begun");
    assert_eq!(first.0, (1, "v2".to_owned()));
    pass(&mut [&mut leader, &mut follower], 2).await;
    leader.asks(weight(12.0));
    leader.is_served(&mut store);
    follower.watches(&store);
    assert_eq!((follower.percent(), recorded(&follower)), (12.0, Some(first)));
}
