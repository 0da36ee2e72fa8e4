//! How a step of the plan is judged that sends one cohort to green: by bounds that are absolute, and no others. A cohort is no
//! random draw, so nothing of it can be compared with what others get from blue.

use std::sync::Arc;
use std::time::Duration;

use super::Course;
use crate::gate::trigger::Confirm;
use crate::gate::{Gate, Policy, Trigger};

/// What clears green in such a step.
#[derive(Clone, Debug)]
pub(super) struct Cohorts {
    pub(super) gate: Gate,
}

impl Cohorts {
    pub(super) fn new(policy: &Policy, now: Duration) -> Cohorts {
        let of_cohorts = |trigger: &&Trigger| trigger.route.is_none() && trigger.condition.is_absolute();
        // The comparison would never confirm it.
        let alone = |trigger: &Trigger| Trigger { confirm: Confirm::No, ..trigger.clone() };
        let triggers = policy.triggers.iter().filter(of_cohorts).map(alone).collect();
        let mut gate = Gate::new(&Policy { triggers, ..Policy::default() });
        gate.reset(now);
        Cohorts { gate }
    }
}

impl Course {
    /// The cohorts that are on green by what the release has come to.
    pub fn cohorts(&self) -> impl Iterator<Item = &Arc<str>> {
        let run = self.state.run();
        run.into_iter().flat_map(|run| run.cohorts(self.planned.plan()))
    }

    /// The cohort that the present step is for.
    pub(super) fn step_cohort(&self) -> Option<&Arc<str>> {
        self.state.run()?.cohort(self.planned.plan())
    }
}
