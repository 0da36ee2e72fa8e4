//! What is done about a rollback: people are told of each at least once, whichever replica it is that can, by keys that make twice
//! harmless.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{LEASES, NAME, ROLLOUTS, Team, half, is_half, is_rolled_back};
use crate::actions::{DONE, Recorder, header};
use crate::support::{Request, Upstream, eventually};

/// One action that tells of a rollback, and one that changes something.
fn runbook(recorder: &Recorder) -> Value {
    let url = recorder.url();
    let tell = json!({ "name": "tell", "webhook": { "url": format!("{url}/tell") } });
    let flag = json!({ "name": "flag", "http": { "url": format!("{url}/flag"), "body": "{{ reason }}" } });
    json!({ "runbook": { "allow": ["127.0.0.1"], "rolledBack": [tell, flag] } })
}

fn of(requests: &[Request], target: &str) -> Vec<String> {
    let key = |request: &Request| header(request, "idempotency-key").expect("each has one");
    requests.iter().filter(|request| request.target == target).map(key).collect()
}

fn until_nothing_is_left(team: &Team) -> Value {
    let nothing = |resource: &Value| resource["status"]["actions"]["left"] == json!([]);
    team.server.until("all actions have ended", ROLLOUTS, NAME, nothing)
}

#[test]
fn row_89_people_are_told_of_a_rollback_that_cannot_be_written_and_the_rest_is_done_once_it_is() {
    let recorder = Recorder::new();
    let team = Team::with(half(), 200, &runbook(&recorder), &[]);
    team.until_all(is_half);
    let cut = team.follower();
    team.relays[cut].cut();
    assert_eq!(team.replica(cut).post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
    let told = recorder.until(1);
    assert_eq!(told[0].target, "/tell");
    let body = String::from_utf8_lossy(&told[0].body);
    assert!(body.contains("the others may go on"), "{body}");
    for replica in (0..3).filter(|number| *number != cut) {
        assert!(is_half(&team.replica(replica).status()), "they have heard nothing");
    }

    team.relays[cut].mend();
    team.until_all(is_rolled_back);
    until_nothing_is_left(&team);
    let all = recorder.until(2);
    assert_eq!((of(&all, "/tell").len(), of(&all, "/flag").len()), (1, 1));
    let flag = all.iter().find(|request| request.target == "/flag").expect("it has come");
    let reason = String::from_utf8_lossy(&flag.body);
    assert_eq!(reason, "rolled back by local: a test", "a flag that the others still need is not touched");
}

#[test]
fn row_89_two_replicas_that_tell_of_the_same_rollback_do_so_by_the_same_key() {
    let recorder = Recorder::new();
    let team = Team::with(half(), 200, &runbook(&recorder), &[]);
    team.until_all(is_half);
    let cut = team.follower();
    team.relays[cut].cut();
    assert_eq!(team.replica(cut).post("/v1/release/rollback", &json!({ "reason": "alone" })).status, 200);
    recorder.until(1);
    let other = (cut + 1) % 3;
    assert_eq!(team.replica(other).post("/v1/release/rollback", &json!({ "reason": "of all" })).status, 200);
    until_nothing_is_left(&team);
    let all = recorder.until(3);
    let told = of(&all, "/tell");
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], told[1]);
    team.relays[cut].mend();
    team.until_all(is_rolled_back);
}

#[test]
fn row_88_what_a_replica_has_not_done_about_its_rollback_when_it_dies_another_does() {
    // The first message is taken and never answered.
    let is_answered = AtomicBool::new(false);
    let recorder = Recorder::of(Upstream::scripted(move |connection| {
        while connection.request().is_some() {
            if is_answered.swap(true, Ordering::SeqCst) {
                connection.send(DONE);
            }
        }
    }));
    let tell = json!({ "name": "tell", "webhook": { "url": format!("{}/tell", recorder.url()) } });
    let runbook = json!({ "runbook": { "allow": ["127.0.0.1"], "rolledBack": [tell] } });
    let mut team = Team::with(half(), 200, &runbook, &[]);
    team.until_all(is_half);
    let leader = team.leader();
    assert_eq!(team.replica(leader).post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
    recorder.until(1);
    let status = |team: &Team| team.server.get(ROLLOUTS, NAME).expect("it is there")["status"].clone();
    eventually("the latch is written", || status(&team)["latch"].is_object().then_some(()));
    assert_eq!(status(&team)["actions"], json!({ "epoch": 1, "replica": format!("r{leader}"), "left": ["tell"] }));
    // What has not ended is not taken out, for as long as it lives.
    let renewed = || team.server.history(LEASES, &format!("{NAME}-r{leader}")).len();
    let before = renewed();
    eventually("it lives", || (renewed() > before + 3).then_some(()));
    assert_eq!(status(&team)["actions"]["left"], json!(["tell"]));
    team.replicas[leader].take().expect("it lives").crash();
    until_nothing_is_left(&team);
    let told = of(&recorder.until(2), "/tell");
    assert_eq!(told[0], told[1]);
}
