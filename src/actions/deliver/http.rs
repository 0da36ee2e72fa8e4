//! A request as the configuration has it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::actions::context::Context;
use crate::actions::exchange::{Answer, Next, Request};
use crate::config::runbook::Unrendered;
use crate::config::runbook::kind::Http;
use crate::config::runbook::kind::http::Body;

pub(super) fn next(http: &Http, context: &Context, answers: &[Answer]) -> Result<Next, Unrendered> {
    let Some(answer) = answers.last() else { return Ok(Next::Send(Box::new(request(http, context)?))) };
    let is_expected =
        if http.expect.is_empty() { answer.status.is_success() } else { http.expect.contains(&answer.status) };
    if !is_expected {
        return Ok(answer.refused());
    }
    let said = answer.json();
    let found = |pointer: &str| match said.as_ref()?.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    };
    let mut remembered = BTreeMap::new();
    for (name, pointer) in &http.remember {
        let Some(value) = found(pointer) else {
            return Ok(Next::Failed { why: format!("the answer was {}, and has nothing at {pointer}", answer.status) });
        };
        remembered.insert(name.clone(), value);
    }
    Ok(Next::Delivered { sentence: format!("{} was answered {}", http.method, answer.status), remembered })
}

fn request(http: &Http, context: &Context) -> Result<Request, Unrendered> {
    let mut request = Request::new(http.method.clone(), &context.fill(&http.url)?)?;
    for (name, value) in &http.headers {
        request = request.header(name.clone(), &context.fill(value)?)?;
    }
    if let Some(bearer) = &http.bearer {
        request = request.bearer(&context.expose(bearer))?;
    }
    Ok(match &http.body {
        Body::Nothing => request,
        Body::Text(template) => request.text(context.render(template)?),
        Body::Json(json) => request.json(&context.json(json)?),
    })
}
