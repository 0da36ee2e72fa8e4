//! A request that has become a tunnel: whose it is, and until when it may live.

use std::rc::Rc;

use tokio::time::Instant;

use super::service::{Service, Serving};
use crate::gate::streak::Routed;
use crate::gate::{RouteMark, Version};
use crate::proxy::lifecycle::Phase;
use crate::proxy::upstream::{End, Endpoint};
use crate::proxy::wire::Protocol;
use crate::routing::Route;

/// The endpoint's side, and what it is.
pub(in crate::proxy) struct Tunnel {
    pub end: End,
    pub protocol: Protocol,
    /// Whose endpoint it is.
    pub(super) section: Version,
    pub(super) routed: Routed,
    pub(super) route: Option<RouteMark>,
    pub(super) endpoint: Rc<Endpoint>,
    pub(super) serving: Rc<Serving>,
}

impl Tunnel {
    /// The time at which it is cut. Comes when its version or its route was taken back, its endpoint has left, or the process drains.
    pub(in crate::proxy) async fn until_it_must_end(&self, service: &Service) -> Instant {
        loop {
            let changed = service.changed.notified();
            if self.is_taken_back(service) {
                return Instant::now() + self.serving.settings().rollback_drain;
            }
            if self.endpoint.is_retired() || service.phase.get() == Phase::Closing {
                return Instant::now() + self.serving.settings().drain.deadline;
            }
            changed.await;
        }
    }

    fn is_taken_back(&self, service: &Service) -> bool {
        let table = service.table();
        let is_green = self.section == table.roles.section(Version::Green);
        let is_of_epoch = is_green && table.epoch == self.routed.epoch;
        let is_taken_back = self.route.is_some_and(|route| table.taken_back.contains(route));
        is_of_epoch && (table.route == Route::Latched || is_taken_back)
    }
}
