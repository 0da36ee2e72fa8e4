//! How long an approval is waited for, and what comes without it.

use std::time::Duration;

use super::super::{Done, Happening, Node, SECOND};
use super::{Rule, held, place, require};
use crate::release::input::APPROVAL_DEADLINE;
use crate::release::run::Consent;
use crate::release::{Deadline, Held, Input, Otherwise, Plan, Run, Stage};

/// What comes for want of an approval: when its time is up, by the clock that [`keeps_its_time`].
pub(super) fn overdue(run: &Run, plan: &Plan, before: &Node) -> Option<Otherwise> {
    let Deadline { within, otherwise } = deadline(run, plan)?;
    let up = run.waited(before.now).is_some_and(|waited| waited >= within);
    (up && !held(run)).then_some(otherwise)
}

/// Whether it holds the release for want of an approval.
pub(super) fn is_wanted(held: &Held) -> bool {
    held.by == APPROVAL_DEADLINE
}

/// A judgement pauses a release for want of an approval when its time is up, and nothing but that does; an approval ends
/// what is held for want of it, and nothing else.
pub(super) fn asks_in_time(Done { before, happening, after, .. }: &Done, plan: Option<&Plan>) -> Rule {
    let (Some(run), Some(next), Some(plan)) = (before.state.run(), after.state.run(), plan) else { return Ok(()) };
    let wants = |held: &Option<Held>| held.as_ref().is_some_and(is_wanted);
    let due = overdue(run, plan, before);
    match happening {
        Happening::Take(Input::Judged(_)) => {
            let pauses = due == Some(Otherwise::Pause);
            require(
                wants(&next.holds.paused) == (wants(&run.holds.paused) || pauses),
                "a release is paused for want of an approval when the time for it is up",
            )
        }
        Happening::Take(Input::Approve { .. }) if next.stage != run.stage => {
            let mut others = run.holds.clone();
            for held in [&mut others.convicted, &mut others.paused] {
                held.take_if(|held| is_wanted(held));
            }
            require(next.holds == others, "an approval ends what is held for want of it alone")
        }
        _ => require(
            !wants(&next.holds.paused) || wants(&run.holds.paused),
            "nothing but the plan pauses for want of an approval",
        ),
    }
}

/// It begins when an approval is first asked for, goes on over a crash, and stands still only while something else holds
/// the release; so no number of crashes puts it off. It begins anew when it was up, and ends with the approval or the step.
pub(super) fn keeps_its_time(Done { before, happening, after, .. }: &Done, plan: Option<&Plan>) -> Rule {
    let (Some(run), Some(next), Some(plan)) = (before.state.run(), after.state.run(), plan) else { return Ok(()) };
    let (was, is) = (run.waited(before.now), next.waited(after.now));
    let asked = matches!(next.stage, Stage::Step { consent: Consent::Asked, .. });
    require(is.is_none() || deadline(next, plan).is_some(), "only what is to be approved in time is waited for so")?;
    require(
        !asked || is.is_some() == deadline(next, plan).is_some(),
        "the time of an approval that is asked for runs",
    )?;
    let Some(was) = was else {
        return require(is.is_none_or(|is| is.is_zero()), "the time of an approval begins at zero");
    };
    if deadline(next, plan).is_none() || next.stage != run.stage && place(next, plan) != place(run, plan) {
        return require(is.is_none(), "the time of an approval ends with it");
    }
    let wanted = match happening {
        Happening::SecondPasses if !held(run) => was + SECOND,
        Happening::Take(Input::Judged(_)) if overdue(run, plan, before).is_some() => Duration::ZERO,
        _ => was,
    };
    require(is == Some(wanted), "the time of an approval runs, and stands still while something else holds the release")
}

/// Of a step that nobody has approved yet.
fn deadline(run: &Run, plan: &Plan) -> Option<Deadline> {
    match run.stage {
        Stage::Step { index, consent: Consent::Open | Consent::Asked } => plan.steps[index].approval.deadline(),
        Stage::Step { .. } | Stage::Manual | Stage::Delay | Stage::Exposing | Stage::Monitoring => None,
    }
}
