//! The tails: where they begin, and which requests are in them.

use super::*;
use crate::gate::Charge;

fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// `(requests, milliseconds)` each.
fn latency(groups: &[(u64, u64)]) -> Latency {
    let mut latency = Latency::default();
    for (requests, time) in groups {
        (0..*requests).for_each(|_| latency.record(millis(*time)));
    }
    latency
}

fn evidence(groups: &[(u64, u64)]) -> Evidence {
    let mut evidence = Evidence::default();
    for (requests, time) in groups {
        (0..*requests).for_each(|_| evidence.record(Charge::Served, Some(millis(*time))));
    }
    evidence
}

/// Blue took 10 ms, and 100 ms or more one time in fifty.
fn history() -> Evidence {
    evidence(&[(980, 10), (20, 100)])
}

fn comparison() -> Comparison {
    Comparison::new(Settings::default(), &history(), Duration::from_secs(3_600), START)
}

/// A tick of green's and blue's latencies, and of the ages of green's requests without a head.
fn tick(comparison: &mut Comparison, number: u32, green: &[(u64, u64)], blue: &[(u64, u64)], waiting: &[(u64, u64)]) {
    let (green, blue, nobody, waiting) = (evidence(green), evidence(blue), Latency::default(), latency(waiting));
    let counted = ByVersion {
        blue: Counted { evidence: &blue, waiting: &nobody, clients: None },
        green: Counted { evidence: &green, waiting: &waiting, clients: None },
    };
    comparison.tick(counted, None, Weight::PROBE, START + number * millis(100));
}

#[test]
fn the_bounds_are_edges_a_quarter_apart() {
    let summary = comparison().evidence();
    let slow_above = summary.p99.slow_above.expect("there are 1,000 units");
    let edges = Latency::default();
    let edge = |micros| edges.edge(Duration::from_micros(micros)).as_micros() as u64;
    assert_eq!(slow_above.blue, edge(100_000));
    assert_eq!(slow_above.green, edge((slow_above.blue * 5).div_ceil(4)));
    assert!(slow_above.green * 4 >= slow_above.blue * 5);
    let slow_above = summary.p50.slow_above.expect("there are 1,000 units");
    assert_eq!((slow_above.blue, slow_above.green), (edge(10_000), edge(edge(10_000) * 5 / 4 + 1)));
    // One unit of a thousand in this history is slower than none, so half a unit of 1,001 is expected.
    assert_eq!(summary.p99.expected, 0.5 / 1_001.0);
}

#[test]
fn differences_below_two_milliseconds_belong_to_the_machines() {
    let blue = evidence(&[(1_000, 1)]);
    let comparison = Comparison::new(Settings::default(), &blue, Duration::ZERO, START);
    let slow_above = comparison.evidence().p50.slow_above.expect("there are 1,000 units");
    assert!(slow_above.green >= slow_above.blue + 2_000, "{slow_above:?}");
}

#[test]
fn a_bound_waits_for_a_thousand_units_beyond_p99_and_twenty_beyond_p50() {
    let few = evidence(&[(19, 10)]);
    let mut comparison = Comparison::new(Settings::default(), &few, Duration::ZERO, START);
    assert_eq!(comparison.evidence().p50.slow_above, None);
    tick(&mut comparison, 1, &[], &[(1, 10)], &[]);
    assert_eq!(comparison.evidence().p50.slow_above, None, "the bounds come from the ticks before");
    tick(&mut comparison, 2, &[], &[], &[]);
    assert!(comparison.evidence().p50.slow_above.is_some());
    assert_eq!(comparison.evidence().p99.slow_above, None);
    tick(&mut comparison, 3, &[], &[(980, 10)], &[]);
    tick(&mut comparison, 4, &[], &[], &[]);
    assert!(comparison.evidence().p99.slow_above.is_some());
}

#[test]
fn the_bounds_move_with_the_weight_and_at_no_other_time() {
    let mut comparison = comparison();
    let before = comparison.evidence().p50.slow_above;
    for number in 1..=6_100 {
        tick(&mut comparison, number, &[], &[(1, 40)], &[]);
    }
    assert_eq!(comparison.evidence().p50.slow_above, before);
    comparison.weight_changed(START + 6_100 * millis(100));
    let after = comparison.evidence().p50.slow_above.expect("set");
    assert!(after.blue > 39_000, "{after:?}");
}

#[test]
fn a_hung_request_is_slow_when_its_age_passes_the_bound_and_only_once() {
    let mut comparison = comparison();
    let counted = |comparison: &Comparison| comparison.contrast.p99.since().counted.green;
    // One has waited since before the bounds were set: it is never counted.
    tick(&mut comparison, 1, &[], &[], &[(2, 100), (1, 900)]);
    tick(&mut comparison, 2, &[], &[(20, 10)], &[(2, 120), (1, 1_000)]);
    assert_eq!(counted(&comparison), Tally::default(), "no unit of green is decided");
    // One passes the bound waiting, the other ends slow in the same tick.
    tick(&mut comparison, 3, &[(1, 200), (1, 1_100)], &[(20, 10)], &[(1, 220)]);
    assert_eq!(counted(&comparison), Tally { bad: 2, units: 2 });
    // The first ends: it has been counted.
    tick(&mut comparison, 4, &[(1, 320), (1, 10)], &[(20, 10)], &[]);
    assert_eq!(counted(&comparison), Tally { bad: 2, units: 3 });
    // One that vanishes without a latency takes nothing back.
    tick(&mut comparison, 5, &[], &[(20, 10)], &[(1, 500)]);
    tick(&mut comparison, 6, &[(1, 10)], &[(20, 10)], &[]);
    assert_eq!(counted(&comparison), Tally { bad: 3, units: 5 });
}

#[test]
fn a_green_that_hangs_is_convicted_before_a_single_answer() {
    let mut comparison = comparison();
    let mut found = None;
    for number in 1..=40 {
        let hung: Vec<(u64, u64)> = (0..u64::from(number)).map(|age| (1, 100 * (age + 1))).collect();
        let (nothing, blue) = (Evidence::default(), evidence(&[(9, 10)]));
        let (nobody, waiting) = (Latency::default(), latency(&hung));
        let counted = ByVersion {
            blue: Counted { evidence: &blue, waiting: &nobody, clients: None },
            green: Counted { evidence: &nothing, waiting: &waiting, clients: None },
        };
        if let Finding::Convict { sentence, .. } =
            comparison.tick(counted, None, Weight::PROBE, START + number * millis(100))
        {
            found = Some((number, sentence));
            break;
        }
    }
    let (ticks, sentence) = found.expect("green never answers");
    assert!(ticks <= 12, "after {ticks} ticks");
    assert!(sentence.starts_with("green was slower than 1"), "{sentence}");
    assert!(sentence.contains("% above blue's"), "{sentence}");
}

#[test]
fn a_green_within_a_quarter_of_blue_is_never_slow() {
    let mut comparison = comparison();
    for number in 1..=500 {
        tick(&mut comparison, number, &[(5, 12)], &[(45, 10)], &[]);
    }
    assert!(comparison.evidence().ln_evidence < 0.0);
    for number in 501..=520 {
        tick(&mut comparison, number, &[(5, 14)], &[(45, 10)], &[]);
    }
    assert!(comparison.suspicion().p50);
}
