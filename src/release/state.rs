//! The state machine of a release. A rollback outranks everything, in every state.

use std::time::Duration;

use super::effect::{Effect, Kind};
use super::input::{Cause, Input, Refusal, because};
use super::run::{Next, Run, Stage, withdraw};
use super::{Epoch, Plan, Weight};

/// Where the release is. Each state owns what is valid in it, and nothing else.
#[expect(clippy::large_enum_variant, reason = "a process has one")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// No release is open: all traffic goes to blue.
    Idle { epoch: Epoch },
    /// Stepping, paused or promoted.
    Open(Run),
    /// Green's version is the new blue.
    Completed { epoch: Epoch },
    /// All traffic goes to blue until a new epoch.
    RolledBack { epoch: Epoch, cause: Cause },
}

/// The new state and its effects, or the old state and why nothing changed.
pub type Transition = Result<(State, Vec<Effect>), (State, Refusal)>;

impl State {
    /// Takes one input. What the gate says when no release is open changes nothing.
    #[expect(
        clippy::result_large_err,
        reason = "a refusal gives the whole state back; once an input, not once a request"
    )]
    pub fn apply(self, input: Input, plan: Option<&Plan>, now: Duration) -> Transition {
        match (self, input) {
            (State::Open(mut run), input) => match run.take(input, plan, now) {
                Ok(Next::Open(effects)) => Ok((State::Open(run), effects)),
                Ok(Next::RolledBack(cause)) => Ok(roll_back(run.epoch, cause)),
                Ok(Next::Completed { actor, sentence }) => Ok(complete(run.epoch, &actor, sentence)),
                Err(refusal) => Err((State::Open(run), refusal)),
            },

            (State::Idle { epoch }, Input::Withdraw { actor, reason, .. }) => {
                Ok(roll_back(epoch, Cause::by_hand(actor, &reason)))
            }
            (State::Completed { epoch }, Input::Withdraw { actor, reason, acknowledged }) => {
                match withdraw(epoch, actor, &reason, acknowledged, plan) {
                    Ok(cause) => Ok(rolled_back(Effect::Revert { epoch }, epoch, cause)),
                    Err(refusal) => Err((State::Completed { epoch }, refusal)),
                }
            }
            // Of a completed release it comes from a worker whose latch was there before the completion.
            (State::Idle { epoch } | State::Completed { epoch }, Input::RollBack(cause)) => Ok(roll_back(epoch, cause)),
            (state @ State::RolledBack { .. }, Input::RollBack(_) | Input::Withdraw { .. }) => Ok((state, vec![])),

            (
                State::Idle { epoch } | State::Completed { epoch } | State::RolledBack { epoch, .. },
                Input::Start { actor, reason },
            ) => {
                let sentence = because(format!("release started by {actor}"), &reason);
                let mut run = Run::begin(epoch.next(), plan, now);
                let asked = run.ask_to_start(plan, now);
                let (state, mut effects) = open(run, Kind::Started, &actor, sentence);
                effects.extend(asked);
                Ok((state, effects))
            }
            (State::Idle { epoch } | State::Completed { epoch }, Input::SetWeight { weight, actor, reason }) => {
                let mut run = Run::begin(epoch.next(), None, now);
                run.weight = weight;
                let sentence = because(format!("weight set to {weight} by {actor}"), &reason);
                Ok(open(run, Kind::WeightSet, &actor, sentence))
            }

            (
                State::RolledBack { epoch, cause },
                Input::SetWeight { .. }
                | Input::Pause { .. }
                | Input::Resume { .. }
                | Input::Approve { .. }
                | Input::Promote { .. }
                | Input::Supersede { .. },
            ) => {
                let refusal = Refusal::Latched { epoch, reason: cause.reason.clone() };
                Err((State::RolledBack { epoch, cause }, refusal))
            }
            (
                state @ (State::Idle { .. } | State::Completed { .. }),
                Input::Pause { .. }
                | Input::Resume { .. }
                | Input::Approve { .. }
                | Input::Promote { .. }
                | Input::Supersede { .. },
            ) => Err((state, Refusal::NoRelease)),
            (
                state @ (State::Idle { .. } | State::Completed { .. } | State::RolledBack { .. }),
                Input::TakeBack(_)
                | Input::Hold(_)
                | Input::Probe(_)
                | Input::Acquit { .. }
                | Input::Freeze { .. }
                | Input::Thaw
                | Input::Expose { .. }
                | Input::UsedUp(_)
                | Input::Answered(_)
                | Input::Judged(_)
                | Input::Restarted,
            ) => Ok((state, vec![])),
        }
    }

    pub const fn epoch(&self) -> Epoch {
        match self {
            State::Idle { epoch } | State::Completed { epoch } | State::RolledBack { epoch, .. } => *epoch,
            State::Open(run) => run.epoch,
        }
    }

    pub const fn weight(&self) -> Weight {
        match self {
            State::Idle { .. } | State::Completed { .. } | State::RolledBack { .. } => Weight::ZERO,
            State::Open(run) => run.weight,
        }
    }

    /// The release under way: then the gate judges.
    pub const fn run(&self) -> Option<&Run> {
        match self {
            State::Open(run) => Some(run),
            State::Idle { .. } | State::Completed { .. } | State::RolledBack { .. } => None,
        }
    }

    /// Rolled back, and not because there is a newer green.
    pub fn is_found_bad(&self) -> bool {
        matches!(self, State::RolledBack { cause, .. } if !cause.is_superseded())
    }

    /// The name used in the API and in metric labels.
    pub fn name(&self) -> &'static str {
        match self {
            State::Idle { .. } => "idle",
            State::Open(run) if run.is_held() => "paused",
            State::Open(Run { stage: Stage::Monitoring, .. }) => "promoted",
            State::Open(_) => "stepping",
            State::Completed { .. } => "completed",
            State::RolledBack { .. } => "rolledBack",
        }
    }
}

/// Every name that [`State::name`] gives, in the order of a release.
pub const STATE_NAMES: [&str; 6] = ["idle", "stepping", "paused", "promoted", "completed", "rolledBack"];

fn open(run: Run, kind: Kind, actor: &str, sentence: String) -> (State, Vec<Effect>) {
    let Run { epoch, weight, .. } = run;
    let effects = vec![Effect::Begin { epoch }, Effect::Route { epoch, weight }, Effect::tell(kind, actor, sentence)];
    (State::Open(run), effects)
}

fn roll_back(epoch: Epoch, cause: Cause) -> (State, Vec<Effect>) {
    rolled_back(Effect::Latch { epoch }, epoch, cause)
}

fn rolled_back(effect: Effect, epoch: Epoch, cause: Cause) -> (State, Vec<Effect>) {
    let told = Effect::tell(Kind::RolledBack, &cause.actor, cause.reason.clone());
    (State::RolledBack { epoch, cause }, vec![effect, told])
}

fn complete(epoch: Epoch, actor: &str, sentence: String) -> (State, Vec<Effect>) {
    (State::Completed { epoch }, vec![Effect::Complete { epoch }, Effect::tell(Kind::Completed, actor, sentence)])
}

#[cfg(test)]
mod explore;
#[cfg(test)]
mod tests;
