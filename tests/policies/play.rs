//! Plays scripted traffic to the deciding core under one policy, and tells what became of the release.

use std::path::Path;
use std::time::Duration;

use portcullis::config::{self, Config, Environment, Runbook};
use portcullis::course::{self, Course, Input, StreakFound};
use portcullis::gate::signal::{Posted, Posting};
use portcullis::gate::streak::{Answer, Routed, Rule, Signal, Streak};
use portcullis::gate::{ByVersion, Charge, Health, Version};
use portcullis::measure::Tick;
use portcullis::release::effect::{Effect, Kind};
use portcullis::release::{self, Epoch, Refusal, State};

use super::services::{HIDDEN, SECRETS};

const TICK: Duration = Duration::from_secs(1);

/// What a release has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By this trigger.
    RolledBack(String),
    /// Held by this trigger, until somebody has looked.
    Paused(String),
    /// By this trigger, which would have rolled back if that did no harm.
    Halted(String),
    /// Nobody is blamed.
    Frozen,
    /// Nothing has happened that the plan does not do by itself.
    GoesOn,
    Completed,
}

/// How one version behaves.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    pub per_second: u64,
    /// Spread evenly.
    pub failing: f64,
    pub millis: u64,
    /// This share of the answers takes `slow_millis` instead.
    pub slow: f64,
    pub slow_millis: u64,
    /// What its health checks say.
    pub failed_checks: u32,
}

/// One release under a policy.
pub struct Play {
    config: Config,
    course: Course,
    now: Duration,
    streak: Streak,
    dealt: ByVersion<Dealt>,
    told: Vec<Kind>,
    /// What blue does from now on.
    pub blue: Traffic,
    pub green: Traffic,
}

/// What a version has been dealt so far; failures and slow answers are spread evenly over it.
#[derive(Clone, Copy, Default)]
struct Dealt {
    failures: f64,
    slow: f64,
}

pub const WELL: Traffic =
    Traffic { per_second: 100, failing: 0.0, millis: 10, slow: 0.0, slow_millis: 0, failed_checks: 0 };

impl Play {
    /// A release that has just been started under a file of deploy/policies, with both versions well.
    pub fn of(file: &str) -> Play {
        Play::with(file, |text| text)
    }

