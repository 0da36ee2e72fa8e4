//! What all workers know of the endpoints: which of them are ejected, pass their checks, or have only just begun.
//!
//! Everything here is an atomic that is read often and written seldom, so that no worker waits for another.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::ejection::{Ejection, Stands};
use crate::config::{self, Authority};
use crate::gate::policy::WarmUp;
use crate::gate::{ByVersion, Health, Version};
use crate::release::Epoch;

pub struct Upstreams {
    started: Instant,
    versions: ByVersion<Vec<Shared>>,
}

struct Shared {
    authority: Authority,
    ejection: Ejection,
    /// Whether the first check has ended.
    checked: AtomicBool,
    /// Checks failed in a row; 0 without checks.
    failed_checks: AtomicU32,
    /// Enough of them that it gets no requests. An endpoint that has not been checked yet gets some.
    unhealthy: AtomicBool,
    warming: Warming,
}

/// The first requests of one epoch.
#[derive(Default)]
struct Warming {
    /// The epoch in the upper half, its requests in the lower, which stops at as many as warm an endpoint up.
    counted: AtomicU64,
    /// When the first of them came, in milliseconds after [`Upstreams::started`].
    since_ms: AtomicU64,
}

impl Upstreams {
    pub fn new(endpoints: ByVersion<&[Authority]>) -> Upstreams {
        let shared = |authority: &Authority| Shared {
            authority: authority.clone(),
            ejection: Ejection::default(),
            checked: AtomicBool::new(false),
            failed_checks: AtomicU32::new(0),
            unhealthy: AtomicBool::new(false),
            warming: Warming::default(),
        };
        Upstreams {
            started: Instant::now(),
            versions: ByVersion::build(|version| endpoints.of(version).iter().map(shared).collect()),
        }
    }

    /// Each endpoint of `version` and whether it takes requests.
    pub fn each(&self, version: Version) -> impl Iterator<Item = (&Authority, bool)> {
        let now = self.ms_at(Instant::now());
        let takes_requests = move |shared: &Shared| {
            shared.ejection.stands(|| now) == Stands::In && !shared.unhealthy.load(Ordering::Relaxed)
        };
        self.versions.of(version).iter().map(move |shared| (&shared.authority, takes_requests(shared)))
    }

    /// What the active checks say of `version` as a whole.
    pub fn health(&self, version: Version) -> Health {
        let shared = self.versions.of(version);
        let checked = shared.iter().filter(|shared| shared.checked.load(Ordering::Acquire));
        Health::of(
            checked.map(|shared| {
                (shared.failed_checks.load(Ordering::Relaxed), !shared.unhealthy.load(Ordering::Relaxed))
            }),
        )
    }

    pub(super) fn authorities(&self, version: Version) -> impl Iterator<Item = &Authority> {
        self.versions.of(version).iter().map(|shared| &shared.authority)
    }

    pub(super) fn is_healthy(&self, version: Version, index: usize) -> bool {
        !self.versions.of(version)[index].unhealthy.load(Ordering::Relaxed)
    }

    /// Takes in what an active check has found. Only the thread of the checks calls it.
    pub(super) fn checked(&self, version: Version, index: usize, failed_in_a_row: u32, healthy: bool) {
        let shared = &self.versions.of(version)[index];
        shared.failed_checks.store(failed_in_a_row, Ordering::Relaxed);
        shared.unhealthy.store(!healthy, Ordering::Relaxed);
        shared.checked.store(true, Ordering::Release);
    }

    /// Where the endpoint stands between its times out.
    pub fn stands(&self, version: Version, index: usize) -> Stands {
        self.versions.of(version)[index].ejection.stands(|| self.ms_at(Instant::now()))
    }

    /// For how long the endpoint is out from here on; none where too many are out already.
    pub fn eject(&self, version: Version, index: usize, policy: &config::Ejection) -> Option<Duration> {
        let shared = self.versions.of(version);
        let now = self.ms_at(Instant::now());
        let others = shared.iter().enumerate().filter(|(other, _)| *other != index);
        let out = others.filter(|(_, other)| other.ejection.stands(|| now) != Stands::In).count();
        ((out + 1) * 2 <= shared.len()).then(|| shared[index].ejection.eject(policy, now))
    }

