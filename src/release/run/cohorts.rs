//! Clients that go to green before others.

use std::sync::Arc;

use super::{Run, Stage};
use crate::release::{Plan, Step, Weight};

impl Run {
    /// The cohorts that are on green, whatever the weight: those of this step and of all before. None after an operator has
    /// taken all weight from a step that has some.
    pub fn cohorts<'p>(&self, plan: Option<&'p Plan>) -> impl Iterator<Item = &'p Arc<str>> + use<'p> {
        let steps: &[Step] = match (self.stage, plan) {
            (Stage::Step { index, .. }, Some(plan)) => plan.steps.get(..=index).unwrap_or(&plan.steps),
            (Stage::Exposing | Stage::Monitoring, Some(plan)) => &plan.steps,
            (Stage::Step { .. } | Stage::Exposing | Stage::Monitoring, None) | (Stage::Manual | Stage::Delay, _) => &[],
        };
        let has_weight = match self.stage {
            Stage::Step { .. } => steps.last().is_some_and(|step| step.weight > Weight::ZERO),
            Stage::Monitoring => true,
            Stage::Manual | Stage::Delay | Stage::Exposing => false,
        };
        let steps = if has_weight && self.weight == Weight::ZERO { &[] } else { steps };
        steps.iter().filter_map(|step| step.cohort.as_ref())
    }

    /// The cohort that this step is for; none where it is judged by others.
    pub fn cohort<'p>(&self, plan: Option<&'p Plan>) -> Option<&'p Arc<str>> {
        match self.stage {
            Stage::Step { index, .. } => plan?.steps.get(index)?.cohort.as_ref(),
            Stage::Manual | Stage::Delay | Stage::Exposing | Stage::Monitoring => None,
        }
    }

    /// What a sentence says of it, behind the weight.
    pub(super) fn cohort_told(&self, plan: &Plan) -> String {
        self.cohort(Some(plan)).map_or_else(String::new, |name| format!(", the cohort {name} on green"))
    }
}
