//! A release under way: where in its plan it is, what holds it, and what one input makes of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effect::{Effect, Kind};
use super::input::{Cause, Held, Input, Judged, LOW_TRAFFIC, PLAN, PROGRESS_DEADLINE, Refusal};
use super::{Approval, Epoch, OnLowTraffic, Plan, Weight};
use crate::gate::verdict::duration;

/// A release under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub epoch: Epoch,
    pub stage: Stage,
    pub weight: Weight,
    pub holds: Holds,
    clock: Clock,
}

/// Where in its plan a release is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// There is no plan: operators set the weight.
    Manual,
    /// At weight 0, before the first step.
    Delay,
    Step {
        index: usize,
        consent: Consent,
    },
    /// At 100 %, with the gate still armed.
    Monitoring,
}

/// How the approval stands that ends a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Consent {
    NotNeeded,
    /// The bake is not over.
    Open,
    /// The bake is over, and the release waits for an operator.
    Asked,
    Given,
}

/// What keeps the plan from going on. Each is there for itself, and all must be gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// Both versions are bad; while that lasts nobody may raise the weight.
    pub common: Option<String>,
    /// The weight was lowered to look closer.
    pub probe: Option<Probe>,
    /// A trigger or an operator asked for a pause; an operator goes on.
    pub paused: Option<Held>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub held: Held,
    /// The weight before it.
    pub restore: Weight,
}

/// Time in a stage, without what passed while the release was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    Running { since: Duration, before: Duration },
    Stopped { elapsed: Duration },
}

/// What an input makes of a release under way.
pub(super) enum Next {
    Open(Vec<Effect>),
    RolledBack(Cause, Vec<Effect>),
    Completed(Vec<Effect>),
}

impl Holds {
    /// The sentence of what holds the release; the common cause before all else.
    pub fn sentence(&self) -> Option<&str> {
        let held = self.probe.as_ref().map(|probe| &probe.held).or(self.paused.as_ref());
        self.common.as_deref().or(held.map(|held| held.sentence.as_str()))
    }

    fn none(&self) -> bool {
        self.sentence().is_none()
    }
}

impl Clock {
    fn elapsed(self, now: Duration) -> Duration {
        match self {
            Clock::Running { since, before } => before + (now - since),
            Clock::Stopped { elapsed } => elapsed,
        }
    }
}

impl Run {
    /// A release that has just begun: at its first step, or at 0 % until its delay has passed or an operator says more.
    pub(super) fn begin(epoch: Epoch, plan: Option<&Plan>, now: Duration) -> Run {
        let stage = if plan.is_some() { Stage::Delay } else { Stage::Manual };
        let clock = Clock::Running { since: now, before: Duration::ZERO };
        Run { epoch, stage, weight: Weight::ZERO, holds: Holds::default(), clock }
    }

    /// A release as the journal remembers it. Its stage begins anew: what was measured in it is gone.
    pub fn restored(epoch: Epoch, stage: Stage, weight: Weight, holds: Holds, now: Duration) -> Run {
        let mut run = Run { epoch, stage, weight, holds, clock: Clock::Running { since: now, before: Duration::ZERO } };
        run.run_clock(now);
        run
    }

    /// Whether the plan goes on.
    pub fn is_held(&self) -> bool {
        !self.holds.none() || self.asks()
    }

    /// Why it does not.
    pub fn held_by(&self) -> Option<&str> {
        self.holds.sentence().or(self.asks().then_some(ASKS))
    }

    /// How long it has been in this stage, without what passed while it was held.
    pub fn baked(&self, now: Duration) -> Duration {
        self.clock.elapsed(now)
    }

    /// Which step of the plan it is, from 1; the last is the one at 100 %.
    pub fn step_number(&self, plan: Option<&Plan>) -> Option<usize> {
        match (self.stage, plan) {
            (Stage::Step { index, .. }, _) => Some(index + 1),
            (Stage::Monitoring, Some(plan)) => Some(plan.steps.len() + 1),
            (Stage::Monitoring, None) | (Stage::Manual | Stage::Delay, _) => None,
        }
    }

    fn asks(&self) -> bool {
        matches!(self.stage, Stage::Step { consent: Consent::Asked, .. })
    }

