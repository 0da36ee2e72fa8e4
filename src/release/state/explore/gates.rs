//! What those say who are asked whether the release may go on.

use std::time::Duration;

use super::{Happening, SECOND};
use crate::release::{Answer, Answered, Gates, Input, Plan, Question, State};

/// An answer, and to which question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) to: To,
    answer: Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// What the release stands at, whether it is answered already or not.
    Last,
    /// What was asked before, of the same.
    Earlier,
}

/// How long every answer is waited for.
pub(super) const WITHIN: Duration = SECOND;

/// How long an answer asks to wait.
pub(super) const WAIT: Duration = Duration::from_secs(2);

pub(super) const GATES: Gates =
    Gates { before_start: Some(WITHIN), before_step: Some(WITHIN), before_promotion: Some(WITHIN) };

impl Said {
    /// None where nothing has been asked.
    pub(super) fn about(&self, state: &State) -> Option<Input> {
        let last = state.run()?.holds.gate.as_ref()?.question;
        let question = match self.to {
            To::Last => last,
            To::Earlier => Question { at: last.at.checked_sub(Duration::from_nanos(1))?, ..last },
        };
        Some(Input::Answered(Answered { question, answer: self.answer.clone() }))
    }
}

/// Where the plan asks: an operator has a reason as well.
pub(super) fn happenings(plan: Option<&Plan>) -> Vec<Happening> {
    if plan.is_none_or(|plan| plan.gates.none()) {
        return vec![];
    }
    let answers = [
        Answer::Pass { sentence: String::new() },
        Answer::Refuse { sentence: String::new() },
        Answer::Wait { time: WAIT, sentence: String::new() },
    ];
    let said = answers
        .into_iter()
        .flat_map(|answer| [To::Last, To::Earlier].map(|to| Happening::Answers(Said { to, answer: answer.clone() })));
    let approve = Input::Approve { actor: String::new(), reason: "it is known".to_owned() };
    said.chain([Happening::Take(approve)]).collect()
}
