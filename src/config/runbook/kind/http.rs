//! A request, for feature flags, status pages and pipelines.

use std::collections::{BTreeMap, BTreeSet};

use ::http::{HeaderName, Method, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::config::quantity::quoted;
use crate::config::raw::{Count, Mapping};
use crate::config::report::{Scope, Wrong};
use crate::config::runbook::template::{Markup, Template};
use crate::config::runbook::{Around, Text};
use crate::config::secret::Secret;

#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    pub method: Method,
    pub url: Text,
    pub headers: Vec<(HeaderName, Text)>,
    /// Put into `Authorization: Bearer`.
    pub bearer: Option<Secret>,
    pub body: Body,
    /// Empty: any of 2xx.
    pub expect: Vec<StatusCode>,
    /// What is kept of a JSON answer, by the name that templates find it under and its pointer (RFC 6901).
    pub remember: BTreeMap<String, String>,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Nothing,
    Text(Template),
    /// Whose strings are templates, so that no value breaks out of its quotes.
    Json(Json),
}

/// A JSON value whose strings are templates.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Plain(Value),
    Text(Template),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawHttp {
    pub(in crate::config) method: Option<String>,
    pub(in crate::config) url: Option<String>,
    pub(in crate::config) headers: Option<Mapping<BTreeMap<String, String>>>,
    pub(in crate::config) bearer: Option<String>,
    pub(in crate::config) body: Option<String>,
    pub(in crate::config) json: Option<Value>,
    pub(in crate::config) expect: Option<Vec<Option<Count>>>,
    pub(in crate::config) remember: Option<Mapping<BTreeMap<String, String>>>,
}

const MOST_HEADERS: usize = 32;

/// Those that the client writes itself, and those that say who the message is from.
const OWN: [&str; 7] =
    ["host", "content-length", "transfer-encoding", "connection", "user-agent", "idempotency-key", "portcullis-test"];

impl Http {
    pub(super) fn needs(&self) -> BTreeSet<String> {
        let headers = self.headers.iter().flat_map(|(_, value)| value.needs());
        self.url.needs().into_iter().chain(headers).chain(self.body.needs()).collect()
    }
}

impl Body {
    fn needs(&self) -> BTreeSet<String> {
        match self {
            Body::Nothing => BTreeSet::new(),
            Body::Text(template) => template.needs(),
            Body::Json(json) => json.needs(),
        }
    }
}

impl Json {
    pub(in crate::config) fn needs(&self) -> BTreeSet<String> {
        match self {
            Json::Plain(_) => BTreeSet::new(),
            Json::Text(template) => template.needs(),
            Json::List(list) => list.iter().flat_map(Json::needs).collect(),
            Json::Object(entries) => entries.iter().flat_map(|(_, value)| value.needs()).collect(),
        }
    }
}

pub(in crate::config::runbook) fn http(scope: &mut Scope<'_, '_>, raw: RawHttp, around: &Around<'_>) -> Option<Http> {
    let url = url(scope, raw.url, around);
    let headers = headers(scope, raw.headers.unwrap_or_default().0, around);
    let bearer = raw.bearer.map(|written| around.secret(scope, "bearer", &written));
    if bearer.is_some() && headers.iter().flatten().any(|(name, _)| *name == ::http::header::AUTHORIZATION) {
        scope.misplaced("bearer", Wrong::new("is written beside an `authorization` header", "write one of the two"));
    }
    if raw.body.is_some() && raw.json.is_some() {
        scope.misplaced("json", Wrong::new("is written beside `body`", "write one of the two"));
    }
    let body = match (raw.body, raw.json) {
        (_, Some(value)) => json(scope, "json", value, around).map(Body::Json),
        (Some(text), None) => around.template(scope, "body", &text, Markup::Plain).map(Body::Text),
        (None, None) => Some(Body::Nothing),
    };
    let bodiless = matches!(body, Some(Body::Nothing));
    let usual = if bodiless { Method::GET } else { Method::POST };
    let method = scope.optional("method", raw.method, usual, method);
    let expect = expected(scope, raw.expect);
    let remember = remembered(scope, raw.remember.unwrap_or_default().0);
    let bearer = match bearer {
        Some(None) => None,
        Some(Some(secret)) => Some(Some(secret)),
        None => Some(None),
    };
    Some(Http {
        method: method?,
        url: url?,
        headers: headers?,
        bearer: bearer?,
        body: body?,
        expect: expect?,
        remember: remember?,
    })
}

/// An address to send to: written out, or kept elsewhere whole.
pub(in crate::config::runbook) fn url(
    scope: &mut Scope<'_, '_>,
    raw: Option<String>,
    around: &Around<'_>,
) -> Option<Text> {
    let written = scope.required("url", raw, Ok)?;
    let text = around.text(scope, "url", &written)?;
    let says = match &text {
        Text::Secret(secret) => secret.expose(),
        Text::Template(_) => written.as_str(),
    };
    let Some((_, host)) = says.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https")) else {
        let wrong = match &text {
            Text::Secret(_) => Wrong::new("names what is not an address", "it has to begin with `https://`"),
            Text::Template(_) if written.starts_with("{{") => return Some(text),
            Text::Template(_) => {
                Wrong::new(format!("{} has no `http://` and no `https://`", quoted(&written)), "write `https://…`")
            }
        };
        scope.wrong("url", wrong);
        return None;
    };
    // A password in it would be shown.
    if host.split(['/', '?', '#']).next().is_some_and(|host| host.contains('@')) {
        scope.wrong("url", Wrong::new("has a user name", "write what a server is to know of us into `headers`"));
        return None;
    }
    Some(text)
}

