//! Metric names, labels and label values, and the handles that the control thread feeds. Logs are set up here too.

mod counted;
mod describe;
mod log;
mod present;
mod ramp;
mod reloads;
mod requests;
mod rollbacks;
mod test;
mod told;

use std::sync::Arc;

use arc_swap::ArcSwap;
use metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::gate::compare::Summary;
use crate::gate::exposure::Harm;
use crate::gate::{Action, ByVersion, Kind, Latency, Policy, Routes, Version};
use crate::live::{Addresses, Stage, Upstreams};
use crate::measure::shard::Count;
use crate::measure::{Compared, Copied, Gauges, Handshake, Overridden, ProxyHeader, Shard, Shed, Shielded};
use crate::release::Weight;
use crate::release::input::{NOTIFYING, RESERVED};
use crate::release::state::STATE_NAMES;
use crate::routing::Roles;
use crate::spans;

use present::Present;
use ramp::Ramp;
use requests::Requests;
use rollbacks::TakenBack;
use test::Test;

pub use log::{logs, warn};
pub use present::Named;
pub use reloads::Reloads;

const REQUESTS: &str = "portcullis_requests_total";
const GRPC_REQUESTS: &str = "portcullis_grpc_requests_total";
const REQUEST_SECONDS: &str = "portcullis_request_duration_seconds";
const HEAD_SECONDS: &str = "portcullis_response_head_seconds";
const CONNECT_SECONDS: &str = "portcullis_upstream_connect_seconds";
const WEIGHT: &str = "portcullis_weight_ratio";
const STATE: &str = "portcullis_release_state";
const STEP: &str = "portcullis_release_step";
const STEPS: &str = "portcullis_release_steps";
const VERDICT: &str = "portcullis_verdict";
const TAKEN_BACK: &str = "portcullis_route_taken_back";
const EVIDENCE: &str = "portcullis_comparison_evidence";
const HARMED: &str = "portcullis_release_harmed_requests";
const BUDGET: &str = "portcullis_release_budget_requests";
const ROLLBACKS: &str = "portcullis_rollbacks_total";
const REACTION_SECONDS: &str = "portcullis_rollback_reaction_seconds";
const NOTIFICATIONS: &str = "portcullis_notifications_total";
const ACTIONS: &str = "portcullis_action_total";
const IN_FLIGHT: &str = "portcullis_inflight_requests";
const CONNECTIONS: &str = "portcullis_connections";
const RELOADS: &str = "portcullis_config_reload_total";
const LAST_RELOAD: &str = "portcullis_config_last_reload_success_timestamp_seconds";
const HANDSHAKES: &str = "portcullis_tls_handshakes_total";
const PROXY_HEADERS: &str = "portcullis_proxy_protocol_headers_total";
const SPANS: &str = "portcullis_trace_spans_total";
const MEMORY: &str = "portcullis_memory_bytes";
const MEMORY_BOUND: &str = "portcullis_memory_limit_bytes";
const OVERLOAD: &str = "portcullis_overload_stage";
const SHED: &str = "portcullis_overload_refused_total";
const SHIELDED: &str = "portcullis_shielded_total";
const UNSHIELDED: &str = "portcullis_unshielded_total";
const MIRRORED: &str = "portcullis_mirrored_total";
const MIRROR_COMPARED: &str = "portcullis_mirror_compared_total";
const MIRROR_HEAD_SECONDS: &str = "portcullis_mirror_response_head_seconds";
const COHORT_REQUESTS: &str = "portcullis_cohort_requests_total";
const OVERRIDES: &str = "portcullis_overrides_total";
const PANICS: &str = "portcullis_panics_total";
const JOURNAL_ERRORS: &str = "portcullis_journal_errors_total";
const BUILD: &str = "portcullis_build_info";

/// The label value of requests that no version served.
const NO_VERSION: &str = "none";

