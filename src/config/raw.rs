//! The files as they are written: every key optional, so that validation finds all that are missing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::runbook::RawRunbook;
use super::validate::RawFirst;

mod choosing;
mod value;
mod version;

pub(super) use choosing::{RawClientKey, RawCohort, RawIssue, RawOverride, RawSent, RawSticky};
pub(super) use value::{Count, Mapping, Quantity, Switch};
pub(super) use version::{RawHealthCheck, RawService, RawVersion};

/// An element of a list; none when the element had a fault of its own.
pub(super) type Element<T> = Option<T>;

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawConfig {
    pub(super) service: Option<String>,
    #[schemars(required)]
    pub(super) listen: Option<String>,
    pub(super) workers: Option<Count>,
    #[schemars(required)]
    pub(super) admin: Option<Mapping<RawAdmin>>,
    #[schemars(required)]
    pub(super) blue: Option<Mapping<RawVersion>>,
    #[schemars(required)]
    pub(super) green: Option<Mapping<RawVersion>>,
    pub(super) trusted_proxies: Option<Vec<Element<String>>>,
    pub(super) proxy_protocol: Option<Mapping<RawProxyProtocol>>,
    pub(super) timeouts: Option<Mapping<RawTimeouts>>,
    pub(super) limits: Option<Mapping<RawLimits>>,
    pub(super) rate_limit: Option<Mapping<RawRateLimit>>,
    pub(super) ejection: Option<Mapping<RawEjection>>,
    pub(super) drain: Option<Mapping<RawDrain>>,
    pub(super) after_rollback: Option<Mapping<RawAfterRollback>>,
    pub(super) tls: Option<Mapping<RawTls>>,
    pub(super) http2: Option<Switch<RawHttp2>>,
    pub(super) access_log: Option<Switch<RawAccessLog>>,
    pub(super) request_id: Option<bool>,
    pub(super) tracing: Option<Mapping<RawTracing>>,
    pub(super) release: Option<Mapping<RawRelease>>,
    pub(super) gate: Option<Mapping<RawGate>>,
    pub(super) sticky: Option<Mapping<RawSticky>>,
    pub(super) shield: Option<Switch<RawShield>>,
    pub(super) routes: Option<Vec<Element<Mapping<RawRoute>>>>,
    pub(super) mirror: Option<Mapping<RawMirror>>,
    pub(super) cohorts: Option<Vec<Element<Mapping<RawCohort>>>>,
    #[serde(rename = "override")]
    pub(super) overriding: Option<Mapping<RawOverride>>,
    pub(super) resolver: Option<Mapping<RawResolver>>,
    pub(super) journal: Option<Mapping<RawJournal>>,
    pub(super) runbook: Option<Mapping<RawRunbook>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawAdmin {
    #[schemars(required)]
    pub(super) listen: Option<String>,
    pub(super) tokens: Option<String>,
    pub(super) tls: Option<Mapping<RawTls>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawProxyProtocol {
    pub(super) from: Option<Vec<Element<String>>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTimeouts {
    pub(super) connect: Option<Quantity>,
    pub(super) request_head: Option<Quantity>,
    pub(super) response_head: Option<Quantity>,
    pub(super) body_idle: Option<Quantity>,
    pub(super) keep_alive: Option<Quantity>,
    pub(super) tunnel_idle: Option<Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawLimits {
    pub(super) connections: Option<Count>,
    pub(super) head_bytes: Option<Quantity>,
    pub(super) head_fields: Option<Count>,
    pub(super) target_bytes: Option<Quantity>,
    pub(super) response_head_bytes: Option<Quantity>,
    pub(super) request_body_bytes: Option<Quantity>,
    pub(super) request_body_rate: Option<Quantity>,
    pub(super) memory_bytes: Option<Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawRateLimit {
    pub(super) requests: Option<Count>,
    pub(super) per: Option<Quantity>,
    pub(super) burst: Option<Count>,
    pub(super) by: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawEjection {
    pub(super) failures: Option<Count>,
    pub(super) duration: Option<Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawDrain {
    pub(super) wait: Option<Quantity>,
    pub(super) deadline: Option<Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawAfterRollback {
    pub(super) drain: Option<Quantity>,
    pub(super) watch: Option<Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawRelease {
    pub(super) steps: Option<Vec<Element<Mapping<RawStep>>>>,
    pub(super) budget: Option<Count>,
    pub(super) initial_delay: Option<Quantity>,
    pub(super) progress_deadline: Option<Quantity>,
    pub(super) monitoring: Option<Quantity>,
    pub(super) on_low_traffic: Option<String>,
    pub(super) irreversible: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawHttp2 {
    pub(super) max_concurrent_streams: Option<Count>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawAccessLog {
    pub(super) format: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTracing {
    pub(super) propagate: Option<bool>,
    pub(super) service_name: Option<String>,
    pub(super) otlp: Option<Mapping<RawOtlp>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawOtlp {
    pub(super) endpoint: Option<String>,
    pub(super) headers: Option<Mapping<BTreeMap<String, String>>>,
    pub(super) sample: Option<Quantity>,
    pub(super) timeout: Option<Quantity>,
    pub(super) ca: Option<String>,
}

/// What a request says of the plan of its release.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTerms {
    pub(super) plan: Option<Mapping<RawRelease>>,
    pub(super) irreversible: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawStep {
    pub(super) weight: Option<Quantity>,
    pub(super) mirror: Option<Quantity>,
    pub(super) cohort: Option<String>,
    pub(super) bake: Option<Quantity>,
    pub(super) approval: Option<Switch<RawApproval>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawApproval {
    pub(super) within: Option<Quantity>,
    pub(super) otherwise: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawGate {
    pub(super) minimum_requests: Option<Count>,
    pub(super) exclude: Option<Vec<Element<String>>>,
    pub(super) failure_statuses: Option<Vec<Element<Quantity>>>,
    pub(super) not_failures: Option<Vec<Element<Quantity>>>,
    pub(super) grpc_failure_statuses: Option<Vec<Element<Quantity>>>,
    pub(super) warm_up: Option<Mapping<RawWarmUp>>,
    pub(super) client_share: Option<Quantity>,
    pub(super) learn_routes: Option<Count>,
    pub(super) compare: Option<Mapping<RawCompare>>,
    pub(super) triggers: Option<Vec<Element<Mapping<RawTrigger>>>>,
    pub(super) mirror: Option<Mapping<RawMirrorGate>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawMirrorGate {
    pub(super) minimum_requests: Option<Count>,
    pub(super) triggers: Option<Vec<Element<Mapping<RawTrigger>>>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTrigger {
    pub(super) name: Option<String>,
    pub(super) metric: Option<String>,
    pub(super) quantile: Option<Quantity>,
    pub(super) measure: Option<String>,
    pub(super) above: Option<Quantity>,
    pub(super) below: Option<Quantity>,
    pub(super) above_blue: Option<Quantity>,
    pub(super) at_least: Option<Count>,
    pub(super) floor: Option<Quantity>,
    pub(super) window: Option<Quantity>,
    pub(super) sustained: Option<Quantity>,
    pub(super) interval: Option<Quantity>,
    pub(super) failure_limit: Option<Count>,
    pub(super) consecutive_limit: Option<Count>,
    pub(super) minimum_requests: Option<Count>,
    pub(super) confirm: Option<String>,
    pub(super) signal: Option<String>,
    pub(super) action: Option<String>,
    pub(super) first: Option<Mapping<RawFirst>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawWarmUp {
    pub(super) time: Option<Quantity>,
    pub(super) requests: Option<Count>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawCompare {
    pub(super) enabled: Option<bool>,
    pub(super) false_alarm: Option<Quantity>,
    pub(super) ratio: Option<Quantity>,
    pub(super) margin: Option<Quantity>,
    pub(super) slower: Option<Quantity>,
    pub(super) unacceptable: Option<Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawShield {
    pub(super) methods: Option<Vec<Element<String>>>,
    pub(super) grpc: Option<Vec<Element<String>>>,
    pub(super) budget: Option<Quantity>,
    pub(super) after: Option<Quantity>,
    pub(super) body_bytes: Option<Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawRoute {
    pub(super) name: Option<String>,
    pub(super) hosts: Option<Vec<Element<String>>>,
    pub(super) paths: Option<Vec<Element<String>>>,
    pub(super) methods: Option<Vec<Element<String>>>,
    pub(super) pin: Option<String>,
    pub(super) exclude: Option<bool>,
    pub(super) rollback: Option<String>,
    pub(super) timeouts: Option<Mapping<RawRouteTimeouts>>,
    pub(super) shield: Option<Switch<RawRouteShield>>,
    pub(super) triggers: Option<Vec<Element<Mapping<RawTrigger>>>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawRouteShield {
    pub(super) methods: Option<Vec<Element<String>>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawRouteTimeouts {
    pub(super) connect: Option<Quantity>,
    pub(super) response_head: Option<Quantity>,
    pub(super) body_idle: Option<Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawMirror {
    pub(super) share: Option<Quantity>,
    pub(super) max_requests: Option<Count>,
    pub(super) response_body_bytes: Option<Quantity>,
    pub(super) timeout: Option<Quantity>,
    pub(super) shadow_host: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawResolver {
    pub(super) nameservers: Option<Vec<Element<String>>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawJournal {
    pub(super) age: Option<Quantity>,
    pub(super) size: Option<Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTokens {
    pub(super) tokens: Option<Vec<Element<Mapping<RawToken>>>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawToken {
    pub(super) name: Option<String>,
    pub(super) role: Option<String>,
    pub(super) sha256: Option<String>,
    pub(super) token: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTls {
    pub(super) certificates: Option<Vec<Element<Mapping<RawCertificate>>>>,
    pub(super) min_version: Option<Quantity>,
    pub(super) client_ca: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawUpstreamTls {
    pub(super) ca: Option<String>,
    pub(super) server_name: Option<String>,
    pub(super) cert: Option<String>,
    pub(super) key: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawCertificate {
    pub(super) cert: Option<String>,
    pub(super) key: Option<String>,
}
