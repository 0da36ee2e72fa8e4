//! The one task that owns the release. It ticks, judges, and carries out the effects of every transition.
//!
//! [`command`] is how others ask, [`status`] and [`event`] what they are told. It has a thread of its own, which neither
//! the data plane nor the admin API can starve.

pub mod command;
pub mod event;
pub mod status;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::config::Config;
use crate::gate::verdict::{self, streak_convicts, streak_is_common, streak_probes};
use crate::gate::{Action, Gate, Order, Policy, Verdict, Version};
use crate::measure::window::SHORTEST_SLOT;
use crate::measure::{Collectors, Windows};
use crate::proxy::Upstreams;
use crate::release::state::{GATE, OPERATOR};
use crate::release::{Cause, Effect, Epoch, Held, Input, PauseReason, Refusal, State, Weight};
use crate::routing::{Notice, Route, Routing};
use crate::telemetry::Telemetry;
use command::{Change, Command};
use event::{Event, Events, Kind};
use status::{Names, Rollback, Status};

/// How often the workers' shards are taken and the triggers judged.
const TICK: Duration = SHORTEST_SLOT;

/// How long nobody may raise the weight after both versions failed in a row.
const COMMON_STREAK_FREEZES: Duration = Duration::from_secs(10);

const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// What `control` works on.
pub struct Inputs {
    pub routing: Arc<Routing>,
    pub collectors: Collectors,
    pub notices: mpsc::Receiver<Notice>,
    pub commands: mpsc::Receiver<Command>,
    pub upstreams: Arc<Upstreams>,
    pub telemetry: Telemetry,
}

/// What `control` publishes.
pub struct Outputs {
    pub status: watch::Sender<Arc<Status>>,
    pub events: Events,
}

/// The task's state.
pub struct Control {
    started: Instant,
    names: Names,
    policy: Policy,
    state: State,
    gate: Gate,
    windows: Windows,
    verdict: Verdict,
    rollback: Option<Rollback>,
    /// When both versions last failed in a row.
    common_streak: Option<(Duration, String)>,
    inputs: Inputs,
    outputs: Outputs,
}

impl Control {
    pub fn new(config: &Config, inputs: Inputs, outputs: Outputs) -> Control {
        let policy = config.policy.clone();
        let epoch = inputs.routing.table().epoch;
        Control {
            started: Instant::now(),
            names: Names::new(config),
            state: State::Idle { epoch },
            gate: Gate::new(policy.triggers.clone()),
            windows: Windows::new(&policy),
            verdict: Verdict::wait(NO_RELEASE),
            rollback: None,
            common_streak: None,
            policy,
            inputs,
            outputs,
        }
    }

