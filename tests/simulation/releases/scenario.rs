//! What a seed stands for: a plan, a policy, traffic, what goes wrong, what operators do, and how the disk behaves.

use std::time::Duration;

use fastrand::Rng;
use portcullis::gate::signal::{Posted, Posting};
use portcullis::gate::{ByVersion, Health, Policy, Version};
use portcullis::release::{Acknowledged, Answered, Input, Plan, Weight};

mod drawn;

use drawn::{plan, policy, tick};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Healthy,
    GreenErrors,
    /// Green fails from somewhere in the release on.
    GreenLate,
    GreenSlow,
    /// Green fails for a minute or two, again and again.
    Flapping,
    /// Green's requests end in what nobody is charged for.
    Uncharged,
    BlueErrors,
    /// Both fail the same share over the same times.
    Common,
    CommonSlow,
    LowTraffic,
    /// No requests at all for a while.
    Silence,
    ChecksFail,
    /// The health checks of both fail.
    ChecksFailForBoth,
    Signal,
}

pub const KINDS: [Kind; 14] = [
    Kind::Healthy,
    Kind::GreenErrors,
    Kind::GreenLate,
    Kind::GreenSlow,
    Kind::Flapping,
    Kind::Uncharged,
    Kind::BlueErrors,
    Kind::Common,
    Kind::CommonSlow,
    Kind::LowTraffic,
    Kind::Silence,
    Kind::ChecksFail,
    Kind::ChecksFailForBoth,
    Kind::Signal,
];

/// A time in which something is wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    pub from: Duration,
    pub until: Duration,
    /// The share of requests that it meets.
    pub share: f64,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    Fails,
    ChargedToNobody,
    Slow,
}

#[derive(Clone, Debug)]
pub enum Order {
    Operator(Input),
    Signal(Posted),
    /// To a question that was asked before, whether it is still open or not.
    Answer(Answered),
    /// A tick between the others.
    Look,
}

/// How the disk behaves: each write, and what becomes of its answer.
#[derive(Clone, Debug)]
pub struct DiskFaults {
    /// The most that a write takes.
    pub slowness: Duration,
    pub fails: f64,
    pub loses_answer: f64,
    pub repeats_answer: f64,
}

/// How a process ends and the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    Plain,
    /// The next one is configured with another green version.
    Superseding,
    /// The state on the disk is not one of this program's.
    Unreadable,
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub kind: Kind,
    /// When the first release starts; before it there is only blue.
    pub start: Duration,
    pub length: Duration,
    pub tick: Duration,
    pub policy: Policy,
    pub plan: Option<Plan>,
    /// Requests per second of both versions.
    pub rate: f64,
    /// Failures per request of a version with which nothing is wrong.
    pub error_rate: f64,
    pub faults: ByVersion<Vec<Fault>>,
    pub silences: Vec<(Duration, Duration)>,
    pub checks: ByVersion<Option<(Duration, Duration)>>,
    pub orders: Vec<(Duration, Order)>,
    pub crashes: Vec<(Duration, Crash)>,
    pub disk: DiskFaults,
    /// The share of ticks that come up to two minutes late.
    pub late_ticks: f64,
}

/// Whoever operates.
pub const ALICE: &str = "alice";

pub const SIGNAL: &str = "probe";
const CHECK_EVERY: Duration = Duration::from_secs(5);

