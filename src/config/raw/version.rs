//! A version as it is written: where it is reached, and how.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Count, Element, Mapping, Quantity, RawClientKey, RawUpstreamTls};

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawVersion {
    #[schemars(required)]
    pub(in crate::config) version: Option<String>,
    pub(in crate::config) endpoints: Option<Vec<Element<String>>>,
    pub(in crate::config) service: Option<Mapping<RawService>>,
    pub(in crate::config) deployment: Option<String>,
    pub(in crate::config) version_label: Option<String>,
    pub(in crate::config) max_requests: Option<Count>,
    pub(in crate::config) max_weight: Option<Quantity>,
    pub(in crate::config) ramp: Option<Quantity>,
    pub(in crate::config) proxy_protocol: Option<String>,
    pub(in crate::config) health_check: Option<Mapping<RawHealthCheck>>,
    pub(in crate::config) tls: Option<Mapping<RawUpstreamTls>>,
    pub(in crate::config) protocol: Option<String>,
    pub(in crate::config) balance: Option<Mapping<RawClientKey>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawService {
    #[schemars(required)]
    pub(in crate::config) name: Option<String>,
    pub(in crate::config) port: Option<Quantity>,
    pub(in crate::config) labels: Option<Mapping<BTreeMap<String, String>>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawHealthCheck {
    pub(in crate::config) path: Option<String>,
    pub(in crate::config) tcp: Option<bool>,
    pub(in crate::config) interval: Option<Quantity>,
    pub(in crate::config) timeout: Option<Quantity>,
    pub(in crate::config) healthy_after: Option<Count>,
    pub(in crate::config) unhealthy_after: Option<Count>,
}
