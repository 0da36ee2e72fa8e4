//! What must hold of every transition, whatever came before it.

mod approval;
mod gates;
mod promotion;
mod seen;
mod taken_back;

use std::time::Duration;

use super::{Done, Happening, Node};
use crate::release::run::{Consent, MONITORING};
use crate::release::{
    Acknowledged, Effect, Input, Judged, Kind, OnLowTraffic, Otherwise, Plan, Refusal, Run, Stage, State, Weight,
};
use crate::routing::Route;
pub(super) use seen::Seen;

type Rule = Result<(), &'static str>;

fn require(holds: bool, rule: &'static str) -> Rule {
    if holds { Ok(()) } else { Err(rule) }
}

pub(super) fn hold(done: &Done, plan: Option<&Plan>) -> Rule {
    routes_as_the_state_says(&done.after)?;
    stays_latched(done)?;
    opens_epochs(done)?;
    only_operators_are_refused(done)?;
    moves_traffic_first(done)?;
    rolls_back(done, plan)?;
    taken_back::goes_to_blue(done, plan)?;
    gives_up(done, plan)?;
    approval::asks_in_time(done, plan)?;
    gates::hold(done, plan)?;
    steps(done, plan)?;
    promotion::is_by_hand(done, plan)?;
    raises(done)?;
    keeps_time(done)?;
    approval::keeps_its_time(done, plan)
}

fn routes_as_the_state_says(Node { state, table, roles, .. }: &Node) -> Rule {
    require(table.epoch == state.epoch(), "the table is of the state's epoch")?;
    require(table.weight() <= state.weight(), "green gets no more than the state says")?;
    match state {
        State::RolledBack { .. } => require(
            table.route == Route::Latched && table.roles == *roles,
            "promise 2: a release that is rolled back is latched, and blue is what was blue before it",
        ),
        State::Completed { .. } => require(
            table.route == Route::Completed && table.roles == roles.exchanged(),
            "what was green is blue when its release has completed",
        ),
        State::Open(run) => {
            require(table.roles == *roles && table.route != Route::Completed, "an open release has not completed")?;
            let probing = run.holds.probe.is_some();
            require(!probing || run.weight <= Weight::PROBE, "while probing the weight is low")
        }
        State::Idle { .. } => Ok(()),
    }
}

/// A worker's latch that nobody has written down yet is the one thing that a crash takes away.
fn stays_latched(Done { before, happening, after, .. }: &Done) -> Rule {
    let known = matches!(before.state, State::RolledBack { .. });
    let latched = before.table.route == Route::Latched && (known || *happening != Happening::Crash);
    require(
        !latched || after.table.epoch > before.table.epoch || after.table.route == Route::Latched,
        "promise 2: green gets no traffic in a latched epoch",
    )?;
    require(
        !known || after.state.epoch() > before.state.epoch() || after.state == before.state,
        "promise 2: only a new epoch leaves a rollback",
    )
}

fn opens_epochs(Done { before, happening, result, after }: &Done) -> Rule {
    let (old, new) = (before.state.epoch(), after.state.epoch());
    let closed = before.state.run().is_none();
    let opens = match happening {
        Happening::Take(Input::Start { .. }) => closed,
        Happening::Take(Input::SetWeight { .. }) => closed && !matches!(before.state, State::RolledBack { .. }),
        _ => false,
    };
    let begins = matches!(result, Some(Ok(effects)) if effects.contains(&Effect::Begin { epoch: old.next() }));
    require(begins == opens, "a release begins by a start, or by a weight where none was rolled back")?;
    require(
        new == if opens { old.next() } else { old },
        "the epoch rises by one when a release begins, and never else",
    )?;
    require(!opens || new > before.table.epoch, "no epoch is used twice")
}