    /// Takes one input that is neither a start nor a rollback.
    pub(super) fn take(&mut self, input: Input, plan: Option<&Plan>, now: Duration) -> Result<Next, Refusal> {
        let next = match input {
            Input::Judged(judged) => self.judged(judged, plan, now),
            other => self.ordered(other, plan, now).map(Next::Open),
        };
        self.run_clock(now);
        next
    }

    fn ordered(&mut self, input: Input, plan: Option<&Plan>, now: Duration) -> Result<Vec<Effect>, Refusal> {
        match input {
            Input::SetWeight { weight, actor, reason } => self.set_weight(weight, &actor, &reason),
            Input::Pause { actor, reason } => {
                let sentence = because(format!("paused by {actor}"), &reason);
                self.holds.paused = Some(Held { by: actor.clone(), sentence: sentence.clone() });
                Ok(vec![Effect::tell(Kind::Paused, &actor, sentence)])
            }
            Input::Resume { actor, reason } => self.resume(&actor, &reason, plan, now),
            Input::Approve { actor, reason } => self.approve(&actor, &reason),
            Input::Promote { actor, reason } => self.promote(&actor, &reason, now),
            Input::Hold(held) => Ok(self.hold(held, Kind::Paused)),
            Input::Probe(held) => Ok(self.probe(held)),
            Input::Acquit { sentence } => Ok(self.acquit(sentence)),
            Input::Freeze { sentence } => {
                let frozen = self.holds.common.replace(sentence.clone()).is_some();
                Ok(if frozen { vec![] } else { vec![Effect::tell(Kind::Frozen, super::input::GATE, sentence)] })
            }
            Input::Thaw => Ok(match self.holds.common.take() {
                Some(_) => vec![Effect::tell(Kind::Thawed, super::input::GATE, THAWED.to_owned())],
                None => vec![],
            }),
            Input::Restarted => {
                self.restart_clock(now);
                let sentence =
                    format!("the proxy has started anew; {} begins anew at {}", self.place(plan), self.weight);
                Ok(vec![self.route(), Effect::tell(Kind::Restarted, PLAN, sentence)])
            }
            Input::Start { .. } | Input::Withdraw { .. } | Input::RollBack(_) | Input::Judged(_) => {
                unreachable!("taken before it comes to the release under way")
            }
        }
    }

    fn set_weight(&mut self, asked: Weight, actor: &str, reason: &str) -> Result<Vec<Effect>, Refusal> {
        if let Some(sentence) = self.holds.common.as_ref().filter(|_| asked > self.weight) {
            return Err(Refusal::Frozen { weight: self.weight, asked, sentence: sentence.clone() });
        }
        let sentence = because(format!("weight set to {asked} by {actor}"), reason);
        self.weight = asked;
        self.holds.probe = None;
        self.holds.paused = match self.stage {
            Stage::Manual => None,
            Stage::Delay | Stage::Step { .. } | Stage::Monitoring => {
                Some(Held { by: actor.to_owned(), sentence: sentence.clone() })
            }
        };
        Ok(vec![self.route(), Effect::tell(Kind::WeightSet, actor, sentence)])
    }

    /// Goes on with the plan, at the weight of its step.
    fn resume(
        &mut self,
        actor: &str,
        reason: &str,
        plan: Option<&Plan>,
        now: Duration,
    ) -> Result<Vec<Effect>, Refusal> {
        let epoch = self.epoch;
        if let Some(sentence) = &self.holds.common {
            return Err(Refusal::StillFrozen { epoch, sentence: sentence.clone() });
        }
        let Holds { probe, paused, .. } = std::mem::take(&mut self.holds);
        if probe.is_none() && paused.is_none() {
            return Err(if self.asks() { Refusal::AwaitsApproval { epoch } } else { Refusal::NotPaused { epoch } });
        }
        let weight = match (self.stage, plan) {
            (Stage::Step { index, .. }, Some(plan)) => plan.steps[index].weight,
            (Stage::Delay, _) => Weight::ZERO,
            (Stage::Monitoring, _) => Weight::FULL,
            (Stage::Manual, _) | (Stage::Step { .. }, None) => probe.map_or(self.weight, |probe| probe.restore),
        };
        let mut effects = vec![];
        if weight != self.weight {
            // What was measured at another weight does not bake this one.
            self.weight = weight;
            self.restart_clock(now);
            effects.push(self.route());
        }
        let sentence = because(format!("resumed by {actor} at {weight}"), reason);
        effects.push(Effect::tell(Kind::Resumed, actor, sentence));
        Ok(effects)
    }

