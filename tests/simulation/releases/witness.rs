//! Counts on its own what happens in a run, and says which promise that breaks.
//!
//! Promises 1, 2 and 6 are looked after here; [`restart`] sees that they outlive a crash, [`steps`] and [`gates`] look after promise 3,
//! [`blame`] after 4 and 5, and [`counts`] adds up.

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis::course::{Course, Input};
use portcullis::gate::signal::{Posted, Posting};
use portcullis::gate::{ByVersion, Charge, Kind as VerdictKind, Version};
use portcullis::release::input::{APPROVAL_DEADLINE, GATE, LOW_TRAFFIC, PLAN, PROGRESS_DEADLINE};
use portcullis::release::{Effect, Epoch, Input as Ordered, Kind, Refusal, State, Weight};
use portcullis::routing::{Roles, Route, Table};

use super::scenario::{ALICE, Scenario};

mod blame;
mod counts;
mod gates;
mod restart;
mod steps;

pub use blame::Unjust;
use counts::Counts;
use gates::AtGate;
use steps::Place;

#[derive(Clone, Debug)]
pub struct Violation {
    /// The promise's number.
    pub promise: u8,
    pub what: String,
}

pub type Checked = Result<(), Violation>;

pub struct Witness<'a> {
    scenario: &'a Scenario,
    /// No request may reach green in an epoch up to this one.
    closed: Option<Epoch>,
    /// As `closed`, whatever crashes.
    reported: Option<Epoch>,
    epoch: Epoch,
    /// When the epoch or the process began, on the clock of the core.
    begun: Duration,
    counts: Counts,
    weight: Weight,
    roles: Roles,
    completed: bool,
    /// Both versions are bad, by what was told: the weight may not rise.
    frozen: bool,
    /// Since when it is this weight, and green's requests since then.
    weighed: Duration,
    at_weight: u64,
    /// Both as they were when the present input came.
    before: (Weight, u64),
    green_heard: Duration,
    place: Place,
    pub gate: AtGate,
    /// An operator has consented to the step after this one.
    approved: bool,
    /// Time at this place that was not held.
    baked: Duration,
    seen: Duration,
    running: bool,
    /// Failures in a row, of blue also across epochs.
    in_a_row: ByVersion<u16>,
    witnessed: bool,
    /// Since when the signal fires.
    firing: Option<Duration>,
    /// Since when green alone has been over the bound of each trigger, without doubt.
    guilty: BTreeMap<&'a str, Duration>,
    pub trials: u64,
    pub false_alarms: Vec<String>,
    pub unjust: Vec<Unjust>,
}

