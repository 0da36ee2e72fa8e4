//! Promise 3: the plan goes on by itself only after the bake and on enough of green, and skips nothing.

use std::time::Duration;

use portcullis::course::Course;
use portcullis::gate::{Action, Kind as VerdictKind};
use portcullis::release::{Approval, Kind, OnLowTraffic, Plan, Stage, State, Weight};

use super::{Checked, Witness, broken};

/// Where in its plan a release is, by what was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Nowhere,
    Manual,
    Delay,
    Step(usize),
    Monitoring,
}

/// Without a trigger on a window green has to show so much at a weight: fewer cannot make up odds of 20 against 5 %.
const SHOWN: u64 = 50;

/// A version is called silent after this long at the latest.
const SILENT_AFTER: Duration = Duration::from_secs(900);

impl Place {
    pub fn of(state: &State) -> Place {
        match state {
            State::Open(run) => match run.stage {
                Stage::Manual => Place::Manual,
                Stage::Delay => Place::Delay,
                Stage::Step { index, .. } => Place::Step(index),
                Stage::Monitoring => Place::Monitoring,
                Stage::Exposing => Place::Nowhere,
            },
            State::Idle { .. } | State::Completed { .. } | State::RolledBack { .. } => Place::Nowhere,
        }
    }

    /// How long the plan stays here, and where it goes then.
    fn next(self, plan: &Plan) -> Option<(Duration, Place)> {
        Some(match self {
            Place::Delay if plan.steps.is_empty() => (plan.initial_delay, Place::Monitoring),
            Place::Delay => (plan.initial_delay, Place::Step(0)),
            Place::Step(index) if index + 1 < plan.steps.len() => (plan.steps[index].bake, Place::Step(index + 1)),
            Place::Step(index) => (plan.steps[index].bake, Place::Monitoring),
            Place::Monitoring => (plan.monitoring, Place::Nowhere),
            Place::Nowhere | Place::Manual => return None,
        })
    }
}

impl Witness<'_> {
    /// The plan has gone on by itself.
    pub(super) fn advanced(&mut self, course: &Course, kind: Kind, now: Duration) -> Checked {
        let Some(plan) = &self.scenario.plan else {
            // Without a plan it is only an operator's promotion that completes by itself.
            return if kind == Kind::Completed {
                self.earned(course, OnLowTraffic::Wait, kind, now)
            } else {
                broken(3, "no plan".to_owned())
            };
        };
        let Some((needed, next)) = self.place.next(plan) else {
            return broken(3, format!("at {now:?} a plan goes on from {:?}", self.place));
        };
        let reached = match (kind, course.state()) {
            (Kind::Completed, State::Completed { .. }) => Place::Nowhere,
            (_, State::Open(run)) => match run.stage {
                Stage::Step { index, .. } if run.weight == plan.steps[index].weight => Place::Step(index),
                Stage::Monitoring if run.weight == Weight::FULL => Place::Monitoring,
                _ => return broken(3, format!("at {now:?} {:?} at {}", run.stage, run.weight)),
            },
            (_, state) => return broken(3, format!("at {now:?} the plan came to {state:?}")),
        };
        if reached != next {
            return broken(3, format!("at {now:?} the plan went from {:?} to {reached:?}", self.place));
        }
        if self.baked < needed {
            return broken(3, format!("at {now:?} {:?} baked {:?} of {needed:?}", self.place, self.baked));
        }
        if let Place::Step(index) = self.place
            && plan.steps[index].approval != Approval::Automatic
            && !self.approved
        {
            return broken(3, format!("at {now:?} {:?} ended without an approval", self.place));
        }
        self.let_past(next, now)?;
        if self.place != Place::Delay {
            self.earned(course, plan.on_low_traffic, kind, now)?;
        }
        (self.place, self.baked, self.approved) = (reached, Duration::ZERO, false);
        Ok(())
    }

    /// Whether there was enough of green to go on by.
    fn earned(&self, course: &Course, on_low_traffic: OnLowTraffic, kind: Kind, now: Duration) -> Checked {
        if on_low_traffic == OnLowTraffic::Pass {
            return Ok(());
        }
        if kind != Kind::Completed && course.verdict().kind != VerdictKind::Pass {
            return broken(3, format!("at {now:?} the plan went on with the verdict {:?}", course.verdict()));
        }
        for trigger in self.scenario.policy.triggers.iter().filter(|trigger| trigger.action != Action::Notify) {
            let green = self.counts.window(trigger.window, now).at_most.green;
            let seen = green.requests.max(green.timed);
            if seen < trigger.minimum_requests {
                return broken(3, format!("at {now:?} the plan went on with {seen} requests for `{}`", trigger.name));
            }
        }
        if self.scenario.policy.compare.is_some() {
            let (heard, (_, shown)) = (now - self.green_heard, self.before);
            if shown < SHOWN || heard > SILENT_AFTER + self.scenario.tick {
                return broken(3, format!("at {now:?} the plan went on with {shown} requests, the last {heard:?} ago"));
            }
        }
        Ok(())
    }
}
