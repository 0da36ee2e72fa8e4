//! What must hold of a route that was taken back, whatever came before it.

use super::{Done, Happening, Rule, require};
use crate::release::{Effect, Input, Plan, Run, Stage, State};
use crate::routing::Route;

/// Whether the plan would promote green next, which it does not without all of the routes.
pub(super) fn keeps(run: &Run, plan: Option<&Plan>) -> bool {
    let is_last = match (run.stage, plan) {
        (Stage::Step { index, .. }, Some(plan)) => index + 1 == plan.steps.len(),
        (Stage::Exposing | Stage::Monitoring, _) => true,
        (Stage::Manual | Stage::Delay | Stage::Step { .. }, _) => false,
    };
    is_last && lacks(run)
}

fn lacks(run: &Run) -> bool {
    !run.holds.taken_back.is_empty()
}

/// It goes to blue until its release has ended, or an operator gives it to green.
pub(super) fn goes_to_blue(Done { before, happening, result, after }: &Done, plan: Option<&Plan>) -> Rule {
    let taken = |state: &State| state.run().is_some_and(lacks);
    let (was, is) = (taken(&before.state), taken(&after.state));
    if after.state.run().is_some() && after.table.route != Route::Latched {
        require(after.goes_to_blue() == is, "what the state says of a route is what the workers do")?;
    }
    let promotes = matches!(happening, Happening::Take(Input::Promote { .. })) && matches!(result, Some(Ok(_)));
    let (Some(run), Some(next)) = (before.state.run(), after.state.run()) else {
        let completes = matches!(after.state, State::Completed { .. });
        require(!was || !completes || promotes, "the plan completes nothing without all of the routes")?;
        return require(!is, "a release begins with all of its routes");
    };
    require(!was || is || promotes, "nobody but an operator who promotes green gives it a route again")?;
    require(!(was && promotes && is), "green has all of its routes when an operator has promoted it")?;
    let irreversible = plan.is_some_and(|plan| plan.irreversible.is_some());
    require(!is || !irreversible, "of what is irreversible no route goes back")?;
    if let Happening::Take(Input::TakeBack(_)) = happening {
        require(is != irreversible, "a route is taken back in every state of an open release")?;
        require(next.weight == run.weight && next.stage == run.stage, "the rest stays where it is")?;
        require(was || next.is_held(), "the plan pauses")?;
        let Some(Ok(effects)) = result else { return Err("the gate is never refused") };
        let first = matches!(effects.first(), Some(Effect::TakeBack { .. }));
        return require(first == (is && !was), "it goes to blue before all else, and once");
    }
    require(was || !is, "nothing else takes a route back")?;
    if let Happening::Take(Input::Judged(_)) = happening {
        require(!was || !keeps(run, plan) || next.stage == run.stage || next.is_held(), "the plan does not promote")?;
    }
    Ok(())
}
