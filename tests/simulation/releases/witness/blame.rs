//! Promises 4 and 5: green pays for what green did, at last, and for nothing else.

use std::time::Duration;

use portcullis::course::Course;
use portcullis::gate::trigger::{Cadence, Condition, Confirm};
use portcullis::gate::{Action, Trigger};
use portcullis::release::input::{
    APPROVAL_DEADLINE, COMPARISON, GATE, LOW_TRAFFIC, PLAN, PROGRESS_DEADLINE, UNRESOLVED,
};
use portcullis::release::{Cause, OnLowTraffic, Otherwise, Plan, Weight};

use super::super::scenario::Kind as Scene;
use super::counts::{Tally, Window, measured, over};
use super::{Checked, Witness, broken};

/// Why a bound of the user's blamed green for an outage of both versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unjust {
    /// There were few requests.
    Chance,
    /// There were few since the weight had changed.
    Shifted,
    /// At 100 % nobody knows how blue would have done.
    Blind,
}

/// With more requests than this chance makes no difference between two versions that are alike.
const MANY: u64 = 500;

/// What a histogram may be wrong by, at the most.
const CLEARLY: f64 = 2.0;

impl Witness<'_> {
    pub fn streak_convicted(&self, at: Duration) -> Checked {
        let Some(streak) = &self.scenario.policy.streak else { return broken(5, "there is no streak".to_owned()) };
        let rows = self.in_a_row;
        if rows.green < streak.at_least {
            return broken(4, format!("at {at:?} the streak convicted green for {} failures", rows.green));
        }
        if !self.witnessed || rows.blue >= streak.at_least {
            return broken(5, format!("at {at:?} the streak convicted green while blue failed {}", rows.blue));
        }
        Ok(())
    }

    pub(super) fn rolled_back(&mut self, cause: &Cause, now: Duration) -> Checked {
        if cause.actor != GATE && cause.actor != PLAN {
            return Ok(());
        }
        let Cause { trigger: name, reason, .. } = cause;
        if self.scenario.is_irreversible() {
            return broken(5, format!("at {now:?} an irreversible release was rolled back: {reason}"));
        }
        let policy = &self.scenario.policy;
        if let Some(trigger) = policy.triggers.iter().find(|trigger| trigger.name == *name) {
            self.to_better_blue(reason, now)?;
            return self.bound(&trigger.clone(), reason, now);
        }
        let health = self.scenario.health(now);
        let plan = self.scenario.plan.as_ref();
        match name.as_str() {
            COMPARISON | UNRESOLVED => {
                if self.is_null() {
                    self.false_alarms.push(format!("{name}: {reason}"));
                }
                Ok(())
            }
            "dead" if self.scenario.is_common() => {
                self.unjust.push(Unjust::Chance);
                Ok(())
            }
            "dead" if self.is_null() => broken(4, format!("at {now:?} a streak of a good green: {reason}")),
            "dead" => Ok(()),
            "dead-checks" if self.scenario.kind != Scene::ChecksFail => {
                broken(5, format!("at {now:?} health checks blamed green: {reason}; {health:?}"))
            }
            "dead-checks" => self.to_better_blue(reason, now),
            "synthetic" => match self.firing {
                Some(since) if since >= self.begun => self.to_better_blue(reason, now),
                since => broken(4, format!("at {now:?} the signal fires since {since:?}: {reason}")),
            },
            LOW_TRAFFIC if plan.is_some_and(|plan| plan.on_low_traffic == OnLowTraffic::Rollback) => Ok(()),
            PROGRESS_DEADLINE => match plan.and_then(|plan| plan.progress_deadline) {
                Some(deadline) if self.baked >= deadline => Ok(()),
                deadline => broken(3, format!("at {now:?} {:?} of {deadline:?} had passed", self.baked)),
            },
            APPROVAL_DEADLINE if !self.approved && plan.is_some_and(may_miss_an_approval) => Ok(()),
            other => broken(5, format!("at {now:?} rolled back by `{other}`: {reason}")),
        }
    }

    /// A bound of the user's blamed green.
    fn bound(&mut self, trigger: &Trigger, reason: &str, now: Duration) -> Checked {
        let Window { surely, at_most } = self.counts.window(trigger.window, now);
        let name = &trigger.name;
        if trigger.action != Action::Rollback {
            return broken(5, format!("at {now:?} `{name}` only {:?}: {reason}", trigger.action));
        }
        if self.is_null() && !self.scenario.is_common() {
            return broken(4, format!("at {now:?} a good green was blamed: {reason}"));
        }
        if is_plain(trigger) {
            let green = Tally { failures: at_most.green.failures, slow: at_most.green.slow, ..surely.green };
            if !over(trigger, green) {
                return broken(4, format!("at {now:?} `{name}` blamed green for {:?}: {reason}", at_most.green));
            }
            let enough = surely.blue.requests >= trigger.minimum_requests;
            if enough && over(trigger, surely.blue) && over(trigger, at_most.blue) {
                return broken(5, format!("at {now:?} `{name}` blamed green while blue had {:?}", at_most.blue));
            }
        }
        if self.scenario.is_common() {
            let at_this_weight = (now - self.weighed).min(trigger.window);
            let both = self.counts.window(at_this_weight, now).surely;
            if both.blue.requests.min(both.green.requests) >= MANY {
                return broken(5, format!("at {now:?} `{name}` blamed green for a common outage: {reason}"));
            }
            let unjust = match self.before.0 {
                Weight::FULL => Unjust::Blind,
                _ if at_this_weight < trigger.window => Unjust::Shifted,
                _ => Unjust::Chance,
            };
            self.unjust.push(unjust);
        }
        Ok(())
    }

    /// Nothing that is told or measured by a bound flips traffic into a blue that fails more.
    fn to_better_blue(&self, reason: &str, now: Duration) -> Checked {
        for trigger in &self.scenario.policy.triggers {
            let Condition::FailuresAbove { .. } = trigger.condition else { continue };
            let Window { surely, at_most } = self.counts.window(trigger.window, now);
            let blue = Tally { requests: at_most.blue.requests, ..surely.blue };
            let green = Tally { requests: surely.green.requests, ..at_most.green };
            let enough = surely.blue.requests >= trigger.minimum_requests;
            if enough && over(trigger, blue) && rate(blue) > rate(green) {
                return broken(5, format!("at {now:?} traffic was flipped to a blue with {blue:?}: {reason}"));
            }
        }
        Ok(())
    }

    /// A tick has been judged: where green alone has been over a bound for as long as that asks, all traffic is back.
    pub fn judged(&mut self, course: &Course, now: Duration) -> Checked {
        if self.scenario.is_irreversible() || course.state().run().is_none() {
            self.guilty.clear();
            return Ok(());
        }
        for trigger in self.scenario.policy.triggers.iter().filter(|trigger| is_plain(trigger)) {
            let name = trigger.name.as_str();
            if trigger.action != Action::Rollback || !self.is_guilty(trigger, now) {
                self.guilty.remove(name);
                continue;
            }
            let since = *self.guilty.entry(name).or_insert(now);
            if now - since >= trigger.sustained.max(trigger.window) {
                return broken(
                    4,
                    format!("at {now:?} green is over the bound of `{name}` since {since:?}, unpunished"),
                );
            }
        }
        Ok(())
    }

    /// Whether green alone is over the bound, wherever the edge of the window lies.
    fn is_guilty(&self, trigger: &Trigger, now: Duration) -> bool {
        let Window { surely, at_most } = self.counts.window(trigger.window, now);
        let (Some(most), Some(least)) = (measured(trigger, at_most.green), measured(trigger, surely.green)) else {
            return false;
        };
        let ((_, most_units, allowed), (bad, units, _)) = (most, least);
        let blue_is_clean = self.scenario.policy.triggers.iter().all(|trigger| {
            let Window { surely, at_most } = self.counts.window(trigger.window, now);
            let (bad, _, allowed) = measured(trigger, at_most.blue).unwrap_or_default();
            let (_, units, _) = measured(trigger, surely.blue).unwrap_or_default();
            CLEARLY * bad <= allowed * units
        });
        units >= trigger.minimum_requests as f64 && bad > CLEARLY * allowed * most_units && blue_is_clean
    }

    pub(super) fn blamed_by_comparison(&mut self, sentence: &str, course: &Course) {
        let held = course.state().run().and_then(|run| run.holds.convicted.as_ref());
        if self.is_null() && held.is_some_and(|held| [COMPARISON, UNRESOLVED].contains(&held.by.as_str())) {
            self.false_alarms.push(sentence.to_owned());
        }
    }
}

/// Whether the trigger judges at every tick, and by itself, against a bound of its own.
fn is_plain(trigger: &Trigger) -> bool {
    let absolute =
        !matches!(trigger.condition, Condition::FailuresAboveBlue { .. } | Condition::LatencyAboveBlue { .. });
    absolute && trigger.cadence == Cadence::EveryTick && trigger.confirm == Confirm::No
}

fn rate(tally: Tally) -> f64 {
    if tally.failures == 0 { 0.0 } else { tally.failures as f64 / tally.requests.max(1) as f64 }
}

/// Whether one of its steps rolls back when nobody approves it in time.
fn may_miss_an_approval(plan: &Plan) -> bool {
    let mut deadlines = plan.steps.iter().filter_map(|step| step.approval.deadline());
    deadlines.any(|deadline| deadline.otherwise == Otherwise::Rollback)
}
