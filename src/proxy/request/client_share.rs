//! How much of the evidence one client may make up: whoever sends the same failing request again and again must not
//! decide a release for everybody else.
//!
//! Whether a request is evidence is settled when it comes, by how many its client has sent of late and never by what
//! becomes of it. So what is left out takes failures and successes with it in the same proportion, and what is left is
//! still a fair sample of both versions. To leave out only a client's failures would make blue look better than it is
//! where both versions fail that client, and green would be blamed for the difference.
//!
//! For the same reason both versions share one count where each request is drawn by itself: the draw then gives every
//! client the same share of both. Where a key keeps clients on one version each version has a count of its own, because
//! there a client could be most of green's traffic and little of the whole.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

use super::headers::X_FORWARDED_FOR;
use crate::gate::trigger::Share;
use crate::gate::{ByVersion, Version};

/// With fewer clients there is nobody to be protected from one of them; behind a load balancer that is not among the
/// trusted proxies all requests come from a few addresses.
const LEAST_CLIENTS: u32 = 16;

/// So many requests of a client always count: in a short series no share means anything.
const ALWAYS_COUNTED: u32 = 10;

/// Addresses are hashed into so many classes, which are counted as clients. 48 KiB for each count of a worker.
const CLASSES: usize = 1 << CLASS_BITS;
const CLASS_BITS: u32 = 12;

/// The bound of one worker, on the requests of the last half minute and the one before.
#[derive(Debug)]
pub struct ClientShare {
    share: Share,
    seed: u64,
    counts: Counts,
}

/// The class of a client's address on one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(u16);

#[derive(Debug)]
enum Counts {
    Together(Count),
    Apart(ByVersion<Count>),
}

/// Requests that were taken as evidence.
#[derive(Debug)]
struct Count {
    classes: Box<[OfClass]>,
    all: Recent,
    /// Classes that any of them came from.
    clients: Recent,
    half_minute: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct OfClass {
    recent: Recent,
    /// The half minute in which it was last looked at.
    half_minute: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    /// In this half minute.
    now: u32,
    before: u32,
}

impl ClientShare {
    /// For requests that are drawn one by one.
    pub fn of_all(share: Share, seed: u64) -> ClientShare {
        ClientShare { share, seed, counts: Counts::Together(Count::new()) }
    }

    /// For clients that a key keeps on one version.
    pub fn of_each_version(share: Share, seed: u64) -> ClientShare {
        ClientShare { share, seed, counts: Counts::Apart(ByVersion::build(|_| Count::new())) }
    }

    /// A network of IPv6 that one client usually has to itself is one client. Nobody who does not know the seed can
    /// choose an address for its class.
    pub fn class(&self, address: IpAddr) -> Class {
        let network = match address {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        };
        // Multiply-shift (Dietzfelbinger and others, 1997): an odd random factor, and the highest bits.
        let product = (network ^ network >> 32).wrapping_mul(self.seed | 1);
        Class((product >> (u64::BITS - CLASS_BITS)) as u16)
    }

    /// Whether one more request of this client that goes to `version` is evidence. Counts it if so.
    pub fn takes(&mut self, class: Class, version: Version) -> bool {
        let share = self.share;
        let count = match &mut self.counts {
            Counts::Together(count) => count,
            Counts::Apart(counts) => counts.of_mut(version),
        };
        count.takes(class, share)
    }

    /// To be called every half minute.
    pub fn half_minute_passed(&mut self) {
        match &mut self.counts {
            Counts::Together(count) => count.half_minute_passed(),
            Counts::Apart(counts) => {
                Version::BOTH.into_iter().for_each(|version| counts.of_mut(version).half_minute_passed());
            }
        }
    }
}

impl Count {
    fn new() -> Count {
        Count {
            classes: vec![OfClass::default(); CLASSES].into_boxed_slice(),
            all: Recent::default(),
            clients: Recent::default(),
            half_minute: 0,
        }
    }

    fn takes(&mut self, Class(class): Class, share: Share) -> bool {
        let of_class = &mut self.classes[usize::from(class) % CLASSES];
        match self.half_minute - of_class.half_minute {
            0 => {}
            1 => of_class.recent.pass(),
            _ => of_class.recent = Recent::default(),
        }
        of_class.half_minute = self.half_minute;
        let taken = of_class.recent.sum();
        let clients = self.clients.now.max(self.clients.before);
        if taken >= ALWAYS_COUNTED
            && clients >= LEAST_CLIENTS
            && share.exceeded_by(u64::from(taken) + 1, u64::from(self.all.sum()) + 1)
        {
            return false;
        }
        self.clients.now += u32::from(of_class.recent.now == 0);
        of_class.recent.now += 1;
        self.all.now += 1;
        true
    }

    fn half_minute_passed(&mut self) {
        self.half_minute += 1;
        self.all.pass();
        self.clients.pass();
    }
}

impl Recent {
    const fn sum(self) -> u32 {
        self.now.saturating_add(self.before)
    }