/// Upper edges in seconds. Close together around the bounds that people set.
const LATENCY_BUCKETS: [f64; 24] = [
    0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0,
    1.5, 2.5, 5.0, 10.0, 30.0, 60.0,
];

const REACTION_BUCKETS: [f64; 9] = [0.000_001, 0.000_005, 0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.01, 0.1];

/// The exporter and its handles. Only the control thread writes.
pub struct Telemetry {
    recorder: PrometheusRecorder,
    handles: Handles,
    requests: Requests,
    present: Present,
    taken_back: TakenBack,
    exposition: Exposition,
}

/// For the scrape.
#[derive(Clone)]
pub struct Exposition {
    most: PrometheusHandle,
    present: Arc<ArcSwap<PrometheusHandle>>,
}

/// Made once, so that no tick looks a metric up by its name.
struct Handles {
    request_seconds: ByVersion<Histogram>,
    head_seconds: ByVersion<Histogram>,
    connect_seconds: ByVersion<Histogram>,
    weight: ByVersion<Gauge>,
    states: [(&'static str, Gauge); STATE_NAMES.len()],
    step: Gauge,
    steps: Gauge,
    verdicts: [(Kind, Gauge); Kind::ALL.len()],
    evidence: [(Test, Gauge); Test::ALL.len()],
    harmed: Gauge,
    budget: Gauge,
    reaction: Histogram,
    in_flight: ByVersion<Gauge>,
    client_connections: Gauge,
    upstream_connections: Gauge,
    handshakes: [(Handshake, Counter); Handshake::ALL.len()],
    proxy_headers: [(ProxyHeader, Counter); ProxyHeader::ALL.len()],
    memory: Gauge,
    memory_bound: Gauge,
    overload: [(Stage, Gauge); Stage::ALL.len()],
    shed: [(Shed, Counter); Shed::OVERLOAD.len()],
    ramp: Ramp,
    shielded: [(Shielded, Counter); Shielded::ALL.len()],
    mirrored: [(Copied, Counter); Copied::ALL.len()],
    mirror_compared: [(Compared, Counter); Compared::ALL.len()],
    mirror_head_seconds: Histogram,
    overrides: [(Overridden, Counter); Overridden::ALL.len()],
    panics: Counter,
    journal_errors: Counter,
}

impl Telemetry {
    pub fn new(policy: &Policy) -> Result<Telemetry, BuildError> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(REQUEST_SECONDS.to_owned()), &LATENCY_BUCKETS)?
            .set_buckets_for_metric(Matcher::Full(HEAD_SECONDS.to_owned()), &LATENCY_BUCKETS)?
            .set_buckets_for_metric(Matcher::Full(MIRROR_HEAD_SECONDS.to_owned()), &LATENCY_BUCKETS)?
            .set_buckets_for_metric(Matcher::Full(CONNECT_SECONDS.to_owned()), &LATENCY_BUCKETS)?
            .set_buckets_for_metric(Matcher::Full(REACTION_SECONDS.to_owned()), &REACTION_BUCKETS)?
            .build_recorder();
        let handles = metrics::with_local_recorder(&recorder, || Handles::new(policy));
        let none = Arc::new(Upstreams::new(ByVersion { blue: &[], green: &[] }, &Addresses::default()));
        let present = Present::of(Roles::default(), none, None);
        let shown = Arc::new(ArcSwap::from_pointee(present.recorder.handle()));
        let exposition = Exposition { most: recorder.handle(), present: shown };
        Ok(Telemetry {
            recorder,
            handles,
            requests: Requests::default(),
            present,
            taken_back: TakenBack::default(),
            exposition,
        })
    }

    pub fn exposition(&self) -> Exposition {
        self.exposition.clone()
    }

    /// The start counts as the first success.
    pub fn reloads(&self) -> Reloads {
        metrics::with_local_recorder(&self.recorder, || {
            let result = |result: &'static str| metrics::counter!(RELOADS, "result" => result);
            let last_success = metrics::gauge!(LAST_RELOAD);
            let reloads = Reloads { successes: result("success"), failures: result("failure"), last_success };
            reloads.loaded_now();
            reloads
        })
    }

