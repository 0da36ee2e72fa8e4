//! The consent of a person that ends a step: how it is asked for and given, and what comes when nobody gives it in time.
//!
//! The time counts from the moment it is first asked for in a step, and goes on over a restart, also while the bake that
//! begins anew then lasts: no number of restarts puts it off. It stands still while anything else holds the release.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Next, Run, Stage};
use crate::gate::verdict::duration;
use crate::release::clock::Clock;
use crate::release::effect::{Effect, Kind};
use crate::release::input::{APPROVAL_DEADLINE, Cause, Held, PLAN, Refusal, because};
use crate::release::plan::{Deadline, Otherwise, Plan};

/// How the approval stands that ends a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Consent {
    NotNeeded,
    /// The bake is not over.
    Open,
    /// The bake is over, and the release waits for an operator.
    Asked,
    Given,
}

/// An approval that is waited for, and not without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    pub left: Duration,
    pub otherwise: Otherwise,
}

impl Run {
    /// How long this step's approval has been asked for; none before that, or when it may be asked for without end.
    pub fn waited(&self, now: Duration) -> Option<Duration> {
        self.asked.map(|asked| asked.elapsed(now))
    }

    pub fn awaited(&self, plan: Option<&Plan>, now: Duration) -> Option<Awaited> {
        let Deadline { within, otherwise } = self.deadline(plan)?;
        Some(Awaited { left: within.saturating_sub(self.waited(now)?), otherwise })
    }

    pub(super) fn asks(&self) -> bool {
        matches!(self.stage, Stage::Step { consent: Consent::Asked, .. })
    }

    /// The bake is over.
    pub(super) fn ask(&mut self, index: usize, plan: &Plan, now: Duration) -> Vec<Effect> {
        self.stage = Stage::Step { index, consent: Consent::Asked };
        let sentence = match self.deadline(Some(plan)) {
            None => AWAITS_APPROVAL.to_owned(),
            Some(Deadline { within, otherwise }) => {
                let waited = self.asked.get_or_insert(Clock::start(now)).elapsed(now);
                let time = match waited {
                    Duration::ZERO => format!("within {}", duration(within)),
                    waited => format!("in the {} that are left", duration(in_short(within.saturating_sub(waited)))),
                };
                let comes = match otherwise {
                    Otherwise::Pause => "the release is paused",
                    Otherwise::Rollback => "it is rolled back",
                };
                format!("{AWAITS_APPROVAL}; without one {time} {comes}")
            }
        };
        vec![Effect::tell(Kind::AwaitingApproval, PLAN, sentence)]
    }

    /// Also when it comes too late: what held the release for want of it alone holds it no longer.
    pub(super) fn approve(&mut self, actor: &str, reason: &str) -> Result<Vec<Effect>, Refusal> {
        if let Some(overridden) = self.override_gate(actor, reason) {
            return overridden;
        }
        match &mut self.stage {
            Stage::Step { consent: consent @ (Consent::Open | Consent::Asked), .. } => {
                *consent = Consent::Given;
                self.asked = None;
                self.holds.approved();
                let sentence = because(format!("approved by {actor}"), reason);
                Ok(vec![Effect::tell(Kind::Approved, actor, sentence)])
            }
            Stage::Step { consent: Consent::NotNeeded | Consent::Given, .. }
            | Stage::Manual
            | Stage::Delay
            | Stage::Exposing
            | Stage::Monitoring => Err(Refusal::NothingToApprove { epoch: self.epoch }),
        }
    }

    /// What comes when nobody has approved in time; none while there is time. Whoever then goes on without an approval gives
    /// as much time again.
    pub(super) fn overdue(&mut self, plan: Option<&Plan>, now: Duration) -> Option<Next> {
        let Deadline { within, otherwise } = self.deadline(plan)?;
        if self.waited(now)? < within {
            return None;
        }
        self.asked = Some(Clock::start(now));
        let place = self.place(plan);
        let sentence = format!("nobody approved {place} ({}) within {}", self.weight, duration(within));
        let by = APPROVAL_DEADLINE.to_owned();
        Some(match otherwise {
            Otherwise::Rollback => self.convict(Cause { trigger: by, reason: sentence, actor: PLAN.to_owned() }, plan),
            Otherwise::Pause => {
                self.holds.paused = Some(Held { by, sentence: sentence.clone() });
                Next::Open(vec![Effect::tell(Kind::Paused, PLAN, sentence)])
            }
        })
    }

    fn deadline(&self, plan: Option<&Plan>) -> Option<Deadline> {
        match self.stage {
            Stage::Step { index, .. } => plan?.steps[index].approval.deadline(),
            Stage::Manual | Stage::Delay | Stage::Exposing | Stage::Monitoring => None,
        }
    }
}

/// Without what nobody reads.
fn in_short(time: Duration) -> Duration {
    let seconds = time.as_secs();
    match seconds {
        0..10 => time,
        10..3600 => Duration::from_secs(seconds),
        _ => Duration::from_secs(seconds / 60 * 60),
    }
}

pub const AWAITS_APPROVAL: &str = "the bake is over, and the step waits for an approval";

#[cfg(test)]
mod tests;
