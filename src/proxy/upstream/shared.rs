//! Connections to endpoints by HTTP/2: each carries many requests at a time, and so is driven by a task of its own.
//!
//! A worker has few to an endpoint: another is made when those that stand carry as many as the endpoint takes. [`hearing`] is
//! what one is read from, [`sending`] how one request goes on it.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, PingPong};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::connect::NoConnection;
use super::endpoint::Endpoint;
use super::pool::{Dialer, IDLE_FOR, Sendable};
use crate::config::Limits;
use crate::proxy::wire::{Counted, Owned, Socket, Stream};

mod hearing;
mod sending;

use hearing::Hearing;
pub(in crate::proxy) use sending::Lease;

/// That one worker keeps to one endpoint. Beyond them requests wait for their turn.
const MOST_CONNECTIONS: usize = 16;

/// That one carries at a time, whatever the endpoint takes: as many as its window has room for.
const MOST_STREAMS: usize = 256;

/// And before the endpoint has said how many that is, which is not to be fewer (RFC 9113, section 6.5.2).
const FIRST_STREAMS: usize = 100;

/// What may come of one answer that its client has not taken yet.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;

/// Room for all: clients that read late hold up nobody else.
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * MOST_STREAMS as u32;

/// Of one request's body, beyond what the endpoint takes.
const SEND_BYTES: usize = 64 * 1024;

/// A connection that is silent while it carries requests is asked for a sign of life. Servers of gRPC end one that asks more
/// often than every five minutes.
const PING_EVERY: Duration = Duration::from_secs(310);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// For the last words on a connection that nobody needs.
const LINGER: Duration = Duration::from_secs(5);

/// One connection.
pub(super) struct Shared {
    sender: RefCell<SendRequest<Bytes>>,
    socket: Socket,
    heard: Rc<Heard>,
    under_way: Cell<usize>,
    /// It has carried a request before.
    carried: Cell<bool>,
    /// It takes no more requests; those under way go on.
    over: Cell<bool>,
    idle_since: Cell<Instant>,
    /// Dropped with it, which ends its task.
    _needed: oneshot::Sender<Infallible>,
    _counted: Counted,
}

/// What is known of what came on a connection.
struct Heard {
    last: Cell<Instant>,
    /// The endpoint has said what it takes.
    has_settings: Cell<bool>,
}

impl Shared {
    /// A connection whose endpoint has said what it takes.
    pub(super) async fn new(stream: Stream, dialer: &Dialer, limits: &Limits) -> Result<Rc<Shared>, NoConnection> {
        let socket = Socket::own(stream, &dialer.sends);
        let now = Instant::now();
        let heard = Rc::new(Heard { last: Cell::new(now), has_settings: Cell::new(false) });
        let (sender, mut connection) = Builder::new()
            .enable_push(false)
            .initial_max_send_streams(FIRST_STREAMS)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(u32::try_from(limits.response_head_bytes).unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BYTES)
            .handshake(Hearing::new(socket.share(), &heard))
            .await
            .map_err(NoConnection::from)?;
        // Before that h2 keeps what turns out to be too much until another stream ends; another connection would carry it.
        until_settings(&mut connection, &heard).await?;
        let (needed, until) = oneshot::channel();
        let shared = Rc::new(Shared {
            sender: RefCell::new(sender),
            socket: socket.share(),
            heard,
            under_way: Cell::new(0),
            carried: Cell::new(false),
            over: Cell::new(false),
            idle_since: Cell::new(now),
            _needed: needed,
            _counted: Counted::new(&dialer.open),
        });
        tokio::task::spawn_local(drive(connection, Rc::downgrade(&shared), socket, until));
        Ok(shared)
    }

    /// As many as the endpoint takes, by what it has said so far.
    fn has_room(&self) -> bool {
        self.under_way.get() < self.most_streams()
    }

    fn most_streams(&self) -> usize {
        self.sender.borrow().current_max_send_streams().min(MOST_STREAMS)
    }

    fn is_over(&self) -> bool {
        let ready = self.sender.borrow_mut().poll_ready(&mut Context::from_waker(Waker::noop()));
        self.over.get() || matches!(ready, Poll::Ready(Err(_)))
    }

