//! Requests whose version their clients have chosen, or that are of a cohort. They are no sample of a version; bounds that are
//! absolute see them beside the rest, those of clients that have chosen where the policy's author says so.

use std::time::Duration;

use super::Course;
use crate::gate::{ByVersion, Evidence, Policy, Trigger, Version};
use crate::measure::Windows;
use crate::measure::shard::Sample;

#[derive(Clone, Debug)]
pub(super) struct Testers {
    windows: Windows,
    /// There were any in this epoch.
    any: bool,
}

impl Testers {
    pub(super) fn new(policy: &Policy) -> Testers {
        Testers { windows: Windows::new(policy), any: false }
    }

    pub(super) fn add(&mut self, samples: &ByVersion<Sample>, now: Duration) {
        self.windows.add(samples.as_ref(), now);
        self.any = true;
    }

    pub(super) fn advance(&mut self, now: Duration) {
        if self.any {
            self.windows.advance(now);
        }
    }

    pub(super) fn follow(&mut self, policy: &Policy) {
        self.windows.follow(policy);
    }

    pub(super) fn forget(&mut self) {
        self.windows.clear();
        self.any = false;
    }
}

impl Course {
    /// What the trigger sees where that is more than the evidence.
    pub(super) fn with_testers(&self, trigger: &Trigger) -> Option<ByVersion<Evidence>> {
        if !trigger.condition.is_absolute() || !self.testers.any || trigger.route.is_some() {
            return None;
        }
        let testers = self.testers.windows.evidence(trigger.window, trigger.condition.span());
        if Version::BOTH.iter().all(|version| testers.of(*version).is_empty()) {
            return None;
        }
        let evidence = self.windows.evidence(trigger.window, trigger.condition.span());
        Some(ByVersion::build(|version| {
            let mut both = Evidence::clone(evidence.of(version));
            both.add(testers.of(version));
            both
        }))
    }
}
