//! What the clients of green felt of its failures in one release: those that blue answered in its place they did not.

use serde::Serialize;
use serde_json::Value;

use super::Control;
use super::ramping::RAMP;
use crate::measure::{InEpoch, Tick};
use crate::release::Epoch;

/// Since the release began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Felt {
    epoch: Epoch,
    requests: u64,
    failures: u64,
    shielded: InEpoch,
    /// As the journal has it of the whole release.
    settled: Recorded,
}

/// As it is recorded with a decision, and once more when all is known. It decides nothing, and a replay does not know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recorded {
    requests: u64,
    failures: u64,
    /// That blue got, and of them those that it had not answered yet, and those that it failed as well.
    to_blue: u64,
    under_way: u64,
    failed_by_blue: u64,
}

/// The member of a decision's evidence that says this.
pub const CLIENTS: &str = "clients";

impl Control {
    /// What a decision of this moment is made on, and what clients felt until then.
    pub(super) fn evidence(&self) -> Value {
        let mut evidence = serde_json::to_value(self.course.basis()).expect("a basis is plain data");
        evidence[CLIENTS] = serde_json::to_value(self.felt.recorded()).expect("counts are plain data");
        if let Some(refused) = self.refused_in_ramp() {
            evidence[RAMP] = serde_json::json!({ "refused": refused });
        }
        evidence
    }

    /// Has the journal keep what clients felt, when the release has ended: what was under way comes to an end after it.
    pub(super) fn settle_felt(&mut self) {
        let recorded = self.felt.recorded();
        if recorded == self.felt.settled || self.course.state().run().is_some() {
            return;
        }
        self.felt.settled = recorded;
        let clients = serde_json::to_value(recorded).expect("counts are plain data");
        let state = self.state_record();
        if let Err(error) = self.inputs.ledger.settle_clients(self.felt.epoch, clients, state) {
            self.journal_failed(&error);
        }
    }
}

impl Felt {
    pub(super) fn take(&mut self, tick: &Tick, epoch: Epoch) {
        if epoch != self.epoch {
            *self = Felt { epoch, ..Felt::default() };
        }
        self.requests += tick.shown.green.requests;
        self.failures += tick.shown.green.failures;
        self.shielded.add(tick.shielded);
    }

    pub(super) fn recorded(&self) -> Recorded {
        let InEpoch { given, answered, failed } = self.shielded;
        Recorded {
            requests: self.requests,
            failures: self.failures,
            to_blue: given,
            // One that its client gave up is neither.
            under_way: given.saturating_sub(answered + failed),
            failed_by_blue: failed,
        }
    }
}
