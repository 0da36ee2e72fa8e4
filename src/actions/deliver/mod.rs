//! One attempt of an action.
//!
//! A kind that is HTTP is one pure function, which sees the answers that the attempt has got and says what is [`Next`]. The
//! others do it themselves. Both may end late, or never: an attempt has a deadline.

mod adf;
mod change_window;
mod cloudevents;
mod email;
mod exec;
mod github;
mod grafana;
mod http;
mod jira;
mod kubernetes;
mod manual;
mod pagerduty;
mod slack;
mod smoke;
mod talk;
mod teams;
mod webhook;

use std::collections::BTreeMap;
use std::time::Duration;

use ::http::StatusCode;

use super::cluster::Cluster;
use super::context::Context;
use super::exchange::{Answer, IDEMPOTENCY_KEY, Next, Request, TEST, retry_after};
use super::reach::Reach;
use crate::config::runbook::kind::Kubernetes;
use crate::config::runbook::{Action, Kind, Unrendered};

/// What became of one attempt. Sentences hold no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub end: End,
    pub said: Said,
}

/// What the other side said, for those who make more of it than whether it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Nothing,
    /// The last answer.
    Answer {
        status: StatusCode,
        retry_after: Option<Duration>,
    },
    /// How a program ended; none by a signal.
    Exit(Option<i32>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Delivered {
        sentence: String,
        remembered: BTreeMap<String, String>,
    },
    /// People have to do it.
    Task {
        sentence: String,
    },
    /// It is not wanted, because its condition does not hold.
    Skipped {
        why: String,
    },
    Retry {
        why: String,
        after: Option<Duration>,
    },
    Failed {
        why: String,
    },
}

/// Requests of one attempt. No kind needs nearly as many.
const MOST_REQUESTS: usize = 8;

/// Carries an action out, or tries to.
pub async fn deliver(action: &Action, context: &Context, reach: &Reach) -> Attempt {
    let attempt = async {
        if let Some(condition) = &action.when
            && !context.holds(condition)?
        {
            return Ok(End::Skipped { why: format!("`{condition}` does not hold") }.into());
        }
        match &action.kind {
            Kind::Exec(exec) => exec::run(exec, context).await,
            Kind::Smoke(smoke) => Ok(smoke::check(smoke, reach).await.into()),
            Kind::Manual(manual) => manual::list(manual, context).map(Attempt::from),
            Kind::ChangeWindow(window) => Ok(change_window::look(window).into()),
            Kind::Email(email) => email::send(email, context, reach, action.timeout).await.map(Attempt::from),
            Kind::Kubernetes(kubernetes) => in_cluster(kubernetes, context).await,
            of_requests => converse(of_requests, context, reach).await,
        }
    };
    let Attempt { end, said } = match tokio::time::timeout(action.timeout, attempt).await {
        Ok(attempt) => attempt.unwrap_or_else(|unrendered| End::Failed { why: unrendered.to_string() }.into()),
        Err(_) => {
            let why = format!("nothing within {}", crate::gate::verdict::duration(action.timeout));
            End::Retry { why, after: None }.into()
        }
    };
    Attempt { end: end.masked(context), said }
}

/// What the first attempt would do, as people read it.
pub fn preview(kind: &Kind, context: &Context) -> Result<String, Unrendered> {
    match kind {
        Kind::Exec(exec) => exec::preview(exec, context),
        Kind::Smoke(smoke) => Ok(smoke::preview(smoke)),
        Kind::Manual(manual) => manual::preview(manual, context),
        Kind::ChangeWindow(window) => Ok(change_window::preview(window)),
        Kind::Email(email) => email::preview(email, context),
        of_requests => match next(of_requests, context, &[])? {
            Next::Send(request) => Ok(marked(*request, context)?.shown(context)),
            Next::Delivered { sentence, .. } => Ok(sentence),
            Next::Retry { why, .. } | Next::Failed { why } => Ok(why),
        },
    }
}

