//! The state machine of a release. A rollback outranks everything, in every state.

use serde::Serialize;

use super::{Epoch, Weight};

/// Where the release is. Each state owns what is valid in it, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// No release is open: all traffic goes to blue.
    Idle {
        epoch: Epoch,
    },
    Stepping {
        epoch: Epoch,
        weight: Weight,
    },
    /// Green keeps its share, which the plan does not raise.
    Paused {
        epoch: Epoch,
        weight: Weight,
        reason: PauseReason,
    },
    /// All traffic goes to blue until a new epoch.
    RolledBack {
        epoch: Epoch,
        cause: Cause,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PauseReason {
    /// Both versions are bad; while that lasts nobody may raise the weight. `held` is the pause that it found.
    CommonCause { sentence: String, held: Option<Held> },
    /// An operator goes on by setting a weight.
    Trigger(Held),
}

/// A trigger asked for a pause, or lowered the weight to look closer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub trigger: String,
    pub sentence: String,
}

impl PauseReason {
    pub fn sentence(&self) -> &str {
        match self {
            PauseReason::CommonCause { sentence, .. } => sentence,
            PauseReason::Trigger(held) => &held.sentence,
        }
    }
}

/// Why and by whom all traffic went back to blue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// The trigger's name, or [`OPERATOR`].
    pub trigger: String,
    pub reason: String,
    pub actor: String,
}

/// The cause's trigger when a person rolled back.
pub const OPERATOR: &str = "operator";

/// The actor of what the proxy does by itself.
pub const GATE: &str = "gate";

/// What can happen to a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Open a new epoch, at weight 0.
    Start,
    SetWeight(Weight),
    RollBack(Cause),
    /// Keep the weight where it is.
    Pause(Held),
    /// Lower the weight to [`Weight::PROBE`] if it is above, and keep it there.
    Probe(Held),
    /// Both versions are bad.
    Freeze {
        sentence: String,
    },
    /// The common cause has passed.
    Thaw,
}

/// What must be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Route every new request to blue and latch the epoch.
    Latch { epoch: Epoch },
    /// Route by this weight, unless the epoch is latched already.
    Route { epoch: Epoch, weight: Weight },
    /// Forget the evidence of earlier epochs.
    Begin { epoch: Epoch },
}

/// Why an input changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "epoch {epoch} was rolled back ({reason}), so green gets no traffic in it; start a new release with \
         POST /v1/release"
    )]
    Latched { epoch: Epoch, reason: String },
    #[error("release {epoch} is open at weight {weight}; roll it back or set its weight instead")]
    Open { epoch: Epoch, weight: Weight },
    #[error(
        "the weight is frozen at {weight} and cannot be raised to {asked}: {sentence}; it can be lowered, or rolled back"
    )]
    Frozen { weight: Weight, asked: Weight, sentence: String },
}

/// The new state and its effects, or the old state and why nothing changed.
pub type Transition = Result<(State, Vec<Effect>), (State, Refusal)>;

