//! The gates of a release: what is asked before it goes on, and what becomes of it by the answer.
//!
//! What is asked holds the plan as a pause does, and nothing else: the gate that judges green stays armed, and a rollback
//! waits for no answer. A gate that has passed lets the plan go on when its judgement passes as well, and soon.

use std::time::Duration;

use super::Run;
use crate::gate::verdict::{duration, wait};
use crate::release::effect::{Effect, Kind};
use crate::release::gates::{Answer, Answered, AtGate, Gates, Moment, Question, Stands};
use crate::release::input::{PLAN, Refusal, because};
use crate::release::{Holds, Plan};

/// For so long what has passed counts; the plan goes on with the next tick, unless something speaks against green by then.
const PASSED_FOR: Duration = Duration::from_secs(2);

/// Less would ask at every tick.
const LEAST_WAIT: Duration = Duration::from_secs(1);

impl Run {
    /// What is to be asked before green may have anything. Nothing without a plan: there an operator gives every weight.
    pub(in crate::release) fn ask_to_start(&mut self, plan: Option<&Plan>, now: Duration) -> Vec<Effect> {
        let asked = plan.is_some_and(|plan| plan.gates.before_start.is_some());
        if !asked {
            return vec![];
        }
        let effects = self.ask_gate(Moment::BeforeStart, gates(plan), now);
        self.run_clock(now);
        effects
    }

    /// Whether the plan may go on; else what is to be done for that.
    pub(super) fn pass_gate(&mut self, moment: Moment, plan: &Plan, now: Duration) -> Result<(), Vec<Effect>> {
        let asks = plan.gates.of(moment).is_some();
        let is_passed = |gate: &AtGate| gate.question.moment == moment && gate.is_open(now);
        if !asks || self.holds.gate.as_ref().is_some_and(is_passed) {
            return Ok(());
        }
        Err(self.ask_gate(moment, plan.gates, now))
    }

    pub(super) fn answered(&mut self, Answered { question, answer }: Answered, now: Duration) -> Vec<Effect> {
        let Some(gate) = &mut self.holds.gate else { return vec![] };
        if gate.question != question || !matches!(gate.stands, Stands::Asked { .. }) {
            return vec![];
        }
        let name = question.moment.name();
        let (kind, stands, told) = match answer {
            Answer::Pass { sentence } => {
                let until = now + PASSED_FOR;
                (Kind::GatePassed, Stands::Passed { until }, because(format!("`{name}` has passed"), &sentence))
            }
            Answer::Refuse { sentence } => (Kind::GateRefused, Stands::Refused, refused(name, &sentence)),
            Answer::Wait { time, sentence } => {
                let time = time.max(LEAST_WAIT);
                let told = because(format!("`{name}` asks to wait for {}", wait(time)), &sentence);
                (Kind::GateWaits, Stands::Waits { until: now + time }, told)
            }
        };
        gate.stands = stands;
        gate.sentence.clone_from(&told);
        if question.moment == Moment::BeforeStart && !gate.is_shut() {
            // What comes next is a step, and has a gate of its own.
            self.holds.gate = None;
        }
        vec![Effect::tell(kind, PLAN, told)]
    }

    /// Time passes at the gate: an answer stays out, a wait is over, or what has passed counts no longer.
    pub(super) fn look_at_gate(&mut self, plan: Option<&Plan>, now: Duration) -> Vec<Effect> {
        let held = self.holds.beside_gate().is_some();
        let Some(gate) = &mut self.holds.gate else { return vec![] };
        let moment = gate.question.moment;
        match gate.stands {
            Stands::Asked { until } if now >= until => {
                let waited = duration(until.saturating_sub(gate.question.at));
                let told = refused(moment.name(), &format!("no answer came within {waited}"));
                gate.stands = Stands::Refused;
                gate.sentence.clone_from(&told);
                vec![Effect::tell(Kind::GateRefused, PLAN, told)]
            }
            Stands::Waits { until } if now >= until && !held => self.ask_again(plan, now).into_iter().collect(),
            Stands::Passed { until } if now > until => {
                self.holds.gate = None;
                vec![]
            }
            Stands::Asked { .. }
            | Stands::Waits { .. }
            | Stands::Refused
            | Stands::Passed { .. }
            | Stands::Overridden => vec![],
        }
    }

    /// An operator goes past a gate that is shut; none where none is.
    pub(super) fn override_gate(&mut self, actor: &str, reason: &str) -> Option<Result<Vec<Effect>, Refusal>> {
        let epoch = self.epoch;
        let gate = self.holds.gate.as_mut().filter(|gate| gate.is_shut())?;
        if reason.trim().is_empty() {
            return Some(Err(Refusal::GateNeedsReason { epoch, sentence: gate.sentence.clone() }));
        }
        let told = format!("{actor} goes past a gate ({}): {reason}", gate.sentence);
        gate.stands = Stands::Overridden;
        gate.sentence.clone_from(&told);
        if gate.question.moment == Moment::BeforeStart {
            self.holds.gate = None;
        }
        Some(Ok(vec![Effect::tell(Kind::GateOverridden, actor, told)]))
    }

