//! `POST /v1/signals/{name}`: what alert managers and synthetic tests tell.

use std::collections::BTreeMap;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::Context;
use super::body::{Unread, typed};
use super::changes::{Answer, Caller};
use super::problem::Problem;
use crate::control::command::Change;
use crate::gate::signal::{Posted, Posting};
use crate::live::Addresses;

/// An alert manager groups many alerts in one post.
pub(super) const BODY_BYTES: usize = 1024 * 1024;

/// A name is a label in status and sentences.
const LONGEST_NAME: usize = 63;

/// Sentences are shown whole and kept with every decision.
const LONGEST_SENTENCE: usize = 500;

/// A post of our own kind.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Signal")]
#[serde(deny_unknown_fields)]
pub(super) struct Plain {
    state: Posting,
    /// What is told of it.
    #[serde(default)]
    reason: String,
}

/// What Prometheus' Alertmanager posts to a webhook, as far as it is of use here.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Webhook {
    /// Of the webhook's format: `4`.
    version: String,
    alerts: Vec<Alert>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Alert {
    status: Posting,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Either of them.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "SignalOrWebhook")]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is of interest")]
pub(super) enum Either {
    Signal(Plain),
    Webhook(Webhook),
}

const WEBHOOK_VERSION: &str = "4";

pub(super) async fn post(
    State(context): State<Context>,
    Caller { actor, seen }: Caller,
    signal: Result<Path<String>, PathRejection>,
    body: Unread,
) -> Answer {
    // What is no text is no name either.
    let signal = signal.map(|Path(signal)| signal).unwrap_or_default();
    if !is_name(&signal) {
        let detail = format!(
            "`{}` is not a name of a signal: at most {LONGEST_NAME} of a-z, 0-9 and -",
            shortened(&signal.escape_debug().to_string(), LONGEST_NAME)
        );
        return Err(Problem::field("name", detail));
    }
    let settings = context.settings();
    if !settings.signals.contains(&signal) {
        return Err(Problem::UnknownSignal { name: signal, known: settings.signals.clone() });
    }
    let (state, sentence) = posted(body.read()?)?;
    let sentence = match sentence.trim() {
        "" => format!("`{signal}` was posted by {actor}"),
        said => shortened(said, LONGEST_SENTENCE),
    };
    let posted = Posted { signal, state, sentence, actor };
    context.change(seen, Change::Signal(posted), Addresses::default()).await
}

pub(super) fn posted(body: Value) -> Result<(Posting, String), Problem> {
    if body.get("alerts").is_some() {
        return of_webhook(typed(body)?);
    }
    let Plain { state, reason } = typed(body)?;
    Ok((state, reason))
}

/// Any alert that fires makes the whole fire; what is said is said of the first.
fn of_webhook(webhook: Webhook) -> Result<(Posting, String), Problem> {
    let Webhook { version, alerts } = webhook;
    if version != WEBHOOK_VERSION {
        return Err(Problem::field("version", "only version \"4\" of Alertmanager's webhook is understood"));
    }
    let fires = alerts.iter().any(|alert| alert.status == Posting::Firing);
    let state = if fires { Posting::Firing } else { Posting::Resolved };
    let mut of_state = alerts.iter().filter(|alert| alert.status == state);
    let Some(first) = of_state.next() else { return Err(Problem::field("alerts", "there is none")) };
    let said = said(first).unwrap_or_default();
    Ok((
        state,
        match of_state.count() {
            0 => said,
            1 => format!("{said} (and 1 more alert)"),
            more => format!("{said} (and {more} more alerts)"),
        },
    ))
}

fn said(alert: &Alert) -> Option<String> {
    let Alert { labels, annotations, .. } = alert;
    let of =
        |from: &BTreeMap<String, String>, name: &str| from.get(name).filter(|text| !text.trim().is_empty()).cloned();
    of(annotations, "summary").or_else(|| of(annotations, "description")).or_else(|| of(labels, "alertname"))
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(plain)
}

pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
