//! The stage of a plan with an exposure budget: others know what is allowed, here it becomes the weight.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Run, Stage, irreversible};
use crate::gate::verdict::count;
use crate::release::effect::{Effect, Kind};
use crate::release::input::{Held, PLAN};
use crate::release::{Moment, Plan, Weight};

impl Run {
    /// At the weight that there is, until the traffic has been measured.
    pub(super) fn begin_exposing(&mut self, budget: NonZeroU32, now: Duration) -> Vec<Effect> {
        self.enter(Stage::Exposing, self.weight, now);
        let sentence = format!("the exposure begins, with a budget of {} harmed requests", count(budget.get().into()));
        vec![self.route(), Effect::tell(Kind::Stepped, PLAN, sentence)]
    }

    /// An irreversible release loses no weight by it: that would be a part of a rollback.
    pub(super) fn expose(
        &mut self,
        wanted: Weight,
        sentence: String,
        plan: Option<&Plan>,
        now: Duration,
    ) -> Vec<Effect> {
        let weight = wanted.min(plan.map_or(Weight::FULL, |plan| plan.max_weight));
        let is_drop = weight < self.weight;
        let keeps = is_drop && irreversible(plan).is_some();
        // An operator may have sent everything to green already.
        let stays = weight == self.weight && wanted < Weight::FULL;
        if self.stage != Stage::Exposing || !self.holds.none() || keeps || stays {
            return vec![];
        }
        if let Some(plan) = plan.filter(|_| wanted > weight && weight == self.weight) {
            return self.await_promotion(plan);
        }
        if weight == Weight::FULL && self.lacks_routes() {
            return self.stays_without();
        }
        if weight == Weight::FULL
            && let Some(plan) = plan
            && let Err(asked) = self.pass_gate(Moment::BeforePromotion, plan, now)
        {
            return asked;
        }
        let kind = match weight {
            Weight::FULL => {
                self.enter(Stage::Monitoring, weight, now);
                Kind::Promoted
            }
            _ if is_drop => {
                self.weight = weight;
                Kind::Stepped
            }
            _ => {
                self.enter(Stage::Exposing, weight, now);
                Kind::Stepped
            }
        };
        vec![self.route(), Effect::tell(kind, PLAN, sentence)]
    }

    /// Green has its weight back, unless there is a budget: that finds anew what it may have. Where it is bad at a large weight
    /// alone it would else be sent there again and again.
    pub(super) fn after_probe(&mut self, restore: Weight, plan: Option<&Plan>, now: Duration) {
        let has_budget = plan.is_some_and(|plan| plan.budget.is_some());
        match self.stage {
            Stage::Exposing | Stage::Monitoring if has_budget => self.enter(Stage::Exposing, self.weight, now),
            Stage::Manual | Stage::Delay | Stage::Step { .. } | Stage::Exposing | Stage::Monitoring => {
                self.weight = restore;
            }
        }
    }

    pub(super) fn used_up(&mut self, held: Held, plan: Option<&Plan>) -> Vec<Effect> {
        if self.stage != Stage::Exposing || !self.holds.none() {
            return vec![];
        }
        if irreversible(plan).is_none() {
            self.weight = Weight::ZERO;
        }
        let told = Effect::tell(Kind::Paused, PLAN, held.sentence.clone());
        self.holds.paused = Some(held);
        vec![self.route(), told]
    }
}
