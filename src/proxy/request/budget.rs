//! How many requests blue may have in green's place: a bucket that holds a share of what blue has had itself of late.
//!
//! It belongs to one worker, and a worker's share of blue's own requests is what fills it: so the bound holds for the sum of
//! them, and none waits for another. As with Finagle's retry budgets there are a few tokens where there is no traffic to speak
//! of, and what is not used is not kept for ever: what the bucket holds beyond [`AT_REST`] leaks out of it.

use std::time::Duration;

use tokio::time::Instant;

/// What a bucket holds that was left alone, and comes back to from above and from below.
const AT_REST: f64 = 10.0;

/// After this long 63 % of what it held beyond that, or lacks, is gone. So blue's last ten seconds are what counts.
const KEPT_FOR: Duration = Duration::from_secs(10);

pub(super) struct Budget {
    tokens: f64,
    /// Blue's own requests up to then.
    seen: u32,
    at: Instant,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Budget {
        Budget { tokens: AT_REST, seen: 0, at: now }
    }

    /// By now blue has had `own` requests of its own, of which a `share` is for those that green fails. Call it now and then,
    /// and before looking.
    pub(super) fn fill(&mut self, share: f64, own: u32, now: Instant) {
        let passed = now.saturating_duration_since(std::mem::replace(&mut self.at, now));
        let left = (-passed.as_secs_f64() / KEPT_FOR.as_secs_f64()).exp();
        let new = own.wrapping_sub(std::mem::replace(&mut self.seen, own));
        self.tokens = AT_REST + (self.tokens - AT_REST) * left + share * f64::from(new);
    }

    pub(super) fn has_some(&self) -> bool {
        self.tokens >= 1.0
    }

    /// Blue gets one: also where there is none, of those that cost green nothing.
    pub(super) fn spend(&mut self) {
        self.tokens = (self.tokens - 1.0).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the requests that green fails blue gets, when it has so many itself, evenly over `seconds`.
    fn shielded(budget: &mut Budget, share: f64, (own, failed): (u32, u32), seconds: u32) -> u32 {
        let began = budget.at;
        let before = budget.seen;
        let steps = seconds * 20;
        let up_to = |count: u32, step: u32| (u64::from(count) * u64::from(step) / u64::from(steps)) as u32;
        let mut given = 0;
        for step in 1..=steps {
            let now = began + Duration::from_millis(50) * step;
            budget.fill(share, before + up_to(own, step), now);
            for _ in up_to(failed, step - 1)..up_to(failed, step) {
                if budget.has_some() {
                    budget.spend();
                    given += 1;
                }
            }
        }
        given
    }

    #[test]
    fn blue_never_gets_more_than_its_share_and_what_was_saved() {
        let mut budget = Budget::new(Instant::now());
        let given = shielded(&mut budget, 0.2, (100_000, 100_000), 100);
        assert!((20_000..=20_000 + 110).contains(&given), "{given}");
        let given = shielded(&mut budget, 0.2, (100_000, 10_000), 100);
        assert_eq!(given, 10_000, "what is within the share is given");
    }

    #[test]
    fn ten_seconds_of_traffic_are_saved_and_no_more() {
        let mut budget = Budget::new(Instant::now());
        assert_eq!(shielded(&mut budget, 0.2, (3_600_000, 0), 3_600), 0);
        let given = shielded(&mut budget, 0.2, (0, 100_000), 1);
        assert!((1_850..=2_030).contains(&given), "{given} at 1,000 requests a second");
    }

    #[test]
    fn without_traffic_there_are_ten_and_then_one_a_second() {
        let mut budget = Budget::new(Instant::now());
        assert_eq!(shielded(&mut budget, 0.2, (0, 1_000), 1), 10);
        let given = shielded(&mut budget, 0.2, (0, 100_000), 100);
        assert!((90..=100).contains(&given), "{given} in 100 s");
    }

    #[test]
    fn what_was_spent_beyond_the_bucket_is_no_debt() {
        let mut budget = Budget::new(Instant::now());
        (0..1_000).for_each(|_| budget.spend());
        budget.fill(1.0, 1, budget.at);
        assert!(budget.has_some());
    }
}
