//! The state machine of a release. A rollback outranks everything, in every state.

use std::time::Duration;

use super::effect::{Effect, Kind};
use super::input::{Acknowledged, Cause, Held, Input, OPERATOR, Refusal};
use super::run::{Next, Run, Stage, because};
use super::{Epoch, Plan, Weight};

/// Where the release is. Each state owns what is valid in it, and nothing else.
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
    pub fn apply(self, input: Input, plan: Option<&Plan>, now: Duration) -> Transition {
        match (self, input) {
            (state @ State::RolledBack { .. }, Input::RollBack(_) | Input::Withdraw { .. }) => Ok((state, vec![])),
            (State::Idle { epoch }, Input::RollBack(cause)) => Ok(roll_back(epoch, cause)),
            (State::Idle { epoch }, Input::Withdraw { actor, reason, .. }) => Ok(withdraw(epoch, actor, &reason)),
            (State::Completed { epoch }, Input::Withdraw { actor, reason, .. }) => Ok(revert(epoch, actor, &reason)),
            (State::Open(run), Input::RollBack(cause)) => Ok(by_gate(run, cause, plan, now)),
            (State::Open(run), Input::Withdraw { actor, reason, acknowledged }) => {
                match plan.and_then(|plan| plan.irreversible.clone()) {
                    Some(reason) if acknowledged == Acknowledged::No => {
                        let refusal = Refusal::Irreversible { epoch: run.epoch, reason };
                        Err((State::Open(run), refusal))
                    }
                    Some(_) | None => Ok(withdraw(run.epoch, actor, &reason)),
                }
            }

            (
                State::Idle { epoch } | State::Completed { epoch } | State::RolledBack { epoch, .. },
                Input::Start { actor, reason },
            ) => {
                let run = Run::begin(epoch.next(), plan, now);
                Ok(open(run, Kind::Started, &actor, because(format!("release started by {actor}"), &reason)))
            }
            (State::Open(run), Input::Start { .. }) => {
                let refusal = Refusal::Open { epoch: run.epoch, weight: run.weight };
                Err((State::Open(run), refusal))
            }
            (State::Idle { epoch } | State::Completed { epoch }, Input::SetWeight { weight, actor, reason }) => {
                let mut run = Run::begin(epoch.next(), None, now);
                run.weight = weight;
                let sentence = because(format!("weight set to {weight} by {actor}"), &reason);
                Ok(open(run, Kind::WeightSet, &actor, sentence))
            }

            (State::Open(run), Input::Promote { actor, .. })
                if run.stage == Stage::Monitoring && run.holds.common.is_none() =>
            {
                let told =
                    Effect::tell(Kind::Completed, &actor, format!("completed by {actor}: green is the new blue"));
                let epoch = run.epoch;
                Ok((State::Completed { epoch }, vec![Effect::Complete { epoch }, told]))
            }
            (State::Open(run), Input::Probe(held)) if plan.is_some_and(|plan| plan.irreversible.is_some()) => {
                Ok(keep(run, held, Kind::Paused, now))
            }
            (State::Open(mut run), input) => match run.take(input, plan, now) {
                Ok(Next::Open(effects)) => Ok((State::Open(run), effects)),
                Ok(Next::RolledBack(cause, effects)) => Ok((State::RolledBack { epoch: run.epoch, cause }, effects)),
                Ok(Next::Completed(effects)) => Ok((State::Completed { epoch: run.epoch }, effects)),
                Err(refusal) => Err((State::Open(run), refusal)),
            },

            (
                State::RolledBack { epoch, cause },
                Input::SetWeight { .. }
                | Input::Pause { .. }
                | Input::Resume { .. }
                | Input::Approve { .. }
                | Input::Promote { .. },
            ) => {
                let refusal = Refusal::Latched { epoch, reason: cause.reason.clone() };
                Err((State::RolledBack { epoch, cause }, refusal))
            }
            (
                state @ (State::Idle { .. } | State::Completed { .. }),
                Input::Pause { .. } | Input::Resume { .. } | Input::Approve { .. } | Input::Promote { .. },
            ) => Err((state, Refusal::NoRelease)),
            (state @ State::Completed { .. }, Input::RollBack(_))
            | (
                state @ (State::Idle { .. } | State::Completed { .. } | State::RolledBack { .. }),
                Input::Hold(_)
                | Input::Probe(_)
                | Input::Acquit { .. }
                | Input::Freeze { .. }
                | Input::Thaw
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

/// A rollback that nobody asked for by hand: of an irreversible release it becomes a pause, and people are called.
fn by_gate(run: Run, cause: Cause, plan: Option<&Plan>, now: Duration) -> (State, Vec<Effect>) {
    let Some(irreversible) = plan.and_then(|plan| plan.irreversible.as_ref()) else {
        return roll_back(run.epoch, cause);
    };
    let sentence = format!("{}; not rolled back, because the release is irreversible: {irreversible}", cause.reason);
    keep(run, Held { by: cause.trigger, sentence }, Kind::Irreversible, now)
}

fn keep(mut run: Run, held: Held, kind: Kind, now: Duration) -> (State, Vec<Effect>) {
    let effects = run.hold(held, kind);
    run.run_clock(now);
    (State::Open(run), effects)
}

fn roll_back(epoch: Epoch, cause: Cause) -> (State, Vec<Effect>) {
    let told = Effect::tell(Kind::RolledBack, &cause.actor, cause.reason.clone());
    (State::RolledBack { epoch, cause }, vec![Effect::Latch { epoch }, told])
}

fn by_hand(actor: String, reason: &str) -> Cause {
    Cause { trigger: OPERATOR.to_owned(), reason: because(format!("rolled back by {actor}"), reason), actor }
}

fn withdraw(epoch: Epoch, actor: String, reason: &str) -> (State, Vec<Effect>) {
    roll_back(epoch, by_hand(actor, reason))
}

fn revert(epoch: Epoch, actor: String, reason: &str) -> (State, Vec<Effect>) {
    let (state, mut effects) = withdraw(epoch, actor, reason);
    effects[0] = Effect::Revert { epoch };
    (state, effects)
}

#[cfg(test)]
mod tests;
