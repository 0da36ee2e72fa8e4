//! A release under way: where in its plan it is, what holds it, and what one input makes of it.

mod approval;
mod asking;
mod cohorts;
mod ending;
mod exposing;
mod mirroring;
mod promotion;
mod taken_back;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::effect::{Effect, Kind};
use super::holds::{Holds, Probe};
use super::input::{APPROVAL_DEADLINE, GATE, MAX_WEIGHT, PLAN};
use super::input::{Cause, Held, Input, Judged, Refusal, because};
use super::plan::Ruling;
use super::{Approval, Epoch, Moment, OnLowTraffic, Plan, Weight};
pub use approval::{AWAITS_APPROVAL, Awaited, Consent};
use ending::irreversible;
use ending::supersede;
pub(super) use ending::withdraw;

/// A release under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub epoch: Epoch,
    pub stage: Stage,
    pub weight: Weight,
    pub holds: Holds,
    clock: Clock,
    /// How long this step's approval has been asked for; none before that, or when it may be asked for without end.
    asked: Option<Clock>,
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
    /// Behind the steps, at the weight that the exposure budget allows.
    Exposing,
    /// At 100 %, with the gate still armed.
    Monitoring,
}

/// What an input makes of a release under way.
pub(super) enum Next {
    Open(Vec<Effect>),
    RolledBack(Cause),
    Completed { actor: String, sentence: String },
}

impl Run {
    /// A release that has just begun: at its first step, or at 0 % until its delay has passed or an operator says more.
    pub(super) fn begin(epoch: Epoch, plan: Option<&Plan>, now: Duration) -> Run {
        let stage = if plan.is_some() { Stage::Delay } else { Stage::Manual };
        Run { epoch, stage, weight: Weight::ZERO, holds: Holds::default(), clock: Clock::start(now), asked: None }
    }

    /// A release as the journal remembers it. Its stage begins anew, because what was measured in it is gone; the time for
    /// which its approval has been `waited` for goes on.
    pub fn restored(
        epoch: Epoch,
        stage: Stage,
        weight: Weight,
        holds: Holds,
        waited: Option<Duration>,
        now: Duration,
    ) -> Run {
        let asked = waited.map(|elapsed| Clock::Stopped { elapsed });
        let mut run = Run { epoch, stage, weight, holds, clock: Clock::start(now), asked };
        run.run_clock(now);
        run
    }

    /// Whether the plan goes on.
    pub fn is_held(&self) -> bool {
        !self.holds.none() || self.asks()
    }

