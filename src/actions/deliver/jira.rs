//! Jira: one issue of a release, created by the first action that says something of it and kept up to date by the later ones
//! (Cloud: developer.atlassian.com/cloud/jira/platform/rest/v3, groups "issues", "issue comments" and "issue search";
//! Data Center: developer.atlassian.com/server/jira/platform/rest, the second version). An issue has a label that is made of
//! the release and is looked for first, so that an answer that was lost makes no second one.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::adf;
use super::talk::{Halt, Talk, talk};
use crate::actions::context::Context;
use crate::actions::exchange::{Answer, Next, Request};
use crate::actions::markup::{one_line, shortened, wiki};
use crate::actions::notice::{Notice, time};
use crate::config::runbook::kind::Jira;
use crate::config::runbook::kind::jira::JiraApi;
use crate::config::runbook::{Moment, Unrendered};

/// Of a summary.
const LONGEST_SUMMARY: usize = 255;

pub(super) fn next(jira: &Jira, context: &Context, answers: &[Answer]) -> Result<Next, Unrendered> {
    talk(answers, |talk| {
        let label = label(jira, context);
        let known = context
            .earlier
            .iter()
            .filter(|earlier| earlier.kind == "jira" && earlier.values.get("label") == Some(&label))
            .find_map(|earlier| earlier.values.get("key").cloned());
        let known = match known {
            Some(key) => Some(key),
            None => found(talk.get(|| search(jira, &label, context))?),
        };
        let (key, sentence) = match known {
            Some(key) => update(jira, key, context, talk)?,
            None => create(jira, &label, context, talk)?,
        };
        let url = format!("{}/browse/{key}", jira.url);
        let remembered = [("key", key), ("label", label), ("url", url)].map(|(name, value)| (name.to_owned(), value));
        Ok(Next::Delivered { sentence, remembered: BTreeMap::from(remembered) })
    })
}

fn create(jira: &Jira, label: &str, context: &Context, talk: &mut Talk<'_>) -> Result<(String, String), Halt> {
    let answer = talk.get(|| {
        Ok(request(jira, Method::POST, "issue", context)?.json(&json!({ "fields": fields(jira, label, context)? })))
    })?;
    match answer.json().unwrap_or_default()["key"].as_str() {
        Some(key) => Ok((key.to_owned(), format!("created {key}"))),
        None => Err(Next::Failed { why: format!("the answer was {}, and names no issue", answer.status) }.into()),
    }
}

/// The transition first: a comment stands there for ever, and would twice if it were followed by a failure.
fn update(jira: &Jira, key: String, context: &Context, talk: &mut Talk<'_>) -> Result<(String, String), Halt> {
    let mut sentence = format!("commented on {key}");
    if let Some(name) = &jira.transition {
        let path = format!("issue/{key}/transitions");
        let offered = talk.get(|| request(jira, Method::GET, &path, context))?;
        match transition(&offered.json().unwrap_or_default(), name) {
            Some(id) => {
                let body = json!({ "transition": { "id": id } });
                talk.get(|| Ok(request(jira, Method::POST, &path, context)?.json(&body)))?;
                sentence = format!("moved {key} by {name:?}, and commented on it");
            }
            // It may be there already, or its workflow knows no such way.
            None => sentence = format!("commented on {key}, which offers no {name:?} as it stands"),
        }
    }
    talk.get(|| {
        let said = match &jira.comment {
            Some(comment) => context.render(comment)?,
            None => escaped(jira, &story(jira, &Notice::new(context), context)),
        };
        let body = json!({ "body": text(&said, jira.api) });
        Ok(request(jira, Method::POST, &format!("issue/{key}/comment"), context)?.json(&body))
    })?;
    Ok((key, sentence))
}

/// What no other issue has: which release, and which of its issues.
fn label(jira: &Jira, context: &Context) -> String {
    let facts = &context.facts;
    let parts = ["portcullis", &facts.service, &facts.release].into_iter().chain(jira.issue.as_deref());
    let usable = |letter: char| match letter {
        '.' | '_' | '-' => letter,
        letter if letter.is_ascii_alphanumeric() => letter,
        _ => '-',
    };
    parts.collect::<Vec<_>>().join("-").chars().map(usable).collect()
}

