//! What all workers know of the endpoints: which of them are ejected, pass their checks, or have only just begun. A name is
//! an endpoint for each of its addresses.
//!
//! Everything that changes here is an atomic that is read often and written seldom, so that no worker waits for another.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::addresses::{Address, Addresses, Declared, Site};
use super::ejection::{Ejection, Stands};
use super::permits::{Bound, Full, Permit, Permits};
use crate::config::{self, Endpoint};
use crate::gate::policy::WarmUp;
use crate::gate::{ByVersion, Health, Version};
use crate::release::Epoch;

/// The endpoints of both sections.
#[derive(Debug)]
pub struct Upstreams {
    started: Instant,
    sections: ByVersion<Section>,
}

#[derive(Clone, Debug, Default)]
struct Section {
    declared: Vec<Declared>,
    known: Vec<Arc<Known>>,
    permits: Permits,
}

/// What is known of one endpoint.
#[derive(Debug)]
pub struct Known {
    /// As it was declared.
    pub declared: Endpoint,
    pub address: Address,
    /// Tells it from the others of its section for as long as it is there.
    pub number: usize,
    started: Instant,
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
#[derive(Debug, Default)]
struct Warming {
    /// The epoch in the upper half, its requests in the lower, which stops at as many as warm an endpoint up.
    counted: AtomicU64,
    /// When the first of them came, in milliseconds after the beginning of [`Upstreams`].
    since_ms: AtomicU64,
}

impl Upstreams {
    pub fn new(endpoints: ByVersion<&[Endpoint]>, found: &Addresses) -> Upstreams {
        let none = Upstreams { started: Instant::now(), sections: ByVersion::default() };
        none.with(Version::Blue, endpoints.blue, found).with(Version::Green, endpoints.green, found)
    }

    /// The same with other endpoints in `section`: of those that stay everything known is kept. A name that is not among
    /// `found` has the addresses that are known of it.
    #[must_use]
    pub fn with(&self, section: Version, endpoints: &[Endpoint], found: &Addresses) -> Upstreams {
        let addresses = |endpoint: &Endpoint| match endpoint.name() {
            Some(name) => found.of(name).map_or_else(|| self.known_addresses(name), <[Site]>::to_vec),
            None => endpoint.ip().map(Site::from).into_iter().collect(),
        };
        let declared = |endpoint: &Endpoint| Declared { endpoint: endpoint.clone(), addresses: addresses(endpoint) };
        let mut sections = self.sections.clone();
        let of = sections.of_mut(section);
        *of = self.section(of, endpoints.iter().map(declared).collect());
        Upstreams { started: self.started, sections }
    }

    /// The same where `name` stands for these addresses; none where that is known already, or nobody has declared it.
    pub fn with_addresses(&self, name: &str, addresses: &[Site]) -> Option<Upstreams> {
        let is_news = |declared: &Declared| declared.name() == Some(name) && declared.addresses != addresses;
        let both = [&self.sections.blue, &self.sections.green];
        both.iter().any(|section| section.declared.iter().any(is_news)).then(|| {
            let sections = ByVersion::build(|version| {
                let before = self.sections.of(version);
                let mut declared = before.declared.clone();
                for of_name in declared.iter_mut().filter(|declared| declared.name() == Some(name)) {
                    of_name.addresses = addresses.to_vec();
                }
                self.section(before, declared)
            });
            Upstreams { started: self.started, sections }
        })
    }

    fn section(&self, before: &Section, declared: Vec<Declared>) -> Section {
        let wanted = || declared.iter().flat_map(|of| of.all().into_iter().map(|address| (&of.endpoint, address)));
        let mut all: Vec<Option<Arc<Known>>> =
            wanted().map(|wanted| before.known.iter().find(|known| known.is(&wanted)).cloned()).collect();
        let taken: BTreeSet<usize> = all.iter().flatten().map(|known| known.number).collect();
        let mut free = (0..).filter(|number| !taken.contains(number));
        for (known, (endpoint, address)) in all.iter_mut().zip(wanted()) {
            let mut number = || free.next().expect("there is always another number");
            known.get_or_insert_with(|| Arc::new(Known::new(endpoint, address, number(), self.started)));
        }
        let known = all.into_iter().flatten().collect();
        Section { declared, known, permits: before.permits.clone() }
    }

    fn known_addresses(&self, name: &str) -> Vec<Site> {
        let both = [&self.sections.blue, &self.sections.green];
        let mut declared = both.iter().flat_map(|section| &section.declared);
        declared.find(|declared| declared.name() == Some(name)).map_or_else(Vec::new, |found| found.addresses.clone())
    }

