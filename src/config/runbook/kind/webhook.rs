//! A message that its receiver can tell is ours, by Standard Webhooks.

use std::collections::{BTreeMap, BTreeSet};

use ::http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::http::{self, Json};
use crate::config::raw::Mapping;
use crate::config::report::{Scope, Wrong};
use crate::config::runbook::{Around, Text};

#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    pub url: Text,
    pub headers: Vec<(HeaderName, Text)>,
    /// What it is signed by; none: it is not.
    pub key: Option<SigningKey>,
    /// What `data` says; none: all facts.
    pub data: Option<Json>,
}

/// The bytes of a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(pub(crate) Vec<u8>);

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawWebhook {
    pub(in crate::config) url: Option<String>,
    pub(in crate::config) headers: Option<Mapping<BTreeMap<String, String>>>,
    pub(in crate::config) secret: Option<String>,
    pub(in crate::config) data: Option<Value>,
}

/// Bytes that a secret has at least and at most (Standard Webhooks, "Signature scheme").
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

impl Webhook {
    pub(super) fn needs(&self) -> BTreeSet<String> {
        let headers = self.headers.iter().flat_map(|(_, value)| value.needs());
        let data = self.data.iter().flat_map(Json::needs);
        self.url.needs().into_iter().chain(headers).chain(data).collect()
    }
}

/// Without the bytes.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKey").finish_non_exhaustive()
    }
}

pub(in crate::config::runbook) fn webhook(
    scope: &mut Scope<'_, '_>,
    raw: RawWebhook,
    around: &Around<'_>,
) -> Option<Webhook> {
    let url = http::url(scope, raw.url, around);
    let headers = http::headers(scope, raw.headers.unwrap_or_default().0, around);
    let key = match raw.secret {
        Some(written) => key(scope, &written, around).map(Some),
        None => (!scope.report.is_spoiled(&scope.at.key("secret"))).then_some(None),
    };
    let data = match raw.data {
        Some(value) => http::json(scope, "data", value, around).map(Some),
        None => Some(None),
    };
    Some(Webhook { url: url?, headers: headers?, key: key?, data: data? })
}

fn key(scope: &mut Scope<'_, '_>, written: &str, around: &Around<'_>) -> Option<SigningKey> {
    let secret = around.secret(scope, "secret", written)?;
    let text = secret.expose();
    let bytes = data_encoding::BASE64.decode(text.strip_prefix("whsec_").unwrap_or(text).as_bytes()).ok();
    let Some(bytes) = bytes.filter(|bytes| KEY_BYTES.contains(&bytes.len())) else {
        let label = "make one with `echo whsec_$(head -c 32 /dev/urandom | base64)`";
        scope.wrong("secret", Wrong::new("is not 24 to 64 bytes in base64 after `whsec_`", label));
        return None;
    };
    Some(SigningKey(bytes))
}
