//! The endpoints of a version as one worker sees them: which one serves, and taking a bad one out for a while.
//!
//! One bad endpoint is ejected; a bad version is rolled back. So at most half of a version's endpoints are ejected at
//! a time, and never the last. One that fails its active checks gets nothing, even when it is the last.

use std::cell::{Cell, RefCell, RefMut};
use std::iter;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;
use tokio::time::Instant;

use super::own::Owners;
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
    /// Of connections that are not among them.
    pub(super) owners: Owners,
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

/// Looked at for one key. Where so many belong to endpoints that take nothing, few are left that take anything.
const MOST_POINTS: usize = 256;

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
            owners: Owners::default(),
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
        self.owners.close(|upstream| Rc::as_ptr(&upstream.endpoint) == std::ptr::from_ref(self));
    }

    /// Closes what has rested too long, or has been closed by the endpoint. For the worker's housekeeping.
    pub(in crate::proxy) fn sweep(&self, now: Instant) {
        self.sweep_shared(now);
        self.idle.borrow_mut().retain_mut(|upstream| upstream.rests_on(now));
        self.owners.close(|upstream| !upstream.rests_on(now));
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

/// The first endpoint of a key that can be picked, by the places of its endpoints in `all`; whichever [`pick`] says where that
/// would be far from its own. One that is on trial gets some of its own keys, and where no healthy one is in, each key stays
/// with its own.
pub(in crate::proxy) fn pick_in_order(
    all: &[Rc<Endpoint>],
    order: impl Iterator<Item = usize> + Clone,
    tried: &[Rc<Endpoint>],
    random: &mut fastrand::Rng,
) -> Option<Picked> {
    let untried = |endpoint: &&Rc<Endpoint>| !tried.iter().any(|tried| Rc::ptr_eq(tried, endpoint));
    let own = order.take(MOST_POINTS).filter_map(|place| all.get(place)).filter(untried);
    let picked = own.clone().find_map(|endpoint| match endpoint.known.stands() {
        _ if !endpoint.known.is_healthy() => None,
        Stands::In => Some(Picked { endpoint: Rc::clone(endpoint), trial: None }),
        Stands::OnTrial => on_trial(iter::once(endpoint), random),
        Stands::Out => None,
    });
    picked
        .or_else(|| {
            if all.iter().filter(untried).any(|endpoint| endpoint.known.takes_requests()) {
                return None;
            }
            let first = { own }.find(|endpoint| endpoint.known.is_healthy())?;
            Some(Picked { endpoint: Rc::clone(first), trial: None })
        })
        .or_else(|| pick(all, tried, random))
}

fn on_trial<'e>(mut healthy: impl Iterator<Item = &'e Rc<Endpoint>>, random: &mut fastrand::Rng) -> Option<Picked> {
    let endpoint = healthy.find(|endpoint| endpoint.known.stands() == Stands::OnTrial)?;
    let tries = random.u32(..ONE_IN) == 0 && endpoint.known.begin_trial();
    tries.then(|| Picked { endpoint: Rc::clone(endpoint), trial: Some(Trial(Rc::clone(endpoint))) })
}

#[cfg(test)]
mod tests;
