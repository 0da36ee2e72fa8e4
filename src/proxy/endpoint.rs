//! The endpoints of a version: which one serves, and taking a bad one out for a while.
//!
//! One bad endpoint is ejected; a bad version is rolled back. So at most half of a version's endpoints are ejected at
//! a time, and never the last.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderValue;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::pool::Upstream;
use crate::config::{Authority, Ejection};
use crate::gate::{ByVersion, Charge, Version};

/// What all workers know of the endpoints; written when one is ejected, read at every choice among several.
pub struct Upstreams {
    started: Instant,
    versions: ByVersion<Vec<Shared>>,
}

struct Shared {
    authority: Authority,
    /// Milliseconds after `started`, 0 when it was never ejected.
    ejected_until: AtomicU64,
}

/// One endpoint as one worker sees it.
pub(super) struct Endpoint {
    upstreams: Arc<Upstreams>,
    version: Version,
    index: usize,
    target: Target,
    pub host: HeaderValue,
    pub in_flight: Cell<u32>,
    failures: Cell<u32>,
    #[expect(clippy::vec_box, reason = "an Upstream is large and goes in and out with every request")]
    pub idle: RefCell<Vec<Box<Upstream>>>,
}

enum Target {
    Address(SocketAddr),
    /// Looked up for every new connection, so a changed record is followed.
    Name(String, u16),
}

impl Upstreams {
    pub fn new(endpoints: ByVersion<&[Authority]>) -> Upstreams {
        let shared = |authority: &Authority| Shared { authority: authority.clone(), ejected_until: AtomicU64::new(0) };
        Upstreams {
            started: Instant::now(),
            versions: ByVersion::build(|version| endpoints.of(version).iter().map(shared).collect()),
        }
    }

    /// Each endpoint of `version` and whether it takes requests.
    pub fn each(&self, version: Version) -> impl Iterator<Item = (&Authority, bool)> {
        let now = self.now_ms();
        let shared = self.versions.of(version).iter();
        shared.map(move |shared| (&shared.authority, shared.ejected_until.load(Ordering::Relaxed) <= now))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_ejected(&self, version: Version, index: usize) -> bool {
        let until = self.versions.of(version)[index].ejected_until.load(Ordering::Relaxed);
        until != 0 && until > self.now_ms()
    }

    fn eject(&self, version: Version, index: usize, duration: Duration) -> bool {
        let shared = self.versions.of(version);
        let now = self.now_ms();
        let ejected = shared.iter().filter(|other| other.ejected_until.load(Ordering::Relaxed) > now).count();
        if (ejected + 1) * 2 > shared.len() {
            return false;
        }
        let until = now.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        shared[index].ejected_until.store(until, Ordering::Relaxed);
        true
    }
}

impl Endpoint {
    /// All endpoints of a version, for one worker.
    pub(super) fn all(upstreams: &Arc<Upstreams>, version: Version) -> Vec<Rc<Endpoint>> {
        let shared = upstreams.versions.of(version).iter().enumerate();
        shared
            .map(|(index, shared)| {
                let Authority { host, port } = &shared.authority;
                Rc::new(Endpoint {
                    upstreams: Arc::clone(upstreams),
                    version,
                    index,
                    target: match host.parse::<IpAddr>() {
                        Ok(address) => Target::Address(SocketAddr::new(address, *port)),
                        Err(_) => Target::Name(host.clone(), *port),
                    },
                    host: HeaderValue::from_str(&shared.authority.to_string())
                        .expect("a validated authority is a header value"),
                    in_flight: Cell::new(0),
                    failures: Cell::new(0),
                    idle: RefCell::new(Vec::new()),
                })
            })
            .collect()
    }

