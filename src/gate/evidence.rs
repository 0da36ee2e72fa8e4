//! What has been counted of one version: requests, failures and a latency histogram.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::outcome::Charge;
use super::trigger::Quantile;
use super::version::ByVersion;

/// The longest latency that is told apart; anything slower counts as this long. Above any sensible bound.
pub const LONGEST: Duration = Duration::from_secs(120);

/// Latencies from 1 µs to [`LONGEST`], kept to two significant digits: an edge lies within 0.8 % of any value.
/// A histogram takes 10.5 KiB, whatever has been recorded.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u32>);

/// The evidence of one version in one window.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Requests that the version answered or failed; those charged to nobody are not among them.
    pub requests: u64,
    pub failures: u64,
    pub latency: Latency,
}

impl Default for Latency {
    fn default() -> Self {
        let longest_micros = LONGEST.as_micros() as u64;
        let counts = Histogram::new_with_bounds(1, longest_micros, 2).expect("the bounds are constants that fit");
        Latency(counts)
    }
}

impl Latency {
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// As [`Latency::record`], `count` times.
    pub fn record_many(&mut self, latency: Duration, count: u64) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).min(LONGEST.as_micros() as u64);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.0.record_n(micros, count).expect("nothing is above the longest");
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> u64 {
        self.0.len()
    }

    pub fn clear(&mut self) {
        if !self.is_empty() {
            self.0.reset();
        }
    }

    pub fn add(&mut self, other: &Latency) {
        if !other.is_empty() {
            self.0.add(&other.0).expect("all histograms share their bounds");
        }
    }

    /// Takes out what was added before.
    pub fn subtract(&mut self, other: &Latency) {
        if !other.is_empty() {
            self.0.subtract(&other.0).expect("only what was added is subtracted");
        }
    }

    /// How many were certainly slower than `bound`: those in buckets that lie wholly above it.
    pub fn slower_than(&self, bound: Duration) -> u64 {
        let bound = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        let above = self.0.next_non_equivalent(bound.min(LONGEST.as_micros() as u64));
        self.0.count_between(above, u64::MAX)
    }

    /// The upper edge of the bucket that holds the quantile; none without records.
    pub fn quantile(&self, quantile: Quantile) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_micros(self.0.value_at_quantile(quantile.fraction())))
    }

    /// The upper edge of the bucket that `latency` belongs to: the first at or above it.
    pub fn edge(&self, latency: Duration) -> Duration {
        let micros = u64::try_from(latency.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        Duration::from_micros(self.0.highest_equivalent(micros))
    }

    /// Each bucket that holds something: its upper edge and how many.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.0
            .iter_recorded()
            .map(|bucket| (Duration::from_micros(bucket.value_iterated_to()), u64::from(bucket.count_at_value())))
    }
}

/// What one window holds of both versions.
#[derive(Clone, Copy, Debug)]
pub struct Window<'e> {
    pub total: ByVersion<&'e Evidence>,
    /// What came since the weight last changed, where that was inside the window.
    pub since_change: Option<ByVersion<&'e Evidence>>,
}

/// A window in which the weight did not change.
impl<'e> From<ByVersion<&'e Evidence>> for Window<'e> {
    fn from(total: ByVersion<&'e Evidence>) -> Window<'e> {
        Window { total, since_change: None }
    }
}

impl Evidence {
    pub fn record(&mut self, charge: Charge, latency: Option<Duration>) {
        match charge {
            Charge::Failed => {
                self.requests += 1;
                self.failures += 1;
            }
            Charge::Served => self.requests += 1,
            Charge::Nobody => {}
        }
        if let Some(latency) = latency {
            self.latency.record(latency);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.requests == 0 && self.latency.is_empty()
    }

    pub fn clear(&mut self) {
        self.requests = 0;
        self.failures = 0;
        self.latency.clear();
    }

    pub fn add(&mut self, other: &Evidence) {
        self.requests += other.requests;
        self.failures += other.failures;
        self.latency.add(&other.latency);
    }

    pub fn subtract(&mut self, other: &Evidence) {
        self.requests -= other.requests;
        self.failures -= other.failures;
        self.latency.subtract(&other.latency);
    }

    /// Failures per request, 0 without requests.
    pub fn error_rate(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.failures as f64 / self.requests as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn what_was_added_can_be_taken_out_again() {
        let (mut total, mut part) = (Evidence::default(), Evidence::default());
        part.record(Charge::Failed, Some(Duration::from_millis(7)));
        total.record(Charge::Served, Some(Duration::from_millis(3)));
        total.add(&part);
        total.subtract(&part);
        assert_eq!((total.requests, total.failures, total.latency.len()), (1, 0, 1));
        assert_eq!(total.latency.slower_than(Duration::from_millis(5)), 0);
    }
}
