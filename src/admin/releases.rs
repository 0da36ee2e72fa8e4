//! What is recorded of releases. The disk is read on threads that may wait.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header;

use super::Context;
use super::problem::Problem;
use crate::journal::{Archive, ReadError, ReleaseDocument, ReleaseHeader, Slot};

/// What stands for a release in a path. What is no text is the id of none.
pub(super) type Id = Result<Path<String>, PathRejection>;

/// All that are kept, the newest first.
pub(super) async fn list(State(context): State<Context>) -> Result<Json<Vec<ReleaseHeader>>, Problem> {
    Ok(Json(read(&context, Archive::releases).await?))
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
