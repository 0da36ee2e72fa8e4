//! One release in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;
use std::time::Duration;

use portcullis::config::{self, Config, Environment};
use portcullis::control::outliers::Outliers;
use portcullis::course::{Course, EndpointNews, Input, News, Streak, StreakFound};
use portcullis::gate::outlier::{Order, Outlier};
use portcullis::gate::streak::Answer;
use portcullis::gate::{ByVersion, Charge, Health, Outcome, Version};
use portcullis::measure::Gauges;
use portcullis::measure::clients::Drawn;
use portcullis::measure::shard::{Arm, Record, Recorder, Standing, Took, Unanswered, pair};
use portcullis::measure::{Collectors, Tick};
use portcullis::proxy::Draw;
use portcullis::release::{self, Effect, Kind, State};
use portcullis::routing::{NOTICES, Notice, Routing, Table};
use tokio::sync::mpsc;

use super::rows::{Moment, Row};
use crate::support::config as text;

/// What one release came to.
#[derive(Default)]
pub struct Played {
    /// By this trigger.
    pub rolled_back: Option<String>,
    pub green_failed: u64,
    pub probed: bool,
    pub frozen: bool,
    pub untrusted: bool,
    pub outlier: bool,
}

const HOUR: f64 = 3_600.0;
const HAND_OVER: Duration = Duration::from_millis(50);

/// A request under way; the one that ends first comes first.
struct Running {
    ends_nanos: u64,
    sent: Duration,
    record: Record,
}

struct World<'r> {
    row: &'r Row,
    random: fastrand::Rng,
    routing: Routing,
    notices: mpsc::Receiver<Notice>,
    draws: Vec<(Draw, Draw)>,
    recorder: Recorder,
    collectors: Collectors,
    outliers: Outliers,
    /// Of green's endpoints, the one that is ejected.
    out: Option<usize>,
    course: Course,
    running: BinaryHeap<Reverse<Running>>,
    changed_at: f64,
    played: Played,
}

/// Plays one release of `row`. Everything follows from the seed.
pub fn play(row: &Row, seed: u64) -> Played {
    let mut random = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9) + 1);
    let config = config_at(row.weight);
    let (notify, notices) = mpsc::channel(NOTICES);
    let routing = Routing::new(Table::default(), config.policy.streak.clone(), notify);
    let (recorder, collector) = pair();
    let idle = State::Idle { epoch: release::Epoch::default() };
    let draws = (0..row.workers).map(|_| (Draw::new(random.u64(..)), Draw::new(random.u64(..)))).collect();
    let epoch = release::Epoch::default().next();
    let mut world = World {
        row,
        routing,
        notices,
        draws,
        recorder,
        collectors: Collectors::new([collector]),
        outliers: Outliers::new(ByVersion { blue: 1, green: row.endpoints }, epoch),
        out: None,
        course: Course::new(config.policy, config.plan, idle, Duration::ZERO),
        running: BinaryHeap::new(),
        changed_at: 0.0,
        played: Played::default(),
        random,
    };
    world.run();
    world.played
}

/// The default policy with a plan that stays at this weight, once blue has been seen for a while.
fn config_at(weight: f64) -> Config {
    let first = if weight > 99.5 { "{ weight: 50%, bake: 3m }, " } else { "" };
    let rest = format!("release: {{ initialDelay: 30s, steps: [{first}{{ weight: {weight}%, bake: 2h }}] }}");
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let other = std::net::SocketAddr::from(([127, 0, 0, 1], 2));
    config::parse(&text(&[address], &[other], &rest), "test", Path::new(""), &Environment::default())
        .unwrap_or_else(|faults| panic!("{faults}"))
}

