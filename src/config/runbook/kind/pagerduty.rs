//! An event for PagerDuty.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::http::Json;
use super::telling;
use crate::config::raw::Mapping;
use crate::config::report::{Scope, Wrong};
use crate::config::runbook::template::{Markup, Template};
use crate::config::runbook::{Around, Moment};
use crate::config::secret::Secret;

#[derive(Clone, Debug, PartialEq)]
pub struct PagerDuty {
    pub url: String,
    pub routing_key: Secret,
    pub event: PagerEvent,
    pub severity: Severity,
    /// None: what happened, and why.
    pub summary: Option<Template>,
    /// What joins the facts that are told anyway.
    pub details: Json,
    /// None: one of the release.
    pub dedup_key: Option<Template>,
}

/// What is said of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PagerEvent {
    Trigger,
    Acknowledge,
    Resolve,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Critical,
    Error,
    Warning,
    Info,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawPagerDuty {
    url: Option<String>,
    routing_key: Option<String>,
    event: Option<String>,
    severity: Option<String>,
    summary: Option<String>,
    details: Option<Mapping<Map<String, Value>>>,
    dedup_key: Option<String>,
}

/// Of accounts in the United States; those of the European Union have `events.eu.pagerduty.com`.
const URL: &str = "https://events.pagerduty.com/v2/enqueue";

const EVENTS: &[(&str, PagerEvent)] =
    &[("trigger", PagerEvent::Trigger), ("acknowledge", PagerEvent::Acknowledge), ("resolve", PagerEvent::Resolve)];

const SEVERITIES: &[(&str, Severity)] = &[
    ("critical", Severity::Critical),
    ("error", Severity::Error),
    ("warning", Severity::Warning),
    ("info", Severity::Info),
];

impl PagerDuty {
    pub(super) fn needs(&self) -> BTreeSet<String> {
        telling::needs([&self.summary, &self.dedup_key]).into_iter().chain(self.details.needs()).collect()
    }
}

pub(in crate::config::runbook) fn pagerduty(
    scope: &mut Scope<'_, '_>,
    raw: RawPagerDuty,
    moment: Moment,
    around: &Around<'_>,
) -> Option<PagerDuty> {
    let url = telling::base(scope, ("url", raw.url), Some(URL));
    let routing_key = scope.required("routingKey", raw.routing_key, Ok);
    let routing_key = routing_key.and_then(|written| around.secret(scope, "routingKey", &written));
    let event = scope.optional("event", raw.event, usual(moment), telling::one_of("an event", EVENTS));
    let severity =
        scope.optional("severity", raw.severity, severity(moment), telling::one_of("a severity", SEVERITIES));
    let summary = telling::said(scope, ("summary", raw.summary), Markup::Plain, around);
    let dedup_key = telling::said(scope, ("dedupKey", raw.dedup_key), Markup::Plain, around);
    if let (Some(PagerEvent::Resolve | PagerEvent::Acknowledge), Some(_)) = (event, &raw.details) {
        scope.misplaced("details", Wrong::new("is for what triggers", "remove it"));
    }
    let details = telling::object(scope, ("details", raw.details.map(|details| details.0)), around);
    Some(PagerDuty {
        url: url?,
        routing_key: routing_key?,
        event: event?,
        severity: severity?,
        summary: summary?,
        details: details?,
        dedup_key: dedup_key?,
    })
}

/// What a moment says of the incident of its release, unless the runbook says it.
const fn usual(moment: Moment) -> PagerEvent {
    match moment {
        Moment::RolledBack
        | Moment::Paused
        | Moment::NotRecovered
        | Moment::BeforeStart
        | Moment::BeforeStep
        | Moment::BeforePromotion
        | Moment::First => PagerEvent::Trigger,
        Moment::Started | Moment::Promoted | Moment::Recovered => PagerEvent::Resolve,
    }
}

const fn severity(moment: Moment) -> Severity {
    match moment {
        Moment::NotRecovered => Severity::Critical,
        Moment::RolledBack | Moment::First => Severity::Error,
        Moment::Paused => Severity::Warning,
        Moment::Started
        | Moment::Promoted
        | Moment::Recovered
        | Moment::BeforeStart
        | Moment::BeforeStep
        | Moment::BeforePromotion => Severity::Info,
    }
}
