//! An issue in Jira, created once and then kept up to date.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::http::Json;
use super::telling;
use crate::config::quantity::{duration, quoted};
use crate::config::raw::{Element, Mapping, Quantity};
use crate::config::report::{Scope, Wrong};
use crate::config::runbook::Around;
use crate::config::runbook::template::{Markup, Template};
use crate::config::secret::Secret;
use crate::config::validate::label;

#[derive(Clone, Debug, PartialEq)]
pub struct Jira {
    pub url: String,
    pub api: JiraApi,
    /// Whose the token is; none: the token says it (Data Center).
    pub user: Option<String>,
    pub token: Secret,
    pub project: String,
    pub issue_type: String,
    /// Which of a release's issues; none: the one that all share that say nothing.
    pub issue: Option<String>,
    /// None: what happened.
    pub summary: Option<Template>,
    /// Of a new issue; none: trigger, versions, steps taken, status.
    pub description: Option<Template>,
    /// Of an issue that is there; none: what happened since.
    pub comment: Option<Template>,
    pub labels: Vec<String>,
    /// What else an issue is created with, as the API has it.
    pub fields: Json,
    /// By its name, or that of the status that it leads to.
    pub transition: Option<String>,
    /// From the moment on, until things are expected to be well.
    pub eta: Option<Duration>,
}

/// Which version of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JiraApi {
    /// Texts are wiki markup.
    V2,
    /// Texts are documents.
    V3,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawJira {
    url: Option<String>,
    api: Option<String>,
    user: Option<String>,
    token: Option<String>,
    project: Option<String>,
    issue_type: Option<String>,
    issue: Option<String>,
    summary: Option<String>,
    description: Option<String>,
    comment: Option<String>,
    labels: Option<Vec<Element<String>>>,
    fields: Option<Mapping<Map<String, Value>>>,
    transition: Option<String>,
    eta: Option<Quantity>,
}

const APIS: &[(&str, JiraApi)] = &[("v2", JiraApi::V2), ("v3", JiraApi::V3)];
const MOST_LABELS: usize = 32;
const ETA: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 3600);

impl Jira {
    pub(super) fn needs(&self) -> BTreeSet<String> {
        let texts = telling::needs([&self.summary, &self.description, &self.comment]);
        texts.into_iter().chain(self.fields.needs()).collect()
    }
}

pub(in crate::config::runbook) fn jira(scope: &mut Scope<'_, '_>, raw: RawJira, around: &Around<'_>) -> Option<Jira> {
    let url = telling::base(scope, ("url", raw.url), None);
    let api = scope.optional("api", raw.api, JiraApi::V3, telling::one_of("a version of the API", APIS));
    let user = scope.optional("user", raw.user, None, |text| user(text).map(Some));
    let token = scope.required("token", raw.token, Ok).and_then(|written| around.secret(scope, "token", &written));
    let project = scope.required("project", raw.project, telling::word("the key of a project"));
    let issue_type = scope.optional("issueType", raw.issue_type, "Task".to_owned(), label);
    let issue = scope.optional("issue", raw.issue, None, |text| telling::word("a name for an issue")(text).map(Some));
    let markup = if api == Some(JiraApi::V2) { Markup::Wiki } else { Markup::Plain };
    let summary = telling::said(scope, ("summary", raw.summary), Markup::Plain, around);
    let description = telling::said(scope, ("description", raw.description), markup, around);
    let comment = telling::said(scope, ("comment", raw.comment), markup, around);
    let labels = telling::list(scope, ("labels", raw.labels.unwrap_or_default()), MOST_LABELS, word);
    let fields = telling::object(scope, ("fields", raw.fields.map(|fields| fields.0)), around);
    let transition = scope.optional("transition", raw.transition, None, |text| label(text).map(Some));
    let eta = scope.optional("eta", raw.eta, None, |quantity| duration(ETA)(quantity).map(Some));
    Some(Jira {
        url: url?,
        api: api?,
        user: user?,
        token: token?,
        project: project?,
        issue_type: issue_type?,
        issue: issue?,
        summary: summary?,
        description: description?,
        comment: comment?,
        labels: labels?,
        fields: fields?,
        transition: transition?,
        eta: eta?,
    })
}

fn user(text: String) -> Result<String, Wrong> {
    if text.is_empty() || text.contains(':') {
        return Err(Wrong::new(format!("{} is not a user", quoted(&text)), "write an email address or a name"));
    }
    Ok(text)
}

fn word(text: String) -> Result<String, Wrong> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(Wrong::new(format!("{} is not a label", quoted(&text)), "write a word without spaces"));
    }
    Ok(text)
}
