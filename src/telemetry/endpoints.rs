//! What is shown of endpoints, and the scrape of that and the rest.

use std::sync::Arc;

use arc_swap::ArcSwap;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::ENDPOINT_HEALTHY;
use crate::live::Upstreams;
use crate::routing::Roles;

/// An exporter of its own: what it once showed it shows for ever, and an endpoint that has left, or is the other
/// version's by now, would go on.
pub(super) struct Endpoints {
    pub(super) recorder: PrometheusRecorder,
    pub(super) roles: Roles,
    pub(super) upstreams: Arc<Upstreams>,
}

/// For the scrape.
#[derive(Clone)]
pub struct Exposition {
    pub(super) most: PrometheusHandle,
    pub(super) endpoints: Arc<ArcSwap<PrometheusHandle>>,
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

impl Exposition {
    pub fn render(&self) -> String {
        self.most.render() + &self.endpoints.load().render()
    }
}
