//! The gate and the flip over virtual time: real routing, shards, windows, gate, state machine and control task, under
//! simulated traffic. Everything that a run does follows from its seed.
//!
//! [`scenario`] says what a seed stands for, [`run`] plays it, [`ledger`] counts on its own what happened and compares.
//!
//! `PORTCULLIS_SIMULATION_SEED=N` plays one run, `PORTCULLIS_SIMULATION_RUNS=N` another number of runs.

mod journalled;
mod ledger;
mod releases;
mod run;
mod scenario;
mod wiring;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::number;
use ledger::Violation;
use portcullis::release::input::OPERATOR;
use scenario::{Kind, Scenario};

/// Enough for a build without optimisation; the step `simulation` of tests/run plays 2,000.
const RUNS: u64 = 40;

/// What one run came to.
#[derive(Clone, Debug, Default)]
struct Report {
    requests: u64,
    /// What rolled each epoch back: the trigger's name, or the operator.
    rollbacks: Vec<String>,
    violation: Option<Violation>,
}

/// All runs, played once for all tests of this file.
static RUN: LazyLock<Vec<(Scenario, Report)>> = LazyLock::new(|| {
    let (first, last) = match number("PORTCULLIS_SIMULATION_SEED") {
        Some(seed) => (seed, seed + 1),
        None => (0, number("PORTCULLIS_SIMULATION_RUNS").unwrap_or(RUNS)),
    };
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut played = Vec::new();
    std::thread::scope(|scope| {
        let play_on = || {
            let mut played = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= last {
                    return played;
                }
                let scenario = Scenario::new(seed);
                let report = catch_unwind(AssertUnwindSafe(|| run::play(&scenario))).unwrap_or_else(|_| {
                    let violation = Violation { promise: 0, what: "panicked".to_owned() };
                    Report { violation: Some(violation), ..Report::default() }
                });
                played.push((scenario, report));
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(play_on)).collect();
        threads.into_iter().for_each(|thread| played.extend(thread.join().expect("a run panicked")));
    });
    println!("{}", summary(&played));
    played
});

/// Fails with every run that broke the promise.
fn kept(promise: u8) {
    let mut broken: Vec<String> = RUN
        .iter()
        .filter_map(|(scenario, report)| {
            let violation = report.violation.as_ref().filter(|violation| violation.promise == promise)?;
            Some(format!("seed {} ({:?}): {}", scenario.seed, scenario.kind, violation.what))
        })
        .collect();
    broken.sort();
    assert!(
        broken.is_empty(),
        "{} runs broke promise {promise}; play one with PORTCULLIS_SIMULATION_SEED\n{}",
        broken.len(),
        broken.join("\n")
    );
}

#[test]
fn promise_1_a_bound_that_green_alone_crosses_rolls_back_within_300_ms() {
    kept(1);
}

#[test]
fn promise_2_after_a_rollback_no_worker_routes_to_green_until_an_operator_opens_a_new_epoch() {
    kept(2);
}

#[test]
fn promise_3_no_verdict_passes_without_the_minimum_of_greens_requests_in_every_window() {
    kept(3);
}

#[test]
fn promise_4_what_is_not_charged_to_green_orders_nothing() {
    kept(4);
}

#[test]
fn promise_5_no_rollback_while_blue_is_over_the_same_bound_and_none_for_a_common_outage() {
    kept(5);
}

#[test]
fn the_windows_hold_what_the_workers_handed_over() {
    kept(0);
}

fn summary(played: &[(Scenario, Report)]) -> String {
    let mut kinds: BTreeMap<String, (u64, u64, BTreeMap<&str, u64>)> = BTreeMap::new();
    for (scenario, report) in played {
        let name = format!("{:?}{}", scenario.kind, if scenario.streak { " with a streak" } else { "" });
        let (runs, requests, rollbacks) = kinds.entry(name).or_default();
        *runs += 1;
        *requests += report.requests;
        for trigger in &report.rollbacks {
            *rollbacks.entry(trigger).or_default() += 1;
        }
    }
    let mut text = format!("{} runs\n", played.len());
    for (name, (runs, requests, rollbacks)) in kinds {
        writeln!(text, "{name:40} {runs:5} runs {requests:9} requests, rolled back by {rollbacks:?}")
            .expect("a String");
    }
    for (scenario, report) in played.iter().filter(|(scenario, _)| is_common(scenario.kind)) {
        for trigger in report.rollbacks.iter().filter(|trigger| *trigger != OPERATOR) {
            let Scenario { seed, kind, weight, rate, commands, .. } = scenario;
            let commands = commands.len();
            writeln!(text, "seed {seed}: {kind:?} at {weight} of {rate:.0}/s and {commands} commands was blamed on green by {trigger}")
                .expect("a String");
        }
    }
    text
}

/// Scenarios in which nothing may be blamed on green.
const fn is_common(kind: Kind) -> bool {
    matches!(kind, Kind::CommonTotal | Kind::CommonPartial | Kind::CommonSlow)
}
