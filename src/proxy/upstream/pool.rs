//! Connections to endpoints by HTTP/1. Each is polled inside the future of the request that uses it, so that no second task is
//! woken, and rests in its endpoint's stack between requests.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::end::{End, Held};
use super::endpoint::Endpoint;
use super::http1::{Broken, Http1};
use super::keep_alive;
use super::no_head::NoHead;
use super::own::{Belongs, Told};
use crate::config::Limits;
use crate::proxy::wire::{Channel, Counted, Interrupt, Owned, Progress, RequestBody, Sends, Side, Socket, Stream};

/// Idle connections that one worker keeps to one endpoint.
const IDLE_CONNECTIONS: usize = 256;

/// Below the keep-alive time of common servers (nginx 75 s, Go 120 s, Node 5 s), the shortest aside.
pub(super) const IDLE_FOR: Duration = Duration::from_secs(30);

/// A connection whose time is nearly over is not used: the endpoint may be closing it while a request is on its way.
const ON_THE_WAY: Duration = Duration::from_secs(1);

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
    http: Http1,
    socket: Owned,
    most_fields: usize,
    pub endpoint: Rc<Endpoint>,
    /// None where it may carry anybody's requests.
    belongs: Option<Belongs>,
    /// False where the endpoint is to be spoken to by HTTP/2, and this one was made for what that has no word for.
    rests: bool,
    /// As [`super::reach::Reach::generation`] was when it was made.
    generation: u32,
    /// It has carried a request before.
    pub reused: bool,
    /// How many times the request may be sent that it carries.
    sendable: Sendable,
    lasts: Lasts,
    idle_since: Instant,
    /// How long it may rest.
    idle_for: Duration,
    _counted: Counted,
}

/// Whether the last answer said that the connection outlives it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lasts {
    AsTold,
    /// It was one to HEAD without a length or a coding. There are endpoints that answer GET until they close, and close
    /// here too.
    Untold,
}

impl Upstream {
    pub(super) fn new(
        stream: Stream,
        dialer: &Dialer,
        endpoint: &Rc<Endpoint>,
        limits: &Limits,
        told: Option<Told>,
    ) -> Box<Upstream> {
        let socket = Socket::own(stream, &dialer.sends);
        Box::new(Upstream {
            http: Http1::new(socket.share(), limits.response_head_bytes),
            socket,
            most_fields: limits.head_fields + FIELDS_ADDED,
            endpoint: Rc::clone(endpoint),
            belongs: told.map(|told| told.belongs(endpoint)),
            rests: true,
            generation: endpoint.reach.generation(),
            reused: false,
            sendable: Sendable::Once,
            lasts: Lasts::AsTold,
            idle_since: Instant::now(),
            idle_for: IDLE_FOR,
            _counted: Counted::new(&dialer.open),
        })
    }

    /// A connection that rested, not for too long, and is still open. For a request that must not be sent twice the kernel
    /// is asked whether it is.
    pub(super) fn resting(endpoint: &Endpoint, sendable: Sendable, progress: &Progress) -> Option<Box<Upstream>> {
        let mut idle = endpoint.idle()?;
        loop {
            let mut upstream = match sendable {
                Sendable::Again => idle.pop()?,
                Sendable::Once => {
                    let last = idle.iter().rposition(|upstream| upstream.may_carry(sendable))?;
                    idle.remove(last)
                }
            };
            if upstream.is_usable(sendable, progress) {
                return Some(upstream);
            }
        }
    }

    pub(super) fn without_rest(mut self: Box<Self>) -> Box<Upstream> {
        self.rests = false;
        self
    }

    /// For a request of the task that `progress` knows.
    pub(super) fn is_usable(&mut self, sendable: Sendable, progress: &Progress) -> bool {
        let open = self.may_rest(progress.now()) && self.http.is_quiet(&progress.task.borrow());
        let usable = open && (sendable == Sendable::Again || self.socket.is_silent());
        progress.quiet.set(usable);
        usable
    }

    pub(super) fn may_carry(&self, sendable: Sendable) -> bool {
        sendable == Sendable::Again || self.lasts == Lasts::AsTold
    }