fn search(jira: &Jira, label: &str, context: &Context) -> Result<Request, Unrendered> {
    let jql = format!("project = \"{}\" AND labels = \"{label}\" ORDER BY created ASC", jira.project);
    let method = match jira.api {
        JiraApi::V2 => "search",
        JiraApi::V3 => "search/jql",
    };
    let path = format!("{method}?jql={}&fields=summary&maxResults=1", utf8_percent_encode(&jql, NON_ALPHANUMERIC));
    request(jira, Method::GET, &path, context)
}

fn found(answer: &Answer) -> Option<String> {
    answer.json()?["issues"].get(0)?["key"].as_str().map(str::to_owned)
}

/// What an issue is created from; what the runbook says of a field wins.
fn fields(jira: &Jira, label: &str, context: &Context) -> Result<Value, Unrendered> {
    let notice = Notice::new(context);
    let summary = match &jira.summary {
        Some(summary) => context.render(summary)?,
        None => notice.headline.clone(),
    };
    let description = match &jira.description {
        Some(description) => context.render(description)?,
        None => escaped(jira, &story(jira, &notice, context)),
    };
    let labels: Vec<&str> = [label].into_iter().chain(jira.labels.iter().map(String::as_str)).collect();
    let mut fields = Map::new();
    fields.insert("project".to_owned(), json!({ "key": jira.project }));
    fields.insert("issuetype".to_owned(), json!({ "name": jira.issue_type }));
    fields.insert("summary".to_owned(), json!(shortened(&one_line(&summary), LONGEST_SUMMARY)));
    fields.insert("description".to_owned(), text(&description, jira.api));
    fields.insert("labels".to_owned(), json!(labels));
    let own = context.json(&jira.fields)?;
    fields.extend(own.as_object().cloned().unwrap_or_default());
    Ok(Value::Object(fields))
}

/// What happened, the steps taken, and until when things are expected to be well.
fn story(jira: &Jira, notice: &Notice, context: &Context) -> String {
    let facts = &context.facts;
    let mut steps = Vec::new();
    if matches!(facts.moment, Moment::RolledBack | Moment::Recovered | Moment::NotRecovered) {
        steps.push(format!("- all traffic was sent to {}", facts.blue));
    }
    let told =
        context.earlier.iter().map(|earlier| format!("- {} ({}): {}", earlier.name, earlier.kind, earlier.result));
    steps.extend(told);
    let mut paragraphs = vec![notice.text()];
    if !steps.is_empty() {
        paragraphs.push(format!("Steps taken:\n{}", steps.join("\n")));
    }
    if let Some(eta) = jira.eta.and_then(|eta| facts.at.checked_add(eta).ok()).filter(|_| !context.now.resolved) {
        paragraphs.push(format!("Expected to be well by {}.", time(eta)));
    }
    paragraphs.join("\n\n")
}

/// The id of the transition that has this name, or leads to a status of this name.
fn transition(offered: &Value, name: &str) -> Option<String> {
    let same = |written: &Value| written.as_str().is_some_and(|written| written.eq_ignore_ascii_case(name));
    let transitions = offered["transitions"].as_array()?;
    let named = transitions.iter().find(|transition| same(&transition["name"]));
    let leading = || transitions.iter().find(|transition| same(&transition["to"]["name"]));
    named.or_else(leading)?["id"].as_str().map(str::to_owned)
}

fn request(jira: &Jira, method: Method, path: &str, context: &Context) -> Result<Request, Unrendered> {
    let version = match jira.api {
        JiraApi::V2 => 2,
        JiraApi::V3 => 3,
    };
    let request = Request::new(method, &format!("{}/rest/api/{version}/{path}", jira.url))?;
    let token = context.expose(&jira.token);
    let request = request.header(ACCEPT, "application/json")?;
    match &jira.user {
        Some(user) => {
            let basic = BASE64.encode(format!("{user}:{token}").as_bytes());
            context.hide(basic.clone());
            request.header(AUTHORIZATION, &format!("Basic {basic}"))
        }
        None => request.bearer(&token),
    }
}

fn text(text: &str, api: JiraApi) -> Value {
    match api {
        JiraApi::V2 => json!(text),
        JiraApi::V3 => adf::document(text),
    }
}

/// A text of our own, in which nothing people wrote means anything.
fn escaped(jira: &Jira, text: &str) -> String {
    match jira.api {
        JiraApi::V2 => wiki(text),
        JiraApi::V3 => text.to_owned(),
    }
}
