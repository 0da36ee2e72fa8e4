//! Routes that nobody has named: the templates of the paths that most requests are for.
//!
//! They are learnt while no release is open, so that what is compared in a release is known when it begins, and none is
//! forgotten for as long as the process lives, so that there are no more labels than routes.

use std::time::Duration;

use super::Control;
use crate::live::Live;
use crate::measure::Learning;

/// What has been learnt, and what is being seen.
#[derive(Default)]
pub(super) struct Learnt {
    pub(super) seen: Learning,
    templates: Vec<String>,
    looked_at: Duration,
}

/// How often what is seen is looked at.
const EVERY: Duration = Duration::from_secs(5);

impl Control {
    /// Tells more routes apart where requests give cause for it.
    pub(super) fn learn(&mut self) {
        let now = self.clock.now();
        let Learnt { seen, templates, looked_at } = &mut self.learnt;
        let has_room = templates.len() < self.config.learn_routes;
        if !has_room || self.course.state().run().is_some() || now - *looked_at < EVERY {
            return;
        }
        *looked_at = now;
        let before = templates.len();
        templates.extend(seen.worth(templates));
        templates.truncate(self.config.learn_routes);
        if templates.len() == before {
            return;
        }
        tracing::info!(routes = ?templates[before..], "routes learnt");
        self.config.policy.routes = std::mem::take(&mut self.config.policy.routes).without_learnt();
        let templates = templates.clone();
        self.config.learn(&templates);
        let live = Live::clone(&self.inputs.routing.live()).with_settings(&self.config);
        self.serve(live);
        self.course.follow_routes(self.config.policy.clone(), now);
        self.follow_routes();
    }

    /// The templates that were learnt so far.
    pub(super) fn learnt(&self) -> &[String] {
        &self.learnt.templates
    }
}