    /// Takes a request to be sent. What comes of it is for [`Upstream::poll_head`].
    pub(in crate::proxy) fn give(&mut self, request: Request<RequestBody>, sendable: Sendable) {
        self.sendable = sendable;
        self.http.give(request);
    }

    /// Sends what was given and waits for the response head.
    pub(in crate::proxy) fn poll_head(
        &mut self,
        progress: &Progress,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, NoHead>> {
        if let Some(interrupt) = progress.take_interrupt() {
            return Poll::Ready(Err(NoHead::Interrupted(interrupt)));
        }
        let polled = if progress.quiet.take() {
            self.http.poll_head_of_quiet(cx)
        } else {
            self.http.poll_head(cx, |interim| progress.interims.push(interim))
        };
        polled.map_err(NoHead::from)
    }

    /// Both of that.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
        sendable: Sendable,
        progress: &Progress,
        waits_on: Option<&dyn Fn() -> bool>,
    ) -> Result<Response<()>, NoHead> {
        self.give(request, sendable);
        std::future::poll_fn(|cx| self.poll_head_on(progress, || waits_on.is_some_and(|waits_on| waits_on()), cx)).await
    }

    /// As [`Upstream::poll_head`], and `waits_on` says whether to go on where the time is up.
    pub(in crate::proxy) fn poll_head_on(
        &mut self,
        progress: &Progress,
        waits_on: impl Fn() -> bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, NoHead>> {
        match self.poll_head(progress, cx) {
            Poll::Ready(Err(NoHead::Interrupted(Interrupt::Expired))) if waits_on() => self.poll_head(progress, cx),
            polled => polled,
        }
    }

    /// What comes after the head.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.http.poll_frame(cx)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.http.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.http.size_hint()
    }

    /// The request that was given to [`Upstream::give`] as one that may be sent again, if it was written: from its bytes,
    /// which cost less to keep than a copy of the fields.
    pub(super) fn sent_request(&self) -> Option<Request<RequestBody>> {
        if self.sendable == Sendable::Once { None } else { self.given_request() }
    }

    /// The head of the request that was given last, and no body; none where a body in chunks has been written over it.
    pub(super) fn given_request(&self) -> Option<Request<RequestBody>> {
        let mut fields = vec![httparse::EMPTY_HEADER; self.most_fields];
        let mut head = httparse::Request::new(&mut fields);
        if !head.parse(self.http.given_head()).ok()?.is_complete() {
            return None;
        }
        let mut request = Request::builder().method(head.method?).uri(head.path?);
        for field in head.headers {
            request = request.header(field.name, field.value);
        }
        request.body(RequestBody::Empty).ok()
    }

    /// Takes in for how long the endpoint keeps an idle connection, if an answer says so: `Keep-Alive: timeout=5`; and
    /// whether it may end it at once.
    pub(in crate::proxy) fn rest_as_told(&mut self, answer: &Parts) {
        if let Some(told) = keep_alive::promised(&answer.headers) {
            self.idle_for = IDLE_FOR.min(told.saturating_sub(ON_THE_WAY).max(told / 2));
        }
        let untold = self.is_end_stream() && !keep_alive::tells_its_end(answer);
        self.lasts = if untold { Lasts::Untold } else { Lasts::AsTold };
    }

    /// Whether it has not rested too long, and has not been closed by the endpoint.
    pub(super) fn rests_on(&mut self, now: Instant) -> bool {
        self.may_rest(now) && self.http.is_quiet(Waker::noop())
    }

    fn may_rest(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.idle_since) < self.idle_for
    }

    /// Puts the connection to rest if it can carry another request, else closes it.
    pub(super) fn release(mut self: Box<Self>, now: Instant) {
        self.http.end_sending();
        let is_of_now = self.generation == self.endpoint.reach.generation();
        if !self.http.is_ready() || !self.rests || !is_of_now {
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
        let Upstream { http, socket, _counted: counted, .. } = self;
        let side = Side::Connection(Channel::Plain(socket.share()));
        End { side, early: http.into_early(), _held: Held::Connection { _socket: socket, _counted: counted } }
    }
}