fn only_operators_are_refused(Done { before, happening, result, after }: &Done) -> Rule {
    let Some(Err(_)) = result else { return Ok(()) };
    require(before.state == after.state && before.table == after.table, "a refusal changes nothing")?;
    require(
        match happening {
            Happening::Take(input) => match input {
                Input::Start { .. }
                | Input::SetWeight { .. }
                | Input::Pause { .. }
                | Input::Resume { .. }
                | Input::Approve { .. }
                | Input::Promote { .. }
                | Input::Withdraw { .. }
                | Input::Supersede { .. } => true,
                Input::RollBack(_)
                | Input::TakeBack(_)
                | Input::Hold(_)
                | Input::Probe(_)
                | Input::Acquit { .. }
                | Input::Freeze { .. }
                | Input::Thaw
                | Input::Expose { .. }
                | Input::UsedUp(_)
                | Input::Answered(_)
                | Input::Judged(_)
                | Input::Restarted => false,
            },
            _ => false,
        },
        "the gate is never refused",
    )
}

fn moves_traffic_first(Done { before, result, after, .. }: &Done) -> Rule {
    let Some(Ok(effects)) = result else { return Ok(()) };
    let moves = |effect: &Effect| {
        matches!(effect, Effect::Latch { .. } | Effect::Revert { .. } | Effect::Route { .. } | Effect::Complete { .. })
    };
    require(effects.iter().filter(|effect| moves(effect)).count() <= 1, "traffic is moved once")?;
    let away = after.state.weight() < before.state.weight();
    require(!away || effects.first().is_some_and(moves), "what moves traffic away from green comes first")?;
    let told = effects.iter().any(|effect| matches!(effect, Effect::Tell { .. }));
    require(told || after.state.weight() == before.state.weight(), "nothing moves traffic and is not told")
}

fn rolls_back(Done { before, happening, result, after }: &Done, plan: Option<&Plan>) -> Rule {
    let irreversible = plan.is_some_and(|plan| plan.irreversible.is_some());
    let was_open = before.state.run().is_some();
    let rolled_back = matches!(after.state, State::RolledBack { .. });
    let first = match result {
        Some(Ok(effects)) => effects.first(),
        Some(Err(_)) | None => None,
    };
    if was_open && rolled_back {
        let by_hand = matches!(happening, Happening::Take(Input::Withdraw { acknowledged: Acknowledged::Yes, .. }));
        require(!irreversible || by_hand, "only an operator who says so rolls back what is irreversible")?;
        let latch = Effect::Latch { epoch: before.state.epoch() };
        let overtaken = matches!(first, Some(Effect::Complete { .. })) && before.table.route == Route::Latched;
        require(first == Some(&latch) || overtaken, "promise 1: a rollback latches before all else")?;
    }
    match happening {
        Happening::Take(Input::Withdraw { acknowledged, .. }) => {
            let unsaid = irreversible && *acknowledged == Acknowledged::No;
            let asked = unsaid && (was_open || matches!(before.state, State::Completed { .. }));
            let refused = matches!(result, Some(Err(Refusal::Irreversible { .. })));
            require(
                rolled_back != asked && refused == asked || matches!(before.state, State::RolledBack { .. }),
                "an operator rolls back in every state",
            )
        }
        Happening::Take(Input::RollBack(_)) if irreversible && was_open => {
            let convicted = |node: &Node| {
                let held = node.state.run().and_then(|run| run.holds.convicted.as_ref());
                held.is_some_and(|held| !approval::is_wanted(held))
            };
            let (held, before) = (convicted(after), convicted(before));
            let called = matches!(first, Some(Effect::Tell { kind: Kind::Irreversible, .. }));
            require(held && called != before, "what is irreversible is held instead, and people are called once")
        }
        Happening::Take(Input::RollBack(_)) => require(rolled_back, "promise 2: a rollback outranks everything"),
        _ => Ok(()),
    }
}

