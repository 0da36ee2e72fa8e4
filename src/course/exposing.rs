//! The exposure budget of a release: what was harmed, and which weight is allowed.

use std::time::Duration;

use super::Course;
use crate::gate::ByVersion;
use crate::gate::crossing::Tally;
use crate::gate::exposure::{Advice, Counted, Exposure, HANGS, Harm, Known, Settings};
use crate::measure::Tick;
use crate::measure::shard::Sample;
use crate::release::input::{BUDGET, PLAN};
use crate::release::{self, Cause, Effect, Held, Judged, OnLowTraffic, Stage, Weight};

/// A shorter monitoring says nothing of how long a bad green may stay.
const SHORTEST_HORIZON: Duration = Duration::from_secs(10);

impl Course {
    /// Of a release that has a budget.
    pub fn harm(&self) -> Option<Harm> {
        self.exposure.as_ref().map(Exposure::harm)
    }

    /// What a journal keeps of it.
    pub fn exposed(&self) -> Option<Known> {
        self.exposure.as_ref().map(Exposure::known)
    }

    /// What a journal has kept of the release under way.
    pub fn set_exposed(&mut self, known: Option<Known>) {
        if let (Some(exposure), Some(known)) = (&mut self.exposure, known) {
            exposure.resume(known);
        }
    }

    pub(super) fn exposure_from(&self, now: Duration) -> Option<Exposure> {
        let plan = self.plan()?;
        let false_alarm = self.policy.compare.unwrap_or_default().false_alarm * self.voice.share();
        let horizon = plan.monitoring.max(SHORTEST_HORIZON);
        let settings = Settings { budget: u64::from(plan.budget?.get()), horizon, false_alarm };
        Some(Exposure::new(settings, now))
    }

    pub(super) fn count_exposure(&mut self, counted: &Tick, now: Duration) {
        let weight = self.weight();
        let Some(exposure) = self.exposure.as_mut().filter(|_| self.state.run().is_some()) else { return };
        let tallies = |samples: &ByVersion<Sample>| {
            ByVersion::build(|version| {
                let evidence = &samples.of(version).evidence;
                Tally { bad: evidence.failures, units: evidence.requests }
            })
        };
        let hanging = ByVersion::build(|version| counted.waiting.of(version).slower_than(HANGS));
        let counted = Counted { present: tallies(&counted.samples), late: tallies(&counted.late), hanging };
        exposure.take(&counted, weight, now);
    }

    /// Goes to the weight that the budget allows, or stops.
    pub(super) fn expose(&mut self, judged: &Judged, now: Duration) -> Vec<Effect> {
        let (Some(exposure), Some(run)) = (&mut self.exposure, self.state.run()) else { return vec![] };
        if run.stage != Stage::Exposing {
            return vec![];
        }
        if let Some(sentence) = exposure.shown() {
            return self.used_up_by_green(sentence, now);
        }
        if run.held_by().is_some() {
            return vec![];
        }
        if exposure.was_used_up() {
            exposure.renew();
        }
        match exposure.advise(run.weight, now) {
            Advice::Stay => vec![],
            Advice::Shown { sentence } => self.used_up_by_green(sentence, now),
            Advice::UsedUp { sentence } => {
                self.order(release::Input::UsedUp(Held { by: BUDGET.to_owned(), sentence }), now)
            }
            Advice::Go { weight, sentence } if weight < run.weight || self.may_rise(judged, weight) => {
                self.order(release::Input::Expose { weight, sentence }, now)
            }
            Advice::Go { .. } => vec![],
        }
    }

    /// Nothing may speak against green; and the last step is as any plan's.
    fn may_rise(&self, judged: &Judged, weight: Weight) -> bool {
        match judged {
            Judged::Pass => true,
            Judged::TooFew { .. } if weight == Weight::FULL => {
                self.plan().is_some_and(|plan| plan.on_low_traffic == OnLowTraffic::Pass)
            }
            Judged::TooFew { .. } => true,
            Judged::Wait | Judged::Fail => false,
        }
    }

    fn used_up_by_green(&mut self, reason: String, now: Duration) -> Vec<Effect> {
        let cause = Cause { trigger: BUDGET.to_owned(), reason, actor: PLAN.to_owned() };
        self.order(release::Input::RollBack(cause), now)
    }
}
