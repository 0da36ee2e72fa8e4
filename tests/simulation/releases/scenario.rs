//! What a seed stands for: a plan, a policy, traffic, what goes wrong, what operators do, and how the disk behaves.

use std::time::Duration;

use fastrand::Rng;
use portcullis::gate::compare::Settings;
use portcullis::gate::signal::{Posted, Posting};
use portcullis::gate::trigger::{
    Action, Cadence, CheckTrigger, Condition, Confirm, Quantile, Rate, Share, SignalTrigger, Span, StreakTrigger,
    Times, Trigger,
};
use portcullis::gate::{ByVersion, Health, Policy, Version};
use portcullis::release::{Acknowledged, Approval, Input, OnLowTraffic, Plan, Step, Weight};

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
        let from = self.start + during.mul_f64(random.f64() * 0.6);
        let until = if random.bool() { self.length } else { from + minutes(random, 1.0, 40.0) };
        let share = 0.02 + 0.6 * random.f64().powi(2);
        let fails = |from, until| Fault { from, until, share, what: What::Fails };
        let slow = Fault { from, until, share: 0.2 + 0.8 * random.f64(), what: What::Slow };
        let (blue, green) = match self.kind {
            Kind::Healthy | Kind::LowTraffic | Kind::Signal => (vec![], vec![]),
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

    fn signal(&mut self, random: &mut Rng) {
        let from = self.length.mul_f64(random.f64());
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

/// Long ticks, so that hours are cheap: some two hundred of them make a run.
fn tick(length: Duration) -> Duration {
    let wanted = length.as_secs() / 250;
    let seconds = [1, 2, 5, 10, 20, 30].into_iter().find(|seconds| *seconds >= wanted).unwrap_or(60);
    Duration::from_secs(seconds)
}

fn plan(random: &mut Rng) -> Plan {
    let percents = [1.0, 2.0, 5.0, 10.0, 20.0, 25.0, 50.0, 75.0];
    let mut chosen: Vec<f64> = (0..random.usize(1..=5)).map(|_| percents[random.usize(..percents.len())]).collect();
    chosen.sort_by(f64::total_cmp);
    chosen.dedup();
    let longest = if random.bool() { 4.0 } else { 20.0 };
    let steps: Vec<Step> = chosen
        .into_iter()
        .map(|percent| Step {
            weight: Weight::from_percent(percent).expect("a weight"),
            bake: minutes(random, 1.0, longest),
            approval: if random.u8(..5) == 0 { Approval::Operator } else { Approval::Automatic },
        })
        .collect();
    let longest = steps.iter().map(|step| step.bake).max().unwrap_or_default();
    Plan {
        initial_delay: if random.bool() { Duration::ZERO } else { minutes(random, 0.1, 3.0) },
        progress_deadline: (random.u8(..4) == 0).then(|| longest + minutes(random, 3.0, 20.0)),
        monitoring: minutes(random, 1.0, 20.0),
        on_low_traffic: [OnLowTraffic::Wait, OnLowTraffic::Wait, OnLowTraffic::Pass, OnLowTraffic::Rollback]
            [random.usize(..4)],
        irreversible: (random.u8(..8) == 0).then(|| "it drops a column".to_owned()),
        steps,
    }
}

fn policy(random: &mut Rng, kind: Kind, tick: Duration) -> Policy {
    let share = |fraction| Share::try_from(fraction).expect("in range");
    let compare = (random.u8(..5) > 0).then(|| Settings {
        false_alarm: if random.bool() { 0.001 } else { 0.01 },
        tick,
        ..Settings::default()
    });
    let mut triggers = Vec::new();
    let conditions = [
        ("errors", Condition::FailuresAbove { share: share(0.1), written: Rate::Errors }),
        (
            "slow",
            Condition::LatencyAbove { quantile: Quantile::P95, span: Span::Head, bound: Duration::from_millis(400) },
        ),
        ("worse", Condition::FailuresAboveBlue { times: Times::try_from(2.0).expect("in range"), floor: share(0.1) }),
    ];
    for (name, condition) in conditions {
        if random.bool() && (compare.is_some() || name != "errors") {
            continue;
        }
        let interval =
            Cadence::Interval { every: Duration::from_secs(60), failure_limit: Some(3), consecutive_limit: Some(2) };
        let cadence = if random.u8(..4) == 0 { interval } else { Cadence::EveryTick };
        let sustained = if cadence == Cadence::EveryTick && random.u8(..3) == 0 { random.u64(30..=300) } else { 0 };
        triggers.push(Trigger {
            name: name.to_owned(),
            condition,
            window: Duration::from_secs([60, 60, 300][random.usize(..3)]),
            sustained: Duration::from_secs(sustained),
            minimum_requests: random.u64(30..=100),
            cadence,
            confirm: if compare.is_some() && random.u8(..4) == 0 { Confirm::Comparison } else { Confirm::No },
            action: action(random),
        });
    }
    let checks = matches!(kind, Kind::ChecksFail | Kind::ChecksFailForBoth) || random.u8(..8) == 0;
    let signal = kind == Kind::Signal || random.u8(..8) == 0;
    Policy {
        triggers,
        streak: (random.u8(..3) == 0).then(|| StreakTrigger {
            name: "dead".to_owned(),
            at_least: random.u16(5..=8),
            action: action(random),
        }),
        checks: checks
            .then(|| CheckTrigger {
                name: "dead-checks".to_owned(),
                at_least: 3,
                sustained: Duration::from_secs([0, 60][random.usize(..2)]),
                action: action(random),
            })
            .into_iter()
            .collect(),
        signals: signal
            .then(|| SignalTrigger { name: "synthetic".to_owned(), signal: SIGNAL.to_owned(), action: action(random) })
            .into_iter()
            .collect(),
        compare,
        ..Policy::default()
    }
}

fn action(random: &mut Rng) -> Action {
    [Action::Rollback, Action::Rollback, Action::Rollback, Action::Pause, Action::Notify][random.usize(..5)]
}

pub fn order(random: &mut Rng) -> Order {
    let (actor, reason) = ("alice".to_owned(), String::new());
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
