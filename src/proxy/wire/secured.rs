//! TLS between us and an endpoint: below what sends, so that what is written in one event batch is sealed as one.

use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::stream::Stream;

/// A connection whose handshake is done.
#[derive(Debug)]
pub(in crate::proxy) struct Secured {
    tls: TlsStream<Stream>,
    /// How many of the bytes that were offered last are sealed, and not all given to the kernel. Whoever was told that there
    /// is no room offers them again.
    sealed: usize,
}

/// What the kernel has or takes by now.
struct Direct<'s>(&'s mut Stream);

/// As [`Direct`], also where it has not told that there is something.
struct Asked<'s>(&'s Stream);

impl Secured {
    pub(in crate::proxy) fn new(tls: TlsStream<Stream>) -> Secured {
        Secured { tls, sealed: 0 }
    }

    pub(super) fn stream(&self) -> &Stream {
        self.tls.get_ref().0
    }

    /// Ready when a read may have something to tell: also where TLS holds what the kernel has given away already.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.tls.get_ref() {
            (stream, session) if session.wants_read() => stream.poll_read_ready(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// What came says nothing to whoever uses the connection, and neither does what the kernel knows of: at most what TLS says
    /// to itself, such as a ticket for another session.
    pub(super) fn is_silent(&mut self) -> bool {
        let (stream, session) = self.tls.get_mut();
        loop {
            if !session.wants_read() {
                return false;
            }
            match session.read_tls(&mut Asked(stream)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Ok(0) | Err(_) => return false,
                Ok(_) if session.process_new_packets().is_err() => return false,
                Ok(_) => {}
            }
        }
    }

    /// How many bytes the kernel has taken all of; those that it has only taken a part of have to be offered again.
    pub(super) fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.give()?;
        if self.sealed == 0 {
            self.sealed = self.tls.get_mut().1.writer().write_vectored(slices)?;
            self.give()?;
        }
        Ok(std::mem::take(&mut self.sealed))
    }

    /// Gives what is sealed to the kernel.
    fn give(&mut self) -> io::Result<()> {
        let (stream, session) = self.tls.get_mut();
        while session.wants_write() {
            session.write_tls(&mut Direct(stream))?;
        }
        Ok(())
    }
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.stream().poll_write_ready(cx))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    /// Says that this is the end.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}

impl Write for Direct<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Asked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*socket2::SockRef::from(self.0)).read(buffer)
    }
}
