//! The inputs of the deciding core as the journal would keep them, and whether they give the same decisions again.

use std::time::Duration;

use portcullis::config::Config;
use portcullis::control::slots::{self, Rare, Recorded};
use portcullis::course::{Course, Input};
use portcullis::journal::Slot;
use portcullis::release::{Effect, Epoch, Kind, State};

use super::witness::{Checked, broken};

/// Everything that was recorded, release after release.
#[derive(Default)]
pub struct Recording(Vec<Entry>);

enum Entry {
    /// A release begins after this epoch.
    Begin {
        after: Epoch,
        at: Duration,
        opening: Slot,
    },
    Input(Slot),
    Decision(String),
    /// From here to the next beginning nothing is kept.
    End,
}

impl Recording {
    pub fn begin(&mut self, after: Epoch, course: &Course, now: Duration) {
        self.0.push(Entry::Begin { after, at: now, opening: slots::opening(course, now) });
    }

    pub fn input(&mut self, input: &Input<'_>, now: Duration) {
        if let Some(began) = self.began() {
            self.0.push(Entry::Input(slots::slot(input, None, now - began)));
        }
    }

    pub fn decided(&mut self, course: &Course, kind: Kind, actor: &str, sentence: &str, now: Duration) {
        if self.began().is_none() {
            return;
        }
        self.0.push(Entry::Decision(decision(course, kind, actor, sentence, now)));
        if matches!(kind, Kind::RolledBack | Kind::Completed) {
            self.end();
        }
    }

    pub fn end(&mut self) {
        self.0.push(Entry::End);
    }

    pub fn length(&self) -> usize {
        self.0.len()
    }

    /// Loses what was not durable.
    pub fn cut(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// When the release began that is being recorded.
    fn began(&self) -> Option<Duration> {
        self.0.iter().rev().find_map(|entry| match entry {
            Entry::Begin { at, .. } => Some(Some(*at)),
            Entry::End => Some(None),
            Entry::Input(_) | Entry::Decision(_) => None,
        })?
    }

    /// Gives every input to a fresh core, and returns how many decisions came out alike.
    pub fn replay(&self, config: &Config) -> Result<u64, super::witness::Violation> {
        let mut course: Option<(Course, Duration)> = None;
        let mut decided = Vec::new();
        let mut alike = 0;
        for entry in &self.0 {
            match entry {
                Entry::Begin { after, at, opening } => {
                    all_recorded(&decided)?;
                    let Config { policy, plan, .. } = config;
                    let state = State::Idle { epoch: *after };
                    let mut fresh = Course::new(policy.clone(), plan.clone(), state, *at);
                    let Recorded::Rare(Rare::Opening { blue, routes, signals, .. }) = recorded(opening) else {
                        return broken(6, "a recording does not begin with its opening".to_owned());
                    };
                    fresh.set_past(slots::evidence(&blue), slots::pasts(&routes), signals, *at);
                    course = Some((fresh, *at));
                }
                Entry::Input(slot) => {
                    all_recorded(&decided)?;
                    let Some((course, began)) = &mut course else { continue };
                    decided = decisions(course, slot, *began + slot.after)?;
                    decided.reverse();
                }
                Entry::Decision(recorded) => {
                    let replayed = decided.pop();
                    if replayed.as_ref() != Some(recorded) {
                        return broken(6, format!("a replay decides {replayed:?}, and it was {recorded}"));
                    }
                    alike += 1;
                }
                Entry::End => all_recorded(&decided)?,
            }
        }
        all_recorded(&decided)?;
        Ok(alike)
    }
}

fn all_recorded(decided: &[String]) -> Checked {
    match decided.last() {
        Some(more) => broken(6, format!("a replay decides what was never decided: {more}")),
        None => Ok(()),
    }
}

fn recorded(slot: &Slot) -> Recorded {
    slots::recorded(slot.clone()).expect("what was recorded can be read")
}

fn decisions(course: &mut Course, slot: &Slot, now: Duration) -> Result<Vec<String>, super::witness::Violation> {
    let effects = match recorded(slot) {
        Recorded::Tick { counted, health } => course.take(Input::Tick { counted: &counted, health }, now),
        Recorded::Rare(Rare::Streak(streak)) => course.take(Input::Streak(streak), now),
        Recorded::Rare(Rare::Operator(input)) => course.take(Input::Operator(input), now),
        Recorded::Rare(Rare::Answered(answered)) => course.take(Input::Answered(answered), now),
        Recorded::Rare(Rare::Signal(posted)) => course.take(Input::Signal(posted), now),
        Recorded::Rare(Rare::Counted(tick)) => course.take(Input::Counted(&slots::counted(&tick)), now),
        Recorded::Rare(Rare::Overridden(tick)) => course.take(Input::Overridden(&slots::samples(&tick)), now),
        Recorded::Rare(Rare::Mirrored(tick)) => course.take(Input::Mirrored(&slots::samples(&tick)), now),
        Recorded::Rare(Rare::Endpoint(news)) => course.take(Input::Endpoint(news), now),
        Recorded::Rare(Rare::Restarted { .. }) => course.take(Input::Restarted, now),
        Recorded::Rare(Rare::Voice(voice)) => course.take(Input::Voice(voice), now),
        Recorded::Rare(Rare::Changed(changed) | Rare::Rules { changed, .. }) => {
            course.take(Input::Changed(changed), now)
        }
        Recorded::Rare(Rare::Aftermath(_)) => Ok(Vec::new()),
        Recorded::Rare(Rare::Opening { .. }) => return broken(6, "an opening in the middle".to_owned()),
    };
    let effects = match effects {
        Ok(effects) => effects,
        Err(refusal) => return broken(6, format!("a replay is refused: {refusal}")),
    };
    let told = effects.into_iter().filter_map(|effect| match effect {
        Effect::Tell { kind, actor, sentence } => Some(decision(course, kind, &actor, &sentence, now)),
        Effect::Notify { sentence, .. } => Some(decision(course, Kind::Notified, "gate", &sentence, now)),
        _ => None,
    });
    Ok(told.collect())
}

/// Everything that the journal keeps of a decision but its time on the wall.
fn decision(course: &Course, kind: Kind, actor: &str, sentence: &str, now: Duration) -> String {
    let basis = serde_json::to_string(&course.basis()).expect("a basis is plain data");
    let (state, weight) = (course.state().name(), course.state().weight());
    format!("{now:?} {} by {actor}: {sentence}; {state} at {weight}; {basis}", kind.name())
}