    /// The names that have to be looked up.
    pub fn names(&self) -> BTreeSet<String> {
        let both = [&self.sections.blue, &self.sections.green];
        both.iter().flat_map(|section| &section.declared).filter_map(|of| of.name()).map(str::to_owned).collect()
    }

    /// The endpoints as somebody has declared them.
    pub fn declared(&self, section: Version) -> impl ExactSizeIterator<Item = &Endpoint> {
        self.sections.of(section).declared.iter().map(|declared| &declared.endpoint)
    }

    /// How many names no address is known of.
    pub fn unresolved(&self, section: Version) -> usize {
        self.sections.of(section).declared.iter().filter(|of| of.name().is_some() && of.addresses.is_empty()).count()
    }

    pub fn of(&self, section: Version) -> &[Arc<Known>] {
        &self.sections.of(section).known
    }

    /// Whether `section` has the same endpoints there, in the same order.
    pub(super) fn has_those_of(&self, other: &Upstreams, section: Version) -> bool {
        let (own, others) = (self.of(section), other.of(section));
        own.len() == others.len() && own.iter().zip(others).all(|(own, other)| Arc::ptr_eq(own, other))
    }

    /// For one more request of a version that has this bound.
    pub fn permit(&self, section: Version, bound: &Bound) -> Result<Permit, Full> {
        bound.take(&self.sections.of(section).permits)
    }

    /// As many as any endpoint's number needs.
    pub fn numbers(&self, section: Version) -> usize {
        self.of(section).iter().map(|known| known.number + 1).max().unwrap_or_default()
    }

    /// The endpoint with this number, if it is there.
    pub fn numbered(&self, section: Version, number: usize) -> Option<&Arc<Known>> {
        self.of(section).iter().find(|known| known.number == number)
    }

    /// What the active checks say of `section` as a whole.
    pub fn health(&self, section: Version) -> Health {
        let checked = self.of(section).iter().filter(|known| known.checked.load(Ordering::Acquire));
        Health::of(checked.map(|known| (known.failed_checks.load(Ordering::Relaxed), known.is_healthy())))
    }

    /// For how long the endpoint is out from here on; none where too many are out already.
    pub fn eject(&self, section: Version, known: &Arc<Known>, policy: &config::Ejection) -> Option<Duration> {
        let all = self.of(section);
        let now = known.now_ms();
        let others = all.iter().filter(|other| !Arc::ptr_eq(other, known));
        let out = others.filter(|other| other.ejection.stands(|| now) != Stands::In).count();
        ((out + 1) * 2 <= all.len()).then(|| known.ejection.eject(policy, now))
    }
}

impl Known {
    fn new(declared: &Endpoint, address: Address, number: usize, started: Instant) -> Known {
        Known {
            declared: declared.clone(),
            address,
            number,
            started,
            ejection: Ejection::default(),
            checked: AtomicBool::new(false),
            failed_checks: AtomicU32::new(0),
            unhealthy: AtomicBool::new(false),
            warming: Warming::default(),
        }
    }

    fn is(&self, (declared, address): &(&Endpoint, Address)) -> bool {
        self.address == *address && self.declared == **declared
    }

    /// Neither ejected nor unhealthy.
    pub fn takes_requests(&self) -> bool {
        self.stands() == Stands::In && self.is_healthy()
    }

    pub fn is_healthy(&self) -> bool {
        !self.unhealthy.load(Ordering::Relaxed)
    }

    /// Takes in what an active check has found. Only the thread of the checks calls it.
    pub fn checked(&self, failed_in_a_row: u32, healthy: bool) {
        self.failed_checks.store(failed_in_a_row, Ordering::Relaxed);
        self.unhealthy.store(!healthy, Ordering::Relaxed);
        self.checked.store(true, Ordering::Release);
    }

    /// Nobody checks it any more.
    pub fn unchecked(&self) {
        self.checked.store(false, Ordering::Relaxed);
        self.failed_checks.store(0, Ordering::Relaxed);
        self.unhealthy.store(false, Ordering::Relaxed);
    }

    /// Where it stands between its times out.
    pub fn stands(&self) -> Stands {
        self.ejection.stands(|| self.now_ms())
    }

    /// A request was served while it is on trial. True if that readmits it.
    pub fn served_on_trial(&self) -> bool {
        self.ejection.served(self.now_ms())
    }

    /// Whether the next request may be the one on trial; [`Known::end_trial`] has to follow.
    pub fn begin_trial(&self) -> bool {
        self.ejection.begin_trial()
    }

    pub fn end_trial(&self) {
        self.ejection.end_trial();
    }

    /// Counts a request that goes there in `epoch`. True while the endpoint warms up; once it is false it stays so in this
    /// epoch.
    pub fn warms_up(&self, epoch: Epoch, warm_up: &WarmUp, now: Instant) -> bool {
        self.warming.counts(epoch, warm_up, self.ms_at(now))
    }

