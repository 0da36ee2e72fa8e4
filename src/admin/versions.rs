//! What changes the versions: a release that names its green, the endpoints of a version, the configuration read again.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
#[cfg(feature = "fuzzing")]
use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::Context;
use super::body::{Perhaps, Unread};
use super::changes::{Answer, Caller, Shown};
use super::problem::Problem;
use crate::config::{self, Endpoint};
use crate::control::command::{Again, Candidate, Change, NewEndpoints, NewRelease};
use crate::gate::Version;

/// Room for as many endpoints as a version may have.
pub(super) const BODY_BYTES: usize = 512 * 1024;

/// A release that is to begin.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "StartRelease")]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    /// Without one the green that the file declares is released.
    green: Option<Green>,
    /// Without one the plan of the file holds. An object, as the value of `release` there.
    #[schemars(extend("examples" = [{ "steps": [{ "weight": "10%", "bake": "10m" }] }]))]
    plan: Option<Value>,
    /// Text: why a rollback of this release would do harm.
    irreversible: Option<Value>,
    /// The version is the last that was rolled back, and is to be released all the same.
    #[serde(default)]
    again: bool,
    /// Recorded with the change.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    reason: String,
}

/// The version that is to be released.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Green {
    version: String,
    /// Where it is reached, as in a configuration.
    #[schemars(length(max = 1000))]
    endpoints: Vec<String>,
}

/// All endpoints of a version from here on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoints {
    /// As in a configuration.
    #[schemars(length(max = 1000))]
    endpoints: Vec<String>,
    /// Recorded with the change.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    reason: String,
}

pub(super) async fn start(
    State(context): State<Context>,
    Caller { actor, seen }: Caller,
    Perhaps(start): Perhaps<Start>,
) -> Answer {
    let Start { green, plan, irreversible, again, reason } = start;
    let settings = context.settings();
    let terms = config::terms(plan, irreversible, &settings.policy, settings.max_weight);
    let terms = terms.map_err(|faults| Problem::Plan { faults })?;
    let (green, found) = match green {
        None => (None, context.lookups.of(&settings.green).await),
        Some(Green { version, endpoints }) => {
            let version = config::version_name(&version).map_err(|wrong| Problem::field("green.version", wrong))?;
            let endpoints = authorities("green.endpoints", &endpoints)?;
            let again = if again { Again::Yes } else { Again::No };
            let found = context.lookups.of(&endpoints).await;
            (Some(Candidate { version, endpoints, again }), found)
        }
    };
    let change = Change::Release(NewRelease { green, terms, actor, reason });
    context.change(seen, change, found).await
}

pub(super) async fn set_endpoints(
    State(context): State<Context>,
    Caller { actor, seen }: Caller,
    version: Result<Path<String>, PathRejection>,
    body: Unread,
) -> Answer {
    let name = version.map(|Path(name)| name).unwrap_or_default();
    let version = Version::BOTH.into_iter().find(|version| version.name() == name);
    let version = version.ok_or(Problem::UnknownVersion(name))?;
    let Endpoints { endpoints, reason } = body.read()?;
    let endpoints = authorities("endpoints", &endpoints)?;
    let found = context.lookups.of(&endpoints).await;
    let change = Change::Endpoints(NewEndpoints { version, endpoints, actor, reason });
    context.change(seen, change, found).await
}

pub(super) async fn reload(State(context): State<Context>, Caller { actor, seen }: Caller) -> Answer {
    Ok(Shown(context.reloading.reload_if(seen, &actor).await?))
}

/// Whether a body starts a release, or names endpoints, and what it names can be used or is refused by name.
#[cfg(feature = "fuzzing")]
pub(super) fn fuzzed(headers: &HeaderMap, bytes: &[u8]) -> bool {
    let start = super::body::parse::<Start>(headers, bytes);
    let endpoints = super::body::parse::<Endpoints>(headers, bytes);
    let taken = start.is_ok() || endpoints.is_ok();
    if let Ok(Start { green, plan, irreversible, .. }) = start {
        config::terms(plan, irreversible, &crate::gate::Policy::default(), crate::release::Weight::FULL).ok();
        if let Some(Green { version, endpoints }) = green {
            config::version_name(&version).ok();
            authorities("green.endpoints", &endpoints).ok();
        }
    }
    if let Ok(Endpoints { endpoints, .. }) = endpoints {
        authorities("endpoints", &endpoints).ok();
    }
    taken
}

fn authorities(key: &str, texts: &[String]) -> Result<Vec<Endpoint>, Problem> {
    let mut endpoints = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let key = || format!("{key}[{index}]");
        let endpoint = config::endpoint(text).map_err(|wrong| Problem::field(key(), wrong))?;
        if endpoints.contains(&endpoint) {
            return Err(Problem::field(key(), format!("`{endpoint}` is in the list already: remove it")));
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}
