//! What a policy decides on the recorded inputs of a release. Pure.
//!
//! With the policy that the release was run by, the decisions come out as they were, to the last bit. With another one
//! they are what it would have decided on the same traffic: the traffic that the release got at its own weights.
//!
//! Absent: the order of single requests. What a worker's failure streak found is taken as it was recorded, so another
//! `atLeast` cannot be tried out.

mod difference;

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::config::{self, Faults, References, Rules};
use crate::control::restore::{shown, under};
use crate::control::slots::{self, Rare, Recorded};
use crate::course::{Course, Input};
use crate::journal::{ReleaseRecord, Slot};
use crate::measure::{RouteTicks, Tick};
use crate::release::input::GATE;
use crate::release::{Effect, Epoch, Gates, Kind, Planned, Run, State};

/// One release that is played again.
#[derive(Debug)]
pub struct Replay {
    by: By,
    epoch: Epoch,
    stage: Stage,
    /// What was learnt of routes before the release.
    learnt: Vec<String>,
    /// Whether the routes are those that were counted by.
    routes: RoutesAre,
    decided: Vec<Decided>,
    remarks: Vec<Remark>,
    /// Of the last input, since the release began.
    last: Duration,
}

/// Whose rules decide.
#[derive(Debug)]
enum By {
    /// Those of the release; what was changed in a restart holds from there on.
    Recorded(Rules),
    Another(Rules),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RoutesAre {
    AsCounted,
    Others,
}

#[derive(Debug)]
enum Stage {
    /// Before the opening.
    Waiting,
    Running {
        course: Box<Course>,
        began: Duration,
    },
    Ended,
}

/// A decision, as far as it has to come out alike.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    #[serde(rename = "afterSeconds", serialize_with = "seconds")]
    pub after: Duration,
    pub kind: String,
    pub actor: String,
    pub sentence: String,
    pub state: String,
    /// Basis points.
    pub weight: u16,
    pub evidence: Value,
}

/// What another policy made of an input that meant something in the release.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Remark {
    #[serde(rename = "afterSeconds", serialize_with = "seconds")]
    pub after: Duration,
    pub sentence: String,
}

/// What came of a replay.
#[derive(Debug)]
pub struct Replayed {
    pub decided: Vec<Decided>,
    pub remarks: Vec<Remark>,
    /// How long the evidence is.
    pub last: Duration,
}

/// Why a release cannot be played again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("the evidence does not begin with the beginning of the release")]
    NoOpening,
    #[error("the evidence holds an input that this program does not know: {0}")]
    UnknownInput(#[from] serde_json::Error),
    #[error("the recorded configuration is not one of this program's: {0}")]
    Configuration(Faults),
    #[error("epoch 0 is no release")]
    NoRelease,
}

impl Replay {
    /// By the rules that the release was run by.
    pub fn recorded(release: &ReleaseRecord) -> Result<Replay, ReplayError> {
        Replay::new(By::Recorded(rules(&release.policy)?), release)
    }

    pub fn another(rules: Rules, release: &ReleaseRecord) -> Result<Replay, ReplayError> {
        let counted = self::rules(&release.policy).map(|rules| rules.policy.routes).unwrap_or_default();
        let alike = rules.policy.routes.numbered().eq(counted.numbered())
            && counted.numbered().all(|number| rules.policy.routes.name(number) == counted.name(number));
        let mut replay = Replay::new(By::Another(rules), release)?;
        if !alike {
            replay.routes = RoutesAre::Others;
            let sentence = "the routes are not those that were counted by, so none is judged by itself".to_owned();
            replay.remark(Duration::ZERO, sentence);
        }
        Ok(replay)
    }

    fn new(by: By, release: &ReleaseRecord) -> Result<Replay, ReplayError> {
        let epoch = Epoch::from(release.header.epoch);
        if epoch == Epoch::default() {
            return Err(ReplayError::NoRelease);
        }
        let (decided, remarks) = (Vec::new(), Vec::new());
        let routes = RoutesAre::AsCounted;
        Ok(Replay {
            by,
            epoch,
            stage: Stage::Waiting,
            learnt: Vec::new(),
            routes,
            decided,
            remarks,
            last: Duration::ZERO,
        })
    }

