//! Runs h2 on a client connection: it reads and writes frames, and gives away the streams that begin.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::{Builder, Connection, Handshake};

use super::streams::Streams;
use super::wire::Wire;
use crate::config::Limits;

/// What a client may send of a body before anybody has read it, and of all bodies of a connection: what Envoy recommends at
/// the edge.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Of one answer, held until the client takes it; what was read of an endpoint at once may come on top.
const SEND_BUFFER_BYTES: usize = 16 * 1024;

/// Streams that the client has taken back before they were looked at, and streams that ended with an error of its own.
const PENDING_RESETS: usize = 20;
const ERRORS: usize = 1024;

pub(super) struct Serving {
    state: State,
    streams: Streams,
    leaves: Leaves,
}

enum State {
    Greeting(Handshake<Wire, Bytes>),
    Open(Connection<Wire, Bytes>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaves {
    NotYet,
    AfterGreeting,
}

impl Serving {
    /// Streams begin in `streams`, at most `most` at a time.
    pub(super) fn new(wire: Wire, streams: &Streams, most: u32, limits: &Limits) -> Serving {
        let greeting = Builder::new()
            .max_concurrent_streams(most)
            .max_header_list_size(limits.head_bytes as u32)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buffer_size(SEND_BUFFER_BYTES)
            .max_pending_accept_reset_streams(PENDING_RESETS)
            .max_local_error_reset_streams(Some(ERRORS))
            .enable_connect_protocol()
            .handshake(wire);
        Serving { state: State::Greeting(greeting), streams: streams.clone(), leaves: Leaves::NotYet }
    }

    /// Ready when the connection has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            match &mut self.state {
                State::Greeting(greeting) => {
                    let mut connection = ready!(Pin::new(greeting).poll(cx))?;
                    if self.leaves == Leaves::AfterGreeting {
                        connection.graceful_shutdown();
                    }
                    self.state = State::Open(connection);
                }
                State::Open(connection) => match ready!(connection.poll_accept(cx)) {
                    Some(Ok((request, respond))) => self.streams.begin(request, respond),
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                    None => return Poll::Ready(Ok(())),
                },
            }
        }
    }

    /// Takes no more streams, and ends with the last.
    pub(super) fn leave(&mut self) {
        match &mut self.state {
            State::Greeting(_) => self.leaves = Leaves::AfterGreeting,
            State::Open(connection) => connection.graceful_shutdown(),
        }
    }
}
