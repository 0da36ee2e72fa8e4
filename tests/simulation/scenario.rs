//! What a seed stands for: a policy, traffic, how both versions behave over time, and what operators do.

use std::time::Duration;

use fastrand::Rng;
use portcullis::control::command::Change;
use portcullis::gate::trigger::{
    Cadence, Condition, Confirm, Conviction, Quantile, Rate, Share, Span, StreakTrigger, Times,
};
use portcullis::gate::{Action, ByVersion, Outcome, Policy, Trigger, Version};
use portcullis::release::{Acknowledged, Input, Weight};

use super::run::set_weight;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Healthy,
    GreenErrors,
    GreenErrorsLate,
    GreenSlow,
    /// Green's requests end in what nobody is charged for, or in 4xx.
    GreenUncharged,
    BlueErrors,
    /// Both fail everything from the same instant on.
    CommonTotal,
    /// Both fail the same share from the same instant on.
    CommonPartial,
    /// Both fail the same share, one a few hundred milliseconds after the other.
    CommonStaggered,
    CommonSlow,
}

const KINDS: [Kind; 10] = [
    Kind::Healthy,
    Kind::GreenErrors,
    Kind::GreenErrorsLate,
    Kind::GreenSlow,
    Kind::GreenUncharged,
    Kind::BlueErrors,
    Kind::CommonTotal,
    Kind::CommonPartial,
    Kind::CommonStaggered,
    Kind::CommonSlow,
];

/// Something that is wrong with a version for a while.
#[derive(Clone, Debug)]
pub struct Fault {
    pub from: Duration,
    pub until: Duration,
    /// The share of its requests that it meets.
    pub share: f64,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    Ends(Outcome),
    Takes(Duration),
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub kind: Kind,
    pub length: Duration,
    pub policy: Policy,
    pub streak: bool,
    pub workers: usize,
    /// Requests per second, of both versions.
    pub rate: f64,
    pub weight: Weight,
    /// The most that a healthy answer takes.
    pub latency: Duration,
    pub faults: ByVersion<Vec<Fault>>,
    pub commands: Vec<(Duration, Change)>,
    /// When the first worker hands nothing over.
    pub silence: Option<(Duration, Duration)>,
}

pub const ERRORS_ABOVE: f64 = 0.1;
pub const SLOWER_THAN: Duration = Duration::from_millis(200);
pub const SLOW: Duration = Duration::from_millis(400);

impl Scenario {
    pub fn new(seed: u64) -> Scenario {
        let mut random = Rng::with_seed(seed);
        let kind = KINDS[(seed % KINDS.len() as u64) as usize];
        let length = Duration::from_secs(random.u64(20..=60));
        let streak = random.bool();
        // Most runs are slow ones: a fast one takes as long as a hundred of them.
        let decade = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0][random.usize(..10)];
        let rate =
            if random.u8(..50) == 0 { random.f64() * 4_000.0 + 1_000.0 } else { 10f64.powf(decade + random.f64()) };
        let mut scenario = Scenario {
            seed,
            kind,
            length,
            policy: policy(&mut random, streak),
            streak,
            workers: random.usize(1..=4),
            rate,
            weight: weight(&mut random),
            latency: Duration::from_micros(random.u64(200..=50_000)),
            faults: ByVersion::default(),
            commands: Vec::new(),
            silence: None,
        };
        scenario.go_wrong(&mut random);
        if random.bool() {
            scenario.commands = commands(&mut random, length);
        }
        if random.u8(..5) == 0 {
            let from = length.mul_f64(random.f64());
            scenario.silence = Some((from, from + Duration::from_secs(random.u64(2..=20))));
        }
        scenario
    }

    fn go_wrong(&mut self, random: &mut Rng) {
        let from = self.length.mul_f64(random.f64() * 0.4);
        let until = if random.bool() { self.length } else { from + self.length.mul_f64(random.f64() * 0.6) };
        let ends = |share, outcome| Fault { from, until, share, what: What::Ends(outcome) };
        let failure = [
            Outcome::ServerError,
            Outcome::ConnectError,
            Outcome::Timeout,
            Outcome::Reset,
            Outcome::Truncated,
            Outcome::GrpcFailure,
        ][random.usize(..6)];
        let share = 0.05 + 0.95 * random.f64();
        let (blue, green): (Vec<Fault>, Vec<Fault>) = match self.kind {
            Kind::Healthy => (vec![], vec![]),
            Kind::GreenErrors => (vec![], vec![Fault { from: Duration::ZERO, ..ends(share, failure) }]),
            Kind::GreenErrorsLate => (vec![], vec![ends(share, failure)]),
            Kind::GreenSlow => (vec![], vec![Fault { from, until, share, what: What::Takes(SLOW) }]),
            Kind::GreenUncharged => {
                let outcome = [Outcome::ClientCancelled, Outcome::ClientError, Outcome::RefusedByUs][random.usize(..3)];
                (vec![], vec![ends(share, outcome)])
            }
            Kind::BlueErrors => (vec![ends(share, failure)], vec![]),
            Kind::CommonTotal => (vec![ends(1.0, failure)], vec![ends(1.0, failure)]),
            Kind::CommonPartial => {
                let share = 0.25 + 0.7 * random.f64();
                (vec![ends(share, failure)], vec![ends(share, failure)])
            }
            Kind::CommonStaggered => {
                let share = if random.bool() { 1.0 } else { 0.25 + 0.7 * random.f64() };
                let later = Fault { from: from + Duration::from_millis(random.u64(1..=500)), ..ends(share, failure) };
                let (first, second) = (ends(share, failure), later);
                if random.bool() { (vec![first], vec![second]) } else { (vec![second], vec![first]) }
            }
            Kind::CommonSlow => {
                let share = 0.25 + 0.75 * random.f64();
                let slow = Fault { from, until, share, what: What::Takes(SLOW) };
                (vec![slow.clone()], vec![slow])
            }
        };
        self.faults = ByVersion { blue, green };
    }

    /// What is wrong with `version` for a request that is served at `at`, if this one is met by it.
    pub fn fault(&self, version: Version, at: Duration, random: &mut Rng) -> Option<What> {
        let met = |fault: &&Fault| (fault.from..fault.until).contains(&at) && random.f64() < fault.share;
        self.faults.of(version).iter().find(met).map(|fault| fault.what)
    }

    /// Whether the versions differ in nothing.
    pub fn is_common(&self) -> bool {
        super::is_common(self.kind)
    }

    /// Requests of the rarer version in a window of `length`, at the weight that the run begins with.
    pub fn expected(&self, length: Duration) -> f64 {
        let share = self.weight.ratio().min(1.0 - self.weight.ratio());
        self.rate * share * length.as_secs_f64()
    }
}

