//! Which version serves a request, and what the request is evidence of.
//!
//! Where no key decides, it is a stratified random draw that keeps the share exact.
//!
//! Requests are cut into strata of `1/share` requests, and one request of each, at a random place, goes to the version
//! that has the smaller share. So over any 10,000 requests of a worker the count is off by at most one, whatever the
//! weight, and no pattern of the traffic can fall in step with it. Blocks of 128 would be more random and less exact:
//! 10,000 is no multiple of 128.

use std::net::IpAddr;

use http::request::Parts;

use super::added::Added;
use super::client::Client;
use super::client_share::{Class, origin};
use super::service::{Service, Serving};
use crate::gate::policy::Seen;
use crate::gate::route::Goes;
use crate::gate::streak::Routed;
use crate::gate::{RouteMark, Version};
use crate::live::{Place, Settings};
use crate::measure::clients::Drawn;
use crate::measure::shard::{Arm, Standing};
use crate::release::Weight;
use crate::routing::Table;

/// Where one request goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    pub version: Version,
    /// Where the endpoints of `version` are configured.
    pub section: Version,
    pub routed: Routed,
    pub drawn: Drawn,
    pub arm: Arm,
    pub standing: Standing,
    pub route: Option<RouteMark>,
    /// The share of requests like this one that green gets copies of.
    pub copied: Weight,
}

const WHOLE: u32 = 10_000;

/// One worker's draw.
#[derive(Debug)]
pub struct Draw {
    weight: Weight,
    /// Requests left in this stratum, and at which of them the rarer version is served.
    left: u32,
    pick: u32,
    /// What the lengths of the strata owe to `1/share`, in parts of the share.
    carry: u32,
    random: fastrand::Rng,
}

impl Draw {
    pub fn new(seed: u64) -> Draw {
        Draw { weight: Weight::ZERO, left: 0, pick: 0, carry: 0, random: fastrand::Rng::with_seed(seed) }
    }

    /// The version for the next request at `weight`.
    pub fn next(&mut self, weight: Weight) -> Version {
        if weight != self.weight {
            self.weight = weight;
            self.left = 0;
            self.carry = 0;
        }
        let green = u32::from(weight.basis_points());
        let (rarer, other, share) = if green <= WHOLE / 2 {
            (Version::Green, Version::Blue, green)
        } else {
            (Version::Blue, Version::Green, WHOLE - green)
        };
        if share == 0 {
            return other;
        }
        if self.left == 0 {
            self.carry += WHOLE;
            self.left = self.carry / share;
            self.carry %= share;
            self.pick = self.random.u32(0..self.left);
        }
        self.left -= 1;
        if self.left == self.pick { rarer } else { other }
    }

    /// The arm for the next request that goes to blue while green has `weight`: as many stand in for green as green gets, and
    /// at most half of blue's.
    pub fn arm(&mut self, weight: Weight) -> Arm {
        let green = u32::from(weight.basis_points());
        if green == 0 {
            return Arm::Rest;
        }
        let of_blue = (green * WHOLE / (WHOLE - green).max(1)).min(WHOLE / 2);
        let of_blue = Weight::from_basis_points(of_blue as u16).expect("at most a half");
        if self.next(of_blue) == Version::Green { Arm::Drawn } else { Arm::Rest }
    }
}

impl Service {
    /// As its client has chosen, which is no draw; none where no release is open, the version has no endpoint, or the
    /// request goes to blue whatever is chosen.
    pub(super) fn overridden(&self, serving: &Serving, head: &Parts, version: Version) -> Option<Chosen> {
        let table = self.table();
        let (section, routed) = (table.roles.section(version), table.routed());
        let place = serving
            .settings()
            .routes
            .as_ref()
            .map_or(Place::PLAIN, |routes| routes.place(head).without(table.taken_back));
        let is_open = table.is_open() && !serving.endpoints.of(section).is_empty() && place.goes != Goes::ToBlue;
        let seen = match (place.goes, &serving.settings().overriding) {
            (Goes::Judged, Some(overriding)) => overriding.seen,
            (Goes::Judged | Goes::Excluded | Goes::ToBlue, _) => Seen::default(),
        };
        let (drawn, arm, standing) = (Drawn::Request, Arm::Rest, Standing::Overridden(seen));
        is_open.then(|| Chosen {
            version,
            section,
            routed,
            drawn,
            arm,
            standing,
            route: place.route,
            copied: copied_of(table, place),
        })
    }

