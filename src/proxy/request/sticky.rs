//! Keeping a client on one version: by a hash of its key, so that nothing is stored and every worker agrees.
//!
//! The hash covers the key and the epoch. So raising the weight only ever moves clients to green, each release draws its
//! clients anew, and a rollback, which sets the weight to 0, ignores every key.

use std::net::IpAddr;

use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

use super::added::Added;
use super::client::Client;
use super::client_key::KeySent;
use super::headers::came_by_tls;
use super::service::{Service, Serving};
use crate::config::{ClientKey, IssuedCookie, Sticky};
use crate::gate::Version;
use crate::measure::shard::Arm;
use crate::release::{Epoch, Weight};

/// Where one client's key falls in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lot(u64);

/// The same in every process, or a restart would move clients.
const SECRETS: RapidSecrets = RapidSecrets::seed(0x706f_7274_6375_6c6c);

/// Basis points of the whole.
const WHOLE: u128 = 10_000;

impl Lot {
    /// The lot of the request's client; none when it sends no key, or an empty one.
    pub fn of(key: &ClientKey, headers: &HeaderMap, origin: impl FnOnce() -> IpAddr, epoch: Epoch) -> Option<Lot> {
        KeySent::in_request(key, headers, origin).map(|sent| Lot::new(sent.bytes(), epoch))
    }

    pub fn new(key: &[u8], epoch: Epoch) -> Lot {
        let mut both = [0; 12];
        both[..8].copy_from_slice(&rapidhash_v3_seeded(key, &SECRETS).to_le_bytes());
        both[8..].copy_from_slice(&epoch.number().to_le_bytes());
        Lot(rapidhash_v3_seeded(&both, &SECRETS))
    }

    /// The version that serves the client at `weight`.
    pub const fn version(self, weight: Weight) -> Version {
        if self.basis_point() < weight.basis_points() as u128 { Version::Green } else { Version::Blue }
    }

    /// The arm of a client of blue's: as many clients stand in for green as green has, and at most half of blue's. They are
    /// those that would be the last to go to green.
    pub const fn arm(self, weight: Weight) -> Arm {
        let green = weight.basis_points() as u128;
        let half_of_blue = (WHOLE - green) / 2;
        let drawn = if green < half_of_blue { green } else { half_of_blue };
        if self.basis_point() >= WHOLE - drawn { Arm::Drawn } else { Arm::Rest }
    }

    const fn basis_point(self) -> u128 {
        (self.0 as u128 * WHOLE) >> u64::BITS
    }

    /// For counting different clients.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl Service {
    /// The lot of the request's client, in `epoch`. One that has no cookie of ours gets one with its answer, while green has
    /// a share.
    pub(super) fn lot(
        &self,
        sticky: &Sticky,
        (serving, head, client): (&Serving, &Parts, &Client),
        (epoch, weight): (Epoch, Weight),
        added: &mut Option<Box<Added>>,
    ) -> Option<Lot> {
        let origin = || serving.origin(&head.headers, client);
        match sticky {
            Sticky::Own(key) => Lot::of(key, &head.headers, origin, epoch),
            Sticky::Issued(issued) => {
                let sent = KeySent::of_cookie(&issued.name, &head.headers);
                if sent.is_none() && weight > Weight::ZERO {
                    let id = format!("{:032x}", self.random.borrow_mut().u128(..));
                    added.get_or_insert_default().cookie = Some(set_cookie(issued, &id, came_by_tls(&head.headers)));
                    return Some(Lot::new(id.as_bytes(), epoch));
                }
                sent.map(|sent| Lot::new(sent.bytes(), epoch))
            }
        }
    }
}

/// For every path of the host, and nobody's scripts. Where the client came by TLS it is sent by nothing else.
fn set_cookie(IssuedCookie { name, max_age }: &IssuedCookie, id: &str, by_tls: bool) -> HeaderValue {
    let secure = if by_tls { "; Secure" } else { "" };
    let seconds = max_age.as_secs();
    let text = format!("{name}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(text).expect("a token is a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(weight: f64) -> Weight {
        Weight::from_percent(weight).expect("a weight")
    }

    fn greens(keys: u32, epoch: Epoch, weight: f64) -> usize {
        let lots = (0..keys).map(|key| Lot::new(format!("client-{key}").as_bytes(), epoch));
        lots.filter(|lot| lot.version(percent(weight)) == Version::Green).count()
    }

    #[test]
    fn the_share_of_clients_on_green_is_the_weight_within_chance() {
        const KEYS: u32 = 200_000;
        for epoch in [Epoch::default(), Epoch::default().next()] {
            for weight in [0.01, 1.0, 12.34, 50.0, 99.0] {
                let share = weight / 100.0;
                let spread = (f64::from(KEYS) * share * (1.0 - share)).sqrt();
                let difference = greens(KEYS, epoch, weight) as f64 - f64::from(KEYS) * share;
                assert!(difference.abs() < 5.0 * spread, "{difference} of {KEYS} at {weight} %");
            }
            assert_eq!([greens(KEYS, epoch, 0.0), greens(KEYS, epoch, 100.0)], [0, KEYS as usize]);
        }
    }

    #[test]
    fn raising_the_weight_only_ever_moves_clients_to_green() {
        for key in 0..2_000_u32 {
            let lot = Lot::new(&key.to_le_bytes(), Epoch::default());
            let mut was_green = false;
            for weight in [0.0, 0.01, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 99.99, 100.0] {
                let is_green = lot.version(percent(weight)) == Version::Green;
                assert!(is_green || !was_green, "{key} at {weight} %");
                was_green = is_green;
            }
            assert!(was_green);
        }
    }

    #[test]
    fn each_epoch_draws_its_clients_anew() {
        const KEYS: u32 = 100_000;
        let weight = percent(10.0);
        let green = |key: u32, epoch| Lot::new(&key.to_le_bytes(), epoch).version(weight) == Version::Green;
        let (first, second) = (Epoch::default(), Epoch::default().next());
        let both = (0..KEYS).filter(|key| green(*key, first) && green(*key, second)).count();
        // A hundredth if the two draws know nothing of each other, with a spread of 31.
        assert!((840..1_160).contains(&both), "{both}");
    }

    /// Restarts and upgrades must not move clients either.
    #[test]
    fn a_clients_lot_never_changes() {
        let lots = [("", 0), ("a", 0), ("a", 1), ("0123456789abcdef0123456789abcdef", 7)].map(|(key, epoch)| {
            let epoch = (0..epoch).fold(Epoch::default(), |epoch, _| epoch.next());
            Lot::new(key.as_bytes(), epoch).number()
        });
        assert_eq!(
            lots,
            [
                14_476_391_012_928_982_660,
                10_329_454_370_663_024_741,
                5_403_440_530_473_634_887,
                3_974_431_217_644_704_080
            ]
        );
    }

    #[test]
    fn a_cookie_of_ours_is_kept_from_scripts_other_sites_and_plain_connections() {
        let issued = IssuedCookie { name: "portcullis".to_owned(), max_age: std::time::Duration::from_secs(3_600) };
        let plain = "portcullis=00ff; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax";
        assert_eq!(set_cookie(&issued, "00ff", false), plain);
        assert_eq!(set_cookie(&issued, "00ff", true), format!("{plain}; Secure"));
    }
}
