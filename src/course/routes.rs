//! What both versions did on each route, and what the comparison makes of it.

use std::time::Duration;

use super::Course;
use crate::gate::compare::{Comparison, Counted, RoutePast, RouteSummary};
use crate::gate::route::NamedRoute;
use crate::gate::{ByVersion, Evidence, RouteNumber};
use crate::measure::{RouteTick, RouteTicks};
use crate::release::State;

/// How many routes a decision tells of.
const TOLD: usize = 3;

impl Course {
    /// Adds a tick to the windows of the routes.
    pub(super) fn count_routes(&mut self, routes: &RouteTicks, now: Duration) {
        if self.policy.routes.is_empty() {
            return;
        }
        let exchanged = matches!(self.state, State::Completed { .. }).then(|| {
            let mut routes = routes.clone();
            routes.exchanged();
            routes
        });
        let routes = exchanged.as_ref().unwrap_or(routes);
        self.windows.add_routes(routes, now);
        self.routes.add(routes, now);
    }

    pub(super) fn compare_routes(comparison: &mut Comparison, routes: &RouteTicks, now: Duration) {
        let nothing = RouteTick::default();
        let counted = |number: RouteNumber| {
            let RouteTick { judged, waiting, clients } = routes.of(number).unwrap_or(&nothing);
            ByVersion::build(|version| Counted {
                evidence: judged.of(version),
                waiting: waiting.of(version),
                clients: *clients.of(version),
            })
        };
        comparison.tick_routes(counted, now);
    }

    /// Has `comparison` compare the routes that have verdicts of their own.
    pub(super) fn with_routes(&self, mut comparison: Comparison, now: Duration) -> Comparison {
        let mut judged = self.policy.routes.judged();
        judged.retain(|route| !self.is_taken_back(&route.name));
        let nothing = Evidence::default();
        let past = |route: &NamedRoute| self.routes.past(route.number).cloned().unwrap_or_else(|| nothing.clone());
        let pasts: Vec<(&NamedRoute, Evidence)> = judged.iter().map(|route| (route, past(route))).collect();
        comparison.follow_routes(pasts.iter().map(|(route, blue)| RoutePast { route, blue }), now);
        comparison
    }

    /// What is known of blue on each route from before a release, where anything is.
    pub fn route_pasts(&self) -> impl Iterator<Item = (RouteNumber, &Evidence)> {
        let known = |number| Some((number, self.routes.past(number).filter(|past| !past.is_empty())?));
        self.policy.routes.numbered().filter_map(known)
    }

    /// What both versions did on a route in the last minute.
    pub fn on_route(&self, route: RouteNumber) -> Option<ByVersion<&Evidence>> {
        self.routes.minute(route)
    }

    /// What the comparison makes of each route that has a verdict of its own.
    pub fn compared_routes(&self) -> Vec<RouteSummary> {
        self.comparison.iter().flat_map(Comparison::routes).collect()
    }

    /// Those that speak most against green, for the record of a decision.
    pub(super) fn told_routes(&self) -> Vec<RouteSummary> {
        let mut routes = self.compared_routes();
        routes.retain(|route| route.ln_evidence > 0.0);
        routes.sort_by(|one, other| other.ln_evidence.total_cmp(&one.ln_evidence));
        routes.truncate(TOLD);
        routes
    }
}