    /// As [`Play::of`], with the file's text changed.
    pub fn with(file: &str, change: impl FnOnce(String) -> String) -> Play {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policies").join(file);
        let text = change(config::read_text(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        let secrets = Environment::from_iter(SECRETS.into_iter().chain(HIDDEN));
        let config = config::parse(&text, file, Path::new(""), &secrets).unwrap_or_else(|faults| panic!("{faults}"));
        let now = Duration::from_secs(1_000);
        let idle = State::Idle { epoch: Epoch::default() };
        let mut play = Play {
            course: Course::new(config.policy.clone(), config.plan.clone(), idle, now),
            config,
            now,
            streak: Streak::default(),
            dealt: ByVersion::default(),
            told: Vec::new(),
            blue: Traffic { per_second: 200, ..WELL },
            green: WELL,
        };
        play.operator(release::Input::Start { actor: "alice".to_owned(), reason: String::new() })
            .expect("nothing is open yet");
        play
    }

    pub fn triggers(&self) -> Vec<String> {
        self.config.policy.actions().map(|(name, _)| name.to_owned()).collect()
    }

    pub fn runbook(&self) -> &Runbook {
        &self.config.runbook
    }

    pub fn operator(&mut self, input: release::Input) -> Result<(), Refusal> {
        self.take(Input::Operator(input))
    }

    pub fn post(&mut self, signal: &str, state: Posting) {
        let (sentence, actor) = ("the cart is empty".to_owned(), "synthetic-3".to_owned());
        let posted = Posted { signal: signal.to_owned(), state, sentence, actor };
        self.take(Input::Signal(posted)).expect("only an operator is refused");
    }

    /// Goes on for so long, or until the release has ended; how many seconds that took.
    pub fn run(&mut self, at_most: u64) -> u64 {
        (0..at_most).find(|_| !self.tick()).unwrap_or(at_most)
    }

    /// What has become of the release.
    pub fn ended(&self) -> Ended {
        match self.course.state() {
            State::RolledBack { cause, .. } => Ended::RolledBack(cause.trigger.clone()),
            State::Completed { .. } => Ended::Completed,
            State::Idle { .. } => unreachable!("a release was started"),
            State::Open(run) => match (&run.holds.common, &run.holds.convicted, &run.holds.paused) {
                (Some(_), ..) => Ended::Frozen,
                (None, Some(held), _) => Ended::Halted(held.by.clone()),
                (None, None, Some(held)) => Ended::Paused(held.by.clone()),
                (None, None, None) => {
                    let planned = [Kind::Started, Kind::Stepped, Kind::Promoted];
                    assert!(self.told.iter().all(|kind| planned.contains(kind)), "{:?}", self.told);
                    Ended::GoesOn
                }
            },
        }
    }

    pub fn told(&self, kind: Kind) -> bool {
        self.told.contains(&kind)
    }

    /// False when the release is over.
    fn tick(&mut self) -> bool {
        self.now += TICK;
        let mut tick = Tick::default();
        for signal in self.deal(&mut tick) {
            let (came_to, row) = match signal {
                Signal::Nothing => continue,
                Signal::Probe(row) => (course::Streak::Probing, row),
                Signal::Convict(row) => (course::Streak::Convicted, row),
                Signal::Common(row) => (course::Streak::Common, row),
            };
            self.take(Input::Streak(StreakFound { came_to, row: Some(row) })).expect("only an operator is refused");
        }
        let check = |traffic: &Traffic| {
            Health::of([traffic.failed_checks, traffic.failed_checks + 2].map(|failed| (failed, failed < 3)))
        };
        let health = ByVersion { blue: check(&self.blue), green: check(&self.green) };
        self.take(Input::Tick { counted: &tick, health }).expect("only an operator is refused");
        self.course.state().run().is_some()
    }

    /// Counts one tick of requests, green's spread among blue's, and shows each to the failure streak.
    fn deal(&mut self, tick: &mut Tick) -> Vec<Signal> {
        let rule = self.config.policy.streak.as_ref().map(Rule::new);
        let each = self.blue.per_second.max(self.green.per_second);
        let mut signals = Vec::new();
        for number in 0..each {
            for version in Version::BOTH {
                let traffic = match version {
                    Version::Blue => self.blue,
                    Version::Green => self.green,
                };
                let before = number * traffic.per_second / each;
                if (number + 1) * traffic.per_second / each == before {
                    continue;
                }
                let dealt = self.dealt.of_mut(version);
                let (failed, slow) = (due(&mut dealt.failures, traffic.failing), due(&mut dealt.slow, traffic.slow));
                let charge = if failed { Charge::Failed } else { Charge::Served };
                let millis = if slow { traffic.slow_millis } else { traffic.millis };
                tick.samples.of_mut(version).evidence.record(charge, Some(Duration::from_millis(millis)));
                if let Some(rule) = &rule {
                    let (streak, signal) = self.streak.observe(Answer::of(version, charge, Routed::default()), rule);
                    self.streak = streak;
                    signals.push(signal);
                }
            }
        }
        signals
    }

    fn take(&mut self, input: Input<'_>) -> Result<(), Refusal> {
        for effect in self.course.take(input, self.now)? {
            if let Effect::Tell { kind, .. } = effect {
                self.told.push(kind);
            }
        }
        Ok(())
    }
}

/// Whether one more is due by the share; the rest is carried on.
fn due(carried: &mut f64, share: f64) -> bool {
    *carried += share;
    let due = *carried >= 1.0 - 1e-9;
    if due {
        *carried -= 1.0;
    }
    due
}
