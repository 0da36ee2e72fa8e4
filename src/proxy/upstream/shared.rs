//! Connections to endpoints by HTTP/2: each carries many requests at a time, and so is driven by a task of its own.
//!
//! A worker has few to an endpoint: another is made when those that stand carry as many as the endpoint takes.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::HOST;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::no_head::NoHead;
use super::pool::{Dialer, IDLE_FOR, Sendable};
use crate::config::Limits;
use crate::proxy::wire::{Counted, Interrupt, Lender, LentBody, Owned, Progress, RequestBody, Socket, Stream};

/// That one worker keeps to one endpoint. Beyond them requests wait for their turn.
const MOST_CONNECTIONS: usize = 16;

/// That one carries at a time, whatever the endpoint takes: as many as its window has room for.
const MOST_STREAMS: usize = 256;

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
    sender: RefCell<SendRequest<LentBody>>,
    connection: Rc<RefCell<Connection>>,
    socket: Socket,
    heard: Rc<Cell<Instant>>,
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

type Connection = http2::Connection<TokioIo<Hearing>, LentBody, Tasks>;

/// The place of one request on a connection.
pub(in crate::proxy) struct Lease {
    pub endpoint: Rc<Endpoint>,
    shared: Rc<Shared>,
    /// There was nothing else on the connection, which had carried requests before.
    rested: bool,
    /// What was lost, and may be sent again.
    lost: Option<Request<RequestBody>>,
}

/// The endpoint's socket, and when it was last heard of.
struct Hearing {
    socket: Socket,
    heard: Rc<Cell<Instant>>,
}

/// Runs what hyper has to run beside the connection, on the same thread. The first is what reads and writes.
#[derive(Clone, Default)]
struct Tasks(Rc<Cell<Option<JoinHandle<()>>>>);

/// What the end of a stream without an answer means.
enum Fate {
    /// The endpoint says that it has done nothing (RFC 9113, section 8.7).
    Unprocessed,
    /// What it sent is no HTTP/2.
    Invalid,
    /// It has ended this request, and this alone.
    Reset,
    /// The connection has gone.
    Lost,
}

impl Shared {
    pub(super) async fn new(stream: Stream, dialer: &Dialer, limits: &Limits) -> io::Result<Rc<Shared>> {
        let socket = Socket::own(stream, &dialer.sends);
        let now = Instant::now();
        let (heard, tasks) = (Rc::new(Cell::new(now)), Tasks::default());
        let (sender, connection) = http2::Builder::new(tasks.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(u32::try_from(limits.response_head_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BYTES)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PONG_WITHIN)
            .handshake(TokioIo::new(Hearing { socket: socket.share(), heard: Rc::clone(&heard) }))
            .await
            .map_err(io::Error::other)?;
        let (needed, until) = oneshot::channel();
        let shared = Rc::new(Shared {
            sender: RefCell::new(sender),
            connection: Rc::new(RefCell::new(connection)),
            socket: socket.share(),
            heard,
            under_way: Cell::new(0),
            carried: Cell::new(false),
            over: Cell::new(false),
            idle_since: Cell::new(now),
            _needed: needed,
            _counted: Counted::new(&dialer.open),
        });
        tokio::task::spawn_local(drive(Rc::clone(&shared.connection), socket, tasks, until));
        Ok(shared)
    }

    /// As many as the endpoint takes, by what it has said so far.
    fn has_room(&self) -> bool {
        let most = self.connection.borrow().current_max_send_streams();
        self.under_way.get() < most.min(MOST_STREAMS)
    }

    fn is_over(&self) -> bool {
        self.over.get() || self.sender.borrow().is_closed()
    }

    fn may_rest(&self, now: Instant) -> bool {
        self.under_way.get() > 0 || now.saturating_duration_since(self.idle_since.get()) < IDLE_FOR
    }

    /// For a request that must not be sent twice the kernel is asked whether an idle connection is still open.
    fn suits(&self, sendable: Sendable) -> bool {
        let is_idle = self.under_way.get() == 0 && self.carried.get();
        self.has_room() && (sendable == Sendable::Again || !is_idle || self.socket.is_silent())
    }
}

/// Ends when nobody needs the connection any more, and its last words are said.
async fn drive(
    connection: Rc<RefCell<Connection>>,
    socket: Owned,
    tasks: Tasks,
    needed: oneshot::Receiver<Infallible>,
) {
    let ended = std::future::poll_fn(|cx| Pin::new(&mut *connection.borrow_mut()).poll(cx)).await;
    if let Err(error) = ended {
        tracing::debug!(%error, "the connection to an endpoint broke");
    }
    // What is under way goes on. An error means that nobody needs it.
    needed.await.ok();
    if let Some(mut task) = tasks.0.take()
        && tokio::time::timeout(LINGER, &mut task).await.is_err()
    {
        task.abort();
    }
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
        let before = shared.under_way.replace(shared.under_way.get() + 1);
        let rested = before == 0 && shared.carried.replace(true);
        Lease { endpoint: Rc::clone(self), shared: Rc::clone(shared), rested, lost: None }
    }

