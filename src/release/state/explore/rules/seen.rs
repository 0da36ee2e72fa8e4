//! What a search has come to.

use std::collections::BTreeSet;

use super::approval;
use crate::release::input::APPROVAL_DEADLINE;
use crate::release::state::explore::routes::Taking;
use crate::release::state::explore::{Done, LATE, Node};
use crate::release::{Approval, Effect, Epoch, Kind, Plan, State};
use crate::routing::Route;

/// That the search came to everything it is about.
#[derive(Default)]
pub(in super::super) struct Seen {
    states: BTreeSet<&'static str>,
    told: BTreeSet<&'static str>,
    late: bool,
    overtaken: bool,
    unapproved: bool,
    epochs: BTreeSet<Epoch>,
}

impl Seen {
    pub(in super::super) fn note(&mut self, done: &Done) {
        let Node { state, now, table, .. } = &done.after;
        self.states.insert(state.name());
        self.epochs.insert(state.epoch());
        self.late |= state.run().is_some_and(|run| run.baked(*now) >= LATE);
        self.overtaken |= state.run().is_some() && table.route == Route::Latched;
        self.unapproved |= match state {
            State::RolledBack { cause, .. } => cause.trigger == APPROVAL_DEADLINE,
            State::Open(run) => {
                [&run.holds.convicted, &run.holds.paused].into_iter().flatten().any(approval::is_wanted)
            }
            State::Idle { .. } | State::Completed { .. } => false,
        };
        if let Some(Ok(effects)) = &done.result {
            self.told.extend(effects.iter().filter_map(|effect| match effect {
                Effect::Tell { kind, .. } => Some(kind.name()),
                _ => None,
            }));
        }
    }

    pub(in super::super) fn check(&self, plan: Option<&Plan>, taking: Taking) {
        let irreversible = plan.is_some_and(|plan| plan.irreversible.is_some());
        assert_eq!(self.states.len(), crate::release::state::STATE_NAMES.len(), "{:?}", self.states);
        let always = [Kind::Started, Kind::WeightSet, Kind::Paused, Kind::Resumed, Kind::Frozen, Kind::Thawed];
        let ends = [Kind::Promoted, Kind::Completed, Kind::RolledBack, Kind::Restarted];
        let approvals = [Kind::AwaitingApproval, Kind::Approved];
        let asks = plan.is_some_and(|plan| plan.steps.iter().any(|step| step.approval != Approval::Automatic));
        let reversible = [Kind::Probing, Kind::Acquitted];
        let mut wanted: Vec<Kind> = always.into_iter().chain(ends).collect();
        wanted.extend([Kind::Stepped].into_iter().filter(|_| plan.is_some()));
        wanted.extend(approvals.into_iter().filter(|_| asks));
        let gates = [Kind::GateAsked, Kind::GatePassed, Kind::GateWaits, Kind::GateRefused, Kind::GateOverridden];
        wanted.extend(gates.into_iter().filter(|_| plan.is_some_and(|plan| !plan.gates.none())));
        wanted.extend([Kind::RouteTakenBack].into_iter().filter(|_| taking == Taking::Routes && !irreversible));
        wanted.extend(reversible.into_iter().filter(|_| !irreversible));
        wanted.extend([Kind::Irreversible].into_iter().filter(|_| irreversible));
        let wanted: BTreeSet<_> = wanted.into_iter().map(Kind::name).collect();
        assert_eq!(self.told, wanted);
        let deadlines = plan.is_some_and(|plan| plan.steps.iter().any(|step| step.approval.deadline().is_some()));
        assert_eq!(self.unapproved, deadlines);
        assert!(self.late && self.overtaken != irreversible && self.epochs.len() == 4);
    }
}
