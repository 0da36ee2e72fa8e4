//! An event by CloudEvents, of the types that CDEvents has.

use std::collections::{BTreeMap, BTreeSet};

use ::http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{http, telling};
use crate::config::raw::Mapping;
use crate::config::report::{Scope, Wrong};
use crate::config::runbook::template::{Markup, Template};
use crate::config::runbook::{Around, Moment, Text};

#[derive(Clone, Debug, PartialEq)]
pub struct CloudEvents {
    pub url: Text,
    pub headers: Vec<(HeaderName, Text)>,
    pub mode: EventMode,
    pub kind: EventType,
    /// Where the event comes from, a URI reference; none: the service of this proxy.
    pub source: Option<Template>,
    pub environment: String,
    /// A package URL of the version that runs after the event; none: a generic one of the service and the version.
    pub artifact: Option<Template>,
}

/// How an event travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventMode {
    /// Its attributes are headers.
    Binary,
    /// It is one document.
    Structured,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    Deployed,
    Upgraded,
    RolledBack,
    IncidentDetected,
    IncidentResolved,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawCloudEvents {
    url: Option<String>,
    headers: Option<Mapping<BTreeMap<String, String>>>,
    mode: Option<String>,
    source: Option<String>,
    environment: Option<String>,
    artifact: Option<String>,
}

const MODES: &[(&str, EventMode)] = &[("binary", EventMode::Binary), ("structured", EventMode::Structured)];

impl CloudEvents {
    pub(super) fn needs(&self) -> BTreeSet<String> {
        let headers = self.headers.iter().flat_map(|(_, value)| value.needs());
        self.url.needs().into_iter().chain(headers).chain(telling::needs([&self.source, &self.artifact])).collect()
    }
}

pub(in crate::config::runbook) fn cloudevents(
    scope: &mut Scope<'_, '_>,
    raw: RawCloudEvents,
    moment: Moment,
    around: &Around<'_>,
) -> Option<CloudEvents> {
    let url = http::url(scope, raw.url, around);
    let headers = http::headers(scope, raw.headers.unwrap_or_default().0, around);
    let mode = scope.optional("mode", raw.mode, EventMode::Binary, telling::one_of("a mode", MODES));
    let source = telling::said(scope, ("source", raw.source), Markup::Plain, around);
    let environment =
        scope.optional("environment", raw.environment, "production".to_owned(), crate::config::validate::label);
    let artifact = telling::said(scope, ("artifact", raw.artifact), Markup::Plain, around);
    let kind = kind(moment);
    if kind.is_none() {
        let message = format!("there is no type of event for `{}`", moment.name());
        scope.wrong_here(Wrong::new(message, "CDEvents has one for what has happened, and none for what may"));
    }
    Some(CloudEvents {
        url: url?,
        headers: headers?,
        mode: mode?,
        kind: kind?,
        source: source?,
        environment: environment?,
        artifact: artifact?,
    })
}

const fn kind(moment: Moment) -> Option<EventType> {
    Some(match moment {
        Moment::Started => EventType::Deployed,
        Moment::Promoted => EventType::Upgraded,
        Moment::RolledBack => EventType::RolledBack,
        Moment::Paused | Moment::NotRecovered | Moment::First => EventType::IncidentDetected,
        Moment::Recovered => EventType::IncidentResolved,
        Moment::BeforeStart | Moment::BeforeStep | Moment::BeforePromotion => return None,
    })
}
