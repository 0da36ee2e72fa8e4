//! A release that other replicas take part in: who takes its steps, and going by what another one has made of it.

use std::time::Duration;

use super::{Course, NO_RELEASE};
use crate::gate::Verdict;
use crate::gate::exposure::Known;
use crate::measure::window::History;
use crate::release::{Epoch, Input, Planned, State, Weight};

/// Who takes the steps of the release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Steps {
    /// This course does.
    #[default]
    Taken,
    /// It does, once what it has decided before is certain.
    Waiting,
    /// Another one does. This one judges by what it sees, and sends traffic away from green alone.
    Followed,
}

/// What another replica has made of the release.
#[derive(Clone, Debug)]
pub struct Followed {
    pub state: State,
    pub planned: Planned,
    pub exposed: Option<Known>,
}

impl Course {
    /// From here on.
    pub fn set_steps(&mut self, steps: Steps) {
        self.steps = steps;
    }

    /// Whether an input of the gate's own is for this course to give at this time.
    pub(super) fn is_ours(&self, input: &Input) -> bool {
        match (self.steps, input) {
            (Steps::Taken, _) => true,
            (_, Input::RollBack(_) | Input::TakeBack(_) | Input::Probe(_)) => true,
            (Steps::Waiting, Input::Hold(_) | Input::Freeze { .. } | Input::Thaw | Input::UsedUp(_)) => true,
            (Steps::Waiting, Input::Expose { weight, .. }) => *weight < self.weight(),
            (Steps::Waiting, Input::Judged(_) | Input::Acquit { .. } | Input::Answered(_)) => false,
            (Steps::Followed, _) => false,
            // Whoever gives it knows whether it is to be given.
            (
                Steps::Waiting,
                Input::Start { .. }
                | Input::SetWeight { .. }
                | Input::Pause { .. }
                | Input::Resume { .. }
                | Input::Approve { .. }
                | Input::Promote { .. }
                | Input::Withdraw { .. }
                | Input::Supersede { .. }
                | Input::Restarted,
            ) => true,
        }
    }

    /// Goes on in the state of another replica. What was measured here stays, as long as it is of the same release.
    pub fn adopt(&mut self, Followed { state, planned, exposed }: Followed, now: Duration) {
        self.planned = planned;
        let before = std::mem::replace(&mut self.state, state);
        let was_completed = matches!(before, State::Completed { .. });
        let is_completed = matches!(self.state, State::Completed { .. });
        if before.epoch() == self.state.epoch() {
            if was_completed != is_completed {
                self.windows.exchange();
                self.history.exchange();
                self.routes.exchange();
            }
            if before.weight() != self.state.weight() {
                self.weight_changed(now);
            }
        } else {
            self.begin_following(&before, now);
        }
        self.set_exposed(exposed);
        match &self.state {
            State::RolledBack { cause, .. } => self.verdict = Verdict::fail(cause.reason.clone()),
            State::Idle { .. } | State::Completed { .. } => self.verdict = Verdict::wait(NO_RELEASE),
            State::Open(_) => {}
        }
        if self.state.is_found_bad()
            && !matches!(before, State::RolledBack { .. })
            && before.epoch() == self.state.epoch()
        {
            self.begin_watch(if was_completed { Weight::FULL } else { before.weight() }, now);
        }
    }

    /// Another release. Blue is what it was, unless more than one has begun since.
    fn begin_following(&mut self, before: &State, now: Duration) {
        let is_next = before.epoch().next() == self.state.epoch() && self.state.run().is_some();
        if !is_next && before.epoch() != Epoch::default() {
            self.history = History::default();
        }
        let history = self.history.blue().clone();
        self.forget(&history, now);
    }
}
