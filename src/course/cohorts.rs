//! How a step of the plan is judged that sends one cohort to green: by bounds that are absolute, and no others. A cohort is no
//! random draw, so nothing of it can be compared with what others get from blue.

use std::sync::Arc;
use std::time::Duration;

use super::Course;
use crate::gate::compare::Suspicion;
use crate::gate::trigger::Confirm;
use crate::gate::{ByVersion, Gate, Health, Judgement, Look, Policy, Signals, Trigger};
use crate::measure::Windows;
use crate::measure::shard::Sample;

/// What clears green in such a step, by what came since it began.
#[derive(Clone, Debug)]
pub(super) struct Cohorts {
    windows: Windows,
    gate: Gate,
    /// Whose step it is; none in any other.
    step: Option<Arc<str>>,
}

impl Cohorts {
    pub(super) fn new(policy: &Policy, now: Duration) -> Cohorts {
        let of_cohorts = |trigger: &&Trigger| trigger.route.is_none() && trigger.condition.is_absolute();
        // The comparison would never confirm it.
        let alone = |trigger: &Trigger| Trigger { confirm: Confirm::No, ..trigger.clone() };
        let triggers = policy.triggers.iter().filter(of_cohorts).map(alone).collect();
        let policy = Policy { triggers, ..Policy::default() };
        let mut gate = Gate::new(&policy);
        gate.reset(now);
        Cohorts { windows: Windows::new(&policy), gate, step: None }
    }

    /// What earlier cohorts came to clears nobody else.
    fn follow(&mut self, step: Option<&Arc<str>>, now: Duration) {
        if self.step.as_ref() != step {
            self.step = step.cloned();
            self.forget(now);
        }
    }

    pub(super) fn forget(&mut self, now: Duration) {
        self.windows.clear();
        self.gate.reset(now);
    }
}

impl Course {
    /// The cohorts that are on green by what the release has come to.
    pub fn cohorts(&self) -> impl Iterator<Item = &Arc<str>> {
        let run = self.state.run();
        run.into_iter().flat_map(|run| run.cohorts(self.planned.plan()))
    }

    /// The cohort that the present step is for.
    fn step_cohort(&self) -> Option<&Arc<str>> {
        self.state.run()?.cohort(self.planned.plan())
    }

    pub(super) fn add_of_cohorts(&mut self, samples: &ByVersion<Sample>, now: Duration) {
        let step = self.step_cohort().cloned();
        self.of_cohorts.follow(step.as_ref(), now);
        if step.is_some() {
            self.of_cohorts.windows.add(samples.as_ref(), now);
        }
    }

    /// In a step of a cohort, what clears it, and what stands before its sentence.
    pub(super) fn judge_cohort(&mut self, against_blue: Option<&str>, now: Duration) -> Option<(String, Judgement)> {
        let step = self.step_cohort().cloned();
        self.of_cohorts.follow(step.as_ref(), now);
        let told = format!("cohort {}: ", step?);
        let Cohorts { windows, gate, .. } = &mut self.of_cohorts;
        windows.advance(now);
        let windows = |trigger: &Trigger| windows.window(trigger.window, trigger.condition.span());
        let (health, signals) = (ByVersion::<Health>::default(), Signals::default());
        let look =
            Look { windows, health, signals: &signals, suspicion: Suspicion::default(), against_blue, taken_back: &[] };
        Some((told, gate.judge(&look, now)))
    }
}
