//! A connection by whatever carries it. An enum and no trait object: which one it is is known at every call for the price of a
//! branch.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::secured::Secured;
use crate::config::HTTP2;

#[derive(Debug)]
pub(in crate::proxy) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// With TLS on one of the others.
    Secured(Box<Secured>),
}

/// `$call` on whichever stream it is.
macro_rules! either {
    ($stream:expr, $name:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($name) => $call,
            Stream::Unix($name) => $call,
            Stream::Secured($name) => $call,
        }
    };
}

impl Stream {
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read_ready(cx))
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => stream.poll_write_ready(cx),
            Stream::Unix(stream) => stream.poll_write_ready(cx),
            Stream::Secured(stream) => stream.stream().poll_write_ready(cx),
        }
    }

    /// Bytes for which there is no room have to be offered again.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_write(bytes),
            Stream::Unix(stream) => stream.try_write(bytes),
            Stream::Secured(stream) => stream.try_write_vectored(&[io::IoSlice::new(bytes)]),
        }
    }

    pub(super) fn try_write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        either!(self, stream => stream.try_write_vectored(slices))
    }

    /// Whether the kernel knows of nothing that came for whoever uses the connection, not even of the end. It is asked, and
    /// not what it told before.
    pub(super) fn is_silent(&mut self) -> bool {
        if let Stream::Secured(stream) = self {
            return stream.is_silent();
        }
        let peeked = socket2::SockRef::from(&*self).peek(&mut [MaybeUninit::uninit()]);
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// How many bytes have come and were not read, one at most; 0 at the end.
    pub(super) fn poll_peek(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let peek = || socket2::SockRef::from(self).peek(&mut [MaybeUninit::uninit()]);
        loop {
            ready!(self.poll_read_ready(cx))?;
            let peeked = match self {
                Stream::Tcp(stream) => stream.try_io(Interest::READABLE, peek),
                Stream::Unix(stream) => stream.try_io(Interest::READABLE, peek),
                Stream::Secured(stream) => return stream.stream().poll_peek(cx),
            };
            match peeked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                peeked => return Poll::Ready(peeked),
            }
        }
    }

    /// TLS has agreed on HTTP/2.
    pub(in crate::proxy) fn has_agreed_on_http2(&self) -> bool {
        matches!(self, Stream::Secured(secured) if secured.alpn() == Some(HTTP2))
    }

    /// Another descriptor of the same connection.
    pub(super) fn twin(&self) -> io::Result<Stream> {
        let twin = || self.as_fd().try_clone_to_owned();
        match self {
            Stream::Tcp(_) => TcpStream::from_std(twin()?.into()).map(Stream::Tcp),
            Stream::Unix(_) => UnixStream::from_std(twin()?.into()).map(Stream::Unix),
            Stream::Secured(secured) => secured.stream().twin(),
        }
    }

    /// Waits until the peer has reset the connection.
    pub(super) async fn failed(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.ready(Interest::ERROR).await.map(|_| ()),
            Stream::Unix(stream) => stream.ready(Interest::ERROR).await.map(|_| ()),
            Stream::Secured(stream) => Box::pin(stream.stream().failed()).await,
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Stream {
        Stream::Tcp(stream)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Secured(stream) => stream.stream().as_fd(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(&mut *stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(&mut *stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(&mut *stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(&mut *stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(&mut *stream).poll_shutdown(cx))
    }
}