    pub(super) async fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = match &self.target {
            Target::Address(address) => TcpStream::connect(address).await?,
            Target::Name(name, port) => TcpStream::connect((name.as_str(), *port)).await?,
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Takes in what one request came to here; enough failures in a row eject it.
    pub(super) fn report(&self, charge: Charge, ejection: &Ejection) {
        match charge {
            Charge::Nobody => {}
            Charge::Served => self.failures.set(0),
            Charge::Failed => {
                self.failures.set(self.failures.get() + 1);
                if self.failures.get() >= ejection.failures
                    && self.upstreams.eject(self.version, self.index, ejection.duration)
                {
                    self.failures.set(0);
                    self.idle.borrow_mut().clear();
                    tracing::warn!(
                        version = self.version.name(),
                        endpoint = self.host.to_str().unwrap_or_default(),
                        failures = ejection.failures,
                        seconds = ejection.duration.as_secs_f64(),
                        "endpoint ejected"
                    );
                }
            }
        }
    }

    fn is_ejected(&self) -> bool {
        self.upstreams.is_ejected(self.version, self.index)
    }
}

/// The less busy of two random endpoints that are neither ejected nor in `tried`; none when all have been tried.
pub(super) fn pick(
    endpoints: &[Rc<Endpoint>],
    tried: &[Rc<Endpoint>],
    random: &mut fastrand::Rng,
) -> Option<Rc<Endpoint>> {
    if let [only] = endpoints {
        return tried.is_empty().then(|| Rc::clone(only));
    }
    let untried = |endpoint: &&Rc<Endpoint>| !tried.iter().any(|tried| Rc::ptr_eq(tried, endpoint));
    let usable = || endpoints.iter().filter(untried).filter(|endpoint| !endpoint.is_ejected());
    let nth = |number: usize| usable().nth(number);
    match usable().count() {
        // An ejected endpoint is still better than none.
        0 => endpoints.iter().find(untried).map(Rc::clone),
        1 => nth(0).map(Rc::clone),
        count => {
            let first = random.usize(0..count);
            let second = (first + random.usize(1..count)) % count;
            let (first, second) = (nth(first)?, nth(second)?);
            Some(Rc::clone(if second.in_flight.get() < first.in_flight.get() { second } else { first }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(count: u16) -> (Arc<Upstreams>, Vec<Rc<Endpoint>>) {
        let authorities: Vec<Authority> =
            (0..count).map(|number| Authority { host: "127.0.0.1".to_owned(), port: 1000 + number }).collect();
        let upstreams = Arc::new(Upstreams::new(ByVersion { blue: &authorities, green: &authorities }));
        let all = Endpoint::all(&upstreams, Version::Green);
        (upstreams, all)
    }

    const EJECTION: Ejection = Ejection { failures: 3, duration: Duration::from_secs(30) };

    fn fail(endpoint: &Endpoint) {
        for _ in 0..EJECTION.failures {
            endpoint.report(Charge::Failed, &EJECTION);
        }
    }

    #[test]
    fn one_bad_endpoint_is_ejected_and_the_others_serve() {
        let (upstreams, all) = endpoints(3);
        fail(&all[1]);
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..100 {
            let picked = pick(&all, &[], &mut random).expect("two are left");
            assert!(!Rc::ptr_eq(&picked, &all[1]));
        }
        assert_eq!(upstreams.each(Version::Green).filter(|(_, healthy)| *healthy).count(), 2);
        assert_eq!(upstreams.each(Version::Blue).filter(|(_, healthy)| *healthy).count(), 3);
    }

    #[test]
    fn at_most_half_of_a_bad_version_is_ejected_and_never_its_last_endpoint() {
        for (count, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
            let (upstreams, all) = endpoints(count);
            all.iter().for_each(|endpoint| fail(endpoint));
            assert_eq!(upstreams.each(Version::Green).filter(|(_, healthy)| !healthy).count(), most, "of {count}");
        }
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let (upstreams, all) = endpoints(2);
        for charge in [Charge::Failed, Charge::Failed, Charge::Served, Charge::Failed, Charge::Nobody, Charge::Failed] {
            all[0].report(charge, &EJECTION);
        }
        assert!(upstreams.each(Version::Green).all(|(_, healthy)| healthy));
    }

    #[test]
    fn the_busier_of_two_is_not_picked() {
        let (_upstreams, all) = endpoints(2);
        all[0].in_flight.set(5);
        let mut random = fastrand::Rng::with_seed(1);
        assert!((0..50).all(|_| pick(&all, &[], &mut random).is_some_and(|picked| Rc::ptr_eq(&picked, &all[1]))));
        assert!(pick(&all, &all, &mut random).is_none());
    }
}
