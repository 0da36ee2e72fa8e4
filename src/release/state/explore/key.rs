//! What of a state matters to whatever comes after it.

use super::*;
use crate::release::gates::Stands;
use crate::release::input::{APPROVAL_DEADLINE, MAX_WEIGHT};
use crate::release::{AtGate, Moment};

/// All that tells two nodes apart, as far as anything that happens later can.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Key {
    state: &'static str,
    epoch: Epoch,
    stage: (u8, usize),
    weight: Weight,
    /// Of what convicted and what paused: whether it is for want of an approval, which ends it, or of a promotion. The last is
    /// what was taken back.
    holds: (bool, Option<Want>, Option<Weight>, Option<Want>, usize),
    baked: Duration,
    waited: Option<Duration>,
    /// The gate, how it stands, and how long for.
    gate: Option<(Moment, &'static str, Option<Duration>)>,
    table: (Epoch, bool, bool, Weight, u8, bool),
}

/// For want of what a release is held.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Want {
    Approval,
    Promotion,
    Nothing,
}

impl Want {
    pub(super) fn of(held: &Held) -> Want {
        match held.by.as_str() {
            APPROVAL_DEADLINE => Want::Approval,
            MAX_WEIGHT => Want::Promotion,
            _ => Want::Nothing,
        }
    }
}

impl Node {
    fn gate(&self, AtGate { question, stands, .. }: &AtGate) -> (Moment, &'static str, Option<Duration>) {
        let left = match stands {
            Stands::Asked { until } | Stands::Waits { until } => Some(until.saturating_sub(self.now)),
            // One second after it counts no longer.
            Stands::Passed { until } => Some((*until + SECOND).saturating_sub(self.now)),
            Stands::Refused | Stands::Overridden => None,
        };
        (question.moment, stands.name(), left)
    }

    pub(super) fn key(&self) -> Key {
        let run = self.state.run();
        let stage = |run: &Run| match run.stage {
            Stage::Manual => (0, 0),
            Stage::Delay => (1, 0),
            Stage::Monitoring => (2, 0),
            Stage::Exposing => (7, 0),
            Stage::Step { index, consent: Consent::NotNeeded } => (3, index),
            Stage::Step { index, consent: Consent::Open } => (4, index),
            Stage::Step { index, consent: Consent::Asked } => (5, index),
            Stage::Step { index, consent: Consent::Given } => (6, index),
        };
        let holds = |Run { holds, .. }: &Run| {
            let restore = holds.probe.as_ref().map(|probe| probe.restore);
            let want = |held: &Option<Held>| held.as_ref().map(Want::of);
            let taken_back = holds.taken_back.len();
            (holds.common.is_some(), want(&holds.convicted), restore, want(&holds.paused), taken_back)
        };
        let route = match self.table.route {
            Route::Split(_) => 0,
            Route::Latched => 1,
            Route::Completed => 2,
        };
        let exchanged = |roles| roles == Roles::Exchanged;
        let roles = (exchanged(self.table.roles), exchanged(self.roles));
        Key {
            state: self.state.name(),
            epoch: self.state.epoch(),
            stage: run.map(stage).unwrap_or_default(),
            weight: self.state.weight(),
            holds: run.map(holds).unwrap_or_default(),
            baked: run.map(|run| run.baked(self.now).min(LATE)).unwrap_or_default(),
            waited: run.and_then(|run| run.waited(self.now)).map(|waited| waited.min(WITHIN)),
            gate: run.and_then(|run| run.holds.gate.as_ref()).map(|gate| self.gate(gate)),
            table: (self.table.epoch, roles.0, roles.1, self.table.weight(), route, self.goes_to_blue()),
        }
    }
}
