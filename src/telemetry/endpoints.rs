//! Every endpoint, and whether it takes requests.

use std::sync::Arc;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use super::Telemetry;
use crate::gate::Version;
use crate::live::Upstreams;
use crate::routing::Roles;

const ENDPOINT_HEALTHY: &str = "portcullis_endpoint_healthy";

/// An exporter of its own: what it once showed it shows for ever, and an endpoint that has left, or is the other
/// version's by now, would go on.
pub(super) struct Endpoints {
    pub recorder: PrometheusRecorder,
    roles: Roles,
    upstreams: Arc<Upstreams>,
}

impl Telemetry {
    /// Every endpoint of both versions, and whether it takes requests.
    pub fn endpoints(&mut self, roles: Roles, upstreams: &Arc<Upstreams>) {
        let changed = self.endpoints.roles != roles || !Arc::ptr_eq(&self.endpoints.upstreams, upstreams);
        if changed {
            self.endpoints = Endpoints::of(roles, Arc::clone(upstreams));
        }
        metrics::with_local_recorder(&self.endpoints.recorder, || {
            for version in Version::BOTH {
                for known in upstreams.of(roles.section(version)) {
                    let endpoint = known.to_string();
                    let gauge = metrics::gauge!(ENDPOINT_HEALTHY, "version" => version.name(), "endpoint" => endpoint);
                    gauge.set(if known.takes_requests() { 1.0 } else { 0.0 });
                }
            }
        });
        if changed {
            self.exposition.endpoints.store(Arc::new(self.endpoints.recorder.handle()));
        }
    }
}

impl Endpoints {
    pub(super) fn of(roles: Roles, upstreams: Arc<Upstreams>) -> Endpoints {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::describe_gauge!(
                ENDPOINT_HEALTHY,
                "1 while an endpoint takes requests, 0 while it is ejected or fails its checks"
            );
        });
        Endpoints { recorder, roles, upstreams }
    }
}
