//! Plays one scenario: virtual workers with real draws and recorders, and the real control task on a paused clock.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use fastrand::Rng;
use portcullis::config::{self, Config, Environment};
use portcullis::control::command::{Change, Commands};
use portcullis::control::event::Event;
use portcullis::control::ledger::Ledger as Journalled;
use portcullis::control::restore::Beginning;
use portcullis::control::status::Status;
use portcullis::gate::Outcome;
use portcullis::gate::streak::Answer;
use portcullis::journal::Restored;
use portcullis::live::Live;
use portcullis::measure::Gauges;
use portcullis::measure::clients::Drawn;
use portcullis::measure::shard::{Arm, Record, Recorder, Standing, Took, pair};
use portcullis::proxy::Draw;
use portcullis::release::input::{GATE, OPERATOR};
use portcullis::release::{Input, Kind as EventKind, Weight};
use portcullis::routing::{Route, Routing, View};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::Report;
use super::ledger::{Checked, Ledger, broken};
use super::scenario::{Kind, Scenario, What};
use super::wiring::{Wired, wire};

/// What every run configures in the same way; the policy is its own.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let text = r#"
listen: 127.0.0.1:8080
admin: { listen: 127.0.0.1:9090 }
blue:  { version: v1, endpoints: ["127.0.0.1:9001"] }
green: { version: v2, endpoints: ["127.0.0.1:9002"] }
"#;
    config::parse(text, "simulation.yaml", Path::new(""), &Environment::default())
        .unwrap_or_else(|faults| panic!("{faults}"))
});

struct Worker {
    view: View<Live>,
    draw: Draw,
    recorder: Recorder,
}

/// One run.
struct World<'a> {
    scenario: &'a Scenario,
    random: Rng,
    workers: Vec<Worker>,
    due: BinaryHeap<Reverse<Due>>,
    routing: Arc<Routing<Live>>,
    commands: Commands,
    status: watch::Receiver<Arc<Status>>,
    events: broadcast::Receiver<Event>,
    ledger: Ledger<'a>,
    started: Instant,
    scheduled: u64,
    report: Report,
}

struct Due {
    at: Duration,
    /// Tells apart what is due at the same time, so that a seed always gives the same run.
    number: u64,
    what: Happening,
}

enum Happening {
    Arrives,
    Ends { worker: usize, record: Record },
    HandsOver { worker: usize },
    Commanded(Change),
}

const HAND_OVER_EVERY: Duration = Duration::from_millis(50);
const TICK: Duration = Duration::from_millis(100);

/// A run without commands ends this long after its rollback.
const WATCHED_AFTER: Duration = Duration::from_secs(10);

/// How often control may be given the word before it must have answered.
const TURNS: usize = 100;

impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

pub fn play(scenario: &Scenario) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O").block_on(async {
        let mut world = World::new(scenario);
        let outcome = world.play().await;
        Report { violation: outcome.err(), ..world.report }
    })
}

