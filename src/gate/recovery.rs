//! Whether a rollback has helped: how blue does after it, compared with how it did before, and with the green that was taken
//! back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::trigger::Quantile;
use super::verdict::{count, duration, percent};

/// Of fewer requests nothing is said.
pub const LEAST_REQUESTS: u64 = 50;

const MINUTE: Duration = Duration::from_secs(60);

/// Who fails less is well, whatever was before.
const LEAST_RATE: f64 = 0.01;

/// Blue is bad where it fails so many times as often as before, or so many times as many of its requests are slow as were.
const TIMES: f64 = 2.0;

/// A difference of this many standard errors is not chance.
const STANDARD_ERRORS: f64 = 3.0;

/// One in a hundred was slower than the 99th percentile; blue is bad where so many take [`TIMES`] as long.
const SLOW: f64 = 0.05;

/// What was seen of a version, without its histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    pub requests: u64,
    pub failures: u64,
    /// None without latencies.
    pub p99: Option<Duration>,
}

/// As of a rollback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Before {
    /// Blue in the ten minutes before it.
    pub blue: Seen,
    /// Green in the last minute before it.
    pub green: Seen,
}

impl Seen {
    pub fn of(evidence: &Evidence) -> Seen {
        let p99 = evidence.latency.quantile(Quantile::P99);
        Seen { requests: evidence.requests, failures: evidence.failures, p99 }
    }

    fn rate(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.failures as f64 / self.requests as f64 }
    }
}

impl Before {
    /// What is wrong with blue, which did so in the last `window`; none where nothing is.
    pub fn suffers(&self, blue: &Evidence, window: Duration) -> Option<String> {
        let now = Seen::of(blue);
        let last = if window == MINUTE { "minute".to_owned() } else { duration(window) };
        if self.fails(&now) {
            let share = percent(now.rate());
            let (failures, requests) = (count(now.failures), count(now.requests));
            return Some(format!(
                "in the last {last} it failed {failures} of {requests} requests ({share}), {}",
                self.rates()
            ));
        }
        let bound = self.blue.p99.filter(|_| self.blue.requests >= LEAST_REQUESTS)?.mul_f64(TIMES);
        let (slow, of) = (blue.latency.slower_than(bound), blue.latency.len());
        (of >= LEAST_REQUESTS && slow as f64 >= of as f64 * SLOW).then(|| {
            let (slow, of, bound) = (count(slow), count(of), duration(bound));
            format!("in the last {last} {slow} of {of} answers took longer than {bound}, {}", self.latencies())
        })
    }

    fn fails(&self, now: &Seen) -> bool {
        let past = self.blue;
        if now.requests < LEAST_REQUESTS || now.rate() < LEAST_RATE {
            return false;
        }
        if past.requests < LEAST_REQUESTS {
            // It cannot be said of before.
            return now.rate() * TIMES >= self.green.rate();
        }
        let of = (past.requests + now.requests) as f64;
        let all = (past.failures + now.failures) as f64 / of;
        let error = (all * (1.0 - all) * (1.0 / past.requests as f64 + 1.0 / now.requests as f64)).sqrt();
        now.rate() >= past.rate() * TIMES && now.rate() - past.rate() >= STANDARD_ERRORS * error
    }

    /// Behind how often blue fails.
    pub fn rates(&self) -> String {
        let green = match self.green.requests {
            0 => String::new(),
            _ => format!("; green failed {} in the minute before it", percent(self.green.rate())),
        };
        match self.blue.requests {
            0 => format!("nothing is known of before the rollback{green}"),
            _ => format!("{} in the ten minutes before the rollback{green}", percent(self.blue.rate())),
        }
    }

    /// Behind how long blue takes.
    pub fn latencies(&self) -> String {
        let told = |p99: Option<Duration>| p99.map_or_else(|| "unknown".to_owned(), duration);
        format!("where its P99 was {} before the rollback, and green's {}", told(self.blue.p99), told(self.green.p99))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Before = Before {
        blue: Seen { requests: 10_000, failures: 10, p99: Some(Duration::from_millis(20)) },
        green: Seen { requests: 1_000, failures: 90, p99: Some(Duration::from_millis(200)) },
    };

    /// Blue answers one in `one_slow_in` in 100 ms, and the others in 10.
    fn check(before: Before, (failures, requests): (u64, u64), one_slow_in: u64, expected: Option<&str>) {
        let mut blue = Evidence { requests, failures, ..Evidence::default() };
        blue.latency.record_many(Duration::from_millis(100), requests / one_slow_in);
        blue.latency.record_many(Duration::from_millis(10), requests - requests / one_slow_in);
        assert_eq!(before.suffers(&blue, MINUTE).as_deref(), expected, "{failures} of {requests}");
    }

    #[test]
    fn blue_suffers_where_it_fails_or_takes_long_and_did_not_before() {
        let rates = "0.1 % in the ten minutes before the rollback; green failed 9.0 % in the minute before it";
        let bad = format!("in the last minute it failed 80 of 1,000 requests (8.0 %), {rates}");
        check(BEFORE, (80, 1_000), 1_000, Some(&bad));
        check(BEFORE, (1, 1_000), 1_000, None);
        check(BEFORE, (9, 1_000), 1_000, None);
        check(BEFORE, (40, 49), 1_000, None);
        let slow = "in the last minute 100 of 1,000 answers took longer than 40 ms, where its P99 was 20 ms before the \
                    rollback, and green's 200 ms";
        check(BEFORE, (0, 1_000), 10, Some(slow));
        check(BEFORE, (0, 1_000), 50, None);
    }

    #[test]
    fn a_blue_that_always_failed_so_often_does_not_suffer() {
        let before = Before { blue: Seen { failures: 500, ..BEFORE.blue }, ..BEFORE };
        check(before, (60, 1_000), 1_000, None);
        let rates = "5.0 % in the ten minutes before the rollback; green failed 9.0 % in the minute before it";
        let bad = format!("in the last minute it failed 120 of 1,000 requests (12.0 %), {rates}");
        check(before, (120, 1_000), 1_000, Some(&bad));
    }

    #[test]
    fn a_blue_of_which_nothing_was_known_is_compared_with_green() {
        let before = Before { blue: Seen::default(), ..BEFORE };
        check(before, (40, 1_000), 1_000, None);
        let rates = "nothing is known of before the rollback; green failed 9.0 % in the minute before it";
        let bad = format!("in the last minute it failed 50 of 1,000 requests (5.0 %), {rates}");
        check(before, (50, 1_000), 1_000, Some(&bad));
    }
}