    const fn pass(&mut self) {
        *self = Recent { now: 0, before: self.now };
    }
}

/// The address that a request came from before it reached the first of the proxies that are trusted. The peer is one of
/// them, and may be the last in X-Forwarded-For, as it is in `headers` that go to the endpoint.
pub(super) fn origin(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let chain = headers.get_all(X_FORWARDED_FOR).iter().rev().map(|part| part.to_str().unwrap_or_default());
    let mut nearest = peer;
    for hop in chain.flat_map(|part| part.rsplit(',')) {
        let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
        nearest = address.to_canonical();
        if !trusted.iter().any(|network| network.contains(&nearest)) {
            break;
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
    const LOUD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn fifth() -> Share {
        Share::try_from(0.2).expect("in range")
    }

    fn other(number: u32) -> IpAddr {
        IpAddr::from(std::net::Ipv4Addr::from_bits(0xC0A8_0000 + number))
    }

    /// Requests of so many other clients in turn, and after each of them `loud` of the loud one. Returns how many were
    /// taken of the loud one, and of all.
    fn play(shares: &mut ClientShare, others: u32, rounds: u32, loud: u32) -> (u64, u64) {
        let (mut of_loud, mut all) = (0, 0);
        for round in 0..rounds {
            all += u64::from(shares.takes(shares.class(other(round % others)), Version::Green));
            for _ in 0..loud {
                let taken = u64::from(shares.takes(shares.class(LOUD), Version::Green));
                of_loud += taken;
                all += taken;
            }
        }
        (of_loud, all)
    }

    #[test]
    fn row_75_one_client_makes_up_at_most_its_share_of_the_evidence_once_there_are_others() {
        for loud in [1, 4, 50] {
            let mut shares = ClientShare::of_all(fifth(), SEED);
            // Until 16 clients are known everything counts, for at most a minute.
            play(&mut shares, 200, 200, loud);
            shares.half_minute_passed();
            play(&mut shares, 200, 200, loud);
            shares.half_minute_passed();
            let (of_loud, all) = play(&mut shares, 200, 2_000, loud);
            assert!(all - of_loud == 2_000, "{loud}: the others count whole");
            assert!((190..=260).contains(&(of_loud * 1_000 / all)), "{loud}: {of_loud} of {all}");
        }
    }

    #[test]
    fn row_75_a_few_clients_are_not_bounded_and_the_first_ten_requests_of_any_always_count() {
        let mut shares = ClientShare::of_all(fifth(), SEED);
        assert_eq!(play(&mut shares, 14, 1_000, 9), (9_000, 10_000));
        let mut shares = ClientShare::of_all(fifth(), SEED);
        play(&mut shares, 20, 20, 0);
        let (of_loud, _) = play(&mut shares, 20, 1, 100);
        assert_eq!(of_loud, 10);
    }

    #[test]
    fn what_was_taken_is_forgotten_after_a_minute() {
        let mut shares = ClientShare::of_all(fifth(), SEED);
        play(&mut shares, 20, 20, 0);
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(play(&mut shares, 20, 20, 5).0);
            shares.half_minute_passed();
        }
        // Ten at once; then a fifth of 40 and of what it had, until the ten are two half minutes ago.
        assert!(taken[0] >= 10 && taken[1] < 10 && taken[2] > 0, "{taken:?}");
        (0..2).for_each(|_| shares.half_minute_passed());
        play(&mut shares, 20, 20, 0);
        assert_eq!(play(&mut shares, 20, 1, 100).0, 10);
    }

    #[test]
    fn sticky_clients_are_counted_for_each_version_by_itself() {
        let mut shares = ClientShare::of_each_version(fifth(), SEED);
        for number in 0..2_000 {
            shares.takes(shares.class(other(number % 200)), Version::Blue);
        }
        for number in 0..20 {
            shares.takes(shares.class(other(number)), Version::Green);
        }
        let taken = (0..100).filter(|_| shares.takes(shares.class(LOUD), Version::Green)).count();
        assert_eq!(taken, 10, "a twentieth of all traffic, and most of green's");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_classes_are_spread() {
        let shares = ClientShare::of_all(fifth(), SEED);
        let class = |address: &str| shares.class(address.parse().expect("an address"));
        assert_eq!(class("2001:db8:0:1::1"), class("2001:db8:0:1:ffff::2"));
        assert_ne!(class("2001:db8:0:1::1"), class("2001:db8:0:2::1"));
        let classes: std::collections::HashSet<u16> = (0..1_000).map(|number| shares.class(other(number)).0).collect();
        assert!(classes.len() > 700, "{}", classes.len());
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_trusted_proxy() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().expect("a network")];
        let peer = "10.0.0.9".parse().expect("an address");
        for (chain, expected) in [
            ("10.0.0.9", "10.0.0.9"),
            ("203.0.113.7, 10.0.0.9", "203.0.113.7"),
            ("1.2.3.4, 203.0.113.7, 10.0.0.3, 10.0.0.9", "203.0.113.7"),
            ("1.2.3.4, unknown, 10.0.0.3, 10.0.0.9", "10.0.0.3"),
            ("2001:db8::1,10.0.0.9", "2001:db8::1"),
            ("::ffff:203.0.113.7, 10.0.0.9", "203.0.113.7"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(X_FORWARDED_FOR, chain.parse().expect("a value"));
            assert_eq!(origin(&headers, peer, &trusted).to_string(), expected, "{chain}");
        }
        assert_eq!(origin(&HeaderMap::new(), peer, &trusted), peer);
    }
}