    /// By the table as of now. The head is the one that goes to the endpoint; what the client is to keep is `added` to its
    /// answer.
    pub(super) fn choose(
        &self,
        serving: &Serving,
        head: &Parts,
        client: &Client,
        added: &mut Option<Box<Added>>,
    ) -> Chosen {
        let (table, settings) = (self.table(), serving.settings());
        let place = settings.routes.as_ref().map_or(Place::PLAIN, |routes| {
            let place = routes.place(head).without(table.taken_back);
            if routes.learns_of(place) {
                self.records.saw(head.uri.path());
            }
            place
        });
        if !table.cohorts().is_none()
            && let Some(chosen) = self.of_cohort(serving, (head, place, client), table)
        {
            return chosen;
        }
        let lot = settings
            .sticky
            .as_ref()
            .and_then(|sticky| self.lot(sticky, (serving, head, client), (table.epoch, table.weight()), added));
        let (version, drawn) = match (place.goes, lot) {
            (Goes::ToBlue, _) => (Version::Blue, Drawn::Request),
            (_, Some(lot)) => (lot.version(table.weight()), Drawn::Client(lot.number())),
            (_, None) => (self.draw.borrow_mut().next(table.weight()), Drawn::Request),
        };
        let route = place.route;
        let green_is_none = || serving.endpoints.of(table.roles.section(Version::Green)).is_empty();
        if place.goes == Goes::ToBlue || version == Version::Green && green_is_none() {
            // Nothing is known of a version that is scaled to zero, and what blue does in its place is no fair sample. What
            // goes to blue whatever it is has not been drawn.
            let (version, arm, standing) = (Version::Blue, Arm::Rest, Standing::Aside);
            let (section, copied) = (table.roles.section(version), Weight::ZERO);
            return Chosen { version, section, routed: table.routed(), drawn, arm, standing, route, copied };
        }
        let arm = match (version, lot) {
            (Version::Green, _) => Arm::Rest,
            (Version::Blue, Some(lot)) => lot.arm(table.weight()),
            (Version::Blue, None) => self.arm_draw.borrow_mut().arm(table.weight()),
        };
        let standing = if place.goes == Goes::Excluded || self.is_beyond_share(settings, head, client, version) {
            Standing::Aside
        } else {
            Standing::Evidence
        };
        let (section, copied) = (table.roles.section(version), copied_of(table, place));
        Chosen { version, section, routed: table.routed(), drawn, arm, standing, route, copied }
    }

    /// What is on a route that was taken back is evidence of nothing, also where it was sent before that.
    pub(super) fn standing_at_its_end(&self, route: Option<RouteMark>, standing: Standing) -> Standing {
        let is_taken_back = route.is_some_and(|route| self.table().taken_back.contains(route));
        if is_taken_back { Standing::Aside } else { standing }
    }

    pub(super) fn is_beyond_share(&self, settings: &Settings, head: &Parts, client: &Client, version: Version) -> bool {
        let mut shares = self.client_share.borrow_mut();
        let class = match client.class {
            Some(class) => class,
            None => shares.class(origin(&head.headers, client.address, &settings.trusted_proxies)),
        };
        !shares.takes(class, version)
    }

    pub(super) fn class(&self, address: IpAddr) -> Class {
        self.client_share.borrow().class(address)
    }
}

/// The share of requests at `place` that green gets copies of: none of what is no evidence.
fn copied_of(table: Table, place: Place) -> Weight {
    if place.goes == Goes::Judged { table.copied() } else { Weight::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greens(draw: &mut Draw, weight: Weight, requests: usize) -> Vec<bool> {
        (0..requests).map(|_| draw.next(weight) == Version::Green).collect()
    }

    #[test]
    fn over_any_10_000_requests_the_share_is_exact_within_one_request() {
        for basis_points in
            [1, 7, 100, 333, 1_000, 1_234, 2_500, 3_333, 4_000, 4_999, 5_000, 5_001, 6_667, 9_000, 9_999]
        {
            let weight = Weight::from_percent(f64::from(basis_points) / 100.0).expect("a weight");
            let drawn = greens(&mut Draw::new(u64::from(basis_points as u32)), weight, 60_000);
            let mut in_window = drawn[..10_000].iter().filter(|green| **green).count();
            assert_eq!(in_window, basis_points as usize, "the first 10,000 at {weight}");
            for start in 1..=50_000 {
                in_window -= usize::from(drawn[start - 1]);
                in_window += usize::from(drawn[start + 9_999]);
                assert!(in_window.abs_diff(basis_points as usize) <= 1, "{in_window} from {start} at {weight}");
            }
        }
    }

    #[test]
    fn nothing_and_everything_are_exact() {
        let mut draw = Draw::new(1);
        assert!(greens(&mut draw, Weight::ZERO, 10_000).iter().all(|green| !green));
        assert!(greens(&mut draw, Weight::FULL, 10_000).iter().all(|green| *green));
    }

    #[test]
    fn a_pattern_in_the_traffic_does_not_fall_in_step_with_the_draw() {
        for (percent, every) in [(50.0, 2), (25.0, 4), (10.0, 10), (10.0, 2), (1.0, 100)] {
            let weight = Weight::from_percent(percent).expect("a weight");
            let drawn = greens(&mut Draw::new(7), weight, 400_000);
            let of_kind: Vec<bool> = drawn.into_iter().step_by(every).collect();
            let share = of_kind.iter().filter(|green| **green).count() as f64 / of_kind.len() as f64;
            let spread = (percent / 100.0 * (1.0 - percent / 100.0) / of_kind.len() as f64).sqrt();
            assert!((share - percent / 100.0).abs() < 5.0 * spread, "every {every}th at {percent} %: {share}");
        }
    }

    #[test]
    fn a_new_weight_holds_from_the_next_request() {
        let mut draw = Draw::new(3);
        greens(&mut draw, Weight::from_percent(1.0).expect("a weight"), 37);
        assert!(greens(&mut draw, Weight::FULL, 100).iter().all(|green| *green));
        assert_eq!(draw.next(Weight::ZERO), Version::Blue);
    }
}
