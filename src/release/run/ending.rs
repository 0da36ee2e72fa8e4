//! How a release ends in a rollback: by the gate, for want of progress or of evidence, or by an operator; and what becomes of
//! one that must not be rolled back.

use std::time::Duration;

use super::{Next, Run};
use crate::gate::verdict::duration;
use crate::release::clock::Clock;
use crate::release::effect::{Effect, Kind};
use crate::release::input::{APPROVAL_DEADLINE, LOW_TRAFFIC, PLAN, PROGRESS_DEADLINE};
use crate::release::input::{Acknowledged, Cause, Held, Refusal};
use crate::release::{Epoch, Plan};

impl Run {
    /// A rollback that nobody asked for by hand: an irreversible release is held instead, and people are called, once
    /// until an operator goes on.
    pub(super) fn convict(&mut self, cause: Cause, plan: Option<&Plan>) -> Next {
        let Some(irreversible) = irreversible(plan) else { return Next::RolledBack(cause) };
        if self.holds.convicted.as_ref().is_some_and(|held| held.by != APPROVAL_DEADLINE) {
            return Next::Open(vec![]);
        }
        let sentence =
            format!("{}; not rolled back, because the release is irreversible: {irreversible}", cause.reason);
        self.holds.convicted = Some(Held { by: cause.trigger, sentence: sentence.clone() });
        Next::Open(vec![Effect::tell(Kind::Irreversible, &cause.actor, sentence)])
    }

    pub(super) fn progress(&mut self, plan: &Plan, now: Duration) -> Next {
        match plan.progress_deadline {
            Some(deadline) if self.baked(now) >= deadline => {
                let reason = format!("{} has made no progress for {}", self.place(Some(plan)), duration(deadline));
                self.give_up(PROGRESS_DEADLINE, reason, Some(plan), now)
            }
            Some(_) | None => Next::Open(vec![]),
        }
    }

    pub(super) fn low_traffic(&mut self, sentence: &str, plan: Option<&Plan>, now: Duration) -> Next {
        let reason = format!("{} is over without enough evidence: {sentence}", self.place(plan));
        self.give_up(LOW_TRAFFIC, reason, plan, now)
    }

    /// Rolls back; a release that is irreversible has the time of its stage again once an operator goes on.
    pub(super) fn give_up(&mut self, trigger: &str, reason: String, plan: Option<&Plan>, now: Duration) -> Next {
        self.clock = Clock::start(now);
        self.convict(Cause { trigger: trigger.to_owned(), reason, actor: PLAN.to_owned() }, plan)
    }
}

/// What an operator rolls back for; of a release that is irreversible only when that has been acknowledged.
pub(in crate::release) fn withdraw(
    epoch: Epoch,
    actor: String,
    reason: &str,
    acknowledged: Acknowledged,
    plan: Option<&Plan>,
) -> Result<Cause, Refusal> {
    match (irreversible(plan), acknowledged) {
        (Some(reason), Acknowledged::No) => Err(Refusal::Irreversible { epoch, reason: reason.to_owned() }),
        (Some(_), Acknowledged::Yes) | (None, _) => Ok(Cause::by_hand(actor, reason)),
    }
}

/// A release that is irreversible goes on to its end.
pub(super) fn supersede(epoch: Epoch, actor: String, reason: &str, plan: Option<&Plan>) -> Result<Cause, Refusal> {
    match irreversible(plan) {
        Some(reason) => Err(Refusal::Irreversible { epoch, reason: reason.to_owned() }),
        None => Ok(Cause::superseded(actor, reason)),
    }
}

pub(super) fn irreversible(plan: Option<&Plan>) -> Option<&str> {
    plan.and_then(|plan| plan.irreversible.as_deref())
}
