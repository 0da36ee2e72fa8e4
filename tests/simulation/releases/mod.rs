//! Whole releases over virtual hours: the real deciding core, routing and restoring, under simulated traffic, operators,
//! crashes and a disk that misbehaves. Everything that a run does follows from its seed.
//!
//! [`scenario`] says what a seed stands for, [`world`] plays it without a runtime, [`disk`] stands for the journal,
//! [`witness`] counts on its own what happened and compares, [`recording`] is what a replay would be given.
//!
//! Ticks are seconds long and not 100 ms, so that hours are cheap: what a tick counts is then that much more. The clock on
//! the wall goes nowhere into a decision; here it jumps at will.
//!
//! `PORTCULLIS_SIMULATION_RELEASE=N` plays one seed, `PORTCULLIS_SIMULATION_RELEASES=N` plays until so many releases have
//! begun.

mod disk;
mod recording;
mod scenario;
mod witness;
mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::support::number;
use portcullis::config::{self, Config, Environment};
use scenario::{KINDS, Scenario};
use witness::{Unjust, Violation};
use world::Report;

/// Enough for a build without optimisation; the step `simulation` of tests/run plays 10,000.
const RELEASES: u64 = 150;

/// In so many releases the rarest of what follows occurs a dozen times; in a plain run of the tests it may be missing.
const OCCUR_IN: u64 = 5_000;

/// What those may not lack: decisions, and what the world does to the program.
const OCCURRING: [&str; 34] = [
    "started",
    "stepped",
    "weightSet",
    "awaitingApproval",
    "approved",
    "paused",
    "resumed",
    "probing",
    "acquitted",
    "frozen",
    "thawed",
    "irreversible",
    "promoted",
    "completed",
    "rolledBack",
    "notified",
    "gateAsked",
    "gatePassed",
    "gateWaits",
    "gateRefused",
    "gateOverridden",
    "restarted",
    "refusal",
    "write",
    "failed write",
    "late answer",
    "lost answer",
    "repeated answer",
    "late tick",
    "restart",
    "restart with another green",
    "restart with an unreadable state",
    "restart that lost a decision",
    "rollback by hand",
];

/// What rolls back by itself, in the same way. `unresolved` takes more releases than these.
const CAUSES: [&str; 10] = [
    "comparison",
    "errors",
    "slow",
    "worse",
    "dead",
    "dead-checks",
    "synthetic",
    "low-traffic",
    "progress-deadline",
    "approval-deadline",
];

/// The inputs of every so many-th run are kept and decided upon again.
const REPLAYED_EVERY: u64 = 5;

/// What every run configures in the same way; policy and plan are its own.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let text = r#"
listen: 127.0.0.1:8080
admin: { listen: 127.0.0.1:9090 }
blue:  { version: v1, endpoints: ["127.0.0.1:9001"] }
green: { version: v2, endpoints: ["127.0.0.1:9002"] }
"#;
    config::parse(text, "releases.yaml", Path::new(""), &Environment::default())
        .unwrap_or_else(|faults| panic!("{faults}"))
});

/// All runs, played once for all tests of this file.
static RUN: LazyLock<Vec<(Scenario, Report)>> = LazyLock::new(|| {
    let (first, last, wanted) = match number("PORTCULLIS_SIMULATION_RELEASE") {
        Some(seed) => (seed, seed + 1, 1),
        None => (0, u64::MAX, number("PORTCULLIS_SIMULATION_RELEASES").unwrap_or(RELEASES)),
    };
    let (next, begun) = (AtomicU64::new(first), AtomicU64::new(0));
    let play_on = || {
        let mut played = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= last || begun.load(Ordering::Relaxed) >= wanted {
                return played;
            }
            let scenario = Scenario::new(seed);
            let replays = seed % REPLAYED_EVERY == 0 || last == seed + 1;
            let report = catch_unwind(AssertUnwindSafe(|| world::play(&scenario, replays))).unwrap_or_else(|_| {
                let violation = Violation { promise: 0, what: "panicked".to_owned() };
                Report { violation: Some(violation), ..Report::default() }
            });
            begun.fetch_add(report.releases, Ordering::Relaxed);
            played.push((scenario, report));
        }
    };
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut played: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(play_on)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a panic of a run is caught")).collect()
    });
    played.sort_by_key(|(scenario, _)| scenario.seed);
    println!("{}\nin {:.1} s", summary(&played), began.elapsed().as_secs_f64());
    played
});

/// Fails with every run that broke the promise.
fn kept(promise: u8) {
    let broken: Vec<String> = RUN
        .iter()
        .filter_map(|(scenario, report)| {
            let violation = report.violation.as_ref().filter(|violation| violation.promise == promise)?;
            Some(format!("seed {} ({:?}): {}", scenario.seed, scenario.kind, violation.what))
        })
        .collect();
    let some = broken.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    let count = broken.len();
    assert!(
        broken.is_empty(),
        "{count} runs broke promise {promise}; play one with PORTCULLIS_SIMULATION_RELEASE\n{some}"
    );
}

#[test]
fn promise_1_once_a_rollback_is_decided_nothing_goes_to_green_before_any_answer_of_the_journal() {
    kept(1);
}

#[test]
fn promise_2_a_reported_rollback_stays_over_crashes_at_any_instant_until_an_operator_opens_a_new_epoch() {
    kept(2);
}

#[test]
fn promise_3_no_step_is_taken_without_its_bake_and_the_requests_that_a_pass_needs_and_none_is_skipped() {
    kept(3);
}

