//! What has been counted of one version: requests, failures and latencies.

use std::time::Duration;

use super::latency::Latency;
use super::outcome::Charge;
use super::version::ByVersion;

/// The evidence of one version in one window.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Requests that the version answered or failed; those charged to nobody are not among them.
    pub requests: u64,
    pub failures: u64,
    /// Of the failures, those that another version answered in its place. Nothing is judged by them: they are shown.
    pub shielded: u64,
    pub latency: Latency,
}

/// What one window holds of both versions.
#[derive(Clone, Copy, Debug)]
pub struct Window<'e> {
    pub total: ByVersion<&'e Evidence>,
    /// What came since the weight last changed, or green's latencies began, where that was inside the window.
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
        self.shielded = 0;
        self.latency.clear();
    }

    pub fn add(&mut self, other: &Evidence) {
        self.requests += other.requests;
        self.failures += other.failures;
        self.shielded += other.shielded;
        self.latency.add(&other.latency);
    }

    pub fn subtract(&mut self, other: &Evidence) {
        self.requests -= other.requests;
        self.failures -= other.failures;
        self.shielded -= other.shielded;
        self.latency.subtract(&other.latency);
    }

    /// Failures per request, 0 without requests.
    pub fn error_rate(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.failures as f64 / self.requests as f64 }
    }

    /// Requests that did not fail, of all; none without requests.
    pub fn success_rate(&self) -> Option<f64> {
        self.successes(self.failures)
    }

    /// Requests of which clients saw no failure, of all; none without requests.
    pub fn effective_success_rate(&self) -> Option<f64> {
        // What was shielded is counted when it has been answered: its failure may have left the window before.
        self.successes(self.failures.saturating_sub(self.shielded))
    }

    fn successes(&self, failures: u64) -> Option<f64> {
        (self.requests > 0).then(|| (self.requests - failures) as f64 / self.requests as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
