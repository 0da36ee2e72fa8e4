//! What others are told: events, status and metrics. A decision is told when the journal has it.

use std::sync::Arc;

use jiff::Timestamp;

use super::event::Event;
use super::ledger::Report;
use super::status::Status;
use super::{Control, PROXY};
use crate::gate::ByVersion;
use crate::journal::WriteError;
use crate::release::Kind;
use crate::telemetry::Named;

impl Control {
    /// What is to be done after whatever has happened.
    pub(super) fn follow_up(&mut self) {
        self.obey_waiting();
        self.ask();
        let (due, late) = self.inputs.ledger.due();
        if let Some(late) = late {
            self.journal_failed(&late);
        }
        self.told(due);
        self.do_what_is_due();
        self.publish();
    }

    /// A failed write is an alarm, and undoes nothing.
    pub(super) fn journal_failed(&mut self, error: &WriteError) {
        self.inputs.telemetry.journal_failed();
        tracing::error!(%error, "the journal was not written; a restart may not know of the last decision");
        let event = Event::new(Kind::JournalFailed, PROXY.to_owned(), error.to_string(), self.course.state());
        self.outputs.events.send(event);
    }

    /// Tells what the journal has: whoever hears of it and asks for the status finds it there.
    pub(super) fn told(&mut self, reports: Vec<Report>) {
        if reports.is_empty() {
            return;
        }
        self.publish();
        for Report { events, reply, status, .. } in reports {
            // What has been decided since is not to be shown yet.
            if self.inputs.ledger.is_reporting() {
                self.outputs.status.send_replace(status.clone());
            }
            for event in events {
                self.tell(event);
            }
            if let Some(reply) = reply
                && reply.send(Ok(status)).is_err()
            {
                tracing::debug!("whoever asked did not wait for the answer");
            }
        }
    }

    fn tell(&self, event: Event) {
        let (kind, weight) = (event.kind.name(), event.weight.percent());
        let Event { actor, sentence, epoch, .. } = &event;
        match event.kind {
            Kind::RolledBack => {
                let reaction_micros = self.rollback.as_ref().and_then(|rollback| rollback.reaction_micros);
                tracing::warn!(event = kind, actor, %epoch, reason = sentence, reaction_micros, "rolled back: all traffic goes to blue");
            }
            Kind::RouteTakenBack => {
                tracing::warn!(event = kind, actor, %epoch, weight, sentence, "one route goes to blue");
            }
            Kind::Shedding | Kind::ReplicaLeftOut | Kind::ActionFailed | Kind::ActionForPeople => {
                tracing::warn!(event = kind, actor, %epoch, sentence);
            }
            Kind::Frozen | Kind::Irreversible | Kind::JournalFailed | Kind::NotRecovered => {
                tracing::error!(event = kind, actor, %epoch, weight, sentence);
            }
            _ => tracing::info!(event = kind, actor, %epoch, weight, sentence),
        }
        self.outputs.events.send(event);
    }

    pub(super) fn publish(&mut self) {
        let table = self.inputs.routing.table();
        let live = self.inputs.routing.live();
        let telemetry = &mut self.inputs.telemetry;
        telemetry.weight(table.weight());
        telemetry.state(self.course.state().name());
        let (run, plan) = (self.course.state().run(), self.course.plan());
        telemetry.step(run.and_then(|run| run.step_number(plan)), plan.map(|plan| plan.steps.len() + 1));
        telemetry.verdict(self.course.verdict().kind);
        telemetry.taken_back(&self.config.policy.routes, self.course.taken_back());
        let compared = self.course.compared().filter(|_| self.course.state().run().is_some());
        telemetry.evidence(compared.as_ref());
        telemetry.exposure(self.course.harm().filter(|_| self.course.state().run().is_some()));
        let versions = ByVersion::build(|version| self.names.of(table.roles.section(version)).to_owned());
        let named = Named { service: self.names.service().to_owned(), versions, epoch: self.course.epoch() };
        telemetry.present(table.roles, &live.upstreams, named);
        // Nobody reads of a decision here before the journal has it.
        if self.inputs.ledger.is_reporting() {
            return;
        }
        self.outputs.status.send_replace(self.status());
    }

    pub(super) fn status(&self) -> Arc<Status> {
        let (table, live) = (self.inputs.routing.table(), self.inputs.routing.live());
        let (rollback, at, now) = (self.rollback.clone(), Timestamp::now(), self.clock.now());
        let status = Status::new(&self.names, &self.course, table, &live.upstreams, rollback, at, now);
        let max_weight = Some(self.config.versions.green.max_weight).filter(|weight| !weight.is_full());
        let (difference, mirror, cohorts) = (self.difference(), self.mirror_status(), self.cohort_status());
        let (ramp, revision, actions) = (self.ramp_status(), self.revision, self.deeds_status());
        let replicas = self.replica_status();
        Arc::new(Status { max_weight, ramp, mirror, cohorts, difference, actions, replicas, revision, ..status })
    }
}
