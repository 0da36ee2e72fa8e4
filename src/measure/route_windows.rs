//! What both versions did on each route: in the last minute, and in the ten before now.
//!
//! In slots of five seconds and of a minute: of one route at most 27 × 2 × 10.5 KiB, whatever the traffic, 0.6 MiB, and a
//! fifth of that where the slowest requests take ten times as long as the quickest.

use std::time::Duration;

use super::routes::{RouteTick, RouteTicks};
use super::window::{HISTORY, Ring, STATUS_WINDOW};
use crate::gate::{ByVersion, Evidence, RouteNumber, Routes};

#[derive(Clone, Debug, Default)]
pub struct RouteWindows(Vec<OfRoute>);

#[derive(Clone, Debug)]
struct OfRoute {
    name: String,
    minute: Ring,
    past: Ring,
}

const SLOTS_OF_MINUTE: u32 = 12;
const SLOTS_OF_PAST: u32 = 10;

impl RouteWindows {
    pub fn new(routes: &Routes) -> RouteWindows {
        RouteWindows(routes.numbered().map(|number| OfRoute::new(routes.name(number))).collect())
    }

    /// Looks at these routes and no others. One that was looked at before keeps what it holds.
    pub fn follow(&mut self, routes: &Routes) {
        let mut before = std::mem::take(&mut self.0);
        let of = |number| {
            let known = before.iter().position(|of| of.name == routes.name(number));
            known.map_or_else(|| OfRoute::new(routes.name(number)), |known| before.swap_remove(known))
        };
        self.0 = routes.numbered().map(of).collect();
    }

    /// Adds one tick, and drops what is too old by `now`.
    pub fn add(&mut self, ticks: &RouteTicks, now: Duration) {
        let nothing = RouteTick::default();
        for (of, number) in self.0.iter_mut().zip(0..) {
            let tick = RouteNumber::from_index(number).and_then(|number| ticks.of(number)).unwrap_or(&nothing);
            for ring in [&mut of.minute, &mut of.past] {
                ring.add_evidence(tick.judged.as_ref(), now);
            }
        }
    }

    /// Forgets the last minute; for a new epoch.
    pub fn clear(&mut self) {
        self.0.iter_mut().for_each(|of| of.minute = Ring::in_slots(STATUS_WINDOW, SLOTS_OF_MINUTE));
    }

    /// As [`super::Windows::exchange`].
    pub fn exchange(&mut self) {
        for of in &mut self.0 {
            of.minute.exchange();
            of.past.exchange();
        }
    }

    /// What both versions did on a route in the last minute.
    pub fn minute(&self, route: RouteNumber) -> Option<ByVersion<&Evidence>> {
        self.0.get(route.index()).map(|of| of.minute.total())
    }

    /// What blue did on a route in the ten minutes before now, across epochs.
    pub fn past(&self, route: RouteNumber) -> Option<&Evidence> {
        self.0.get(route.index()).map(|of| of.past.total().blue)
    }

    /// Replaces what is known from before a release.
    pub fn set_past(&mut self, route: RouteNumber, blue: &Evidence, now: Duration) {
        if let Some(of) = self.0.get_mut(route.index()) {
            of.past = Ring::in_slots(HISTORY, SLOTS_OF_PAST);
            of.past.add_evidence(ByVersion { blue, green: &Evidence::default() }, now);
        }
    }
}

impl OfRoute {
    fn new(name: &str) -> OfRoute {
        OfRoute {
            name: name.to_owned(),
            minute: Ring::in_slots(STATUS_WINDOW, SLOTS_OF_MINUTE),
            past: Ring::in_slots(HISTORY, SLOTS_OF_PAST),
        }
    }
}
