//! What becomes of a green that may not have everything by itself.

use super::super::{Done, Happening, Want};
use super::{Rule, passes, require};
use crate::release::{Input, Plan, Run, Stage};

/// Whether nothing but a promotion comes after this step.
pub(super) fn is_due(run: &Run, plan: &Plan) -> bool {
    let is_last = matches!(run.stage, Stage::Step { index, .. } if index + 1 == plan.steps.len());
    is_last && !plan.max_weight.is_full()
}

/// The plan goes no further by itself than to the most that green may have, and halts there until an operator goes on.
pub(super) fn is_by_hand(Done { before, happening, after, .. }: &Done, plan: Option<&Plan>) -> Rule {
    let (Some(run), Some(next), Some(plan)) = (before.state.run(), after.state.run(), plan) else { return Ok(()) };
    let waits = |run: &Run| run.holds.paused.as_ref().is_some_and(|held| Want::of(held) == Want::Promotion);
    match happening {
        Happening::Take(Input::Judged(judged)) => {
            require(
                next.weight <= run.weight.max(plan.max_weight),
                "no judgement gives green more than it may have by itself",
            )?;
            let halts = is_due(run, plan) && passes(run, judged, Some(plan), before);
            require(
                waits(next) == (waits(run) || halts),
                "the plan halts when its last step is over and green may not have everything by itself",
            )
        }
        Happening::Take(Input::Resume { .. }) => require(
            !waits(next) || next.holds == run.holds,
            "where a promotion is waited for, a resume ends everything that holds the release, or nothing",
        ),
        Happening::Take(Input::Promote { .. }) => {
            require(!waits(next) || next == run, "a promotion ends the wait for it")
        }
        _ => require(!waits(next) || waits(run), "nothing but a judgement makes a release wait for a promotion"),
    }
}
