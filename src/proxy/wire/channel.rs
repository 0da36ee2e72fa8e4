//! What HTTP with a client goes through: its socket as it is, or TLS on it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::socket::Socket;

/// Shared by all that read from one client and write to it, within one task.
#[derive(Clone)]
pub(in crate::proxy) enum Channel {
    Plain(Socket),
    Tls(Rc<RefCell<TlsStream<Socket>>>),
}

/// `$call` on whatever the bytes go through.
macro_rules! either {
    ($channel:expr, $stream:ident => $call:expr) => {
        match $channel.get_mut() {
            Channel::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Channel::Tls(shared) => {
                let mut stream = shared.borrow_mut();
                let $stream = Pin::new(&mut *stream);
                $call
            }
        }
    };
}

impl Channel {
    pub(in crate::proxy) fn secured(stream: TlsStream<Socket>) -> Channel {
        Channel::Tls(Rc::new(RefCell::new(stream)))
    }

    /// Both sides have agreed on HTTP/2 (RFC 7301).
    pub(in crate::proxy) fn is_http2(&self) -> bool {
        match self {
            Channel::Plain(_) => false,
            Channel::Tls(stream) => stream.borrow().get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// Ready when a read may have something to tell: also where TLS holds what the kernel has given away already.
    pub(in crate::proxy) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Channel::Plain(socket) => socket.poll_readable(cx),
            Channel::Tls(stream) => match stream.borrow().get_ref() {
                (socket, session) if session.wants_read() => socket.poll_readable(cx),
                _ => Poll::Ready(Ok(())),
            },
        }
    }

    /// Everything written has been given to the kernel.
    pub(in crate::proxy) fn is_drained(&self) -> bool {
        match self {
            Channel::Plain(socket) => socket.is_drained(),
            Channel::Tls(stream) => {
                let stream = stream.borrow();
                let (socket, session) = stream.get_ref();
                socket.is_drained() && !session.wants_write()
            }
        }
    }

    /// Says goodbye where the protocol has a word for it, and does not wait until it is sent.
    pub(in crate::proxy) fn say_end(&self) {
        let Channel::Tls(stream) = self else { return };
        let mut stream = stream.borrow_mut();
        stream.get_mut().1.send_close_notify();
        let mut nobody = Context::from_waker(Waker::noop());
        if let Poll::Ready(Err(error)) = Pin::new(&mut *stream).poll_flush(&mut nobody) {
            tracing::trace!(%error, "the client was gone first");
        }
    }

    /// Sends what waits and ends our side.
    pub(in crate::proxy) async fn end(mut self) -> io::Result<()> {
        self.shutdown().await
    }

    /// As [`Channel::end`], after an answer that was cut off: TLS does not say that this is the end (RFC 8446, section 6.1),
    /// so that nobody takes it for one.
    pub(in crate::proxy) async fn end_abruptly(mut self) -> io::Result<()> {
        self.flush().await?;
        let mut socket = match self {
            Channel::Plain(socket) => socket,
            Channel::Tls(stream) => stream.borrow().get_ref().0.clone(),
        };
        socket.shutdown().await
    }
}

impl AsyncRead for Channel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Channel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// TLS may hold records that the socket had no room for.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}
