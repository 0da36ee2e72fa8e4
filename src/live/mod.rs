//! What the workers serve by, beside the table: settings and endpoints. One immutable value that is replaced whole, so that a
//! request ends on what it began with.
//!
//! [`settings`] is what they need of the configuration, [`upstreams`] what all of them know of the endpoints, of which
//! those that stay keep what is known of them, [`addresses`] what names stand for, [`descriptors`] how many connections there can be, [`ejection`] how a bad endpoint is out
//! for a while, [`permits`] how many requests there are at a time,
//! [`rate`] how many each client has sent of late.

mod addresses;
mod descriptors;
mod ejection;
mod permits;
mod rate;
mod settings;
mod upstreams;

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::{Config, Endpoint, HealthCheck, Transport};
use crate::gate::{ByVersion, Version};

pub use addresses::{Address, Addresses};
pub use descriptors::Descriptors;
pub use ejection::Stands;
pub use permits::Permit;
pub use rate::{Over, Rates};
pub use settings::Settings;
pub use upstreams::{Known, Upstreams};

#[derive(Clone, Debug)]
pub struct Live {
    pub settings: Arc<Settings>,
    pub upstreams: Arc<Upstreams>,
    /// Of the endpoints of each section.
    pub health_checks: ByVersion<Option<HealthCheck>>,
    /// Of each section as well.
    pub transports: ByVersion<Transport>,
    /// None: clients may send as many requests as they like.
    pub rates: Option<Arc<Rates>>,
}

impl Live {
    pub fn new(config: &Config, found: &Addresses) -> Live {
        let endpoints = ByVersion::build(|section| config.versions.of(section).endpoints.as_slice());
        Live {
            settings: Arc::new(Settings::new(config)),
            upstreams: Arc::new(Upstreams::new(endpoints, found)),
            health_checks: ByVersion::build(|section| config.versions.of(section).health_check.clone()),
            transports: ByVersion::build(|section| config.versions.of(section).transport.clone()),
            rates: config.rate_limit.map(|limit| Arc::new(Rates::new(limit))),
        }
    }

    /// The same with the settings of another configuration. What clients have sent is forgotten where their bound is new.
    #[must_use]
    pub fn with_settings(self, config: &Config) -> Live {
        let rates = config
            .rate_limit
            .map(|limit| self.rates.filter(|rates| rates.is_by(limit)).unwrap_or_else(|| Arc::new(Rates::new(limit))));
        Live { settings: Arc::new(Settings::new(config)), rates, ..self }
    }

    /// The same with other endpoints in `section`, where names stand for what was `found`.
    #[must_use]
    pub fn with_endpoints(&self, section: Version, endpoints: &[Endpoint], found: &Addresses) -> Live {
        self.to(self.upstreams.with(section, endpoints, found))
    }

    /// The same where `name` stands for these addresses; none where that is no news.
    pub fn with_addresses(&self, name: &str, addresses: &[IpAddr]) -> Option<Live> {
        self.upstreams.with_addresses(name, addresses).map(|upstreams| self.to(upstreams))
    }

    fn to(&self, upstreams: Upstreams) -> Live {
        Live {
            settings: Arc::clone(&self.settings),
            upstreams: Arc::new(upstreams),
            health_checks: self.health_checks.clone(),
            transports: self.transports.clone(),
            rates: self.rates.clone(),
        }
    }
}
