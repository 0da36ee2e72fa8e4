//! Requests by what they came to, and by route where a configuration names routes.

use std::collections::{HashMap, VecDeque};

use metrics::{Counter, Label};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{GRPC_REQUESTS, NO_VERSION, REQUESTS};
use crate::gate::route::OTHER;
use crate::gate::{GrpcStatus, Outcome, RouteMark, Routes, Version};
use crate::measure::shard::Count;

/// Their counters, each made when there is something to count.
#[derive(Default)]
pub(super) struct Requests {
    all: HashMap<(Option<Version>, Option<RouteMark>, Outcome, u16), Counter>,
    grpc: HashMap<(Option<Version>, GrpcStatus), Counter>,
    /// Of the last editions, the newest first.
    names: VecDeque<(u16, Routes)>,
}

/// What began under an edition before these is counted as on no route.
const EDITIONS: usize = 8;

impl Requests {
    pub(super) fn follow_routes(&mut self, edition: u16, routes: &Routes) {
        self.all.retain(|(_, route, _, _), _| route.is_none());
        self.names.push_front((edition, routes.clone()));
        self.names.truncate(EDITIONS);
    }

    pub(super) fn count(&mut self, recorder: &PrometheusRecorder, count: &Count) {
        let Count { version, route, outcome, status, grpc, requests } = *count;
        let Requests { all, grpc: of_grpc, names } = self;
        let name = version.map_or(NO_VERSION, Version::name);
        let counter = all.entry((version, route, outcome, status)).or_insert_with(|| {
            let mut labels = vec![
                Label::from_static_parts("version", name),
                Label::from_static_parts("outcome", outcome.name()),
                Label::new("code", status.to_string()),
            ];
            labels.extend(route.map(|route| Label::new("route", name_of(names, route).to_owned())));
            metrics::with_local_recorder(recorder, || metrics::counter!(REQUESTS, labels))
        });
        counter.increment(requests);
        let Some(grpc) = grpc else { return };
        let counter = of_grpc.entry((version, grpc)).or_insert_with(|| {
            metrics::with_local_recorder(
                recorder,
                || metrics::counter!(GRPC_REQUESTS, "version" => name, "grpc_code" => grpc.name()),
            )
        });
        counter.increment(requests);
    }
}

fn name_of(names: &VecDeque<(u16, Routes)>, route: RouteMark) -> &str {
    let routes = names.iter().find(|(edition, _)| *edition == route.edition);
    routes.map_or(OTHER, |(_, routes)| routes.name(route.number))
}