    fn now_ms(&self) -> u64 {
        self.ms_at(Instant::now())
    }

    fn ms_at(&self, now: Instant) -> u64 {
        u64::try_from((now - self.started).as_millis()).unwrap_or(u64::MAX)
    }
}

/// As declared; the address follows where that is a name.
impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.declared.name(), &self.address) {
            (Some(_), Address::Ip(address)) => write!(f, "{} ({})", self.declared, address.ip()),
            (None, _) | (_, Address::Unix(_)) => self.declared.fmt(f),
        }
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
    use crate::config::Authority;

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

    fn named(host: &str) -> Endpoint {
        Endpoint::At(Authority { host: host.to_owned(), port: 80 })
    }

    fn ip(text: &str) -> Site {
        text.parse::<std::net::IpAddr>().expect("an address").into()
    }

    fn shown(upstreams: &Upstreams, section: Version) -> Vec<String> {
        upstreams.of(section).iter().map(|known| format!("{} {known}", known.number)).collect()
    }

    #[test]
    fn row_47_a_name_is_an_endpoint_per_address_and_an_address_that_stays_keeps_what_is_known_of_it() {
        let declared = [named("shop"), named("10.0.0.9")];
        let found = Addresses::from_iter([("shop".to_owned(), vec![ip("10.0.0.1"), ip("::2")])]);
        let first = Upstreams::new(ByVersion { blue: &declared, green: &declared[..1] }, &found);
        let blue = ["0 shop:80 (10.0.0.1)", "1 shop:80 (::2)", "2 10.0.0.9:80"];
        assert_eq!(
            (shown(&first, Version::Blue), shown(&first, Version::Green)),
            (blue.map(str::to_owned).to_vec(), blue[..2].iter().map(|text| (*text).to_owned()).collect())
        );
        assert!(first.with_addresses("shop", &[ip("10.0.0.1"), ip("::2")]).is_none(), "that is known");
        assert!(first.with_addresses("other", &[ip("10.0.0.1")]).is_none(), "nobody has declared it");
        assert!(first.with_addresses("10.0.0.9", &[ip("10.0.0.1")]).is_none(), "it is no name");

        let second = first.with_addresses("shop", &[ip("::2"), ip("10.0.0.3"), ip("10.0.0.4")]).expect("news");
        let blue = ["1 shop:80 (::2)", "0 shop:80 (10.0.0.3)", "3 shop:80 (10.0.0.4)", "2 10.0.0.9:80"];
        assert_eq!(shown(&second, Version::Blue), blue);
        assert!(Arc::ptr_eq(&first.of(Version::Blue)[1], &second.of(Version::Blue)[0]));
        assert!(Arc::ptr_eq(&first.of(Version::Blue)[2], &second.of(Version::Blue)[3]));
        let names: Vec<String> = second.declared(Version::Blue).map(Endpoint::to_string).collect();
        assert_eq!(names, ["shop:80", "10.0.0.9:80"]);
    }

    #[test]
    fn a_name_that_nobody_has_resolved_has_no_endpoint_and_one_that_another_section_knows_has_its_addresses() {
        let found = Addresses::from_iter([("shop".to_owned(), vec![ip("10.0.0.1")])]);
        let upstreams = Upstreams::new(ByVersion { blue: &[named("shop")], green: &[named("nowhere")] }, &found);
        assert_eq!((shown(&upstreams, Version::Green), upstreams.unresolved(Version::Green)), (vec![], 1));
        let upstreams = upstreams.with(Version::Green, &[named("shop")], &Addresses::default());
        assert_eq!(shown(&upstreams, Version::Green), ["0 shop:80 (10.0.0.1)"]);
        assert_eq!(upstreams.names(), BTreeSet::from(["shop".to_owned()]));
    }

    #[test]
    fn requests_under_way_are_not_forgotten_when_endpoints_change() {
        let found = Addresses::from_iter([("shop".to_owned(), vec![ip("10.0.0.1")])]);
        let upstreams = Upstreams::new(ByVersion { blue: &[named("shop")], green: &[named("shop")] }, &found);
        let one = &Bound::of(Some(std::num::NonZeroUsize::MIN), None).expect("a bound");
        let permit = upstreams.permit(Version::Blue, one).expect("nothing is under way");
        assert!(upstreams.permit(Version::Green, one).is_ok(), "each section has its own");
        let upstreams = upstreams.with_addresses("shop", &[ip("10.0.0.2")]).expect("news");
        let upstreams = upstreams.with(Version::Blue, &[named("10.0.0.9")], &found);
        assert!(upstreams.permit(Version::Blue, one).is_err());
        drop(permit);
        assert!(upstreams.permit(Version::Blue, one).is_ok());
    }
}