/// The plan gives a release up when it is late, or when its bake ends without the evidence that the plan asks for.
fn gives_up(Done { before, happening, result, after }: &Done, plan: Option<&Plan>) -> Rule {
    let (Some(run), Some(plan), Happening::Take(Input::Judged(judged))) = (before.state.run(), plan, happening) else {
        return Ok(());
    };
    let baked = run.baked(before.now);
    let (bake, deadline) = match run.stage {
        Stage::Manual | Stage::Delay => return Ok(()),
        Stage::Step { index, .. } => (plan.steps[index].bake, plan.progress_deadline),
        Stage::Exposing => (Duration::MAX, plan.progress_deadline),
        Stage::Monitoring => (plan.monitoring, None),
    };
    let low = matches!(judged, Judged::TooFew { .. }) && plan.on_low_traffic == OnLowTraffic::Rollback && baked >= bake;
    let asks = matches!(run.stage, Stage::Step { consent: Consent::Open, .. }) && baked >= bake;
    let late = deadline.is_some_and(|deadline| baked >= deadline);
    let expected = match approval::overdue(run, plan, before) {
        Some(Otherwise::Rollback) => true,
        Some(Otherwise::Pause) => false,
        None => free(run) && (low || late && !asks && !passes(run, judged, Some(plan), before)),
    };
    let given_up = match &after.state {
        State::RolledBack { .. } => {
            !matches!(result, Some(Ok(effects)) if matches!(effects[0], Effect::Complete { .. }))
        }
        State::Open(after) => after.holds.convicted != run.holds.convicted,
        State::Idle { .. } | State::Completed { .. } => false,
    };
    require(given_up == expected, "the plan gives up what is late or has too little traffic, and nothing else")
}

/// The place of a stage in the plan: the delay, the steps, the exposure, 100 %.
fn place(run: &Run, plan: &Plan) -> Option<usize> {
    match run.stage {
        Stage::Manual => None,
        Stage::Delay => Some(0),
        Stage::Step { index, .. } => Some(index + 1),
        Stage::Exposing => Some(plan.steps.len() + 1),
        Stage::Monitoring => Some(plan.steps.len() + 1 + usize::from(plan.budget.is_some())),
    }
}

/// The plan goes on when it may, by one step, and never else.
fn steps(Done { before, happening, after, .. }: &Done, plan: Option<&Plan>) -> Rule {
    let Some(run) = before.state.run() else { return Ok(()) };
    let promoted = matches!(happening, Happening::Take(Input::Promote { .. }));
    let judged = match happening {
        Happening::Take(Input::Judged(judged)) => Some(judged),
        _ => None,
    };
    let keeps = taken_back::keeps(run, plan);
    let passed = plan.is_none_or(|plan| gates::lets_on(run, plan, before.now));
    let goes_on = judged.is_some_and(|judged| may_go_on(run, judged, plan, before)) && !keeps && passed;
    let is_exposed =
        matches!(happening, Happening::Take(Input::Expose { weight: Weight::FULL, .. })) && !keeps && passed;
    match &after.state {
        State::Completed { .. } => require(
            run.stage == Stage::Monitoring && (promoted || goes_on),
            "a release completes when its monitoring is over and passed, or when an operator promotes it from there",
        ),
        // A worker's latch may keep a release from completing, and the plan may end it.
        State::RolledBack { .. } => Ok(()),
        State::Idle { .. } => Err("an open release ends completed or rolled back"),
        State::Open(after) if promoted => {
            require(after.stage == run.stage || after.stage == Stage::Monitoring, "an operator promotes to 100 %")
        }
        State::Open(after) => {
            let Some(plan) = plan else { return require(after.stage == run.stage, "without a plan there is no step") };
            let steps = place(after, plan) != place(run, plan);
            let is_acquitted = matches!(happening, Happening::Take(Input::Acquit { .. }));
            if steps && is_acquitted && plan.budget.is_some() && run.holds.probe.is_some() {
                let begins_anew = after.stage == Stage::Exposing && after.weight == run.weight;
                return require(begins_anew, "after a probe the budget finds the weight anew");
            }
            require(
                steps == (goes_on && run.stage != Stage::Monitoring || is_exposed && is_exposing(run)),
                "the plan goes on when it may and never else",
            )?;
            if !steps {
                return Ok(());
            }
            require(place(after, plan) == place(run, plan).map(|place| place + 1), "no step is left out")?;
            let weight = match after.stage {
                Stage::Step { index, .. } => plan.steps[index].weight,
                Stage::Exposing => run.weight,
                Stage::Manual | Stage::Delay | Stage::Monitoring => Weight::FULL,
            };
            require(
                after.weight == weight,
                "a step has its weight, an exposure begins at the one there is, and at the end comes 100 %",
            )
        }
    }
}