impl World<'_> {
    fn run(&mut self) {
        let start = release::Input::Start { actor: "test".to_owned(), reason: String::new() };
        self.feed(&Input::Operator(start), 0.0);
        let phase = self.random.f64();
        let (mut at, mut number, mut next_tick) = (0.0, 0_u64, self.row.tick);
        while at < HOUR && self.played.rolled_back.is_none() {
            at += -(1.0 - self.random.f64()).ln() / self.row.rate;
            while next_tick <= at {
                self.end_until(next_tick);
                self.tick(next_tick);
                next_tick += self.row.tick;
            }
            self.end_until(at);
            number += 1;
            self.arrive(&Moment { at, number, phase, since_change: at - self.changed_at }, at);
        }
    }

    fn arrive(&mut self, moment: &Moment, at: f64) {
        let table = self.routing.table();
        let worker = self.random.usize(..self.draws.len());
        let (draw, arm_draw) = &mut self.draws[worker];
        let version = draw.next(table.weight());
        let arm = if version == Version::Blue { arm_draw.arm(table.weight()) } else { Arm::Rest };
        let mut served = (self.row.world)(moment, &mut self.random);
        let mut endpoint = None;
        if version == Version::Green {
            let of = self.row.endpoints;
            let mut number = self.random.usize(..of);
            if self.out == Some(number) {
                number = (number + 1 + self.random.usize(..of - 1)) % of;
            }
            served.fails |= of > 2 && number < self.row.bad_endpoints && moment.at > 60.0;
            endpoint = (of > 2).then_some(number);
            served.fails |= self.random.f64() < self.row.green_fails;
        }
        let outcome = if served.fails { Outcome::ServerError } else { Outcome::Success };
        let took = Duration::from_secs_f64(served.takes);
        let took = Took { head: Some(took), whole: Some(took) };
        let record = Record {
            version: Some(version),
            routed: table.routed(),
            outcome,
            charge: outcome.charge(),
            standing: Standing::Evidence,
            drawn: Drawn::Request,
            arm,
            route: None,
            endpoint,
            status: if served.fails { 500 } else { 200 },
            grpc: None,
            judged: took,
            shown: took,
        };
        let ends_nanos = ((at + served.takes) * 1e9) as u64;
        self.running.push(Reverse(Running { ends_nanos, sent: Duration::from_secs_f64(at), record }));
    }

    fn end_until(&mut self, at: f64) {
        let until = (at * 1e9) as u64;
        while self.running.peek().is_some_and(|Reverse(running)| running.ends_nanos <= until) {
            let Reverse(Running { record, ends_nanos, .. }) = self.running.pop().expect("it was seen");
            self.end(&record, ends_nanos as f64 / 1e9);
        }
    }

    fn end(&mut self, record: &Record, at: f64) {
        self.recorder.record(record);
        let version = record.version.expect("each has one");
        self.played.green_failed += u64::from(version == Version::Green && record.charge == Charge::Failed);
        let Record { charge, routed, endpoint, .. } = *record;
        self.routing.observe(Answer { version, charge, routed, endpoint });
        while let Ok(notice) = self.notices.try_recv() {
            let (came_to, row) = match notice {
                Notice::Convicted { row, .. } => (Streak::Convicted, row),
                Notice::Probing { row, .. } => (Streak::Probing, row),
                Notice::Common { row, .. } => (Streak::Common, row),
            };
            self.changed_at = at;
            self.feed(&Input::Streak(StreakFound { came_to, row: Some(row) }), at);
        }
    }

    fn tick(&mut self, at: f64) {
        let now = Duration::from_secs_f64(at);
        let routed = self.routing.table().routed();
        let waiting = self.running.iter().filter_map(|Reverse(running)| {
            let Record { version, arm, routed: of, .. } = running.record;
            let age = now.saturating_sub(running.sent);
            (of == routed && age > HAND_OVER).then_some(Unanswered { version: version?, arm, route: None, age })
        });
        self.recorder.hand_over(Gauges::default(), routed, waiting);
        let mut tick: Tick = self.collectors.tick(routed, |_| {});
        for (version, outlier) in self.outliers.sift(&mut tick, routed, now) {
            let Outlier { order, endpoint, own, others } = outlier;
            self.out = Some(endpoint);
            self.played.outlier = true;
            let news = if order == Order::First { News::Out { own, others } } else { News::Another { own, others } };
            self.feed(&Input::Endpoint(EndpointNews { version, endpoint: endpoint.to_string(), news }), at);
        }
        let health = ByVersion::build(|_| Health::default());
        self.feed(&Input::Tick { counted: &tick, health }, at);
    }

    fn feed(&mut self, input: &Input<'_>, at: f64) {
        let now = Duration::from_secs_f64(at);
        for effect in self.course.take(input.clone(), now).expect("nothing is refused") {
            match effect {
                Effect::Latch { epoch } => _ = self.routing.latch(epoch),
                Effect::Route { epoch, weight } => {
                    self.routing.route(epoch, weight);
                    self.changed_at = at;
                }
                Effect::Revert { .. } | Effect::TakeBack { .. } | Effect::Complete { .. } | Effect::Begin { .. } => {}
                Effect::Tell { kind: Kind::Probing, .. } => self.played.probed = true,
                Effect::Tell { kind: Kind::Frozen, .. } => self.played.frozen = true,
                Effect::Notify { trigger, .. } if trigger == "comparison" => self.played.untrusted = true,
                Effect::Tell { .. } | Effect::Notify { .. } | Effect::Ask(_) | Effect::Try { .. } => {}
            }
        }
        if let State::RolledBack { cause, .. } = self.course.state() {
            self.played.rolled_back.get_or_insert_with(|| cause.trigger.clone());
        }
    }
}

impl PartialEq for Running {
    fn eq(&self, other: &Running) -> bool {
        self.ends_nanos == other.ends_nanos
    }
}

impl Eq for Running {}

impl PartialOrd for Running {
    fn partial_cmp(&self, other: &Running) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Running {
    fn cmp(&self, other: &Running) -> std::cmp::Ordering {
        self.ends_nanos.cmp(&other.ends_nanos)
    }
}
