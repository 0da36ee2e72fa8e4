//! The endpoints of a version as one worker sees them: which one serves, and taking a bad one out for a while.
//!
//! One bad endpoint is ejected; a bad version is rolled back. So at most half of a version's endpoints are ejected at
//! a time, and never the last. One that fails its active checks gets nothing, even when it is the last.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;
use tokio::time::Instant;

use super::pool::Upstream;
use super::reach::Reach;
use super::shared::Shared;
use super::twin::{Family, are_twins};
use super::under_way::Requests;
use crate::config::{Ejection, Transport};
use crate::gate::policy::WarmUp;
use crate::gate::{Charge, Version};
use crate::live::{Known, Stands, Upstreams};
use crate::release::Epoch;

/// Of two endpoints nobody can say which is the odd one.
const ENOUGH_SIBLINGS: usize = 3;

/// One endpoint as one worker sees it.
pub(in crate::proxy) struct Endpoint {
    pub known: Arc<Known>,
    /// For a request that names none.
    pub host: HeaderValue,
    pub(super) under_way: Requests,
    pub(super) reach: Reach,
    /// There are enough of its version.
    has_siblings: Cell<bool>,
    has_twin: Cell<bool>,
    /// It is no longer one of its version's: no connection to it rests.
    retired: Cell<bool>,
    failures: Cell<u32>,
    /// The epoch in which it is known to have warmed up.
    warm_in: Cell<Option<Epoch>>,
    #[expect(clippy::vec_box, reason = "an Upstream is large and goes in and out with every request")]
    idle: RefCell<Vec<Box<Upstream>>>,
    /// Those that stand by HTTP/2, each for many requests.
    shared: RefCell<Vec<Rc<Shared>>>,
}

/// Whose endpoint one is: then it can be ejected if enough others are left.
#[derive(Clone, Copy)]
pub(in crate::proxy) struct Among<'u> {
    pub upstreams: &'u Upstreams,
    pub section: Version,
    pub version: Version,
}

/// The endpoint for one request.
pub(in crate::proxy) struct Picked {
    pub endpoint: Rc<Endpoint>,
    pub trial: Option<Trial>,
}

/// The one request that an endpoint on trial gets, for as long as it is under way.
pub(in crate::proxy) struct Trial(Rc<Endpoint>);

/// An endpoint on trial gets at most one request in so many.
const ONE_IN: u32 = 10;

impl Endpoint {
    /// The endpoints of a section, for one worker, to be connected to by `transport`. Those that are among `before` stay as they
    /// are.
    pub(in crate::proxy) fn all(
        all: &[Arc<Known>],
        transport: &Transport,
        before: &[Rc<Endpoint>],
    ) -> Vec<Rc<Endpoint>> {
        let has_siblings = all.len() >= ENOUGH_SIBLINGS;
        let endpoint = |known: &Arc<Known>| {
            let kept = before.iter().find(|endpoint| Arc::ptr_eq(&endpoint.known, known)).cloned();
            let endpoint = kept.unwrap_or_else(|| Rc::new(Endpoint::new(known, transport)));
            if endpoint.reach.go_by(known, transport) {
                endpoint.close_resting();
            }
            endpoint.has_siblings.set(has_siblings);
            endpoint.has_twin.set(all.iter().any(|other| are_twins(known, other)));
            endpoint
        };
        all.iter().map(endpoint).collect()
    }

    fn new(known: &Arc<Known>, transport: &Transport) -> Endpoint {
        Endpoint {
            known: Arc::clone(known),
            host: HeaderValue::from_str(&known.declared.host()).expect("a validated host is a header value"),
            under_way: Requests::default(),
            reach: Reach::new(known, transport),
            has_siblings: Cell::new(false),
            has_twin: Cell::new(false),
            retired: Cell::new(false),
            failures: Cell::new(0),
            warm_in: Cell::new(None),
            idle: RefCell::default(),
            shared: RefCell::default(),
        }
    }

    /// Closes what rests, and lets nothing rest from here on.
    pub(in crate::proxy) fn retire(&self) {
        self.retired.set(true);
        self.close_resting();
    }

    /// Those that carry requests go on with them.
    fn close_resting(&self) {
        self.idle.take();
        self.shared.take();
    }