    /// Why it does not.
    pub fn held_by(&self) -> Option<&str> {
        self.holds.sentence().or(self.asks().then_some(AWAITS_APPROVAL))
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
            (Stage::Monitoring, None) | (Stage::Manual | Stage::Delay | Stage::Exposing, _) => None,
        }
    }

    pub(super) fn take(&mut self, input: Input, plan: Option<&Plan>, now: Duration) -> Result<Next, Refusal> {
        let next = match input {
            Input::Start { .. } => Err(Refusal::Open { epoch: self.epoch, weight: self.weight }),
            Input::RollBack(cause) => Ok(self.convict(cause, plan)),
            Input::Withdraw { actor, reason, acknowledged } => {
                withdraw(self.epoch, actor, &reason, acknowledged, plan).map(Next::RolledBack)
            }
            Input::Supersede { actor, reason } => supersede(self.epoch, actor, &reason, plan).map(Next::RolledBack),
            Input::Judged(judged) => Ok(self.judged(judged, plan, now)),
            Input::Promote { actor, reason } => self.promote(actor, &reason, now),
            Input::SetWeight { weight, actor, reason } => self.set_weight(weight, &actor, &reason).map(Next::Open),
            Input::Resume { actor, reason } => self.resume(&actor, &reason, plan, now).map(Next::Open),
            Input::Approve { actor, reason } => self.approve(&actor, &reason).map(Next::Open),
            Input::Pause { actor, reason } => {
                let sentence = because(format!("paused by {actor}"), &reason);
                self.holds.paused = Some(Held { by: actor.clone(), sentence: sentence.clone() });
                Ok(Next::Open(vec![Effect::tell(Kind::Paused, &actor, sentence)]))
            }
            Input::TakeBack(taken) => Ok(self.take_back(taken, plan)),
            Input::Hold(held) => Ok(Next::Open(self.hold(held))),
            Input::Probe(held) if irreversible(plan).is_some() => Ok(Next::Open(self.hold(held))),
            Input::Probe(held) => Ok(Next::Open(self.probe(held))),
            Input::Acquit { sentence } => Ok(Next::Open(self.acquit(sentence, plan, now))),
            Input::Freeze { sentence } => Ok(Next::Open(self.freeze(sentence))),
            Input::Thaw => Ok(Next::Open(self.thaw())),
            Input::Expose { weight, sentence } => Ok(Next::Open(self.expose(weight, sentence, plan, now))),
            Input::UsedUp(held) => Ok(Next::Open(self.used_up(held, plan))),
            Input::Answered(answered) => Ok(Next::Open(self.answered(answered, now))),
            Input::Restarted => {
                self.clock = Clock::start(now);
                if let Stage::Step { consent: consent @ Consent::Asked, .. } = &mut self.stage {
                    // It is asked for again when the bake that begins now is over.
                    *consent = Consent::Open;
                }
                let sentence =
                    format!("the proxy has started anew; {} begins anew at {}", self.place(plan), self.weight);
                let mut effects = vec![self.route(), Effect::tell(Kind::Restarted, PLAN, sentence)];
                effects.extend(self.restart_gate(plan, now));
                Ok(Next::Open(effects))
            }
        };
        self.run_clock(now);
        next
    }

    fn set_weight(&mut self, asked: Weight, actor: &str, reason: &str) -> Result<Vec<Effect>, Refusal> {
        if let Some(sentence) = self.holds.common.as_ref().filter(|_| asked > self.weight) {
            return Err(Refusal::Frozen { weight: self.weight, asked, sentence: sentence.clone() });
        }
        if let Some(refusal) = self.not_started().filter(|_| asked > Weight::ZERO) {
            return Err(refusal);
        }
        let sentence = because(format!("weight set to {asked} by {actor}"), reason);
        self.weight = asked;
        self.holds.convicted = None;
        self.holds.probe = None;
        self.holds.paused = match self.stage {
            Stage::Manual => None,
            Stage::Delay | Stage::Step { .. } | Stage::Exposing | Stage::Monitoring => {
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
        if self.holds.none() {
            return Err(if self.asks() { Refusal::AwaitsApproval { epoch } } else { Refusal::NotPaused { epoch } });
        }
        if self.awaits_promotion() {
            return Err(Refusal::AwaitsPromotion { epoch, weight: self.weight });
        }
        if let Some(refusal) = self.awaits_answer() {
            return Err(refusal);
        }
        let probe = self.holds.let_go().probe;
        let weight = match (self.stage, plan) {
            (Stage::Step { index, .. }, Some(plan)) => plan.steps[index].weight,
            (Stage::Delay, _) => Weight::ZERO,
            (Stage::Monitoring, _) => Weight::FULL,
            (Stage::Manual | Stage::Exposing, _) | (Stage::Step { .. }, None) => {
                probe.map_or(self.weight, |probe| probe.restore)
            }
        };
        let mut effects = vec![];
        if weight != self.weight {
            // What was measured at another weight does not bake this one.
            self.weight = weight;
            self.clock = Clock::start(now);
            effects.push(self.route());
        }
        let sentence = because(format!("resumed by {actor} at {weight}"), reason);
        effects.push(Effect::tell(Kind::Resumed, actor, sentence));
        effects.extend(self.resume_at_gate(plan, now));
        Ok(effects)
    }

    /// A pause that a trigger asks for; one that is held already keeps its sentence, unless it is of the plan.
    fn hold(&mut self, held: Held) -> Vec<Effect> {
        let gives_way = |paused: &Held| paused.by == APPROVAL_DEADLINE || paused.by == MAX_WEIGHT;
        if self.holds.paused.as_ref().is_some_and(|paused| !gives_way(paused)) {
            return vec![];
        }
        let effect = Effect::tell(Kind::Paused, GATE, held.sentence.clone());
        self.holds.paused = Some(held);
        vec![effect]
    }

    fn probe(&mut self, held: Held) -> Vec<Effect> {
        if self.holds.probe.is_some() {
            return vec![];
        }
        let told = Effect::tell(Kind::Probing, GATE, held.sentence.clone());
        self.holds.probe = Some(Probe { held, restore: self.weight });
        self.weight = self.weight.min(Weight::PROBE);
        vec![self.route(), told]
    }

    /// Not while both versions are bad: the weight may not rise then.
    fn acquit(&mut self, sentence: String, plan: Option<&Plan>, now: Duration) -> Vec<Effect> {
        let Some(probe) = self.holds.probe.take_if(|_| self.holds.common.is_none()) else { return vec![] };
        self.after_probe(probe.restore, plan, now);
        vec![self.route(), Effect::tell(Kind::Acquitted, GATE, sentence)]
    }

    fn freeze(&mut self, sentence: String) -> Vec<Effect> {
        match self.holds.common.replace(sentence.clone()) {
            Some(_) => vec![],
            None => vec![Effect::tell(Kind::Frozen, GATE, sentence)],
        }
    }

    fn thaw(&mut self) -> Vec<Effect> {
        match self.holds.common.take() {
            Some(_) => vec![Effect::tell(Kind::Thawed, GATE, THAWED.to_owned())],
            None => vec![],
        }
    }

    fn judged(&mut self, judged: Judged, plan: Option<&Plan>, now: Duration) -> Next {
        let at_gate = self.look_at_gate(plan, now);
        if !self.holds.none() {
            return Next::Open(at_gate);
        }
        if let Some(next) = self.overdue(plan, now) {
            return next;
        }
        if self.asks() {
            return Next::Open(vec![]);
        }
        let baked = self.baked(now);
        match (self.stage, plan) {
            (Stage::Manual, _) | (Stage::Delay | Stage::Step { .. } | Stage::Exposing, None) => Next::Open(vec![]),
            (Stage::Delay, Some(plan)) if baked < plan.initial_delay => Next::Open(vec![]),
            (Stage::Delay, Some(plan)) => Next::Open(self.go_to_step(0, plan, now)),
            (Stage::Step { index, consent }, Some(plan)) => {
                self.bake(index, consent, plan.on_low_traffic.rule(judged), plan, now)
            }
            (Stage::Exposing, Some(plan)) => self.progress(plan, now),
            (Stage::Monitoring, _) if baked < plan.map_or(MONITORING, |plan| plan.monitoring) => Next::Open(vec![]),
            (Stage::Monitoring, _) => match plan.map_or(OnLowTraffic::Wait, |plan| plan.on_low_traffic).rule(judged) {
                Ruling::GoesOn if self.lacks_routes() => Next::Open(self.stays_without()),
                Ruling::GoesOn => Next::Completed { actor: PLAN.to_owned(), sentence: COMPLETED.to_owned() },
                Ruling::Waits => Next::Open(vec![]),
                Ruling::TooFew(sentence) => self.low_traffic(&sentence, plan, now),
            },
        }
    }

    fn bake(&mut self, index: usize, consent: Consent, ruling: Ruling, plan: &Plan, now: Duration) -> Next {
        let baked = self.baked(now);
        let over = baked >= plan.steps[index].bake;
        match (ruling, consent) {
            (Ruling::TooFew(sentence), _) if over => self.low_traffic(&sentence, Some(plan), now),
            (_, Consent::Open) if over => Next::Open(self.ask(index, plan, now)),
            (Ruling::GoesOn, _) if over && plan.ends_in_hand() && index + 1 == plan.steps.len() => {
                Next::Open(self.await_promotion(plan))
            }
            (Ruling::GoesOn, _) if over && index + 1 == plan.steps.len() && self.lacks_routes() => {
                Next::Open(self.stays_without())
            }
            (Ruling::GoesOn, _) if over => Next::Open(self.go_to_step(index + 1, plan, now)),
            (Ruling::GoesOn | Ruling::Waits | Ruling::TooFew(_), _) => self.progress(plan, now),
        }
    }

    /// As [`Run::enter_step`], once its gate has passed.
    fn go_to_step(&mut self, index: usize, plan: &Plan, now: Duration) -> Vec<Effect> {
        let is_last = index >= plan.steps.len() && plan.budget.is_none();
        let moment = if is_last { Moment::BeforePromotion } else { Moment::BeforeStep };
        match self.pass_gate(moment, plan, now) {
            Ok(()) => self.enter_step(index, plan, now),
            Err(asked) => asked,
        }
    }

    /// This step of the plan, or 100 % after the last.
    fn enter_step(&mut self, index: usize, plan: &Plan, now: Duration) -> Vec<Effect> {
        let kind = match plan.steps.get(index) {
            Some(step) => {
                let consent = match step.approval {
                    Approval::Automatic => Consent::NotNeeded,
                    Approval::Operator | Approval::Within(_) => Consent::Open,
                };
                self.enter(Stage::Step { index, consent }, step.weight, now);
                Kind::Stepped
            }
            None => {
                if let Some(budget) = plan.budget {
                    return self.begin_exposing(budget, now);
                }
                self.enter(Stage::Monitoring, Weight::FULL, now);
                Kind::Promoted
            }
        };
        let beside = self.mirrors_told(plan) + &self.cohort_told(plan);
        let sentence = format!("{} at {}{beside}", self.place(Some(plan)), self.weight);
        vec![self.route(), Effect::tell(kind, PLAN, sentence)]
    }

    fn enter(&mut self, stage: Stage, weight: Weight, now: Duration) {
        self.stage = stage;
        self.weight = weight;
        self.clock = Clock::start(now);
        self.asked = None;
        self.holds.gate = None;
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
            (Stage::Exposing, _) => "the exposure".to_owned(),
            (Stage::Monitoring, _) => "the monitoring".to_owned(),
            (Stage::Manual, _) => "the release".to_owned(),
        }
    }

    /// The clock stands still while the release is held; that of an approval while anything else holds it.
    fn run_clock(&mut self, now: Duration) {
        self.clock = if self.is_held() { self.clock.stopped(now) } else { self.clock.running(now) };
        let held = !self.holds.none();
        self.asked = self.asked.map(|asked| if held { asked.stopped(now) } else { asked.running(now) });
    }
}

/// How long a release without a plan stays at 100 % with the gate armed, once an operator has promoted it.
pub const MONITORING: Duration = Duration::from_secs(600);

const THAWED: &str = "the common cause has passed";
const COMPLETED: &str = "green is the new blue";
