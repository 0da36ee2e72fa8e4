//! What must hold of the gates that a release stands at, whatever came before it.

use std::time::Duration;

use super::super::gates::To;
use super::super::{Done, Happening};
use super::{Rule, require};
use crate::release::gates::Stands;
use crate::release::{AtGate, Effect, Input, Moment, Plan, Question, Run, Stage, Weight};

/// Whether what comes next in the plan may begin, as far as its gate goes.
pub(super) fn lets_on(run: &Run, plan: &Plan, now: Duration) -> bool {
    let next = match run.stage {
        Stage::Delay if plan.steps.is_empty() && plan.budget.is_none() => Moment::BeforePromotion,
        Stage::Delay => Moment::BeforeStep,
        Stage::Step { index, .. } if index + 1 < plan.steps.len() || plan.budget.is_some() => Moment::BeforeStep,
        Stage::Step { .. } | Stage::Exposing => Moment::BeforePromotion,
        Stage::Manual | Stage::Monitoring => return true,
    };
    let passed = run.holds.gate.as_ref().is_some_and(|gate| {
        gate.question.moment == next
            && match gate.stands {
                Stands::Passed { until } => now <= until,
                Stands::Overridden => true,
                Stands::Asked { .. } | Stands::Waits { .. } | Stands::Refused => false,
            }
    });
    passed || plan.gates.of(next).is_none()
}

pub(super) fn hold(done: &Done, plan: Option<&Plan>) -> Rule {
    let Some(plan) = plan.filter(|plan| !plan.gates.none()) else { return Ok(()) };
    starts(done, plan)?;
    asks(done)?;
    answers_in_time(done)?;
    hears(done)
}

/// Green has nothing before it was let start, not even by hand; and nothing but an answer or an operator lets it.
fn starts(Done { before, happening, after, .. }: &Done, plan: &Plan) -> Rule {
    let is_to_start = |run: &Run| gate_of(run).is_some_and(|gate| gate.question.moment == Moment::BeforeStart);
    if let Some(run) = after.state.run().filter(|run| is_to_start(run)) {
        require(run.weight == Weight::ZERO && run.stage == Stage::Delay, "green has nothing before it is let start")?;
        require(run.holds.shut_gate().is_some(), "what is let start stands at no gate any more")?;
    }
    let begins = matches!(happening, Happening::Take(Input::Start { .. })) && before.state.run().is_none();
    match (before.state.run(), after.state.run()) {
        (None, Some(run)) if begins => {
            require(is_to_start(run) == plan.gates.before_start.is_some(), "a release begins at its gate")
        }
        (Some(run), Some(next)) if is_to_start(run) && !is_to_start(next) => require(
            let_past(happening) && plan.gates.before_start.is_some(),
            "an answer or an operator lets a release start, and nothing else",
        ),
        _ => Ok(()),
    }
}

/// Whether it may open a gate.
fn let_past(happening: &Happening) -> bool {
    match happening {
        Happening::Answers(said) => said.to == To::Last,
        Happening::Take(Input::Approve { reason, .. }) => !reason.is_empty(),
        _ => false,
    }
}

/// Where a question is open that was not, it is asked, once; and nothing else is.
fn asks(Done { before, result, after, .. }: &Done) -> Rule {
    let asked = |run: Option<&Run>| run.and_then(gate_of).and_then(open_question);
    let (was, is) = (asked(before.state.run()), asked(after.state.run()));
    let effects = match result {
        Some(Ok(effects)) => effects.as_slice(),
        Some(Err(_)) | None => &[],
    };
    let asks: Vec<_> = effects.iter().filter(|effect| matches!(effect, Effect::Ask(_))).collect();
    let expected: Vec<_> = is.filter(|_| is != was).map(Effect::Ask).into_iter().collect();
    require(asks == expected.iter().collect::<Vec<_>>(), "what a release waits for has been asked, and nothing else")
}

/// With every judgement: nobody waits for ever.
fn answers_in_time(Done { before, happening, after, .. }: &Done) -> Rule {
    let (Some(run), Some(next), Happening::Take(Input::Judged(_))) = (before.state.run(), after.state.run(), happening)
    else {
        return Ok(());
    };
    let Some(gate) = gate_of(run) else { return Ok(()) };
    let stands = gate_of(next).map(|gate| gate.stands);
    let alone = run.holds.common.is_none()
        && run.holds.convicted.is_none()
        && run.holds.probe.is_none()
        && run.holds.paused.is_none();
    match gate.stands {
        Stands::Asked { until } if before.now >= until => {
            require(stands == Some(Stands::Refused), "no answer in time is a refusal")
        }
        Stands::Waits { until } if before.now >= until && alone => {
            require(matches!(stands, Some(Stands::Asked { .. })), "when a wait is over it is asked again")
        }
        Stands::Asked { .. } | Stands::Waits { .. } | Stands::Refused => {
            require(stands == Some(gate.stands), "a judgement opens no gate")
        }
        Stands::Passed { .. } | Stands::Overridden => Ok(()),
    }
}

/// An answer changes nothing but to the question that is open, and moves no traffic.
fn hears(Done { before, happening, after, .. }: &Done) -> Rule {
    let was = before.state.run().and_then(gate_of);
    if let Happening::Answers(said) = happening {
        let is_open = was.and_then(open_question).is_some() && said.to == To::Last;
        require(is_open || before.state == after.state, "what is late, or said twice, changes nothing")?;
        require(!is_open || before.state != after.state, "what is asked is answered")?;
        let (Some(run), Some(next)) = (before.state.run(), after.state.run()) else {
            return Err("an answer ends no release");
        };
        return require(run.weight == next.weight && run.stage == next.stage, "an answer moves no traffic");
    }
    let opened = |run: Option<&Run>| run.and_then(gate_of).is_some_and(|gate| !gate.is_shut());
    require(
        opened(before.state.run()) || !opened(after.state.run()) || let_past(happening),
        "nothing else opens a gate",
    )?;
    if let (Happening::Crash, Some(AtGate { question, stands: Stands::Asked { .. } | Stands::Waits { .. }, .. })) =
        (happening, was)
    {
        let asks = after.state.run().and_then(gate_of).and_then(open_question);
        let is_to_start = question.moment == Moment::BeforeStart && after.state.run().is_some();
        return require(asks.is_some_and(|asks| asks != *question) == is_to_start, "a new process asks anew");
    }
    Ok(())
}

fn gate_of(run: &Run) -> Option<&AtGate> {
    run.holds.gate.as_ref()
}

fn open_question(gate: &AtGate) -> Option<Question> {
    matches!(gate.stands, Stands::Asked { .. }).then_some(gate.question)
}
