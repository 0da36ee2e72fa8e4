//! The client's body where it may have to be sent again: what has gone of it is kept, up to a bound.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::body::{BodyError, RequestBody};
use super::progress::Progress;

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

/// One body, on its first way.
pub(in crate::proxy) struct Kept {
    body: RefCell<RequestBody>,
    gone: RefCell<Gone>,
    /// Nothing comes after what has gone.
    ended: Cell<bool>,
    most_bytes: usize,
}

/// What has gone.
enum Gone {
    Known {
        /// Of its own: what came may be a small part of a large buffer.
        data: BytesMut,
        trailers: Option<HeaderMap>,
    },
    /// It was more than is kept, or broke off.
    Lost,
    /// On its second way.
    Given,
}

/// The same body on its second way: what had gone, and then the rest.
pub(in crate::proxy) struct Again {
    data: Bytes,
    trailers: Option<HeaderMap>,
    rest: RequestBody,
}

impl Kept {
    pub(super) fn new(body: RequestBody, most_bytes: usize) -> Kept {
        let gone = Gone::Known { data: BytesMut::new(), trailers: None };
        Kept { body: RefCell::new(body), gone: RefCell::new(gone), ended: Cell::new(false), most_bytes }
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Polled {
        let polled = self.body.borrow_mut().poll(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => self.ended.set(true),
            Poll::Ready(Some(Ok(frame))) => self.keep(frame),
            Poll::Ready(Some(Err(_))) => *self.gone.borrow_mut() = Gone::Lost,
        }
        polled
    }

    fn keep(&self, frame: &Frame<Bytes>) {
        let mut gone = self.gone.borrow_mut();
        let Gone::Known { data, trailers } = &mut *gone else { return };
        if let Some(more) = frame.data_ref() {
            if data.len() + more.len() > self.most_bytes {
                *gone = Gone::Lost;
                return;
            }
            data.extend_from_slice(more);
        } else if let Some(last) = frame.trailers_ref() {
            *trailers = Some(last.clone());
            self.ended.set(true);
        }
    }

    /// Whether it has a second way, or had one.
    pub(in crate::proxy) fn is_whole(&self) -> bool {
        !matches!(*self.gone.borrow(), Gone::Lost)
    }

    /// The whole body once more, the first time; none where it is not known. Whoever still has it on its first way finds it ended.
    pub(in crate::proxy) fn again(&self) -> Option<RequestBody> {
        if !self.is_whole() {
            return None;
        }
        let Gone::Known { data, trailers } = self.gone.replace(Gone::Given) else { return None };
        let rest = self.body.replace(RequestBody::Empty);
        let rest = if self.ended.get() { RequestBody::Empty } else { rest };
        let again = Again { data: data.freeze(), trailers, rest };
        Some(if again.is_end_stream() { RequestBody::Empty } else { RequestBody::Again(Box::new(again)) })
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.body.borrow().is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.borrow().size_hint()
    }

    pub(super) fn progress(&self) -> Option<Rc<Progress>> {
        self.body.borrow().progress()
    }
}

impl Again {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Polled {
        if !self.data.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.data)))));
        }
        match self.trailers.take() {
            Some(trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            None => self.rest.poll(cx),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none() && self.rest.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let (had, mut hint) = (self.data.len() as u64, self.rest.size_hint());
        match hint.exact() {
            Some(rest) => hint.set_exact(had + rest),
            None => hint.set_lower(had + hint.lower()),
        }
        hint
    }

    pub(super) fn progress(&self) -> Option<Rc<Progress>> {
        self.rest.progress()
    }
}
