//! Teams: an Adaptive Card to a webhook of Workflows
//! (learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using, adaptivecards.io/explorer).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::talk::talk;
use crate::actions::context::Context;
use crate::actions::exchange::{Answer, Next, Request};
use crate::actions::markup::{markdown, shortened};
use crate::actions::notice::{Notice, Tone};
use crate::config::runbook::Unrendered;
use crate::config::runbook::kind::Teams;

/// Of one text: a message of more than 28 KB is refused, and a character may take six bytes of JSON.
const LONGEST_TEXT: usize = 3_000;

/// What a connector of the old kind answers with 200 where it has not taken a message.
const REFUSED: &str = "returned HTTP error";

pub(super) fn next(teams: &Teams, context: &Context, answers: &[Answer]) -> Result<Next, Unrendered> {
    talk(answers, |talk| {
        let answer = talk.get(|| Ok(Request::post(&context.fill(&teams.url)?)?.json(&message(teams, context)?)))?;
        let said = answer.said();
        if said.contains(REFUSED) {
            return Ok(Next::Retry { why: format!("the answer was {}: {said}", answer.status), after: None });
        }
        let sentence = format!("the webhook answered {}", answer.status);
        Ok(Next::Delivered { sentence, remembered: BTreeMap::new() })
    })
}

/// The texts of the runbook's own, or the notice laid out.
fn message(teams: &Teams, context: &Context) -> Result<Value, Unrendered> {
    let notice = Notice::new(context);
    let title = teams.title.as_ref().map(|title| context.render(title)).transpose()?;
    let title = json!({
        "type": "TextBlock", "text": shortened(&title.unwrap_or_else(|| markdown(&notice.headline)), LONGEST_TEXT),
        "wrap": true, "size": "Large", "weight": "Bolder", "color": color(notice.tone),
    });
    let text = |text: String| json!({ "type": "TextBlock", "text": text, "wrap": true });
    let mut body = vec![title];
    match &teams.text {
        Some(said) => body.push(text(shortened(&context.render(said)?, LONGEST_TEXT))),
        None => {
            if !notice.reason.is_empty() {
                body.push(text(markdown(&notice.reason)));
            }
            let fact = |(name, value): &(&str, String)| json!({ "title": name, "value": markdown(value) });
            body.push(json!({ "type": "FactSet", "facts": notice.facts.iter().map(fact).collect::<Vec<Value>>() }));
        }
    }
    let open = |link: &String| json!({ "type": "Action.OpenUrl", "title": "Report", "url": link });
    let actions: Vec<Value> = notice.link.iter().map(open).collect();
    Ok(card(&body, &actions))
}

fn card(body: &[Value], actions: &[Value]) -> Value {
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": { "width": "Full" },
                "body": body,
                "actions": actions,
            },
        }],
    })
}

const fn color(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "Attention",
        Tone::Waiting => "Warning",
        Tone::Good => "Good",
        Tone::Neutral => "Default",
    }
}
