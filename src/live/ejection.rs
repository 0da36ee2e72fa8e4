//! Taking one endpoint out for a while, and letting it come back by a trial: one request at a time until enough of them
//! in a row were served. One that fails its trial is out for twice as long as before, up to a bound.
//!
//! Everything here is an atomic that is read often and written seldom, so that no worker waits for another.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::config;

/// Where one endpoint stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    In,
    Out,
    OnTrial,
}

/// What all workers know of one endpoint's times out. Times are milliseconds of one clock.
#[derive(Debug, Default)]
pub(super) struct Ejection {
    /// 0 while it is in; on trial from then on.
    until_ms: AtomicU64,
    /// Times out in a row.
    relapses: AtomicU32,
    /// Requests served on trial.
    served: AtomicU32,
    /// One is under way.
    trying: AtomicBool,
    readmitted_ms: AtomicU64,
}

/// So many requests served in a row readmit an endpoint.
const READMITS: u32 = 5;

/// A time out grows to so many times the first, and never beyond [`LONGEST`], as Envoy's `max_ejection_time`.
const GROWS_TO: u32 = 10;
const LONGEST: Duration = Duration::from_secs(300);

impl Ejection {
    pub(super) fn stands(&self, now_ms: impl FnOnce() -> u64) -> Stands {
        match self.until_ms.load(Ordering::Relaxed) {
            0 => Stands::In,
            until if until > now_ms() => Stands::Out,
            _ => Stands::OnTrial,
        }
    }

    /// Takes it out from `now_ms` on. Returns for how long.
    pub(super) fn eject(&self, policy: &config::Ejection, now_ms: u64) -> Duration {
        let longest = LONGEST.min(policy.duration * GROWS_TO).max(policy.duration);
        let readmitted_ms = self.readmitted_ms.load(Ordering::Relaxed);
        let did_well = readmitted_ms != 0 && u128::from(now_ms - readmitted_ms.min(now_ms)) > longest.as_millis();
        if did_well {
            self.relapses.store(0, Ordering::Relaxed);
        }
        let relapses = self.relapses.fetch_add(1, Ordering::Relaxed);
        let time = policy.duration.saturating_mul(1_u32.checked_shl(relapses).unwrap_or(u32::MAX)).min(longest);
        self.served.store(0, Ordering::Relaxed);
        let until_ms = now_ms.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self.until_ms.store(until_ms.max(1), Ordering::Relaxed);
        time
    }

    /// A request was served on trial. True if that readmits the endpoint.
    pub(super) fn served(&self, now_ms: u64) -> bool {
        let readmits = self.served.fetch_add(1, Ordering::Relaxed) + 1 == READMITS;
        if readmits {
            self.readmitted_ms.store(now_ms.max(1), Ordering::Relaxed);
            self.until_ms.store(0, Ordering::Relaxed);
        }
        readmits
    }

    /// Whether the next request may be the one on trial; [`Ejection::end_trial`] has to follow.
    pub(super) fn begin_trial(&self) -> bool {
        !self.trying.swap(true, Ordering::Relaxed)
    }

    pub(super) fn end_trial(&self) {
        self.trying.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: config::Ejection = config::Ejection { failures: 5, duration: Duration::from_secs(30) };

    #[test]
    fn one_that_was_ejected_comes_back_by_a_trial_of_one_request_at_a_time() {
        let ejection = Ejection::default();
        assert_eq!(ejection.stands(|| 1), Stands::In);
        assert_eq!(ejection.eject(&POLICY, 1_000), Duration::from_secs(30));
        assert_eq!([30_999, 31_000].map(|now| ejection.stands(|| now)), [Stands::Out, Stands::OnTrial]);
        assert!(ejection.begin_trial() && !ejection.begin_trial());
        ejection.end_trial();
        assert!(ejection.begin_trial());
        assert_eq!([(); 5].map(|()| ejection.served(32_000)), [false, false, false, false, true]);
        assert_eq!(ejection.stands(|| 32_000), Stands::In);
    }

    #[test]
    fn each_relapse_doubles_the_time_out_up_to_a_bound_and_a_good_time_forgets_them() {
        let ejection = Ejection::default();
        let seconds: Vec<u64> = (0..7).map(|_| ejection.eject(&POLICY, 1).as_secs()).collect();
        assert_eq!(seconds, [30, 60, 120, 240, 300, 300, 300]);
        (0..READMITS).for_each(|_| _ = ejection.served(1_000_000));
        assert_eq!(ejection.eject(&POLICY, 1_299_000).as_secs(), 300, "it has not been well for long");
        (0..READMITS).for_each(|_| _ = ejection.served(2_000_000));
        assert_eq!(ejection.eject(&POLICY, 2_301_000).as_secs(), 30);
        let short = config::Ejection { duration: Duration::from_millis(10), ..POLICY };
        let millis: Vec<u128> =
            (0..40).map(|_| Ejection::default()).map(|fresh| fresh.eject(&short, 1).as_millis()).collect();
        assert!(millis.iter().all(|time| *time == 10), "{millis:?}");
        let long = config::Ejection { duration: Duration::from_secs(3_600), ..POLICY };
        assert_eq!(Ejection::default().eject(&long, 1).as_secs(), 3_600, "what a user asks for is not cut");
    }
}
