//! A card in a channel of Teams, by a webhook of Workflows.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{http, telling};
use crate::config::report::Scope;
use crate::config::runbook::template::{Markup, Template};
use crate::config::runbook::{Around, Text};

#[derive(Clone, Debug, PartialEq)]
pub struct Teams {
    pub url: Text,
    /// None: what happened.
    pub title: Option<Template>,
    /// None: why, and what else there is to know.
    pub text: Option<Template>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawTeams {
    url: Option<String>,
    title: Option<String>,
    text: Option<String>,
}

impl Teams {
    pub(super) fn needs(&self) -> BTreeSet<String> {
        self.url.needs().into_iter().chain(telling::needs([&self.title, &self.text])).collect()
    }
}

pub(in crate::config::runbook) fn teams(
    scope: &mut Scope<'_, '_>,
    raw: RawTeams,
    around: &Around<'_>,
) -> Option<Teams> {
    let url = http::url(scope, raw.url, around);
    let title = telling::said(scope, ("title", raw.title), Markup::Markdown, around);
    let text = telling::said(scope, ("text", raw.text), Markup::Markdown, around);
    Some(Teams { url: url?, title: title?, text: text? })
}