    pub(super) fn sweep_shared(&self, now: Instant) {
        self.shared().retain(|shared| !shared.is_over() && shared.may_rest(now));
    }
}

impl Lease {
    /// Whether the connection had room for it.
    pub(super) fn has_room(&self) -> bool {
        let most = self.shared.connection.borrow().current_max_send_streams();
        self.shared.under_way.get() <= most.min(MOST_STREAMS)
    }

    /// Sends the request and waits for the response head.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
        sendable: Sendable,
        progress: &Progress,
    ) -> Result<Response<Incoming>, NoHead> {
        let (parts, body) = request.into_parts();
        let (lender, body) = LentBody::new(body);
        let sent = Request::from_parts(self.as_http2(parts.clone()).ok_or(NoHead::BadHost)?, body);
        let began = Instant::now();
        let answered = {
            let response = self.shared.sender.borrow_mut().try_send_request(sent);
            let mut response = pin!(response);
            std::future::poll_fn(|cx| match progress.take_interrupt() {
                Some(interrupt) => Poll::Ready(Err(interrupt)),
                None => response.as_mut().poll(cx).map(Ok),
            })
            .await
        };
        let mut error = match answered {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => error,
            Err(interrupt) => {
                // Nothing was heard at all: the next requests had better go elsewhere.
                if interrupt == Interrupt::Expired && self.shared.heard.get() <= began && !progress.is_awaiting_body() {
                    self.shared.over.set(true);
                }
                return Err(NoHead::Interrupted(interrupt));
            }
        };
        if let Some(unsent) = error.take_message() {
            drop(unsent);
            return Err(unprocessed(parts, &lender));
        }
        let error = error.into_error();
        match fate(&error) {
            Fate::Unprocessed => Err(unprocessed(parts, &lender)),
            Fate::Invalid => Err(NoHead::Invalid(error)),
            Fate::Reset => Err(NoHead::Lost),
            Fate::Lost => {
                if self.rested && sendable == Sendable::Again {
                    self.lost = Some(Request::from_parts(parts, RequestBody::Empty));
                }
                Err(NoHead::Lost)
            }
        }
    }

    /// The request that was lost, if it may be sent again.
    pub(super) fn lost(&mut self) -> Option<Request<RequestBody>> {
        self.lost.take()
    }

    /// The head as HTTP/2 has it. hyper takes out the fields of one hop. None where the host is none.
    fn as_http2(&self, mut parts: Parts) -> Option<Parts> {
        let host = parts.headers.remove(HOST).unwrap_or_else(|| self.endpoint.host.clone());
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(if self.endpoint.reach.is_secured() { Scheme::HTTPS } else { Scheme::HTTP });
        uri.authority = Some(Authority::try_from(host.as_bytes()).ok()?);
        uri.path_and_query = Some(parts.uri.into_parts().path_and_query.unwrap_or(PathAndQuery::from_static("/")));
        parts.uri = Uri::from_parts(uri).ok()?;
        parts.version = http::Version::HTTP_2;
        Some(parts)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let left = self.shared.under_way.get() - 1;
        self.shared.under_way.set(left);
        if left == 0 {
            self.shared.idle_since.set(Instant::now());
        }
    }
}

/// It may be sent elsewhere, whatever its method, as long as nothing of its body has been taken.
fn unprocessed(parts: Parts, lender: &Lender) -> NoHead {
    match lender.take_back() {
        Some(body) => NoHead::Unprocessed(Box::new(Request::from_parts(parts, body))),
        None => NoHead::Lost,
    }
}

fn fate(error: &hyper::Error) -> Fate {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    match source {
        None => Fate::Lost,
        // Those that it has begun on are not ended by it.
        Some(error) if error.is_remote() && error.is_go_away() => Fate::Unprocessed,
        Some(error) if error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM) => Fate::Unprocessed,
        Some(error) if error.is_remote() => Fate::Reset,
        Some(error) if error.is_library() => Fate::Invalid,
        // What we ended ourselves, because the client's body broke off, and what the socket did.
        Some(_) => Fate::Lost,
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        let task = tokio::task::spawn_local(future);
        let first = self.0.take().unwrap_or(task);
        self.0.set(Some(first));
    }
}

impl AsyncRead for Hearing {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if read.is_ready() {
            self.heard.set(Instant::now());
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
