//! What the journal is given.

use std::time::Duration;

use jiff::Timestamp;

use super::Control;
use super::command::Reply;
use super::event::{Event, Place};
use super::restore::{self, Times};
use crate::journal::{DecisionRecord, Outcome, StateRecord};
use crate::release::State;
use crate::routing::{Route, Table};

impl Control {
    /// What was decided holds: it is recorded, and told.
    pub(super) fn decided(&mut self, mut events: Vec<Event>, reply: Option<Reply>, now: Duration) {
        let completed = matches!(self.course.state(), State::Completed { .. });
        if completed && self.inputs.routing.table().route == Route::Latched {
            // A worker's latch came before the completion, which must not be written down.
            events.clear();
            self.catch_up();
        }
        if events.is_empty() && reply.is_none() {
            return;
        }
        let ended = self.outcome().map(|outcome| (Timestamp::now(), outcome));
        self.record(events, ended, reply, now);
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self.course.state() {
            State::RolledBack { .. } => Some(Outcome::RolledBack),
            State::Completed { .. } => Some(Outcome::Promoted),
            State::Idle { .. } | State::Open(_) => None,
        }
    }

    /// Has the journal keep `events` as decisions of the moment `now`; they are told when it has them.
    pub(super) fn record(
        &mut self,
        mut events: Vec<Event>,
        ended: Option<(Timestamp, Outcome)>,
        reply: Option<Reply>,
        now: Duration,
    ) {
        let evidence = self.evidence();
        let mut decisions = Vec::new();
        for event in &mut events {
            self.revision.rise();
            self.last_told = Some(event.sentence.clone());
            let Some((seq, after)) = self.inputs.ledger.number(now) else { continue };
            event.recorded = Some(Place { epoch: event.epoch.number(), seq });
            decisions.push(DecisionRecord {
                epoch: event.epoch.number(),
                seq,
                at: event.at,
                after,
                kind: event.kind.name().to_owned(),
                actor: event.actor.clone(),
                sentence: event.sentence.clone(),
                state: event.state.to_owned(),
                weight: event.weight.basis_points(),
                evidence: evidence.clone(),
            });
        }
        if self.inputs.together.is_alone() {
            self.happen(&events);
        }
        let (state, status) = (self.state_record(), self.status());
        if let Err(error) = self.inputs.ledger.decide(state, ended, decisions, events, reply, status) {
            self.journal_failed(&error);
        }
    }

    pub(super) fn state_record(&self) -> StateRecord {
        self.state_record_by(self.inputs.routing.table())
    }

    /// As it is under this table.
    pub(super) fn state_record_by(&self, table: Table) -> StateRecord {
        let times = Times { now: self.clock.now(), began: self.inputs.ledger.began().unwrap_or_default() };
        StateRecord {
            versions: Some(self.versions_by(table.roles)),
            declared: Some(restore::declared(&self.config)),
            rolled_back: self.rolled_back.as_ref().map(|(version, _)| version.clone()),
            ..restore::record(&self.course, table, &self.names, times, self.rollback.as_ref())
        }
    }
}
