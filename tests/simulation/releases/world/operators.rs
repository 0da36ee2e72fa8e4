//! What operators do about what they are told, and how long a run goes on.

use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;
use portcullis::control::status::Rollback;
use portcullis::release::{Acknowledged, Answer, Answered, Input, Kind as Told, Question, State};

use super::World;
use crate::simulation::releases::scenario::{ALICE, Order, minutes};

/// A rollback and a completion are watched for so many ticks.
const WATCHED: u32 = 12;

impl World<'_> {
    pub(super) fn react(&mut self, kind: Told, actor: &str, at: Duration) {
        let alice = || (ALICE.to_owned(), String::new());
        let later = |random: &mut Rng| at + minutes(random, 0.2, 12.0);
        match kind {
            Told::AwaitingApproval if self.random.u8(..8) > 0 => {
                let (actor, reason) = alice();
                self.reactions.push((later(&mut self.random), Order::Operator(Input::Approve { actor, reason })));
            }
            Told::Paused | Told::WeightSet | Told::Irreversible if self.random.u8(..4) > 0 => {
                let (actor, reason) = alice();
                self.reactions.push((later(&mut self.random), Order::Operator(Input::Resume { actor, reason })));
            }
            Told::GateRefused if self.random.u8(..8) > 0 => {
                let (actor, reason) = (ALICE.to_owned(), "it is known".to_owned());
                let input =
                    if self.random.bool() { Input::Approve { actor, reason } } else { Input::Resume { actor, reason } };
                self.reactions.push((later(&mut self.random), Order::Operator(input)));
            }
            Told::RolledBack => {
                if actor == ALICE {
                    self.see("rollback by hand");
                } else if let State::RolledBack { cause, .. } = self.course.state() {
                    self.report.rollbacks.push(cause.trigger.clone());
                }
                let at_the_wall = self.wall();
                self.rollback = match self.course.state() {
                    State::RolledBack { cause, .. } => Some(Rollback::new(cause, at_the_wall, None)),
                    State::Idle { .. } | State::Open(_) | State::Completed { .. } => None,
                };
                self.over_at = self.over_at.min(at + self.scenario.tick * WATCHED);
                if self.random.u8(..4) == 0 {
                    let (actor, reason) = alice();
                    let at = at + self.scenario.tick * self.random.u32(1..WATCHED);
                    self.reactions.push((at, Order::Operator(Input::Start { actor, reason })));
                }
            }
            Told::Completed => {
                self.report.completed += 1;
                self.reactions.clear();
                self.over_at = self.over_at.min(at + self.scenario.tick * WATCHED);
                if self.random.u8(..4) == 0 {
                    let (actor, reason) = alice();
                    let acknowledged = Acknowledged::Yes;
                    let undo = Input::Withdraw { actor, reason, acknowledged };
                    self.reactions.push((at + self.scenario.tick * 3, Order::Operator(undo)));
                }
            }
            _ => {}
        }
    }

    /// Somebody finds out whether the release may go on, and says so in time, late, or never.
    pub(super) fn ask(&mut self, question: Question, at: Duration) {
        self.witness.gate.asked(question);
        let sentence = "the smoke test".to_owned();
        let answer = match self.random.u8(..10) {
            0..6 => Answer::Pass { sentence },
            6 => Answer::Refuse { sentence },
            7 | 8 => Answer::Wait { time: minutes(&mut self.random, 0.0, 3.0), sentence },
            _ => return,
        };
        let after = if self.random.u8(..8) == 0 { minutes(&mut self.random, 0.2, 6.0) } else { self.scenario.tick };
        let answered = Answered { question, answer };
        self.reactions.push((at + after, Order::Answer(answered)));
    }

    /// The clock on the wall jumps as it likes.
    fn wall(&mut self) -> Timestamp {
        Timestamp::from_second(self.random.i64(0..4_000_000_000)).expect("a time in this age")
    }
}
