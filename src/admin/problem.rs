//! Errors as problem documents (RFC 9457). The one place where an admin error becomes HTTP.

use std::any::Any;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use super::words::Wrong;
use crate::config::Faults;
use crate::control::command::{Failed, Refused};
use crate::journal::ReadError;
use crate::reload::NotReloaded;

/// What is wrong with a request to the admin API.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("a bearer token is needed")]
    NoToken,
    #[error("the bearer token is not known")]
    UnknownToken,
    #[error("{name} has the role viewer; this needs the role operator")]
    NotOperator { name: String },
    #[error("the request comes from another site: {0}")]
    OtherSite(String),
    #[error("the body must be JSON, with the content type application/json")]
    NotJson,
    #[error("the body is longer than {0} bytes")]
    TooLong(usize),
    #[error("the body must be one JSON object: {0}")]
    NotAnObject(String),
    #[error("{}", all(_0))]
    Fields(Vec<Wrong>),
    #[error("{name}: {what}")]
    Header { name: &'static str, what: String },
    #[error("the request did not come whole within {} s", _0.as_secs_f64())]
    TooSlow(Duration),
    #[error("the Idempotency-Key {0} was sent before with another request; a key is for one request")]
    KeyReused(String),
    #[error("too many are at it already; try again in a moment")]
    TooMany,
    #[error("{}", told(faults))]
    Plan { faults: Faults },
    #[error(transparent)]
    Failed(#[from] Failed),
    #[error("no release has the id {0}; GET /v1/releases lists those that are recorded")]
    UnknownRelease(String),
    #[error("no trigger listens to a signal called `{name}`; {}", listened(known))]
    UnknownSignal { name: String, known: Vec<String> },
    #[error("there is no version called `{0}`; those that there are are blue and green")]
    UnknownVersion(String),
    #[error(transparent)]
    NotReloaded(#[from] NotReloaded),
    #[error("this proxy records nothing: it was started without --data DIR")]
    NoJournal,
    #[error(
        "this proxy is alone: what it counts is told to the replicas of a `GatedRollout` only, which is run with --resource"
    )]
    NoReplica,
    #[error("the evidence of {0} is not kept any more: `journal.age` and `journal.size` bound it")]
    EvidenceGone(String),
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] ReadError),
    #[error("the proxy is on its way out")]
    Leaving,
    #[error("no replica is known to lead, so nobody takes this; a rollback is done by any, at once")]
    NoLeader,
    #[error(
        "this replica does not lead, and the one that does was not reached: {why}; ask that one itself, at {admin}"
    )]
    LeaderSilent { admin: String, why: String },
    #[error("there is nothing at this path")]
    NotFound,
    #[error("the method is not allowed here")]
    Method,
    #[error("an error inside the proxy; its log says more")]
    Internal,
}

fn listened(known: &[String]) -> String {
    match known {
        [] => "there is no trigger with `metric: external`".to_owned(),
        known => format!("those that are listened to are {}", known.join(", ")),
    }
}

fn all(wrong: &[Wrong]) -> String {
    wrong.iter().map(|wrong| wrong.detail.as_str()).collect::<Vec<_>>().join("; ")
}

/// Every fault on one line.
fn told(faults: &Faults) -> String {
    let told = faults.iter().map(|fault| format!("{}: {}", fault.message(), fault.label()));
    told.collect::<Vec<_>>().join("; ")
}

pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// What is wrong with a request (RFC 9457).
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Problem")]
pub(super) struct Document<'a> {
    r#type: &'static str,
    /// What the status means.
    title: &'a str,
    /// As the status of the answer.
    status: u16,
    /// Everything that is wrong, for people.
    detail: String,
    /// The first field of the body, or parameter, that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// Each fault of a configuration or a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<serde_json::Map<String, serde_json::Value>>>")]
    faults: Option<&'a Faults>,
}

impl Problem {
    pub(super) fn field(field: impl Into<String>, detail: impl AsRef<str>) -> Problem {
        Problem::Fields(vec![Wrong::new(field, detail)])
    }

    pub(super) fn header(name: &'static str, what: &str) -> Problem {
        Problem::Header { name, what: what.to_owned() }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Problem::NoToken | Problem::UnknownToken => StatusCode::UNAUTHORIZED,
            Problem::NotOperator { .. } | Problem::OtherSite(_) => StatusCode::FORBIDDEN,
            Problem::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Problem::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Problem::NotAnObject(_) | Problem::Fields(_) | Problem::KeyReused(_) | Problem::Plan { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Problem::Header { .. } => StatusCode::BAD_REQUEST,
            Problem::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Problem::Failed(Failed::Refused(Refused::Unseen { .. }))
            | Problem::NotReloaded(NotReloaded::Failed(Failed::Refused(Refused::Unseen { .. }))) => {
                StatusCode::PRECONDITION_FAILED
            }
            Problem::Failed(Failed::Refused(Refused::AboveMost { .. })) => StatusCode::UNPROCESSABLE_ENTITY,
            Problem::Failed(Failed::Refused(Refused::Follows { .. } | Refused::Unsure))
            | Problem::NoLeader
            | Problem::LeaderSilent { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Problem::Failed(Failed::Refused(_)) | Problem::NoJournal | Problem::NoReplica => StatusCode::CONFLICT,
            Problem::NotReloaded(NotReloaded::NoFile | NotReloaded::NoResource) => StatusCode::CONFLICT,
            Problem::NotReloaded(NotReloaded::Faults(_)) => StatusCode::UNPROCESSABLE_ENTITY,
            Problem::NotReloaded(NotReloaded::Failed(Failed::Refused(_))) => StatusCode::CONFLICT,
            Problem::NotReloaded(NotReloaded::Failed(Failed::Gone)) => StatusCode::SERVICE_UNAVAILABLE,
            Problem::UnknownVersion(_) | Problem::UnknownRelease(_) | Problem::UnknownSignal { .. } => {
                StatusCode::NOT_FOUND
            }
            Problem::EvidenceGone(_) => StatusCode::GONE,
            Problem::Failed(Failed::Gone) | Problem::Leaving | Problem::Journal(_) | Problem::TooMany => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Problem::NotFound => StatusCode::NOT_FOUND,
            Problem::Method => StatusCode::METHOD_NOT_ALLOWED,
            Problem::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let document = Document {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: self.to_string(),
            field: match &self {
                Problem::Fields(wrong) => wrong.first().map(|wrong| wrong.field.clone()),
                Problem::Failed(Failed::Refused(Refused::AboveMost { .. })) => Some("weight".to_owned()),
                Problem::Plan { faults } => faults.iter().next().map(|fault| fault.path().to_string()),
                _ => None,
            },
            faults: match &self {
                Problem::NotReloaded(NotReloaded::Faults(faults)) | Problem::Plan { faults } => Some(faults),
                _ => None,
            },
        };
        let body = serde_json::to_vec(&document).expect("a problem is plain data");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // The rest of what was sent is not read.
        if matches!(self, Problem::TooLong(_) | Problem::TooSlow(_)) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Gives the router's own refusals, which have no body, a document too.
pub(super) async fn documented(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.headers().get(header::CONTENT_TYPE).is_some_and(|media_type| media_type == PROBLEM_JSON) {
        return response;
    }
    let problem = match response.status() {
        StatusCode::NOT_FOUND => Problem::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Problem::Method,
        _ => return response,
    };
    let allowed = response.headers().get(header::ALLOW).cloned();
    let mut response = problem.into_response();
    if let Some(allowed) = allowed {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

pub(super) fn panicked(_panic: Box<dyn Any + Send>) -> Response {
    Problem::Internal.into_response()
}
