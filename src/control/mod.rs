//! The one task that owns the release: it feeds the deciding core and carries out what that says.
//!
//! [`command`] is how others ask, [`obeying`] what is made of it, [`changes`] what they may change while the process runs, [`status`] and [`event`] what they are told. [`recording`] has [`ledger`] record, which holds reports back
//! until the journal has them; [`slots`] is the core's input as it is recorded; [`restore`] begins from what was; [`revision`] tells which state somebody has seen;
//! [`lending`] gives the journal to a process that takes over, [`collecting`] is the way in of what is counted, [`noticing`] what the workers did by themselves, [`mirroring`] what becomes of copies, [`cohorts`] who is on green before others, [`taken_back`] which routes go to blue alone, [`telling`] the way out, [`deeds`] what is done about it elsewhere, [`acting`] by which of several replicas, [`outliers`] keeps one bad endpoint from being taken for a bad version, [`client_errors`] warns of them, [`replicas`] what several proxies tell each other of what they count, [`felt`] is what clients saw of failures, [`memory`] sheds requests before it runs out, [`ramping`] those that come back to a blue that suffers from them, [`learning`] finds routes, [`series`] and [`drawn`] are what charts are made of, [`asking`] is how it is found out whether a release may go on, [`watching`] what is told of blue after a rollback. It has a thread of its own, which neither the data plane nor the admin API can starve.

mod acting;
mod adopting;
pub mod asking;
pub mod changes;
mod client_errors;
mod cohorts;
mod collecting;
pub mod command;
pub mod deeds;
pub mod drawn;
pub mod event;
pub mod felt;
mod following;
mod learning;
pub mod ledger;
pub mod lending;
mod memory;
mod mirroring;
mod noticing;
mod obeying;
pub mod outliers;
pub mod ramping;
mod recording;
pub mod replicas;
pub mod restore;
pub mod revision;
pub mod series;
pub mod slots;
pub mod status;
mod taken_back;
mod telling;
pub mod together;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::actions::asking::Asking;
use crate::actions::outbox::Outbox;
use crate::actions::runner::Runner;
use crate::config::Config;
use crate::course::{Course, Input, Steps};
use crate::gate::ByVersion;
use crate::journal::Outcome;
use crate::live::Live;
use crate::measure::Collectors;
use crate::measure::window::SHORTEST_SLOT;
use crate::release::{self, Effect, Kind, Question, Refusal, State};
use crate::replica::Decision;
use crate::resolve::{Found as Resolved, Wanted};
use crate::routing::{Notice, Routing};
use crate::telemetry::Telemetry;
use client_errors::ClientErrors;
use cohorts::Served;
use command::{Command, Reply};
use deeds::Deeds;
use event::{Event, Events};
use felt::Felt;
use learning::Learnt;
use ledger::Ledger;
use lending::Lending;
use memory::Memory;
use mirroring::Differing;
use outliers::Outliers;
use ramping::Ramping;
use replicas::Replicas;
use restore::{Beginning, Clock, Found};
use revision::Revision;
use series::{Charting, Series};
use status::{Names, Rollback, Status};
use together::Together;

/// How often the workers' shards are taken and the release judged.
const TICK: Duration = SHORTEST_SLOT;

const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The actor of what the proxy itself has to say.
const PROXY: &str = "proxy";

/// What `control` works on.
pub struct Inputs {
    pub routing: Arc<Routing<Live>>,
    pub collectors: Collectors,
    pub notices: mpsc::Receiver<Notice>,
    pub commands: mpsc::Receiver<Command>,
    /// What the names among the endpoints stand for.
    pub found: mpsc::Receiver<Resolved>,
    pub telemetry: Telemetry,
    pub ledger: Ledger,
    /// Who carries actions out.
    pub runner: Runner,
    /// Of whoever gives the journal to another process.
    pub lending: mpsc::Receiver<Lending>,
    pub asking: Asking,
    /// The other replicas.
    pub together: Together,
    /// What other proxies count that judge the same release.
    pub replicas: Replicas,
}

/// What `control` publishes.
pub struct Outputs {
    pub status: watch::Sender<Arc<Status>>,
    pub events: Events,
    pub series: Series,
    pub wanted: watch::Sender<Wanted>,
}

