//! The endpoints.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::response::sse::{Event as SentEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;
use tokio_stream::wrappers::BroadcastStream;

use super::Context;
use super::access::Actor;
use super::problem::Problem;
use crate::control::command::Change;
use crate::control::status::Status;
use crate::proxy::Phase;
use crate::release::{Acknowledged, Input, Weight};

/// No body of this API is longer.
const BODY_BYTES: usize = 16 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetWeight {
    weight: Option<f64>,
    #[serde(default)]
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Because {
    #[serde(default)]
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Withdraw {
    #[serde(default)]
    reason: String,
    /// The release is irreversible, and is to be rolled back all the same.
    #[serde(default)]
    irreversible: bool,
}

pub(super) async fn status(State(context): State<Context>) -> Json<Arc<Status>> {
    Json(context.status.borrow().clone())
}

pub(super) async fn evidence(State(context): State<Context>) -> Json<Value> {
    let status = context.status.borrow().clone();
    let mut evidence =
        serde_json::json!({ "epoch": status.epoch, "windows": status.windows, "comparison": status.comparison });
    if !status.compared_routes.is_empty() {
        evidence["routes"] = serde_json::to_value(&status.compared_routes).expect("numbers are plain data");
    }
    Json(evidence)
}

/// Each event as it happens, named by its kind. A listener that is too slow is told how many it missed.
pub(super) async fn events(State(context): State<Context>) -> Sse<impl Stream<Item = Result<SentEvent, Infallible>>> {
    let mut lifecycle = context.lifecycle.clone();
    // What happens from then on, another process tells.
    let relieved = async move { lifecycle.wait_for(|phase| *phase == Phase::Relieved).await.is_ok() };
    let events = BroadcastStream::new(context.events.listen()).map(|event| {
        Ok(match event {
            Ok(event) => {
                let data = serde_json::to_string(&event).expect("an event is plain data");
                SentEvent::default().event(event.kind.name()).data(data)
            }
            Err(lagged) => SentEvent::default().event("missed").data(lagged.to_string()),
        })
    });
    Sse::new(events.take_until(relieved)).keep_alive(KeepAlive::default())
}

pub(super) async fn weight(
    State(context): State<Context>,
    Extension(Actor(actor)): Extension<Actor>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let SetWeight { weight, reason } = json(&headers, body).await?;
    let wrong = |detail: String| Problem::Field { field: "weight".to_owned(), detail: format!("weight: {detail}") };
    let weight = weight.ok_or_else(|| wrong("a number from 0 to 100 is missing".to_owned()))?;
    let weight = Weight::from_percent(weight).map_err(|fault| wrong(fault.to_string()))?;
    change(&context, Input::SetWeight { weight, actor, reason }).await
}

pub(super) async fn pause(request: Operation) -> Answer {
    request.carry_out(|actor, reason| Input::Pause { actor, reason }).await
}

pub(super) async fn resume(request: Operation) -> Answer {
    request.carry_out(|actor, reason| Input::Resume { actor, reason }).await
}

pub(super) async fn approve(request: Operation) -> Answer {
    request.carry_out(|actor, reason| Input::Approve { actor, reason }).await
}

pub(super) async fn promote(request: Operation) -> Answer {
    request.carry_out(|actor, reason| Input::Promote { actor, reason }).await
}

pub(super) async fn roll_back(
    State(context): State<Context>,
    Extension(Actor(actor)): Extension<Actor>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let Withdraw { reason, irreversible } = json_or_nothing(BODY_BYTES, &headers, body).await?;
    let acknowledged = if irreversible { Acknowledged::Yes } else { Acknowledged::No };
    change(&context, Input::Withdraw { actor, reason, acknowledged }).await
}

pub(super) type Answer = Result<Json<Arc<Status>>, Problem>;

async fn change(context: &Context, input: Input) -> Answer {
    Ok(Json(context.commands.send(Change::Operator(input)).await?))
}

/// A request for a change that takes nothing but a reason.
pub(super) struct Operation {
    context: Context,
    actor: String,
    reason: String,
}

impl FromRequest<Context> for Operation {
    type Rejection = Problem;

    async fn from_request(request: Request, context: &Context) -> Result<Operation, Problem> {
        let (parts, body) = request.into_parts();
        let Actor(actor) = parts.extensions.get::<Actor>().cloned().ok_or(Problem::Internal)?;
        let Because { reason } = json_or_nothing(BODY_BYTES, &parts.headers, body).await?;
        Ok(Operation { context: context.clone(), actor, reason })
    }
}

impl Operation {
    async fn carry_out(self, input: fn(String, String) -> Input) -> Answer {
        change(&self.context, input(self.actor, self.reason)).await
    }
}

pub(super) async fn metrics(State(context): State<Context>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], context.exposition.render()).into_response()
}

pub(super) async fn healthy() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(State(context): State<Context>) -> Result<&'static str, Problem> {
    if context.is_serving() { Ok("ready\n") } else { Err(Problem::Leaving) }
}

async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    json_within(BODY_BYTES, headers, body).await
}

/// An object of at most `most` bytes, or nothing at all.
pub(super) async fn json_or_nothing<T: DeserializeOwned + Default>(
    most: usize,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    let bytes = axum::body::to_bytes(body, most).await.map_err(|_| Problem::TooLong(most))?;
    if bytes.is_empty() { Ok(T::default()) } else { parse(headers, &bytes) }
}

/// An object of at most `most` bytes.
pub(super) async fn json_within<T: DeserializeOwned>(
    most: usize,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    let bytes = axum::body::to_bytes(body, most).await.map_err(|_| Problem::TooLong(most))?;
    parse(headers, &bytes)
}

pub(super) fn parse<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Problem::NotJson);
    }
    // A list would be taken for the fields in their order.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::NotAnObject("it does not begin with {".to_owned()));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(wrong_field)?;
    reader.end().map_err(|fault| Problem::NotAnObject(fault.to_string()))?;
    Ok(value)
}

/// An object that was read already, as `T`.
pub(super) fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(wrong_field)
}

fn wrong_field(fault: serde_path_to_error::Error<serde_json::Error>) -> Problem {
    if !matches!(fault.path().iter().next(), Some(Segment::Map { .. })) {
        return Problem::NotAnObject(fault.inner().to_string());
    }
    let field = fault.path().to_string();
    Problem::Field { detail: format!("{field}: {}", fault.inner()), field }
}
