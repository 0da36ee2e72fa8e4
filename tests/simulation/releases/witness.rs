//! Counts on its own what happens in a run, and says which promise that breaks.

use std::time::Duration;

use portcullis::control::restore::Beginning;
use portcullis::course::{Course, Input};
use portcullis::gate::signal::{Posted, Posting};
use portcullis::gate::trigger::{Cadence, Condition, Confirm};
use portcullis::gate::{Action, ByVersion, Charge, Kind as VerdictKind, Trigger, Version};
use portcullis::release::input::{COMPARISON, GATE, LOW_TRAFFIC, PLAN, PROGRESS_DEADLINE, UNRESOLVED};
use portcullis::release::{Cause, Effect, Epoch, Input as Ordered, Kind, OnLowTraffic, Refusal, Stage, State, Weight};
use portcullis::routing::{Roles, Route, Table};

use super::scenario::{Crash, Kind as Scene, Scenario};

#[derive(Clone, Debug)]
pub struct Violation {
    /// The promise's number.
    pub promise: u8,
    pub what: String,
}

pub type Checked = Result<(), Violation>;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    requests: u64,
    failures: u64,
    timed: u64,
    slow: u64,
}

/// Where in its plan a release is, by what was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Manual,
    Delay,
    Step(usize),
    Monitoring,
}

pub struct Witness<'a> {
    scenario: &'a Scenario,
    /// No request may reach green in an epoch up to this one.
    closed: Option<Epoch>,
    /// As `closed`, whatever crashes.
    reported: Option<Epoch>,
    epoch: Epoch,
    /// The running sums of this epoch and process at each tick, on the clock of the core.
    counts: Vec<(Duration, ByVersion<Tally>)>,
    pending: ByVersion<Tally>,
    weight: Weight,
    roles: Roles,
    /// Green's requests at this weight.
    at_weight: u64,
    /// Both as they were when the present input came.
    before: (Weight, u64),
    green_heard: Duration,
    place: Place,
    /// Time at this place that was not held.
    baked: Duration,
    seen: Duration,
    running: bool,
    /// Failures in a row, of blue also across epochs.
    in_a_row: ByVersion<u16>,
    witnessed: bool,
    firing: bool,
    pub trials: u64,
    pub false_alarms: Vec<String>,
    pub chance: Vec<String>,
}

pub const SLOWER_THAN: Duration = Duration::from_millis(400);
pub const ERRORS_ABOVE: f64 = 0.1;

/// Without a trigger on a window green has to show so much at a weight: fewer cannot make up odds of 20 against 5 %.
const SHOWN: u64 = 50;

/// A version is called silent after this long at the latest.
const SILENT_AFTER: Duration = Duration::from_secs(900);

/// With more requests than this chance makes no difference between two versions that are alike.
const MANY: u64 = 500;

