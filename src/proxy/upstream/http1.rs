//! HTTP/1 with an endpoint: one request at a time on one connection, moved on by whoever polls. [`head`] is how heads are
//! written and read, [`body`] how bodies are framed.
//!
//! Ours for its price: a library would hand each request to another task, and its answer back. Absent: pipelining.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::proxy::wire::{self, RequestBody, Socket};

mod body;
#[cfg(feature = "fuzzing")]
pub(in crate::proxy) mod fuzzing;
mod head;

use body::{Framing, Outgoing, Reading, Step};
use head::{Came, Span};

/// The state of one connection.
pub(super) struct Http1 {
    socket: Socket,
    /// What has come and was not used.
    buffer: BytesMut,
    /// For as much there is room at the next read.
    read_bytes: usize,
    /// As large may a head be.
    head_bytes: usize,
    outgoing: Outgoing,
    /// What is still to come of the request.
    body: Option<(RequestBody, Framing)>,
    reading: Reading,
    is_head: bool,
    /// It can carry another request after this one.
    lasts: bool,
    /// The rest of the request cannot be sent.
    broke_off: bool,
    /// Where the fields of the next head have room.
    fields: HeaderMap,
    spans: Vec<Span>,
}

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub(in crate::proxy) enum Broken {
    #[error("the endpoint ended the connection")]
    Ended,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a head that is no HTTP: {0}")]
    Head(#[from] httparse::Error),
    #[error("a head that says of its body what cannot be")]
    Framing,
    #[error("a head that is larger than it may be")]
    LargeHead,
    #[error("a body that is no HTTP")]
    Body,
    #[error("the body of the request broke off")]
    Request,
    #[error(transparent)]
    Http2(#[from] wire::Broken),
}

/// Of a read at first, and as few as it becomes.
const READ_BYTES: usize = 8 * 1024;

/// Room for a usual request head, which a connection keeps.
const HEAD_KEPT_BYTES: usize = 1024;

impl Http1 {
    pub(super) fn new(socket: Socket, head_bytes: usize) -> Http1 {
        Http1 {
            socket,
            buffer: BytesMut::new(),
            read_bytes: READ_BYTES,
            head_bytes,
            outgoing: Outgoing::default(),
            body: None,
            reading: Reading::Done,
            is_head: false,
            lasts: true,
            broke_off: false,
            fields: HeaderMap::new(),
            spans: Vec::new(),
        }
    }

    /// Takes a request, where there is no other.
    pub(super) fn give(&mut self, request: Request<RequestBody>) {
        let (mut parts, body) = request.into_parts();
        let framing = Framing::of(&parts.headers, &body);
        let line = &mut self.outgoing.line;
        line.clear();
        line.shrink_to(HEAD_KEPT_BYTES);
        head::write(line, &parts, &framing);
        self.outgoing.written = 0;
        self.is_head = parts.method == Method::HEAD;
        self.reading = Reading::Head;
        self.body = match framing {
            Framing::Nothing => None,
            framing => Some((body, framing)),
        };
        parts.headers.clear();
        self.fields = parts.headers;
    }

    /// The head of the last request, as it was written.
    pub(super) fn given_head(&self) -> &[u8] {
        &self.outgoing.line
    }

    /// Sends, and waits for the head of the answer. Those before it go to `interim`.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        mut interim: impl FnMut(Response<()>),
    ) -> Poll<Result<Response<()>, Broken>> {
        let sent = self.poll_send(cx);
        loop {
            while let Some(came) =
                head::read(&mut self.buffer, &mut self.fields, &mut self.spans, self.is_head, self.head_bytes)?
            {
                match came {
                    Came::Interim(head) => interim(head),
                    Came::Answer { head, reading, lasts } => {
                        self.reading = reading;
                        self.lasts &= lasts;
                        return Poll::Ready(Ok(head));
                    }
                }
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Broken::Ended)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                // It may have answered before the request broke off.
                Poll::Pending => {
                    sent?;
                    return Poll::Pending;
                }
            }
        }
    }

    /// What comes after the head; while it does, the rest of the request is sent.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let sent = self.poll_send(cx);
        loop {
            match self.reading.step(&mut self.buffer)? {
                Step::Frame(frame) => return Poll::Ready(Some(Ok(frame))),
                Step::End => return Poll::Ready(None),
                Step::More => {}
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(0)) => {
                    self.lasts = false;
                    return Poll::Ready(self.reading.ended().err().map(Err));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Pending => {
                    sent?;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Nothing more comes of the answer.
    pub(super) fn is_end_stream(&self) -> bool {
        matches!(self.reading, Reading::Done)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.reading.size_hint()
    }

    /// Whether it can carry another request, as far as the last one says.
    pub(super) fn is_ready(&self) -> bool {
        self.is_end_stream() && self.lasts && self.body.is_none() && self.outgoing.is_empty() && self.buffer.is_empty()
    }

    /// As [`Http1::poll_head`] where it is known that nothing has come, and who is to be woken when something does.
    pub(super) fn poll_head_of_quiet(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<()>, Broken>> {
        self.poll_send(cx)?;
        Poll::Pending
    }

    /// Nothing has come that nobody asked for, not even the end. From then on `task` is woken when something does.
    pub(super) fn is_quiet(&mut self, task: &Waker) -> bool {
        let mut cx = Context::from_waker(task);
        self.socket.poll_readable(&mut cx).is_pending() || self.poll_read(&mut cx).is_pending()
    }

    /// Sends what can be of a request that is not whole.
    pub(super) fn end_sending(&mut self) {
        self.poll_send(&mut Context::from_waker(Waker::noop())).ok();
    }

    /// What was read and belongs to what comes after HTTP.
    pub(super) fn into_early(self) -> Bytes {
        self.buffer.freeze()
    }

    /// Sends until there is no room, or the body has nothing more for now.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        if self.broke_off {
            return Err(Broken::Request);
        }
        let sent = self.send_some(cx);
        if sent.is_err() {
            (self.broke_off, self.lasts) = (true, false);
        }
        sent
    }

    fn send_some(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        loop {
            while !self.outgoing.is_empty() {
                let written = {
                    let mut slices = [io::IoSlice::new(&[]); Outgoing::PARTS];
                    let count = self.outgoing.slices(&mut slices);
                    Pin::new(&mut self.socket).poll_write_vectored(cx, &slices[..count])
                };
                match written {
                    Poll::Ready(Ok(length)) => self.outgoing.advance(length),
                    // It may have answered before it stopped to read, and reading tells whether it has.
                    Poll::Ready(Err(error)) if is_deaf(&error) => {
                        self.outgoing.discard();
                        self.lasts = false;
                    }
                    Poll::Ready(Err(error)) => return Err(error.into()),
                    Poll::Pending => return Ok(()),
                }
            }
            let Some((body, framing)) = &mut self.body else { return Ok(()) };
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => framing.frame(frame, body.is_end_stream(), &mut self.outgoing)?,
                Poll::Ready(None) => framing.end(&mut self.outgoing)?,
                Poll::Ready(Some(Err(_))) => return Err(Broken::Request),
                Poll::Pending => return Ok(()),
            }
            if framing.is_over() {
                self.body = None;
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buffer.reserve(self.read_bytes);
        let length = ready!(pin!(self.socket.read_buf(&mut self.buffer)).poll(cx))?;
        if length >= self.read_bytes {
            self.read_bytes = (2 * self.read_bytes).min(self.head_bytes.max(READ_BYTES));
        } else if length < self.read_bytes / 2 {
            self.read_bytes = (self.read_bytes / 2).max(READ_BYTES);
        }
        Poll::Ready(Ok(length))
    }
}

/// It reads no more.
fn is_deaf(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests;
