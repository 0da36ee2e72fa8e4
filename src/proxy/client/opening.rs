//! The first bytes of a connection, which say what it speaks. HTTP/2 by prior knowledge begins with a preface that is no
//! request of HTTP/1 (RFC 9113, section 3.4).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, ReadBuf};

use crate::proxy::wire::{Phase, Progress};

/// Where the next bytes of a client come from.
pub(super) enum Source {
    Socket,
    /// These were read before, and come first.
    Early(Bytes),
    /// It is not known yet what the client speaks; these are the beginning of a preface.
    Opening(Vec<u8>),
    /// It speaks HTTP/2. Whoever reads HTTP/1 has been stopped by an error.
    Http2(Bytes),
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Source {
    /// Nothing has been read that is still to be given out.
    pub(super) fn is_dry(&self) -> bool {
        match self {
            Source::Socket => true,
            Source::Opening(read) => read.is_empty(),
            Source::Early(read) | Source::Http2(read) => read.is_empty(),
        }
    }

    pub(super) fn into_bytes(self) -> Bytes {
        match self {
            Source::Socket => Bytes::new(),
            Source::Opening(read) => read.into(),
            Source::Early(read) | Source::Http2(read) => read,
        }
    }

    /// Reads where it is not the socket alone.
    pub(super) fn poll_first(
        &mut self,
        channel: &mut (impl AsyncRead + Unpin),
        progress: &Progress,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Source::Socket => Pin::new(channel).poll_read(cx, buffer),
            Source::Early(read) => {
                let length = read.remaining().min(buffer.remaining());
                buffer.put_slice(&read[..length]);
                read.advance(length);
                if read.is_empty() {
                    *self = Source::Socket;
                }
                Poll::Ready(Ok(()))
            }
            Source::Opening(_) => self.poll_opening(channel, progress, cx, buffer),
            Source::Http2(_) => Poll::Ready(Err(not_http_1())),
        }
    }

    fn poll_opening(
        &mut self,
        channel: &mut (impl AsyncRead + Unpin),
        progress: &Progress,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        buffer.put_slice(&std::mem::replace(self, Source::Socket).into_bytes());
        loop {
            let known = buffer.filled().len();
            let polled = Pin::new(&mut *channel).poll_read(cx, buffer)?;
            let read = &buffer.filled()[before..];
            if polled.is_pending() {
                if !read.is_empty() {
                    progress.phase.set(Phase::HeadBegun);
                }
                *self = Source::Opening(read.to_vec());
                buffer.set_filled(before);
                return Poll::Pending;
            }
            if read.starts_with(PREFACE) {
                *self = Source::Http2(Bytes::copy_from_slice(read));
                buffer.set_filled(before);
                return Poll::Ready(Err(not_http_1()));
            }
            let ends = buffer.filled().len() == known;
            if ends || !PREFACE.starts_with(read) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

fn not_http_1() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the connection speaks HTTP/2")
}