    fn may_rest(&self, now: Instant) -> bool {
        self.under_way.get() > 0 || now.saturating_duration_since(self.idle_since.get()) < IDLE_FOR
    }

    /// For a request that must not be sent twice the kernel is asked whether an idle connection is still open.
    fn suits(&self, sendable: Sendable) -> bool {
        let is_idle = self.under_way.get() == 0 && self.carried.get();
        self.has_room() && (sendable == Sendable::Again || !is_idle || self.socket.is_silent())
    }

    /// Whether the endpoint takes tunnels on it (RFC 8441, section 3).
    pub(super) fn takes_tunnels(&self) -> bool {
        self.sender.borrow().is_extended_connect_protocol_enabled()
    }
}

/// Ends when nobody needs the connection any more, and its last words are said.
async fn drive(
    mut connection: Connection<Hearing, Bytes>,
    shared: Weak<Shared>,
    socket: Owned,
    needed: oneshot::Receiver<Infallible>,
) {
    let ping_pong = connection.ping_pong().expect("it is asked for once");
    let life = || shared.upgrade().map(|shared| (shared.heard.last.get(), shared.under_way.get()));
    tokio::select! {
        ended = &mut connection => told(ended),
        () = until_silent(ping_pong, life) => tracing::debug!("an endpoint gives no sign of life"),
        // An error means that nobody needs it.
        _ = needed => told(tokio::time::timeout(LINGER, &mut connection).await.unwrap_or(Ok(()))),
    }
    if let Some(shared) = shared.upgrade() {
        shared.end();
    }
    // What is under way there fails.
    drop(connection);
    drop(socket);
}

impl Endpoint {
    /// A place on a connection that stands.
    pub(super) fn lease(self: &Rc<Endpoint>, sendable: Sendable) -> Option<Lease> {
        let mut shared = self.shared();
        shared.retain(|shared| !shared.is_over());
        shared.iter().find(|shared| shared.suits(sendable)).map(|shared| self.lease_of(shared))
    }

    /// A place on the one that carries least, where there are as many as there may be.
    pub(super) fn lease_of_least_busy(self: &Rc<Endpoint>) -> Option<Lease> {
        let mut shared = self.shared();
        shared.retain(|shared| !shared.is_over());
        if shared.len() < MOST_CONNECTIONS {
            return None;
        }
        shared.iter().min_by_key(|shared| shared.under_way.get()).map(|shared| self.lease_of(shared))
    }

    pub(super) fn lease_of(self: &Rc<Endpoint>, shared: &Rc<Shared>) -> Lease {
        Lease::new(self, shared)
    }

    pub(super) fn sweep_shared(&self, now: Instant) {
        self.shared().retain(|shared| !shared.is_over() && shared.may_rest(now));
    }
}

impl Shared {
    /// The connection has ended.
    fn end(&self) {
        self.over.set(true);
    }
}

/// Reads as far as what the endpoint says first.
async fn until_settings(connection: &mut Connection<Hearing, Bytes>, heard: &Heard) -> Result<(), NoConnection> {
    std::future::poll_fn(|cx| match Pin::new(&mut *connection).poll(cx) {
        Poll::Ready(Ok(())) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
        Poll::Pending if heard.has_settings.get() => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Ends when the endpoint does not say that it lives, having been asked. `life` says when it was last heard, and how many
/// requests are under way; nothing where the connection is gone.
async fn until_silent(mut ping_pong: PingPong, life: impl Fn() -> Option<(Instant, usize)>) {
    while let Some((last, under_way)) = life() {
        if last.elapsed() < PING_EVERY {
            tokio::time::sleep_until(last + PING_EVERY).await;
        } else if under_way == 0 {
            tokio::time::sleep(PING_EVERY).await;
        } else {
            match tokio::time::timeout(PONG_WITHIN, ping_pong.ping(Ping::opaque())).await {
                Ok(Ok(_)) => {}
                // The connection tells.
                Ok(Err(_)) => break,
                Err(_) => return,
            }
        }
    }
    std::future::pending::<()>().await;
}

fn told(ended: Result<(), h2::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "the connection to an endpoint broke");
    }
}

#[cfg(test)]
mod tests;