    fn approve(&mut self, actor: &str, reason: &str) -> Result<Vec<Effect>, Refusal> {
        match &mut self.stage {
            Stage::Step { consent: consent @ (Consent::Open | Consent::Asked), .. } => {
                *consent = Consent::Given;
                let sentence = because(format!("approved by {actor}"), reason);
                Ok(vec![Effect::tell(Kind::Approved, actor, sentence)])
            }
            Stage::Step { consent: Consent::NotNeeded | Consent::Given, .. }
            | Stage::Manual
            | Stage::Delay
            | Stage::Monitoring => Err(Refusal::NothingToApprove { epoch: self.epoch }),
        }
    }

    fn promote(&mut self, actor: &str, reason: &str, now: Duration) -> Result<Vec<Effect>, Refusal> {
        if let Some(sentence) = &self.holds.common {
            let (weight, asked, sentence) = (self.weight, Weight::FULL, sentence.clone());
            return Err(Refusal::Frozen { weight, asked, sentence });
        }
        self.holds = Holds::default();
        let sentence = because(format!("promoted to 100 % by {actor}"), reason);
        self.enter(Stage::Monitoring, Weight::FULL, now);
        Ok(vec![self.route(), Effect::tell(Kind::Promoted, actor, sentence)])
    }

    /// A pause that a trigger asks for; one that is held already keeps its sentence.
    pub(super) fn hold(&mut self, held: Held, kind: Kind) -> Vec<Effect> {
        if self.holds.paused.is_some() {
            return vec![];
        }
        let effect = Effect::tell(kind, super::input::GATE, held.sentence.clone());
        self.holds.paused = Some(held);
        vec![effect]
    }

    fn probe(&mut self, held: Held) -> Vec<Effect> {
        if self.holds.probe.is_some() {
            return vec![];
        }
        let told = Effect::tell(Kind::Probing, super::input::GATE, held.sentence.clone());
        self.holds.probe = Some(Probe { held, restore: self.weight });
        self.weight = self.weight.min(Weight::PROBE);
        vec![self.route(), told]
    }

    fn acquit(&mut self, sentence: String) -> Vec<Effect> {
        let Some(probe) = self.holds.probe.take() else { return vec![] };
        self.weight = probe.restore;
        vec![self.route(), Effect::tell(Kind::Acquitted, super::input::GATE, sentence)]
    }

    fn judged(&mut self, judged: Judged, plan: Option<&Plan>, now: Duration) -> Result<Next, Refusal> {
        let idle = Ok(Next::Open(vec![]));
        if self.is_held() {
            return idle;
        }
        let baked = self.baked(now);
        let over = match (self.stage, plan) {
            (Stage::Manual, _) | (Stage::Delay | Stage::Step { .. }, None) => return idle,
            (Stage::Delay, Some(plan)) if baked >= plan.initial_delay => {
                return Ok(Next::Open(self.advance(plan, now)));
            }
            (Stage::Delay, Some(_)) => return idle,
            (Stage::Step { index, .. }, Some(plan)) => baked >= plan.steps[index].bake,
            (Stage::Monitoring, plan) => baked >= plan.map_or(MONITORING, |plan| plan.monitoring),
        };
        let on_low_traffic = plan.map_or(OnLowTraffic::Wait, |plan| plan.on_low_traffic);
        let passed = match (judged, on_low_traffic) {
            (Judged::Pass, _) | (Judged::TooFew { .. }, OnLowTraffic::Pass) => true,
            (Judged::TooFew { sentence }, OnLowTraffic::Rollback) if over => {
                let reason = format!("{} is over without enough evidence: {sentence}", self.place(plan));
                return Ok(self.give_up(LOW_TRAFFIC, reason));
            }
            (Judged::TooFew { .. } | Judged::Wait | Judged::Fail, _) => false,
        };
        if over && let Stage::Step { consent: consent @ Consent::Open, .. } = &mut self.stage {
            *consent = Consent::Asked;
            return Ok(Next::Open(vec![Effect::tell(Kind::AwaitingApproval, PLAN, ASKS.to_owned())]));
        }
        match (plan, self.stage) {
            (_, Stage::Monitoring) if over && passed => Ok(self.complete()),
            (Some(plan), Stage::Step { .. }) if over && passed => Ok(Next::Open(self.advance(plan, now))),
            (Some(Plan { progress_deadline: Some(deadline), .. }), Stage::Step { .. }) if baked >= *deadline => {
                let reason = format!("{} has made no progress for {}", self.place(plan), duration(*deadline));
                Ok(self.give_up(PROGRESS_DEADLINE, reason))
            }
            (_, Stage::Manual | Stage::Delay | Stage::Step { .. } | Stage::Monitoring) => idle,
        }
    }

