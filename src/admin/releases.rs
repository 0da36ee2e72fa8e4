//! What is recorded of releases. The disk is read on threads that may wait.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderValue, Uri, header};

use super::Context;
use super::problem::Problem;
use super::query::Parameters;
use crate::journal::{Archive, ReadError, ReleaseDocument, ReleaseHeader, Slot};

/// What stands for a release in a path. What is no text is the id of none.
pub(super) type Id = Result<Path<String>, PathRejection>;

/// Releases on a page unless said, and at most.
pub(super) const PAGE: u32 = 100;
pub(super) const LONGEST_PAGE: u32 = 1000;

/// A page of them, the newest first, and where the next is.
pub(super) async fn list(State(context): State<Context>, uri: Uri) -> Result<Response, Problem> {
    let parameters = Parameters::of(&uri, &["limit", "before"])?;
    let limit = parameters.number("limit", 1..=LONGEST_PAGE)?.unwrap_or(PAGE);
    let before = parameters.number("before", 0..=u32::MAX)?;
    let mut page = read(&context, move |archive| archive.page(before, limit as usize + 1)).await?;
    let more = page.len() > limit as usize;
    page.truncate(limit as usize);
    let next = page.last().filter(|_| more).map(|last| {
        let link = format!("</v1/releases?limit={limit}&before={}>; rel=\"next\"", last.epoch);
        HeaderValue::try_from(link).expect("numbers are ASCII")
    });
    let mut response = Json(page).into_response();
    response.headers_mut().extend(next.map(|next| (header::LINK, next)));
    Ok(response)
}

/// One release with its decisions.
pub(super) async fn one(State(context): State<Context>, id: Id) -> Result<Json<ReleaseDocument>, Problem> {
    Ok(Json(document(&context, id).await?))
}

/// The inputs of the deciding core, a JSON document a line. One chunk of them is in memory at a time.
pub(super) async fn evidence(State(context): State<Context>, id: Id) -> Result<Response, Problem> {
    let ReleaseHeader { epoch, id, .. } = document(&context, id).await?.record.header;
    if read(&context, move |archive| archive.first_chunk(epoch)).await? != Some(0) {
        return Err(Problem::EvidenceGone(id));
    }
    let lines = stream::try_unfold(Some(0), move |next| {
        let context = context.clone();
        async move {
            let Some(from) = next else { return Ok::<_, Problem>(None) };
            let chunk = read(&context, move |archive| chunk(archive, epoch, from)).await?;
            Ok(chunk.map(|(number, slots)| (lines(&slots), number.checked_add(1))))
        }
    });
    let body = Body::from_stream(lines);
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// The next chunk. What lies behind a gap is no continuation.
fn chunk(archive: &Archive, epoch: u32, from: u32) -> Result<Option<(u32, Vec<Slot>)>, ReadError> {
    match archive.chunk(epoch, from)? {
        Some((number, _)) if number != from => {
            Err(ReadError::Corrupt(format!("chunk {from} of the evidence of release {epoch} is missing")))
        }
        chunk => Ok(chunk),
    }
}

fn lines(slots: &[Slot]) -> Bytes {
    let mut lines = Vec::new();
    for slot in slots {
        serde_json::to_writer(&mut lines, slot).expect("a slot is plain data");
        lines.push(b'\n');
    }
    lines.into()
}

async fn document(context: &Context, id: Id) -> Result<ReleaseDocument, Problem> {
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let wanted = id.clone();
    let found = read(context, move |archive| archive.release(&wanted)).await?;
    found.ok_or(Problem::UnknownRelease(id))
}

pub(super) async fn read<T: Send + 'static>(
    context: &Context,
    read: impl FnOnce(&Archive) -> Result<T, ReadError> + Send + 'static,
) -> Result<T, Problem> {
    let archive = context.archive.clone().ok_or(Problem::NoJournal)?;
    let result = tokio::task::spawn_blocking(move || read(&archive)).await.map_err(|_| Problem::Internal)?;
    Ok(result?)
}
