//! What the parts cost that run on every request or every tick: `cargo bench --bench micro`.

#![allow(clippy::pedantic, reason = "as in the tests: plainness comes first")]

mod steps;

use std::time::Duration;

use divan::{Bencher, black_box};
use portcullis::gate::compare::{Comparison, Counted, Settings, Suspicion};
use portcullis::gate::{ByVersion, Charge, Evidence, Gate, Latency, Look, Signals, Trigger, Version};
use portcullis::measure::Gauges;
use portcullis::measure::shard::{Collector, Recorder, pair};
use portcullis::measure::{Collectors, Windows};
use portcullis::release::Weight;

use steps::{Admitting, Choosing, Recording, Sticking, WORKERS, policy, record, routed};

fn main() {
    divan::main();
}

#[divan::bench]
fn choose_a_version(bencher: Bencher) {
    let mut choosing = Choosing::new();
    bencher.bench_local(|| choosing.step());
}

#[divan::bench]
fn admit_a_request(bencher: Bencher) {
    let mut admitting = Admitting::new();
    bencher.bench_local(|| admitting.step());
}

#[divan::bench]
fn stick_to_a_cookie(bencher: Bencher) {
    let sticking = Sticking::new();
    bencher.bench_local(|| sticking.step());
}

#[divan::bench]
fn record_an_outcome(bencher: Bencher) {
    let mut recording = Recording::new();
    bencher.bench_local(|| recording.step());
}

/// Takes a shard of each of 16 workers, adds it to the windows and judges three triggers.
#[divan::bench(sample_count = 200)]
fn tick_with_16_shards(bencher: Bencher) {
    let policy = policy();
    let mut gate = Gate::new(&policy);
    let mut windows = Windows::new(&policy);
    let (mut recorders, collectors): (Vec<Recorder>, Vec<Collector>) = (0..WORKERS).map(|_| pair()).unzip();
    let mut collectors = Collectors::new(collectors);
    let signals = Signals::default();
    let mut now = Duration::ZERO;
    bencher
        .with_inputs(|| {
            for recorder in &mut recorders {
                (0..100).for_each(|number| recorder.record(&record(number)));
                recorder.hand_over(Gauges::default(), routed(), std::iter::empty());
            }
        })
        .bench_local_values(|()| {
            now += Duration::from_millis(100);
            windows.add(collectors.tick(routed(), |_| {}).samples.as_ref(), now);
            windows.advance(now);
            gate.judge(&look(&windows, &signals), now)
        });
}

/// Judges three triggers on full windows.
#[divan::bench]
fn judge_a_verdict(bencher: Bencher) {
    let policy = policy();
    let mut gate = Gate::new(&policy);
    let mut windows = Windows::new(&policy);
    let (mut recorder, mut collector) = pair();
    (0..10_000).for_each(|number| recorder.record(&record(number)));
    recorder.hand_over(Gauges::default(), routed(), std::iter::empty());
    let now = Duration::from_secs(1);
    collector.collect(|shard| windows.add(shard.samples.as_ref(), now));
    let evidence: ByVersion<u64> = {
        let counted = windows.evidence(policy.triggers[0].window, policy.triggers[0].condition.span());
        ByVersion::build(|version| counted.of(version).requests)
    };
    assert!(Version::BOTH.into_iter().all(|version| *evidence.of(version) > 1_000), "{evidence:?}");
    let signals = Signals::default();
    bencher.bench_local(|| gate.judge(&look(black_box(&windows), &signals), now));
}

fn look<'a>(windows: &'a Windows, signals: &'a Signals) -> Look<'a, impl Fn(&Trigger) -> ByVersion<&'a Evidence>> {
    Look {
        windows: move |trigger: &Trigger| windows.evidence(trigger.window, trigger.condition.span()),
        health: ByVersion::default(),
        signals,
        suspicion: Suspicion::default(),
        against_blue: None,
        taken_back: &[],
    }
}

/// One tick of 10 requests of green and 90 of blue, with latencies and with requests that wait: a block of each of the
/// three metrics closes.
#[divan::bench]
fn compare_a_tick(bencher: Bencher) {
    let counted = |requests: u64| {
        let mut evidence = Evidence::default();
        (1..=requests)
            .for_each(|number| evidence.record(Charge::Served, Some(Duration::from_micros(5_000 + 37 * number))));
        evidence
    };
    let (history, blue, green, drawn) = (counted(60_000), counted(90), counted(10), counted(10));
    let mut waiting = Latency::default();
    (1..=20).for_each(|number| waiting.record(Duration::from_millis(number)));
    let mut now = Duration::ZERO;
    let mut comparison = Comparison::new(Settings::default(), &history, Duration::from_secs(3_600), now);
    let of = |evidence| Counted { evidence, waiting: &waiting, clients: None };
    let mut ticks = 0;
    bencher.bench_local(|| {
        ticks += 1;
        now += Duration::from_millis(100);
        let counted = black_box(ByVersion { blue: of(&blue), green: of(&green) });
        // Ten of blue's are drawn, and look like ten of green's.
        comparison.tick(counted, Some(of(&drawn)), Weight::PROBE, now)
    });
    let summary = comparison.evidence();
    let blocks = [&summary.errors, &summary.p99, &summary.p50].map(|measured| measured.blocks);
    // The first tick only looks at which requests wait.
    assert!(blocks.iter().all(|blocks| blocks + 1 >= ticks), "{blocks:?} in {ticks} ticks");
}
