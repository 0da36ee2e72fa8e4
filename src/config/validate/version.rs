//! One version: its name, its endpoints, how they are checked and how they are connected to.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Cluster, NamedFiles, health, service, sticky, transport};
use crate::config::path::FieldPath;
use crate::config::quantity::{self, quoted};
use crate::config::raw::{Mapping, Quantity, RawVersion};
use crate::config::report::{Report, Scope, Wrong};
use crate::config::{Endpoint, ProxyProtocol, VersionConfig};
use crate::gate::{ByVersion, Version};
use crate::release::Weight;

const MOST_ENDPOINTS: usize = 1000;
/// A bound that holds for longer is `maxRequests`.
const RAMPS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);
const MOST_REQUESTS: i64 = 10_000_000;

/// Blue and green; none of what is at fault.
pub(super) fn both(
    root: &mut Scope<'_, '_>,
    blue: Option<Mapping<RawVersion>>,
    green: Option<Mapping<RawVersion>>,
    files: NamedFiles<'_>,
) -> ByVersion<Option<VersionConfig>> {
    let written = |raw: &Option<Mapping<RawVersion>>| raw.as_ref().and_then(|raw| raw.0.version.clone());
    if let (Some(blue), Some(green)) = (written(&blue), written(&green))
        && blue == green
    {
        let message = format!("{} is blue's version too", quoted(&green));
        root.key("green").wrong("version", Wrong::new(message, "two versions have two names"));
    }
    let blue = match blue {
        Some(blue) => version(&mut root.key("blue"), blue.0, Version::Blue, files),
        None => root.missing("blue"),
    };
    let green = match green {
        Some(green) => version(&mut root.key("green"), green.0, Version::Green, files),
        None => root.missing("green"),
    };
    if let (Some(blue), Some(green)) = (&blue, &green) {
        shared(root.report, blue, green);
    }
    ByVersion { blue, green }
}

fn version(scope: &mut Scope<'_, '_>, raw: RawVersion, of: Version, files: NamedFiles<'_>) -> Option<VersionConfig> {
    let version = scope.required("version", raw.version, super::label);
    let cluster = match files {
        NamedFiles::In(vault) => vault.cluster,
        // What is only recorded was right where it was read.
        NamedFiles::Unread => Cluster::Watched,
    };
    if raw.endpoints.is_some() && raw.service.is_some() {
        let label = "a version has one of them: its pods, or a list";
        scope.misplaced("service", Wrong::new("is written beside `endpoints`", label));
    }
    let endpoints = match raw.endpoints {
        None if raw.service.is_some() => raw.service.and_then(|raw| service::endpoints(scope, raw, cluster)),
        // Green may not run yet; without blue there is nothing to fall back to.
        Some(endpoints) if endpoints.is_empty() && of == Version::Blue => {
            scope.wrong("endpoints", Wrong::new("is empty", "blue has at least one endpoint, like `127.0.0.1:9001`"));
            None
        }
        Some(endpoints) => self::endpoints(scope, endpoints),
        None => scope.missing("endpoints"),
    };
    let deployment = service::deployment(scope, raw.deployment, raw.version_label, cluster);
    let health_check = raw.health_check.and_then(|raw| health::check(&mut scope.key("healthCheck"), raw.0));
    let max_requests = scope.optional("maxRequests", raw.max_requests, None, |count| {
        quantity::count(1..=MOST_REQUESTS)(count).map(|count| NonZeroUsize::new(count as usize))
    });
    let max_weight = max_weight(scope, raw.max_weight, of);
    if raw.ramp.is_some() && of == Version::Green {
        scope.misplaced("ramp", Wrong::new("is blue's alone", "green gets more by its weight"));
    }
    let ramp = scope.optional("ramp", raw.ramp, None, |raw| quantity::duration(RAMPS)(raw).map(Some));
    let proxy_protocol = scope.optional("proxyProtocol", raw.proxy_protocol, None, |text| match text.as_str() {
        "v1" => Ok(Some(ProxyProtocol::V1)),
        "v2" => Ok(Some(ProxyProtocol::V2)),
        _ => Err(Wrong::new(format!("{} is no version of it", quoted(&text)), "write `v1` or `v2`")),
    });
    if proxy_protocol.is_some_and(|told| told.is_some()) && raw.protocol.as_deref() == Some("http2") {
        let label = "a connection by HTTP/2 carries the requests of many clients";
        scope.wrong("proxyProtocol", Wrong::new("is for connections of one client", label));
    }
    let balance = match raw.balance {
        Some(raw) => sticky::client_key(&mut scope.key("balance"), raw.0).map(Some),
        None => Some(None),
    };
    let transport = transport::transport(scope, raw.tls, raw.protocol, endpoints.as_deref().unwrap_or_default(), files);
    let (version, endpoints, max_requests, transport, balance) =
        (version?, endpoints?, max_requests?, transport?.telling(proxy_protocol?), balance?);
    let (max_weight, ramp, deployment) = (max_weight?, ramp?, deployment.ok()?);
    Some(VersionConfig {
        version,
        endpoints,
        deployment,
        max_requests,
        max_weight,
        ramp,
        health_check,
        transport,
        balance,
    })
}

fn max_weight(scope: &mut Scope<'_, '_>, raw: Option<Quantity>, of: Version) -> Option<Weight> {
    if raw.is_some() && of == Version::Blue {
        scope.misplaced("maxWeight", Wrong::new("is green's alone", "blue has whatever green has not"));
        return None;
    }
    scope.optional("maxWeight", raw, Weight::FULL, |raw| match quantity::weight(raw)? {
        Weight::ZERO => Err(Wrong::new("`0%` gives green no traffic", "write what green can carry, like `25%`")),
        weight => Ok(weight),
    })
}

/// Warns of endpoints that stand in both versions. Both lists are as they were written.
fn shared(report: &mut Report<'_>, blue: &VersionConfig, green: &VersionConfig) {
    let place = |version: &str, index| FieldPath::default().key(version).key("endpoints").index(index);
    for (index, endpoint) in green.endpoints.iter().enumerate() {
        let Some(other) = blue.endpoints.iter().position(|other| other == endpoint) else { continue };
        let line = report.line(&place("blue", other)).map_or(String::new(), |line| format!(" on line {line}"));
        let message = format!("`{endpoint}` is an endpoint of blue too{line}");
        let label = "what it does is charged to both versions, so that neither can be told from the other by it";
        report.warn(place("green", index), Wrong::new(message, label));
    }
}

fn endpoints(scope: &mut Scope<'_, '_>, raw: Vec<Option<String>>) -> Option<Vec<Endpoint>> {
    super::too_many(scope, "endpoints", raw.len(), MOST_ENDPOINTS)?;
    let mut list = scope.key("endpoints");
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for (index, text) in raw.into_iter().enumerate() {
        let Some(text) = text else { continue };
        let wrong = match quantity::endpoint(&text) {
            Ok(authority) if !endpoints.contains(&authority) => {
                endpoints.push(authority);
                continue;
            }
            Ok(_) => Wrong::new(format!("{} is in the list already", quoted(&text)), "remove it"),
            Err(wrong) => wrong,
        };
        list.wrong_element(index, wrong);
    }
    Some(endpoints)
}