/// Promise 3: by the words of the plan alone.
fn may_go_on(run: &Run, judged: &Judged, plan: Option<&Plan>, before: &Node) -> bool {
    passes(run, judged, plan, before) && !plan.is_some_and(|plan| promotion::is_due(run, plan))
}

/// Whether what it is in is over.
fn passes(run: &Run, judged: &Judged, plan: Option<&Plan>, before: &Node) -> bool {
    let baked = run.baked(before.now);
    let passed = match judged {
        Judged::Pass => true,
        Judged::TooFew { .. } => plan.is_some_and(|plan| plan.on_low_traffic == OnLowTraffic::Pass),
        Judged::Wait | Judged::Fail => false,
    };
    free(run)
        && match (run.stage, plan) {
            (Stage::Manual | Stage::Exposing, _) | (Stage::Delay | Stage::Step { .. }, None) => false,
            (Stage::Delay, Some(plan)) => baked >= plan.initial_delay && run.weight == Weight::ZERO,
            (Stage::Step { index, consent }, Some(plan)) => {
                let consented = matches!(consent, Consent::NotNeeded | Consent::Given);
                passed && consented && baked >= plan.steps[index].bake
            }
            (Stage::Monitoring, plan) => passed && baked >= plan.map_or(MONITORING, |plan| plan.monitoring),
        }
}

/// Whether the budget may say what becomes of the weight.
fn is_exposing(run: &Run) -> bool {
    run.stage == Stage::Exposing && free(run)
}

fn free(run: &Run) -> bool {
    !matches!(run.stage, Stage::Step { consent: Consent::Asked, .. }) && !held(run)
}

/// Whether anything but an approval holds it.
fn held(Run { holds, .. }: &Run) -> bool {
    let others = holds.common.is_some() || holds.convicted.is_some() || holds.probe.is_some() || holds.paused.is_some();
    others || holds.shut_gate().is_some()
}

/// Who may raise the weight, and to what.
fn raises(Done { before, happening, after, .. }: &Done) -> Rule {
    let (Some(run), Some(after)) = (before.state.run(), after.state.run()) else { return Ok(()) };
    if after.weight <= run.weight {
        return Ok(());
    }
    require(run.holds.common.is_none(), "promise 5: while both versions are bad nothing raises the weight")?;
    match happening {
        Happening::Take(Input::SetWeight { .. } | Input::Resume { .. } | Input::Promote { .. }) => Ok(()),
        Happening::Take(Input::Expose { weight, .. }) => {
            require(is_exposing(run) && after.weight == *weight, "the budget raises the weight where it is to be asked")
        }
        Happening::Take(Input::Judged(_)) => {
            require(after.stage != run.stage, "the plan raises the weight by a step alone")
        }
        Happening::Take(Input::Acquit { .. }) => {
            let restored = run.holds.probe.as_ref().map(|probe| probe.restore);
            require(after.stage != Stage::Exposing, "what an acquitted green may have the budget says")?;
            require(restored == Some(after.weight), "an acquittal restores the weight of before the probe")
        }
        _ => Err("nothing else raises the weight"),
    }
}

/// The clock of a stage runs while nothing holds the release, and is set to zero or left alone by what happens.
fn keeps_time(Done { before, happening, after, .. }: &Done) -> Rule {
    let (Some(run), Some(next)) = (before.state.run(), after.state.run()) else { return Ok(()) };
    let (was, is) = (run.baked(before.now), next.baked(after.now));
    match happening {
        Happening::SecondPasses if run.is_held() => require(is == was, "the clock stands still while held"),
        Happening::SecondPasses => require(is == was + super::SECOND, "the clock runs while nothing holds the release"),
        Happening::Crash => require(is.is_zero(), "a stage begins anew after a crash"),
        _ if next.stage != run.stage
            && !matches!(next.stage, Stage::Step { consent: Consent::Asked | Consent::Given, .. }) =>
        {
            require(is.is_zero(), "a new stage begins at zero")
        }
        Happening::Take(Input::Resume { .. }) if next.weight != run.weight => {
            require(is.is_zero(), "what was measured at another weight does not bake this one")
        }
        _ => require(is == was || is.is_zero(), "time neither jumps nor goes back but to zero"),
    }
}
