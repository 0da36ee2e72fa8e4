//! Other rules, in the middle of it.

use std::time::Duration;

use super::Course;
use super::cohorts::Cohorts;
use crate::gate::{Gate, Policy};

impl Course {
    /// Tells the routes of `policy` apart from here on, which is the same otherwise. Not while a release is open.
    pub fn follow_routes(&mut self, policy: Policy, now: Duration) {
        self.judge_by(policy, now);
    }

    /// What is the same in both policies goes on: windows that are still looked at, and the comparison.
    pub(super) fn judge_by(&mut self, policy: Policy, now: Duration) {
        self.testers.follow(&policy);
        let before = std::mem::replace(&mut self.policy, policy);
        let routes_are_new = before.routes != self.policy.routes;
        if routes_are_new {
            self.windows.forget_routes();
            self.routes.follow(&self.policy.routes);
        }
        self.windows.follow(&self.policy);
        if before.compare != self.policy.compare {
            self.comparison = self.compared_with(&self.history.blue().clone(), now);
        } else if routes_are_new {
            self.comparison = self.comparison.take().map(|comparison| self.with_routes(comparison, now));
        }
        if before.mirror != self.policy.mirror {
            self.mirroring.judge_by(&self.policy, now);
        }
        if (&before.triggers, &before.checks, &before.signals)
            != (&self.policy.triggers, &self.policy.checks, &self.policy.signals)
        {
            self.gate = Gate::new(&self.policy);
            self.gate.reset(now);
            self.of_cohorts = Cohorts::new(&self.policy, now);
        }
    }
}