/// The task's state.
pub struct Control {
    clock: Clock,
    names: Names,
    course: Course,
    rollback: Option<Rollback>,
    outliers: Outliers,
    client_errors: ClientErrors,
    felt: Felt,
    differing: Differing,
    served: Served,
    memory: Memory,
    ramping: Ramping,
    learnt: Learnt,
    charting: Charting,
    deeds: Deeds,
    to_ask: Option<Question>,
    /// As the file was when it was last read.
    config: Config,
    /// The version that was rolled back last, and why.
    rolled_back: Option<(String, String)>,
    revision: Revision,
    /// The sentence of the last decision.
    last_told: Option<String>,
    inputs: Inputs,
    outputs: Outputs,
}

impl Control {
    pub fn new(config: &Config, beginning: Beginning, mut inputs: Inputs, outputs: Outputs) -> Control {
        let clock = Clock::from(beginning.clock);
        let charting = Charting::new(clock.now());
        let names = Names::new(&beginning.holding(config));
        let planned = beginning.planned(config);
        let mut course = Course::new(config.policy.clone(), planned, beginning.state, clock.now());
        course.set_exposed(beginning.exposed);
        course.set_watch(beginning.watch, clock.now());
        let outliers = Outliers::of(&inputs.routing.live().upstreams, beginning.table.roles, course.epoch());
        let client_errors = ClientErrors::new(beginning.table.routed(), clock.now());
        let rolled_back = beginning.rolled_back.clone().map(|version| (version, "before a restart".to_owned()));
        let (config, rollback) = (config.clone(), beginning.rollback);
        let (occasions, actions) = inputs.ledger.take_to_do();
        let runner = std::mem::replace(&mut inputs.runner, Runner::nowhere());
        let deeds = Deeds::new(Outbox::new(Arc::clone(&config.runbook), occasions, actions), runner);
        let mut control = Control {
            clock,
            names,
            course,
            rollback,
            outliers,
            client_errors,
            felt: Felt::default(),
            differing: Differing::default(),
            served: Served::default(),
            memory: Memory::new(config.limits.memory),
            ramping: Ramping::default(),
            learnt: Learnt::default(),
            charting,
            deeds,
            to_ask: None,
            config,
            rolled_back,
            revision: Revision::default(),
            last_told: None,
            inputs,
            outputs,
        };
        control.follow_routes();
        control.remember_rollback();
        control.beside();
        control.begin(&beginning.found);
        let first = control.inputs.together.others_mut().map(|among| std::mem::take(&mut among.first));
        control.act(first.unwrap_or_default());
        control
    }

