//! What is tried before a rollback, where the policy says so for a trigger: once a release, and for a set time.
//!
//! Only that trigger waits. Whatever else convicts green meanwhile rolls back at once. Whether it has helped is seen on what
//! came since, and on nothing that was counted before; too few requests are no help.

use std::time::Duration;

use super::{Course, Steps};
use crate::gate::crossing::{BlueStands, Crossing, cross};
use crate::gate::policy::First;
use crate::gate::trigger::{Span, Trigger};
use crate::gate::verdict::{self, count, describe, duration};
use crate::gate::{ByVersion, Evidence, Verdict, Window};
use crate::measure::Tick;
use crate::release::input::GATE;
use crate::release::{Effect, Kind};

/// Something that is tried, or was.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    trigger: Trigger,
    first: First,
    began: Duration,
    /// Since it began.
    counted: ByVersion<Evidence>,
    stands: Stands,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Waits,
    /// Until a whole window has come since.
    Helped,
    Over,
}

impl Course {
    /// What is done in the place of a rollback by this trigger; none where nothing is to be tried, or has been.
    pub(super) fn try_first(&mut self, trigger: &str, sentence: &str, now: Duration) -> Option<Vec<Effect>> {
        let first = self.policy.first.iter().find(|first| first.trigger == trigger)?.clone();
        if self.steps == Steps::Followed {
            // Once for all replicas, by the one that takes the steps.
            return Some(vec![]);
        }
        let trigger = self.policy.triggers.iter().find(|known| known.name == trigger)?.clone();
        if self.trials.iter().any(|trial| trial.trigger.name == trigger.name) {
            return None;
        }
        let told = format!(
            "{sentence}; {} is tried first, and if that has not helped in {}, green is rolled back",
            first.named(),
            duration(first.wait)
        );
        let effects = vec![Effect::Try { trigger: trigger.name.clone() }, Effect::tell(Kind::Trying, GATE, told)];
        let counted = ByVersion::default();
        self.trials.push(Trial { trigger, first, began: now, counted, stands: Stands::Waits });
        Some(effects)
    }

    /// One tick. Nothing is rolled back to a blue that is known to be worse.
    pub(super) fn look_at_trials(&mut self, counted: &Tick, against_blue: Option<&str>, now: Duration) -> Vec<Effect> {
        let mut effects = vec![];
        let mut trials = std::mem::take(&mut self.trials);
        for trial in &mut trials {
            trial.count(counted, now);
            if self.state.run().is_none() || against_blue.is_some() {
                continue;
            }
            match trial.look(self.windows.of(&trial.trigger), now) {
                Look::Nothing => {}
                Look::Helped(sentence) => effects.push(Effect::tell(Kind::Helped, GATE, sentence)),
                Look::Convicts(sentence) => effects.extend(self.convict(trial.trigger.name.clone(), sentence, now)),
            }
        }
        self.trials = trials;
        effects
    }

    /// What is waited for holds the plan and convicts nobody yet.
    pub(super) fn trying(&self, verdict: Verdict) -> Verdict {
        let trial = self.trials.iter().find(|trial| trial.stands == Stands::Waits);
        match trial.filter(|_| verdict.kind == verdict::Kind::Fail && self.state.run().is_some()) {
            Some(trial) => Verdict::wait(format!("{}; {} is tried first", verdict.sentence, trial.first.named())),
            None => verdict,
        }
    }
}

/// What one look at a trial comes to.
enum Look {
    Nothing,
    Helped(String),
    Convicts(String),
}

impl Trial {
    /// What came with the tick in which it began was before it.
    fn count(&mut self, Tick { samples, .. }: &Tick, now: Duration) {
        if self.stands == Stands::Over || now == self.began {
            return;
        }
        for (sum, sample) in [(&mut self.counted.blue, &samples.blue), (&mut self.counted.green, &samples.green)] {
            let evidence = &sample.evidence;
            sum.requests += evidence.requests;
            sum.failures += evidence.failures;
            sum.latency.add(match self.trigger.condition.span() {
                Span::Head => &evidence.latency,
                Span::Whole => &sample.whole,
            });
        }
    }

    /// `window` is what the trigger is judged on.
    fn look(&mut self, window: Window<'_>, now: Duration) -> Look {
        let waited = now - self.began;
        let is_whole = waited >= self.first.wait + self.trigger.window;
        if self.stands == Stands::Over || waited < self.first.wait {
            return Look::Nothing;
        }
        let since = Window::from(self.counted.as_ref());
        let window = if is_whole { window } else { since };
        let seen = describe(&self.trigger, window.total);
        let (what, time) = (self.first.named(), duration(Duration::from_secs(waited.as_secs())));
        match (cross(&self.trigger, window), self.stands) {
            (Crossing::Crossed { blue: BlueStands::Clear | BlueStands::Near, .. }, _) => {
                self.stands = Stands::Over;
                Look::Convicts(format!("{seen}; {what} was tried {time} before, and has not helped"))
            }
            // Blue crosses it as well: the cause is common, and the gate freezes.
            (Crossing::Crossed { blue: BlueStands::Over | BlueStands::Doubtful, .. }, _) => Look::Nothing,
            (Crossing::TooFew { version, seen }, Stands::Waits) => {
                self.stands = Stands::Over;
                let seen = if seen == 1 { "one request".to_owned() } else { format!("{} requests", count(seen)) };
                Look::Convicts(format!(
                    "{what} was tried {time} before, and {version} had {seen} since, too few to say that it has helped"
                ))
            }
            (Crossing::Within, Stands::Waits) => {
                self.stands = Stands::Helped;
                Look::Helped(format!("{what} has helped: since it was tried {time} before, {seen}"))
            }
            (Crossing::Within | Crossing::TooFew { .. }, Stands::Helped | Stands::Over) => {
                if is_whole {
                    self.stands = Stands::Over;
                }
                Look::Nothing
            }
        }
    }
}

impl First {
    fn named(&self) -> String {
        let names: Vec<String> = self.run.iter().map(|name| format!("`{name}`")).collect();
        names.join(" and ")
    }
}

#[cfg(test)]
mod tests;
