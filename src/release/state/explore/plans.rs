//! The plans that are searched.

use std::num::NonZeroU32;
use std::time::Duration;

use super::gates::GATES;
use super::{DEADLINE, SECOND, WITHIN, percent};
use crate::release::{Approval, Deadline, Gates, OnLowTraffic, Otherwise, Plan, Step, Weight};

/// Two steps, the second with an approval; every time is short, so that every bound is reached.
pub(super) fn plan(on_low_traffic: OnLowTraffic, deadline: Option<Duration>, irreversible: Option<&str>) -> Plan {
    Plan {
        steps: vec![
            Step { weight: percent(20.0), mirror: None, cohort: None, bake: SECOND, approval: Approval::Automatic },
            Step { weight: percent(50.0), mirror: None, cohort: None, bake: SECOND * 2, approval: Approval::Operator },
        ],
        budget: None,
        initial_delay: SECOND,
        progress_deadline: deadline,
        monitoring: SECOND * 2,
        on_low_traffic,
        irreversible: irreversible.map(str::to_owned),
        max_weight: Weight::FULL,
        gates: Gates::default(),
    }
}

/// The second step alone, and all the time in the world.
pub(super) fn short(irreversible: Option<&str>) -> Plan {
    let mut plan = plan(OnLowTraffic::Wait, None, irreversible);
    plan.steps.remove(0);
    plan
}

/// The second step alone, with an approval that is waited for so long.
pub(super) fn awaiting(otherwise: Otherwise, irreversible: Option<&str>) -> Plan {
    let mut plan = Plan { progress_deadline: DEADLINE, ..short(irreversible) };
    plan.steps[0].approval = Approval::Within(Deadline { within: WITHIN, otherwise });
    plan
}

/// Two steps, the first with an approval, of a green that may have no more than the second gives.
pub(super) fn bounded(deadline: Option<Duration>, irreversible: Option<&str>) -> Plan {
    let mut plan = plan(OnLowTraffic::Wait, deadline, irreversible);
    plan.steps[0].approval = Approval::Operator;
    plan.steps[1].approval = Approval::Automatic;
    plan.max_weight = plan.steps[1].weight;
    plan
}

/// With a budget in the place of steps.
pub(super) fn exposed(irreversible: Option<&str>) -> Plan {
    let mut plan = plan(OnLowTraffic::Wait, DEADLINE, irreversible);
    plan.steps.clear();
    plan.budget = NonZeroU32::new(200);
    plan
}

/// One step without an approval, and a gate before everything.
pub(super) fn gated(deadline: Option<Duration>, irreversible: Option<&str>) -> Plan {
    let mut plan = Plan { gates: GATES, progress_deadline: deadline, ..short(irreversible) };
    plan.steps[0].approval = Approval::Automatic;
    plan
}

/// With a budget in the place of steps, and a gate before the promotion alone.
pub(super) fn gated_exposed() -> Plan {
    let gates = Gates { before_start: None, before_step: None, ..GATES };
    Plan { gates, progress_deadline: None, initial_delay: Duration::ZERO, ..exposed(None) }
}
