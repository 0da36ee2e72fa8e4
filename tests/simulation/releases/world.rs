//! Plays one scenario: the real deciding core, routing and restoring, with virtual traffic and a virtual disk.
//!
//! [`operators`] react to what they are told; [`durable`] is what is written down and what a crash leaves of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use portcullis::config::Config;
use portcullis::control::restore::Beginning;
use portcullis::control::status::Rollback;
use portcullis::course::{Course, Input, Streak, StreakFound};
use portcullis::gate::streak::Answer;
use portcullis::gate::trigger::StreakTrigger;
use portcullis::gate::{Action, Charge, Version};
use portcullis::measure::Tick;
use portcullis::release::{self, Effect, Epoch, Kind as Told, State};
use portcullis::routing::{NOTICES, Notice, Routing, View};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, Poisson};
use tokio::sync::mpsc;

use super::CONFIG;
use super::disk::Disk;
use super::recording::Recording;
use super::scenario::{ALICE, Order, Scenario, What};
use super::witness::{Checked, Unjust, Witness};

mod durable;
mod operators;

/// What one run came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub releases: u64,
    pub completed: u64,
    pub ticks: u64,
    pub requests: u64,
    pub hours: f64,
    pub restarts: u64,
    /// How often each kind of decision was told, and each fault of the world occurred.
    pub seen: BTreeMap<&'static str, u64>,
    /// What rolled releases back by itself.
    pub rollbacks: Vec<String>,
    /// How often a comparison began in which green is no worse.
    pub trials: u64,
    /// Those in which the comparison convicted green, or left it unresolved.
    pub false_alarms: Vec<String>,
    pub unjust: Vec<Unjust>,
    pub replayed: u64,
    pub violation: Option<super::witness::Violation>,
}

pub struct World<'a> {
    scenario: &'a Scenario,
    config: Config,
    random: Rng,
    poisson: SmallRng,
    course: Course,
    routing: Routing,
    view: View,
    notices: mpsc::Receiver<Notice>,
    rollback: Option<Rollback>,
    disk: Disk,
    /// Rollbacks that are told when the journal has this write.
    reports: VecDeque<(u64, Epoch)>,
    recording: Option<Recording>,
    witness: Witness<'a>,
    tick: Tick,
    /// Traffic has been played up to here.
    played: Duration,
    /// What the core's clock shows less the world's: a crash sets it back to the last durable write.
    clock: Clock,
    /// What operators do about what they are told.
    reactions: Vec<(Duration, Order)>,
    over_at: Duration,
    report: Report,
}

#[derive(Clone, Copy)]
struct Clock {
    began: Duration,
    shows: Duration,
}

pub fn play(scenario: &Scenario, replays: bool) -> Report {
    let mut world = World::new(scenario, replays);
    let outcome = world.play();
    let hours = world.played.as_secs_f64() / 3600.0;
    Report { violation: outcome.err(), hours, ..world.report }
}

