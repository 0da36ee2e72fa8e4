//! The client's body on its way to an endpoint, frame by frame with back-pressure. Nothing is held.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::progress::{BodyFailure, Progress};

pub(in crate::proxy) enum RequestBody {
    Empty,
    Streaming { incoming: Incoming, progress: Rc<Progress>, left: u64 },
}

/// Why a body ended half-way, for hyper, which ends the endpoint's connection.
#[derive(Debug, thiserror::Error)]
pub(in crate::proxy) enum BodyError {
    #[error("the client's body broke off")]
    Client(#[source] hyper::Error),
    #[error("the client's body is larger than it may be")]
    Large,
}

impl RequestBody {
    /// Ends with an error where it comes to more than `most` bytes.
    pub(in crate::proxy) fn new(incoming: Incoming, progress: &Rc<Progress>, most: Option<u64>) -> RequestBody {
        if incoming.is_end_stream() {
            progress.all_read.set(true);
            return RequestBody::Empty;
        }
        RequestBody::Streaming { incoming, progress: Rc::clone(progress), left: most.unwrap_or(u64::MAX) }
    }

    pub(in crate::proxy) const fn is_empty(&self) -> bool {
        matches!(self, RequestBody::Empty)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    /// Wakes the task of the client's connection, which is the one that drives the endpoint's.
    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Streaming { incoming, progress, left } => {
                let task = progress.task.borrow();
                let polled = Pin::new(&mut *incoming).poll_frame(&mut Context::from_waker(&task));
                progress.await_body(polled.is_pending());
                if let Poll::Ready(Some(Err(error))) = &polled {
                    progress.body_failure.set(Some(failure(error)));
                }
                if polled.is_ready() {
                    progress.moved.set(true);
                }
                if let Poll::Ready(Some(Ok(frame))) = &polled {
                    let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                    let Some(rest) = left.checked_sub(length) else {
                        progress.body_failure.set(Some(BodyFailure::Large));
                        return Poll::Ready(Some(Err(BodyError::Large)));
                    };
                    *left = rest;
                }
                polled.map_err(BodyError::Client)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Streaming { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Streaming { incoming, .. } => incoming.size_hint(),
        }
    }
}

/// A body that is no HTTP is an error of the client that it can be told; any other means that it is gone.
fn failure(error: &hyper::Error) -> BodyFailure {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    match source.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => BodyFailure::Malformed,
        Some(_) | None => BodyFailure::Gone,
    }
}
