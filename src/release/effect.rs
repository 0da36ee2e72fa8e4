//! What must be done after a transition.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gates::Question;
use super::{Epoch, Weight};

/// What must be done, in this order. What moves traffic away from green comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Route every new request to blue and latch the epoch.
    Latch { epoch: Epoch },
    /// As [`Effect::Latch`], after the release had completed: the version that was blue before it is blue again.
    Revert { epoch: Epoch },
    /// Route by this weight, unless the epoch is latched already.
    Route { epoch: Epoch, weight: Weight },
    /// Route these requests to blue, by the names of their routes, and those of no other route.
    TakeBack { epoch: Epoch, routes: Vec<String> },
    /// Green's version is the new blue.
    Complete { epoch: Epoch },
    /// Forget the evidence of earlier epochs.
    Begin { epoch: Epoch },
    /// Have somebody find out whether the release may go on. The answer comes back as an input.
    Ask(Question),
    /// Carry out what the policy has for this trigger before a rollback.
    Try { trigger: String },
    /// A decision, to be recorded and told.
    Tell { kind: Kind, actor: String, sentence: String },
    /// A trigger that only notifies.
    Notify { trigger: String, sentence: String },
}

/// What kind of decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Started,
    Stepped,
    WeightSet,
    AwaitingApproval,
    Approved,
    Paused,
    Resumed,
    Probing,
    Acquitted,
    Frozen,
    Thawed,
    /// A trigger would have rolled back, but the release is irreversible.
    Irreversible,
    Promoted,
    Completed,
    RolledBack,
    /// After a rollback blue does as before.
    Recovered,
    /// After a rollback blue is bad as well.
    NotRecovered,
    /// After a rollback blue had too few requests to tell.
    RecoveryUnknown,
    /// One route goes to blue, and the rest stays where it is.
    RouteTakenBack,
    Notified,
    /// Something is tried before a rollback.
    Trying,
    /// It has helped, and green stays.
    Helped,
    /// It is asked whether the release may go on.
    GateAsked,
    GatePassed,
    /// It is asked again.
    GateWaits,
    GateRefused,
    /// An operator goes past it.
    GateOverridden,
    /// The endpoints of a version were changed.
    EndpointsChanged,
    /// The configuration was read again.
    Reloaded,
    /// The process has started anew in the middle of the release.
    Restarted,
    /// Blue suffers from the traffic that came back to it, and is not given all of it.
    Shedding,
    /// It is again.
    Ramped,
    /// What another replica counts is not in the sum.
    ReplicaLeftOut,
    /// It is again.
    ReplicaBack,
    /// The journal could not be written.
    JournalFailed,
    /// What the runbook says was done.
    ActionDone,
    /// It could not be, for the last time.
    ActionFailed,
    /// It was not wanted.
    ActionSkipped,
    /// People have to do it.
    ActionForPeople,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Started => "started",
            Kind::Stepped => "stepped",
            Kind::WeightSet => "weightSet",
            Kind::AwaitingApproval => "awaitingApproval",
            Kind::Approved => "approved",
            Kind::Paused => "paused",
            Kind::Resumed => "resumed",
            Kind::Probing => "probing",
            Kind::Acquitted => "acquitted",
            Kind::Frozen => "frozen",
            Kind::Thawed => "thawed",
            Kind::Irreversible => "irreversible",
            Kind::Promoted => "promoted",
            Kind::Completed => "completed",
            Kind::RolledBack => "rolledBack",
            Kind::Recovered => "recovered",
            Kind::NotRecovered => "notRecovered",
            Kind::RecoveryUnknown => "recoveryUnknown",
            Kind::RouteTakenBack => "routeTakenBack",
            Kind::Notified => "notified",
            Kind::Trying => "trying",
            Kind::Helped => "helped",
            Kind::GateAsked => "gateAsked",
            Kind::GatePassed => "gatePassed",
            Kind::GateWaits => "gateWaits",
            Kind::GateRefused => "gateRefused",
            Kind::GateOverridden => "gateOverridden",
            Kind::EndpointsChanged => "endpointsChanged",
            Kind::Reloaded => "reloaded",
            Kind::Restarted => "restarted",
            Kind::Shedding => "shedding",
            Kind::Ramped => "ramped",
            Kind::ReplicaLeftOut => "replicaLeftOut",
            Kind::ReplicaBack => "replicaBack",
            Kind::JournalFailed => "journalFailed",
            Kind::ActionDone => "actionDone",
            Kind::ActionFailed => "actionFailed",
            Kind::ActionSkipped => "actionSkipped",
            Kind::ActionForPeople => "actionForPeople",
        }
    }
}

impl Effect {
    pub fn tell(kind: Kind, actor: &str, sentence: String) -> Effect {
        Effect::Tell { kind, actor: actor.to_owned(), sentence }
    }
}
