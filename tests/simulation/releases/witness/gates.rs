//! Promise 3 at gates: the plan goes past none without an answer to the last question, or an operator's word.

use std::time::Duration;

use portcullis::release::gates::{Moment, Stands};
use portcullis::release::{Answer, Answered, Epoch, Gates, Kind, Question, State, Weight};
use portcullis::routing::Table;

use super::steps::Place;
use super::{Checked, Witness, broken};

/// What has passed counts for so long.
const PASSED_FOR: Duration = Duration::from_secs(2);

/// What is known of the gate that the release stands at, by what was asked, answered and told.
#[derive(Clone, Copy, Debug, Default)]
pub struct AtGate {
    /// The last one of this process and release, until it is answered.
    asked: Option<Question>,
    /// The last one's.
    moment: Option<Moment>,
    let_past: Option<LetPast>,
    /// Green may have nothing yet.
    not_started: bool,
}

#[derive(Clone, Copy, Debug)]
enum LetPast {
    Passed(Moment, Duration),
    Overridden,
}

impl AtGate {
    pub fn asked(&mut self, question: Question) {
        *self = AtGate { asked: Some(question), moment: Some(question.moment), let_past: None, ..*self };
    }

    /// A release begins, whose first question may have been asked already.
    pub fn begin(&mut self, epoch: Epoch) {
        let asked = self.asked.filter(|question| question.epoch == epoch);
        *self = AtGate { asked, moment: asked.map(|question| question.moment), ..AtGate::default() };
    }

    /// An answer has come, to whichever question.
    pub fn answered(&mut self, Answered { question, answer }: &Answered, now: Duration) {
        let is_last = self.asked.take_if(|asked| *asked == *question).is_some();
        if let (true, Answer::Pass { .. }) = (is_last, answer) {
            self.let_past = Some(LetPast::Passed(question.moment, now));
            self.not_started &= question.moment != Moment::BeforeStart;
        }
    }

    pub fn told(&mut self, kind: Kind, gates: Gates) {
        match kind {
            Kind::Started => *self = AtGate { not_started: gates.before_start.is_some(), ..*self },
            Kind::GateOverridden => {
                // The first step has a gate of its own.
                let let_past = (self.moment != Some(Moment::BeforeStart)).then_some(LetPast::Overridden);
                *self = AtGate { asked: None, let_past, not_started: false, ..*self };
            }
            // By the clock: what comes now is too late.
            Kind::GateRefused => self.asked = None,
            _ => {}
        }
    }

    /// As a process finds it that has started anew: who answers the one before answers nobody.
    pub fn restarted(state: &State) -> AtGate {
        let gate = state.run().and_then(|run| run.holds.gate.as_ref());
        let overridden = gate.is_some_and(|gate| gate.stands == Stands::Overridden);
        AtGate {
            asked: None,
            moment: gate.map(|gate| gate.question.moment),
            let_past: overridden.then_some(LetPast::Overridden),
            not_started: gate.is_some_and(|gate| gate.is_shut() && gate.question.moment == Moment::BeforeStart),
        }
    }

    fn lets_past(&self, moment: Moment, now: Duration) -> bool {
        match self.let_past {
            Some(LetPast::Passed(passed, at)) => passed == moment && now - at <= PASSED_FOR,
            Some(LetPast::Overridden) => true,
            None => false,
        }
    }
}

impl Witness<'_> {
    pub(super) fn gates(&self) -> Gates {
        self.scenario.plan.as_ref().map_or_else(Gates::default, |plan| plan.gates)
    }

    /// The plan goes on by itself, to this place.
    pub(super) fn let_past(&mut self, next: Place, now: Duration) -> Checked {
        let moment = match next {
            Place::Step(_) => Moment::BeforeStep,
            Place::Monitoring => Moment::BeforePromotion,
            Place::Nowhere | Place::Manual | Place::Delay => return Ok(()),
        };
        if self.gates().of(moment).is_some() && !self.gate.lets_past(moment, now) {
            return broken(3, format!("at {now:?} the plan went to {next:?} past {:?}", self.gate));
        }
        self.gate.let_past = None;
        Ok(())
    }

    /// Nobody but who goes past the gate by name gives green anything.
    pub(super) fn not_started(&self, table: Table, now: Duration) -> Checked {
        if self.gate.not_started && table.weight() > Weight::ZERO {
            return broken(3, format!("at {now:?} green has {} before `beforeStart` has passed", table.weight()));
        }
        Ok(())
    }
}