    /// Runs until every sender of commands is gone, another process decides, or the process ends.
    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut upkeep = tokio::time::interval(UPKEEP_EVERY);
        loop {
            tokio::select! {
                biased;
                Some(notice) = self.inputs.notices.recv() => self.noticed(notice),
                answer = self.inputs.ledger.answer() => {
                    let reports = self.inputs.ledger.answered(&answer);
                    self.told(reports);
                    if let Err(error) = answer.result {
                        self.journal_failed(&error);
                    }
                }
                command = self.inputs.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => break,
                },
                Some(word) = self.inputs.lending.recv() => if self.lending(word).await.is_break() {
                    break;
                },
                Some(found) = self.inputs.found.recv() => self.resolved(&found),
                ended = self.deeds.runner.ended() => self.attempted(ended),
                Some(word) = self.inputs.replicas.heard() => self.heard_of_replicas(word),
                Some(answered) = self.inputs.asking.answers.recv(), if self.steps() != Steps::Waiting => {
                    self.answered(answered);
                }
                word = self.inputs.together.next() => self.hear(word),
                _ = tick.tick() => self.tick(),
                _ = upkeep.tick() => self.inputs.telemetry.upkeep(),
            }
            self.follow_up();
        }
        self.inputs.ledger.close();
    }

    /// What a restart means for the release that was open.
    fn begin(&mut self, found: &Found) {
        if let Some(difference) = self.difference() {
            tracing::warn!(difference, "the versions are not those of the configuration");
        }
        match found {
            Found::Nothing => {}
            Found::State if self.course.state().run().is_some() => {
                self.feed(&Input::Restarted, None).expect("no operator asks for it");
            }
            Found::State => {}
            Found::Superseded => {
                let sentence = "the proxy started with another green version".to_owned();
                let event = Event::new(Kind::RolledBack, PROXY.to_owned(), sentence, self.course.state());
                self.record(vec![event], Some((Timestamp::now(), Outcome::RolledBack)), None, self.clock.now());
            }
            Found::Unreadable => {
                let state = self.course.state();
                let sentence = match state {
                    State::RolledBack { cause, .. } => cause.reason.clone(),
                    State::Idle { .. } | State::Open(_) | State::Completed { .. } => String::new(),
                };
                self.inputs.telemetry.journal_failed();
                let event = Event::new(Kind::JournalFailed, PROXY.to_owned(), sentence, state);
                self.record(vec![event], None, None, self.clock.now());
            }
        }
    }

    fn tick(&mut self) {
        self.look_whether_it_stood_still();
        if let Some(among) = self.inputs.together.others_mut() {
            among.ticks();
        }
        self.look_at_memory();
        self.catch_up();
        let own = self.collect();
        let tick = self.summed(&own);
        self.learn();
        self.feed_beside(&tick);
        let (live, roles) = (self.inputs.routing.live(), self.inputs.routing.table().roles);
        let health = ByVersion::build(|version| live.upstreams.health(roles.section(version)));
        self.feed(&Input::Tick { counted: &tick, health }, None).expect("no operator asks for it");
        self.look_at_refuge(health.blue);
        self.see_to_actions();
        self.settle_felt();
        self.look_at_ramp(&own);
        self.chart();
        if self.inputs.ledger.is_to_flush()
            && let Err(error) = self.inputs.ledger.flush(self.state_record())
        {
            self.journal_failed(&error);
        }
    }

    /// Gives one input to the deciding core, carries out what it says, and records both.
    fn feed(&mut self, input: &Input<'_>, reply: Option<Reply>) -> Result<(), (Refusal, Option<Reply>)> {
        let now = self.clock.now();
        let was_open = self.course.state().run().is_some();
        self.course.set_steps(self.steps());
        let effects = match self.course.take(input.clone(), now) {
            Ok(effects) => effects,
            Err(refusal) => return Err((refusal, reply)),
        };
        let decided = Instant::now();
        self.count_for_charts(input, was_open);
        let decision = self.decision(&effects);
        let mut events = Vec::new();
        for effect in effects {
            let effect = if decision == Some(Decision::Raises) { self.hold_back(effect) } else { Some(effect) };
            if let Some(effect) = effect {
                self.carry_out(effect, decided, now, &mut events);
            }
        }
        self.beside();
        // After the effects: what opens a release belongs to the recording that it has just begun.
        self.inputs.ledger.input(input, now);
        match decision {
            None => self.decided(events, reply, now),
            Some(Decision::Raises) => self.wait_for_write(events, reply),
            Some(decision @ (Decision::Keeps | Decision::Latches)) => {
                let told = events.last().cloned();
                self.keep_to_act_on(&events);
                self.decided(events, reply, now);
                self.share(decision, told.as_ref());
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect, decided: Instant, now: Duration, events: &mut Vec<Event>) {
        let routing = &self.inputs.routing;
        match effect {
            Effect::Latch { epoch } => {
                if !self.inputs.together.is_alone() {
                    // It may have waited to be opened.
                    routing.open_shut(epoch);
                }
                // A worker may have done it already.
                let latched = routing.latch(epoch);
                self.rolled_back(latched.then(|| decided.elapsed()));
            }
            Effect::Revert { epoch } => {
                // The completion may still wait for its write.
                let reverted = routing.revert(epoch) || routing.latch(epoch);
                self.rolled_back(reverted.then(|| decided.elapsed()));
            }
            Effect::Route { epoch, weight } => _ = routing.route(epoch, weight),
            Effect::Ask(question) => self.to_ask = Some(question),
            Effect::Try { trigger } => self.deeds.tries.push_back(trigger),
            Effect::TakeBack { epoch, .. } => _ = routing.take_back(epoch, self.taken_back(&routing.live())),
            Effect::Complete { epoch } => _ = routing.complete(epoch),
            Effect::Begin { epoch } => {
                self.rollback = None;
                self.deeds.begin(epoch.number());
                self.begin_to_record(now);
            }
            Effect::Tell { kind, actor, sentence } => {
                events.push(Event::new(kind, actor, sentence, self.course.state()));
            }
            Effect::Notify { trigger, sentence } => {
                self.inputs.telemetry.notified(&trigger);
                events.push(Event::new(Kind::Notified, release::input::GATE.to_owned(), sentence, self.course.state()));
            }
        }
    }

    fn rolled_back(&mut self, reaction: Option<Duration>) {
        let State::RolledBack { cause, .. } = self.course.state() else { return };
        self.inputs.telemetry.rolled_back(&cause.trigger, reaction);
        self.rollback = Some(Rollback::new(cause, Timestamp::now(), reaction));
        self.remember_rollback();
    }
}
