//! What the plan of a release looks like from outside, and the approval that it waits for.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::release::{Approval, Awaited, Deadline, Plan, Planned, Run, Step, Weight};

#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    pub steps: Vec<StepStatus>,
    /// Harmed requests that the release may cost; left out where its steps say how it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<NonZeroU32>,
    /// Why nothing but an operator rolls back.
    pub irreversible: Option<String>,
    /// `configuration`, or `release` for a plan that the release brought along.
    pub source: &'static str,
    /// Percent, beyond which an operator alone goes. Null where the plan goes to 100 % by itself.
    pub max_weight: Option<Weight>,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// Percent.
    pub weight: Weight,
    /// Percent of blue's requests that are copied to green in this step; left out where it does not mirror.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Weight>,
    /// The cohort that goes to green in this step; left out where it is for everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cohort: Option<Arc<str>>,
    /// Seconds.
    pub bake: f64,
    /// Whether a person ends it.
    pub approval: bool,
    /// Null when there is no approval, or when it is waited for without end.
    pub approval_deadline: Option<DeadlineStatus>,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct DeadlineStatus {
    /// Seconds.
    pub within: f64,
    /// `pause` or `rollback`.
    pub otherwise: &'static str,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct AwaitedStatus {
    /// To the second. Null while the release is held, for then its time stands still.
    pub by: Option<Timestamp>,
    /// Seconds.
    pub left: f64,
    /// `pause` or `rollback`.
    pub otherwise: &'static str,
}

impl PlanStatus {
    /// None without a plan.
    pub fn new(planned: &Planned) -> Option<PlanStatus> {
        let plan = planned.plan()?;
        let last = Step {
            weight: Weight::FULL,
            mirror: None,
            cohort: None,
            bake: plan.monitoring,
            approval: Approval::Automatic,
        };
        let steps = plan.steps.iter().chain([&last]).map(StepStatus::new).collect();
        let irreversible = plan.irreversible.clone();
        let max_weight = Some(plan.max_weight).filter(|weight| !weight.is_full());
        Some(PlanStatus { steps, budget: plan.budget, irreversible, source: planned.source(), max_weight })
    }
}

impl StepStatus {
    fn new(Step { weight, mirror, cohort, bake, approval }: &Step) -> StepStatus {
        StepStatus {
            weight: *weight,
            mirror: *mirror,
            cohort: cohort.clone(),
            bake: bake.as_secs_f64(),
            approval: match approval {
                Approval::Automatic => false,
                Approval::Operator | Approval::Within(_) => true,
            },
            approval_deadline: approval.deadline().map(|Deadline { within, otherwise }| DeadlineStatus {
                within: within.as_secs_f64(),
                otherwise: otherwise.name(),
            }),
        }
    }
}

impl AwaitedStatus {
    pub(super) fn of(run: &Run, plan: Option<&Plan>, at: Timestamp, now: Duration) -> Option<AwaitedStatus> {
        let Awaited { left, otherwise } = run.awaited(plan, now)?;
        let by = Timestamp::from_second((at + left).as_second()).expect("a time in this age");
        let stands_still = run.holds.sentence().is_some();
        Some(AwaitedStatus { by: (!stands_still).then_some(by), left: left.as_secs_f64(), otherwise: otherwise.name() })
    }
}
