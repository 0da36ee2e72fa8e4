//! A plan and a policy at random.

use std::time::Duration;

use fastrand::Rng;
use portcullis::gate::Policy;
use portcullis::gate::compare::Settings;
use portcullis::gate::trigger::{
    Action, Cadence, CheckTrigger, Condition, Confirm, Conviction, Quantile, Rate, Share, SignalTrigger, Span,
    StreakTrigger, Times, Trigger,
};
use portcullis::release::{Approval, Deadline, Gates, OnLowTraffic, Otherwise, Plan, Step, Weight};

use super::{Kind, SIGNAL, minutes};

/// Long ticks, so that hours are cheap: some two hundred of them make a run.
pub(super) fn tick(length: Duration) -> Duration {
    let wanted = length.as_secs() / 250;
    let seconds = [1, 2, 5, 10, 20, 30].into_iter().find(|seconds| *seconds >= wanted).unwrap_or(60);
    Duration::from_secs(seconds)
}

pub(super) fn plan(random: &mut Rng) -> Plan {
    let percents = [1.0, 2.0, 5.0, 10.0, 20.0, 25.0, 50.0, 75.0];
    let mut chosen: Vec<f64> = (0..random.usize(1..=5)).map(|_| percents[random.usize(..percents.len())]).collect();
    chosen.sort_by(f64::total_cmp);
    chosen.dedup();
    let longest = if random.bool() { 4.0 } else { 20.0 };
    let steps: Vec<Step> = chosen
        .into_iter()
        .map(|percent| Step {
            weight: Weight::from_percent(percent).expect("a weight"),
            mirror: None,
            cohort: None,
            bake: minutes(random, 1.0, longest),
            approval: approval(random),
        })
        .collect();
    let longest = steps.iter().map(|step| step.bake).max().unwrap_or_default();
    Plan {
        budget: None,
        initial_delay: if random.bool() { Duration::ZERO } else { minutes(random, 0.1, 3.0) },
        progress_deadline: (random.u8(..4) == 0).then(|| longest + minutes(random, 3.0, 20.0)),
        monitoring: minutes(random, 1.0, 20.0),
        on_low_traffic: [OnLowTraffic::Wait, OnLowTraffic::Wait, OnLowTraffic::Pass, OnLowTraffic::Rollback]
            [random.usize(..4)],
        irreversible: (random.u8(..8) == 0).then(|| "it drops a column".to_owned()),
        max_weight: Weight::FULL,
        gates: gates(&mut Rng::with_seed(!random.clone().u64(..))),
        steps,
    }
}

/// In every third plan some of them.
fn gates(random: &mut Rng) -> Gates {
    let has_some = random.u8(..3) == 0;
    let mut within = || (has_some && random.bool()).then(|| minutes(random, 0.2, 3.0));
    Gates { before_start: within(), before_step: within(), before_promotion: within() }
}

fn approval(random: &mut Rng) -> Approval {
    match random.u8(..10) {
        0 => Approval::Operator,
        1 => Approval::Within(Deadline {
            within: minutes(random, 2.0, 20.0),
            otherwise: if random.bool() { Otherwise::Pause } else { Otherwise::Rollback },
        }),
        _ => Approval::Automatic,
    }
}

pub(super) fn policy(random: &mut Rng, kind: Kind, tick: Duration) -> Policy {
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
            route: None,
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
            conviction: Conviction::ByEvidence,
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
