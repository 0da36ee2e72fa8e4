//! What each kind sends, byte for byte where that matters, and what it makes of the answers.

mod cloudevents;
mod email;
mod github;
mod grafana;
mod jira;
mod kubernetes;
mod pagerduty;
mod request;
mod slack;
mod teams;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::next;
use crate::actions::exchange::{Answer, Next, Request};
use crate::actions::{Context, Facts, Now, Remembered};
use crate::config::runbook::{Action, Moment};
use crate::config::{self, Environment, Runbook};

const SECRET: &str = "s3cr3t";
const REPORT: &str = "https://portcullis.example/v1/releases/v2-7/report";

/// A configuration whose runbook has this one action at a moment; `{ENV}` is a secret.
fn parsed(moment: Moment, entry: &str) -> Result<Arc<Runbook>, String> {
    let text = format!(
        "service: checkout\nlisten: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\n\
         blue: {{ version: v1, endpoints: [\"127.0.0.1:9\"] }}\ngreen: {{ version: v2, endpoints: [\"127.0.0.1:9\"] }}\n\
         runbook:\n  {}:\n  - {entry}\n",
        moment.name()
    );
    let environment = Environment::from_iter([("SECRET", SECRET), ("URL", "https://hooks.example/s3cr3t")]);
    let config = config::parse(&text, "test.yaml", Path::new(""), &environment);
    config.map(|config| config.runbook).map_err(|faults| faults.to_string())
}

fn action(moment: Moment, entry: &str) -> Arc<Action> {
    let runbook = parsed(moment, entry).unwrap_or_else(|faults| panic!("{faults}"));
    let action = runbook.at(moment).next().expect("there is one");
    Arc::clone(action)
}

fn facts(moment: Moment) -> Facts {
    let facts = Facts::sample(moment, "checkout", "v1", "v2");
    Facts { reason: "errorRate of green is 12.50 %".to_owned(), report: REPORT.to_owned(), ..facts }
}

fn context(facts: Facts, earlier: Vec<Remembered>) -> Context {
    let key = format!("v2-7/{}/told/0", facts.moment.name());
    let now = Now { key, resolved: !facts.moment.lasts(), test: false, ..Now::sample() };
    Context::new(facts, now, earlier, &Runbook::default())
}

fn earlier(kind: &str, values: &[(&str, &str)]) -> Remembered {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Remembered {
        name: format!("the-{kind}"),
        kind: kind.to_owned(),
        moment: Moment::RolledBack,
        result: "delivered".to_owned(),
        values,
    }
}

fn answer(status: u16, body: &str) -> Answer {
    answer_with(status, &[], body)
}

fn answer_with(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Answer {
    let header =
        |(name, value): &(&'static str, &'static str)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    Answer {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: headers.iter().map(header).collect::<HeaderMap>(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

#[track_caller]
fn sent(action: &Action, context: &Context, answers: &[Answer]) -> Request {
    match next(&action.kind, context, answers).expect("it renders") {
        Next::Send(request) => *request,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn delivered(action: &Action, context: &Context, answers: &[Answer]) -> BTreeMap<String, String> {
    match next(&action.kind, context, answers).expect("it renders") {
        Next::Delivered { remembered, .. } => remembered,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn failed(action: &Action, context: &Context, answers: &[Answer]) -> String {
    match next(&action.kind, context, answers).expect("it renders") {
        Next::Failed { why } => why,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn retried(action: &Action, context: &Context, answers: &[Answer]) -> Option<Duration> {
    match next(&action.kind, context, answers).expect("it renders") {
        Next::Retry { after, .. } => after,
        other => panic!("{other:?}"),
    }
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

/// The method, the address, and the headers that a kind sets itself.
fn line(request: &Request) -> String {
    let headers = request.headers.iter().filter(|(name, _)| *name != "content-type");
    let headers = headers.map(|(name, value)| format!("; {name}: {}", value.to_str().expect("text")));
    format!("{} {}{}", request.method, request.uri, headers.collect::<String>())
}

/// The kinds that are requests, each with an entry that has nothing but what it must.
const LEAST: [(&str, &str); 7] = [
    ("slack", "{ slack: { url: env:URL } }"),
    ("teams", "{ teams: { url: env:URL } }"),
    ("pagerduty", "{ pagerduty: { routingKey: env:SECRET } }"),
    ("cloudevents", "{ cloudevents: { url: env:URL } }"),
    ("jira", "{ jira: { url: https://jira.example, token: env:SECRET, project: OPS } }"),
    ("github", "{ github: { token: env:SECRET, repository: shop/checkout } }"),
    ("grafana", "{ grafana: { url: https://grafana.example, token: env:SECRET } }"),
];

#[test]
fn what_may_be_better_later_is_tried_again_and_the_rest_is_not() {
    for (kind, entry) in LEAST {
        let (action, context) = (action(Moment::RolledBack, entry), context(facts(Moment::RolledBack), vec![]));
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert_eq!(retried(&action, &context, &[answer(status, "")]), None, "{kind} {status}");
        }
        let slow = answer_with(429, &[("retry-after", "30")], "");
        assert_eq!(retried(&action, &context, &[slow]), Some(Duration::from_secs(30)), "{kind}");
        for status in [300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 410, 413, 422] {
            let elsewhere = answer_with(status, &[("location", "https://elsewhere.example/")], "no such thing");
            let why = failed(&action, &context, &[elsewhere]);
            assert!(why.contains(&status.to_string()), "{kind} {status}: {why}");
        }
    }
}

#[test]
fn what_is_shown_of_a_message_has_no_secret_in_it() {
    for (kind, entry) in LEAST {
        let (action, context) = (action(Moment::RolledBack, entry), context(facts(Moment::RolledBack), vec![]));
        let shown = super::preview(&action.kind, &context).expect("it renders");
        assert!(!shown.contains(SECRET), "{kind}: {shown}");
        assert!(shown.contains("***") || shown.contains("hooks.example"), "{kind}: {shown}");
    }
}

#[test]
fn every_moment_has_something_to_say() {
    for moment in Moment::ALL {
        for (kind, entry) in LEAST.into_iter().filter(|(kind, _)| *kind != "cloudevents") {
            let (action, context) = (action(moment, entry), context(facts(moment), vec![]));
            assert!(
                !super::preview(&action.kind, &context).expect("it renders").is_empty(),
                "{kind} {}",
                moment.name()
            );
        }
    }
}
