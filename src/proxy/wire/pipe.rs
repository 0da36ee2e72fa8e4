//! Sends a body on a stream of HTTP/2, as fast as the peer takes it: one frame of it is held.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body, Frame};

/// Ends when all is handed over, or nothing more can be.
pub(in crate::proxy) struct Pipe<B> {
    to: SendStream<Bytes>,
    body: B,
    /// What the peer has no room for.
    waits: Option<Bytes>,
    /// What the stream is reset with where the body breaks off.
    broken: Reason,
}

impl<B> Pipe<B> {
    pub(in crate::proxy) fn new(body: B, to: SendStream<Bytes>, broken: Reason) -> Pipe<B> {
        Pipe { to, body, waits: None, broken }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Pipe<B> {
    fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            // Asked every time, or nobody would hear of a reset meanwhile.
            if self.to.poll_reset(cx)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            if self.waits.is_some() {
                if self.to.capacity() == 0 {
                    match ready!(self.to.poll_capacity(cx)) {
                        Some(capacity) => _ = capacity?,
                        // The stream takes nothing more.
                        None => return Poll::Ready(Ok(())),
                    }
                    continue;
                }
                let bytes = self.waits.take().expect("it waits");
                if self.send(bytes)? {
                    return Poll::Ready(Ok(()));
                }
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(bytes))) if bytes.is_empty() => {
                    if self.send(bytes)? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Some(Ok(Ok(bytes))) => {
                    // Not before there is something to send: room that nobody uses would be kept from other streams. Nor
                    // for all of it: what is sent beyond asks for as much itself.
                    self.to.reserve_capacity(1);
                    self.waits = Some(bytes);
                }
                Some(Ok(Err(frame))) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.to.reserve_capacity(0);
                        return Poll::Ready(self.to.send_trailers(trailers));
                    }
                }
                Some(Err(_)) => {
                    self.to.send_reset(self.broken);
                    return Poll::Ready(Ok(()));
                }
                None => return Poll::Ready(self.to.send_data(Bytes::new(), true)),
            }
        }
    }

    /// True where this is the end.
    fn send(&mut self, bytes: Bytes) -> Result<bool, h2::Error> {
        let ends = self.body.is_end_stream();
        self.to.send_data(bytes, ends).map(|()| ends)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Future for Pipe<B> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_all(cx).map(|ended| {
            if let Err(error) = ended {
                tracing::debug!(%error, "a body could not be sent on");
            }
        })
    }
}
