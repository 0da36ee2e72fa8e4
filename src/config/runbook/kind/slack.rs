//! A message to Slack.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{http, telling};
use crate::config::quantity::quoted;
use crate::config::report::{Scope, Wrong};
use crate::config::runbook::template::{Markup, Template};
use crate::config::runbook::{Around, Text};
use crate::config::secret::Secret;

#[derive(Clone, Debug, PartialEq)]
pub struct Slack {
    pub to: SlackTo,
    /// None: what happened, why and what else there is to know.
    pub text: Option<Template>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SlackTo {
    /// The address of an incoming webhook.
    Webhook(Text),
    Channel(Channel),
}

/// A channel that an app of the workspace writes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    pub api: String,
    pub token: Secret,
    /// Its id or name.
    pub channel: String,
    pub placed: Placed,
}

/// Where a message stands that is not the first one of its release in the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// In the thread of the first one.
    Thread,
    /// There, and in the channel as well.
    ThreadAndChannel,
    Channel,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawSlack {
    url: Option<String>,
    token: Option<String>,
    channel: Option<String>,
    api: Option<String>,
    thread: Option<bool>,
    broadcast: Option<bool>,
    text: Option<String>,
}

const API: &str = "https://slack.com/api";

impl Slack {
    pub(super) fn needs(&self) -> BTreeSet<String> {
        let url = match &self.to {
            SlackTo::Webhook(url) => url.needs(),
            SlackTo::Channel(_) => BTreeSet::new(),
        };
        url.into_iter().chain(telling::needs([&self.text])).collect()
    }
}

pub(in crate::config::runbook) fn slack(
    scope: &mut Scope<'_, '_>,
    raw: RawSlack,
    around: &Around<'_>,
) -> Option<Slack> {
    let text = telling::said(scope, ("text", raw.text.clone()), Markup::Mrkdwn, around);
    let is_spoiled = |key: &str| scope.report.is_spoiled(&scope.at.key(key));
    let by_webhook = raw.url.is_some() || is_spoiled("url") || (raw.token.is_none() && !is_spoiled("token"));
    let to = if by_webhook { webhook(scope, raw, around) } else { channel(scope, raw, around).map(SlackTo::Channel) };
    Some(Slack { to: to?, text: text? })
}

fn webhook(scope: &mut Scope<'_, '_>, raw: RawSlack, around: &Around<'_>) -> Option<SlackTo> {
    let others = [
        ("token", raw.token.is_some()),
        ("channel", raw.channel.is_some()),
        ("api", raw.api.is_some()),
        ("thread", raw.thread.is_some()),
        ("broadcast", raw.broadcast.is_some()),
    ];
    for (key, _) in others.into_iter().filter(|(_, written)| *written) {
        let label = "remove one: an incoming webhook knows its channel, and `token` with `channel` writes to any";
        scope.misplaced(key, Wrong::new("is not for an incoming webhook", label));
    }
    http::url(scope, raw.url, around).map(SlackTo::Webhook)
}

fn channel(scope: &mut Scope<'_, '_>, raw: RawSlack, around: &Around<'_>) -> Option<Channel> {
    let token = raw.token.and_then(|written| around.secret(scope, "token", &written));
    let channel = scope.required("channel", raw.channel, |text| match text.trim() {
        name if name.is_empty() || name.contains(char::is_whitespace) => Err(Wrong::new(
            format!("{} is not a channel", quoted(&text)),
            "write its id, or its name like `\"#releases\"`",
        )),
        name => Ok(name.to_owned()),
    });
    let api = telling::base(scope, ("api", raw.api), Some(API));
    if raw.thread == Some(false) && raw.broadcast == Some(true) {
        scope.misplaced(
            "broadcast",
            Wrong::new("shows what is in a thread, and `thread` is off", "remove one of the two"),
        );
    }
    let placed = match (raw.thread.unwrap_or(true), raw.broadcast.unwrap_or(false)) {
        (true, false) => Placed::Thread,
        (true, true) => Placed::ThreadAndChannel,
        (false, _) => Placed::Channel,
    };
    Some(Channel { api: api?, token: token?, channel: channel?, placed })
}