pub(in crate::config::runbook) fn headers(
    scope: &mut Scope<'_, '_>,
    raw: BTreeMap<String, String>,
    around: &Around<'_>,
) -> Option<Vec<(HeaderName, Text)>> {
    if raw.len() > MOST_HEADERS {
        let wrong = Wrong::new(format!("has {} elements", raw.len()), format!("at most {MOST_HEADERS} are allowed"));
        scope.wrong("headers", wrong);
        return None;
    }
    if scope.report.is_spoiled_within(&scope.at.key("headers")) {
        return None;
    }
    let mut scope = scope.key("headers");
    let count = raw.len();
    let mut headers = Vec::new();
    for (name, value) in raw {
        let wrong = |message: &str, label: &str| Wrong::new(format!("{} {message}", quoted(&name)), label);
        match HeaderName::try_from(name.as_str()) {
            Err(_) => scope.wrong(&name, wrong("is not the name of a header", "letters, digits and `-`")),
            Ok(field) if OWN.contains(&field.as_str()) => {
                scope.wrong(&name, wrong("is written by the proxy itself", "leave it out"));
            }
            Ok(field) => headers.extend(around.text(&mut scope, &name, &value).map(|text| (field, text))),
        }
    }
    (headers.len() == count).then_some(headers)
}

/// A JSON value whose strings are templates.
pub(in crate::config::runbook) fn json(
    scope: &mut Scope<'_, '_>,
    key: &str,
    value: Value,
    around: &Around<'_>,
) -> Option<Json> {
    match value {
        Value::String(text) => around.template(scope, key, &text, Markup::Plain).map(Json::Text),
        Value::Array(values) => {
            let mut scope = scope.key(key);
            let each = |(index, value)| element(&mut scope, index, value, around);
            let list: Vec<Option<Json>> = values.into_iter().enumerate().map(each).collect();
            list.into_iter().collect::<Option<Vec<Json>>>().map(Json::List)
        }
        Value::Object(entries) => {
            let mut scope = scope.key(key);
            let each = |(key, value): (String, Value)| json(&mut scope, &key, value, around).map(|json| (key, json));
            let entries: Vec<Option<(String, Json)>> = entries.into_iter().map(each).collect();
            entries.into_iter().collect::<Option<Vec<_>>>().map(Json::Object)
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => Some(Json::Plain(plain)),
    }
}

fn element(scope: &mut Scope<'_, '_>, index: usize, value: Value, around: &Around<'_>) -> Option<Json> {
    match value {
        Value::Object(entries) => {
            let mut scope = scope.index(index);
            let each = |(key, value): (String, Value)| json(&mut scope, &key, value, around).map(|json| (key, json));
            let entries: Vec<Option<(String, Json)>> = entries.into_iter().map(each).collect();
            entries.into_iter().collect::<Option<Vec<_>>>().map(Json::Object)
        }
        Value::Array(values) => {
            let mut scope = scope.index(index);
            let each = |(index, value)| element(&mut scope, index, value, around);
            let list: Vec<Option<Json>> = values.into_iter().enumerate().map(each).collect();
            list.into_iter().collect::<Option<Vec<Json>>>().map(Json::List)
        }
        Value::String(text) => match Template::compile(&text, Markup::Plain, around.actions) {
            Ok(template) => Some(Json::Text(template)),
            Err(flaw) => {
                scope.wrong_element(index, Wrong::new(flaw.message, flaw.label));
                None
            }
        },
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => Some(Json::Plain(plain)),
    }
}

fn method(text: String) -> Result<Method, Wrong> {
    const KNOWN: [Method; 6] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    KNOWN.into_iter().find(|known| known.as_str() == text.to_uppercase()).ok_or_else(|| {
        let label = "use one of `GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE`";
        Wrong::new(format!("{} is not a method for an action", quoted(&text)), label)
    })
}

/// None where one was at fault.
fn expected(scope: &mut Scope<'_, '_>, raw: Option<Vec<Option<Count>>>) -> Option<Vec<StatusCode>> {
    let Some(raw) = raw else { return (!scope.report.is_spoiled(&scope.at.key("expect"))).then(Vec::new) };
    let mut scope = scope.key("expect");
    let count = raw.len();
    let mut expected = Vec::new();
    for (index, element) in raw.into_iter().enumerate() {
        let Some(Count(number)) = element else { continue };
        match u16::try_from(number).ok().and_then(|number| StatusCode::from_u16(number).ok()) {
            Some(status) if !status.is_redirection() => expected.push(status),
            Some(_) => {
                let label = "write the address that it leads to into `url`";
                scope.wrong_element(index, Wrong::new("is a redirect, which is not followed", label));
            }
            None => scope.wrong_element(index, Wrong::new(format!("`{number}` is not a status"), "from 200 to 599")),
        }
    }
    (expected.len() == count).then_some(expected)
}

fn remembered(scope: &mut Scope<'_, '_>, raw: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    let mut scope = scope.key("remember");
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let mut faulty = false;
    for (name, pointer) in &raw {
        if !is_name(name) || name == "result" {
            scope.misplaced(
                name,
                Wrong::new(format!("{} is not a name for an answer", quoted(name)), "letters and digits"),
            );
            faulty = true;
        } else if !pointer.is_empty() && !pointer.starts_with('/') {
            let label = format!("write `/{pointer}`");
            scope.wrong(name, Wrong::new(format!("{} is not a JSON pointer", quoted(pointer)), label));
            faulty = true;
        }
    }
    (!faulty).then_some(raw)
}