impl<'a> Witness<'a> {
    pub fn new(scenario: &'a Scenario) -> Witness<'a> {
        Witness {
            scenario,
            closed: None,
            reported: None,
            epoch: Epoch::default(),
            counts: Vec::new(),
            pending: ByVersion::default(),
            weight: Weight::ZERO,
            roles: Roles::AsConfigured,
            at_weight: 0,
            before: (Weight::ZERO, 0),
            green_heard: Duration::ZERO,
            place: Place::Nowhere,
            baked: Duration::ZERO,
            seen: Duration::ZERO,
            running: false,
            in_a_row: ByVersion::default(),
            witnessed: false,
            firing: false,
            trials: 0,
            false_alarms: Vec::new(),
            chance: Vec::new(),
        }
    }

    pub fn routed(&self, version: Version, table: Table, at: Duration) -> Checked {
        if version == Version::Green && self.closed >= Some(table.epoch) {
            return broken(2, format!("at {at:?} a request of epoch {} went to green after its rollback", table.epoch));
        }
        Ok(())
    }

    /// A request has ended. Call it before the streak learns of it.
    pub fn ended(&mut self, version: Version, charge: Charge, latency: Option<Duration>) {
        let tally = self.pending.of_mut(version);
        tally.requests += u64::from(charge != Charge::Nobody);
        tally.failures += u64::from(charge == Charge::Failed);
        tally.timed += u64::from(latency.is_some());
        tally.slow += u64::from(latency > Some(SLOWER_THAN));
        match (version, charge) {
            (_, Charge::Nobody) => {}
            (Version::Green, Charge::Served) => (self.in_a_row.green, self.witnessed) = (0, false),
            (Version::Green, Charge::Failed) => self.in_a_row.green = self.in_a_row.green.saturating_add(1),
            (Version::Blue, Charge::Served) => {
                self.in_a_row.blue = 0;
                self.witnessed = self.in_a_row.green > 0;
            }
            (Version::Blue, Charge::Failed) => self.in_a_row.blue = self.in_a_row.blue.saturating_add(1),
        }
    }

    /// A tick is about to be given to the core.
    pub fn counted(&mut self, now: Duration) {
        let pending = std::mem::take(&mut self.pending);
        self.at_weight += pending.green.requests;
        if pending.green.requests > 0 {
            self.green_heard = now;
        }
        let mut sum = self.counts.last().map_or_else(ByVersion::default, |(_, sum)| *sum);
        for version in Version::BOTH {
            let (sum, new) = (sum.of_mut(version), pending.of(version));
            sum.requests += new.requests;
            sum.failures += new.failures;
            sum.timed += new.timed;
            sum.slow += new.slow;
        }
        self.counts.push((now, sum));
    }

    pub fn signalled(&mut self, posted: &Posted) {
        self.firing = posted.state == Posting::Firing;
    }

    /// An input is about to be taken: the bake goes on unless it is held.
    pub fn before(&mut self, course: &Course, now: Duration) {
        if self.running {
            self.baked += now - self.seen;
        }
        self.seen = now;
        self.weight = course.state().weight();
        self.before = (self.weight, self.at_weight);
    }

    /// Nothing comes before a rollback but words, and what lowers the weight.
    pub fn ordered(&self, effects: &[Effect], at: Duration) -> Checked {
        let moves = |effect: &Effect| matches!(effect, Effect::Latch { .. } | Effect::Revert { .. });
        let harmless =
            |effect: &Effect| matches!(effect, Effect::Tell { .. } | Effect::Notify { .. } | Effect::Route { .. });
        if effects.iter().any(moves) && !effects.iter().take_while(|effect| !moves(effect)).all(harmless) {
            return broken(1, format!("at {at:?} something comes before a rollback: {effects:?}"));
        }
        Ok(())
    }

    pub fn refused(
        &self,
        refusal: &Refusal,
        input: &Input<'_>,
        before: &State,
        after: &State,
        at: Duration,
    ) -> Checked {
        if before != after {
            return broken(2, format!("at {at:?} a refusal ({refusal}) changed {before:?} into {after:?}"));
        }
        let rolls_back = matches!(input, Input::Operator(Ordered::Withdraw { .. }));
        if rolls_back && !matches!(refusal, Refusal::Irreversible { .. }) {
            return broken(1, format!("at {at:?} a rollback by hand was refused: {refusal}"));
        }
        Ok(())
    }

    /// The effects of an input have been carried out; the journal knows nothing of them yet.
    pub fn after(&mut self, course: &Course, table: Table, now: Duration) -> Checked {
        let (state, epoch) = (course.state(), course.epoch());
        self.running = state.run().is_some_and(|run| !run.is_held());
        if epoch < self.epoch {
            return broken(2, format!("at {now:?} epoch {epoch} comes after {}", self.epoch));
        }
        if table.epoch != epoch {
            return broken(2, format!("at {now:?} the table is of epoch {} and the release of {epoch}", table.epoch));
        }
        if epoch > self.epoch {
            self.epoch = epoch;
            self.forget(now);
            self.compared();
            self.in_a_row.green = 0;
            self.witnessed = false;
            self.baked = Duration::ZERO;
        }
        if matches!(state, State::RolledBack { .. }) {
            self.closed = self.closed.max(Some(epoch));
            if table.route != Route::Latched {
                return broken(1, format!("at {now:?} the release is rolled back and the table is {table:?}"));
            }
        }
        if table.weight() > Weight::ZERO && (state.run().is_none() || self.reported >= Some(epoch)) {
            return broken(2, format!("at {now:?} green is routed to by {table:?} in state {}", state.name()));
        }
        if table.weight() > state.weight() {
            return broken(1, format!("at {now:?} the table is {table:?} and the weight {}", state.weight()));
        }
        if state.weight() != self.weight {
            self.weight = state.weight();
            self.at_weight = 0;
        }
        self.roles = table.roles;
        Ok(())
    }

    pub fn reported(&mut self, epoch: Epoch) {
        self.reported = self.reported.max(Some(epoch));
    }

    /// The process has started anew with `beginning`, where the disk had `durable`.
    pub fn restarted(&mut self, beginning: &Beginning, durable: Table, crash: Crash, at: Duration) -> Checked {
        let table = beginning.table;
        let blue = table.weight() == Weight::ZERO;
        if self.reported >= Some(table.epoch) && !blue {
            return broken(2, format!("at {at:?} epoch {} is open again after a reported rollback", table.epoch));
        }
        if self.reported > Some(table.epoch) {
            return broken(2, format!("at {at:?} epoch {} comes after the reported {:?}", table.epoch, self.reported));
        }
        let goes_on = crash == Crash::Plain && table == durable;
        let same_blue = crash == Crash::Superseding || table.roles == durable.roles;
        let gives_up = crash != Crash::Plain && blue && table.epoch == durable.epoch && same_blue;
        // Nothing green about a release that has ended, whatever is configured then.
        let ended = crash == Crash::Superseding && table == durable;
        if !goes_on && !gives_up && !ended {
            return broken(2, format!("at {at:?} a restart ({crash:?}) makes {table:?} of {durable:?}"));
        }
        self.closed = self.reported;
        self.epoch = table.epoch;
        self.weight = table.weight();
        self.in_a_row = ByVersion::default();
        self.witnessed = false;
        self.firing = false;
        self.pending = ByVersion::default();
        self.baked = Duration::ZERO;
        self.seen = beginning.clock;
        self.place = match &beginning.state {
            State::Open(run) => match run.stage {
                Stage::Manual => Place::Manual,
                Stage::Delay => Place::Delay,
                Stage::Step { index, .. } => Place::Step(index),
                Stage::Monitoring => Place::Monitoring,
            },
            State::Idle { .. } | State::Completed { .. } | State::RolledBack { .. } => Place::Nowhere,
        };
        self.forget(beginning.clock);
        if self.place != Place::Nowhere {
            self.compared();
        }
        Ok(())
    }

    /// A comparison begins.
    fn compared(&mut self) {
        self.trials += u64::from(self.is_null() && self.scenario.policy.compare.is_some());
    }

    fn forget(&mut self, now: Duration) {
        self.counts.clear();
        self.at_weight = 0;
        self.green_heard = now;
    }

    /// Whether green is no worse than blue: roles change when a release completes.
    fn is_null(&self) -> bool {
        self.scenario.is_null() && (self.scenario.kind != Scene::BlueErrors || self.roles == Roles::AsConfigured)
    }

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

    /// A decision was made because of `input`.
    pub fn told(
        &mut self,
        course: &Course,
        input: &Input<'_>,
        kind: Kind,
        actor: &str,
        sentence: &str,
        now: Duration,
    ) -> Checked {
        self.explained(kind, actor, sentence, course, now)?;
        let by_plan = actor == PLAN;
        match kind {
            Kind::Started => self.place = if self.scenario.plan.is_some() { Place::Delay } else { Place::Manual },
            Kind::WeightSet if self.place == Place::Nowhere => self.place = Place::Manual,
            Kind::Stepped | Kind::Promoted | Kind::Completed if by_plan => {
                if !matches!(input, Input::Tick { .. }) {
                    return broken(3, format!("at {now:?} {input:?} advanced the plan"));
                }
                self.advanced(course, kind, now)?;
            }
            Kind::Promoted => (self.place, self.baked) = (Place::Monitoring, Duration::ZERO),
            Kind::Completed => self.place = Place::Nowhere,
            Kind::Resumed if course.state().weight() != self.before.0 => self.baked = Duration::ZERO,
            Kind::RolledBack => {
                self.place = Place::Nowhere;
                if let State::RolledBack { cause, .. } = course.state() {
                    self.rolled_back(&cause.clone(), now)?;
                }
            }
            Kind::Irreversible => self.blamed_by_comparison(sentence, course),
            _ => {}
        }
        Ok(())
    }

    /// Promise 6.
    fn explained(&self, kind: Kind, actor: &str, sentence: &str, course: &Course, now: Duration) -> Checked {
        let cause = match course.state() {
            State::RolledBack { cause, .. } => cause.trigger.as_str(),
            State::Idle { .. } | State::Open(_) | State::Completed { .. } => "",
        };
        let numbers =
            actor == GATE && matches!(kind, Kind::RolledBack | Kind::Probing | Kind::Acquitted) && cause != "synthetic"
                || [LOW_TRAFFIC, PROGRESS_DEADLINE].contains(&cause) && kind == Kind::RolledBack
                || matches!(kind, Kind::Stepped);
        if actor.is_empty() || sentence.is_empty() || numbers && !sentence.contains(|c: char| c.is_ascii_digit()) {
            return broken(6, format!("at {now:?} {} by {actor:?} says only: {sentence:?}", kind.name()));
        }
        Ok(())
    }

    /// Promise 3: the plan has gone on by itself.
    fn advanced(&mut self, course: &Course, kind: Kind, now: Duration) -> Checked {
        let Some(plan) = &self.scenario.plan else {
            // Without a plan it is only an operator's promotion that completes by itself.
            return if kind == Kind::Completed {
                self.earned(course, OnLowTraffic::Wait, kind, now)
            } else {
                broken(3, "no plan".to_owned())
            };
        };
        let (needed, next) = match self.place {
            Place::Delay => {
                (plan.initial_delay, if plan.steps.is_empty() { Place::Monitoring } else { Place::Step(0) })
            }
            Place::Step(index) if index + 1 < plan.steps.len() => (plan.steps[index].bake, Place::Step(index + 1)),
            Place::Step(index) => (plan.steps[index].bake, Place::Monitoring),
            Place::Monitoring => (plan.monitoring, Place::Nowhere),
            Place::Nowhere | Place::Manual => {
                return broken(3, format!("at {now:?} a plan goes on from {:?}", self.place));
            }
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
        if self.place != Place::Delay {
            self.earned(course, plan.on_low_traffic, kind, now)?;
        }
        (self.place, self.baked) = (reached, Duration::ZERO);
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
            let (_, outer) = self.window(trigger.window, now);
            let seen = outer.green.requests.max(outer.green.timed);
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

    /// Promises 4 and 5.
    fn rolled_back(&mut self, cause: &Cause, now: Duration) -> Checked {
        if cause.actor != GATE && cause.actor != PLAN {
            return Ok(());
        }
        let Cause { trigger: name, reason, .. } = cause;
        if self.scenario.is_irreversible() {
            return broken(5, format!("at {now:?} an irreversible release was rolled back: {reason}"));
        }
        let policy = &self.scenario.policy;
        if let Some(trigger) = policy.triggers.iter().find(|trigger| trigger.name == *name) {
            return self.bound(&trigger.clone(), reason, now);
        }
        let health = self.scenario.health(now);
        match name.as_str() {
            COMPARISON | UNRESOLVED => {
                if self.is_null() {
                    self.false_alarms.push(format!("{name}: {reason}"));
                }
                Ok(())
            }
            "dead" if self.scenario.is_common() => {
                self.chance.push(reason.clone());
                Ok(())
            }
            "dead" if self.is_null() => broken(4, format!("at {now:?} a streak of a good green: {reason}")),
            "dead" => Ok(()),
            "dead-checks" if self.scenario.kind != Scene::ChecksFail => {
                broken(5, format!("at {now:?} health checks blamed green: {reason}; {health:?}"))
            }
            "dead-checks" => Ok(()),
            "synthetic" if !self.firing => broken(4, format!("at {now:?} no signal fires: {reason}")),
            "synthetic" => Ok(()),
            LOW_TRAFFIC
                if self.scenario.plan.as_ref().is_some_and(|plan| plan.on_low_traffic == OnLowTraffic::Rollback) =>
            {
                Ok(())
            }
            PROGRESS_DEADLINE => match self.scenario.plan.as_ref().and_then(|plan| plan.progress_deadline) {
                Some(deadline) if self.baked >= deadline => Ok(()),
                deadline => broken(3, format!("at {now:?} {:?} of {deadline:?} had passed", self.baked)),
            },
            other => broken(5, format!("at {now:?} rolled back by `{other}`: {reason}")),
        }
    }

    fn bound(&mut self, trigger: &Trigger, reason: &str, now: Duration) -> Checked {
        let (inner, outer) = self.window(trigger.window, now);
        if trigger.action != Action::Rollback {
            return broken(5, format!("at {now:?} `{}` only {:?}: {reason}", trigger.name, trigger.action));
        }
        if self.is_null() && !self.scenario.is_common() {
            return broken(4, format!("at {now:?} a good green was blamed: {reason}"));
        }
        let absolute =
            !matches!(trigger.condition, Condition::FailuresAboveBlue { .. } | Condition::LatencyAboveBlue { .. });
        let at_once = trigger.cadence == Cadence::EveryTick && trigger.confirm == Confirm::No;
        if absolute && at_once {
            let most = Tally { failures: outer.green.failures, slow: outer.green.slow, ..inner.green };
            if !over(trigger, most) {
                return broken(
                    4,
                    format!("at {now:?} `{}` blamed green for {:?}: {reason}", trigger.name, outer.green),
                );
            }
            let enough = inner.blue.requests >= trigger.minimum_requests;
            if enough && over(trigger, inner.blue) && over(trigger, outer.blue) {
                return broken(
                    5,
                    format!("at {now:?} `{}` blamed green while blue had {:?}", trigger.name, outer.blue),
                );
            }
        }
        if self.scenario.is_common() {
            if inner.blue.requests.min(inner.green.requests) >= MANY {
                return broken(5, format!("at {now:?} `{}` blamed green for a common outage: {reason}", trigger.name));
            }
            self.chance.push(reason.to_owned());
        }
        Ok(())
    }

    fn blamed_by_comparison(&mut self, sentence: &str, course: &Course) {
        let held = course.state().run().and_then(|run| run.holds.paused.as_ref());
        if self.is_null() && held.is_some_and(|held| [COMPARISON, UNRESOLVED].contains(&held.by.as_str())) {
            self.false_alarms.push(sentence.to_owned());
        }
    }

    /// What was surely in a window of `length` at the tick `now`, and the most that can have been.
    fn window(&self, length: Duration, now: Duration) -> (ByVersion<Tally>, ByVersion<Tally>) {
        let until = |at: Duration| match self.counts.partition_point(|(counted, _)| *counted <= at) {
            0 => ByVersion::default(),
            index => self.counts[index - 1].1,
        };
        let since = |before: ByVersion<Tally>| {
            let all = until(now);
            ByVersion::build(|version| {
                let (before, all) = (before.of(version), all.of(version));
                Tally {
                    requests: all.requests - before.requests,
                    failures: all.failures - before.failures,
                    timed: all.timed - before.timed,
                    slow: all.slow - before.slow,
                }
            })
        };
        let inner = now.checked_sub(length).map_or_else(ByVersion::default, until);
        let outer = now.checked_sub(length + length / 60).map_or_else(ByVersion::default, until);
        (since(inner), since(outer))
    }
}

fn over(trigger: &Trigger, tally: Tally) -> bool {
    match trigger.condition {
        Condition::FailuresAbove { .. } => tally.failures as f64 > ERRORS_ABOVE * tally.requests as f64,
        Condition::LatencyAbove { quantile, .. } => {
            tally.slow as f64 > (1.0 - quantile.fraction()) * tally.timed as f64 + 1e-6
        }
        Condition::FailuresAboveBlue { .. } | Condition::LatencyAboveBlue { .. } => false,
    }
}

pub fn broken<T>(promise: u8, what: String) -> Result<T, Violation> {
    Err(Violation { promise, what })
}