    fn give_up(&self, trigger: &str, reason: String) -> Next {
        let cause = Cause { trigger: trigger.to_owned(), reason, actor: PLAN.to_owned() };
        let told = Effect::tell(Kind::RolledBack, PLAN, cause.reason.clone());
        Next::RolledBack(cause, vec![Effect::Latch { epoch: self.epoch }, told])
    }

    fn complete(&self) -> Next {
        let told = Effect::tell(Kind::Completed, PLAN, COMPLETED.to_owned());
        Next::Completed(vec![Effect::Complete { epoch: self.epoch }, told])
    }

    /// The next step of the plan, or 100 % after the last.
    fn advance(&mut self, plan: &Plan, now: Duration) -> Vec<Effect> {
        let index = match self.stage {
            Stage::Step { index, .. } => index + 1,
            Stage::Manual | Stage::Delay | Stage::Monitoring => 0,
        };
        let kind = match plan.steps.get(index) {
            Some(step) => {
                let consent = match step.approval {
                    Approval::Automatic => Consent::NotNeeded,
                    Approval::Operator => Consent::Open,
                };
                self.enter(Stage::Step { index, consent }, step.weight, now);
                Kind::Stepped
            }
            None => {
                self.enter(Stage::Monitoring, Weight::FULL, now);
                Kind::Promoted
            }
        };
        let sentence = format!("{} at {}", self.place(Some(plan)), self.weight);
        vec![self.route(), Effect::tell(kind, PLAN, sentence)]
    }

    fn enter(&mut self, stage: Stage, weight: Weight, now: Duration) {
        self.stage = stage;
        self.weight = weight;
        self.restart_clock(now);
    }

    fn route(&self) -> Effect {
        Effect::Route { epoch: self.epoch, weight: self.weight }
    }

    /// What a sentence calls the stage.
    fn place(&self, plan: Option<&Plan>) -> String {
        match (self.stage, plan) {
            (Stage::Step { index, .. }, Some(plan)) => format!("step {} of {}", index + 1, plan.steps.len() + 1),
            (Stage::Step { index, .. }, None) => format!("step {}", index + 1),
            (Stage::Delay, _) => "the initial delay".to_owned(),
            (Stage::Monitoring, _) => "the monitoring".to_owned(),
            (Stage::Manual, _) => "the release".to_owned(),
        }
    }

    fn restart_clock(&mut self, now: Duration) {
        self.clock = Clock::Running { since: now, before: Duration::ZERO };
    }

    /// The clock stands still while the release is held.
    pub(super) fn run_clock(&mut self, now: Duration) {
        self.clock = match (self.clock, self.is_held()) {
            (Clock::Running { .. }, true) => Clock::Stopped { elapsed: self.clock.elapsed(now) },
            (Clock::Stopped { elapsed }, false) => Clock::Running { since: now, before: elapsed },
            (clock, _) => clock,
        };
    }
}

/// How long a release without a plan stays at 100 % with the gate armed, once an operator has promoted it.
pub const MONITORING: Duration = Duration::from_secs(600);

const ASKS: &str = "the bake is over, and the step waits for an approval";
const THAWED: &str = "the common cause has passed";
const COMPLETED: &str = "green is the new blue";

/// `what`, and why if somebody said so.
pub(super) fn because(what: String, reason: &str) -> String {
    if reason.is_empty() { what } else { format!("{what}: {reason}") }
}
