//! One side of a tunnel: a connection of its own, or a stream of HTTP/2.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::channel::Channel;

/// Shared by all that read from it and write to it, within one task.
#[derive(Clone)]
pub(in crate::proxy) enum Side {
    Connection(Channel),
    Stream(Rc<RefCell<Duplex>>),
}

/// Bytes on a stream of HTTP/2 in place of a connection (RFC 8441, section 5). Dropped before both sides have ended, it is reset:
/// by CANCEL, or without an error where ours has ended.
pub(in crate::proxy) struct Duplex {
    to: SendStream<Bytes>,
    from: RecvStream,
    /// Has come, and was not read.
    rest: Bytes,
}

/// `$call` on whatever the bytes go through.
macro_rules! either {
    ($side:expr, $stream:ident => $call:expr) => {
        match $side.get_mut() {
            Side::Connection(channel) => {
                let $stream = Pin::new(channel);
                $call
            }
            Side::Stream(shared) => {
                let mut stream = shared.borrow_mut();
                let $stream = Pin::new(&mut *stream);
                $call
            }
        }
    };
}

impl Side {
    pub(in crate::proxy) fn stream(to: SendStream<Bytes>, from: RecvStream) -> Side {
        Side::Stream(Rc::new(RefCell::new(Duplex { to, from, rest: Bytes::new() })))
    }

    /// Ready when the peer has broken the tunnel off, also where nothing is read or written. A connection tells it when it is.
    pub(in crate::proxy) fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Side::Stream(stream) = self else { return Poll::Pending };
        match ready!(stream.borrow_mut().to.poll_reset(cx)) {
            // What it has said is whole, and still to be read.
            Ok(Reason::NO_ERROR) => Poll::Pending,
            Ok(_) | Err(_) => Poll::Ready(()),
        }
    }
}

impl Duplex {
    /// Some of what has come; nothing at the end.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut Bytes>> {
        while self.rest.is_empty() {
            match ready!(self.from.poll_data(cx)) {
                Some(Ok(bytes)) => self.rest = bytes,
                Some(Err(error)) => return Poll::Ready(Err(reset(error))),
                None => break,
            }
        }
        Poll::Ready(Ok(&mut self.rest))
    }
}

fn reset(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

impl AsyncRead for Duplex {
    /// What is read here makes room for as much.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let rest = ready!(self.poll_rest(cx))?;
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..length]);
        rest.advance(length);
        Poll::Ready(self.from.flow_control().release_capacity(length).map_err(reset))
    }
}

impl AsyncWrite for Duplex {
    /// No more than the peer has room for.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.to.reserve_capacity(bytes.len());
        while self.to.capacity() == 0 {
            match ready!(self.to.poll_capacity(cx)) {
                Some(capacity) => _ = capacity.map_err(reset)?,
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let length = bytes.len().min(self.to.capacity());
        self.to.send_data(Bytes::copy_from_slice(&bytes[..length]), false).map_err(reset)?;
        self.to.reserve_capacity(0);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.to.send_data(Bytes::new(), true).map_err(reset))
    }
}

impl AsyncRead for Side {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Side {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}
