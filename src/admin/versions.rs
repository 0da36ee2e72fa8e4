//! What changes the versions: a release that names its green, the endpoints of a version, the configuration read again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::Context;
use super::access::Actor;
use super::api::{Answer, json_or_nothing, json_within};
use super::problem::Problem;
use crate::config::{self, Endpoint};
use crate::control::command::{Again, Candidate, Change, NewEndpoints, NewRelease};
use crate::control::status::Status;
use crate::gate::Version;

/// Room for as many endpoints as a version may have.
const BODY_BYTES: usize = 512 * 1024;

/// As many as a configuration may name.
const MOST_ENDPOINTS: usize = 1_000;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    /// Without one the green that the file declares is released.
    green: Option<Green>,
    /// Without one the plan of the file holds.
    plan: Option<Value>,
    /// Why a rollback of this release would do harm.
    irreversible: Option<Value>,
    /// The version is the last that was rolled back, and is to be released all the same.
    #[serde(default)]
    again: bool,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Green {
    version: String,
    endpoints: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoints {
    endpoints: Vec<String>,
    #[serde(default)]
    reason: String,
}

pub(super) async fn start(
    State(context): State<Context>,
    Extension(Actor(actor)): Extension<Actor>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let Start { green, plan, irreversible, again, reason } = json_or_nothing(BODY_BYTES, &headers, body).await?;
    let settings = context.settings();
    let terms = config::terms(plan, irreversible, &settings.policy, settings.max_weight);
    let terms = terms.map_err(|faults| Problem::Plan { faults })?;
    let (green, found) = match green {
        None => (None, context.lookups.of(&settings.green).await),
        Some(Green { version, endpoints }) => {
            let version = config::version_name(&version).map_err(|wrong| field("green.version", &wrong))?;
            let endpoints = authorities("green.endpoints", &endpoints)?;
            let again = if again { Again::Yes } else { Again::No };
            let found = context.lookups.of(&endpoints).await;
            (Some(Candidate { version, endpoints, again }), found)
        }
    };
    let change = Change::Release(NewRelease { green, terms, actor, reason });
    Ok(Json(context.commands.send_knowing(change, found).await?))
}

pub(super) async fn set_endpoints(
    State(context): State<Context>,
    Extension(Actor(actor)): Extension<Actor>,
    version: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let name = version.map(|Path(name)| name).unwrap_or_default();
    let version = Version::BOTH.into_iter().find(|version| version.name() == name);
    let version = version.ok_or(Problem::UnknownVersion(name))?;
    let Endpoints { endpoints, reason } = json_within(BODY_BYTES, &headers, body).await?;
    let endpoints = authorities("endpoints", &endpoints)?;
    let found = context.lookups.of(&endpoints).await;
    let change = Change::Endpoints(NewEndpoints { version, endpoints, actor, reason });
    Ok(Json(context.commands.send_knowing(change, found).await?))
}

pub(super) async fn reload(
    State(context): State<Context>,
    Extension(Actor(actor)): Extension<Actor>,
) -> Result<Json<Arc<Status>>, Problem> {
    Ok(Json(context.reloading.reload(&actor).await?))
}

/// Whether a body starts a release, or names endpoints, and what it names can be used or is refused by name.
#[cfg(feature = "fuzzing")]
pub(super) fn fuzzed(headers: &HeaderMap, bytes: &[u8]) -> bool {
    let start = super::api::parse::<Start>(headers, bytes);
    let endpoints = super::api::parse::<Endpoints>(headers, bytes);
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
    if texts.len() > MOST_ENDPOINTS {
        return Err(field(key, &format!("has {} entries, and {MOST_ENDPOINTS} are the most", texts.len())));
    }
    let mut endpoints = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let key = format!("{key}[{index}]");
        let endpoint = config::endpoint(text).map_err(|wrong| field(&key, &wrong))?;
        if endpoints.contains(&endpoint) {
            return Err(field(&key, &format!("`{endpoint}` is in the list already: remove it")));
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

fn field(field: &str, wrong: &str) -> Problem {
    Problem::Field { field: field.to_owned(), detail: format!("{field}: {wrong}") }
}
