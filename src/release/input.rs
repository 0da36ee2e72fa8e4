//! What can happen to a release, and why an operator's wish may be refused.

use serde::{Deserialize, Serialize};

use super::gates::Answered;
use super::{Epoch, Weight};

/// The cause's trigger when a person rolled back.
pub const OPERATOR: &str = "operator";

/// The cause's trigger when a newer green has taken the place of the one that was released.
pub const SUPERSEDED: &str = "superseded";

/// The cause's trigger when no step was taken for too long.
pub const PROGRESS_DEADLINE: &str = "progress-deadline";

/// What rolled back or paused when nobody approved a step in time.
pub const APPROVAL_DEADLINE: &str = "approval-deadline";

/// The cause's trigger when a bake ended with too few requests and the plan says to roll back then.
pub const LOW_TRAFFIC: &str = "low-traffic";

/// The cause's trigger when the comparison convicted green.
pub const COMPARISON: &str = "comparison";

/// The cause's trigger when green stayed doubtful for too long.
pub const UNRESOLVED: &str = "unresolved";

/// The cause's trigger when the exposure budget is used up.
pub const BUDGET: &str = "budget";

/// Who notifies people of an endpoint that goes or comes back.
pub const ENDPOINTS: &str = "endpoints";

/// Who notifies people of a green that answers more client errors than blue.
pub const CLIENT_ERRORS: &str = "client-errors";

/// What halts a release whose plan has gone as far as green may go by itself.
pub const MAX_WEIGHT: &str = "max-weight";

/// No trigger of the policy may have one of these names.
pub const RESERVED: [&str; 12] = [
    OPERATOR,
    SUPERSEDED,
    PROGRESS_DEADLINE,
    APPROVAL_DEADLINE,
    LOW_TRAFFIC,
    COMPARISON,
    UNRESOLVED,
    BUDGET,
    JOURNAL,
    ENDPOINTS,
    CLIENT_ERRORS,
    MAX_WEIGHT,
];

/// Those of them that notify people, beside the triggers that do.
pub const NOTIFYING: [&str; 3] = [COMPARISON, ENDPOINTS, CLIENT_ERRORS];

/// The actor of what the gate orders.
pub const GATE: &str = "gate";

/// The cause's trigger when what the journal says cannot be read.
pub const JOURNAL: &str = "journal";

/// The actor of what the plan does by itself.
pub const PLAN: &str = "plan";

/// Why and by whom all traffic went back to blue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The trigger's name, or one of [`RESERVED`].
    pub trigger: String,
    pub reason: String,
    pub actor: String,
}

impl Cause {
    pub(super) fn by_hand(actor: String, reason: &str) -> Cause {
        Cause { trigger: OPERATOR.to_owned(), reason: because(format!("rolled back by {actor}"), reason), actor }
    }

    pub(super) fn superseded(actor: String, reason: &str) -> Cause {
        Cause { trigger: SUPERSEDED.to_owned(), reason: because(format!("superseded by {actor}"), reason), actor }
    }

    /// Whether a newer green has taken the place of this one, with which nobody has found fault.
    pub fn is_superseded(&self) -> bool {
        self.trigger == SUPERSEDED
    }
}

/// `what`, and why if somebody said so.
pub(super) fn because(what: String, reason: &str) -> String {
    if reason.is_empty() { what } else { format!("{what}: {reason}") }
}

/// Who or what keeps the plan from going on, and the sentence for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// A trigger's name, the operator's, or one of [`RESERVED`].
    pub by: String,
    pub sentence: String,
}

/// A route that goes to blue by itself, and who or what convicted green on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    pub route: String,
    /// As of [`Held`].
    pub by: String,
    pub sentence: String,
}

/// Whether an operator has said that an irreversible release is to be rolled back all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acknowledged {
    No,
    Yes,
}

/// What the gate says at one tick, as far as the plan is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Judged {
    Pass,
    /// Too few requests to say anything; nothing speaks against green.
    TooFew {
        sentence: String,
    },
    Wait,
    Fail,
}

