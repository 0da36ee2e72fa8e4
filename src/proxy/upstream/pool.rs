//! Connections to endpoints. Each is driven inside the future of the request that uses it, so that no second task is
//! woken, and rests in its endpoint's stack between requests.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::response::Parts;
use http::{Request, Response};
use http_body::Body;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::end::{End, Held};
use super::endpoint::Endpoint;
use super::interim::Finder;
use super::keep_alive;
use super::no_head::NoHead;
use super::own::{Belongs, Told};
use super::yielded::Yielded;
use crate::config::Limits;
use crate::proxy::wire::{Channel, Counted, Owned, Progress, Received, RequestBody, Sends, Side, Socket, Stream};

/// Idle connections that one worker keeps to one endpoint.
const IDLE_CONNECTIONS: usize = 256;

/// Below the keep-alive time of common servers (nginx 75 s, Go 120 s, Node 5 s), the shortest aside.
pub(super) const IDLE_FOR: Duration = Duration::from_secs(30);

/// A connection whose time is nearly over is not used: the endpoint may be closing it while a request is on its way.
const ON_THE_WAY: Duration = Duration::from_secs(1);

/// Room for a usual request head, which a connection keeps.
const SENT_KEPT_BYTES: usize = 1024;

/// More fields than a request gets from us.
const FIELDS_ADDED: usize = 8;

/// What a worker makes connections with.
#[derive(Clone, Default)]
pub(in crate::proxy) struct Dialer {
    pub sends: Rc<Sends>,
    /// How many there are.
    pub open: Rc<Cell<u32>>,
}

/// How many times a request may be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Sendable {
    Once,
    Again,
}

/// One connection to an endpoint.
pub(in crate::proxy) struct Upstream {
    driver: Rc<Driver>,
    /// What hyper is polled with.
    yielding: Waker,
    sender: SendRequest<RequestBody>,
    connection: Connection<TokioIo<Patient>, RequestBody>,
    socket: Owned,
    most_fields: usize,
    /// The connection has ended and must not be polled again.
    ended: bool,
    pub endpoint: Rc<Endpoint>,
    /// None where it may carry anybody's requests.
    belongs: Option<Belongs>,
    /// It has carried a request before.
    pub reused: bool,
    lasts: Lasts,
    idle_since: Instant,
    /// How long it may rest.
    idle_for: Duration,
    _counted: Counted,
}

/// Who is to be woken when there is something to read or room to write: the task of the request that the connection
/// carries. hyper's own wakes tell of steps that are taken in the same poll, and would only repeat it; but when it yields,
/// the task has to come back.
struct Driver {
    task: RefCell<Waker>,
    yielded: Arc<Yielded>,
    /// Within this poll there is nothing more to read.
    dry: Cell<bool>,
    /// The bytes of a request that may be sent again.
    sent: RefCell<Vec<u8>>,
    /// They are those of the next write.
    keeps_sent: Cell<bool>,
    interims: Finder,
}

/// Whether the last answer said that the connection outlives it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lasts {
    AsTold,
    /// It was one to HEAD without a length or a coding. There are endpoints that answer GET until they close, and close
    /// here too.
    Untold,
}

/// The endpoint's socket. What it no longer takes counts as sent: it may have answered before it stopped to read, and
/// reading tells whether it has. hyper would give up at the failed write.
struct Patient {
    socket: Socket,
    driver: Rc<Driver>,
}

impl Upstream {
    pub(super) async fn connect(
        stream: Stream,
        dialer: &Dialer,
        endpoint: &Rc<Endpoint>,
        limits: &Limits,
        told: Option<Told>,
    ) -> io::Result<Box<Upstream>> {
        let socket = Socket::own(stream, &dialer.sends);
        let belongs = told.map(|told| told.belongs(endpoint));
        let head_bytes = limits.response_head_bytes;
        let driver = Rc::new(Driver {
            task: RefCell::new(Waker::noop().clone()),
            yielded: Arc::default(),
            dry: Cell::new(false),
            sent: RefCell::default(),
            keeps_sent: Cell::new(false),
            interims: Finder::default(),
        });
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(head_bytes)
            // The buffer alone may grow beyond its bound when it grows.
            .max_header_size(head_bytes)
            .handshake(TokioIo::new(Patient { socket: socket.share(), driver: Rc::clone(&driver) }))
            .await
            .map_err(io::Error::other)?;
        Ok(Box::new(Upstream {
            yielding: Waker::from(Arc::clone(&driver.yielded)),
            driver,
            sender,
            connection,
            socket,
            most_fields: limits.head_fields + FIELDS_ADDED,
            ended: false,
            endpoint: Rc::clone(endpoint),
            belongs,
            reused: false,
            lasts: Lasts::AsTold,
            idle_since: Instant::now(),
            idle_for: IDLE_FOR,
            _counted: Counted::new(&dialer.open),
        }))
    }

