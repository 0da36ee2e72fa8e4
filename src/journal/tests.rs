mod bounds;
mod crash;
mod damage;
mod disk;
mod doing;
mod faults;
mod migration;
mod place;
mod reading;
mod writing;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use self::disk::Disk;
use super::error::Failure;
use super::place::opener_over;
use super::slot::{Counted, Input, OpenChunk, Tick};
use super::*;

const BOUNDS: Bounds = Bounds { age: Duration::from_secs(3600), size: 8 << 20 };

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + i64::from(seconds)).expect("in range")
}

/// A state that tells by its weight which write it came with.
fn state(number: u16) -> StateRecord {
    StateRecord {
        epoch: 7,
        latch: None,
        state: "stepping".to_owned(),
        weight: number,
        step: Some(0),
        blue: "v1".to_owned(),
        green: "v2".to_owned(),
        stable: "v1".to_owned(),
        versions: None,
        declared: None,
        rolled_back: None,
        resume: json!({ "eProcess": 0.1_f64 + 0.2 }),
    }
}

fn decision(number: u16) -> DecisionRecord {
    DecisionRecord {
        epoch: 7,
        seq: u32::from(number),
        at: at(u32::from(number)),
        after: Duration::from_nanos(u64::from(number) * 1_000_000_007),
        kind: "weightSet".to_owned(),
        actor: "ann".to_owned(),
        sentence: format!("decision {number}"),
        state: "stepping".to_owned(),
        weight: number,
        evidence: json!({ "blue": { "requests": 90 }, "green": { "requests": 10 } }),
    }
}

fn release(epoch: u32) -> ReleaseRecord {
    ReleaseRecord {
        header: ReleaseHeader {
            epoch,
            id: ReleaseHeader::id_of("v2", epoch),
            blue: "v1".to_owned(),
            green: "v2".to_owned(),
            started: at(0),
            ended: None,
            outcome: Outcome::Open,
        },
        policy: "steps: []".to_owned(),
        plan: json!([{ "weight": 33.33 }]),
        clients: json!({ "requests": 3 }),
    }
}

fn tick(requests: u64) -> Input {
    let counted = Counted { requests, ..Counted::default() };
    Input::Tick(Box::new(Tick { blue: counted.clone(), green: counted, ..Tick::default() }))
}

fn chunk(epoch: u32, number: u32, inputs: impl IntoIterator<Item = Input>) -> Chunk {
    let mut open = OpenChunk::new(epoch, number);
    for (index, input) in (1_u64..).zip(inputs) {
        open.push(&Slot { after: Duration::from_millis(index * 100), input });
    }
    open.take(at(number))
}

/// Input that takes as many bytes packed as it says: letters of a fixed random sequence.
fn incompressible(bytes: usize) -> Input {
    let mut random = fastrand::Rng::with_seed(1);
    let letters = std::iter::repeat_with(|| random.alphanumeric());
    // A letter of 62 carries 6 bits of the 8 that it takes.
    Input::Other(letters.take(bytes * 8 / 6).collect::<String>().into())
}

fn write(number: u16, state: StateRecord, durable: Durable) -> Write {
    let at = at(u32::from(number));
    Write {
        number: number.into(),
        at,
        state,
        release: None,
        decisions: vec![],
        evidence: vec![],
        doing: Doing::default(),
        durable,
    }
}

fn action(epoch: u32, number: u32) -> ActionRecord {
    ActionRecord {
        epoch,
        number,
        occasion: number,
        key: format!("shop:v2-{epoch}:{number}"),
        name: "flag-off".to_owned(),
        kind: "http".to_owned(),
        moment: "rolledBack".to_owned(),
        occurrence: 0,
        due: at(number),
        attempts: 0,
        result: ActionResult::Pending,
        at: None,
        sentence: String::new(),
        remembered: BTreeMap::new(),
    }
}

fn occasion(epoch: u32, number: u32) -> OccasionRecord {
    OccasionRecord { epoch, number, facts: json!({ "reason": "8 % errors" }), resolved: false }
}

/// The write of one decision, with its piece of evidence.
fn decided(number: u16) -> Write {
    Write {
        release: (number == 1).then(|| release(7)),
        decisions: vec![decision(number)],
        evidence: vec![chunk(7, u32::from(number), [tick(number.into())])],
        ..write(number, state(number), Durable::Now)
    }
}

fn open(disk: &Disk) -> Result<(Store, Restored), Failure> {
    let disk = disk.clone();
    Store::open(opener_over(move || disk.clone()), BOUNDS)
}

/// The numbers of the decisions that the journal holds of the release.
fn decisions_in(store: &Store) -> Vec<u16> {
    let release = store.archive().release("v2-7").expect("readable");
    release.map_or(vec![], |release| release.decisions.iter().map(|decision| decision.weight).collect())
}