    /// A request was served by an endpoint that is on trial. True if that readmits it.
    pub(super) fn served_on_trial(&self, version: Version, index: usize) -> bool {
        self.versions.of(version)[index].ejection.served(self.ms_at(Instant::now()))
    }

    pub(super) fn begin_trial(&self, version: Version, index: usize) -> bool {
        self.versions.of(version)[index].ejection.begin_trial()
    }

    pub(super) fn end_trial(&self, version: Version, index: usize) {
        self.versions.of(version)[index].ejection.end_trial();
    }

    /// Counts a request that goes to an endpoint in `epoch`. True while the endpoint warms up; once it is false it
    /// stays so in this epoch.
    pub(super) fn warms_up(
        &self,
        version: Version,
        index: usize,
        epoch: Epoch,
        warm_up: &WarmUp,
        now: Instant,
    ) -> bool {
        self.versions.of(version)[index].warming.counts(epoch, warm_up, self.ms_at(now))
    }

    fn ms_at(&self, now: Instant) -> u64 {
        u64::try_from((now - self.started).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Warming {
    fn counts(&self, epoch: Epoch, warm_up: &WarmUp, now_ms: u64) -> bool {
        let of_epoch = u64::from(epoch.number()) << 32;
        let mut known = self.counted.load(Ordering::Acquire);
        loop {
            if known >> 32 > of_epoch >> 32 {
                // Of an epoch that is over, and so no evidence anyway.
                return false;
            }
            let requests = if known >> 32 == of_epoch >> 32 { known as u32 } else { 0 };
            if requests >= warm_up.requests && requests > 0 {
                break;
            }
            if requests == 0 {
                // Whoever sees the count below sees this too; others that begin at the same moment write the same.
                self.since_ms.store(now_ms, Ordering::Relaxed);
            }
            let counted = of_epoch | u64::from(requests + 1);
            match self.counted.compare_exchange_weak(known, counted, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if requests < warm_up.requests => return true,
                Ok(_) => break,
                Err(seen) => known = seen,
            }
        }
        let since_ms = self.since_ms.load(Ordering::Relaxed);
        u128::from(now_ms.saturating_sub(since_ms)) < warm_up.time.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warm_up(seconds: u64, requests: u32) -> WarmUp {
        WarmUp { time: Duration::from_secs(seconds), requests }
    }

    /// How many of the requests at these milliseconds belonged to the warm-up.
    fn warming(warm_up: &WarmUp, at_ms: impl IntoIterator<Item = u64>) -> usize {
        let (warming, epoch) = (Warming::default(), Epoch::default().next());
        at_ms.into_iter().filter(|now_ms| warming.counts(epoch, warm_up, *now_ms)).count()
    }

    #[test]
    fn an_endpoint_is_warm_when_its_first_time_and_its_first_requests_have_both_passed() {
        for (warm_up, at_ms, expected) in [
            (warm_up(30, 20), (0..100).collect::<Vec<u64>>(), 100),
            (warm_up(30, 20), (0..100).map(|number| number * 10_000).collect(), 20),
            (warm_up(30, 20), (0..40).map(|number| number * 1_000).collect(), 30),
            (warm_up(0, 20), (0..100).collect(), 20),
            (warm_up(30, 0), (0..100).map(|number| number * 1_000).collect(), 30),
            (warm_up(0, 0), (0..100).collect(), 0),
        ] {
            assert_eq!(warming(&warm_up, at_ms), expected, "{warm_up:?}");
        }
    }

    #[test]
    fn a_warm_up_begins_with_the_first_request_of_an_epoch_and_again_in_the_next() {
        let (warming, warm_up) = (Warming::default(), warm_up(10, 1));
        let (first, second) = (Epoch::default().next(), Epoch::default().next().next());
        for (epoch, now_ms, expected) in [
            (first, 500_000, true),
            (first, 509_999, true),
            (first, 510_000, false),
            (second, 600_000, true),
            (first, 600_001, false),
            (second, 609_999, true),
            (second, 610_000, false),
        ] {
            assert_eq!(warming.counts(epoch, &warm_up, now_ms), expected, "{epoch} at {now_ms} ms");
        }
    }
}
