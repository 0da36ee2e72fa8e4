//! An annotation in Grafana.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::telling;
use crate::config::quantity::{count, quoted};
use crate::config::raw::{Count, Element};
use crate::config::report::{Scope, Wrong};
use crate::config::runbook::Around;
use crate::config::runbook::template::{Markup, Template};
use crate::config::secret::Secret;

#[derive(Clone, Debug, PartialEq)]
pub struct Grafana {
    pub url: String,
    pub token: Secret,
    /// The uid of the one dashboard that shows it; none: all that ask for its tags.
    pub dashboard: Option<String>,
    pub panel: Option<u64>,
    pub tags: Vec<String>,
    /// None: what happened, and why.
    pub text: Option<Template>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawGrafana {
    url: Option<String>,
    token: Option<String>,
    dashboard: Option<String>,
    panel: Option<Count>,
    tags: Option<Vec<Element<String>>>,
    text: Option<String>,
}

const MOST_TAGS: usize = 32;

impl Grafana {
    pub(super) fn needs(&self) -> BTreeSet<String> {
        telling::needs([&self.text])
    }
}

pub(in crate::config::runbook) fn grafana(
    scope: &mut Scope<'_, '_>,
    raw: RawGrafana,
    around: &Around<'_>,
) -> Option<Grafana> {
    let url = telling::base(scope, ("url", raw.url), None);
    let token = scope.required("token", raw.token, Ok).and_then(|written| around.secret(scope, "token", &written));
    let uid = |text: String| telling::word("the uid of a dashboard")(text).map(Some);
    let dashboard = scope.optional("dashboard", raw.dashboard, None, uid);
    if raw.panel.is_some() && matches!(dashboard, Some(None)) {
        scope.misplaced("panel", Wrong::new("is part of no dashboard", "add `dashboard`"));
    }
    let panel = scope.optional("panel", raw.panel, None, |raw| count(0..=i64::MAX)(raw).map(Some));
    let tags = telling::list(scope, ("tags", raw.tags.unwrap_or_default()), MOST_TAGS, tag);
    // Grafana shows HTML, of which it takes out what would run.
    let text = telling::said(scope, ("text", raw.text), Markup::Mrkdwn, around);
    Some(Grafana { url: url?, token: token?, dashboard: dashboard?, panel: panel?, tags: tags?, text: text? })
}

fn tag(text: String) -> Result<String, Wrong> {
    if text.trim().is_empty() || text.chars().count() > 100 {
        return Err(Wrong::new(format!("{} is not a tag", quoted(&text)), "1 to 100 characters"));
    }
    Ok(text)
}
