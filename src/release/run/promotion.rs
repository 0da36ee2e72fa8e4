//! How green gets everything: after the last step, by an operator, or by an operator alone where green may have less by itself.

use std::time::Duration;

use super::{COMPLETED, Next, Run, Stage};
use crate::release::effect::{Effect, Kind};
use crate::release::input::{Held, MAX_WEIGHT, PLAN, Refusal, because};
use crate::release::{Holds, Plan, Weight};

impl Run {
    /// To 100 %; from there, if nothing holds it, to the end.
    pub(super) fn promote(&mut self, actor: String, reason: &str, now: Duration) -> Result<Next, Refusal> {
        let epoch = self.epoch;
        if let Some(sentence) = &self.holds.common {
            return Err(Refusal::StillFrozen { epoch, sentence: sentence.clone() });
        }
        if self.stage == Stage::Monitoring && self.holds.none() {
            let sentence = self.with_routes(because(format!("completed by {actor}: {COMPLETED}"), reason));
            return Ok(Next::Completed { actor, sentence });
        }
        if let Some(refusal) = self.not_started() {
            return Err(refusal);
        }
        let sentence = because(format!("promoted to 100 % by {actor}"), reason);
        let sentence = self.with_routes(self.past_gate(sentence));
        let lacks_routes = self.lacks_routes();
        self.holds = Holds::default();
        self.enter(Stage::Monitoring, Weight::FULL, now);
        let given = lacks_routes.then(|| self.take_routes_back());
        let effects = [self.route()].into_iter().chain(given);
        Ok(Next::Open(effects.chain([Effect::tell(Kind::Promoted, &actor, sentence)]).collect()))
    }

    /// The last step is over, and green may not have more by itself.
    pub(super) fn await_promotion(&mut self, plan: &Plan) -> Vec<Effect> {
        let sentence = format!(
            "the plan ends at {}, because green may have {} at most (`green.maxWeight`): when it can carry everything, an \
             operator promotes it",
            self.weight, plan.max_weight
        );
        self.holds.paused = Some(Held { by: MAX_WEIGHT.to_owned(), sentence: sentence.clone() });
        vec![Effect::tell(Kind::Paused, PLAN, sentence)]
    }

    /// Whether nothing else holds it.
    pub(super) fn awaits_promotion(&self) -> bool {
        let Holds { common, convicted, probe, paused, taken_back: _, gate: _ } = &self.holds;
        let alone = common.is_none() && convicted.is_none() && probe.is_none();
        alone && paused.as_ref().is_some_and(|paused| paused.by == MAX_WEIGHT)
    }
}
