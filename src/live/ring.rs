//! Which endpoints serve a client, by its key: points of all of them on a ring, where a key's are those that come after it
//! (Karger and others, 1997). Placed as ketama and nginx do it, so that every worker, replica and restart agrees, and an
//! endpoint that comes or goes moves only its own share of the keys.

use std::collections::HashMap;
use std::fmt;
use std::iter;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use pingora_ketama::{Bucket, Continuum};
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

use super::addresses::Address;
use super::upstreams::Known;
use crate::config::ClientKey;

/// How the endpoints of one section are chosen by a key.
#[derive(Debug)]
pub struct Balance {
    pub key: ClientKey,
    pub ring: Ring,
}

/// 160 points, 1.3 KiB, for each endpoint; those of one that stands twice in the list are the first one's.
pub struct Ring {
    continuum: Continuum,
    /// The endpoint of each point, by its place in the section's list.
    points: Box<[u16]>,
}

/// The same in every process.
const SECRETS: RapidSecrets = RapidSecrets::seed(0x7269_6e67);

impl Balance {
    pub(super) fn of(key: &ClientKey, endpoints: &[Arc<Known>]) -> Arc<Balance> {
        Arc::new(Balance { key: key.clone(), ring: Ring::new(endpoints.iter().map(|known| &known.address)) })
    }
}

impl Ring {
    fn new<'a>(endpoints: impl Iterator<Item = &'a Address>) -> Ring {
        let (mut places, mut buckets) = (HashMap::new(), Vec::new());
        // No section has more.
        for (endpoint, place) in endpoints.zip(0..u16::MAX) {
            let node = node(endpoint);
            places.entry(node).or_insert_with(|| {
                buckets.push(Bucket::new(node, 1));
                place
            });
        }
        let continuum = Continuum::new(&buckets);
        let mut next = Some(0);
        let points = iter::from_fn(|| {
            let mut at = next?;
            let node = continuum.get_addr(&mut at)?;
            next = (at != 0).then_some(at);
            Some(places[node])
        });
        let points = points.collect();
        Ring { continuum, points }
    }

    /// The point from which a key's endpoints are counted.
    pub fn start(&self, key: &[u8]) -> usize {
        self.continuum.node_idx(key)
    }

    /// Their places in the section's list, from that point on, once round the ring: each as often as it has points.
    pub fn from(&self, start: usize) -> impl Iterator<Item = usize> + Clone {
        let (before, after) = self.points.split_at(start.min(self.points.len()));
        after.iter().chain(before).map(|place| usize::from(*place))
    }
}

/// What stands for an endpoint on the ring, which knows none but addresses.
fn node(endpoint: &Address) -> SocketAddr {
    match endpoint {
        Address::Ip(address) => *address,
        Address::Unix(path) => {
            let hash = rapidhash_v3_seeded(path.as_bytes(), &SECRETS);
            SocketAddr::new(IpAddr::V6(Ipv6Addr::from_bits(u128::from(hash))), 0)
        }
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("points", &self.points.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Endpoint, Environment};
    use crate::gate::Version;
    use crate::live::{Addresses, Live};

    const KEYS: usize = 20_000;

    fn ten() -> Vec<Address> {
        let ip = |number| Address::Ip(SocketAddr::from(([10, 0, 0, number], 80)));
        let unix = ["/run/shop.sock", "/run/shop-2.sock"].map(|path| Address::Unix(path.to_owned()));
        (1..=8).map(ip).chain(unix).collect()
    }

    /// The endpoint of every key.
    fn chosen(endpoints: &[Address]) -> Vec<&Address> {
        let ring = Ring::new(endpoints.iter());
        let of = |key: usize| ring.from(ring.start(format!("key-{key}").as_bytes())).next().expect("a point");
        (0..KEYS).map(|key| &endpoints[of(key)]).collect()
    }

    #[test]
    fn one_endpoint_of_ten_that_goes_moves_its_own_keys_and_no_others() {
        let all = ten();
        let before = chosen(&all);
        for gone in 0..all.len() {
            let rest = [&all[..gone], &all[gone + 1..]].concat();
            let after = chosen(&rest);
            let mut moved = 0;
            for (before, after) in before.iter().zip(&after) {
                if **before == all[gone] {
                    moved += 1;
                } else {
                    assert_eq!(before, after);
                }
            }
            // A tenth; points at random places have each endpoint's share differ by an eighth or so.
            assert!((KEYS / 20..KEYS / 6).contains(&moved), "{moved} keys of {:?}", all[gone]);
        }
    }

    #[test]
    fn the_order_of_the_list_does_not_matter() {
        let (all, mut turned) = (ten(), ten());
        turned.reverse();
        assert_eq!(chosen(&all), chosen(&turned));
    }

    #[test]
    fn every_endpoint_of_a_key_is_found_once_round_the_ring() {
        let all = ten();
        let ring = Ring::new(all.iter());
        for start in [0, ring.start(b"a"), ring.points.len() - 1] {
            let mut places: Vec<usize> = ring.from(start).collect();
            assert_eq!(places.len(), ring.points.len());
            places.sort_unstable();
            places.dedup();
            assert_eq!(places, (0..all.len()).collect::<Vec<_>>());
        }
        let none = Ring::new([].iter());
        assert_eq!(none.from(none.start(b"a")).next(), None);
    }

    /// As nginx chooses with `hash $key consistent`, whose own sample this is.
    #[test]
    fn keys_fall_where_nginx_has_them() {
        let two = ["127.0.0.1:7777", "127.0.0.1:7778"].map(|text| Address::Ip(text.parse().expect("an address")));
        let ring = Ring::new(two.iter());
        for (key, expected) in [("/some/path", 1), ("/some/longer/path", 0), ("/sad/zaidoon", 1), ("/g", 0)] {
            assert_eq!(ring.from(ring.start(key.as_bytes())).next(), Some(expected), "{key}");
        }
    }

    #[test]
    fn a_ring_is_made_anew_where_its_own_endpoints_change_and_only_there() {
        let text = "listen: 127.0.0.1:0\nadmin: { listen: 127.0.0.1:0 }\n\
                    blue: { version: v1, endpoints: [\"10.0.0.1:80\", \"10.0.0.2:80\"], balance: { address: true } }\n\
                    green: { version: v2, endpoints: [] }";
        let config = config::parse(text, "test", Path::new(""), &Environment::default()).expect("it is right");
        let live = Live::new(&config, &Addresses::default());
        let ring = |live: &Live| Arc::clone(live.balances.blue.as_ref().expect("there is one"));
        let blue = &config.versions.blue.endpoints;
        let with = |section, endpoints: &[Endpoint]| live.with_endpoints(section, endpoints, &Addresses::default());
        assert!(live.balances.green.is_none());
        assert!(Arc::ptr_eq(&ring(&live), &ring(&with(Version::Green, blue))));
        assert!(Arc::ptr_eq(&ring(&live), &ring(&with(Version::Blue, blue))));
        let fewer = ring(&with(Version::Blue, &blue[..1]));
        assert!(fewer.ring.points.len() < ring(&live).ring.points.len());
        assert!(fewer.ring.from(7).all(|place| place == 0));
    }
}