    /// Runs until every sender of commands is gone.
    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut upkeep = tokio::time::interval(UPKEEP_EVERY);
        loop {
            tokio::select! {
                biased;
                Some(notice) = self.inputs.notices.recv() => self.noticed(notice),
                command = self.inputs.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                _ = tick.tick() => self.tick(),
                _ = upkeep.tick() => self.inputs.telemetry.upkeep(),
            }
            self.publish();
        }
    }

    fn tick(&mut self) {
        self.catch_up();
        let now = self.started.elapsed();
        self.collect(now);
        self.windows.advance(now);
        if !self.state.is_open() {
            return;
        }
        let Control { gate, windows, .. } = self;
        let judgement = gate.judge(|trigger| windows.evidence(trigger.window, trigger.condition.span()), now);
        let judged_at = Instant::now();
        self.verdict = judgement.verdict;
        for order in judgement.orders {
            self.order(order, judged_at);
        }
        let common_streak = self.common_streak.as_ref().filter(|(at, _)| now - *at < COMMON_STREAK_FREEZES);
        let common = judgement.freeze.is_some();
        let freeze = judgement.freeze.or_else(|| common_streak.map(|(_, sentence)| sentence.clone()));
        self.freeze(freeze);
        match (self.verdict.kind, self.state.pause()) {
            // What holds the release now is said by what judged it now.
            (verdict::Kind::Fail, _) => {}
            (verdict::Kind::Pass | verdict::Kind::Wait, _) if common => {}
            (verdict::Kind::Pass | verdict::Kind::Wait, Some(pause)) => {
                self.verdict = Verdict::wait(pause.sentence());
            }
            (verdict::Kind::Pass | verdict::Kind::Wait, None) => {}
        }
    }

    fn order(&mut self, order: Order, judged_at: Instant) {
        if !self.state.is_open() {
            return;
        }
        match order {
            Order::Rollback { trigger, sentence } => {
                let cause = Cause { trigger, reason: sentence, actor: GATE.to_owned() };
                self.roll_back(cause, judged_at);
            }
            Order::Pause { trigger, sentence } => {
                self.take(Input::Pause(Held { trigger, sentence: sentence.clone() }));
                self.tell(Kind::Paused, GATE, sentence);
            }
            Order::Probe { trigger, sentence } => {
                self.take(Input::Probe(Held { trigger, sentence: sentence.clone() }));
                self.tell(Kind::Probing, GATE, sentence);
            }
            Order::Notify { trigger, sentence } => {
                self.inputs.telemetry.notified(&trigger);
                self.tell(Kind::Notified, GATE, sentence);
            }
        }
    }

    fn freeze(&mut self, wanted: Option<String>) {
        let frozen = matches!(self.state.pause(), Some(PauseReason::CommonCause { .. }));
        match wanted {
            Some(sentence) if !frozen && self.state.is_open() => {
                self.take(Input::Freeze { sentence: sentence.clone() });
                self.tell(Kind::Frozen, GATE, sentence);
            }
            None if frozen => {
                self.take(Input::Thaw);
                self.tell(Kind::Thawed, GATE, "the common cause has passed".to_owned());
            }
            Some(_) | None => {}
        }
    }

    /// Learns what the workers did before anything else is decided: also when their notice got lost.
    fn catch_up(&mut self) {
        while let Ok(notice) = self.inputs.notices.try_recv() {
            self.noticed(notice);
        }
        let table = self.inputs.routing.table();
        if self.state.is_open() && table.epoch == self.state.epoch() && table.route == Route::Latched {
            self.streak_convicted(None);
        }
    }

    fn noticed(&mut self, notice: Notice) {
        let (Notice::Convicted { epoch, .. } | Notice::Probing { epoch } | Notice::Common { epoch }) = notice;
        if epoch != self.state.epoch() {
            return;
        }
        if let (Notice::Convicted { reaction, .. }, Some(rollback)) = (notice, &mut self.rollback) {
            // The table was seen before the worker could tell of it.
            rollback.reaction_micros.get_or_insert(reaction.as_secs_f64() * 1e6);
        }
        if !self.state.is_open() {
            return;
        }
        match notice {
            Notice::Convicted { reaction, .. } => self.streak_convicted(Some(reaction)),
            Notice::Probing { .. } => self.streak_probes(),
            Notice::Common { .. } => {
                let sentence = self.policy.streak.as_ref().map(streak_is_common).unwrap_or_default();
                self.common_streak = Some((self.started.elapsed(), sentence.clone()));
                self.verdict = Verdict::wait(sentence.clone());
                self.freeze(Some(sentence));
            }
        }
    }

    fn streak_convicted(&mut self, reaction: Option<Duration>) {
        let Some(streak) = &self.policy.streak else { return };
        let (trigger, sentence) = (streak.name.clone(), streak_convicts(streak));
        match streak.action {
            Action::Rollback => {
                self.verdict = Verdict::fail(sentence.clone());
                let cause = Cause { trigger, reason: sentence, actor: GATE.to_owned() };
                self.take(Input::RollBack(cause.clone()));
                self.rolled_back(cause, reaction);
            }
            Action::Pause => self.order(Order::Pause { trigger, sentence }, Instant::now()),
            Action::Notify => self.order(Order::Notify { trigger, sentence }, Instant::now()),
        }
    }

    fn streak_probes(&mut self) {
        let Some(streak) = self.policy.streak.as_ref().filter(|streak| streak.action == Action::Rollback) else {
            return;
        };
        let (trigger, sentence) = (streak.name.clone(), streak_probes(streak));
        self.verdict = Verdict::wait(sentence.clone());
        self.order(Order::Probe { trigger, sentence }, Instant::now());
    }

    fn roll_back(&mut self, cause: Cause, judged_at: Instant) {
        if matches!(self.state, State::RolledBack { .. }) {
            return;
        }
        self.verdict = Verdict::fail(cause.reason.clone());
        self.take(Input::RollBack(cause.clone()));
        self.rolled_back(cause, Some(judged_at.elapsed()));
    }

    fn rolled_back(&mut self, cause: Cause, reaction: Option<Duration>) {
        self.inputs.telemetry.rolled_back(&cause.trigger, reaction);
        tracing::warn!(
            trigger = cause.trigger,
            actor = cause.actor,
            reason = cause.reason,
            reaction_micros = reaction.map(|reaction| reaction.as_secs_f64() * 1e6),
            "rolled back: all traffic goes to blue"
        );
        self.rollback = Some(Rollback::new(&cause, Timestamp::now(), reaction));
        let event = Event::new(Kind::RolledBack, &cause.actor, cause.reason, &self.state);
        self.send(event);
    }

    /// Whoever hears of an event and asks for the status finds it there.
    fn send(&mut self, event: Event) {
        self.publish();
        self.outputs.events.send(event);
    }

    /// Takes an input of the gate's own, which is never refused.
    fn take(&mut self, input: Input) {
        if let Err(refusal) = self.apply(input) {
            tracing::error!(%refusal, "the state machine refused an order of the gate");
        }
    }

    fn apply(&mut self, input: Input) -> Result<(), Refusal> {
        let idle = State::Idle { epoch: Epoch::default() };
        let (state, result) = match std::mem::replace(&mut self.state, idle).apply(input) {
            Ok((state, effects)) => {
                effects.into_iter().for_each(|effect| self.carry_out(effect));
                (state, Ok(()))
            }
            Err((state, refusal)) => (state, Err(refusal)),
        };
        self.state = state;
        result
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Latch { epoch } => _ = self.inputs.routing.latch(epoch),
            Effect::Route { epoch, weight } => _ = self.inputs.routing.route(epoch, weight),
            Effect::Begin { .. } => {
                self.windows.clear();
                self.gate.reset();
                self.rollback = None;
                self.common_streak = None;
                self.verdict = Verdict::wait("the release has just begun");
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let Command { change, actor, reason, reply } = command;
        let received_at = Instant::now();
        self.catch_up();
        let result = match change {
            Change::Weight(weight) => self.apply(Input::SetWeight(weight)).map(|()| {
                self.tell(Kind::WeightSet, &actor, explained(format!("weight set to {weight}"), &reason));
            }),
            Change::Start => self.apply(Input::Start).map(|()| {
                self.tell(Kind::Started, &actor, explained("release started at weight 0 %".to_owned(), &reason));
            }),
            Change::RollBack => {
                let reason = explained(format!("rolled back by {actor}"), &reason);
                self.roll_back(Cause { trigger: OPERATOR.to_owned(), reason, actor }, received_at);
                Ok(())
            }
        };
        self.catch_up();
        self.publish();
        let answer = result.map(|()| self.outputs.status.borrow().clone());
        if reply.send(answer).is_err() {
            tracing::debug!("whoever asked did not wait for the answer");
        }
    }

    fn tell(&mut self, kind: Kind, actor: &str, sentence: String) {
        tracing::info!(
            event = kind.name(),
            actor,
            epoch = %self.state.epoch(),
            weight = self.state.weight().percent(),
            sentence
        );
        let event = Event::new(kind, actor, sentence, &self.state);
        self.send(event);
    }

    /// Takes the shards: all of them are counted, those of the present epoch are evidence.
    fn collect(&mut self, now: Duration) {
        let Control { inputs: Inputs { collectors, telemetry, .. }, windows, state, .. } = self;
        let tick = collectors.tick(state.epoch(), |shard| {
            shard.counts.iter().for_each(|count| telemetry.count(count));
            telemetry.panics(shard.panics);
            for version in Version::BOTH {
                telemetry.latencies(version, shard.samples.of(version));
                telemetry.latencies(version, shard.aside.of(version));
            }
        });
        windows.add(tick.samples.as_ref(), now);
        telemetry.open(&tick.gauges);
    }

    fn publish(&mut self) {
        if matches!(self.state, State::Idle { .. }) {
            self.verdict = Verdict::wait(NO_RELEASE);
        }
        let telemetry = &self.inputs.telemetry;
        telemetry.weight(self.weight());
        telemetry.state(self.state.name());
        telemetry.verdict(self.verdict.kind);
        for version in Version::BOTH {
            for (endpoint, healthy) in self.inputs.upstreams.each(version) {
                telemetry.endpoint(version, endpoint.to_string(), healthy);
            }
        }
        let status = Status::new(
            &self.names,
            &self.state,
            self.weight(),
            &self.windows,
            &self.inputs.upstreams,
            &self.verdict,
            self.rollback.clone(),
        );
        self.outputs.status.send_replace(Arc::new(status));
    }

    /// The weight that the workers route by, which a streak may have lowered a moment ago.
    fn weight(&self) -> Weight {
        self.inputs.routing.table().weight()
    }
}

/// The verdict's sentence while nothing is released.
pub const NO_RELEASE: &str = "no release is open: all traffic goes to blue";

fn explained(what: String, reason: &str) -> String {
    if reason.is_empty() { what } else { format!("{what}: {reason}") }
}
