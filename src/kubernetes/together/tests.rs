use serde_json::json;

use super::super::conditions;
use super::*;
use crate::journal::{Latch, StateRecord};

fn record(latch: Option<Latch>) -> StateRecord {
    StateRecord {
        epoch: 7,
        latch,
        state: "stepping".to_owned(),
        weight: 2_000,
        step: Some(1),
        blue: "v1".to_owned(),
        green: "v2".to_owned(),
        stable: "v1".to_owned(),
        versions: None,
        declared: None,
        rolled_back: None,
        resume: json!({}),
    }
}

fn written(latch: Option<Latch>) -> GatedRolloutStatus {
    let by = Stamp { process: 12, number: 5 };
    let shared =
        Shared { turn: 9, by, body: Body { record: record(latch), told: None, began: None, to_do: Vec::new() } };
    let before =
        GatedRolloutStatus { leader: Some("r0".to_owned()), released: Some("v2".to_owned()), ..Default::default() };
    before.with(&shared, "checkout-7/x", &conditions::tests::status())
}

#[test]
fn what_is_written_is_what_another_replica_reads() {
    let status = written(None);
    let read = shared(&status).expect("it was written by this program").expect("there is a state");
    assert_eq!((read.turn, read.by), (9, Stamp { process: 12, number: 5 }));
    assert_eq!(read.body.record, record(None));
    assert_eq!((status.turn, status.by.as_deref()), (Some(9), Some("checkout-7/x/12/5")));
    assert_eq!((status.epoch, status.weight, status.step), (Some(7), Some(20.0), Some(2)), "steps are counted from 1");
    assert_eq!((status.leader.as_deref(), status.released.as_deref()), (Some("r0"), Some("v2")), "of others");
    assert!(status.latch.is_none());
}

#[test]
fn a_rollback_is_shown_with_its_epoch_and_its_reason_as_the_verdict() {
    let at = jiff::Timestamp::from_second(1).expect("a time");
    let text = |text: &str| text.to_owned();
    let latch = Latch { trigger: text("spike"), reason: text("too many"), actor: text("gate"), at };
    let status = written(Some(latch));
    let verdict = status.verdict.expect("there is one");
    assert_eq!((verdict.kind.as_str(), verdict.sentence.as_str()), ("fail", "too many"));
    assert_eq!(status.latch.map(|latch| (latch.epoch, latch.trigger)), Some((7, text("spike"))));
}

#[test]
fn a_state_that_this_program_does_not_understand_is_neither_followed_nor_taken_for_none() {
    let status = GatedRolloutStatus { record: Some(json!({ "epoch": "seven" })), ..written(None) };
    assert!(shared(&status).is_err());
    assert!(matches!(shared(&GatedRolloutStatus::default()), Ok(None)));
    // By hand, or by another program.
    for by in [None, Some("kubectl"), Some("r0/x/5")] {
        let status = GatedRolloutStatus { by: by.map(str::to_owned), ..written(None) };
        assert_eq!(shared(&status).expect("a state").map(|shared| shared.by), Some(NOBODY), "{by:?}");
    }
}
