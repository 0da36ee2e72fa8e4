use std::ops::RangeInclusive;
use std::panic::catch_unwind;

use hdrhistogram::Histogram;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What results must equal.
#[derive(Clone)]
struct Oracle(Histogram<u32>);

impl Oracle {
    fn new() -> Oracle {
        Oracle(Histogram::new_with_bounds(1, micros_of(LONGEST), 2).expect("the bounds fit"))
    }

    fn slower_than(&self, micros: u64) -> u64 {
        let above = self.0.next_non_equivalent(micros.min(micros_of(LONGEST)));
        self.0.count_between(above, u64::MAX)
    }

    fn quantile(&self, quantile: Quantile) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_micros(self.0.value_at_quantile(quantile.fraction())))
    }

    fn buckets(&self) -> Vec<(Duration, u64)> {
        let buckets = self.0.iter_recorded();
        buckets.map(|at| (Duration::from_micros(at.value_iterated_to()), at.count_at_value().into())).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Record(u64),
    RecordMany(u64, u64),
    Add(usize),
    /// Left out where it was not added before.
    Subtract(usize),
    Clear,
}

const HISTOGRAMS: usize = 3;

fn micros() -> impl Strategy<Value = u64> {
    let near = 3_000_u64..30_000;
    let anywhere = (any::<u64>(), 0..64_u32).prop_map(|(micros, shift)| micros >> shift);
    prop_oneof![2 => near, 1 => anywhere, 1 => 100_000_000_u64..140_000_000]
}

fn steps(counts: RangeInclusive<u64>) -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        6 => micros().prop_map(Step::Record),
        4 => (micros(), counts).prop_map(|(micros, count)| Step::RecordMany(micros, count)),
        4 => (0..HISTOGRAMS).prop_map(Step::Add),
        4 => (0..HISTOGRAMS).prop_map(Step::Subtract),
        1 => Just(Step::Clear),
    ];
    vec((0..HISTOGRAMS, step), 0..60)
}

fn take(step: &Step, at: usize, live: &mut [Latency; HISTOGRAMS], oracle: &mut [Oracle; HISTOGRAMS]) {
    match *step {
        Step::Record(micros) => {
            live[at].record(Duration::from_micros(micros));
            oracle[at].0.saturating_record(micros);
        }
        Step::RecordMany(micros, count) => {
            live[at].record_many(Duration::from_micros(micros), count);
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            oracle[at].0.record_n(micros.min(micros_of(LONGEST)), count).expect("nothing is above the longest");
        }
        Step::Add(from) => {
            live[at].add(&live[from].clone());
            let from = oracle[from].clone();
            oracle[at].0.add(&from.0).expect("the bounds are the same");
        }
        Step::Subtract(from) => {
            let mut rest = oracle[at].clone();
            if rest.0.subtract(&oracle[from].0).is_ok() {
                live[at].subtract(&live[from].clone());
                oracle[at] = rest;
            } else {
                let (mut from_it, what) = (live[at].clone(), live[from].clone());
                assert!(catch_unwind(move || from_it.subtract(&what)).is_err(), "{step:?}");
            }
        }
        Step::Clear => {
            live[at].clear();
            oracle[at].0.reset();
        }
    }
}

fn check(steps: &[(usize, Step)], bounds: &[u64]) {
    let mut live: [Latency; HISTOGRAMS] = Default::default();
    let mut oracle: [Oracle; HISTOGRAMS] = std::array::from_fn(|_| Oracle::new());
    for (at, step) in steps {
        take(step, *at, &mut live, &mut oracle);
        assert_eq!(live[*at].len(), oracle[*at].0.len(), "{step:?}");
    }
    for (live, oracle) in live.iter().zip(&oracle) {
        assert_eq!(live.is_empty(), oracle.0.is_empty());
        assert_eq!(live.buckets().collect::<Vec<_>>(), oracle.buckets());
        for millionths in [1, 10_000, 250_000, 500_000, 900_000, 950_000, 990_000, 999_000, 999_999] {
            let quantile = Quantile::try_from(f64::from(millionths) / 1e6).expect("between 0 and 1");
            assert_eq!(live.quantile(quantile), oracle.quantile(quantile), "{millionths}");
        }
        let edges = live.buckets().map(|(edge, _)| micros_of(edge));
        for micros in edges.flat_map(|edge| [edge, edge + 1]).chain(bounds.iter().copied()) {
            assert_eq!(live.slower_than(Duration::from_micros(micros)), oracle.slower_than(micros), "{micros}");
        }
    }
}