fn routing_of(scenario: &Scenario, beginning: &Beginning) -> (Routing, mpsc::Receiver<Notice>) {
    let (notify, notices) = mpsc::channel(NOTICES);
    let streak = scenario.policy.streak.as_ref().map(|streak| StreakTrigger {
        action: if scenario.is_irreversible() { Action::Pause } else { streak.action },
        ..streak.clone()
    });
    (Routing::new(beginning.table, streak, notify), notices)
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, replays: bool) -> World<'a> {
        let config = Config { policy: scenario.policy.clone(), plan: scenario.plan.clone(), ..CONFIG.clone() };
        let beginning = Beginning::default();
        let (routing, notices) = routing_of(scenario, &beginning);
        World {
            scenario,
            random: Rng::with_seed(!scenario.seed),
            poisson: SmallRng::seed_from_u64(scenario.seed),
            course: Course::new(config.policy.clone(), config.plan.clone(), beginning.state, Duration::ZERO),
            config,
            view: routing.view(),
            routing,
            notices,
            rollback: None,
            disk: Disk::new(scenario.disk.clone()),
            reports: VecDeque::new(),
            recording: replays.then(Recording::default),
            witness: Witness::new(scenario),
            tick: Tick::default(),
            played: Duration::ZERO,
            clock: Clock { began: Duration::ZERO, shows: Duration::ZERO },
            reactions: Vec::new(),
            over_at: scenario.length,
            report: Report::default(),
        }
    }

    fn play(&mut self) -> Checked {
        let start = release::Input::Start { actor: ALICE.to_owned(), reason: "v2".to_owned() };
        self.reactions.push((self.scenario.start, Order::Operator(start)));
        let mut orders: VecDeque<_> = self.scenario.orders.iter().cloned().collect();
        let mut crashes: VecDeque<_> = self.scenario.crashes.iter().copied().collect();
        let mut next_tick = self.scenario.tick;
        while next_tick < self.over_at {
            let reaction = self.reactions.iter().map(|(at, _)| *at).min();
            let ordered = orders.front().map(|(at, _)| *at);
            let crashed = crashes.front().map(|(at, _)| *at);
            let at = [Some(next_tick), reaction, ordered, crashed].into_iter().flatten().min().expect("ticks go on");
            self.answers(at)?;
            if crashed == Some(at) {
                let (_, crash) = crashes.pop_front().expect("it was seen");
                self.traffic(at)?;
                self.crash(crash, at)?;
            } else if ordered == Some(at) {
                let (_, order) = orders.pop_front().expect("it was seen");
                self.obey(order, at)?;
            } else if reaction == Some(at) {
                let index = self.reactions.iter().position(|(due, _)| *due == at).expect("it was seen");
                let (_, order) = self.reactions.swap_remove(index);
                self.obey(order, at)?;
            } else {
                self.tick_at(at)?;
                next_tick = at + self.scenario.tick;
                if self.random.f64() < self.scenario.late_ticks {
                    next_tick += Duration::from_secs(self.random.u64(1..=120));
                    self.see("late tick");
                }
            }
        }
        for (what, count) in &self.disk.seen {
            *self.report.seen.entry(what).or_default() += count;
        }
        self.report.trials = self.witness.trials;
        self.report.false_alarms = self.witness.false_alarms.clone();
        self.report.unjust = self.witness.unjust.clone();
        if let Some(recording) = &self.recording {
            self.report.replayed = recording.replay(&self.config)?;
        }
        Ok(())
    }

    fn see(&mut self, what: &'static str) {
        *self.report.seen.entry(what).or_default() += 1;
    }

    /// What the clock of the core shows.
    fn core(&self, at: Duration) -> Duration {
        self.clock.shows + (at - self.clock.began)
    }

    /// Requests up to `at`, one after the other.
    fn traffic(&mut self, at: Duration) -> Checked {
        let (from, length) = (self.played, at - self.played);
        self.played = at;
        let expected = self.scenario.rate_at(at) * length.as_secs_f64();
        if expected <= 0.0 {
            return Ok(());
        }
        let requests = Poisson::new(expected).expect("more than none").sample(&mut self.poisson) as u64;
        self.report.requests += requests;
        for _ in 0..requests {
            let when = from + length.mul_f64(self.random.f64());
            let table = self.view.load().table;
            let green = self.random.f64() < table.weight().ratio();
            let version = if green { Version::Green } else { Version::Blue };
            self.witness.routed(version, table, at)?;
            let fault = self.scenario.fault(table.roles.section(version), when, &mut self.random);
            let fails = fault == Some(What::Fails) || self.random.f64() < self.scenario.error_rate;
            let charge = match fault {
                Some(What::ChargedToNobody) => Charge::Nobody,
                _ if fails => Charge::Failed,
                Some(What::Fails | What::Slow) | None => Charge::Served,
            };
            // Most answers take about 20 ms, some ten times as long.
            let usual = 0.020 * (0.6 + 0.8 * self.random.f64()) / (1.0 - 0.85 * self.random.f64().powi(6));
            let slow = if fault == Some(What::Slow) { 25.0 } else { 1.0 };
            let latency = (charge != Charge::Nobody).then(|| Duration::from_secs_f64(usual * slow));
            self.witness.ended(version, charge, latency);
            if table.epoch == self.course.epoch() {
                self.tick.samples.of_mut(version).evidence.record(charge, latency);
            }
            if self.scenario.policy.streak.is_some() {
                self.routing.observe(Answer::of(version, charge, table.routed()));
                self.listen(at)?;
            }
        }
        Ok(())
    }

    /// Takes what the workers tell, at once.
    fn listen(&mut self, at: Duration) -> Checked {
        while let Ok(notice) = self.notices.try_recv() {
            let (Notice::Convicted { epoch, row, .. } | Notice::Probing { epoch, row } | Notice::Common { epoch, row }) =
                notice;
            if epoch != self.course.epoch() {
                continue;
            }
            let streak = match notice {
                Notice::Convicted { .. } => {
                    self.witness.streak_convicted(at)?;
                    Streak::Convicted
                }
                Notice::Probing { .. } => Streak::Probing,
                Notice::Common { .. } => Streak::Common,
            };
            // With ticks as long as these, what was counted at two weights must not be taken for one tick's.
            if streak == Streak::Probing {
                self.count(at)?;
            }
            self.feed(&Input::Streak(StreakFound { came_to: streak, row: Some(row) }), at)?;
        }
        Ok(())
    }

    fn tick_at(&mut self, at: Duration) -> Checked {
        self.traffic(at)?;
        self.count(at)
    }

    /// Gives the core what was counted.
    fn count(&mut self, at: Duration) -> Checked {
        self.report.ticks += 1;
        let counted = std::mem::take(&mut self.tick);
        self.witness.counted(self.core(at));
        let health = self.scenario.health(at);
        self.feed(&Input::Tick { counted: &counted, health }, at)?;
        self.witness.judged(&self.course, self.core(at))?;
        let mut counted = counted;
        for version in Version::BOTH {
            counted.samples.of_mut(version).evidence.clear();
        }
        self.tick = counted;
        Ok(())
    }

    fn obey(&mut self, order: Order, at: Duration) -> Checked {
        self.tick_at(at)?;
        match order {
            Order::Operator(input) => self.feed(&Input::Operator(input), at),
            Order::Signal(posted) => {
                self.witness.signalled(&posted, self.core(at));
                self.feed(&Input::Signal(posted), at)
            }
            Order::Answer(answered) => {
                self.witness.gate.answered(&answered, self.core(at));
                self.feed(&Input::Answered(answered), at)?;
                // What has passed counts for less time than most ticks take.
                self.reactions.push((at + Duration::from_secs(1), Order::Look));
                Ok(())
            }
            Order::Look => Ok(()),
        }
    }

    /// As `control` does it.
    fn feed(&mut self, input: &Input<'_>, at: Duration) -> Checked {
        let now = self.core(at);
        self.witness.before(&self.course, now);
        let before = self.course.state().clone();
        let effects = match self.course.take(input.clone(), now) {
            Ok(effects) => effects,
            Err(refusal) => {
                self.see("refusal");
                return self.witness.refused(&refusal, input, &before, self.course.state(), at);
            }
        };
        self.witness.ordered(&effects, at)?;
        let mut told = Vec::new();
        for effect in effects {
            if let Effect::Ask(question) = effect {
                self.ask(question, at);
            }
            self.carry_out(effect, now, &before, &mut told);
        }
        if let Some(recording) = &mut self.recording {
            recording.input(input, now);
            told.iter()
                .for_each(|(kind, actor, sentence)| recording.decided(&self.course, *kind, actor, sentence, now));
        }
        self.witness.after(&self.course, self.routing.table(), now)?;
        for (kind, actor, sentence) in &told {
            self.see(kind.name());
            self.witness.told(&self.course, input, *kind, actor, sentence, now)?;
            self.react(*kind, actor, at);
        }
        if !told.is_empty() {
            self.write(at);
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect, now: Duration, before: &State, told: &mut Vec<(Told, String, String)>) {
        match effect {
            Effect::Latch { epoch } => _ = self.routing.latch(epoch),
            Effect::Revert { epoch } => _ = self.routing.revert(epoch),
            Effect::Route { epoch, weight } => _ = self.routing.route(epoch, weight),
            // No route is told apart.
            Effect::TakeBack { .. } => {}
            Effect::Ask(_) | Effect::Try { .. } => {}
            Effect::Complete { epoch } => _ = self.routing.complete(epoch),
            Effect::Begin { .. } => {
                self.report.releases += 1;
                self.rollback = None;
                self.over_at = self.scenario.length;
                if let Some(recording) = &mut self.recording {
                    recording.begin(before.epoch(), &self.course, now);
                }
            }
            Effect::Tell { kind, actor, sentence } => told.push((kind, actor, sentence)),
            Effect::Notify { sentence, .. } => told.push((Told::Notified, "gate".to_owned(), sentence)),
        }
    }
}