    /// A connection that rested, not for too long, and is still open. For a request that must not be sent twice the kernel
    /// is asked whether it is.
    pub(super) fn resting(endpoint: &Endpoint, sendable: Sendable, now: Instant) -> Option<Box<Upstream>> {
        let mut idle = endpoint.idle()?;
        loop {
            let mut upstream = match sendable {
                Sendable::Again => idle.pop()?,
                Sendable::Once => {
                    let last = idle.iter().rposition(|upstream| upstream.may_carry(sendable))?;
                    idle.remove(last)
                }
            };
            if upstream.is_usable(sendable, now) {
                return Some(upstream);
            }
        }
    }

    pub(super) fn is_usable(&mut self, sendable: Sendable, now: Instant) -> bool {
        let open = self.may_rest(now) && (self.has_rested() || self.is_open());
        open && (sendable == Sendable::Again || self.socket.is_silent())
    }

    pub(super) fn may_carry(&self, sendable: Sendable) -> bool {
        sendable == Sendable::Again || self.lasts == Lasts::AsTold
    }

    /// Sends the request and waits for the response head.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
        sendable: Sendable,
        progress: &Progress,
    ) -> Result<Response<Received>, NoHead> {
        self.driver.keep_sent(sendable);
        self.driver.interims.begin();
        let mut response = pin!(self.sender.try_send_request(request));
        // Only the connection can complete the response, and it is polled here: nobody else needs to be woken.
        let mut nobody = Context::from_waker(Waker::noop());
        std::future::poll_fn(|cx| {
            if let Some(interrupt) = progress.take_interrupt() {
                return Poll::Ready(Err(NoHead::Interrupted(interrupt)));
            }
            if !self.ended {
                self.ended = self.driver.poll(&self.yielding, &mut self.connection, cx);
            }
            if self.driver.interims.any() {
                self.driver.interims.take().into_iter().for_each(|head| progress.interims.push(head));
            }
            match response.as_mut().poll(&mut nobody) {
                Poll::Ready(Ok(response)) => Poll::Ready(Ok(response.map(Received::Http1))),
                Poll::Ready(Err(mut error)) => Poll::Ready(Err(match error.take_message() {
                    Some(request) => NoHead::NotSent(Box::new(request)),
                    None => NoHead::from(error.into_error()),
                })),
                Poll::Pending if self.ended => Poll::Ready(Err(NoHead::Lost)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// The request that was given to [`Upstream::send`] as one that may be sent again, if it was written: from its bytes,
    /// which cost less to keep than a copy of the fields.
    pub(super) fn sent_request(&self) -> Option<Request<RequestBody>> {
        let sent = self.driver.sent.borrow();
        let mut fields = vec![httparse::EMPTY_HEADER; self.most_fields];
        let mut head = httparse::Request::new(&mut fields);
        if !head.parse(&sent).ok()?.is_complete() {
            return None;
        }
        let mut request = Request::builder().method(head.method?).uri(head.path?);
        for field in head.headers {
            request = request.header(field.name, field.value);
        }
        request.body(RequestBody::Empty).ok()
    }

    /// Reads and writes what can be, on behalf of the body of the answer.
    pub(super) fn poll_drive(&mut self, cx: &mut Context<'_>) {
        if !self.ended {
            self.ended = self.driver.poll(&self.yielding, &mut self.connection, cx);
        }
    }

    /// Takes in for how long the endpoint keeps an idle connection, if an answer says so: `Keep-Alive: timeout=5`; and
    /// whether it may end it at once.
    pub(in crate::proxy) fn rest_as_told(&mut self, answer: &Parts, body: &Received) {
        if let Some(told) = keep_alive::promised(&answer.headers) {
            self.idle_for = IDLE_FOR.min(told.saturating_sub(ON_THE_WAY).max(told / 2));
        }
        let untold = body.is_end_stream() && !keep_alive::tells_its_end(answer);
        self.lasts = if untold { Lasts::Untold } else { Lasts::AsTold };
    }

    /// Whether it has not rested too long, and has not been closed by the endpoint.
    pub(super) fn rests_on(&mut self, now: Instant) -> bool {
        self.may_rest(now) && self.is_open()
    }

    fn may_rest(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.idle_since) < self.idle_for
    }

    /// Puts the connection to rest if it can carry another request, else closes it.
    pub(super) fn release(mut self: Box<Self>, now: Instant) {
        if !self.sender.is_ready() && !self.is_open() {
            return;
        }
        self.reused = true;
        self.idle_since = now;
        if let Some(belongs) = &self.belongs {
            if let Some(own) = belongs.own() {
                own.rest(self);
            }
            return;
        }
        let endpoint = Rc::clone(&self.endpoint);
        if let Some(mut idle) = endpoint.idle()
            && idle.len() < IDLE_CONNECTIONS
        {
            idle.push(self);
        }
    }

    /// Takes a connection that has been upgraded out of HTTP.
    pub(super) fn into_end(self) -> End {
        let Upstream { connection, socket, _counted: counted, .. } = self;
        let side = Side::Connection(Channel::Plain(socket.share()));
        End {
            side,
            early: connection.into_parts().read_buf,
            _held: Held::Connection { _socket: socket, _counted: counted },
        }
    }

    /// Nothing has come since the last poll, not even the end of the connection: another would change nothing.
    fn has_rested(&self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        !self.ended && self.sender.is_ready() && self.socket.poll_readable(&mut nobody).is_pending()
    }

    fn is_open(&mut self) -> bool {
        self.poll_drive(&mut Context::from_waker(Waker::noop()));
        !self.ended && self.sender.is_ready()
    }
}

impl Driver {
    /// Drives `connection` on behalf of the task of `cx`. True when it has ended.
    fn poll(
        &self,
        yielding: &Waker,
        connection: &mut Connection<TokioIo<Patient>, RequestBody>,
        cx: &mut Context<'_>,
    ) -> bool {
        self.task.borrow_mut().clone_from(cx.waker());
        self.yielded.clear();
        self.dry.set(false);
        let polled = Pin::new(connection).poll_without_shutdown(&mut Context::from_waker(yielding));
        if self.yielded.is_set() {
            cx.waker().wake_by_ref();
        }
        polled.is_ready()
    }

    fn keep_sent(&self, sendable: Sendable) {
        self.keeps_sent.set(sendable == Sendable::Again);
        let mut sent = self.sent.borrow_mut();
        sent.clear();
        sent.shrink_to(SENT_KEPT_BYTES);
    }

    /// The first write offers the whole of a request without a body, also when the endpoint takes nothing of it.
    fn offer(&self, slices: &[io::IoSlice<'_>]) {
        if self.keeps_sent.replace(false) {
            let mut sent = self.sent.borrow_mut();
            slices.iter().for_each(|slice| sent.extend_from_slice(slice));
        }
    }

    fn for_task<T>(&self, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        poll(&mut Context::from_waker(&self.task.borrow()))
    }
}

impl Patient {
    fn ignore<T>(written: Poll<io::Result<T>>, as_if: T) -> Poll<io::Result<T>> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        match written {
            Poll::Ready(Err(error)) if matches!(error.kind(), BrokenPipe | ConnectionReset) => Poll::Ready(Ok(as_if)),
            written => written,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Patient { socket, driver } = &mut *self;
        if driver.dry.get() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = driver.for_task(|cx| Pin::new(socket).poll_read(cx, buffer));
        driver.dry.set(read.is_pending());
        driver.interims.read(&buffer.filled()[before..]);
        read
    }
}

impl AsyncWrite for Patient {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = slices.iter().map(|slice| slice.len()).sum();
        let Patient { socket, driver } = &mut *self;
        driver.offer(slices);
        Patient::ignore(driver.for_task(|cx| Pin::new(socket).poll_write_vectored(cx, slices)), offered)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Patient { socket, driver } = &mut *self;
        Patient::ignore(driver.for_task(|cx| Pin::new(socket).poll_flush(cx)), ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Patient { socket, driver } = &mut *self;
        driver.for_task(|cx| Pin::new(socket).poll_shutdown(cx))
    }
}