impl<'a> Witness<'a> {
    pub fn new(scenario: &'a Scenario) -> Witness<'a> {
        Witness {
            scenario,
            closed: None,
            reported: None,
            epoch: Epoch::default(),
            begun: Duration::ZERO,
            counts: Counts::default(),
            weight: Weight::ZERO,
            roles: Roles::AsConfigured,
            completed: false,
            frozen: false,
            weighed: Duration::ZERO,
            at_weight: 0,
            before: (Weight::ZERO, 0),
            green_heard: Duration::ZERO,
            place: Place::Nowhere,
            gate: AtGate::default(),
            approved: false,
            baked: Duration::ZERO,
            seen: Duration::ZERO,
            running: false,
            in_a_row: ByVersion::default(),
            witnessed: false,
            firing: None,
            guilty: BTreeMap::new(),
            trials: 0,
            false_alarms: Vec::new(),
            unjust: Vec::new(),
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
        self.counts.add(version, charge, latency);
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
        let green = self.counts.tick(now).green;
        self.at_weight += green.requests;
        if green.requests > 0 {
            self.green_heard = now;
        }
    }

    pub fn signalled(&mut self, posted: &Posted, now: Duration) {
        self.firing = match posted.state {
            Posting::Firing => self.firing.or(Some(now)),
            Posting::Resolved => None,
        };
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
        self.exchanged(state, table, now)?;
        if state.run().is_none() {
            self.gate = AtGate::default();
        } else if epoch > self.epoch {
            self.gate.begin(epoch);
        }
        self.not_started(table, now)?;
        if epoch > self.epoch {
            self.epoch = epoch;
            self.forget(now);
            self.compared();
            self.in_a_row.green = 0;
            self.witnessed = false;
            (self.frozen, self.approved) = (false, false);
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
        if state.run().is_some() && course.verdict().kind == VerdictKind::Fail && !self.scenario.is_irreversible() {
            return broken(1, format!("at {now:?} the release goes on in spite of {:?}", course.verdict()));
        }
        if table.weight() > state.weight() {
            return broken(1, format!("at {now:?} the table is {table:?} and the weight {}", state.weight()));
        }
        if state.weight() != self.weight {
            self.weight = state.weight();
            (self.weighed, self.at_weight) = (now, 0);
        }
        Ok(())
    }

    /// The roles are exchanged by a completion and by a rollback of what has completed, and by nothing else.
    fn exchanged(&mut self, state: &State, table: Table, now: Duration) -> Checked {
        let completed = matches!(state, State::Completed { .. });
        let turns = completed && !self.completed || self.completed && state.epoch() == self.epoch && !completed;
        let expected = if turns { self.roles.exchanged() } else { self.roles };
        if table.roles != expected {
            return broken(2, format!("at {now:?} the table is {table:?} in state {}", state.name()));
        }
        (self.roles, self.completed) = (expected, completed);
        Ok(())
    }

    pub fn reported(&mut self, epoch: Epoch) {
        self.reported = self.reported.max(Some(epoch));
    }

    /// A comparison begins.
    fn compared(&mut self) {
        self.trials += u64::from(self.is_null() && self.scenario.policy.compare.is_some());
    }

    fn forget(&mut self, now: Duration) {
        self.counts.forget();
        self.guilty.clear();
        self.at_weight = 0;
        (self.begun, self.weighed, self.green_heard) = (now, now, now);
    }

    /// Whether green is no worse than blue: roles change when a release completes.
    fn is_null(&self) -> bool {
        self.scenario.is_null() && (!self.scenario.is_blue_worse() || self.roles == Roles::AsConfigured)
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
        self.explained(input, kind, actor, sentence, course, now)?;
        let weight = course.state().weight();
        if self.frozen && !matches!(kind, Kind::Frozen | Kind::Thawed) && weight > self.before.0 {
            return broken(
                5,
                format!("at {now:?} the weight rose to {weight} while both versions were bad: {sentence}"),
            );
        }
        let by_plan = actor == PLAN;
        self.gate.told(kind, self.gates());
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
            Kind::Resumed if weight != self.before.0 => self.baked = Duration::ZERO,
            Kind::Approved => self.approved = true,
            Kind::Frozen => (self.frozen, self.before.0) = (true, weight),
            Kind::Thawed => self.frozen = false,
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
    fn explained(
        &self,
        input: &Input<'_>,
        kind: Kind,
        actor: &str,
        sentence: &str,
        course: &Course,
        now: Duration,
    ) -> Checked {
        let cause = match course.state() {
            State::RolledBack { cause, .. } => cause.trigger.as_str(),
            State::Idle { .. } | State::Open(_) | State::Completed { .. } => "",
        };
        let numbers =
            actor == GATE && matches!(kind, Kind::RolledBack | Kind::Probing | Kind::Acquitted) && cause != "synthetic"
                || [APPROVAL_DEADLINE, LOW_TRAFFIC, PROGRESS_DEADLINE].contains(&cause) && kind == Kind::RolledBack
                || matches!(kind, Kind::Stepped);
        // A question follows from what an operator does, and is the plan's.
        let by_hand = matches!(input, Input::Operator(_)) && kind != Kind::GateAsked;
        let silent = sentence.is_empty() || numbers && !sentence.contains(|c: char| c.is_ascii_digit());
        if actor.is_empty() || silent || by_hand != (actor == ALICE) {
            return broken(6, format!("at {now:?} {} by {actor:?} says only: {sentence:?}", kind.name()));
        }
        Ok(())
    }
}

pub fn broken<T>(promise: u8, what: String) -> Result<T, Violation> {
    Err(Violation { promise, what })
}
