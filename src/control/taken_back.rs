//! Routes that go to blue while their release goes on: which the workers are told of, and what keeps them known.

use super::Control;
use super::command::Refused;
use crate::config::Config;
use crate::gate::route::RouteSet;
use crate::live::Live;
use crate::release::{Run, TakenBack};

impl Control {
    /// By the numbers that they have in `live`.
    pub(super) fn taken_back(&self, live: &Live) -> RouteSet {
        let names = self.course.taken_back().iter().map(|TakenBack { route, .. }| route.as_str());
        RouteSet::named(names, &self.config.policy.routes, live.settings.edition)
    }

    /// What was taken back is kept by its name, so it has to have one.
    pub(super) fn forgets_routes(run: &Run, config: &Config) -> Option<Refused> {
        let is_gone = |taken: &&TakenBack| config.policy.routes.numbered_as(&taken.route).is_none();
        let TakenBack { route, .. } = run.holds.taken_back.iter().find(is_gone)?;
        Some(Refused::RouteOfOpen { epoch: run.epoch, route: route.clone() })
    }
}