impl Scenario {
    pub fn new(seed: u64) -> Scenario {
        let mut random = Rng::with_seed(seed);
        let kind = KINDS[(seed % KINDS.len() as u64) as usize];
        let plan = (random.u8(..12) > 0).then(|| plan(&mut random));
        let planned = plan.as_ref().map_or(Duration::from_secs(3_600), Plan::duration);
        let start = minutes(&mut random, 0.0, 12.0);
        let length = start + planned.mul_f64(1.2) + Duration::from_secs(900);
        let tick = tick(length);
        let rate = if kind == Kind::LowTraffic { 0.005 + 0.2 * random.f64() } else { 10f64.powf(1.7 * random.f64()) };
        let mut scenario = Scenario {
            seed,
            kind,
            start,
            length,
            tick,
            policy: policy(&mut random, kind, tick),
            plan,
            rate,
            error_rate: [0.0, 0.0001, 0.001][random.usize(..3)],
            faults: ByVersion::default(),
            silences: Vec::new(),
            checks: ByVersion::default(),
            orders: Vec::new(),
            crashes: Vec::new(),
            disk: disk(&mut random),
            late_ticks: if random.u8(..3) == 0 { 0.02 } else { 0.0 },
        };
        scenario.go_wrong(&mut random);
        if random.bool() {
            scenario.orders =
                (0..random.usize(1..=6)).map(|_| (length.mul_f64(random.f64()), order(&mut random))).collect();
        }
        if kind == Kind::Signal {
            scenario.signal(&mut random);
        }
        scenario.orders.sort_by_key(|(at, _)| *at);
        if random.bool() {
            scenario.crashes =
                (0..random.usize(1..=3)).map(|_| (length.mul_f64(random.f64()), crash(&mut random))).collect();
            scenario.crashes.sort_by_key(|(at, _)| *at);
        }
        scenario
    }

    /// Whether green is no worse than blue in anything that is counted of requests.
    pub fn is_null(&self) -> bool {
        match self.kind {
            Kind::GreenErrors | Kind::GreenLate | Kind::GreenSlow | Kind::Flapping => false,
            Kind::Healthy
            | Kind::Uncharged
            | Kind::BlueErrors
            | Kind::Common
            | Kind::CommonSlow
            | Kind::LowTraffic
            | Kind::Silence
            | Kind::ChecksFail
            | Kind::ChecksFailForBoth
            | Kind::Signal => true,
        }
    }

    /// Whether it is the version configured as blue that is worse.
    pub fn is_blue_worse(&self) -> bool {
        !self.faults.blue.is_empty() && self.faults.green.is_empty()
    }

    pub fn is_common(&self) -> bool {
        matches!(self.kind, Kind::Common | Kind::CommonSlow)
    }

