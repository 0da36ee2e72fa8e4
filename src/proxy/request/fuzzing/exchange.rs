//! Connections of hyper in memory, polled by hand: nothing of them ever has to be waited for.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use futures_util::stream;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Response, request, response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper::{client, server};

/// Enough for whatever hyper puts off to the next poll, in all that a fuzzer sends.
const POLLS: usize = 1_000;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The other side of a connection: `coming` is there at once, or when we have said something, and then it ends.
struct Memory {
    coming: Bytes,
    waits: bool,
    written: Rc<RefCell<Vec<u8>>>,
}

impl Memory {
    fn new(coming: Bytes, waits: bool) -> (Memory, Rc<RefCell<Vec<u8>>>) {
        let written = Rc::default();
        (Memory { coming, waits, written: Rc::clone(&written) }, written)
    }
}

impl Read for Memory {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if self.waits && self.written.borrow().is_empty() {
            return Poll::Pending;
        }
        let length = self.coming.len().min(to.remaining());
        to.put_slice(&self.coming[..length]);
        self.coming.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl Write for Memory {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.borrow_mut().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What hyper makes of a client's bytes: requests with their bodies and trailers, as far as those came whole.
pub(super) fn heard(bytes: &[u8]) -> Vec<(request::Parts, Bytes, Option<HeaderMap>)> {
    let heard = RefCell::new(Vec::new());
    let service = service_fn(|request: Request<Incoming>| async {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        heard.borrow_mut().push((parts, body.to_bytes(), trailers));
        Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
    });
    let (io, _) = Memory::new(Bytes::copy_from_slice(bytes), false);
    // It ends with the bytes, in order or not.
    drop(polled(server::conn::http1::Builder::new().half_close(true).serve_connection(io, service)));
    heard.into_inner()
}

/// What hyper makes of an endpoint's bytes, if they begin with an answer to `method`, and come whole.
pub(super) fn answered(method: &Method, bytes: &[u8]) -> Option<(response::Parts, Bytes, Option<HeaderMap>)> {
    let mut request = Request::new(Empty::<Bytes>::new());
    request.method_mut().clone_from(method);
    let (io, _) = Memory::new(Bytes::copy_from_slice(bytes), true);
    let (mut sender, connection) = polled(client::conn::http1::handshake(io))?.ok()?;
    let answer = async {
        let (parts, body) = sender.send_request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?;
        let trailers = body.trailers().cloned();
        Some((parts, body.to_bytes(), trailers))
    };
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    let (mut cx, mut ended) = (Context::from_waker(Waker::noop()), false);
    for _ in 0..POLLS {
        if let Poll::Ready(answer) = answer.as_mut().poll(&mut cx) {
            return answer;
        }
        ended = ended || connection.as_mut().poll(&mut cx).is_ready();
    }
    None
}

/// The bytes by which a client that has sent a request of `method` gets the answer.
pub(super) fn told(method: &Method, parts: &response::Parts, body: &Bytes) -> Vec<u8> {
    let request = format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n");
    let (io, written) = Memory::new(request.into(), false);
    let service = service_fn(|_| async {
        Ok::<_, Infallible>(Response::from_parts(parts.clone(), carried(&parts.headers, body)))
    });
    drop(polled(server::conn::http1::Builder::new().half_close(true).serve_connection(io, service)));
    written.take()
}

/// How a body is streamed, its end known or not.
fn carried(headers: &HeaderMap, body: &Bytes) -> Body {
    let is_known = headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING);
    if is_known || body.is_empty() && !headers.contains_key(TRANSFER_ENCODING) {
        return Full::new(body.clone()).boxed_unsync();
    }
    StreamBody::new(stream::iter([Ok(Frame::data(body.clone()))])).boxed_unsync()
}

fn polled<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    (0..POLLS).find_map(|_| match future.as_mut().poll(&mut cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}
