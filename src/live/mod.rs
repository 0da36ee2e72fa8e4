//! What the workers serve by, beside the table: settings and endpoints. One immutable value that is replaced whole, so that a
//! request ends on what it began with.
//!
//! [`settings`] is what they need of the configuration, [`upstreams`] what all of them know of the endpoints, of which
//! those that stay keep what is known of them, [`addresses`] what names stand for, [`ring`] who of them serves which client where that is not left to chance, [`descriptors`] how many connections there can be, [`ejection`] how a bad endpoint is out
//! for a while, [`permits`] how many requests there are at a time,
//! [`rate`] how many each client has sent of late, [`routes`] what they ask for, [`overload`] what is refused for want of memory.

mod addresses;
mod descriptors;
mod ejection;
mod overload;
mod permits;
mod rate;
mod ring;
mod routes;
mod settings;
mod upstreams;

use std::sync::Arc;

use crate::config::{ClientKey, Config, Endpoint, HealthCheck, Transport};
use crate::gate::{ByVersion, Version};

pub use addresses::{Address, Addresses, Site};
pub use descriptors::Descriptors;
pub use ejection::Stands;
pub use overload::{Restraints, Stage};
pub use permits::{Bound, Cap, Full, Permit};
pub use rate::{Over, Rates};
pub use ring::{Balance, Ring};
pub use routes::{Place, Routes};
pub use settings::{FIRST_EDITION, Settings};
pub use upstreams::{Known, Upstreams};

#[derive(Clone, Debug)]
pub struct Live {
    pub settings: Arc<Settings>,
    pub upstreams: Arc<Upstreams>,
    /// Of the endpoints of each section.
    pub health_checks: ByVersion<Option<HealthCheck>>,
    /// Of each section as well.
    pub transports: ByVersion<Transport>,
    /// Likewise; none where the least busy of two serves.
    pub balances: ByVersion<Option<Arc<Balance>>>,
    /// What the version of each section is called.
    pub names: ByVersion<Arc<str>>,
    /// None: every request is let in. A plain request looks at this alone.
    pub restraints: Option<Restraints>,
    /// Of each version, whatever section has its endpoints.
    pub bounds: ByVersion<Option<Bound>>,
}

impl Live {
    pub fn new(config: &Config, found: &Addresses) -> Live {
        let endpoints = ByVersion::build(|section| config.versions.of(section).endpoints.as_slice());
        let settings = Settings::new(config, None);
        let upstreams = Arc::new(Upstreams::new(endpoints, found));
        let balance =
            |section| Balance::of(config.versions.of(section).balance.as_ref()?, upstreams.of(section)).into();
        Live {
            bounds: bounds(&settings, None),
            settings: Arc::new(settings),
            balances: ByVersion::build(balance),
            upstreams: Arc::clone(&upstreams),
            health_checks: ByVersion::build(|section| config.versions.of(section).health_check.clone()),
            transports: ByVersion::build(|section| config.versions.of(section).transport.clone()),
            names: ByVersion::build(|section| config.versions.of(section).version.as_str().into()),
            restraints: Restraints::of(Stage::Calm, config.rate_limit.map(|limit| Arc::new(Rates::new(limit)))),
        }
    }

    /// The same with the settings of another configuration. What clients have sent is forgotten where their bound is new.
    #[must_use]
    pub fn with_settings(self, config: &Config) -> Live {
        let (stage, before) = (self.stage(), self.rates());
        let rates = config
            .rate_limit
            .map(|limit| before.filter(|rates| rates.is_by(limit)).unwrap_or_else(|| Arc::new(Rates::new(limit))));
        let settings = Settings::new(config, Some(&self.settings));
        let bounds = bounds(&settings, self.cap());
        Live { settings: Arc::new(settings), restraints: Restraints::of(stage, rates), bounds, ..self }
    }

    /// The same in another stage of overload.
    #[must_use]
    pub fn in_stage(self, stage: Stage) -> Live {
        Live { restraints: Restraints::of(stage, self.rates()), ..self }
    }

    /// The same where blue is held to a cap, or not.
    #[must_use]
    pub fn capped(self, cap: Option<Arc<Cap>>) -> Live {
        Live { bounds: bounds(&self.settings, cap), ..self }
    }

    fn cap(&self) -> Option<Arc<Cap>> {
        self.bounds.blue.as_ref()?.cap()
    }

    pub fn stage(&self) -> Stage {
        self.restraints.as_ref().map_or(Stage::Calm, |restraints| restraints.stage)
    }

    fn rates(&self) -> Option<Arc<Rates>> {
        self.restraints.as_ref()?.rates.clone()
    }

    /// The same with other endpoints in `section`, where names stand for what was `found`.
    #[must_use]
    pub fn with_endpoints(&self, section: Version, endpoints: &[Endpoint], found: &Addresses) -> Live {
        self.to(self.upstreams.with(section, endpoints, found))
    }

    /// The same where `name` stands for these addresses; none where that is no news.
    pub fn with_addresses(&self, name: &str, addresses: &[Site]) -> Option<Live> {
        self.upstreams.with_addresses(name, addresses).map(|upstreams| self.to(upstreams))
    }

    /// The same where the endpoints of `section` are chosen by `key`.
    #[must_use]
    pub fn balanced_by(mut self, section: Version, key: Option<&ClientKey>) -> Live {
        *self.balances.of_mut(section) = key.map(|key| Balance::of(key, self.upstreams.of(section)));
        self
    }

    fn to(&self, upstreams: Upstreams) -> Live {
        let balance = |section| {
            let before = self.balances.of(section).as_ref()?;
            let is_the_same = upstreams.has_those_of(&self.upstreams, section);
            Some(if is_the_same { Arc::clone(before) } else { Balance::of(&before.key, upstreams.of(section)) })
        };
        Live {
            balances: ByVersion::build(balance),
            settings: Arc::clone(&self.settings),
            upstreams: Arc::new(upstreams),
            health_checks: self.health_checks.clone(),
            transports: self.transports.clone(),
            names: self.names.clone(),
            restraints: self.restraints.clone(),
            bounds: self.bounds.clone(),
        }
    }
}

fn bounds(settings: &Settings, cap: Option<Arc<Cap>>) -> ByVersion<Option<Bound>> {
    let ByVersion { blue, green } = settings.max_requests;
    ByVersion { blue: Bound::of(blue, cap), green: Bound::of(green, None) }
}
