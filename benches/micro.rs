//! What the parts cost that run on every request or every tick: `cargo bench --bench micro`.

#![allow(clippy::pedantic, reason = "as in the tests: plainness comes first")]

mod steps;

use std::time::Duration;

use divan::{Bencher, black_box};
use portcullis::gate::compare::{Comparison, Counted, Settings};
use portcullis::gate::{ByVersion, Charge, Evidence, Gate, Latency, Version};
use portcullis::measure::Windows;
use portcullis::measure::shard::{Collector, Gauges, Recorder, pair};
use portcullis::release::Weight;

use steps::{Choosing, Recording, WORKERS, policy, record};

fn main() {
    divan::main();
}

#[divan::bench]
fn choose_a_version(bencher: Bencher) {
    let mut choosing = Choosing::new();
    bencher.bench_local(|| choosing.step());
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
    let mut gate = Gate::new(policy.triggers.clone());
    let mut windows = Windows::new(&policy);
    let (mut recorders, mut collectors): (Vec<Recorder>, Vec<Collector>) = (0..WORKERS).map(|_| pair()).unzip();
    let mut now = Duration::ZERO;
    bencher
        .with_inputs(|| {
            for recorder in &mut recorders {
                (0..100).for_each(|number| recorder.record(&record(number)));
                recorder.hand_over(Gauges::default());
            }
        })
        .bench_local_values(|()| {
            now += Duration::from_millis(100);
            for collector in &mut collectors {
                collector.collect(|shard| windows.add(shard.samples.as_ref(), now));
            }
            windows.advance(now);
            gate.judge(|trigger| windows.evidence(trigger.window, trigger.condition.span()), now)
        });
}

/// Judges three triggers on full windows.
#[divan::bench]
fn judge_a_verdict(bencher: Bencher) {
    let policy = policy();
    let mut gate = Gate::new(policy.triggers.clone());
    let mut windows = Windows::new(&policy);
    let (mut recorder, mut collector) = pair();
    (0..10_000).for_each(|number| recorder.record(&record(number)));
    recorder.hand_over(Gauges::default());
    let now = Duration::from_secs(1);
    collector.collect(|shard| windows.add(shard.samples.as_ref(), now));
    let evidence: ByVersion<u64> = {
        let counted = windows.evidence(policy.triggers[0].window, policy.triggers[0].condition.span());
        ByVersion::build(|version| counted.of(version).requests)
    };
    assert!(Version::BOTH.into_iter().all(|version| *evidence.of(version) > 1_000), "{evidence:?}");
    bencher.bench_local(|| {
        gate.judge(|trigger| black_box(&windows).evidence(trigger.window, trigger.condition.span()), now)
    });
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
    let (history, blue, green) = (counted(60_000), counted(90), counted(10));
    let mut waiting = Latency::default();
    (1..=20).for_each(|number| waiting.record(Duration::from_millis(number)));
    let mut now = Duration::ZERO;
    let mut comparison = Comparison::new(Settings::default(), &history, Duration::from_secs(3_600), now);
    let of = |evidence| Counted { evidence, waiting: &waiting, clients: None };
    bencher.bench_local(|| {
        now += Duration::from_millis(100);
        comparison.tick(black_box(ByVersion { blue: of(&blue), green: of(&green) }), Weight::PROBE, now)
    });
    let summary = comparison.evidence();
    assert!(summary.errors.blocks > 1_000 && summary.p50.blocks > 1_000 && summary.p99.blocks > 1_000, "{summary:?}");
}
