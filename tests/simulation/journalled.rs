//! The real control task over a journal whose disk is played: what flips at once, what is told only when it is durable,
//! and what a crash at any instant leaves of it.
//!
//! `PORTCULLIS_SIMULATION_SEED=N` plays one run, `PORTCULLIS_SIMULATION_RUNS=N` another number of runs.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use fastrand::Rng;
use portcullis::config::{self, Config, Environment};
use portcullis::control::command::{Change, Failed};
use portcullis::control::ledger::Ledger;
use portcullis::control::restore::Beginning;
use portcullis::control::status::Status;
use portcullis::gate::streak::Answer;
use portcullis::gate::{Charge, Version};
use portcullis::journal::{Journal, Queue, ReleaseRecord, Restored, StateRecord, WriteError};
use portcullis::release::{Acknowledged, Epoch, Input, Kind, Weight};
use portcullis::routing::Route;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::ledger::{Checked, Violation, broken};
use super::wiring::{Wired, wire};
use super::{RUNS, run::set_weight};
use crate::support::number;

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let text = r#"
listen: 127.0.0.1:8080
admin: { listen: 127.0.0.1:9090 }
blue:  { version: v1, endpoints: ["127.0.0.1:9001"] }
green: { version: v2, endpoints: ["127.0.0.1:9002"] }
gate: { compare: { enabled: false }, triggers: [{ name: dead, metric: failureStreak, atLeast: 2, action: rollback }] }
"#;
    config::parse(text, "journalled.yaml", Path::new(""), &Environment::default())
        .unwrap_or_else(|faults| panic!("{faults}"))
});

/// How long the ledger waits for a disk before it tells all the same.
const PATIENCE: Duration = Duration::from_secs(8);

const HAPPENINGS: usize = 80;

/// Each lets the control task go on as far as it can without time passing.
const TURNS: usize = 30;

const TICK: Duration = Duration::from_millis(100);

/// So many failures in a row, with so many answers of blue after each, convict at whatever weight.
const MOST_FAILURES: usize = 8;
const ANSWERS_OF_BLUE: usize = 30;

/// After a failure the state is written again within this time.
const HEALS_WITHIN: Duration = Duration::from_secs(6);

type Answering = JoinHandle<Result<Arc<Status>, Failed>>;

/// One run.
struct Play {
    random: Rng,
    wired: Wired,
    queue: Queue,
    started: Instant,
    /// What the disk has.
    durable: (Option<StateRecord>, Option<ReleaseRecord>),
    asked: Vec<Answering>,
    /// When each epoch was latched, as far as that was in this process.
    latched: Vec<(Epoch, Duration)>,
    /// The last epoch whose rollback came with a write that was answered, and how.
    answered: Option<(Epoch, Result<(), WriteError>)>,
    alarms: u64,
    /// Events of a rollback.
    told: u64,
}

/// All runs, played once for both tests: how many rollbacks were told, and what was broken.
static RUN: LazyLock<(u64, Vec<(u64, Violation)>)> = LazyLock::new(|| {
    let seeds = match number("PORTCULLIS_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PORTCULLIS_SIMULATION_RUNS").unwrap_or(RUNS),
    };
    let mut told = 0;
    let mut violations = Vec::new();
    for seed in seeds {
        let (rollbacks, outcome) = play(seed);
        told += rollbacks;
        violations.extend(outcome.err().map(|violation| (seed, violation)));
    }
    println!("{told} rollbacks told over a played journal");
    (told, violations)
});

fn kept(promise: u8) {
    let (told, violations) = &*RUN;
    let broken: Vec<String> = violations
        .iter()
        .filter(|(_, violation)| violation.promise == promise)
        .map(|(seed, violation)| format!("seed {seed}: {}", violation.what))
        .collect();
    assert!(broken.is_empty(), "{} runs broke promise {promise}\n{}", broken.len(), broken.join("\n"));
    assert!(*told > 0, "no rollback was told");
}

#[test]
fn promise_1_every_rollback_flips_while_the_journal_has_answered_nothing() {
    kept(1);
}

#[test]
fn promise_2_no_rollback_is_told_before_it_is_durable_and_none_is_forgotten_by_a_crash_or_a_disk_that_fails() {
    kept(2);
}