/// What a kind that is HTTP does, seeing `answers`. Only the others have nothing to say here.
fn next(kind: &Kind, context: &Context, answers: &[Answer]) -> Result<Next, Unrendered> {
    match kind {
        Kind::Http(http) => http::next(http, context, answers),
        Kind::Webhook(webhook) => webhook::next(webhook, context, answers),
        Kind::Slack(slack) => slack::next(slack, context, answers),
        Kind::Teams(teams) => teams::next(teams, context, answers),
        Kind::PagerDuty(pagerduty) => pagerduty::next(pagerduty, context, answers),
        Kind::CloudEvents(events) => cloudevents::next(events, context, answers),
        Kind::Jira(jira) => jira::next(jira, context, answers),
        Kind::GitHub(github) => github::next(github, context, answers),
        Kind::Grafana(grafana) => grafana::next(grafana, context, answers),
        Kind::Kubernetes(own) => kubernetes::next(own, kubernetes::SOME_NAMESPACE, context, answers),
        Kind::Exec(_) | Kind::Smoke(_) | Kind::Manual(_) | Kind::Email(_) | Kind::ChangeWindow(_) => {
            Ok(Next::Failed { why: format!("{} is not a request", kind.name()) })
        }
    }
}

async fn converse(kind: &Kind, context: &Context, reach: &Reach) -> Result<Attempt, Unrendered> {
    let send =
        async |request: Request| reach.send(request).await.map_err(|error| unsent(error.is_final(), error.to_string()));
    exchanged(context, |answers| next(kind, context, answers), send).await
}

async fn in_cluster(kubernetes: &Kubernetes, context: &Context) -> Result<Attempt, Unrendered> {
    let cluster = match Cluster::reached().await {
        Ok(cluster) => cluster,
        Err(error) => return Ok(unsent(error.is_final(), error.to_string()).into()),
    };
    let next = |answers: &[Answer]| kubernetes::next(kubernetes, &cluster.namespace, context, answers);
    let send = async |request: Request| {
        cluster.send(request).await.map_err(|error| unsent(error.is_final(), error.to_string()))
    };
    exchanged(context, next, send).await
}

/// What becomes of an attempt in which something could not be sent.
fn unsent(is_final: bool, why: String) -> End {
    if is_final { End::Failed { why } } else { End::Retry { why, after: None } }
}

async fn exchanged(
    context: &Context,
    next: impl Fn(&[Answer]) -> Result<Next, Unrendered>,
    send: impl AsyncFn(Request) -> Result<Answer, End>,
) -> Result<Attempt, Unrendered> {
    let mut answers: Vec<Answer> = Vec::new();
    let end = loop {
        match next(&answers)? {
            Next::Send(_) if answers.len() == MOST_REQUESTS => {
                break End::Failed { why: format!("no end after {MOST_REQUESTS} requests") };
            }
            Next::Send(request) => match send(marked(*request, context)?).await {
                Ok(answer) => answers.push(answer),
                Err(end) => break end,
            },
            Next::Delivered { sentence, remembered } => break End::Delivered { sentence, remembered },
            Next::Retry { why, after } => break End::Retry { why, after },
            Next::Failed { why } => break End::Failed { why },
        }
    };
    let said = answers.last().map_or(Said::Nothing, |answer| Said::Answer {
        status: answer.status,
        retry_after: retry_after(&answer.headers),
    });
    Ok(Attempt { end, said })
}

/// With what every request says of itself.
fn marked(request: Request, context: &Context) -> Result<Request, Unrendered> {
    let request = request.header(IDEMPOTENCY_KEY, &context.now.key)?;
    if context.now.test { request.header(TEST, "true") } else { Ok(request) }
}

impl From<End> for Attempt {
    fn from(end: End) -> Attempt {
        Attempt { end, said: Said::Nothing }
    }
}

impl End {
    fn masked(self, context: &Context) -> End {
        let mask = |text: String| context.masked(&text);
        match self {
            End::Delivered { sentence, remembered } => End::Delivered {
                sentence: mask(sentence),
                remembered: remembered.into_iter().map(|(name, value)| (name, mask(value))).collect(),
            },
            End::Task { sentence } => End::Task { sentence: mask(sentence) },
            End::Skipped { why } => End::Skipped { why: mask(why) },
            End::Retry { why, after } => End::Retry { why: mask(why), after },
            End::Failed { why } => End::Failed { why: mask(why) },
        }
    }
}

#[cfg(test)]
mod tests;
