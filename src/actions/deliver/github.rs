//! GitHub, Enterprise Server as well: the status of a deployment (docs.github.com/rest/deployments/statuses), which is looked
//! up by its ref and environment or created (docs.github.com/rest/deployments/deployments), or the status of a commit
//! (docs.github.com/rest/commits/statuses). Version 2022-11-28 of the API.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{ACCEPT, HeaderName};
use http::{Method, StatusCode};
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::talk::{Halt, Talk, talk};
use crate::actions::context::Context;
use crate::actions::exchange::{Answer, Next, Request, retry_after};
use crate::actions::markup::{one_line, shortened};
use crate::actions::notice::Notice;
use crate::config::runbook::kind::GitHub;
use crate::config::runbook::kind::github::StatusOf;
use crate::config::runbook::{Moment, Unrendered};

/// Of a description.
const LONGEST_DESCRIPTION: usize = 140;

const VERSION: HeaderName = HeaderName::from_static("x-github-api-version");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

const JSON: &str = "application/vnd.github+json";
const SHA: &str = "application/vnd.github.sha";

/// Where a release stands, as GitHub has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Going,
    Waiting,
    Well,
    Failed,
}

pub(super) fn next(github: &GitHub, context: &Context, answers: &[Answer]) -> Result<Next, Unrendered> {
    talk(answers, |talk| {
        let reference = match &github.reference {
            Some(reference) => context.render(reference)?,
            None => context.facts.green.clone(),
        };
        match github.of {
            StatusOf::Deployment => deployment(github, &reference, context, talk),
            StatusOf::Commit => commit(github, &reference, context, talk),
        }
    })
}

fn deployment(github: &GitHub, reference: &str, context: &Context, talk: &mut Talk<'_>) -> Result<Next, Halt> {
    let known = context
        .earlier
        .iter()
        .filter(|earlier| earlier.kind == "github" && earlier.values.get("repository") == Some(&github.repository))
        .filter(|earlier| earlier.values.get("environment") == Some(&github.environment))
        .find_map(|earlier| earlier.values.get("deployment")?.parse::<u64>().ok());
    let known = match known {
        Some(id) => Some(id),
        None => {
            let (reference, environment) = (encoded(reference), encoded(&github.environment));
            let path = format!("deployments?ref={reference}&environment={environment}&per_page=1");
            let listed = good(talk.ask(|| request(github, Method::GET, &path, JSON, context))?)?;
            listed.json().unwrap_or_default().get(0).and_then(|deployment| deployment["id"].as_u64())
        }
    };
    let notice = Notice::new(context);
    let id = match known {
        Some(id) => id,
        None => {
            // Nothing is made to wait for it: the traffic has been moved already.
            let body = json!({
                "ref": reference,
                "environment": github.environment,
                "description": shortened(&notice.headline, LONGEST_DESCRIPTION),
                "auto_merge": false,
                "required_contexts": [],
            });
            let made = talk.ask(|| Ok(request(github, Method::POST, "deployments", JSON, context)?.json(&body)))?;
            good(made)?.json().unwrap_or_default()["id"].as_u64().ok_or_else(|| Next::Failed {
                why: format!("the answer was {}, and names no deployment", made.status),
            })?
        }
    };
    let state = match stands(context.facts.moment) {
        Stands::Going => "in_progress",
        Stands::Waiting => "pending",
        Stands::Well => "success",
        Stands::Failed => "failure",
    };
    let mut status = json!({
        "state": state,
        "environment": github.environment,
        "description": description(github, &notice, context)?,
    });
    if let Some(link) = &notice.link {
        status["log_url"] = json!(link);
    }
    let path = format!("deployments/{id}/statuses");
    good(talk.ask(|| Ok(request(github, Method::POST, &path, JSON, context)?.json(&status)))?)?;
    let remembered = [
        ("deployment", id.to_string()),
        ("repository", github.repository.clone()),
        ("environment", github.environment.clone()),
    ];
    let remembered = remembered.map(|(name, value)| (name.to_owned(), value)).into();
    Ok(Next::Delivered { sentence: format!("deployment {id} of {} is {state}", github.repository), remembered })
}

