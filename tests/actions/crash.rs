//! kill -9 between a rollback and what is to be done about it (CHECKLIST row 86).
//!
//! `PORTCULLIS_TEST_KILLS=N` kills so often, `PORTCULLIS_TEST_SEED=N` at other instants; 50 are the long form.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

use super::{DONE, Recorder, header, roll_back, until_ended, with_runbook};
use crate::support::{Client, Listener, Proxy, Upstream, eventually, folder, number};

const KILLS: u64 = 5;

/// What is done about one rollback.
const ACTIONS: usize = 3;

#[test]
fn row_86_after_kill_9_between_a_rollback_and_its_actions_none_is_lost_and_none_is_done_twice_for_one_key() {
    let kills = number("PORTCULLIS_TEST_KILLS").unwrap_or(KILLS);
    let seed = number("PORTCULLIS_TEST_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("PORTCULLIS_TEST_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let (blue, receiver, data) = (Upstream::ok(), Recorder::new(), folder());
    let text = with_runbook(&blue, &format!("  rolledBack:\n{}", actions(&receiver)));
    let mut proxy = Proxy::start_in(data.path(), &text);
    let (mut told, mut near) = (Vec::new(), 0);
    for kill in 0..kills {
        assert_eq!(proxy.post("/v1/release", &json!({})).status, 200);
        let epoch = proxy.status()["epoch"].as_u64().expect("an epoch");
        let listener = Listener::new(proxy.admin);
        let (admin, body) = (proxy.admin, "{\"reason\":\"it is bad\"}");
        // It stays until the process has ended: what nobody waits for may be left undone.
        let mut client = Client::connect(admin);
        client.send(format!(
            "POST /v1/release/rollback HTTP/1.1\r\nHost: {admin}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        // Every other one from when it was told, so that the journal has it: how long that takes depends on the machine.
        let waits = kill % 2 == 1;
        if waits {
            listener.until("rolledBack");
        }
        let before = Instant::now();
        let instant = Duration::from_millis(15).mul_f64(random.f64());
        while before.elapsed() < instant {
            std::hint::spin_loop();
        }
        proxy.crash();
        let heard = waits || listener.rest().iter().any(|event| event.kind == "rolledBack");
        proxy = Proxy::start_in(data.path(), &text);
        let status = proxy.status();
        let rolled_back = status["state"] == "rolledBack" && status["epoch"].as_u64() == Some(epoch);
        assert!(rolled_back || !heard, "a rollback that was told of is lost");
        if rolled_back {
            let release = format!("v2-{epoch}");
            near += usize::from(of_release(&receiver, &release).len() < ACTIONS);
            eventually("its actions", || (of_release(&receiver, &release).len() == ACTIONS).then_some(()));
            told.push(release);
        } else {
            assert_eq!(proxy.post("/v1/release/rollback", &json!({})).status, 200);
            let release = format!("v2-{epoch}");
            eventually("its actions", || (of_release(&receiver, &release).len() == ACTIONS).then_some(()));
        }
        proxy.until(|status| status["actions"]["pending"].as_array().is_some_and(Vec::is_empty));
    }
    assert!(told.len() as u64 >= kills / 2, "{} of {kills}", told.len());
    println!(
        "{kills} kills, {} after the rollback was in the journal, {near} before all of its actions were done",
        told.len()
    );
    for release in &told {
        let document: Value =
            serde_json::from_slice(&proxy.call("GET", &format!("/v1/releases/{release}"), &Value::Null).body)
                .expect("JSON");
        let recorded = document["actions"].as_array().expect("actions");
        let keys: Vec<&str> = recorded.iter().filter_map(|action| action["key"].as_str()).collect();
        assert_eq!(recorded.len(), ACTIONS, "{recorded:#?}");
        assert!(recorded.iter().all(|action| action["result"] == "done"), "{recorded:#?}");
        let received = of_release(&receiver, release);
        assert_eq!(
            received.keys().map(String::as_str).collect::<Vec<_>>(),
            sorted(keys),
            "one key for each, whatever was sent again"
        );
    }
}

/// Killed when one of three actions is done and the receiver has the others whole and keeps its answers back.
#[test]
fn row_86_what_a_kill_9_has_broken_off_is_sent_again_under_its_key_and_what_was_done_is_not() {
    for _ in 0..number("PORTCULLIS_TEST_KILLS").unwrap_or(2) {
        let keeps_back = Arc::new(AtomicBool::new(true));
        let is_back = Arc::clone(&keeps_back);
        let receiver = Recorder::of(Upstream::scripted(move |connection| {
            while let Some(request) = connection.request() {
                if request.target != "/0" && is_back.load(Ordering::SeqCst) {
                    return connection.drain();
                }
                connection.send(DONE);
            }
        }));
        let (blue, data) = (Upstream::ok(), folder());
        let text = with_runbook(&blue, &format!("  rolledBack:\n{}", actions(&receiver)));
        let mut proxy = Proxy::start_in(data.path(), &text);
        roll_back(&proxy);
        receiver.until(ACTIONS);
        let before = until_ended(&proxy, 1);
        assert_eq!(results(&before), ["done", "pending", "pending"], "{before:#?}");
        proxy.crash();
        keeps_back.store(false, Ordering::SeqCst);
        let proxy = Proxy::start_in(data.path(), &text);
        let after = until_ended(&proxy, ACTIONS);
        assert_eq!(results(&after), ["done"; ACTIONS], "{after:#?}");
        let keys = |actions: &[Value]| actions.iter().map(|action| action["key"].clone()).collect::<Vec<_>>();
        assert_eq!(keys(&after), keys(&before));
        let received = of_release(&receiver, "v2-1");
        let times: Vec<usize> = after.iter().map(|action| received[action["key"].as_str().expect("a key")]).collect();
        assert_eq!((times, received.len()), (vec![1, 2, 2], ACTIONS), "{received:?}");
    }
}

fn results(actions: &[Value]) -> Vec<&str> {
    actions.iter().filter_map(|action| action["result"].as_str()).collect()
}

fn actions(receiver: &Recorder) -> String {
    let url = receiver.url();
    let action = |number| format!("  - http: {{ url: \"{url}/{number}\", body: \"{{{{ release }}}}\" }}\n");
    (0..ACTIONS).map(action).collect()
}

fn sorted(mut keys: Vec<&str>) -> Vec<&str> {
    keys.sort_unstable();
    keys
}

/// How often each key of a release has come.
fn of_release(receiver: &Recorder, release: &str) -> BTreeMap<String, usize> {
    let mut keys = BTreeMap::new();
    for request in receiver.until(0) {
        if request.body == release.as_bytes() {
            *keys.entry(header(&request, "idempotency-key").expect("a key")).or_insert(0) += 1;
        }
    }
    keys
}
