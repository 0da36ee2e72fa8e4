//! What the parts cost that run on every request or every tick: `cargo bench --bench micro`.

#![allow(clippy::pedantic, reason = "as in the tests: plainness comes first")]

mod steps;

use std::time::Duration;

use divan::{Bencher, black_box};
use portcullis::gate::{ByVersion, Gate, Version};
use portcullis::measure::shard::{Collector, Gauges, Recorder, pair};
use portcullis::measure::{Collectors, Windows};

use steps::{Admitting, Choosing, Recording, Sticking, WORKERS, epoch, policy, record};

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
    let mut gate = Gate::new(policy.triggers.clone());
    let mut windows = Windows::new(&policy);
    let (mut recorders, collectors): (Vec<Recorder>, Vec<Collector>) = (0..WORKERS).map(|_| pair()).unzip();
    let mut collectors = Collectors::new(collectors);
    let mut now = Duration::ZERO;
    bencher
        .with_inputs(|| {
            for recorder in &mut recorders {
                (0..100).for_each(|number| recorder.record(&record(number)));
                recorder.hand_over(Gauges::default(), epoch(), std::iter::empty());
            }
        })
        .bench_local_values(|()| {
            now += Duration::from_millis(100);
            windows.add(collectors.tick(epoch(), |_| {}).samples.as_ref(), now);
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
    recorder.hand_over(Gauges::default(), epoch(), std::iter::empty());
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