    /// Takes the next slot; slots come in their order. After the end of the release they change nothing.
    pub fn take(&mut self, slot: Slot) -> Result<(), ReplayError> {
        let (after, recorded) = (slot.after, slots::recorded(slot)?);
        if !matches!(recorded, Recorded::Rare(Rare::Aftermath(_))) {
            self.last = after;
        }
        match (recorded, &self.stage) {
            (
                Recorded::Rare(Rare::Opening { began_nanos, blue, routes, learnt, signals, own_plan, gates, voice }),
                Stage::Waiting,
            ) => {
                let began = Duration::from_nanos(began_nanos);
                self.learnt = learnt;
                let Rules { plan, .. } = self.by.rules().clone();
                let policy = self.by.rules().policy_of(&self.learnt);
                let idle = State::Idle { epoch: Epoch::from(self.epoch.number() - 1) };
                let asked = match &self.by {
                    By::Recorded(_) => gates,
                    By::Another(_) => self.ask_nothing(gates),
                };
                let planned = match (&self.by, own_plan) {
                    (By::Recorded(_), Some(own)) => Planned::Own(*own),
                    (By::Recorded(_), None) | (By::Another(_), _) => Planned::Configured(plan),
                };
                let mut course = Course::new(policy, planned.with_gates(asked), idle, began);
                let routes = if self.routes == RoutesAre::AsCounted { routes } else { Vec::new() };
                course.take(Input::Voice(voice), began).expect("no operator asks for it");
                course.set_past(slots::evidence(&blue), slots::pasts(&routes), signals, began);
                self.stage = Stage::Running { course: Box::new(course), began };
            }
            (Recorded::Rare(Rare::Opening { .. }), _) | (_, Stage::Waiting) => return Err(ReplayError::NoOpening),
            (_, Stage::Ended) | (Recorded::Rare(Rare::Aftermath(_)), _) => {}
            (Recorded::Tick { mut counted, health }, _) => {
                self.without_other_routes(&mut counted);
                self.feed(Input::Tick { counted: &counted, health }, after);
            }
            (Recorded::Rare(Rare::Operator(input)), _) => self.feed(Input::Operator(input), after),
            (Recorded::Rare(Rare::Answered(answered)), _) => self.feed(Input::Answered(answered), after),
            (Recorded::Rare(Rare::Counted(tick)), _) => {
                let mut counted = slots::counted(&tick);
                self.without_other_routes(&mut counted);
                self.feed(Input::Counted(&counted), after);
            }
            (Recorded::Rare(Rare::Overridden(tick)), _) => {
                self.feed(Input::Overridden(&slots::samples(&tick)), after);
            }
            (Recorded::Rare(Rare::Mirrored(tick)), _) => self.feed(Input::Mirrored(&slots::samples(&tick)), after),
            (Recorded::Rare(Rare::Signal(posted)), _) => self.feed(Input::Signal(posted), after),
            (Recorded::Rare(Rare::Endpoint(news)), _) => self.feed(Input::Endpoint(news), after),
            (Recorded::Rare(Rare::Streak(streak)), _) => {
                if self.by.rules().policy.streak.is_none() {
                    self.remark(
                        after,
                        "a worker saw a failure streak, for which this policy has no trigger".to_owned(),
                    );
                }
                self.feed(Input::Streak(streak), after);
            }
            (Recorded::Rare(Rare::Voice(voice)), _) => self.feed(Input::Voice(voice), after),
            (Recorded::Rare(Rare::Changed(changed)), _) => self.feed(Input::Changed(changed), after),
            (Recorded::Rare(Rare::Rules { configuration, changed }), _) => match &self.by {
                By::Recorded(begun_by) => {
                    let policy = match configuration.as_str() {
                        "" => begun_by.policy_of(&self.learnt),
                        changed => rules(changed)?.policy_of(&self.learnt),
                    };
                    self.feed(Input::Rules { policy: Box::new(policy), changed }, after);
                }
                By::Another(_) => self.feed(Input::Changed(changed), after),
            },
            (Recorded::Rare(Rare::Restarted { configuration }), _) => {
                self.restart(configuration.as_deref(), after)?;
                self.feed(Input::Restarted, after);
            }
        }
        Ok(())
    }