    /// Sorts what was recorded into the buckets. Call it now and then, also when nobody scrapes.
    pub fn upkeep(&self) {
        self.recorder.handle().run_upkeep();
    }

    pub fn count(&mut self, count: &Count) {
        self.requests.count(&self.recorder, count);
    }

    /// The routes of the configuration from here on.
    pub fn routes(&mut self, edition: u16, routes: &Routes) {
        self.requests.follow_routes(edition, routes);
    }

    /// What clients saw of each version, and what connections to its endpoints took.
    pub fn latencies(&self, shard: &Shard) {
        for version in Version::BOTH {
            for part in [&shard.samples, &shard.shown_only, &shard.aside] {
                let sample = part.of(version);
                feed(self.handles.head_seconds.of(version), &sample.evidence.latency);
                feed(self.handles.request_seconds.of(version), &sample.whole);
            }
            feed(self.handles.connect_seconds.of(version), shard.connects.of(version));
        }
    }

    /// What the process has, what it may have, and what follows from it; no bound is shown as infinity.
    pub fn memory(&self, used: u64, bound: Option<u64>, present: Stage) {
        self.handles.memory.set(used as f64);
        self.handles.memory_bound.set(bound.map_or(f64::INFINITY, |bound| bound as f64));
        for (stage, gauge) in &self.handles.overload {
            gauge.set(if *stage == present { 1.0 } else { 0.0 });
        }
    }

    /// For whoever sends spans.
    pub fn spans(&self) -> spans::Counts {
        metrics::with_local_recorder(&self.recorder, || {
            let result = |result: &'static str| metrics::counter!(SPANS, "result" => result);
            spans::Counts {
                exported: result("exported"),
                rejected: result("rejected"),
                failed: result("failed"),
                dropped: result("dropped"),
            }
        })
    }

    pub fn panics(&self, panics: u64) {
        self.handles.panics.increment(panics);
    }

    pub fn weight(&self, weight: Weight) {
        self.handles.weight.green.set(weight.ratio());
        self.handles.weight.blue.set(1.0 - weight.ratio());
    }

    pub fn state(&self, present: &str) {
        for (name, gauge) in &self.handles.states {
            gauge.set(if *name == present { 1.0 } else { 0.0 });
        }
    }

    /// Which step of the plan the release is in, from 1, and of how many, the one at 100 % among them; none are shown as 0.
    pub fn step(&self, step: Option<usize>, steps: Option<usize>) {
        self.handles.step.set(step.unwrap_or(0) as f64);
        self.handles.steps.set(steps.unwrap_or(0) as f64);
    }

    pub fn verdict(&self, present: Kind) {
        for (kind, gauge) in &self.handles.verdicts {
            gauge.set(if *kind == present { 1.0 } else { 0.0 });
        }
    }

    /// What the comparison of the open release has gathered; none is shown as no evidence, 0.
    pub fn evidence(&self, summary: Option<&Summary>) {
        for (test, gauge) in &self.handles.evidence {
            gauge.set(summary.map_or(0.0, |summary| test.ln_evidence(summary)));
        }
    }

    /// Of the release that is open, where it has an exposure budget.
    pub fn exposure(&self, harm: Option<Harm>) {
        self.handles.harmed.set(harm.map_or(0.0, |harm| harm.harmed as f64));
        self.handles.budget.set(harm.map_or(0.0, |harm| harm.budget as f64));
    }

    pub fn journal_failed(&self) {
        self.handles.journal_errors.increment(1);
    }

    pub fn open(&self, gauges: &Gauges) {
        for version in Version::BOTH {
            self.handles.in_flight.of(version).set(f64::from(*gauges.in_flight.of(version)));
        }
        self.handles.client_connections.set(f64::from(gauges.client_connections));
        self.handles.upstream_connections.set(f64::from(gauges.upstream_connections));
    }
}