fn play(seed: u64) -> (u64, Checked) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O").block_on(async {
        let mut play = Play::new(seed);
        let outcome = play.run().await;
        (play.told, outcome)
    })
}

fn start(durable: &(Option<StateRecord>, Option<ReleaseRecord>)) -> (Wired, Queue) {
    let (journal, queue) = Journal::scripted();
    let (state, release) = durable.clone();
    let beginning = state.clone().map_or_else(Beginning::default, |state| Beginning::restored(state, &CONFIG));
    let restored = Restored { state, release, ..Restored::default() };
    let ledger = Ledger::new(Some(journal), &CONFIG.text, restored, beginning.began);
    (wire(&CONFIG, beginning, ledger, Vec::new()), queue)
}

impl Play {
    fn new(seed: u64) -> Play {
        let durable = (None, None);
        let (wired, queue) = start(&durable);
        Play {
            random: Rng::with_seed(seed),
            wired,
            queue,
            started: Instant::now(),
            durable,
            asked: Vec::new(),
            latched: Vec::new(),
            answered: None,
            alarms: 0,
            told: 0,
        }
    }

    async fn run(&mut self) -> Checked {
        settle().await;
        for _ in 0..HAPPENINGS {
            let longest = if self.random.u8(..8) == 0 { 10_000 } else { 600 };
            tokio::time::advance(Duration::from_millis(self.random.u64(..longest))).await;
            settle().await;
            self.listen()?;
            match self.random.u8(..20) {
                0..4 => {
                    let percent = f64::from(self.random.u8(1..=100));
                    self.ask(set_weight(Weight::from_percent(percent).expect("a weight"))).await;
                }
                4..6 => self.ask(Change::Operator(Input::Start { actor: alice(), reason: String::new() })).await,
                6..8 => self.withdraw().await?,
                8..11 => self.fail()?,
                11..18 => self.disk(),
                18 if self.random.bool() => self.crash().await?,
                _ => {}
            }
            self.notes_latch();
            settle().await;
            self.listen()?;
        }
        self.heal().await
    }

    /// An operator asks; the answer may come much later.
    async fn ask(&mut self, change: Change) {
        let commands = self.wired.commands.clone();
        self.asked.push(tokio::spawn(async move { commands.send(change).await }));
        settle().await;
    }

    async fn withdraw(&mut self) -> Checked {
        let withdraw = Input::Withdraw { actor: alice(), reason: String::new(), acknowledged: Acknowledged::No };
        self.ask(Change::Operator(withdraw)).await;
        let table = self.wired.routing.table();
        if table.route != Route::Latched {
            return broken(1, format!("at {:?} a rollback was asked for, and the table is {table:?}", self.now()));
        }
        Ok(())
    }

    /// Green fails in a row, and a worker sees it.
    fn fail(&mut self) -> Checked {
        let table = self.wired.routing.table();
        if table.weight() == Weight::ZERO {
            return Ok(());
        }
        let routing = &self.wired.routing;
        for _ in 0..MOST_FAILURES {
            routing.observe(Answer::of(Version::Green, Charge::Failed, routing.table().routed()));
            for _ in 0..ANSWERS_OF_BLUE {
                routing.observe(Answer::of(Version::Blue, Charge::Served, routing.table().routed()));
            }
        }
        let table = self.wired.routing.table();
        if table.route != Route::Latched {
            return broken(1, format!("at {:?} green failed in a row, and the table is {table:?}", self.now()));
        }
        Ok(())
    }

    /// The disk answers a few writes, and fails some of them.
    fn disk(&mut self) {
        for _ in 0..self.random.usize(1..=4) {
            let Some(queued) = self.queue.next() else { return };
            let result = if self.random.u8(..5) == 0 { Err(WriteError::Full) } else { Ok(()) };
            self.written(&queued.write.state, queued.write.release.as_ref(), result.is_ok());
            if let Some(epoch) = latch_of(&queued.write.state) {
                self.answered = Some((epoch, result.clone()));
            }
            queued.answer(result);
        }
    }

    fn written(&mut self, state: &StateRecord, release: Option<&ReleaseRecord>, comes_through: bool) {
        if comes_through {
            self.durable.0 = Some(state.clone());
            self.durable.1 = release.cloned().or(self.durable.1.take());
        }
    }

