//! What a release is going to do: its steps, and what happens when it does not get on.
//!
//! The journal keeps these types of a release that brought its plan along.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::gates::Gates;
use super::input::Judged;
use super::weight::Weight;

/// The way of one release from 0 to 100 %.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Rising strictly, above 0 % and below 100 %, behind those that mirror and those of cohorts, in this order; after the last comes 100 %. Empty when the first
    /// weight is 100 %.
    pub steps: Vec<Step>,
    /// The requests that green may harm. With it the weight goes from the last step to 100 % as what is known of green allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<NonZeroU32>,
    /// At weight 0, before the first step.
    pub initial_delay: Duration,
    /// A release that takes no new step for so long is rolled back. Longer than `initial_delay` and every bake.
    pub progress_deadline: Option<Duration>,
    /// How long the gate stays armed at 100 % before the release completes.
    pub monitoring: Duration,
    pub on_low_traffic: OnLowTraffic,
    /// Why a rollback would do harm: then the gate freezes and calls people, and only an operator rolls back.
    pub irreversible: Option<String>,
    /// No step is above it. Below 100 % the plan ends at its last step, and only an operator promotes green.
    #[serde(default = "Weight::full", skip_serializing_if = "Weight::is_full")]
    pub max_weight: Weight,
    /// What is asked before it goes on. Of the configuration, whoever wrote the plan.
    #[serde(default, skip_serializing_if = "Gates::none")]
    pub gates: Gates,
}

/// One weight and how long it must hold before the next.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub weight: Weight,
    /// At weight 0, the share of blue's requests that green gets copies of: the step is judged by these alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Weight>,
    /// At weight 0, the cohort that goes to green, and stays there: the step is judged by it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<Arc<str>>,
    /// Zero only under [`OnLowTraffic::Wait`]: the step then ends as soon as the verdict is a pass.
    pub bake: Duration,
    pub approval: Approval,
}

/// Who ends a step whose bake is over and whose verdict is a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Approval {
    Automatic,
    /// An operator, however long that takes.
    Operator,
    /// An operator, or else the time.
    Within(Deadline),
}

/// How long an approval is waited for, and what comes then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deadline {
    pub within: Duration,
    pub otherwise: Otherwise,
}

/// What comes when nobody has approved in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Otherwise {
    /// The weight stays as it is until an operator goes on.
    Pause,
    Rollback,
}

/// What ends a bake in which green had too few requests to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnLowTraffic {
    /// Nothing: the step lasts until there are enough.
    Wait,
    /// The next step comes as if the verdict were a pass.
    Pass,
    Rollback,
}

/// What a judgement means for the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    GoesOn,
    Waits,
    /// As [`Ruling::Waits`] until the bake is over; then the release is rolled back.
    TooFew(String),
}

/// How long a good green takes under a usual budget, about.
const EXPOSED: Duration = Duration::from_secs(600);

impl Approval {
    pub const fn deadline(self) -> Option<Deadline> {
        match self {
            Approval::Automatic | Approval::Operator => None,
            Approval::Within(deadline) => Some(deadline),
        }
    }
}

impl Otherwise {
    /// As the configuration writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Otherwise::Pause => "pause",
            Otherwise::Rollback => "rollback",
        }
    }
}

impl OnLowTraffic {
    pub(super) fn rule(self, judged: Judged) -> Ruling {
        match (judged, self) {
            (Judged::Pass, _) | (Judged::TooFew { .. }, OnLowTraffic::Pass) => Ruling::GoesOn,
            (Judged::TooFew { sentence }, OnLowTraffic::Rollback) => Ruling::TooFew(sentence),
            (Judged::TooFew { .. }, OnLowTraffic::Wait) | (Judged::Wait | Judged::Fail, _) => Ruling::Waits,
        }
    }
}

/// As in journals of programs that knew no mirror and no cohorts: they tell one plan from another by it.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Step { weight, mirror, cohort, bake, approval } = self;
        let mut step = f.debug_struct("Step");
        step.field("weight", weight);
        if let Some(mirror) = mirror {
            step.field("mirror", mirror);
        }
        if let Some(cohort) = cohort {
            step.field("cohort", cohort);
        }
        step.field("bake", bake).field("approval", approval).finish()
    }
}

/// As in journals of programs that knew no `max_weight` and no budget: they tell one plan from another by it.
impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan {
            steps,
            initial_delay,
            progress_deadline,
            monitoring,
            on_low_traffic,
            irreversible,
            max_weight,
            budget,
            // The plan is the same when others are asked.
            gates: _,
        } = self;
        let mut plan = f.debug_struct("Plan");
        plan.field("steps", steps)
            .field("initial_delay", initial_delay)
            .field("progress_deadline", progress_deadline)
            .field("monitoring", monitoring)
            .field("on_low_traffic", on_low_traffic)
            .field("irreversible", irreversible);
        if !max_weight.is_full() {
            plan.field("max_weight", max_weight);
        }
        if let Some(budget) = budget {
            plan.field("budget", budget);
        }
        plan.finish()
    }
}

impl Plan {
    /// Whether a step of it is judged by copies.
    pub fn mirrors(&self) -> bool {
        self.steps.iter().any(|step| step.mirror.is_some())
    }

    /// Whether green gets 100 % from an operator alone.
    pub(super) const fn ends_in_hand(&self) -> bool {
        !self.max_weight.is_full()
    }

    /// How long the release takes if nothing halts it.
    pub fn duration(&self) -> Duration {
        let exposed = if self.budget.is_some() { EXPOSED } else { Duration::ZERO };
        let steps = self.steps.iter().map(|step| step.bake).sum::<Duration>();
        self.initial_delay + steps + exposed + self.monitoring
    }
}