    /// An operator goes on at a gate that has refused, or asks to wait.
    pub(super) fn resume_at_gate(&mut self, plan: Option<&Plan>, now: Duration) -> Vec<Effect> {
        match self.holds.gate.as_ref().map(|gate| gate.stands) {
            Some(Stands::Refused | Stands::Waits { .. }) => {
                let moment = self.holds.gate.as_ref().map(|gate| gate.question.moment);
                let told = moment.map(|moment| asks(moment, gates(plan)));
                let told = told.map(|sentence| Effect::tell(Kind::GateAsked, PLAN, sentence));
                told.into_iter().chain(self.ask_again(plan, now)).collect()
            }
            Some(Stands::Asked { .. } | Stands::Passed { .. } | Stands::Overridden) | None => vec![],
        }
    }

    /// Whoever asked is gone: what has to be known before green has anything is asked anew, and what comes at the end of a
    /// stage when that is over again. What was refused, or an operator has gone past, stays so, unless it is asked no more.
    pub(super) fn restart_gate(&mut self, plan: Option<&Plan>, now: Duration) -> Vec<Effect> {
        let Some(AtGate { question, stands, .. }) = &self.holds.gate else { return vec![] };
        match stands {
            _ if gates(plan).of(question.moment).is_none() => {
                self.holds.gate = None;
                vec![]
            }
            Stands::Refused | Stands::Overridden => vec![],
            Stands::Asked { .. } | Stands::Waits { .. } if question.moment == Moment::BeforeStart => {
                self.ask_again(plan, now).into_iter().collect()
            }
            Stands::Asked { .. } | Stands::Waits { .. } | Stands::Passed { .. } => {
                self.holds.gate = None;
                vec![]
            }
        }
    }

    /// Why green may not have any weight yet, not even by hand.
    pub(super) fn not_started(&self) -> Option<Refusal> {
        let gate = self.holds.gate.as_ref()?;
        let not_yet = gate.is_shut() && gate.question.moment == Moment::BeforeStart;
        not_yet.then(|| Refusal::AtGate { epoch: self.epoch, sentence: gate.sentence.clone() })
    }

    /// Why an operator need not go on: an answer is on its way.
    pub(super) fn awaits_answer(&self) -> Option<Refusal> {
        let gate = self.holds.gate.as_ref().filter(|_| self.holds.beside_gate().is_none())?;
        let is_asked = matches!(gate.stands, Stands::Asked { .. });
        is_asked.then(|| Refusal::AtGate { epoch: self.epoch, sentence: gate.sentence.clone() })
    }

    /// Behind what an operator does who does not wait for the gate.
    pub(super) fn past_gate(&self, sentence: String) -> String {
        match self.holds.gate.as_ref().filter(|gate| gate.is_shut()) {
            Some(gate) => format!("{sentence}; past a gate: {}", gate.sentence),
            None => sentence,
        }
    }

    fn ask_gate(&mut self, moment: Moment, gates: Gates, now: Duration) -> Vec<Effect> {
        let sentence = asks(moment, gates);
        let question = Question { epoch: self.epoch, moment, at: now };
        let stands = Stands::Asked { until: now + gates.of(moment).unwrap_or_default() };
        self.holds.gate = Some(AtGate { question, since: now, sentence: sentence.clone(), stands });
        vec![Effect::tell(Kind::GateAsked, PLAN, sentence), Effect::Ask(question)]
    }

    /// The same question anew.
    fn ask_again(&mut self, plan: Option<&Plan>, now: Duration) -> Option<Effect> {
        let gate = self.holds.gate.as_mut()?;
        let moment = gate.question.moment;
        // Also where the clock has not moved since.
        let at = now.max(gate.question.at + Duration::from_nanos(1));
        let gates = gates(plan);
        gate.question = Question { at, ..gate.question };
        gate.stands = Stands::Asked { until: now + gates.of(moment).unwrap_or_default() };
        gate.sentence = asks(moment, gates);
        Some(Effect::Ask(gate.question))
    }
}

impl AtGate {
    fn is_open(&self, now: Duration) -> bool {
        match self.stands {
            Stands::Passed { until } => now <= until,
            Stands::Overridden => true,
            Stands::Asked { .. } | Stands::Waits { .. } | Stands::Refused => false,
        }
    }
}

impl Holds {
    /// The gate that the release waits at.
    pub fn shut_gate(&self) -> Option<&AtGate> {
        self.gate.as_ref().filter(|gate| gate.is_shut())
    }
}

fn gates(plan: Option<&Plan>) -> Gates {
    plan.map_or_else(Gates::default, |plan| plan.gates)
}

fn asks(moment: Moment, gates: Gates) -> String {
    let within = gates.of(moment).map(|within| format!(", for at most {}", duration(within)));
    format!("`{}` is asked, and the release waits for its answer{}", moment.name(), within.unwrap_or_default())
}

fn refused(name: &str, sentence: &str) -> String {
    let go_on = "`release resume` asks again, `release approve` with a reason goes past it";
    format!("{}; {go_on}", because(format!("`{name}` has refused"), sentence))
}

#[cfg(test)]
mod tests;
