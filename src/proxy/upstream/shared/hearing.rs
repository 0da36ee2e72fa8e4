//! The endpoint's bytes, when the last came, and whether its settings are among them.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Heard;
use crate::proxy::wire::Socket;

pub(super) struct Hearing {
    socket: Socket,
    heard: Rc<Heard>,
    /// Of the first frame, which has the settings (RFC 9113, section 3.4).
    head: Vec<u8>,
    payload: usize,
}

const HEAD_BYTES: usize = 9;

impl Hearing {
    pub(super) fn new(socket: Socket, heard: &Rc<Heard>) -> Hearing {
        Hearing { socket, heard: Rc::clone(heard), head: Vec::with_capacity(HEAD_BYTES), payload: 0 }
    }

    /// h2 knows what has come before anybody else does anything.
    fn look_for_settings(&mut self, bytes: &[u8]) {
        let (head, payload) = bytes.split_at(bytes.len().min(HEAD_BYTES - self.head.len()));
        self.head.extend_from_slice(head);
        self.payload += payload.len();
        if let [high, middle, low, ..] = self.head[..]
            && self.head.len() == HEAD_BYTES
            && self.payload >= u32::from_be_bytes([0, high, middle, low]) as usize
        {
            self.heard.has_settings.set(true);
        }
    }
}

impl AsyncRead for Hearing {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if read.is_ready() {
            self.heard.last.set(Instant::now());
            if !self.heard.has_settings.get() {
                self.look_for_settings(&buffer.filled()[before..]);
            }
        }
        read
    }
}

impl AsyncWrite for Hearing {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
