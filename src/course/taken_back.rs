//! A route that is taken back by itself: what convicts it, and what the rest is judged by from then on.

use std::cmp::Ordering;
use std::time::Duration;

use super::Course;
use crate::gate::route::RollbackOf;
use crate::release::{self, Effect, Run, State, TakenBack};

impl Course {
    /// The routes that go to blue although the release goes on.
    pub fn taken_back(&self) -> &[TakenBack] {
        self.state.run().map(|run: &Run| run.holds.taken_back.as_slice()).unwrap_or_default()
    }

    pub(super) fn is_taken_back(&self, route: &str) -> bool {
        self.taken_back().iter().any(|taken| taken.route == route)
    }

    /// Of a trigger on windows, where it looks at one.
    pub(super) fn route_of(&self, trigger: &str) -> Option<String> {
        let trigger = self.policy.triggers.iter().find(|known| known.name == trigger)?;
        trigger.route.as_ref().map(|route| route.name.clone())
    }

    /// Takes back what green is convicted on: the route, where that says so, or the whole version.
    pub(super) fn convict_on(
        &mut self,
        route: Option<&str>,
        by: String,
        sentence: String,
        now: Duration,
    ) -> Vec<Effect> {
        match route.filter(|route| self.policy.routes.rollback_of(route) == RollbackOf::Route) {
            None => self.convict(by, sentence, now),
            Some(route) => {
                let taken = TakenBack { route: route.to_owned(), by, sentence };
                self.order(release::Input::TakeBack(taken), now)
            }
        }
    }

    /// Rolls back where the configuration of a new process has lost a route that was taken back, which would be on green again.
    pub(super) fn miss_routes(&mut self, now: Duration) -> Vec<Effect> {
        let is_gone = |taken: &&TakenBack| self.policy.routes.numbered_as(&taken.route).is_none();
        let Some(TakenBack { route, by, .. }) = self.taken_back().iter().find(is_gone).cloned() else { return vec![] };
        let sentence = format!(
            "route `{route}` was taken back, and is no more in the configuration: its requests would go to green again"
        );
        self.convict(by, sentence, now)
    }

    /// Judges by what is left, once what was decided on the rest is written down: what was measured is of other requests than
    /// what comes.
    pub(super) fn leave_out(&mut self, now: Duration) {
        let taken = self.taken_back().len();
        let before = std::mem::replace(&mut self.left_out, taken);
        match (&self.state, taken.cmp(&before)) {
            (State::Idle { .. } | State::Completed { .. } | State::RolledBack { .. }, _) | (_, Ordering::Equal) => {
                return;
            }
            (State::Open(_), Ordering::Less) => {
                self.comparison = self.comparison.take().map(|comparison| self.with_routes(comparison, now));
            }
            (State::Open(Run { holds, .. }), Ordering::Greater) => {
                if let Some(comparison) = &mut self.comparison {
                    holds.taken_back[before..].iter().for_each(|taken| comparison.leave_out(&taken.route));
                }
            }
        }
        self.windows.begin_anew();
        self.testers.forget();
        self.of_cohorts.forget(now);
        self.weight_changed(now);
    }
}
