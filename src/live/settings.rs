//! What every worker needs of the configuration.

use std::num::NonZeroUsize;
use std::sync::Arc;

use ipnet::IpNet;

use super::descriptors::Descriptors;
use crate::config::{
    AccessLog, Config, Drain, Ejection, Http2, Limits, Mirror, Otlp, Overriding, RequestIds, Sticky, Timeouts, Tls,
    TraceContext,
};
use crate::gate::ByVersion;
use crate::gate::policy::Counting;

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
    pub access_log: AccessLog,
    pub request_ids: RequestIds,
    pub trace_context: TraceContext,
    /// None: no spans are recorded.
    pub otlp: Option<Arc<Otlp>>,
    pub sticky: Option<Sticky>,
    pub counting: Counting,
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

impl Settings {
    pub fn new(config: &Config) -> Settings {
        Settings {
            timeouts: config.timeouts,
            limits: config.limits,
            max_requests: ByVersion::build(|version| config.versions.of(version).max_requests),
            ejection: config.ejection,
            trusted_proxies: config.trusted_proxies.clone(),
            proxied_from: config.proxied_from.clone(),
            drain: config.drain,
            access_log: config.access_log,
            request_ids: config.request_ids,
            trace_context: config.trace_context,
            otlp: config.otlp.clone(),
            sticky: config.sticky.clone(),
            counting: config.policy.counting.clone(),
            mirror: config.mirror,
            overriding: config.overriding.clone(),
            copies: config.mirror.max_requests.get().div_ceil(config.workers.get()),
            http2: config.http2,
            tls: config.tls.clone(),
            connections: config.limits.connections.get().div_ceil(config.workers.get()),
            descriptors: Descriptors::of_worker(config.workers),
        }
    }
}