/// What can happen to a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Input {
    /// An operator opens a new epoch.
    Start {
        actor: String,
        reason: String,
    },
    SetWeight {
        weight: Weight,
        actor: String,
        reason: String,
    },
    /// An operator halts the plan; the gate stays armed.
    Pause {
        actor: String,
        reason: String,
    },
    Resume {
        actor: String,
        reason: String,
    },
    /// An operator consents to the step after this one.
    Approve {
        actor: String,
        reason: String,
    },
    /// An operator skips the rest of the plan.
    Promote {
        actor: String,
        reason: String,
    },
    /// An operator rolls back.
    Withdraw {
        actor: String,
        reason: String,
        acknowledged: Acknowledged,
    },
    /// There is a newer green: this one ends without fault.
    Supersede {
        actor: String,
        reason: String,
    },
    /// The gate, or a worker, rolls back.
    RollBack(Cause),
    /// The gate takes one route back, and nothing else.
    TakeBack(TakenBack),
    /// A trigger asks for a pause.
    Hold(Held),
    /// Lower the weight to [`Weight::PROBE`] if it is above, and keep it there.
    Probe(Held),
    /// What the probe was for has not shown.
    Acquit {
        sentence: String,
    },
    /// Both versions are bad.
    Freeze {
        sentence: String,
    },
    /// The common cause has passed.
    Thaw,
    /// The exposure budget allows this weight; 100 % ends the exposure.
    Expose {
        weight: Weight,
        sentence: String,
    },
    /// The exposure budget may be used up: no more traffic until an operator goes on.
    UsedUp(Held),
    /// One tick's judgement, by which the plan goes on.
    Judged(Judged),
    /// Whether the release may go on, as it was asked by [`super::Effect::Ask`].
    Answered(Answered),
    /// The process has started anew with this release under way.
    Restarted,
}

/// Why an operator's wish changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "epoch {epoch} was rolled back ({reason}), so green gets no traffic in it; start a new release with \
         POST /v1/release"
    )]
    Latched { epoch: Epoch, reason: String },
    #[error("release {epoch} is open at weight {weight}; roll it back, promote it or set its weight instead")]
    Open { epoch: Epoch, weight: Weight },
    #[error("no release is open; start one with POST /v1/release")]
    NoRelease,
    #[error(
        "the weight is frozen at {weight} and cannot be raised to {asked}: {sentence}; it can be lowered, or rolled back"
    )]
    Frozen { weight: Weight, asked: Weight, sentence: String },
    #[error("release {epoch} is frozen and goes on by itself when the cause has passed: {sentence}")]
    StillFrozen { epoch: Epoch, sentence: String },
    #[error("release {epoch} is not paused")]
    NotPaused { epoch: Epoch },
    #[error("release {epoch} waits for an approval; give it with POST /v1/release/approve")]
    AwaitsApproval { epoch: Epoch },
    #[error(
        "release {epoch} is through its plan and stays at {weight}, because of `green.maxWeight`; when green can carry \
         everything, go on with POST /v1/release/promote"
    )]
    AwaitsPromotion { epoch: Epoch, weight: Weight },
    #[error(
        "release {epoch} waits at a gate: {sentence}; to go past it, approve it with POST /v1/release/approve and a reason"
    )]
    AtGate { epoch: Epoch, sentence: String },
    #[error("release {epoch} waits at a gate: {sentence}; whoever goes past it says why: give a `reason`, or --reason")]
    GateNeedsReason { epoch: Epoch, sentence: String },
    #[error("release {epoch} has no step that waits for an approval")]
    NothingToApprove { epoch: Epoch },
    #[error(
        "release {epoch} is irreversible ({reason}); to roll it back all the same, say so with `\"irreversible\": true`, \
         or --irreversible"
    )]
    Irreversible { epoch: Epoch, reason: String },
}
