//! A status at GitHub, of a deployment or a commit.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::telling;
use crate::config::quantity::quoted;
use crate::config::report::{Scope, Wrong};
use crate::config::runbook::Around;
use crate::config::runbook::template::{Markup, Template};
use crate::config::secret::Secret;
use crate::config::validate::label;

#[derive(Clone, Debug, PartialEq)]
pub struct GitHub {
    pub api: String,
    pub token: Secret,
    /// `owner/name`.
    pub repository: String,
    pub of: StatusOf,
    /// The commit, tag or branch that green was made of; none: green's version.
    pub reference: Option<Template>,
    pub environment: String,
    /// By which the statuses of a commit are told from each other; none: one of the service.
    pub context: Option<String>,
    /// None: what happened, and why.
    pub description: Option<Template>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusOf {
    Deployment,
    Commit,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawGitHub {
    api: Option<String>,
    token: Option<String>,
    repository: Option<String>,
    status: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    environment: Option<String>,
    context: Option<String>,
    description: Option<String>,
}

/// Enterprise Server has it at `https://HOST/api/v3`.
const API: &str = "https://api.github.com";

const STATUSES: &[(&str, StatusOf)] = &[("deployment", StatusOf::Deployment), ("commit", StatusOf::Commit)];

impl GitHub {
    pub(super) fn needs(&self) -> BTreeSet<String> {
        telling::needs([&self.reference, &self.description])
    }
}

pub(in crate::config::runbook) fn github(
    scope: &mut Scope<'_, '_>,
    raw: RawGitHub,
    around: &Around<'_>,
) -> Option<GitHub> {
    let api = telling::base(scope, ("api", raw.api), Some(API));
    let token = scope.required("token", raw.token, Ok).and_then(|written| around.secret(scope, "token", &written));
    let repository = scope.required("repository", raw.repository, repository);
    let of = telling::one_of("what has a status", STATUSES);
    let of = scope.optional("status", raw.status, StatusOf::Deployment, of);
    let elsewhere = match of {
        Some(StatusOf::Deployment) => raw.context.is_some().then_some(("context", "a commit")),
        Some(StatusOf::Commit) => raw.environment.is_some().then_some(("environment", "a deployment")),
        None => None,
    };
    if let Some((key, what)) = elsewhere {
        scope.misplaced(key, Wrong::new(format!("is for the status of {what}"), "remove it"));
    }
    let reference = telling::said(scope, ("ref", raw.reference), Markup::Plain, around);
    let environment = scope.optional("environment", raw.environment, "production".to_owned(), label);
    let context = scope.optional("context", raw.context, None, |text| label(text).map(Some));
    let description = telling::said(scope, ("description", raw.description), Markup::Plain, around);
    Some(GitHub {
        api: api?,
        token: token?,
        repository: repository?,
        of: of?,
        reference: reference?,
        environment: environment?,
        context: context?,
        description: description?,
    })
}

fn repository(text: String) -> Result<String, Wrong> {
    let is_word = |part: &str| telling::word("")(part.to_owned()).is_ok() && !part.bytes().all(|byte| byte == b'.');
    match text.split_once('/') {
        Some((owner, name)) if is_word(owner) && is_word(name) => Ok(text),
        _ => Err(Wrong::new(format!("{} is not a repository", quoted(&text)), "write `owner/name`")),
    }
}