    pub fn is_irreversible(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.irreversible.is_some())
    }

    pub fn rate_at(&self, at: Duration) -> f64 {
        let silent = self.silences.iter().any(|(from, until)| (*from..*until).contains(&at));
        if silent { 0.0 } else { self.rate }
    }

    /// What is wrong with `version` for a request at `at`, if this one is met by it.
    pub fn fault(&self, version: Version, at: Duration, random: &mut Rng) -> Option<What> {
        let faults = self.faults.of(version);
        if faults.is_empty() {
            return None;
        }
        let met = |fault: &&Fault| (fault.from..fault.until).contains(&at) && random.f64() < fault.share;
        faults.iter().find(met).map(|fault| fault.what)
    }

    pub fn health(&self, at: Duration) -> ByVersion<Health> {
        ByVersion::build(|version| match *self.checks.of(version) {
            Some((from, until)) if (from..until).contains(&at) => Health {
                endpoints: 1,
                failing_for: ((at - from).as_secs() / CHECK_EVERY.as_secs()) as u32,
                unhealthy: 0,
            },
            Some(_) | None => {
                Health { endpoints: u32::from(!self.policy.checks.is_empty()), failing_for: 0, unhealthy: 0 }
            }
        })
    }

    fn go_wrong(&mut self, random: &mut Rng) {
        let during = self.length - self.start;
        let mut from = self.start + during.mul_f64(random.f64() * 0.6);
        if self.is_common() && random.bool() {
            from = self.after_a_step(random).unwrap_or(from);
        }
        let until = if random.bool() { self.length } else { from + minutes(random, 1.0, 40.0) };
        let share = match random.u8(..6) {
            0 => 1.0,
            // Hardly more than makes green suspicious.
            1 => 0.012 + 0.02 * random.f64(),
            _ => 0.02 + 0.6 * random.f64().powi(2),
        };
        let fails = |from, until| Fault { from, until, share, what: What::Fails };
        let slow = Fault { from, until, share: 0.2 + 0.8 * random.f64(), what: What::Slow };
        let (blue, green) = match self.kind {
            Kind::Healthy | Kind::LowTraffic => (vec![], vec![]),
            // In a third of them it is blue that fails.
            Kind::Signal if random.u8(..3) == 0 => {
                (vec![Fault { share: share.max(0.3), ..fails(from, until) }], vec![])
            }
            Kind::Signal => (vec![], vec![]),
            Kind::GreenErrors => (vec![], vec![fails(Duration::ZERO, self.length)]),
            Kind::GreenLate => (vec![], vec![fails(from, until)]),
            Kind::GreenSlow => (vec![], vec![slow]),
            Kind::Flapping => {
                let first = random.u64(60..300);
                let times = (0..20).map(|turn| from + Duration::from_secs(turn * 2 * first));
                (vec![], times.map(|at| fails(at, at + Duration::from_secs(first))).collect())
            }
            Kind::Uncharged => (vec![], vec![Fault { what: What::ChargedToNobody, ..fails(from, until) }]),
            Kind::BlueErrors => (vec![fails(from, until)], vec![]),
            Kind::Common => (vec![fails(from, until)], vec![fails(from, until)]),
            Kind::CommonSlow => (vec![slow.clone()], vec![slow]),
            Kind::Silence => {
                self.silences = vec![(from, until)];
                (vec![], vec![])
            }
            Kind::ChecksFail => {
                self.checks.green = Some((from, until));
                (vec![], vec![])
            }
            Kind::ChecksFailForBoth => {
                self.checks = ByVersion { blue: Some((from, until)), green: Some((from, until)) };
                (vec![], vec![])
            }
        };
        self.faults = ByVersion { blue, green };
    }

    /// Soon after the weight has risen, if the plan goes on by itself.
    fn after_a_step(&self, random: &mut Rng) -> Option<Duration> {
        let plan = self.plan.as_ref()?;
        let steps = &plan.steps[..random.usize(1..=plan.steps.len())];
        let baked: Duration = steps.iter().map(|step| step.bake).sum();
        Some(self.start + plan.initial_delay + baked + minutes(random, 0.1, 1.5))
    }

    fn signal(&mut self, random: &mut Rng) {
        let (earliest, latest) = match self.faults.blue.first() {
            Some(fault) => (fault.from, fault.until),
            None => (Duration::ZERO, self.length),
        };
        let from = earliest + latest.saturating_sub(earliest).mul_f64(random.f64());
        let post = |state| {
            let (signal, sentence, actor) = (SIGNAL.to_owned(), "checkout fails".to_owned(), "prober".to_owned());
            Order::Signal(Posted { signal, state, sentence, actor })
        };
        self.orders.push((from, post(Posting::Firing)));
        self.orders.push((from + minutes(random, 0.1, 20.0), post(Posting::Resolved)));
    }
}

pub fn minutes(random: &mut Rng, least: f64, most: f64) -> Duration {
    Duration::from_secs_f64(60.0 * (least + (most - least) * random.f64()))
}

pub fn order(random: &mut Rng) -> Order {
    let (actor, reason) = (ALICE.to_owned(), String::new());
    let acknowledged = if random.bool() { Acknowledged::Yes } else { Acknowledged::No };
    Order::Operator(match random.u8(..12) {
        0..3 => Input::Start { actor, reason },
        3 => Input::Pause { actor, reason },
        4..6 => Input::Resume { actor, reason },
        6..8 => Input::Approve { actor, reason },
        8 => Input::Promote { actor, reason },
        9 => Input::Withdraw { actor, reason, acknowledged },
        _ => {
            let percent = f64::from(random.u8(..=100));
            Input::SetWeight { weight: Weight::from_percent(percent).expect("a weight"), actor, reason }
        }
    })
}

fn crash(random: &mut Rng) -> Crash {
    match random.u8(..20) {
        0 => Crash::Superseding,
        1 => Crash::Unreadable,
        _ => Crash::Plain,
    }
}

fn disk(random: &mut Rng) -> DiskFaults {
    let bad = random.bool();
    let of = |most: f64, random: &mut Rng| if bad { most * random.f64() } else { 0.0 };
    DiskFaults {
        slowness: if bad { Duration::from_secs(random.u64(0..=60)) } else { Duration::from_millis(10) },
        fails: of(0.4, random),
        loses_answer: of(0.2, random),
        repeats_answer: of(0.2, random),
    }
}
