//! What the workers serve by, beside the table: settings and endpoints. One immutable value that is replaced whole, so that a
//! request ends on what it began with.
//!
//! [`settings`] is what they need of the configuration, [`upstreams`] what all of them know of the endpoints, of which
//! those that stay keep what is known of them, [`ejection`] how a bad one is out for a while.

mod ejection;
mod settings;
mod upstreams;

use std::sync::Arc;

use crate::config::{Authority, Config, HealthCheck};
use crate::gate::{ByVersion, Version};

pub use ejection::Stands;
pub use settings::Settings;
pub use upstreams::{Known, Upstreams};

#[derive(Clone, Debug)]
pub struct Live {
    pub settings: Arc<Settings>,
    pub upstreams: Arc<Upstreams>,
    /// Of the endpoints of each section.
    pub health_checks: ByVersion<Option<HealthCheck>>,
}

impl Live {
    pub fn new(config: &Config) -> Live {
        let endpoints = ByVersion::build(|section| config.versions.of(section).endpoints.as_slice());
        Live {
            settings: Arc::new(Settings::new(config)),
            upstreams: Arc::new(Upstreams::new(endpoints)),
            health_checks: ByVersion::build(|section| config.versions.of(section).health_check.clone()),
        }
    }

    /// The same with other endpoints in `section`.
    #[must_use]
    pub fn with_endpoints(&self, section: Version, endpoints: &[Authority]) -> Live {
        Live {
            settings: Arc::clone(&self.settings),
            upstreams: Arc::new(self.upstreams.with(section, endpoints)),
            health_checks: self.health_checks.clone(),
        }
    }
}
