//! The course of one release after another: everything that can happen goes in, in order, and what must be done comes out.
//!
//! Pure: `control` feeds it live, a replay from the journal, the simulation from a scenario, and the same inputs give the
//! same decisions to the last bit. Absent: the table that the workers route by, wall-clock time, whoever is told.

mod cohorts;
pub mod evidence;
mod exposing;
mod following;
pub mod grounds;
mod input;
mod judging;
mod mirroring;
mod noticing;
pub mod recovering;
mod routes;
mod rules;
mod taken_back;
mod testers;
mod trying;
mod voice;
mod warming;

use std::time::Duration;

use crate::gate::compare::{Comparison, Settings, Suspicion};
use crate::gate::exposure::Exposure;
use crate::gate::signal::Signals;
use crate::gate::{Evidence, Gate, Policy, RouteNumber, Verdict};
use crate::measure::window::History;
use crate::measure::{RouteWindows, Windows};
use crate::release::input::GATE;
use crate::release::{self, Cause, Effect, Epoch, Plan, Planned, Refusal, State, Weight};
use cohorts::Cohorts;
pub use following::{Followed, Steps};
use grounds::Grounds;
pub use input::{Changed, EndpointNews, Input, News, Streak, StreakFound};
use mirroring::Mirroring;
use recovering::Watch;
use testers::Testers;
use trying::Trial;
pub use voice::Voice;
use warming::{Missing, Warming};

/// The deciding core of one proxy.
#[derive(Clone, Debug)]
pub struct Course {
    policy: Policy,
    planned: Planned,
    state: State,
    steps: Steps,
    gate: Gate,
    comparison: Option<Comparison>,
    /// Of a plan with an exposure budget.
    exposure: Option<Exposure>,
    windows: Windows,
    history: History,
    /// What both versions did on each route; empty where none is configured.
    routes: RouteWindows,
    signals: Signals,
    verdict: Verdict,
    /// When both versions last failed in a row.
    common_streak: Option<(Duration, String)>,
    /// When the weight was last lowered to look closer.
    probed_at: Duration,
    warming: Warming,
    mirroring: Mirroring,
    testers: Testers,
    of_cohorts: Cohorts,
    trust: Trust,
    /// Why green waits for one of its endpoints.
    missing: Option<String>,
    /// One of blue's endpoints has gone out in this release.
    blue_misses: bool,
    /// Without how many routes that were taken back it is measured.
    left_out: usize,
    /// Of blue after a rollback.
    watch: Option<Watch>,
    /// What is tried before a rollback, and was in this release.
    trials: Vec<Trial>,
    /// What the gate went by in its last ruling that changed something.
    grounds: Option<Grounds>,
    /// In the judgement of several proxies.
    voice: Voice,
}

/// Whether the comparison believes what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Kept,
    Lost,
}

/// A release without a plan may take so long; the comparison spreads its suspicion over it.
const UNPLANNED: Duration = Duration::from_secs(3600);

/// The verdict's sentence while nothing is released.
pub const NO_RELEASE: &str = "no release is open: all traffic goes to blue";

impl Course {
    /// Begins in `state`, with nothing measured.
    pub fn new(policy: Policy, planned: impl Into<Planned>, state: State, now: Duration) -> Course {
        let verdict = match &state {
            State::RolledBack { cause, .. } => Verdict::fail(cause.reason.clone()),
            State::Idle { .. } | State::Completed { .. } => Verdict::wait(NO_RELEASE),
            State::Open(_) => Verdict::wait("nothing has been measured yet"),
        };
        let mut course = Course {
            state,
            steps: Steps::Taken,
            gate: Gate::new(&policy),
            comparison: None,
            exposure: None,
            windows: Windows::new(&policy),
            history: History::default(),
            routes: RouteWindows::new(&policy.routes),
            signals: Signals::default(),
            verdict,
            common_streak: None,
            probed_at: now,
            warming: Warming::default(),
            mirroring: Mirroring::new(&policy, now),
            testers: Testers::new(&policy),
            of_cohorts: Cohorts::new(&policy, now),
            trust: Trust::Kept,
            missing: None,
            blue_misses: false,
            left_out: 0,
            watch: None,
            trials: Vec::new(),
            grounds: None,
            voice: Voice::default(),
            policy,
            planned: planned.into(),
        };
        course.left_out = course.taken_back().len();
        course.comparison = course.compared_with(&Evidence::default(), now);
        course.exposure = course.exposure_from(now);
        course
    }