proptest! {
    #[test]
    fn nothing_tells_it_from_an_hdrhistogram(steps in steps(1..=1_000), bounds in vec(micros(), 20)) {
        check(&steps, &bounds);
    }

    #[test]
    fn nothing_tells_it_from_an_hdrhistogram_whose_counts_are_full(
        steps in steps(1 << 31..=1 << 33),
        bounds in vec(micros(), 20),
    ) {
        check(&steps, &bounds);
    }

    #[test]
    fn an_edge_is_that_of_an_hdrhistogram(micros in micros()) {
        // An hdrhistogram takes one off the last edge of all, that of latencies of 584,000 years.
        prop_assume!(micros < u64::MAX - (1 << 56));
        let edge = Oracle::new().0.highest_equivalent(micros);
        prop_assert_eq!(Latency::default().edge(Duration::from_micros(micros)), Duration::from_micros(edge));
    }
}

#[test]
fn every_bucket_is_that_of_an_hdrhistogram() {
    let oracle = Oracle::new().0;
    let mut micros = 0;
    for index in 0..=LAST {
        let edge = oracle.highest_equivalent(micros);
        assert_eq!((index_of(micros), index_of(edge), upper_edge(index)), (index, index, edge));
        micros = edge + 1;
    }
    assert_eq!(LAST + 1, oracle.distinct_values());
    assert_eq!(Latency::default().edge(Duration::MAX), Duration::from_micros(oracle.highest_equivalent(u64::MAX)));
}

#[test]
fn nothing_recorded_many_times_is_nothing() {
    let mut latency = Latency::default();
    latency.record_many(Duration::from_millis(7), 0);
    assert!(latency.is_empty() && latency.counts.is_empty());
}

#[test]
fn a_window_is_no_wider_than_what_is_left_in_it() {
    let (mut window, mut usual, mut outlier) = (Latency::default(), Latency::default(), Latency::default());
    usual.record(Duration::from_millis(7));
    for micros in [3, 90_000_000] {
        outlier.record(Duration::from_micros(micros));
    }
    window.add(&usual);
    window.add(&outlier);
    assert!(window.counts.len() > 2_000, "{}", window.counts.len());
    window.subtract(&outlier);
    assert_eq!(window.counts.len(), STRETCH);
    window.subtract(&usual);
    assert!(window.counts.is_empty());
}

#[test]
fn no_latencies_take_more_memory_than_all_buckets_and_what_was_cleared_keeps_it() {
    let mut latency = Latency::default();
    for index in (0..=LAST).rev() {
        latency.record(Duration::from_micros(upper_edge(index)));
    }
    assert_eq!(latency.counts.capacity(), LAST + 1);
    latency.clear();
    latency.record(Duration::from_millis(7));
    assert_eq!((latency.len(), latency.counts.len(), latency.counts.capacity()), (1, STRETCH, LAST + 1));
}

#[test]
fn slower_than_never_counts_a_request_that_was_within_the_bound() {
    let mut latency = Latency::default();
    for micros in [199_000, 200_000, 203_000, 5_000_000] {
        latency.record(Duration::from_micros(micros));
    }
    assert_eq!(latency.slower_than(Duration::from_millis(200)), 2);
    assert_eq!(latency.slower_than(Duration::from_secs(3600)), 0);
}

#[test]
fn a_latency_beyond_the_longest_counts_as_the_longest() {
    let mut latency = Latency::default();
    latency.record(Duration::from_secs(86_400));
    assert_eq!(latency.slower_than(Duration::from_secs(119)), 1);
}

#[test]
fn an_edge_is_the_last_latency_that_is_not_slower_than_it() {
    let mut latency = Latency::default();
    let edge = latency.edge(Duration::from_nanos(199_999_001));
    assert!(edge >= Duration::from_millis(200) && edge < Duration::from_millis(202), "{edge:?}");
    latency.record(edge);
    assert_eq!(latency.slower_than(edge), 0);
    assert_eq!(latency.slower_than(Duration::from_millis(198)), 1);
    latency.record(edge + Duration::from_micros(1));
    assert_eq!(latency.slower_than(edge), 1);
}
