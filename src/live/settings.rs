//! What every worker needs of the configuration.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::descriptors::Descriptors;
use super::routes::Routes;
use crate::config::{
    AccessLog, Cohort, Config, Drain, Ejection, Http2, Limits, Mirror, Otlp, Overriding, RequestIds, RouteConfig,
    RouteShield, Shield, Sticky, Timeouts, Tls, TraceContext,
};
use crate::gate::policy::Counting;
use crate::gate::{ByVersion, RouteMark};

#[derive(Clone, Debug)]
pub struct Settings {
    pub timeouts: Timeouts,
    pub limits: Limits,
    /// That a version may have at a time, whatever section has its endpoints.
    pub max_requests: ByVersion<Option<NonZeroUsize>>,
    pub ejection: Ejection,
    pub trusted_proxies: Vec<IpNet>,
    pub proxied_from: Vec<IpNet>,
    pub drain: Drain,
    /// How long what is under way on green may go on after a rollback.
    pub rollback_drain: Duration,
    pub access_log: AccessLog,
    pub request_ids: RequestIds,
    pub trace_context: TraceContext,
    /// None: no spans are recorded.
    pub otlp: Option<Arc<Otlp>>,
    pub sticky: Option<Sticky>,
    pub cohorts: Vec<Cohort>,
    pub shield: Option<Shield>,
    pub counting: Counting,
    /// None: nothing is told apart by what a request asks for.
    pub routes: Option<Arc<Routes>>,
    /// What `routes` are made of, declared and learnt, and how often that has changed.
    made_of: (Vec<RouteConfig>, Vec<String>),
    pub edition: u16,
    pub mirror: Mirror,
    /// None: nobody chooses a version.
    pub overriding: Option<Arc<Overriding>>,
    /// Copies at a time, of one worker alone.
    pub copies: usize,
    pub http2: Http2,
    /// None: clients speak HTTP as it is.
    pub tls: Option<Tls>,
    /// Of one worker alone.
    pub connections: usize,
    /// Likewise.
    pub descriptors: Descriptors,
}

/// The edition of the routes that a process begins with.
pub const FIRST_EDITION: u16 = 0;

impl Settings {
    /// `before` is what they replace.
    pub fn new(config: &Config, before: Option<&Settings>) -> Settings {
        let made_of = (config.routes.clone(), config.learnt.clone());
        let edition =
            before.map_or(FIRST_EDITION, |before| before.edition.wrapping_add(u16::from(before.made_of != made_of)));
        Settings {
            timeouts: config.timeouts,
            limits: config.limits,
            max_requests: ByVersion::build(|version| config.versions.of(version).max_requests),
            ejection: config.ejection,
            trusted_proxies: config.trusted_proxies.clone(),
            proxied_from: config.proxied_from.clone(),
            drain: config.drain,
            rollback_drain: config.after_rollback.drain,
            access_log: config.access_log,
            request_ids: config.request_ids,
            trace_context: config.trace_context,
            otlp: config.otlp.clone(),
            sticky: config.sticky.clone(),
            cohorts: config.cohorts.clone(),
            shield: config.shield.clone(),
            counting: config.policy.counting.clone(),
            routes: Routes::new(config, edition).map(Arc::new),
            made_of,
            edition,
            mirror: config.mirror,
            overriding: config.overriding.clone(),
            copies: config.mirror.max_requests.get().div_ceil(config.workers.get()),
            http2: config.http2,
            tls: config.tls.clone(),
            connections: config.limits.connections.get().div_ceil(config.workers.get()),
            descriptors: Descriptors::of_worker(config.workers),
        }
    }

    /// Of a request on `route`.
    pub fn timeouts_of(&self, route: Option<RouteMark>) -> &Timeouts {
        let own = route.and_then(|route| self.routes.as_ref()?.timeouts(route));
        own.unwrap_or(&self.timeouts)
    }

    pub fn shield_of(&self, route: Option<RouteMark>) -> &RouteShield {
        route.and_then(|route| self.routes.as_ref()?.shield(route)).unwrap_or(&RouteShield::AsElsewhere)
    }
}
