//! Replicas without sockets, threads or an API server: each is a whole `control`, and hears of the one state that they share when the
//! test says so. Time passes when the test says so, too.

mod commands;
mod counting;
mod following;
mod judging;
mod stops;
mod writes;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{broadcast, oneshot};

use super::*;
use crate::actions;
use crate::actions::runner::Runner;
use crate::config::{self, Config};
use crate::control::command::{Again, Candidate, Change, Commands, NewRelease, Refused};
use crate::control::event::Events;
use crate::control::ledger::Ledger;
use crate::control::replicas::{Link, link};
use crate::control::restore::Beginning;
use crate::control::revision::Seen;
use crate::control::series::Series;
use crate::control::status::Status;
use crate::control::{Control, Inputs, Outputs};
use crate::journal::{Journal, Restored};
use crate::live::{Addresses, Live};
use crate::measure::{Collectors, shard};
use crate::release::{Acknowledged, Input, Terms, Weight};
use crate::replica::{How, Shared};
use crate::resolve::Wanted;
use crate::routing::{NOTICES, Route, Routing, Table};
use crate::telemetry::Telemetry;

/// What the API server has.
#[derive(Default)]
struct Store {
    writes: usize,
    shared: Option<Shared<Body>>,
}

/// One replica, and the ends that others have of it.
struct Replica {
    control: Control,
    ends: Ends,
    told: broadcast::Receiver<Event>,
    link: Link,
    _kept: Box<dyn std::any::Any>,
}

/// An answer that may be yet to come.
struct Asked(oneshot::Receiver<Result<Arc<Status>, Refused>>);

const MINUTE: u64 = 60;

/// Nobody stands still for as long without being found out.
const LONGEST_STOP: Duration = Duration::from_secs(2);

/// Two steps of a minute each, and the last.
const STEPS: &str = "steps: [{ weight: 10%, bake: 1m }, { weight: 20%, bake: 1m }], monitoring: 1m, onLowTraffic: pass";

fn config_of(release: &str, rest: &str) -> Config {
    let text = format!(
        r#"
listen: 127.0.0.1:8080
admin: {{ listen: 127.0.0.1:9090 }}
blue:  {{ version: v1, endpoints: ["127.0.0.1:9001"] }}
green: {{ version: v2, endpoints: ["127.0.0.1:9002"] }}
release: {{ {release} }}
{rest}
"#
    );
    config::parse(&text, "portcullis.yaml", Path::new(""), &config::Environment::default())
        .unwrap_or_else(|faults| panic!("{faults}"))
}

impl Store {
    fn heard(&self, how: How) -> Word {
        Word::Heard(Box::new(Heard { version: self.writes.to_string(), shared: self.shared.clone(), how }))
    }

    fn write(&mut self, Write { version, shared }: Write<String, Body>) -> Written<String> {
        if version != self.writes.to_string() {
            return Written::Conflict;
        }
        self.writes += 1;
        self.shared = Some(shared);
        Written::Done(self.writes.to_string())
    }

    fn body(&self) -> &Body {
        &self.shared.as_ref().expect("something was written").body
    }

    fn percent(&self) -> f64 {
        Weight::from_basis_points(self.body().record.weight).expect("a weight").percent()
    }
}

impl Replica {
    fn start(config: &Config) -> Replica {
        Replica::start_from(config, Beginning::default())
    }

    fn start_from(config: &Config, beginning: Beginning) -> Replica {
        Replica::recording(config, beginning, None)
    }

    /// Without a journal nothing is recorded, and every answer comes at once.
    fn recording(config: &Config, beginning: Beginning, journal: Option<Journal>) -> Replica {
        let (notify, notices) = mpsc::channel(NOTICES);
        let (commands, commanded) = Commands::channel();
        let (find, found) = mpsc::channel(1);
        let (lend, lending) = mpsc::channel(1);
        let (asking, answering) = actions::asking::channel();
        let live = Arc::new(Live::new(&beginning.holding(config), &Addresses::default()));
        let (together, ends) = Together::among(LONGEST_STOP);
        let (recorder, collector) = shard::pair();
        let (link, replicas) = link();
        let inputs = Inputs {
            routing: Arc::new(Routing::to(live, beginning.table, None, notify)),
            collectors: Collectors::new([collector]),
            notices,
            commands: commanded,
            found,
            telemetry: Telemetry::new(&config.policy).expect("the metrics have names"),
            ledger: Ledger::new(journal, &config.text, Restored::default(), beginning.began),
            runner: Runner::nowhere(),
            lending,
            asking,
            together,
            replicas,
        };
        let events = Events::default();
        let told = events.listen();
        let first = crate::running::first_status(config, &beginning, &inputs.routing);
        let (status, shown) = watch::channel(Arc::new(first));
        let (want, wanted) = watch::channel(Wanted::default());
        let outputs = Outputs { status, events, series: Series::default(), wanted: want };
        let control = Control::new(config, beginning, inputs, outputs);
        let kept = Box::new((commands, find, lend, answering, recorder, shown, wanted));
        Replica { control, ends, told, link, _kept: kept }
    }

