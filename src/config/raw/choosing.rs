//! Who gets which version, and which of its endpoints.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Element, Mapping, Quantity, Switch};

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawSticky {
    pub(in crate::config) cookie: Option<String>,
    pub(in crate::config) header: Option<String>,
    pub(in crate::config) address: Option<bool>,
    pub(in crate::config) issue: Option<Switch<RawIssue>>,
}

/// Of what has no keys beside these.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawClientKey {
    pub(in crate::config) cookie: Option<String>,
    pub(in crate::config) header: Option<String>,
    pub(in crate::config) address: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawIssue {
    pub(in crate::config) max_age: Option<Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawOverride {
    pub(in crate::config) header: Option<String>,
    pub(in crate::config) cookie: Option<String>,
    pub(in crate::config) from: Option<Vec<Element<String>>>,
    pub(in crate::config) secret: Option<String>,
    pub(in crate::config) streak: Option<bool>,
    pub(in crate::config) triggers: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawCohort {
    pub(in crate::config) name: Option<String>,
    pub(in crate::config) header: Option<Mapping<RawSent>>,
    pub(in crate::config) cookie: Option<Mapping<RawSent>>,
    pub(in crate::config) from: Option<Vec<Element<String>>>,
    pub(in crate::config) paths: Option<Vec<Element<String>>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawSent {
    pub(in crate::config) name: Option<String>,
    pub(in crate::config) values: Option<Vec<Element<String>>>,
}
