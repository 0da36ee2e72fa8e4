//! Changes that are for the replica that leads, on their way to it: with the caller's own token, key and condition, over one
//! hop and no more.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use http_body_util::{BodyExt, Full, Limited};
use tokio::time::timeout;

use super::Context;
use super::hop::Hop;
use super::problem::Problem;
use super::versions::BODY_BYTES;

/// Who takes the steps of the release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Leader {
    /// This proxy, which is alone or leads.
    #[default]
    This,
    /// Another replica, whose admin API is there; none where nobody knows who.
    Other { admin: Option<String> },
}

/// Says that a request has made its hop.
const FORWARDED: HeaderName = HeaderName::from_static("portcullis-forwarded");

/// For the whole exchange; longer than a change waits for its write.
const LONGEST: Duration = Duration::from_secs(10);

/// No answer to a change is longer.
const ANSWER_BYTES: usize = 1024 * 1024;

/// Of one connection alone (RFC 9110, section 7.6.1), or said anew.
const NOT_PASSED_ON: [HeaderName; 5] =
    [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::ORIGIN];

/// Hands a change to the leader, unless it is this replica.
pub(super) async fn to_leader(
    State(context): State<Context>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let leader = context.leader.borrow().clone();
    match leader {
        Leader::This => Ok(next.run(request).await),
        Leader::Other { admin: Some(admin) } if !request.headers().contains_key(FORWARDED) => {
            match timeout(LONGEST, send(&context, &admin, request)).await {
                Ok(answered) => answered,
                Err(_) => Err(silent(&admin, &format!("no answer within {} s", LONGEST.as_secs()))),
            }
        }
        Leader::Other { .. } => Err(Problem::NoLeader),
    }
}

fn silent(admin: &str, why: &dyn std::fmt::Display) -> Problem {
    Problem::LeaderSilent { admin: admin.to_owned(), why: why.to_string() }
}

async fn send(context: &Context, admin: &str, request: Request) -> Result<Response, Problem> {
    let deadline = context.settings().deadline;
    let silent = |error: &dyn std::fmt::Display| silent(admin, error);
    let (parts, body) = request.into_parts();
    let bytes = timeout(deadline, axum::body::to_bytes(body, BODY_BYTES)).await;
    let bytes = bytes.map_err(|_| Problem::TooSlow(deadline))?.map_err(|_| Problem::TooLong(BODY_BYTES))?;
    let hop = Hop::of(&context.reloading);
    let (mut sender, authority) = hop.connect::<Full<Bytes>>(admin).await.map_err(|error| silent(&error))?;
    let mut hop = http::Request::new(Full::new(bytes));
    *hop.method_mut() = parts.method;
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    *hop.uri_mut() = target.parse().map_err(|error| silent(&error))?;
    *hop.headers_mut() = parts.headers;
    NOT_PASSED_ON.iter().for_each(|name| _ = hop.headers_mut().remove(name));
    let host = HeaderValue::try_from(authority.as_str()).map_err(|error| silent(&error))?;
    hop.headers_mut().insert(header::HOST, host);
    hop.headers_mut().insert(FORWARDED, HeaderValue::from_static("1"));
    let answer = sender.send_request(hop).await.map_err(|error| silent(&error))?;
    let (mut parts, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(|error| silent(&error))?;
    NOT_PASSED_ON.iter().for_each(|name| _ = parts.headers.remove(name));
    Ok(Response::from_parts(parts, Body::from(body.to_bytes())).into_response())
}