    /// As the journal of `other` would have it begin.
    fn start_as(other: &Replica, config: &Config) -> Replica {
        Replica::start_from(config, Beginning::restored(other.control.state_record(), config))
    }

    fn hears(&mut self, word: Word) {
        self.control.hear(word);
        self.control.follow_up();
    }

    /// Whatever it wants done at the API server is done, with all that comes of it.
    fn is_served(&mut self, store: &mut Store) {
        while let Ok(order) = self.ends.orders.try_recv() {
            let word = match order {
                Order::Read(number) => store.heard(How::Read(number)),
                Order::Write(write) => Word::Wrote { by: write.shared.by, written: store.write(*write) },
            };
            self.hears(word);
        }
    }

    /// Sees what the API server has, and asks for nothing.
    fn watches(&mut self, store: &Store) {
        self.hears(store.heard(How::Watched));
    }

    fn wins_the_lease(&mut self) {
        self.hears(Word::Leads { until: Instant::now() + Duration::from_secs(3600) });
    }

    fn loses_the_lease_to(&mut self, other: Option<&str>) {
        self.hears(Word::Follows { leader: other.map(str::to_owned) });
    }

    fn asks(&mut self, change: Change) -> Asked {
        let (reply, answer) = oneshot::channel();
        self.control.obey(Command { change, found: Addresses::default(), seen: Seen::Whatever, reply });
        self.control.follow_up();
        Asked(answer)
    }

    /// Begins a release, and is at its first step.
    fn begins(&mut self, store: &mut Store, change: Change) {
        self.asks(change);
        self.is_served(store);
        self.ticks();
        self.is_served(store);
    }

    fn ticks(&mut self) {
        self.control.tick();
        self.control.follow_up();
    }

    fn table(&self) -> Table {
        self.control.inputs.routing.table()
    }

    fn percent(&self) -> f64 {
        self.table().weight().percent()
    }

    fn status(&self) -> Arc<Status> {
        self.control.status()
    }

    /// What was told since the last time.
    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }

    /// Its kinds.
    fn told(&mut self) -> Vec<Kind> {
        self.events().iter().map(|event| event.kind).collect()
    }

    /// The actions of the runbook that are for it to carry out.
    fn acted(&self) -> Vec<String> {
        self.status().actions.pending.iter().map(|deed| deed.name.clone()).collect()
    }

    /// What it wants to know before its release goes on.
    fn questions(&self) -> usize {
        let questions = &self.control.inputs.asking.questions;
        questions.max_capacity() - questions.capacity()
    }
}

impl Asked {
    /// `waits`, `done`, or why it was refused.
    fn answer(&mut self) -> String {
        match self.0.try_recv() {
            Ok(Ok(_)) => "done".to_owned(),
            Ok(Err(refused)) => refused.to_string(),
            Err(oneshot::error::TryRecvError::Empty) => "waits".to_owned(),
            Err(oneshot::error::TryRecvError::Closed) => "nobody answers".to_owned(),
        }
    }
}

/// So many seconds pass for all of them, which are looked after by nobody.
async fn pass(replicas: &mut [&mut Replica], seconds: u64) {
    for _ in 0..seconds {
        tokio::time::advance(Duration::from_secs(1)).await;
        replicas.iter_mut().for_each(|replica| replica.ticks());
    }
}

fn actor() -> String {
    "alice".to_owned()
}

fn start() -> Change {
    Change::Operator(Input::Start { actor: actor(), reason: String::new() })
}

fn weight(percent: f64) -> Change {
    let weight = Weight::from_percent(percent).expect("a weight");
    Change::Operator(Input::SetWeight { weight, actor: actor(), reason: String::new() })
}

fn pause() -> Change {
    Change::Operator(Input::Pause { actor: actor(), reason: "lunch".to_owned() })
}

fn promote() -> Change {
    Change::Operator(Input::Promote { actor: actor(), reason: String::new() })
}

fn roll_back() -> Change {
    let acknowledged = Acknowledged::No;
    Change::Operator(Input::Withdraw { actor: actor(), reason: "it fails".to_owned(), acknowledged })
}

fn release_of(version: &str, endpoint: &str, again: Again) -> Change {
    let endpoints = vec![config::endpoint(endpoint).expect("an address")];
    let green = Some(Candidate { version: version.to_owned(), endpoints, again });
    Change::Release(NewRelease { green, terms: Terms::default(), actor: actor(), reason: String::new() })
}

/// One that leads, and has begun a release that is at 10 %.
fn releasing(config: &Config) -> (Store, Replica) {
    let (mut store, mut leader) = leading(config);
    leader.begins(&mut store, start());
    (store, leader)
}

/// One that leads, in front of all releases.
fn leading(config: &Config) -> (Store, Replica) {
    let (mut store, mut leader) = (Store::default(), Replica::start(config));
    leader.wins_the_lease();
    leader.is_served(&mut store);
    (store, leader)
}

/// Another one, which has read the state.
fn following(config: &Config, store: &mut Store) -> Replica {
    let mut follower = Replica::start(config);
    follower.loses_the_lease_to(Some("leader"));
    follower.is_served(store);
    follower
}
