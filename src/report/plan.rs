//! What the release went by, as its record has it.

use std::time::Duration;

use serde_json::Value;

use crate::gate::verdict::{count, duration};

/// The steps on one line; none for a release without a plan.
pub(super) fn steps(plan: &Value) -> Option<String> {
    let steps: Vec<String> = plan["steps"].as_array()?.iter().filter_map(step).collect();
    let budget =
        plan["budget"].as_u64().map(|budget| format!("an exposure budget of {} harmed requests", count(budget)));
    let steps: Vec<String> = budget.into_iter().chain(steps).collect();
    let own = if plan["source"] == "release" { "; of this release alone" } else { "" };
    let most = plan["maxWeight"].as_f64();
    let most = most.map_or_else(String::new, |most| format!("; beyond {most} % by an operator alone"));
    Some(format!("{}{most}{own}", steps.join(", ")))
}

/// Why nothing but an operator was to roll back.
pub(super) fn irreversible(plan: &Value) -> Option<String> {
    plan["irreversible"].as_str().map(str::to_owned)
}

/// What the release has cost, where it had an exposure budget.
pub(super) fn harmed(evidence: &Value) -> Option<String> {
    let of = |key: &str| evidence["exposure"][key].as_u64().map(count);
    Some(format!("{}, at most {}, of a budget of {}", of("harmed")?, of("atMost")?, of("budget")?))
}

fn step(step: &Value) -> Option<String> {
    let approval = match (&step["approval"], deadline(&step["approvalDeadline"])) {
        (Value::Bool(true), Some(deadline)) => format!(" and an approval {deadline}"),
        (Value::Bool(true), None) => " and an approval".to_owned(),
        _ => String::new(),
    };
    let share = match (step["mirror"].as_f64(), step["cohort"].as_str()) {
        (Some(mirror), _) => format!("{mirror} % mirrored"),
        (None, Some(cohort)) => format!("the cohort {cohort}"),
        (None, None) => format!("{} %", step["weight"].as_f64()?),
    };
    Some(format!("{share} for {}{approval}", seconds(&step["bake"])?))
}

fn deadline(deadline: &Value) -> Option<String> {
    Some(format!("within {}, otherwise {}", seconds(&deadline["within"])?, deadline["otherwise"].as_str()?))
}

fn seconds(value: &Value) -> Option<String> {
    Duration::try_from_secs_f64(value.as_f64()?).ok().map(duration)
}