impl State {
    /// Takes one input. Inputs that have nothing to do in a state (a pause when no release is open) change nothing.
    pub fn apply(self, input: Input) -> Transition {
        match (self, input) {
            (state @ State::RolledBack { .. }, Input::RollBack(_)) => Ok((state, vec![])),
            (
                State::Idle { epoch } | State::Stepping { epoch, .. } | State::Paused { epoch, .. },
                Input::RollBack(cause),
            ) => Ok((State::RolledBack { epoch, cause }, vec![Effect::Latch { epoch }])),

            (State::Idle { epoch } | State::RolledBack { epoch, .. }, Input::Start) => {
                let epoch = epoch.next();
                Ok(open(epoch, Weight::ZERO))
            }
            (state @ (State::Stepping { epoch, weight } | State::Paused { epoch, weight, .. }), Input::Start) => {
                Err((state, Refusal::Open { epoch, weight }))
            }

            (State::Idle { epoch }, Input::SetWeight(weight)) => Ok(open(epoch.next(), weight)),
            (
                State::Paused { epoch, weight, reason: PauseReason::CommonCause { sentence, held } },
                Input::SetWeight(asked),
            ) => {
                let reason = PauseReason::CommonCause { sentence: sentence.clone(), held };
                if asked > weight {
                    let refusal = Refusal::Frozen { weight, asked, sentence };
                    return Err((State::Paused { epoch, weight, reason }, refusal));
                }
                Ok((State::Paused { epoch, weight: asked, reason }, vec![Effect::Route { epoch, weight: asked }]))
            }
            (
                State::Stepping { epoch, .. } | State::Paused { epoch, reason: PauseReason::Trigger(_), .. },
                Input::SetWeight(weight),
            ) => Ok((State::Stepping { epoch, weight }, vec![Effect::Route { epoch, weight }])),
            (State::RolledBack { epoch, cause }, Input::SetWeight(_)) => {
                let refusal = Refusal::Latched { epoch, reason: cause.reason.clone() };
                Err((State::RolledBack { epoch, cause }, refusal))
            }

            (State::Stepping { epoch, weight }, Input::Pause(held)) => {
                Ok((State::Paused { epoch, weight, reason: PauseReason::Trigger(held) }, vec![]))
            }
            (
                State::Paused { epoch, weight, reason: PauseReason::CommonCause { sentence, held: None } },
                Input::Pause(held),
            ) => {
                let reason = PauseReason::CommonCause { sentence, held: Some(held) };
                Ok((State::Paused { epoch, weight, reason }, vec![]))
            }
            (State::Stepping { epoch, weight }, Input::Probe(held)) => {
                let weight = weight.min(Weight::PROBE);
                let reason = PauseReason::Trigger(held);
                Ok((State::Paused { epoch, weight, reason }, vec![Effect::Route { epoch, weight }]))
            }
            (State::Paused { epoch, weight, reason }, Input::Probe(held)) => {
                let weight = weight.min(Weight::PROBE);
                let reason = match reason {
                    PauseReason::CommonCause { sentence, .. } => {
                        PauseReason::CommonCause { sentence, held: Some(held) }
                    }
                    PauseReason::Trigger(_) => PauseReason::Trigger(held),
                };
                Ok((State::Paused { epoch, weight, reason }, vec![Effect::Route { epoch, weight }]))
            }
            (State::Stepping { epoch, weight }, Input::Freeze { sentence }) => {
                let reason = PauseReason::CommonCause { sentence, held: None };
                Ok((State::Paused { epoch, weight, reason }, vec![]))
            }
            (State::Paused { epoch, weight, reason }, Input::Freeze { sentence }) => {
                let held = match reason {
                    PauseReason::CommonCause { held, .. } => held,
                    PauseReason::Trigger(held) => Some(held),
                };
                let reason = PauseReason::CommonCause { sentence, held };
                Ok((State::Paused { epoch, weight, reason }, vec![]))
            }
            (State::Paused { epoch, weight, reason: PauseReason::CommonCause { held, .. } }, Input::Thaw) => {
                let state = match held {
                    Some(held) => State::Paused { epoch, weight, reason: PauseReason::Trigger(held) },
                    None => State::Stepping { epoch, weight },
                };
                Ok((state, vec![]))
            }

            (
                state @ State::Paused {
                    reason: PauseReason::Trigger(_) | PauseReason::CommonCause { held: Some(_), .. },
                    ..
                },
                Input::Pause(_),
            )
            | (state @ State::Paused { reason: PauseReason::Trigger(_), .. }, Input::Thaw)
            | (state @ State::Stepping { .. }, Input::Thaw)
            | (
                state @ (State::Idle { .. } | State::RolledBack { .. }),
                Input::Pause(_) | Input::Probe(_) | Input::Freeze { .. } | Input::Thaw,
            ) => Ok((state, vec![])),
        }
    }

    pub const fn epoch(&self) -> Epoch {
        match self {
            State::Idle { epoch }
            | State::Stepping { epoch, .. }
            | State::Paused { epoch, .. }
            | State::RolledBack { epoch, .. } => *epoch,
        }
    }

    pub const fn weight(&self) -> Weight {
        match self {
            State::Idle { .. } | State::RolledBack { .. } => Weight::ZERO,
            State::Stepping { weight, .. } | State::Paused { weight, .. } => *weight,
        }
    }

    /// Why the plan does not go on.
    pub const fn pause(&self) -> Option<&PauseReason> {
        match self {
            State::Paused { reason, .. } => Some(reason),
            State::Idle { .. } | State::Stepping { .. } | State::RolledBack { .. } => None,
        }
    }

    /// Whether the gate judges: a release is open.
    pub const fn is_open(&self) -> bool {
        match self {
            State::Stepping { .. } | State::Paused { .. } => true,
            State::Idle { .. } | State::RolledBack { .. } => false,
        }
    }

    /// The name used in the API and in metric labels.
    pub const fn name(&self) -> &'static str {
        match self {
            State::Idle { .. } => "idle",
            State::Stepping { .. } => "stepping",
            State::Paused { .. } => "paused",
            State::RolledBack { .. } => "rolledBack",
        }
    }
}

/// Every name that [`State::name`] gives, in the order of a release.
pub const STATE_NAMES: [&str; 4] = ["idle", "stepping", "paused", "rolledBack"];

fn open(epoch: Epoch, weight: Weight) -> (State, Vec<Effect>) {
    (State::Stepping { epoch, weight }, vec![Effect::Begin { epoch }, Effect::Route { epoch, weight }])
}

#[cfg(test)]
mod tests;