    /// Under another policy questions come at other times, which nobody has answered.
    fn ask_nothing(&mut self, asked: Gates) -> Gates {
        if !asked.none() {
            let sentence = "nobody is asked before the release goes on: its gates pass".to_owned();
            self.remark(Duration::ZERO, sentence);
        }
        Gates::default()
    }

    fn without_other_routes(&self, counted: &mut Tick) {
        if self.routes == RoutesAre::Others {
            counted.routes = RouteTicks::default();
        }
    }

    /// Ends the replay.
    pub fn finish(self) -> Replayed {
        Replayed { decided: self.decided, remarks: self.remarks, last: self.last }
    }

    fn feed(&mut self, input: Input<'_>, after: Duration) {
        let Stage::Running { course, began } = &mut self.stage else { return };
        let effects = match course.take(input, *began + after) {
            Ok(effects) => effects,
            Err(refusal) => {
                self.remark(after, format!("what an operator asked for would have been refused: {refusal}"));
                return;
            }
        };
        for effect in effects {
            let (kind, actor, sentence) = match effect {
                Effect::Tell { kind, actor, sentence } => (kind, actor, sentence),
                Effect::Notify { sentence, .. } => (Kind::Notified, GATE.to_owned(), sentence),
                Effect::Latch { .. }
                | Effect::Revert { .. }
                | Effect::Route { .. }
                | Effect::TakeBack { .. }
                | Effect::Complete { .. }
                | Effect::Ask(_)
                | Effect::Try { .. }
                | Effect::Begin { .. } => continue,
            };
            let state = course.state();
            self.decided.push(Decided {
                after,
                kind: kind.name().to_owned(),
                actor,
                sentence,
                state: state.name().to_owned(),
                weight: state.weight().basis_points(),
                evidence: serde_json::to_value(course.basis()).expect("a basis is plain data"),
            });
        }
        if course.state().run().is_none() {
            self.stage = Stage::Ended;
        }
    }

    /// What a restart leaves of the deciding core: its state, under the rules of from then on.
    fn restart(&mut self, configuration: Option<&str>, after: Duration) -> Result<(), ReplayError> {
        // A process that starts has learnt nothing yet.
        self.learnt.clear();
        let Stage::Running { course, began } = &mut self.stage else { return Ok(()) };
        let now = *began + after;
        let Rules { policy, plan, .. } = match (&self.by, configuration) {
            (By::Recorded(_), Some(changed)) => rules(changed)?,
            (By::Recorded(rules) | By::Another(rules), _) => rules.clone(),
        };
        let gates = course.plan().map(|plan| plan.gates).unwrap_or_default();
        let planned = course.planned().own().cloned().map_or(Planned::Configured(plan), Planned::Own).with_gates(gates);
        let state = match course.state() {
            State::Open(run) => {
                let (stage, holds) = under(planned.plan(), run.stage, run.holds.clone(), &shown(course.plan()));
                State::Open(Run::restored(run.epoch, stage, run.weight, holds, run.waited(now), now))
            }
            state @ (State::Idle { .. } | State::Completed { .. } | State::RolledBack { .. }) => state.clone(),
        };
        let exposed = course.exposed();
        **course = Course::new(policy, planned, state, now);
        course.set_exposed(exposed);
        Ok(())
    }

    fn remark(&mut self, after: Duration, sentence: String) {
        self.remarks.push(Remark { after, sentence });
    }
}

impl By {
    const fn rules(&self) -> &Rules {
        match self {
            By::Recorded(rules) | By::Another(rules) => rules,
        }
    }
}

fn rules(text: &str) -> Result<Rules, ReplayError> {
    config::parse_rules(text, "the recorded configuration", References::Text).map_err(ReplayError::Configuration)
}

fn seconds<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(duration.as_secs_f64())
}

#[cfg(test)]
mod tests;
