//! What is known of mirrored requests, and how a step of the plan is judged that mirrors. They are evidence of nothing else.

use std::time::Duration;

use super::Course;
use crate::gate::compare::{Finding, Suspicion};
use crate::gate::trigger::Span;
use crate::gate::verdict::Kind;
use crate::gate::{
    ByVersion, Evidence, Gate, Health, Judgement, Look, Order, Policy, Signals, Stands, Trigger, Verdict,
};
use crate::measure::Windows;
use crate::measure::shard::Sample;
use crate::measure::window::STATUS_WINDOW;
use crate::release::{Effect, Judged, Weight};

/// Blue's are the originals, green's the copies.
#[derive(Clone, Debug)]
pub(super) struct Mirroring {
    windows: Windows,
    gate: Gate,
}

/// What stands before the sentence of a trigger that judges copies.
pub(super) const OF_COPIES: &str = "mirrored requests: ";

impl Mirroring {
    pub(super) fn new(policy: &Policy, now: Duration) -> Mirroring {
        let policy = of_copies(policy);
        let mut gate = Gate::new(&policy);
        gate.reset(now);
        Mirroring { windows: Windows::new(&policy), gate }
    }

    pub(super) fn add(&mut self, samples: &ByVersion<Sample>, now: Duration) {
        self.windows.add(samples.as_ref(), now);
    }

    pub(super) fn judge_by(&mut self, policy: &Policy, now: Duration) {
        let policy = of_copies(policy);
        self.windows.follow(&policy);
        self.gate = Gate::new(&policy);
        self.gate.reset(now);
    }

    pub(super) fn forget(&mut self, now: Duration) {
        self.windows.clear();
        self.gate.reset(now);
    }

    pub(super) fn windows(&self) -> &Windows {
        &self.windows
    }
}

/// What judges copies, as a policy of its own.
fn of_copies(policy: &Policy) -> Policy {
    Policy { triggers: policy.mirror.clone(), ..Policy::default() }
}

impl Course {
    /// The share of blue's requests that the step mirrors; none where it says nothing of it, or no release is open.
    pub fn step_mirrors(&self) -> Option<Weight> {
        self.state.run()?.mirrors(self.planned.plan())
    }

    /// What mirrored requests came to in the window that status shows.
    pub fn mirrored(&self) -> ByVersion<&Evidence> {
        self.mirroring.windows.evidence(STATUS_WINDOW, Span::Head)
    }

    pub(super) fn mirrors(&self) -> bool {
        self.step_mirrors().is_some()
    }

    pub(super) fn judge_copies(&mut self, against_blue: Option<&str>, now: Duration) -> Judgement {
        let Mirroring { windows, gate } = &mut self.mirroring;
        windows.advance(now);
        let windows = |trigger: &Trigger| windows.window(trigger.window, trigger.condition.span());
        let (health, signals) = (ByVersion::<Health>::default(), Signals::default());
        let look =
            Look { windows, health, signals: &signals, suspicion: Suspicion::default(), against_blue, taken_back: &[] };
        gate.judge(&look, now)
    }

    pub(super) fn order_by_copies(&mut self, judgement: &Judgement, now: Duration) -> Vec<Effect> {
        let told = |sentence: String| format!("{OF_COPIES}{sentence}");
        let mut effects = vec![];
        for order in judgement.orders.clone() {
            let order = match order {
                Order::Rollback { trigger, sentence } => Order::Rollback { trigger, sentence: told(sentence) },
                Order::Pause { trigger, sentence } => Order::Pause { trigger, sentence: told(sentence) },
                Order::Notify { trigger, sentence } => Order::Notify { trigger, sentence: told(sentence) },
                // No user is on green, and there is no weight to lower.
                Order::Probe { .. } => continue,
            };
            effects.extend(self.carry_out(order, now));
        }
        effects
    }

    /// One verdict in a step that mirrors, or of a cohort: what is judged beside the rest clears green, and whatever else speaks
    /// against it holds it back.
    pub(super) fn sum_beside(
        &self,
        gate: Verdict,
        judgement: &Judgement,
        finding: Option<Finding>,
        (told, beside): (String, Judgement),
    ) -> (Verdict, Judged) {
        let (verdict, judged) = self.sum(gate, judgement, finding);
        let own = Verdict { sentence: format!("{told}{}", beside.verdict.sentence), ..beside.verdict };
        if own.kind == Kind::Fail {
            return (own, Judged::Fail);
        }
        match (&judged, judgement.standing) {
            (Judged::Fail, _) | (Judged::Wait, Stands::Fires | Stands::Common | Stands::Pending) => {
                return (verdict, judged);
            }
            (Judged::Pass | Judged::TooFew { .. } | Judged::Wait, _) => {}
        }
        if let Some(held) = self.state.run().and_then(crate::release::Run::held_by) {
            return (Verdict::wait(held), Judged::Wait);
        }
        let judged = match beside.standing {
            Stands::Within => Judged::Pass,
            Stands::TooFew => Judged::TooFew { sentence: own.sentence.clone() },
            Stands::Fires | Stands::Common | Stands::Pending | Stands::NothingGates => Judged::Wait,
        };
        (own, judged)
    }
}