    /// The process ends; of what was queued any number of writes may have come through, in their order.
    async fn crash(&mut self) -> Checked {
        let proved = self.durable.0.as_ref().and_then(latch_of);
        for _ in 0..self.random.usize(..4) {
            let Some(queued) = self.queue.next() else { break };
            self.written(&queued.write.state, queued.write.release.as_ref(), true);
        }
        self.wired.task.abort();
        self.asked.clear();
        (self.wired, self.queue) = start(&self.durable);
        (self.latched, self.answered) = (Vec::new(), None);
        settle().await;
        let table = self.wired.routing.table();
        if proved >= Some(table.epoch) && table.route != Route::Latched {
            return broken(2, format!("at {:?} a restart makes {table:?} of a latch of {proved:?}", self.now()));
        }
        Ok(())
    }

    fn notes_latch(&mut self) {
        let table = self.wired.routing.table();
        let known = self.latched.iter().any(|(epoch, _)| *epoch == table.epoch);
        if table.route == Route::Latched && !known {
            self.latched.push((table.epoch, self.now()));
        }
    }

    /// Everything that is told of rollbacks: in events, in the status, and in answers.
    fn listen(&mut self) -> Checked {
        self.notes_latch();
        let mut told = Vec::new();
        while let Ok(event) = self.wired.events.try_recv() {
            match event.kind {
                Kind::RolledBack => {
                    self.told += 1;
                    told.push(event.epoch);
                }
                Kind::JournalFailed => self.alarms += 1,
                _ => {}
            }
        }
        let status = Arc::clone(&self.wired.status.borrow());
        told.extend((status.state == "rolledBack").then_some(status.epoch));
        for epoch in told {
            self.may_tell(epoch)?;
        }
        Ok(())
    }

    /// Whether the disk has the rollback of `epoch`, or has said no, or has been waited for.
    fn may_tell(&self, epoch: Epoch) -> Checked {
        let now = self.now();
        let has = self.durable.0.as_ref().is_some_and(|state| latch_of(state) >= Some(epoch) || is_later(state, epoch));
        let refused = self.answered.as_ref().is_some_and(|(of, result)| *of >= epoch && result.is_err());
        let waited = self.latched.iter().any(|(of, at)| *of == epoch && now - *at >= PATIENCE);
        if !has && (refused || waited) && self.alarms == 0 {
            return broken(2, format!("at {now:?} the disk does not have it, and there was no alarm"));
        }
        if has || refused || waited {
            return Ok(());
        }
        broken(2, format!("at {now:?} the rollback of epoch {epoch} is told, and the disk does not have it"))
    }

    /// From here on the disk is well, and everything comes to it.
    async fn heal(&mut self) -> Checked {
        let ticks = HEALS_WITHIN.as_millis() / TICK.as_millis();
        for _ in 0..ticks {
            tokio::time::advance(TICK).await;
            settle().await;
            self.notes_latch();
            while let Some(queued) = self.queue.next() {
                self.written(&queued.write.state, queued.write.release.as_ref(), true);
                queued.answer(Ok(()));
            }
            settle().await;
            self.listen()?;
        }
        let table = self.wired.routing.table();
        let latch = self.durable.0.as_ref().and_then(latch_of);
        if table.route == Route::Latched && latch != Some(table.epoch) {
            return broken(2, format!("the disk is well, and has {latch:?} of {table:?}"));
        }
        if let Some(asked) = self.asked.iter().find(|asked| !asked.is_finished()) {
            return broken(2, format!("the disk is well, and nobody answers: {asked:?}"));
        }
        let status = Arc::clone(&self.wired.status.borrow());
        if (status.epoch, status.weight) != (table.epoch, table.weight()) {
            return broken(2, format!("the disk is well, and the status is of {}: {table:?}", status.epoch));
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

fn alice() -> String {
    "alice".to_owned()
}

async fn settle() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

fn latch_of(state: &StateRecord) -> Option<Epoch> {
    state.latch.as_ref().map(|_| Epoch::from(state.epoch))
}

fn is_later(state: &StateRecord, epoch: Epoch) -> bool {
    Epoch::from(state.epoch) > epoch
}
