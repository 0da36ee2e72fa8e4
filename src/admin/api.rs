//! The endpoints of the release of the moment.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Context;
use super::body::{Perhaps, Sent};
use super::changes::{Answer, Caller, Shown};
use super::problem::Problem;
use crate::control::command::Change;
use crate::control::revision::Seen;
use crate::control::status::WindowStatus;
use crate::gate::compare::{RouteSummary, Summary};
use crate::live::Addresses;
use crate::release::{Acknowledged, Epoch, Input, Weight};

/// No body of most endpoints is longer.
pub(super) const BODY_BYTES: usize = 16 * 1024;

/// Green's share of new requests from here on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetWeight {
    /// Percent.
    #[schemars(range(min = 0, max = 100), extend("multipleOf" = 0.01))]
    weight: f64,
    /// Recorded with the change.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    reason: String,
}

/// Why a change is made.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Because {
    /// Recorded with the change.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    reason: String,
}

/// Why everything goes back to blue.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "Rollback")]
#[serde(deny_unknown_fields)]
pub(super) struct Withdraw {
    /// Recorded with the change.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    reason: String,
    /// The release is irreversible, and is to be rolled back all the same.
    #[serde(default)]
    irreversible: bool,
}

/// What the verdicts rest on.
#[derive(JsonSchema, Serialize)]
pub(super) struct Evidence {
    epoch: Epoch,
    windows: Vec<WindowStatus>,
    /// Null while nothing is compared.
    comparison: Option<Summary>,
    /// Those that have verdicts of their own; left out where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<RouteSummary>,
}

pub(super) async fn status(State(context): State<Context>, headers: HeaderMap) -> Response {
    let status = Arc::clone(&context.status.borrow());
    Shown(status).unless_known(&headers)
}

pub(super) async fn evidence(State(context): State<Context>) -> Json<Evidence> {
    let status = context.status.borrow().clone();
    Json(Evidence {
        epoch: status.epoch,
        windows: status.windows.clone(),
        comparison: status.comparison,
        routes: status.compared_routes.clone(),
    })
}

pub(super) async fn weight(
    State(context): State<Context>,
    Caller { actor, seen }: Caller,
    Sent(SetWeight { weight, reason }): Sent<SetWeight>,
) -> Answer {
    let weight = Weight::from_percent(weight).map_err(|fault| Problem::field("weight", fault.to_string()))?;
    operate(&context, seen, Input::SetWeight { weight, actor, reason }).await
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
    Caller { actor, seen }: Caller,
    Perhaps(Withdraw { reason, irreversible }): Perhaps<Withdraw>,
) -> Answer {
    let acknowledged = if irreversible { Acknowledged::Yes } else { Acknowledged::No };
    operate(&context, seen, Input::Withdraw { actor, reason, acknowledged }).await
}

async fn operate(context: &Context, seen: Seen, input: Input) -> Answer {
    context.change(seen, Change::Operator(input), Addresses::default()).await
}

/// A request for a change that takes nothing but a reason.
pub(super) struct Operation {
    context: Context,
    caller: Caller,
    reason: String,
}

impl FromRequest<Context> for Operation {
    type Rejection = Problem;

    async fn from_request(request: Request, context: &Context) -> Result<Operation, Problem> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, context).await?;
        let request = Request::from_parts(parts, body);
        let Perhaps(Because { reason }) = Perhaps::from_request(request, context).await?;
        Ok(Operation { context: context.clone(), caller, reason })
    }
}

impl Operation {
    async fn carry_out(self, input: fn(String, String) -> Input) -> Answer {
        let Caller { actor, seen } = self.caller;
        operate(&self.context, seen, input(actor, self.reason)).await
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
