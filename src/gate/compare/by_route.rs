//! Green against blue on each route by itself, so that a fault that drowns in the sum of all requests is found all the same.
//!
//! The mean of e-processes is one whatever their dependence, so the whole and all routes share one false-alarm probability.
//! Blue against itself, the absolute bounds and what clears green stay with the whole.

use std::time::Duration;

use super::contrast::{Contrast, failures};
use super::mixture::Since;
use super::numbers::{ln, ln_sum};
use super::recent::Recent;
use super::sentence::Measure;
use super::summary::{Measured, RouteSummary};
use super::{Counted, Settings};
use crate::gate::crossing::Tally;
use crate::gate::route::NamedRoute;
use crate::gate::{ByVersion, Evidence, RouteNumber, Version};

/// What is known of one route from the ten minutes before a release.
#[derive(Clone, Copy, Debug)]
pub struct RoutePast<'a> {
    pub route: &'a NamedRoute,
    pub blue: &'a Evidence,
}

/// The tests of all routes; none where none is judged by itself.
#[derive(Clone, Debug, Default)]
pub(super) struct ByRoute {
    routes: Vec<OnRoute>,
    /// How many share the false-alarm probability, also when fewer are left.
    sharing: usize,
}

#[derive(Clone, Debug)]
struct OnRoute {
    route: NamedRoute,
    contrast: Contrast,
    /// Blue's latencies on the route.
    recent: Recent,
    /// All requests and failures, also those that are in no block yet.
    seen: Since,
}

/// The share of the whole in the combined evidence; the routes have the rest in equal parts.
const WHOLE: f64 = 0.5;

/// What a route's past covers, in seconds.
const PAST: f64 = 600.0;

/// A block takes so many units at least.
const UNITS: f64 = 8.0;

/// The late starts are spread over at least so many blocks.
const FEWEST: f64 = 60.0;

impl ByRoute {
    /// `planned` is how many ticks are expected.
    pub(super) fn new<'a>(
        settings: &Settings,
        routes: impl IntoIterator<Item = RoutePast<'a>>,
        planned: f64,
        now: Duration,
    ) -> ByRoute {
        let on_route = |RoutePast { route, blue }: RoutePast<'_>| {
            let of_blue = Tally { bad: blue.failures, units: blue.requests };
            let recent = Recent::new(&blue.latency, now);
            // A poor estimate costs power, never validity.
            let in_a_tick = blue.requests as f64 / PAST * settings.tick.as_secs_f64() / UNITS;
            let blocks = if blue.requests == 0 { planned } else { (planned * in_a_tick.min(1.0)).max(FEWEST) };
            let contrast = Contrast::new(settings, of_blue, &recent, blocks, now);
            OnRoute { route: route.clone(), contrast, recent, seen: Since::default() }
        };
        let routes: Vec<OnRoute> = routes.into_iter().map(on_route).collect();
        ByRoute { sharing: routes.len(), routes }
    }

    /// What comes on this route is no evidence any more, and what came is told.
    pub(super) fn leave_out(&mut self, route: &str) {
        self.routes.retain(|on| on.route.name != route);
    }

    /// Adds one tick of every route.
    pub(super) fn tick<'a>(&mut self, counted: impl Fn(RouteNumber) -> ByVersion<Counted<'a>>, now: Duration) {
        for OnRoute { route, contrast, recent, seen } in &mut self.routes {
            let counted = counted(route.number);
            let tallies = ByVersion::build(|version| failures(counted.of(version)).tally);
            for version in Version::BOTH {
                seen.counted.of_mut(version).add(*tallies.of(version));
            }
            if tallies.green.bad > 0 {
                seen.first_bad.get_or_insert(now);
            }
            contrast.tick(&counted, recent, now);
            recent.add(&counted.blue.evidence.latency, now);
        }
    }

    pub(super) fn cut(&mut self, now: Duration) {
        self.routes.iter_mut().for_each(|OnRoute { contrast, recent, .. }| contrast.cut(recent, now));
    }

    pub(super) fn restart(&mut self) {
        for on_route in &mut self.routes {
            on_route.contrast.restart();
            on_route.seen = Since::default();
        }
    }

    /// ln M of the whole, whose own is `whole`, and the routes together.
    pub(super) fn ln_with(&self, whole: f64) -> f64 {
        if self.sharing == 0 {
            return whole;
        }
        let share = ln((1.0 - WHOLE) / self.sharing as f64);
        let routes = self.routes.iter().map(|route| share + route.contrast.ln());
        ln_sum(&routes.chain([ln(WHOLE) + whole]).collect::<Vec<f64>>())
    }

    /// The route that explains the difference better than the `whole`, and what it rests on. Where everything fails the whole has
    /// seen more of it than any route.
    pub(super) fn better_than(&self, whole: &Contrast) -> Option<(&NamedRoute, Measure, Since)> {
        let heavier = |one: &'_ OnRoute, other: &'_ OnRoute| one.contrast.ln().total_cmp(&other.contrast.ln());
        let best = self.routes.iter().max_by(|one, other| heavier(one, other))?;
        if best.contrast.ln() > whole.ln() {
            let (measure, since) = best.contrast.heaviest();
            return Some((&best.route, measure, since));
        }
        // What one route fails the whole fails too: chance decides which of the two has more evidence of the same failures.
        if whole.heaviest().0 != Measure::Errors {
            return None;
        }
        self.fails_most().map(|on_route| (&on_route.route, Measure::Errors, on_route.seen))
    }

    /// The route that has most of green's failures, the smaller part of its requests, and not so many of blue's.
    fn fails_most(&self) -> Option<&OnRoute> {
        let on_route = self.routes.iter().max_by_key(|on_route| on_route.seen.counted.green.bad)?;
        let mut all = Tally::default();
        self.routes.iter().for_each(|on_route| all.add(on_route.seen.counted.green));
        let ByVersion { blue, green } = on_route.seen.counted;
        let is_apart = 4 * green.bad >= 3 * all.bad && 2 * green.units <= all.units;
        (is_apart && 2 * blue.bad * green.units <= green.bad * blue.units).then_some(on_route)
    }

    pub(super) fn summaries(&self) -> impl Iterator<Item = RouteSummary> {
        self.routes.iter().map(|OnRoute { route, contrast, .. }| RouteSummary {
            route: route.name.clone(),
            ln_evidence: contrast.ln(),
            errors: Measured::of(&contrast.errors, None),
            p99: Measured::of(contrast.p99.relative(), contrast.p99.bounds()),
            p50: Measured::of(contrast.p50.relative(), contrast.p50.bounds()),
        })
    }
}
