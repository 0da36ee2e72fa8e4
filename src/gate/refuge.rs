//! Whether blue can take green's traffic back. Promise 5: traffic is never flipped to a blue that is known to be worse.

use super::evidence::Evidence;
use super::health::Health;
use super::verdict::{count, percent};
use super::version::ByVersion;

/// A share of so few requests says little.
const LEAST_REQUESTS: u64 = 50;

/// What is known against blue, as a sentence: then neither a rollback nor a probe may send it more traffic.
pub fn lost(blue: Health, evidence: ByVersion<&Evidence>) -> Option<String> {
    if blue.is_down() {
        return Some(match blue.endpoints {
            1 => "blue's endpoint fails its health checks and gets no requests".to_owned(),
            all => format!("all {all} endpoints of blue fail their health checks and get no requests"),
        });
    }
    let ByVersion { blue, green } = evidence;
    let mostly_fails = blue.requests >= LEAST_REQUESTS && blue.failures > blue.requests / 2;
    (mostly_fails && blue.error_rate() >= green.error_rate()).then(|| {
        let Evidence { requests, failures, .. } = *blue;
        let share = percent(blue.error_rate());
        format!("blue failed {} of {} requests ({share}) in the last minute", count(failures), count(requests))
    })
}

/// The sentence for what would have been a rollback or a probe.
pub fn spared(against_blue: &str) -> String {
    format!("blue is no better, so traffic stays where it is: {against_blue}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(blue: Health, of_blue: (u64, u64), of_green: (u64, u64), expected: Option<&str>) {
        let counted = |(failures, requests)| Evidence { requests, failures, ..Evidence::default() };
        let evidence = ByVersion { blue: &counted(of_blue), green: &counted(of_green) };
        assert_eq!(lost(blue, evidence).as_deref(), expected, "{blue:?}, {of_blue:?}, {of_green:?}");
    }

    #[test]
    fn promise_5_a_blue_that_is_down_or_mostly_fails_is_no_refuge() {
        let health = |endpoints, unhealthy| Health { endpoints, unhealthy, ..Health::default() };
        let (unchecked, well) = (health(0, 0), health(2, 0));
        for blue in [unchecked, well, health(2, 1)] {
            check(blue, (0, 0), (50, 50), None);
            check(blue, (20, 100), (0, 100), None);
            check(blue, (51, 100), (52, 100), None);
            check(blue, (40, 49), (0, 100), None);
            let said = Some("blue failed 51 of 100 requests (51.0 %) in the last minute");
            check(blue, (51, 100), (0, 0), said);
            check(blue, (51, 100), (51, 100), said);
        }
        check(health(1, 1), (0, 100), (90, 100), Some("blue's endpoint fails its health checks and gets no requests"));
        let said = Some("all 2 endpoints of blue fail their health checks and get no requests");
        check(health(2, 2), (0, 0), (90, 100), said);
    }
}
