//! A journal that is slow, fails, loses answers and repeats them, and what of it is left after a crash.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use portcullis::journal::StateRecord;
use portcullis::release::State;
use portcullis::routing::Table;

use super::scenario::DiskFaults;

/// What one write makes durable.
#[derive(Clone, Debug)]
pub struct Saved {
    /// As it stands on the disk.
    pub record: String,
    /// What that is a record of.
    pub state: State,
    /// What the workers routed by when it was written.
    pub table: Table,
    /// The version that was green by the configuration.
    pub green: String,
    /// How much of the recording goes with it.
    pub recorded: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub number: u64,
    pub written: bool,
}

struct Pending {
    number: u64,
    saved: Saved,
    done_at: Duration,
    fails: bool,
}

/// Writes are done one after the other.
pub struct Disk {
    faults: DiskFaults,
    durable: Option<Saved>,
    pending: VecDeque<Pending>,
    next: u64,
    last: Option<Answer>,
    /// How often it did what.
    pub seen: BTreeMap<&'static str, u64>,
}

impl Disk {
    pub fn new(faults: DiskFaults) -> Disk {
        Disk { faults, durable: None, pending: VecDeque::new(), next: 0, last: None, seen: BTreeMap::new() }
    }

    /// Hands a write over, and returns its number.
    pub fn send(
        &mut self,
        record: &StateRecord,
        saved: impl FnOnce(String) -> Saved,
        random: &mut Rng,
        now: Duration,
    ) -> u64 {
        let number = self.next;
        self.next += 1;
        self.see("write");
        let record = serde_json::to_string(record).expect("a record is plain data");
        let begins = self.pending.back().map_or(now, |pending| pending.done_at);
        let done_at = begins + self.faults.slowness.mul_f64(random.f64());
        let fails = random.f64() < self.faults.fails;
        self.pending.push_back(Pending { number, saved: saved(record), done_at, fails });
        number
    }

    /// The answers that have come by `now`; some never come, and some come twice.
    pub fn answers(&mut self, random: &mut Rng, now: Duration) -> Vec<Answer> {
        let mut answers = Vec::new();
        while self.pending.front().is_some_and(|pending| pending.done_at <= now) {
            let Pending { number, saved, fails, .. } = self.pending.pop_front().expect("there is a front");
            // A write that is answered by an error may be on the disk all the same.
            if !fails || random.bool() {
                self.durable = Some(saved);
            }
            let answer = Answer { number, written: !fails };
            if fails {
                self.see("failed write");
            }
            if number + 1 < self.next {
                self.see("late answer");
            }
            if random.f64() < self.faults.loses_answer {
                self.see("lost answer");
            } else {
                answers.push(answer);
                self.last = Some(answer);
            }
            if random.f64() < self.faults.repeats_answer && self.last.is_some() {
                self.see("repeated answer");
                answers.extend(self.last);
            }
        }
        answers
    }

    /// The process dies: of the writes under way any number may have come through, in their order.
    pub fn crash(&mut self, random: &mut Rng) -> Option<Saved> {
        let through = random.usize(..=self.pending.len());
        for pending in self.pending.drain(..).take(through) {
            if !pending.fails {
                self.durable = Some(pending.saved);
            }
        }
        self.last = None;
        self.durable.clone()
    }

    fn see(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }
}