/// What alice asks for when she sets the weight.
pub(super) fn set_weight(weight: Weight) -> Change {
    Change::Operator(Input::SetWeight { weight, actor: "alice".to_owned(), reason: String::new() })
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario) -> World<'a> {
        let config = Config { policy: scenario.policy.clone(), ..CONFIG.clone() };
        let mut random = Rng::with_seed(!scenario.seed);
        let (recorders, collectors): (Vec<_>, _) = (0..scenario.workers).map(|_| pair()).unzip();
        let ledger = Journalled::new(None, &config.text, Restored::default(), Duration::ZERO);
        let Wired { routing, commands, status, events, .. } = wire(&config, Beginning::default(), ledger, collectors);
        let worker = |recorder| Worker { view: routing.view(), draw: Draw::new(random.u64(..)), recorder };
        let workers = recorders.into_iter().map(worker).collect();
        World {
            scenario,
            random,
            workers,
            due: BinaryHeap::new(),
            routing,
            commands,
            status,
            events,
            ledger: Ledger::new(scenario),
            started: Instant::now(),
            scheduled: 0,
            report: Report::default(),
        }
    }

    async fn play(&mut self) -> Checked {
        self.settle().await;
        self.schedule(Duration::ZERO, Happening::Commanded(set_weight(self.scenario.weight)));
        for (at, change) in self.scenario.commands.clone() {
            self.schedule(at, Happening::Commanded(change));
        }
        for worker in 0..self.scenario.workers {
            let at = HAND_OVER_EVERY.mul_f64(self.random.f64());
            self.schedule(at, Happening::HandsOver { worker });
        }
        self.schedule(Duration::ZERO, Happening::Arrives);
        let (mut tick, mut end, mut watched) = (TICK, self.scenario.length, false);
        while tick <= end {
            while self.due.peek().is_some_and(|Reverse(due)| due.at < tick) {
                let Reverse(Due { at, what, .. }) = self.due.pop().expect("one was seen");
                self.happen(what, at).await?;
            }
            self.advance(tick).await;
            self.settle().await;
            self.look(tick)?;
            if self.scenario.commands.is_empty() && self.routing.table().route == Route::Latched && !watched {
                (end, watched) = (end.min(tick + WATCHED_AFTER), true);
            }
            tick += TICK;
        }
        Ok(())
    }

    fn schedule(&mut self, at: Duration, what: Happening) {
        self.scheduled += 1;
        self.due.push(Reverse(Due { at, number: self.scheduled, what }));
    }

    async fn happen(&mut self, what: Happening, now: Duration) -> Checked {
        match what {
            Happening::Arrives => self.arrive(now),
            Happening::Ends { worker, record } => self.end(worker, &record, now).await,
            Happening::HandsOver { worker } => {
                let silent = self.scenario.silence.is_some_and(|(from, until)| (from..until).contains(&now));
                if worker > 0 || !silent {
                    let Worker { view, recorder, .. } = &mut self.workers[worker];
                    recorder.hand_over(Gauges::default(), view.load().table.routed(), std::iter::empty());
                    self.ledger.handed_over(worker, now);
                }
                self.schedule(now + HAND_OVER_EVERY, Happening::HandsOver { worker });
                Ok(())
            }
            Happening::Commanded(change) => self.command(change, now).await,
        }
    }

    fn arrive(&mut self, now: Duration) -> Checked {
        self.report.requests += 1;
        let pause = -(1.0 - self.random.f64()).ln() / self.scenario.rate;
        self.schedule(now + Duration::from_secs_f64(pause), Happening::Arrives);

        let number = self.random.usize(..self.workers.len());
        let worker = &mut self.workers[number];
        let table = worker.view.load().table;
        let version = worker.draw.next(table.weight());
        self.ledger.routed(table, version, now)?;

        let mut takes = self.scenario.latency.mul_f64(self.random.f64());
        let served_at = now + takes.mul_f64(self.random.f64());
        let mut outcome = Outcome::Success;
        match self.scenario.fault(version, served_at, &mut self.random) {
            Some(What::Ends(bad)) => outcome = bad,
            Some(What::Takes(long)) => takes = long,
            None => {}
        }
        let (status, head) = match outcome {
            Outcome::ServerError => (500, Some(takes)),
            Outcome::ClientError => (404, Some(takes)),
            Outcome::ConnectError | Outcome::Reset | Outcome::RefusedByUs => (502, None),
            _ => (200, Some(takes)),
        };
        let took = Took { head, whole: Some(takes) };
        let record = Record {
            version: Some(version),
            routed: table.routed(),
            outcome,
            charge: outcome.charge(),
            standing: Standing::Evidence,
            drawn: Drawn::Request,
            arm: Arm::Rest,
            route: None,
            endpoint: None,
            status,
            grpc: None,
            judged: took,
            shown: took,
        };
        self.schedule(now + takes, Happening::Ends { worker: number, record });
        Ok(())
    }

    async fn end(&mut self, worker: usize, record: &Record, now: Duration) -> Checked {
        let before = self.routing.table();
        self.workers[worker].recorder.record(record);
        self.ledger.recorded(worker, record);
        let version = record.version.expect("every request of the simulation has one");
        self.routing.observe(Answer::of(version, record.charge, record.routed));
        let after = self.routing.table();
        if after == before {
            return Ok(());
        }
        if after.route == Route::Latched {
            self.ledger.streak_latched(now)?;
        }
        self.ledger.table(after, now)?;
        self.advance(now).await;
        self.settle().await;
        self.told(now)
    }

    async fn command(&mut self, change: Change, now: Duration) -> Checked {
        self.advance(now).await;
        let answer = self.commands.send(change).await;
        self.told(now)?;
        if let Ok(status) = answer {
            self.ledger.obeyed(status.epoch);
        }
        self.ledger.table(self.routing.table(), now)
    }

    /// Looks at everything that a tick has published.
    fn look(&mut self, now: Duration) -> Checked {
        self.ledger.table(self.routing.table(), now)?;
        self.told(now)?;
        let status = Arc::clone(&self.status.borrow());
        self.ledger.status(&status, now)
    }

    /// Reads the events, and what a rollback came from.
    fn told(&mut self, now: Duration) -> Checked {
        while let Ok(event) = self.events.try_recv() {
            let is_warning = event.sentence.ends_with("nothing is decided by that");
            if self.scenario.kind == Kind::GreenUncharged && event.actor == GATE && !is_warning {
                return broken(4, format!("at {now:?} the gate said: {}", event.sentence));
            }
            if event.kind != EventKind::RolledBack {
                continue;
            }
            let status = Arc::clone(&self.status.borrow());
            let rollback = status.rollback.as_ref().filter(|_| status.epoch == event.epoch);
            let trigger = rollback.map_or_else(|| OPERATOR.to_owned(), |rollback| rollback.trigger.clone());
            self.ledger.rolled_back(event.epoch, &trigger, now)?;
            self.report.rollbacks.push(trigger);
        }
        Ok(())
    }

    async fn advance(&self, to: Duration) {
        let passed = self.started.elapsed();
        if to > passed {
            tokio::time::advance(to - passed).await;
        }
    }

    /// Lets control do what it has to; it publishes each time.
    async fn settle(&mut self) {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
            if self.status.has_changed().expect("control runs") {
                self.status.borrow_and_update();
                return;
            }
        }
        panic!("control did not publish");
    }
}
