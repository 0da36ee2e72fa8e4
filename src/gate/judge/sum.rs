//! Adds up how the triggers stand, the worst sentence first.

use super::episode::{Ordered, Phase};
use super::{Judgement, Order, Stands};
use crate::gate::trigger::Action;
use crate::gate::verdict::Verdict;

/// How one trigger stands at one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    TooFew(String),
    Within,
    /// Crossed, but not for long enough, or not clearly enough, for its action.
    Pending(String),
    /// Blue crosses the bound too.
    Common(String),
    /// Blue crosses it too, by too few requests to be sure.
    Doubtful(String),
    /// The trigger would fire, and the comparison sees no difference.
    Unconfirmed(String),
    Fires(String),
}

#[derive(Default)]
pub(super) struct Sum {
    fails: Option<String>,
    common: Option<String>,
    doubtful: Option<String>,
    pauses: Option<String>,
    waits: Option<String>,
    too_few: Option<String>,
    orders: Vec<Order>,
}

/// The verdict's sentence without a trigger that could hold green back.
const NOTHING_CLEARS_GREEN: &str = "no bound over a window ends in a rollback or a pause, so nothing clears green";

impl Sum {
    pub(super) fn take(&mut self, trigger: &str, action: Action, phase: &mut Phase, ruling: Ruling) {
        let trigger = trigger.to_owned();
        let probes = action == Action::Rollback;
        match ruling {
            Ruling::Within => {}
            Ruling::Fires(sentence) => {
                match action {
                    Action::Rollback => _ = self.fails.get_or_insert_with(|| sentence.clone()),
                    Action::Pause => _ = self.pauses.get_or_insert_with(|| sentence.clone()),
                    Action::Notify => {}
                }
                if phase.first(Ordered::Action) {
                    self.orders.push(match action {
                        Action::Rollback => Order::Rollback { trigger, sentence },
                        Action::Pause => Order::Pause { trigger, sentence },
                        Action::Notify => Order::Notify { trigger, sentence },
                    });
                }
            }
            // One that only notifies moves no traffic, holds nothing and clears nothing.
            _ if action == Action::Notify => {}
            Ruling::TooFew(sentence) => _ = self.too_few.get_or_insert(sentence),
            Ruling::Pending(sentence) => _ = self.waits.get_or_insert(sentence),
            Ruling::Common(sentence) => _ = self.common.get_or_insert(sentence),
            Ruling::Doubtful(sentence) => {
                self.doubtful.get_or_insert_with(|| sentence.clone());
                if probes && phase.first(Ordered::Probe) {
                    self.orders.push(Order::Probe { trigger, sentence });
                }
            }
            Ruling::Unconfirmed(sentence) => {
                self.waits.get_or_insert_with(|| sentence.clone());
                if probes && phase.first(Ordered::Probe) {
                    self.orders.push(Order::Probe { trigger, sentence });
                }
            }
        }
    }

    /// `gating` is how many triggers on windows could clear green.
    pub(super) fn judgement(self, gating: usize) -> Judgement {
        let freeze = self.common.clone().or_else(|| self.doubtful.clone());
        let (verdict, standing) = if let Some(sentence) = self.fails {
            (Verdict::fail(sentence), Stands::Fires)
        } else if let Some(sentence) = self.common.or(self.doubtful) {
            (Verdict::wait(sentence), Stands::Common)
        } else if let Some(sentence) = self.pauses {
            (Verdict::wait(sentence), Stands::Fires)
        } else if let Some(sentence) = self.waits {
            (Verdict::wait(sentence), Stands::Pending)
        } else if let Some(sentence) = self.too_few {
            (Verdict::wait(sentence), Stands::TooFew)
        } else if gating == 0 {
            // Promise 3: bounds that nobody judges are not kept.
            (Verdict::wait(NOTHING_CLEARS_GREEN), Stands::NothingGates)
        } else {
            (Verdict::pass(format!("green crosses none of {gating} bounds")), Stands::Within)
        };
        Judgement { verdict, standing, orders: self.orders, freeze }
    }
}
