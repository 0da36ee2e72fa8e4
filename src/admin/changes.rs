//! What every change has in common: its body is received whole and in time, it is done once however often it is sent, and not
//! at all where something was decided that whoever asks has not seen.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use super::Context;
use super::access::Actor;
use super::body::Received;
use super::once::{Answered, Fingerprint, Turn};
use super::problem::Problem;
use crate::control::command::Change;
use crate::control::revision::{Revision, Seen};
use crate::control::status::Status;
use crate::live::Addresses;

/// Who asks for a change, and on what condition.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub actor: String,
    pub seen: Seen,
}

/// The status, by a tag that tells it from others.
pub(super) struct Shown(pub Arc<Status>);

pub(super) type Answer = Result<Shown, Problem>;

pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Says that an answer was given before.
pub(super) const REPLAYED: &str = "idempotent-replayed";

/// Longer is no key: those of other services are UUIDs.
const LONGEST_KEY: usize = 255;

impl FromRequestParts<Context> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Context) -> Result<Caller, Problem> {
        let Actor(actor) = parts.extensions.get::<Actor>().cloned().ok_or(Problem::Internal)?;
        Ok(Caller { actor, seen: seen(&parts.headers)? })
    }
}

impl Context {
    /// Has a change made, and answers when it is in force and recorded.
    pub(super) async fn change(&self, seen: Seen, change: Change, found: Addresses) -> Answer {
        Ok(Shown(self.commands.send_if(seen, change, found).await?))
    }
}

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        let Shown(status) = self;
        let bytes = serde_json::to_vec(&*status).expect("a status is plain data");
        let content = u64::from_be_bytes(*Sha256::digest(&bytes).first_chunk().expect("a digest is longer"));
        let tag = format!("\"{}.{content:016x}\"", status.revision);
        let mut response = ([(header::CONTENT_TYPE, "application/json")], bytes).into_response();
        response.headers_mut().insert(header::ETAG, HeaderValue::try_from(tag).expect("it is ASCII"));
        response
    }
}

impl Shown {
    /// Not again for whoever has it already.
    pub(super) fn unless_known(self, headers: &HeaderMap) -> Response {
        let response = self.into_response();
        let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
        let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let is_known = known
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag);
        if !is_known {
            return response;
        }
        let tag = response.headers()[header::ETAG].clone();
        (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response()
    }
}

/// By `If-Match`. Of a tag only what rises with decisions counts: what is counted of requests changes all the time.
fn seen(headers: &HeaderMap) -> Result<Seen, Problem> {
    let mut revisions = Vec::new();
    let mut is_asked = false;
    for value in headers.get_all(header::IF_MATCH) {
        is_asked = true;
        let list = value.to_str().map_err(|_| Problem::header("If-Match", "is no text"))?.trim();
        if list == "*" {
            return Ok(Seen::Whatever);
        }
        for tag in list.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            let strong = tag.strip_prefix("W/").unwrap_or(tag);
            let quoted = strong.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            let quoted = quoted
                .ok_or_else(|| Problem::header("If-Match", "write the ETag of GET /v1/status, with its quotes"))?;
            // A tag of something else is that of no status.
            revisions.extend(quoted.rsplit_once('.').and_then(|(revision, _)| revision.parse::<Revision>().ok()));
        }
    }
    Ok(if is_asked { Seen::OneOf(revisions) } else { Seen::Whatever })
}

/// Receives a body of at most `most` bytes, and hands the request on once for each key.
pub(super) async fn receive(
    State((context, most)): State<(Context, usize)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    if content_length(&parts.headers).is_some_and(|length| length > most as u64) {
        return Err(Problem::TooLong(most));
    }
    let longest = context.settings().deadline;
    let received = tokio::time::timeout(longest, axum::body::to_bytes(body, most)).await;
    let bytes = received.map_err(|_| Problem::TooSlow(longest))?.map_err(|_| Problem::TooLong(most))?;
    let Some(key) = key(&parts.headers)? else {
        parts.extensions.insert(Received(bytes));
        return Ok(next.run(Request::from_parts(parts, Body::empty())).await);
    };
    let Actor(actor) = parts.extensions.get::<Actor>().cloned().ok_or(Problem::Internal)?;
    let fingerprint = fingerprint(&parts, &bytes);
    parts.extensions.insert(Received(bytes));
    let request = Request::from_parts(parts, Body::empty());
    match context.shared.once.turn(&actor, &key, fingerprint)? {
        Turn::Again(answer) => answer.wait().await.map(Answered::again),
        Turn::First(first) => {
            // To its end, also when whoever asked has gone: what is asked for again has to know how it ended.
            let done = tokio::spawn(async move {
                let answer = Answered::of(next.run(request).await).await;
                first.answer(answer)
            });
            done.await.map(Answered::first).map_err(|_| Problem::Internal)
        }
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

const ONE_WORD: &str = "write ASCII letters, digits and punctuation, without spaces";

/// With or without the quotes of a structured field.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = keys.next() else { return Ok(None) };
    let wrong = |what: &str| Problem::header("Idempotency-Key", what);
    if keys.next().is_some() {
        return Err(wrong("is there twice"));
    }
    let text = value.to_str().map_err(|_| wrong(ONE_WORD))?.trim();
    let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if key.is_empty() {
        return Err(wrong("is empty; write a UUID"));
    }
    if text.len() > LONGEST_KEY {
        return Err(wrong("is longer than 255 characters"));
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"') {
        return Err(wrong(ONE_WORD));
    }
    Ok(Some(key.to_owned()))
}

/// What makes two requests the same.
fn fingerprint(parts: &Parts, body: &[u8]) -> Fingerprint {
    let mut digest = Sha256::new();
    let target = parts.uri.path_and_query().map(http::uri::PathAndQuery::as_str).unwrap_or_default();
    let condition = parts.headers.get(header::IF_MATCH).map(HeaderValue::as_bytes).unwrap_or_default();
    for part in [parts.method.as_str().as_bytes(), target.as_bytes(), condition, body] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// How long somebody waits who sends again what is still being done: as long as anybody for the first.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(30);
