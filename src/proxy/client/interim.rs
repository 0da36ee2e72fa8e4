//! Interim answers (1xx) to a client of HTTP/1, which hyper has no word for: they are written in front of what it writes. Its own
//! `100 Continue`, which it makes up as soon as somebody reads the body, is left out: whether the body is wanted is for the
//! endpoint to say.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use tokio::io::AsyncWrite;

use crate::proxy::request::strip_interim;
use crate::proxy::wire::{Channel, Phase, Progress};

const MADE_UP: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Sends those that wait. They are dropped where something of an earlier answer is still to be sent, or the client is of
/// HTTP/1.0, which has none (RFC 9110, section 15.2).
pub(super) fn poll_send(progress: &Progress, channel: &mut Channel, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    if progress.held_back.get() || progress.ends_by_close.get() {
        progress.interims.take();
        return Poll::Ready(Ok(()));
    }
    progress.interims.send(write, |bytes| Pin::new(&mut *channel).poll_write(cx, bytes))
}

/// How much of what hyper is about to write is its own `100 Continue`: nothing else can be before the answer.
pub(super) fn made_up(progress: &Progress, buffers: &[IoSlice<'_>]) -> Option<usize> {
    let is_first = progress.phase.get() == Phase::Waiting && !progress.held_back.get();
    let first = buffers.iter().find(|buffer| !buffer.is_empty()).filter(|_| is_first)?;
    first.starts_with(MADE_UP).then_some(MADE_UP.len())
}

fn write(mut head: Response<()>, bytes: &mut Vec<u8>) {
    strip_interim(head.headers_mut());
    let status = head.status();
    write!(bytes, "HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default())
        .expect("there is room in a Vec");
    for (name, value) in head.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(b"\r\n");
}
