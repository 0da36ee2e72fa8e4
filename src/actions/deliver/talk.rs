//! A delivery of several requests, written as if each answer were there at once: what has been answered so far is gone
//! through again, and the first request without an answer is what to send. So all of it is a function, and tested as one.

use std::slice;

use crate::actions::exchange::{Answer, Next, Request};
use crate::config::runbook::Unrendered;

/// The answers that an attempt has got, one after the other.
pub(super) struct Talk<'a>(slice::Iter<'a, Answer>);

/// Why a delivery does not go on by itself.
pub(super) enum Halt {
    Next(Next),
    Unrendered(Unrendered),
}

/// What a delivery comes to.
pub(super) fn talk<'a>(
    answers: &'a [Answer],
    delivery: impl FnOnce(&mut Talk<'a>) -> Result<Next, Halt>,
) -> Result<Next, Unrendered> {
    match delivery(&mut Talk(answers.iter())) {
        Ok(next) | Err(Halt::Next(next)) => Ok(next),
        Err(Halt::Unrendered(unrendered)) => Err(unrendered),
    }
}

impl<'a> Talk<'a> {
    /// The answer to the next request, which is not made where there is one.
    pub(super) fn ask(&mut self, request: impl FnOnce() -> Result<Request, Unrendered>) -> Result<&'a Answer, Halt> {
        match self.0.next() {
            Some(answer) => Ok(answer),
            None => Err(Halt::Next(Next::Send(Box::new(request()?)))),
        }
    }

    /// As [`Talk::ask`]; an answer other than 2xx is the end.
    pub(super) fn get(&mut self, request: impl FnOnce() -> Result<Request, Unrendered>) -> Result<&'a Answer, Halt> {
        let answer = self.ask(request)?;
        answer.judge()?;
        Ok(answer)
    }
}

impl From<Next> for Halt {
    fn from(next: Next) -> Halt {
        Halt::Next(next)
    }
}

impl From<Unrendered> for Halt {
    fn from(unrendered: Unrendered) -> Halt {
        Halt::Unrendered(unrendered)
    }
}