    pub(in crate::proxy) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    /// The connections that rest; none may where the endpoint is no longer one of its version's.
    #[expect(clippy::vec_box, reason = "as above")]
    pub(super) fn idle(&self) -> Option<RefMut<'_, Vec<Box<Upstream>>>> {
        (!self.retired.get()).then(|| self.idle.borrow_mut())
    }

    pub(super) fn shared(&self) -> RefMut<'_, Vec<Rc<Shared>>> {
        self.shared.borrow_mut()
    }

    /// Lets others have a place on the connection too.
    pub(super) fn keep(&self, shared: &Rc<Shared>) {
        if !self.retired.get() {
            self.shared.borrow_mut().push(Rc::clone(shared));
        }
    }

    /// Takes in what one request came to here; enough failures in a row eject it from `among`, and one is enough on trial.
    pub(in crate::proxy) fn report(&self, charge: Charge, ejection: &Ejection, among: Among<'_>) {
        match (charge, self.known.stands()) {
            (Charge::Nobody, _) | (_, Stands::Out) => {}
            (Charge::Served, Stands::In) => self.failures.set(0),
            (Charge::Served, Stands::OnTrial) => {
                if self.known.served_on_trial() {
                    self.failures.set(0);
                    tracing::info!(version = among.version.name(), endpoint = %self.known, "endpoint readmitted");
                }
            }
            (Charge::Failed, Stands::In) => {
                self.failures.set(self.failures.get() + 1);
                if self.failures.get() >= ejection.failures {
                    self.eject(ejection, among);
                }
            }
            (Charge::Failed, Stands::OnTrial) => self.eject(ejection, among),
        }
    }

    fn eject(&self, ejection: &Ejection, Among { upstreams, section, version }: Among<'_>) {
        let Some(time) = upstreams.eject(section, &self.known, ejection) else { return };
        let failures = self.failures.take();
        self.close_resting();
        let seconds = time.as_secs_f64();
        tracing::warn!(version = version.name(), endpoint = %self.known, failures, seconds, "endpoint ejected");
    }

    /// Whether its name has an address of another family.
    pub(in crate::proxy) fn has_twin(&self) -> bool {
        self.has_twin.get()
    }

    /// Its number, where the version has enough endpoints that a bad one can be told from a bad version.
    pub(in crate::proxy) fn number_among_siblings(&self) -> Option<usize> {
        self.has_siblings.get().then_some(self.known.number)
    }

    /// Whether a request that goes here now belongs to the warm-up. Counts it if so.
    pub(in crate::proxy) fn warms_up(&self, epoch: Epoch, warm_up: &WarmUp, now: Instant) -> bool {
        if self.warm_in.get() == Some(epoch) {
            return false;
        }
        let warms_up = self.known.warms_up(epoch, warm_up, now);
        if !warms_up {
            self.warm_in.set(Some(epoch));
        }
        warms_up
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.0.known.end_trial();
    }
}

/// The less busy of two random healthy endpoints that are in and not in `tried`, or now and then one that is on trial; none
/// when there is no healthy one left to try.
///
/// After one that could not be reached comes one of the other address family, if there is any: should a whole family be out of
/// reach, the other is tried before the attempts are used up (RFC 8305, section 4).
pub(in crate::proxy) fn pick(
    endpoints: &[Rc<Endpoint>],
    tried: &[Rc<Endpoint>],
    random: &mut fastrand::Rng,
) -> Option<Picked> {
    let served = |endpoint: &Rc<Endpoint>| Picked { endpoint: Rc::clone(endpoint), trial: None };
    if let [only] = endpoints {
        return (tried.is_empty() && only.known.is_healthy()).then(|| served(only));
    }
    let untried = |endpoint: &&Rc<Endpoint>| !tried.iter().any(|tried| Rc::ptr_eq(tried, endpoint));
    let healthy = || endpoints.iter().filter(untried).filter(|endpoint| endpoint.known.is_healthy());
    let usable = || healthy().filter(|endpoint| endpoint.known.stands() == Stands::In);
    if let Some(picked) = on_trial(healthy(), random) {
        return Some(picked);
    }
    let nth = |number: usize| usable().nth(number);
    let other_family =
        |endpoint: &&Rc<Endpoint>, last: &Rc<Endpoint>| Family::of(&endpoint.known) != Family::of(&last.known);
    if let Some(last) = tried.last()
        && let count @ 1.. = usable().filter(|endpoint| other_family(endpoint, last)).count()
    {
        return usable().filter(|endpoint| other_family(endpoint, last)).nth(random.usize(..count)).map(served);
    }
    match usable().count() {
        // An ejected endpoint is still better than none.
        0 => healthy().next().map(served),
        1 => nth(0).map(served),
        count => {
            let first = random.usize(0..count);
            let second = (first + random.usize(1..count)) % count;
            let (first, second) = (nth(first)?, nth(second)?);
            Some(served(if second.under_way.count() < first.under_way.count() { second } else { first }))
        }
    }
}

