//! What holds before it is written, and what after.

use super::*;
use crate::routing::Roles;

#[tokio::test(start_paused = true)]
async fn more_traffic_for_green_is_written_first_and_less_is_routed_first() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = leading(&config);
    let mut started = leader.asks(start());
    assert_eq!((leader.table().epoch.number(), started.answer().as_str()), (0, "waits"));
    leader.is_served(&mut store);
    assert_eq!((leader.table().epoch.number(), store.percent(), started.answer().as_str()), (1, 0.0, "done"));
    leader.ticks();
    assert_eq!((leader.percent(), store.percent()), (0.0, 0.0));
    leader.is_served(&mut store);
    assert_eq!((leader.percent(), store.percent()), (10.0, 10.0));
    let mut raised = leader.asks(weight(15.0));
    assert_eq!((leader.percent(), raised.answer().as_str()), (10.0, "waits"));
    leader.is_served(&mut store);
    assert_eq!((leader.percent(), store.percent(), raised.answer().as_str()), (15.0, 15.0, "done"));
    let mut lowered = leader.asks(weight(5.0));
    assert_eq!((leader.percent(), store.percent(), lowered.answer().as_str()), (5.0, 15.0, "done"));
    leader.is_served(&mut store);
    assert_eq!((leader.percent(), store.percent()), (5.0, 5.0));
    let mut promoted = leader.asks(promote());
    assert_eq!((leader.percent(), promoted.answer().as_str()), (5.0, "waits"));
    leader.is_served(&mut store);
    assert_eq!((leader.percent(), store.percent(), promoted.answer().as_str()), (100.0, 100.0, "done"));
}

#[tokio::test(start_paused = true)]
async fn a_step_is_written_before_it_is_routed_and_no_other_is_taken_meanwhile() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = releasing(&config);
    pass(&mut [&mut leader], MINUTE - 2).await;
    assert_eq!(leader.ends.orders.try_recv().ok().map(drop), None, "it bakes");
    pass(&mut [&mut leader], 3 * MINUTE).await;
    assert_eq!((leader.percent(), store.percent()), (10.0, 10.0), "nothing was written yet");
    leader.is_served(&mut store);
    assert_eq!((leader.percent(), store.percent()), (20.0, 20.0));
}

#[tokio::test(start_paused = true)]
async fn what_a_step_has_beside_its_weight_waits_for_the_write_as_well() {
    let steps =
        "steps: [{ mirror: 10%, bake: 1m }, { mirror: 50%, bake: 1m }, { weight: 1%, bake: 1m }], onLowTraffic: pass";
    let config = config_of(steps, "");
    let (mut store, mut leader) = leading(&config);
    leader.asks(start());
    assert!(!leader.table().is_open());
    leader.is_served(&mut store);
    leader.ticks();
    leader.is_served(&mut store);
    let copied = |replica: &Replica| replica.table().copied().percent();
    assert_eq!(copied(&leader), 10.0);
    pass(&mut [&mut leader], MINUTE + 2).await;
    assert_eq!((copied(&leader), store.body().record.step), (10.0, Some(0)), "nothing was written yet");
    leader.is_served(&mut store);
    assert_eq!((copied(&leader), store.body().record.step), (50.0, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_completion_holds_once_it_is_written_and_is_written_as_it_will_hold() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = releasing(&config);
    leader.asks(promote());
    leader.is_served(&mut store);
    leader.told();
    let mut completed = leader.asks(promote());
    let holds = |replica: &Replica| (replica.table().route, replica.table().roles);
    assert_eq!(holds(&leader), (Route::Split(Weight::FULL), Roles::AsConfigured));
    assert_eq!((completed.answer().as_str(), leader.told()), ("waits", vec![]));
    leader.is_served(&mut store);
    assert_eq!(holds(&leader), (Route::Completed, Roles::Exchanged));
    assert_eq!((completed.answer().as_str(), leader.told()), ("done", vec![Kind::Completed]));
    let record = &store.body().record;
    assert_eq!((record.state.as_str(), record.blue.as_str(), record.green.as_str()), ("completed", "v2", "v1"));
}

#[tokio::test(start_paused = true)]
async fn what_another_overtook_never_holds_and_whoever_asked_for_it_is_told() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = releasing(&config);
    let mut follower = following(&config, &mut store);
    let mut raised = leader.asks(weight(50.0));
    follower.asks(roll_back());
    follower.is_served(&mut store);
    leader.is_served(&mut store);
    assert!(raised.answer().starts_with("another replica has decided something"), "{}", raised.answer());
    assert_eq!((leader.table().route, leader.status().state), (Route::Latched, "rolledBack"));
    leader.begins(&mut store, release_of("v3", "127.0.0.1:9003", Again::No));
    assert_eq!((leader.percent(), store.percent()), (10.0, 10.0));
}

#[tokio::test(start_paused = true)]
async fn everyone_who_waits_for_a_write_is_answered_by_it() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = releasing(&config);
    pass(&mut [&mut leader], MINUTE + 2).await;
    let mut both = [leader.asks(pause()), leader.asks(weight(5.0))];
    assert_eq!((leader.percent(), leader.status().state), (5.0, "paused"), "at once, whatever waits");
    leader.is_served(&mut store);
    assert!(both.iter_mut().all(|asked| asked.answer() == "done"));
    assert_eq!((leader.percent(), store.percent()), (5.0, 5.0));
}