fn policy(random: &mut Rng, streak: bool) -> Policy {
    let share = |fraction| Share::try_from(fraction).expect("in range");
    let trigger = |name: &str, condition, window, sustained| Trigger {
        name: name.to_owned(),
        route: None,
        condition,
        window: Duration::from_secs(window),
        sustained: Duration::from_secs(sustained),
        minimum_requests: 50,
        cadence: Cadence::EveryTick,
        confirm: Confirm::No,
        action: Action::Rollback,
    };
    let bound = Condition::LatencyAbove { quantile: Quantile::P95, span: Span::Head, bound: SLOWER_THAN };
    let mut triggers = vec![
        trigger(
            "errors",
            Condition::FailuresAbove { share: share(ERRORS_ABOVE), written: Rate::Errors },
            random.u64(2..=10),
            if random.u8(..4) == 0 { 2 } else { 0 },
        ),
        trigger("slow", bound, 10, 0),
    ];
    if random.u8(..4) == 0 {
        let times = Times::try_from(2.0).expect("in range");
        let condition = Condition::FailuresAboveBlue { times, floor: share(0.05) };
        triggers.push(trigger("relative", condition, 10, 0));
    }
    let streak = streak.then(|| StreakTrigger {
        name: "dead".to_owned(),
        at_least: 5,
        conviction: Conviction::ByEvidence,
        action: Action::Rollback,
    });
    Policy { triggers, streak, ..Policy::default() }
}

/// From 1 to 100 %, small ones as often as large ones, 100 % now and then.
fn weight(random: &mut Rng) -> Weight {
    let percent = if random.u8(..10) == 0 { 100.0 } else { 10f64.powf(2.0 * random.f64()).round() };
    Weight::from_percent(percent).expect("a weight")
}

fn commands(random: &mut Rng, length: Duration) -> Vec<(Duration, Change)> {
    let mut commands: Vec<(Duration, Change)> = (0..random.usize(1..=12))
        .map(|_| {
            let change = match random.u8(..10) {
                0..6 => set_weight(weight(random)),
                6..9 => Change::Operator(Input::Start { actor: "alice".to_owned(), reason: String::new() }),
                _ => Change::Operator(Input::Withdraw {
                    actor: "alice".to_owned(),
                    reason: String::new(),
                    acknowledged: Acknowledged::No,
                }),
            };
            (length.mul_f64(random.f64()), change)
        })
        .collect();
    commands.sort_by_key(|(at, _)| *at);
    commands
}