    /// Takes one input. A refusal, of an operator's wish alone, changes nothing.
    pub fn take(&mut self, input: Input<'_>, now: Duration) -> Result<Vec<Effect>, Refusal> {
        self.grounds = None;
        self.leave_out(now);
        match input {
            Input::Counted(counted) => {
                self.count(counted, now);
                Ok(vec![])
            }
            Input::Mirrored(samples) => {
                self.mirroring.add(samples, now);
                Ok(vec![])
            }
            Input::Overridden(samples) => {
                self.testers.add(samples, now);
                self.add_of_cohorts(samples, now);
                Ok(vec![])
            }
            Input::Tick { counted, health } => Ok(self.tick(counted, health, now)),
            Input::Streak(found) => Ok(self.streak(found, now)),
            Input::Operator(input) => self.apply(input, now),
            Input::Answered(answered) => Ok(self.order(release::Input::Answered(answered), now)),
            Input::Signal(posted) => {
                self.signals.take(posted, now);
                Ok(vec![])
            }
            Input::Endpoint(news) => Ok(self.endpoint(news, now)),
            Input::Changed(changed) => Ok(vec![changed.into()]),
            Input::Rules { policy, changed } => {
                self.judge_by(*policy, now);
                Ok(vec![changed.into()])
            }
            Input::Voice(voice) => {
                self.speak_as(voice);
                Ok(vec![])
            }
            Input::Restarted => {
                self.signals = Signals::default();
                self.history = History::default();
                self.routes = RouteWindows::new(&self.policy.routes);
                let exposed = self.exposed();
                self.forget(&Evidence::default(), now);
                self.set_exposed(exposed);
                let mut effects = self.apply(release::Input::Restarted, now)?;
                effects.extend(self.miss_routes(now));
                Ok(effects)
            }
        }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn epoch(&self) -> Epoch {
        self.state.epoch()
    }

    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    pub fn signals(&self) -> &Signals {
        &self.signals
    }

    pub fn plan(&self) -> Option<&Plan> {
        self.planned.plan()
    }

    /// The plan, and whose it is.
    pub fn planned(&self) -> &Planned {
        &self.planned
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What is known of blue from before a release: the comparison starts from it.
    pub fn history(&self) -> &Evidence {
        self.history.blue()
    }

    /// How long green still warms up; none when enough is known of its latency, or nothing is released.
    pub fn warming_up(&self, now: Duration) -> Option<Duration> {
        self.state.run()?;
        match self.warming.missing(&self.policy.counting.warm_up, now)? {
            Missing::Time(left) => Some(left),
            Missing::Latencies(_) => Some(Duration::ZERO),
        }
    }

    /// Replaces what is known from before a release, of the whole and of routes; for a replay, which begins where the release
    /// began.
    pub fn set_past(
        &mut self,
        blue: Evidence,
        routes: impl IntoIterator<Item = (RouteNumber, Evidence)>,
        signals: Signals,
        now: Duration,
    ) {
        for (route, blue) in routes {
            self.routes.set_past(route, &blue, now);
        }
        self.comparison = self.compared_with(&blue, now);
        self.history = History::of(blue, now);
        self.signals = signals;
    }

    /// The plan of the release that begins next.
    pub fn plan_by(&mut self, planned: Planned) {
        self.planned = planned;
    }

    fn convict(&mut self, trigger: String, reason: String, now: Duration) -> Vec<Effect> {
        self.verdict = Verdict::fail(reason.clone());
        self.order(release::Input::RollBack(Cause { trigger, reason, actor: GATE.to_owned() }), now)
    }

    /// An input of the gate's own.
    fn order(&mut self, input: release::Input, now: Duration) -> Vec<Effect> {
        if !self.is_ours(&input) {
            return vec![];
        }
        self.apply(input, now).expect("the state machine refuses operators alone")
    }

    fn apply(&mut self, input: release::Input, now: Duration) -> Result<Vec<Effect>, Refusal> {
        let idle = State::Idle { epoch: Epoch::default() };
        let weight = self.state.weight();
        let was_completed = matches!(self.state, State::Completed { .. });
        let was_rolled_back = matches!(self.state, State::RolledBack { .. });
        let (state, result) = match std::mem::replace(&mut self.state, idle).apply(input, self.planned.plan(), now) {
            Ok((state, effects)) => (state, Ok(effects)),
            Err((state, refusal)) => (state, Err(refusal)),
        };
        self.state = state;
        let effects = result?;
        let begins = effects.iter().any(|effect| matches!(effect, Effect::Begin { .. }));
        if begins {
            let history = self.history.blue().clone();
            self.forget(&history, now);
        } else if self.state.weight() != weight {
            self.weight_changed(now);
        }
        match &self.state {
            State::RolledBack { cause, .. } => self.verdict = Verdict::fail(cause.reason.clone()),
            State::Idle { .. } | State::Completed { .. } => self.verdict = Verdict::wait(NO_RELEASE),
            State::Open(_) => {}
        }
        let is_completed = matches!(self.state, State::Completed { .. });
        // A new release after a completed one keeps its blue, a rollback gives the old one back.
        if is_completed != was_completed && !begins {
            self.windows.exchange();
            self.history.exchange();
            self.routes.exchange();
        }
        if !was_rolled_back && self.state.is_found_bad() {
            self.begin_watch(if was_completed { Weight::FULL } else { weight }, now);
        }
        Ok(effects)
    }

    /// Forgets what was measured in earlier epochs.
    fn forget(&mut self, history: &Evidence, now: Duration) {
        self.windows.clear();
        self.routes.clear();
        self.gate.reset(now);
        self.common_streak = None;
        self.probed_at = now;
        self.warming = Warming::default();
        self.mirroring.forget(now);
        self.testers.forget();
        self.of_cohorts.forget(now);
        self.left_out = self.taken_back().len();
        self.trust = Trust::Kept;
        self.missing = None;
        self.blue_misses = false;
        self.watch = None;
        self.trials.clear();
        self.verdict = Verdict::wait("the release has just begun");
        self.comparison = self.compared_with(history, now);
        self.exposure = self.exposure_from(now);
    }

    fn compared_with(&self, history: &Evidence, now: Duration) -> Option<Comparison> {
        let planned = self.plan().map_or(UNPLANNED, Plan::duration);
        let comparison = self.policy.compare.zip(self.false_alarm()).map(|(settings, false_alarm)| {
            Comparison::new(Settings { false_alarm, ..settings }, history, planned, now)
        });
        comparison.map(|comparison| self.with_routes(comparison, now))
    }

    fn weight_changed(&mut self, now: Duration) {
        self.probed_at = now;
        self.windows.weight_changed(now);
        if let Some(comparison) = &mut self.comparison {
            comparison.weight_changed(now);
        }
        if let Some(exposure) = &mut self.exposure {
            exposure.weight_changed(now);
        }
    }

    fn suspicion(&self) -> Suspicion {
        self.comparison.as_ref().map(Comparison::suspicion).unwrap_or_default()
    }

    fn weight(&self) -> Weight {
        self.state.weight()
    }
}
