//! Slack: by an incoming webhook (docs.slack.dev/messaging/sending-messages-using-incoming-webhooks) or, with a token, by
//! `chat.postMessage` (docs.slack.dev/reference/methods/chat.postmessage), which tells where the message stands: the later
//! ones of a release go into its thread.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::talk::{Halt, Talk, talk};
use crate::actions::context::Context;
use crate::actions::exchange::{Answer, Next, Request, retry_after};
use crate::actions::markup::{mrkdwn, shortened};
use crate::actions::notice::{Notice, Tone};
use crate::config::runbook::Unrendered;
use crate::config::runbook::kind::slack::{Channel, Placed, Slack, SlackTo};

/// Of a section block (docs.slack.dev/reference/block-kit/blocks/section-block).
const LONGEST_SECTION: usize = 3_000;

/// As Slack advises for `text`; it cuts at ten times that.
const LONGEST_TEXT: usize = 4_000;

/// What `chat.postMessage` answers where the same may be taken later.
const PASSING: [&str; 6] =
    ["ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"];

pub(super) fn next(slack: &Slack, context: &Context, answers: &[Answer]) -> Result<Next, Unrendered> {
    talk(answers, |talk| match &slack.to {
        SlackTo::Webhook(url) => {
            let answer = talk.get(|| Ok(Request::post(&context.fill(url)?)?.json(&message(slack, context)?)))?;
            let sentence = format!("the webhook answered {}", answer.status);
            Ok(Next::Delivered { sentence, remembered: BTreeMap::new() })
        }
        SlackTo::Channel(channel) => post(slack, channel, context, talk),
    })
}

fn post(slack: &Slack, channel: &Channel, context: &Context, talk: &mut Talk<'_>) -> Result<Next, Halt> {
    let name = &channel.channel;
    let first = context
        .earlier
        .iter()
        .filter(|earlier| earlier.kind == "slack" && earlier.values.get("channel") == Some(name))
        .find_map(|earlier| earlier.values.get("ts"))
        .filter(|_| channel.placed != Placed::Channel);
    let answer = talk.get(|| {
        let mut message = message(slack, context)?;
        message["channel"] = json!(name);
        if let Some(first) = first {
            message["thread_ts"] = json!(first);
            message["reply_broadcast"] = json!(channel.placed == Placed::ThreadAndChannel);
        }
        let request = Request::post(&format!("{}/chat.postMessage", channel.api))?;
        Ok(request.bearer(&context.expose(&channel.token))?.json(&message))
    })?;
    let said = answer.json().unwrap_or_default();
    match (said["ok"].as_bool(), said["ts"].as_str(), said["error"].as_str()) {
        (Some(true), Some(ts), _) => {
            // Where the first one is remembered, the later ones are not needed.
            let ts = first.map_or(ts, String::as_str);
            let remembered =
                [("channel", name.as_str()), ("ts", ts)].map(|(key, value)| (key.to_owned(), value.to_owned()));
            let place = if first.is_some() { "in the thread of the release" } else { "" };
            let sentence = format!("posted to {name} {place}").trim_end().to_owned();
            Ok(Next::Delivered { sentence, remembered: remembered.into() })
        }
        (_, _, Some(error)) if PASSING.contains(&error) => {
            Ok(Next::Retry { why: format!("Slack says {error}"), after: retry_after(&answer.headers) })
        }
        (_, _, Some(error)) => Ok(Next::Failed { why: format!("Slack says {error}") }),
        _ => {
            Ok(Next::Failed { why: format!("the answer was {}, and is not Slack's: {}", answer.status, answer.said()) })
        }
    }
}

/// What a message is, wherever it goes: a text of the runbook's own, or the notice laid out.
fn message(slack: &Slack, context: &Context) -> Result<Value, Unrendered> {
    let notice = Notice::new(context);
    Ok(match &slack.text {
        Some(text) => json!({ "text": shortened(&context.render(text)?, LONGEST_TEXT), "unfurl_links": false }),
        None => json!({ "text": fallback(&notice), "blocks": blocks(&notice), "unfurl_links": false }),
    })
}

/// For notifications and screen readers.
fn fallback(notice: &Notice) -> String {
    format!("{} {}", sign(notice.tone), mrkdwn(&notice.line()))
}

fn blocks(notice: &Notice) -> Value {
    let headline = format!("{} *{}*", sign(notice.tone), mrkdwn(&notice.headline));
    let happened = format!("{headline}\n{}", mrkdwn(&notice.reason));
    let named = |(name, value): &(&str, String)| format!("*{name}:* {}", mrkdwn(value));
    let mut facts: Vec<String> = notice.facts.iter().map(named).collect();
    facts.extend(notice.link.as_ref().map(|link| format!("<{}|Report>", mrkdwn(link))));
    let section = |text: String| {
        let text = shortened(&text, LONGEST_SECTION);
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
    };
    json!([section(happened.trim_end().to_owned()), section(facts.join("\n"))])
}

const fn sign(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => ":rotating_light:",
        Tone::Waiting => ":warning:",
        Tone::Good => ":white_check_mark:",
        Tone::Neutral => ":information_source:",
    }
}