fn on_trial<'e>(mut healthy: impl Iterator<Item = &'e Rc<Endpoint>>, random: &mut fastrand::Rng) -> Option<Picked> {
    let endpoint = healthy.find(|endpoint| endpoint.known.stands() == Stands::OnTrial)?;
    let tries = random.u32(..ONE_IN) == 0 && endpoint.known.begin_trial();
    tries.then(|| Picked { endpoint: Rc::clone(endpoint), trial: Some(Trial(Rc::clone(endpoint))) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{self, Authority};
    use crate::gate::ByVersion;
    use crate::live::Addresses;
    use crate::proxy::wire::Progress;

    fn endpoints(count: u16) -> (Arc<Upstreams>, Vec<Rc<Endpoint>>) {
        at((0..count).map(|number| ("127.0.0.1", 1000 + number)))
    }

    fn at(addresses: impl Iterator<Item = (&'static str, u16)>) -> (Arc<Upstreams>, Vec<Rc<Endpoint>>) {
        let at = |(host, port): (&str, u16)| config::Endpoint::At(Authority { host: host.to_owned(), port });
        let authorities: Vec<config::Endpoint> = addresses.map(at).collect();
        let both = ByVersion { blue: authorities.as_slice(), green: authorities.as_slice() };
        let upstreams = Arc::new(Upstreams::new(both, &Addresses::default()));
        let all = Endpoint::all(upstreams.of(Version::Green), &Transport::default(), &[]);
        (upstreams, all)
    }

    const EJECTION: Ejection = Ejection { failures: 3, duration: Duration::from_secs(30) };

    fn green(upstreams: &Upstreams) -> Among<'_> {
        Among { upstreams, section: Version::Green, version: Version::Green }
    }

    fn fail(endpoint: &Endpoint, upstreams: &Upstreams) {
        for _ in 0..EJECTION.failures {
            endpoint.report(Charge::Failed, &EJECTION, green(upstreams));
        }
    }

    fn in_use(upstreams: &Upstreams, version: Version) -> usize {
        upstreams.of(version).iter().filter(|known| known.takes_requests()).count()
    }

    #[test]
    fn one_bad_endpoint_is_ejected_and_the_others_serve() {
        let (upstreams, all) = endpoints(3);
        fail(&all[1], &upstreams);
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..100 {
            let picked = pick(&all, &[], &mut random).expect("two are left");
            assert!(!Rc::ptr_eq(&picked.endpoint, &all[1]));
        }
        assert_eq!(in_use(&upstreams, Version::Green), 2);
        assert_eq!(in_use(&upstreams, Version::Blue), 3);
    }

    #[test]
    fn at_most_half_of_a_bad_version_is_ejected_and_never_its_last_endpoint() {
        for (count, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
            let (upstreams, all) = endpoints(count);
            all.iter().for_each(|endpoint| fail(endpoint, &upstreams));
            assert_eq!(usize::from(count) - in_use(&upstreams, Version::Green), most, "of {count}");
        }
    }

    #[test]
    fn one_that_is_on_trial_gets_one_request_at_a_time_and_few() {
        let (upstreams, all) = endpoints(3);
        let ejection = Ejection { failures: 3, duration: Duration::ZERO };
        (0..3).for_each(|_| all[1].report(Charge::Failed, &ejection, green(&upstreams)));
        let mut random = fastrand::Rng::with_seed(1);
        while all[1].known.stands() == Stands::Out {}
        let mut trials: Vec<Trial> = (0..200).filter_map(|_| pick(&all, &[], &mut random)?.trial).collect();
        assert_eq!(trials.len(), 1, "the next waits for the end of the first");
        trials.clear();
        let tried = (0..1_000).filter(|_| pick(&all, &[], &mut random).is_some_and(|picked| picked.trial.is_some()));
        assert!((50..150).contains(&tried.count()), "one in ten");
        (0..5).for_each(|_| all[1].report(Charge::Served, &ejection, green(&upstreams)));
        let picked = (0..100).filter_map(|_| pick(&all, &[], &mut random));
        assert!(picked.filter(|picked| Rc::ptr_eq(&picked.endpoint, &all[1])).count() > 20, "it has its share again");
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let (upstreams, all) = endpoints(2);
        for charge in [Charge::Failed, Charge::Failed, Charge::Served, Charge::Failed, Charge::Nobody, Charge::Failed] {
            all[0].report(charge, &EJECTION, green(&upstreams));
        }
        assert!(in_use(&upstreams, Version::Green) == 2);
    }

    #[test]
    fn the_busier_of_two_is_not_picked() {
        let (_upstreams, all) = endpoints(2);
        let _under_way = all[0].begin(&Rc::new(Progress::new()));
        let mut random = fastrand::Rng::with_seed(1);
        assert!(
            (0..50).all(|_| pick(&all, &[], &mut random).is_some_and(|picked| Rc::ptr_eq(&picked.endpoint, &all[1])))
        );
        assert!(pick(&all, &all, &mut random).is_none());
    }

    #[test]
    fn after_an_endpoint_that_cannot_be_reached_one_of_the_other_address_family_is_tried() {
        let (_upstreams, all) = at((1..=9).map(|port| ("::1", port)).chain([("127.0.0.1", 1)]));
        let mut random = fastrand::Rng::with_seed(1);
        for number in 0..9 {
            let second = pick(&all, &all[number..=number], &mut random).expect("nine are left");
            assert!(Family::of(&second.endpoint.known) == Family::IpV4);
        }
        let third = pick(&all, &[Rc::clone(&all[0]), Rc::clone(&all[9])], &mut random).expect("eight are left");
        assert!(Family::of(&third.endpoint.known) == Family::IpV6);
        assert!(!Rc::ptr_eq(&third.endpoint, &all[0]));
        let last = pick(&all, &[all[..8].to_vec(), all[9..].to_vec()].concat(), &mut random).expect("one is left");
        assert!(Rc::ptr_eq(&last.endpoint, &all[8]), "one of the same family where there is no other");
    }

    #[test]
    fn row_46_an_unhealthy_endpoint_is_not_picked_even_when_it_is_the_last_and_an_ejected_one_is() {
        let mut random = fastrand::Rng::with_seed(1);
        for count in [1, 2, 3] {
            let (upstreams, all) = endpoints(count);
            (0..all.len()).for_each(|index| all[index].known.checked(3, false));
            assert!(pick(&all, &[], &mut random).is_none(), "of {count}");
            all[0].known.checked(0, true);
            fail(&all[0], &upstreams);
            for _ in 0..20 {
                let picked = pick(&all, &[], &mut random).expect("one is healthy");
                assert!(Rc::ptr_eq(&picked.endpoint, &all[0]), "of {count}");
            }
            assert!(pick(&all, &all[..1], &mut random).is_none(), "of {count}");
        }
    }

    #[test]
    fn a_version_fails_its_checks_for_as_long_as_the_best_of_its_endpoints() {
        let (upstreams, all) = endpoints(2);
        let failing = |failed: [u32; 2]| {
            (0..2).for_each(|index| all[index].known.checked(failed[index], true));
            upstreams.health(Version::Green).failing_for
        };
        assert_eq!(upstreams.health(Version::Green).failing_for, 0, "nothing was checked");
        assert_eq!([failing([5, 0]), failing([5, 3]), failing([4, 4])], [0, 3, 4]);
        assert_eq!(upstreams.health(Version::Blue).failing_for, 0);
        let none = Upstreams::new(ByVersion { blue: &[], green: &[] }, &Addresses::default());
        assert_eq!(none.health(Version::Green).failing_for, 0);
    }
}
