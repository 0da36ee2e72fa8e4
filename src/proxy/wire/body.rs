//! The client's body on its way to an endpoint, frame by frame with back-pressure. Nothing is held, but for [`super::kept`].

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::kept::{Again, Kept};
use super::progress::{BodyFailure, Phase, Progress};
use super::received::{Broken, Received};

pub(in crate::proxy) enum RequestBody {
    Empty,
    Streaming {
        incoming: Received,
        progress: Rc<Progress>,
        sent: Sent,
    },
    /// It may have to be sent again.
    Kept(Rc<Kept>),
    /// And has to.
    Again(Box<Again>),
}

/// How much of a body there may be, and how slowly it may come.
pub(in crate::proxy) struct Bounds {
    /// None: as much as the client likes.
    pub most: Option<u64>,
    /// Bytes a second of the time in which it is waited for; 0: as slowly as the client likes.
    pub rate: u64,
}

pub(in crate::proxy) struct Sent {
    bytes: u64,
    bounds: Bounds,
}

/// Why a body ended half-way, for hyper, which ends the endpoint's connection.
#[derive(Debug, thiserror::Error)]
pub(in crate::proxy) enum BodyError {
    #[error("the client's body broke off")]
    Client(#[source] Broken),
    #[error("the client's body is larger than it may be")]
    Large,
}

impl RequestBody {
    /// Ends with an error where it comes to more than it may. One that comes too slowly does not keep its request alive.
    pub(in crate::proxy) fn new(incoming: Received, progress: &Rc<Progress>, bounds: Bounds) -> RequestBody {
        if incoming.is_end_stream() {
            progress.all_read.set(true);
            return RequestBody::Empty;
        }
        RequestBody::Streaming { incoming, progress: Rc::clone(progress), sent: Sent { bytes: 0, bounds } }
    }

    pub(in crate::proxy) const fn is_empty(&self) -> bool {
        matches!(self, RequestBody::Empty)
    }

    /// The same, of which up to so many bytes are kept, and whoever can have it again.
    pub(in crate::proxy) fn kept(self, most_bytes: usize) -> (RequestBody, Rc<Kept>) {
        let kept = Rc::new(Kept::new(self, most_bytes));
        (RequestBody::Kept(Rc::clone(&kept)), kept)
    }

    /// For the task of `cx`.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Streaming { incoming, progress, sent } => poll_incoming(incoming, progress, sent, cx),
            RequestBody::Kept(kept) => kept.poll(cx),
            RequestBody::Again(again) => again.poll(cx),
        }
    }

    /// As [`Progress::let_time_pass`].
    fn let_time_pass(&self) {
        if let Some(progress) = self.progress() {
            progress.let_time_pass();
        }
    }

    fn task(&self) -> Option<Waker> {
        self.progress().map(|progress| progress.task.borrow().clone())
    }

    /// Of the client that sends it; none once nothing more comes of it.
    pub(super) fn progress(&self) -> Option<Rc<Progress>> {
        match self {
            RequestBody::Empty => None,
            RequestBody::Streaming { progress, .. } => Some(Rc::clone(progress)),
            RequestBody::Kept(kept) => kept.progress(),
            RequestBody::Again(again) => again.progress(),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    /// Wakes the task of the client's connection, which is the one that drives the endpoint's.
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Streaming { incoming, progress, sent } => {
                let task = progress.task.borrow();
                poll_incoming(incoming, progress, sent, &mut Context::from_waker(&task))
            }
            RequestBody::Kept(_) | RequestBody::Again(_) => match self.task() {
                Some(task) => self.poll(&mut Context::from_waker(&task)),
                None => self.poll(cx),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Streaming { incoming, .. } => incoming.is_end_stream(),
            RequestBody::Kept(kept) => kept.is_end_stream(),
            RequestBody::Again(again) => again.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Streaming { incoming, .. } => incoming.size_hint(),
            RequestBody::Kept(kept) => kept.size_hint(),
            RequestBody::Again(again) => again.size_hint(),
        }
    }
}

impl Sent {
    /// Whether enough has come for the time in which it was waited for. While an answer streams, it is what moves that counts.
    fn keeps_up(&self, progress: &Progress) -> bool {
        let waited = || progress.awaited_body().as_millis().saturating_mul(self.bounds.rate.into()) / 1000;
        progress.phase.get() != Phase::Waiting || u128::from(self.bytes) >= waited()
    }
}

fn poll_incoming(
    incoming: &mut Received,
    progress: &Progress,
    sent: &mut Sent,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    let polled = Pin::new(incoming).poll_frame(cx);
    progress.await_body(polled.is_pending());
    if let Poll::Ready(Some(Err(error))) = &polled {
        progress.body_failure.set(Some(failure(error)));
    }
    match &polled {
        Poll::Ready(Some(Ok(frame))) => {
            sent.bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
            if sent.bounds.most.is_some_and(|most| sent.bytes > most) {
                progress.body_failure.set(Some(BodyFailure::Large));
                return Poll::Ready(Some(Err(BodyError::Large)));
            }
            if sent.keeps_up(progress) {
                progress.moved.set(true);
            }
        }
        Poll::Ready(None | Some(Err(_))) => progress.moved.set(true),
        Poll::Pending => {}
    }
    polled.map_err(BodyError::Client)
}

/// A body that another task than the client's sends.
pub(in crate::proxy) struct LentBody(Rc<Lent>);

/// Whoever may want it back.
pub(in crate::proxy) struct Lender(Rc<Lent>);

struct Lent {
    body: RefCell<RequestBody>,
    /// Something of it has been taken.
    begun: Cell<bool>,
}

impl LentBody {
    pub(in crate::proxy) fn new(body: RequestBody) -> (Lender, LentBody) {
        let lent = Rc::new(Lent { body: RefCell::new(body), begun: Cell::new(false) });
        (Lender(Rc::clone(&lent)), LentBody(lent))
    }
}

impl Lender {
    /// The whole body; none where some of it has been taken.
    pub(in crate::proxy) fn take_back(&self) -> Option<RequestBody> {
        (!self.0.begun.get()).then(|| self.0.body.replace(RequestBody::Empty))
    }
}

impl Body for LentBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = {
            let mut body = self.0.body.borrow_mut();
            body.let_time_pass();
            body.poll(cx)
        };
        self.0.begun.set(self.0.begun.get() || polled.is_ready());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.body.borrow().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.body.borrow().size_hint()
    }
}

/// A body that is no HTTP is an error of the client that it can be told; any other means that it is gone.
fn failure(error: &Broken) -> BodyFailure {
    let Broken::Http1(error) = error else { return BodyFailure::Gone };
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    match source.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => BodyFailure::Malformed,
        Some(_) | None => BodyFailure::Gone,
    }
}