#[test]
fn promise_4_green_pays_for_what_green_did_and_what_is_charged_to_nobody_or_to_blue_rolls_nothing_back() {
    kept(4);
}

#[test]
fn promise_5_no_rollback_by_itself_while_blue_crosses_the_same_bound() {
    kept(5);
}

/// One-sided: more would come by chance once in a million.
#[test]
fn promise_5_the_comparison_convicts_no_more_good_greens_than_it_may() {
    for false_alarm in [0.001, 0.01] {
        let with =
            |scenario: &Scenario| scenario.policy.compare.is_some_and(|settings| settings.false_alarm == false_alarm);
        let of = RUN.iter().filter(|(scenario, _)| with(scenario));
        let (trials, alarms) = of.fold((0, 0), |(trials, alarms), (_, report)| {
            (trials + report.trials, alarms + report.false_alarms.len() as u64)
        });
        let most = most_by_chance(trials, false_alarm);
        println!("false alarms of the comparison at {false_alarm}: {alarms} of {trials}, and {most} may be chance");
        assert!(alarms <= most, "{alarms} false alarms in {trials} comparisons at {false_alarm}; {most} may be chance");
    }
}

#[test]
fn promise_6_every_decision_explains_itself_and_a_replay_of_the_inputs_decides_the_same_to_the_last_bit() {
    kept(6);
    let replayed: u64 = RUN.iter().map(|(_, report)| report.replayed).sum();
    assert!(replayed > 0, "nothing was replayed");
}

#[test]
fn no_run_panics() {
    kept(0);
}

/// What never occurs proves nothing.
#[test]
fn every_decision_every_cause_of_a_rollback_and_every_fault_of_the_world_occurs() {
    let all = Sum::of(RUN.iter().map(|(_, report)| report));
    let releases = all.total(|report| report.releases);
    assert!(releases < RELEASES || all.total(|report| report.completed) >= releases / 20);
    if releases < OCCUR_IN {
        return;
    }
    let missing: Vec<&str> = OCCURRING.iter().copied().filter(|what| !all.seen.contains_key(what)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "{:?}", all.seen);
    let missing: Vec<&str> = CAUSES.iter().copied().filter(|cause| !all.rollbacks.contains_key(cause)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "{:?}", all.rollbacks);
}

/// The smallest number that a binomial variable exceeds with a probability below one in a million.
fn most_by_chance(trials: u64, probability: f64) -> u64 {
    let (mut term, mut sum) = ((1.0 - probability).powf(trials as f64), 0.0);
    for count in 0..trials {
        sum += term;
        if 1.0 - sum < 1e-6 {
            return count;
        }
        term *= (trials - count) as f64 / (count + 1) as f64 * probability / (1.0 - probability);
    }
    trials
}

#[derive(Default)]
struct Sum<'a> {
    reports: Vec<&'a Report>,
    rollbacks: BTreeMap<&'a str, u64>,
    seen: BTreeMap<&'static str, u64>,
    unjust: BTreeMap<Unjust, u64>,
}

impl<'a> Sum<'a> {
    fn of(reports: impl Iterator<Item = &'a Report>) -> Sum<'a> {
        let mut sum = Sum::default();
        for report in reports {
            report.rollbacks.iter().for_each(|trigger| *sum.rollbacks.entry(trigger).or_default() += 1);
            report.seen.iter().for_each(|(what, count)| *sum.seen.entry(what).or_default() += count);
            report.unjust.iter().for_each(|unjust| *sum.unjust.entry(*unjust).or_default() += 1);
            sum.reports.push(report);
        }
        sum
    }

    fn total(&self, of: impl Fn(&Report) -> u64) -> u64 {
        self.reports.iter().map(|report| of(report)).sum()
    }
}

fn summary(played: &[(Scenario, Report)]) -> String {
    let all = Sum::of(played.iter().map(|(_, report)| report));
    let hours: f64 = all.reports.iter().map(|report| report.hours).sum();
    let mut text = format!(
        "{} releases in {} runs: {hours:.0} virtual hours, {} ticks, {} requests, {} restarts, {} decisions replayed\n\
         {:?}\n",
        all.total(|report| report.releases),
        played.len(),
        all.total(|report| report.ticks),
        all.total(|report| report.requests),
        all.total(|report| report.restarts),
        all.total(|report| report.replayed),
        all.seen,
    );
    for kind in KINDS {
        let of_kind = Sum::of(played.iter().filter(|(scenario, _)| scenario.kind == kind).map(|(_, report)| report));
        let (releases, completed) = (of_kind.total(|report| report.releases), of_kind.total(|report| report.completed));
        let unjust = match &of_kind.unjust {
            unjust if unjust.is_empty() => String::new(),
            unjust => format!("; unjustly {unjust:?}"),
        };
        let (kind, rollbacks) = (format!("{kind:?}"), of_kind.rollbacks);
        writeln!(
            text,
            "{kind:18} {releases:5} releases, {completed:4} completed, rolled back by {rollbacks:?}{unjust}"
        )
        .expect("a String");
    }
    for (scenario, report) in played {
        for alarm in &report.false_alarms {
            let at = scenario.policy.compare.map_or(0.0, |settings| settings.false_alarm);
            writeln!(text, "seed {} ({:?}, {at}): {alarm}", scenario.seed, scenario.kind).expect("a String");
        }
    }
    text
}
