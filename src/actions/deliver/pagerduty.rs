//! PagerDuty by its Events API v2 (developer.pagerduty.com/docs/send-alert-event; the schema is PagerDuty/api-schema,
//! reference/events-v2/openapiv3.json). Whatever is said of one release has one key, so that what one action triggers another
//! resolves, also after a restart that has forgotten both.

use serde_json::{Map, Value, json};

use super::talk::talk;
use crate::actions::context::Context;
use crate::actions::exchange::{Answer, Next, Request};
use crate::actions::markup::{one_line, shortened};
use crate::actions::notice::Notice;
use crate::config::runbook::Unrendered;
use crate::config::runbook::kind::PagerDuty;
use crate::config::runbook::kind::pagerduty::{PagerEvent, Severity};

/// Of `payload.summary`, in characters.
const LONGEST_SUMMARY: usize = 1_024;

/// Of `dedup_key`.
const LONGEST_KEY: usize = 255;

pub(super) fn next(pagerduty: &PagerDuty, context: &Context, answers: &[Answer]) -> Result<Next, Unrendered> {
    talk(answers, |talk| {
        let key = dedup_key(pagerduty, context)?;
        let answer = talk.get(|| Ok(Request::post(&pagerduty.url)?.json(&event(pagerduty, &key, context)?)))?;
        let sentence = format!("PagerDuty took the {} ({})", pagerduty.event.name(), answer.status);
        Ok(Next::Delivered { sentence, remembered: [("dedupKey".to_owned(), key)].into() })
    })
}

fn dedup_key(pagerduty: &PagerDuty, context: &Context) -> Result<String, Unrendered> {
    let facts = &context.facts;
    let own = pagerduty.dedup_key.as_ref().map(|key| context.render(key)).transpose()?;
    Ok(shortened(&own.unwrap_or_else(|| format!("portcullis/{}/{}", facts.service, facts.release)), LONGEST_KEY))
}

/// The body of `POST /v2/enqueue`.
fn event(pagerduty: &PagerDuty, key: &str, context: &Context) -> Result<Value, Unrendered> {
    let mut body = json!({
        "routing_key": context.expose(&pagerduty.routing_key),
        "event_action": pagerduty.event.name(),
        "dedup_key": key,
    });
    if pagerduty.event != PagerEvent::Trigger {
        return Ok(body);
    }
    let notice = Notice::new(context);
    let summary = match &pagerduty.summary {
        Some(summary) => one_line(&context.render(summary)?),
        None => notice.line(),
    };
    body["payload"] = json!({
        "summary": shortened(&summary, LONGEST_SUMMARY),
        "source": context.facts.service,
        "severity": pagerduty.severity.name(),
        "timestamp": context.facts.at.to_string(),
        "component": context.facts.green,
        "group": context.facts.service,
        "class": context.facts.moment.name(),
        "custom_details": details(pagerduty, &notice, context)?,
    });
    body["client"] = json!("Portcullis");
    if let Some(link) = &notice.link {
        body["client_url"] = json!(link);
        body["links"] = json!([{ "href": link, "text": "Report" }]);
    }
    Ok(body)
}

fn details(pagerduty: &PagerDuty, notice: &Notice, context: &Context) -> Result<Value, Unrendered> {
    let facts = notice.facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
    let reason = ("Reason".to_owned(), json!(notice.reason));
    let own = context.json(&pagerduty.details)?;
    let own = own.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone()));
    Ok(Value::Object([reason].into_iter().chain(facts).chain(own).collect::<Map<String, Value>>()))
}

impl PagerEvent {
    const fn name(self) -> &'static str {
        match self {
            PagerEvent::Trigger => "trigger",
            PagerEvent::Acknowledge => "acknowledge",
            PagerEvent::Resolve => "resolve",
        }
    }
}

impl Severity {
    const fn name(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}