#[tokio::test(start_paused = true)]
async fn what_is_decided_while_a_write_is_under_way_is_written_next_and_not_undone_by_it() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = releasing(&config);
    let mut both = [leader.asks(pause()), leader.asks(weight(5.0))];
    assert!(both.iter_mut().all(|asked| asked.answer() == "done"));
    leader.is_served(&mut store);
    assert_eq!((leader.percent(), store.percent(), leader.status().state), (5.0, 5.0, "paused"));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_ends_what_waits_for_its_write_and_the_next_release_can_begin() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = releasing(&config);
    let mut raised = leader.asks(weight(50.0));
    assert_eq!(leader.asks(roll_back()).answer(), "done");
    assert!(raised.answer().starts_with("another replica has decided something"), "{}", raised.answer());
    leader.is_served(&mut store);
    assert!(store.body().record.latch.is_some());
    leader.begins(&mut store, release_of("v3", "127.0.0.1:9003", Again::No));
    assert_eq!((leader.percent(), store.percent()), (10.0, 10.0));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_while_the_completion_waits_for_its_write_takes_everything_back_from_green() {
    let config = config_of(STEPS, "");
    let (mut store, mut leader) = releasing(&config);
    let mut follower = following(&config, &mut store);
    leader.asks(promote());
    leader.is_served(&mut store);
    follower.watches(&store);
    leader.asks(promote());
    assert_eq!((leader.percent(), leader.status().state), (100.0, "completed"));
    assert_eq!(leader.asks(roll_back()).answer(), "done");
    let holds = |replica: &Replica| (replica.table().route, replica.table().roles);
    assert_eq!(holds(&leader), (Route::Latched, Roles::AsConfigured));
    leader.is_served(&mut store);
    let record = &store.body().record;
    assert_eq!((record.latch.is_some(), record.blue.as_str(), record.green.as_str()), (true, "v1", "v2"));
    follower.watches(&store);
    assert_eq!((holds(&leader), holds(&follower)), ((Route::Latched, Roles::AsConfigured), holds(&leader)));
}

#[tokio::test(start_paused = true)]
async fn a_question_is_asked_once_its_state_is_written() {
    let gates = "runbook: { beforeStart: [{ name: go, manual: { text: a, steps: [b] } }] }";
    let config = config_of(STEPS, gates);
    let (mut store, mut leader) = leading(&config);
    leader.asks(start());
    assert_eq!(leader.questions(), 0);
    leader.is_served(&mut store);
    assert_eq!(leader.questions(), 1);
}

const RUNBOOK: &str = "runbook: { started: [{ name: begun, manual: { text: a, steps: [b] } }], \
                       paused: [{ name: halted, manual: { text: a, steps: [b] } }], \
                       rolledBack: [{ name: failed, manual: { text: a, steps: [b] } }] }";

#[tokio::test(start_paused = true)]
async fn whoever_gets_a_decision_written_acts_on_it_and_once() {
    let config = config_of(STEPS, RUNBOOK);
    let (mut store, mut leader) = leading(&config);
    let mut follower = following(&config, &mut store);
    leader.asks(start());
    assert_eq!(leader.acted(), Vec::<String>::new(), "nothing was written yet");
    leader.is_served(&mut store);
    follower.watches(&store);
    assert_eq!((leader.acted(), follower.acted()), (vec!["begun".to_owned()], vec![]));
    leader.asks(pause());
    leader.is_served(&mut store);
    follower.watches(&store);
    assert_eq!((leader.acted(), follower.acted()), (vec!["begun".to_owned(), "halted".to_owned()], vec![]));
    follower.asks(roll_back());
    follower.is_served(&mut store);
    leader.watches(&store);
    assert_eq!((leader.acted().len(), follower.acted()), (2, vec!["failed".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn what_was_overtaken_is_acted_on_by_nobody() {
    let config = config_of(STEPS, RUNBOOK);
    let (mut store, mut leader) = releasing(&config);
    let mut follower = following(&config, &mut store);
    leader.asks(pause());
    follower.asks(roll_back());
    follower.is_served(&mut store);
    leader.is_served(&mut store);
    leader.begins(&mut store, release_of("v3", "127.0.0.1:9003", Again::No));
    assert_eq!(leader.percent(), 10.0);
    assert!(!leader.acted().contains(&"halted".to_owned()), "{:?}", leader.acted());
}