impl Exposition {
    pub fn render(&self) -> String {
        self.most.render() + &self.present.load().render()
    }
}

impl Handles {
    fn new(policy: &Policy) -> Handles {
        describe::describe();
        let histograms = |name: &'static str| ByVersion::build(|v| metrics::histogram!(name, "version" => v.name()));
        let gauges = |name: &'static str| ByVersion::build(|v| metrics::gauge!(name, "version" => v.name()));
        // Counters that start at 0, so that increase() sees the first time.
        let own = RESERVED.map(|name| (name, Action::Rollback)).into_iter();
        let own = own.chain(NOTIFYING.map(|name| (name, Action::Notify)));
        for (trigger, action) in policy.actions().chain(policy.mirror_actions()).chain(own) {
            match action {
                Action::Rollback => metrics::counter!(ROLLBACKS, "trigger" => trigger.to_owned()).absolute(0),
                Action::Notify => metrics::counter!(NOTIFICATIONS, "trigger" => trigger.to_owned()).absolute(0),
                Action::Pause => {}
            }
        }
        metrics::gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Handles {
            request_seconds: histograms(REQUEST_SECONDS),
            head_seconds: histograms(HEAD_SECONDS),
            connect_seconds: histograms(CONNECT_SECONDS),
            weight: gauges(WEIGHT),
            states: STATE_NAMES.map(|name| (name, metrics::gauge!(STATE, "state" => name))),
            step: metrics::gauge!(STEP),
            steps: metrics::gauge!(STEPS),
            harmed: metrics::gauge!(HARMED),
            budget: metrics::gauge!(BUDGET),
            evidence: Test::ALL.map(|test| (test, metrics::gauge!(EVIDENCE, "test" => test.name()))),
            verdicts: Kind::ALL.map(|kind| (kind, metrics::gauge!(VERDICT, "kind" => kind.name()))),
            reaction: metrics::histogram!(REACTION_SECONDS),
            in_flight: gauges(IN_FLIGHT),
            client_connections: metrics::gauge!(CONNECTIONS, "side" => "client"),
            upstream_connections: metrics::gauge!(CONNECTIONS, "side" => "upstream"),
            handshakes: Handshake::ALL.map(|end| (end, metrics::counter!(HANDSHAKES, "result" => end.name()))),
            proxy_headers: ProxyHeader::ALL.map(|end| (end, metrics::counter!(PROXY_HEADERS, "result" => end.name()))),
            memory: metrics::gauge!(MEMORY),
            memory_bound: metrics::gauge!(MEMORY_BOUND),
            overload: Stage::ALL.map(|stage| (stage, metrics::gauge!(OVERLOAD, "stage" => stage.name()))),
            ramp: Ramp::new(),
            shed: Shed::OVERLOAD.map(|what| (what, metrics::counter!(SHED, "what" => what.name()))),
            shielded: Shielded::ALL.map(|end| {
                let counter = match end.reason() {
                    None => metrics::counter!(SHIELDED),
                    Some(reason) => metrics::counter!(UNSHIELDED, "reason" => reason),
                };
                (end, counter)
            }),
            mirrored: Copied::ALL.map(|came| (came, metrics::counter!(MIRRORED, "outcome" => came.name()))),
            mirror_compared: Compared::ALL
                .map(|found| (found, metrics::counter!(MIRROR_COMPARED, "result" => found.name()))),
            mirror_head_seconds: metrics::histogram!(MIRROR_HEAD_SECONDS),
            overrides: Overridden::ALL.map(|came| (came, metrics::counter!(OVERRIDES, "result" => came.name()))),
            panics: metrics::counter!(PANICS),
            journal_errors: metrics::counter!(JOURNAL_ERRORS),
        }
    }
}

fn feed(histogram: &Histogram, latency: &Latency) {
    for (upper_edge, count) in latency.buckets() {
        histogram.record_many(upper_edge.as_secs_f64(), usize::try_from(count).unwrap_or(usize::MAX));
    }
}
