//! Promise 2 over crashes: a process goes on with the last durable state and nothing else, or with blue.

use std::time::Duration;

use portcullis::control::restore::Beginning;
use portcullis::gate::ByVersion;
use portcullis::release::run::Consent;
use portcullis::release::{Epoch, Stage, State, Weight};
use portcullis::routing::Table;

use super::super::disk::Saved;
use super::super::scenario::Crash;
use super::gates::AtGate;
use super::steps::Place;
use super::{Checked, Witness, broken};

impl Witness<'_> {
    /// The process has started anew with `beginning`, where the disk had `durable`.
    pub fn restarted(&mut self, beginning: &Beginning, durable: Option<&Saved>, crash: Crash, at: Duration) -> Checked {
        let table = beginning.table;
        let (last, state) = match durable {
            // What is mirrored the core says before anything is routed.
            Some(Saved { table, state, .. }) => (Table { mirror: None, ..*table }, state.clone()),
            None => (Table::default(), State::Idle { epoch: Epoch::default() }),
        };
        let blue = table.weight() == Weight::ZERO;
        if self.reported >= Some(table.epoch) && !blue {
            return broken(2, format!("at {at:?} epoch {} is open again after a reported rollback", table.epoch));
        }
        if self.reported > Some(table.epoch) {
            return broken(2, format!("at {at:?} epoch {} comes after the reported {:?}", table.epoch, self.reported));
        }
        let goes_on = crash == Crash::Plain
            && Table { change: last.change, ..table } == last
            && is_same(&beginning.state, &state);
        let same_blue = crash == Crash::Superseding || table.roles == last.roles;
        let gives_up = crash != Crash::Plain && blue && table.epoch == last.epoch && same_blue;
        // Nothing is green about a release that has ended, whatever is configured then.
        let ended = crash == Crash::Superseding && table == last && state.run().is_none();
        if !goes_on && !gives_up && !ended {
            return broken(2, format!("at {at:?} a restart ({crash:?}) makes {beginning:?} of {last:?} and {state:?}"));
        }
        let run = beginning.state.run();
        self.closed = self.reported;
        self.epoch = table.epoch;
        self.weight = table.weight();
        self.roles = table.roles;
        self.completed = matches!(beginning.state, State::Completed { .. });
        self.frozen = run.is_some_and(|run| run.holds.common.is_some());
        self.approved = run.is_some_and(|run| matches!(run.stage, Stage::Step { consent: Consent::Given, .. }));
        self.in_a_row = ByVersion::default();
        self.witnessed = false;
        self.firing = None;
        self.counts.lose();
        self.baked = Duration::ZERO;
        self.seen = beginning.clock;
        self.place = Place::of(&beginning.state);
        self.gate = AtGate::restarted(&beginning.state);
        self.forget(beginning.clock);
        if run.is_some() {
            self.compared();
        }
        Ok(())
    }
}

/// Whether they differ in nothing but the time that a stage has lasted.
fn is_same(one: &State, other: &State) -> bool {
    match (one, other) {
        (State::Open(one), State::Open(other)) => {
            (one.epoch, one.stage, one.weight, &one.holds) == (other.epoch, other.stage, other.weight, &other.holds)
        }
        _ => one == other,
    }
}
