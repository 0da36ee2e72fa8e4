//! Series whose labels name what there is now: the release and its versions, and every endpoint.

use std::sync::Arc;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use super::Telemetry;
use crate::gate::{ByVersion, Version};
use crate::live::Upstreams;
use crate::release::Epoch;
use crate::routing::Roles;

const ENDPOINT_HEALTHY: &str = "portcullis_endpoint_healthy";
const RELEASE: &str = "portcullis_release_info";

/// What the versions of the present are called.
#[derive(Clone, PartialEq, Eq)]
pub struct Named {
    pub service: String,
    pub versions: ByVersion<String>,
    pub epoch: Epoch,
}

/// An exporter of its own: what it once showed it shows for ever, and an endpoint that has left, or is the other
/// version's by now, would go on, as would a release of before.
pub(super) struct Present {
    pub recorder: PrometheusRecorder,
    roles: Roles,
    upstreams: Arc<Upstreams>,
    /// None before the first release is known.
    named: Option<Named>,
}

impl Telemetry {
    /// The release of the moment, every endpoint of both versions, and whether it takes requests.
    pub fn present(&mut self, roles: Roles, upstreams: &Arc<Upstreams>, named: Named) {
        let shown = &self.present;
        let changed =
            shown.roles != roles || !Arc::ptr_eq(&shown.upstreams, upstreams) || shown.named.as_ref() != Some(&named);
        if changed {
            self.present = Present::of(roles, Arc::clone(upstreams), Some(named));
        }
        metrics::with_local_recorder(&self.present.recorder, || {
            for version in Version::BOTH {
                for known in upstreams.of(roles.section(version)) {
                    let endpoint = known.to_string();
                    let gauge = metrics::gauge!(ENDPOINT_HEALTHY, "version" => version.name(), "endpoint" => endpoint);
                    gauge.set(if known.takes_requests() { 1.0 } else { 0.0 });
                }
            }
        });
        if changed {
            self.exposition.present.store(Arc::new(self.present.recorder.handle()));
        }
    }
}

impl Present {
    pub(super) fn of(roles: Roles, upstreams: Arc<Upstreams>, named: Option<Named>) -> Present {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::describe_gauge!(
                ENDPOINT_HEALTHY,
                "1 while an endpoint takes requests, 0 while it is ejected or fails its checks"
            );
            metrics::describe_gauge!(RELEASE, "1; the service, what blue and green are called, and the epoch");
            let Some(Named { service, versions: ByVersion { blue, green }, epoch }) = named.clone() else { return };
            let epoch = epoch.to_string();
            metrics::gauge!(RELEASE, "service" => service, "blue" => blue, "green" => green, "epoch" => epoch).set(1.0);
        });
        Present { recorder, roles, upstreams, named }
    }
}
