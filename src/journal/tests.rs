use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::*;

const BOUNDS: Bounds = Bounds { age: Duration::from_secs(3600), size: 8 << 20 };

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("in range")
}

fn state(epoch: u32, weight: u16) -> StateRecord {
    StateRecord {
        epoch,
        latch: None,
        state: "stepping".to_owned(),
        weight,
        step: Some(0),
        blue: "v1".to_owned(),
        green: "v2".to_owned(),
        stable: "v1".to_owned(),
        resume: json!({ "share": 0.1 + 0.2 }),
    }
}

fn write(number: u64, state: StateRecord) -> Write {
    let at = at(i64::try_from(number).expect("small"));
    Write { number, at, state, release: None, decisions: vec![], evidence: vec![], durable: Durable::Now }
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut journal, restored) = Journal::open(dir.path(), BOUNDS).expect("new");
    assert_eq!(restored, Restored::default());
    journal.send(write(1, state(3, 2500))).expect("the queue is empty");
    assert_eq!(journal.answer().await, Answer { number: 1, result: Ok(()) });
    journal.close();
    let (_journal, restored) = Journal::open(dir.path(), BOUNDS).expect("closed");
    assert_eq!(restored.state, Some(state(3, 2500)));
}
