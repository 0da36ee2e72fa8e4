//! Is anything known of green's latency yet? Promise 3: while all of it belongs to the warm-up, no step passes.

use std::time::Duration;

use crate::gate::policy::WarmUp;
use crate::gate::verdict::{count, duration};
use crate::measure::Tick;

/// What green has shown of its latency in one release.
#[derive(Clone, Debug, Default)]
pub(super) struct Warming {
    /// When green's first request was counted.
    since: Option<Duration>,
    /// Latencies that are evidence.
    latencies: u64,
}

/// What is still missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The warm-up goes on for so long.
    Time(Duration),
    /// It is over for the first endpoint, and only so many latencies are evidence.
    Latencies(u64),
}

/// Fewer latencies say nothing of a P50, let alone of a P99: as many as a warm-up leaves out unless said otherwise.
const LEAST_LATENCIES: u64 = 20;

impl Warming {
    pub(super) fn take(&mut self, counted: &Tick, now: Duration) {
        let evidence = [&counted.samples.green.evidence, &counted.late.green.evidence];
        self.latencies += evidence.iter().map(|evidence| evidence.latency.len()).sum::<u64>();
        if self.since.is_none() && evidence.iter().any(|evidence| evidence.requests > 0) {
            self.since = Some(now);
        }
    }

    /// None when enough is known, before green has had a request, and without a warm-up.
    pub(super) fn missing(&self, warm_up: &WarmUp, now: Duration) -> Option<Missing> {
        let since = self.since?;
        if self.latencies >= LEAST_LATENCIES || warm_up.time.is_zero() && warm_up.requests == 0 {
            return None;
        }
        let left = (since + warm_up.time).saturating_sub(now);
        Some(if left.is_zero() { Missing::Latencies(self.latencies) } else { Missing::Time(left) })
    }
}

impl Missing {
    pub(super) fn sentence(&self) -> String {
        match self {
            Missing::Time(left) => {
                let seconds = Duration::from_secs(left.as_secs_f64().ceil() as u64);
                format!(
                    "green warms up: {} left; its latencies so far are shown and are no evidence",
                    duration(seconds)
                )
            }
            Missing::Latencies(known) => format!(
                "green has warmed up, and {} of the {} latencies are known that say something of it",
                count(*known),
                count(LEAST_LATENCIES)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Charge;

    const WARM_UP: WarmUp = WarmUp { time: Duration::from_secs(30), requests: 20 };

    fn tick(latencies: usize, failures_without: usize) -> Tick {
        let mut tick = Tick::default();
        let green = &mut tick.samples.green.evidence;
        (0..latencies).for_each(|_| green.record(Charge::Served, Some(Duration::from_millis(2))));
        (0..failures_without).for_each(|_| green.record(Charge::Served, None));
        tick
    }

    #[test]
    fn row_102_green_warms_up_from_its_first_request_until_enough_of_its_latencies_are_known() {
        let at = Duration::from_secs;
        let mut warming = Warming::default();
        warming.take(&tick(0, 0), at(5));
        assert_eq!(warming.missing(&WARM_UP, at(5)), None, "nothing has begun");
        warming.take(&tick(0, 3), at(10));
        let missing = warming.missing(&WARM_UP, at(28));
        assert_eq!(missing, Some(Missing::Time(at(12))));
        let sentence = missing.map(|missing| missing.sentence());
        assert_eq!(sentence.as_deref().map(|sentence| sentence.starts_with("green warms up: 12 s left")), Some(true));
        warming.take(&tick(19, 0), at(41));
        assert_eq!(warming.missing(&WARM_UP, at(41)), Some(Missing::Latencies(19)));
        warming.take(&tick(1, 0), at(42));
        assert_eq!(warming.missing(&WARM_UP, at(42)), None);
    }

    #[test]
    fn without_a_warm_up_nothing_warms_up() {
        let mut warming = Warming::default();
        warming.take(&tick(0, 50), Duration::from_secs(1));
        let none = WarmUp { time: Duration::ZERO, requests: 0 };
        assert_eq!(warming.missing(&none, Duration::from_secs(2)), None);
    }
}