fn commit(github: &GitHub, reference: &str, context: &Context, talk: &mut Talk<'_>) -> Result<Next, Halt> {
    let sha = if is_commit(reference) {
        reference.to_owned()
    } else {
        let path = format!("commits/{}", encoded(reference));
        let answer = good(talk.ask(|| request(github, Method::GET, &path, SHA, context))?)?;
        let said = answer.said();
        if !is_commit(&said) {
            let why = format!("the answer was {}, and names no commit: {said}", answer.status);
            return Ok(Next::Failed { why });
        }
        said
    };
    let state = match stands(context.facts.moment) {
        Stands::Going | Stands::Waiting => "pending",
        Stands::Well => "success",
        Stands::Failed => "failure",
    };
    let notice = Notice::new(context);
    let name = github.context.clone().unwrap_or_else(|| format!("portcullis/{}", context.facts.service));
    let mut status = json!({
        "state": state,
        "context": name,
        "description": description(github, &notice, context)?,
    });
    if let Some(link) = &notice.link {
        status["target_url"] = json!(link);
    }
    let path = format!("statuses/{sha}");
    good(talk.ask(|| Ok(request(github, Method::POST, &path, JSON, context)?.json(&status)))?)?;
    let sentence = format!("{name} of {} is {state}", sha.get(..12).unwrap_or(&sha));
    Ok(Next::Delivered { sentence, remembered: BTreeMap::from([("sha".to_owned(), sha)]) })
}

const fn stands(moment: Moment) -> Stands {
    match moment {
        Moment::Started | Moment::BeforeStep => Stands::Going,
        Moment::Paused | Moment::BeforeStart | Moment::BeforePromotion | Moment::First => Stands::Waiting,
        Moment::Promoted => Stands::Well,
        // That blue is well again makes nothing of green.
        Moment::RolledBack | Moment::Recovered | Moment::NotRecovered => Stands::Failed,
    }
}

fn description(github: &GitHub, notice: &Notice, context: &Context) -> Result<String, Unrendered> {
    let said = match &github.description {
        Some(description) => one_line(&context.render(description)?),
        None => notice.line(),
    };
    Ok(shortened(&said, LONGEST_DESCRIPTION))
}

/// An answer of 2xx. A limit on requests is told with 403 as well as 429 (docs.github.com, "Rate limits for the REST API").
fn good(answer: &Answer) -> Result<&Answer, Next> {
    let exhausted = answer.headers.get(REMAINING).is_some_and(|remaining| remaining == "0");
    let after = retry_after(&answer.headers).or_else(|| until_reset(answer).filter(|_| exhausted));
    if answer.status == StatusCode::FORBIDDEN && (exhausted || after.is_some()) {
        return Err(Next::Retry { why: format!("the limit on requests is reached: {}", answer.said()), after });
    }
    match answer.judge() {
        Ok(()) => Ok(answer),
        Err(Next::Retry { why, after: None }) => Err(Next::Retry { why, after }),
        Err(next) => Err(next),
    }
}

fn until_reset(answer: &Answer) -> Option<Duration> {
    let reset: i64 = answer.headers.get(RESET)?.to_str().ok()?.parse().ok()?;
    let left = Timestamp::from_second(reset).ok()?.duration_since(Timestamp::now());
    Some(Duration::try_from(left).unwrap_or_default())
}

fn request(
    github: &GitHub,
    method: Method,
    path: &str,
    accept: &str,
    context: &Context,
) -> Result<Request, Unrendered> {
    let request = Request::new(method, &format!("{}/repos/{}/{path}", github.api, github.repository))?;
    request.bearer(&context.expose(&github.token))?.header(ACCEPT, accept)?.header(VERSION, "2022-11-28")
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Whether a ref is a commit already, whole.
fn is_commit(reference: &str) -> bool {
    matches!(reference.len(), 40 | 64) && reference.bytes().all(|byte| byte.is_ascii_hexdigit())
}
