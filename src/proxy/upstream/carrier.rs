//! What carries one request to an endpoint: a connection of its own, by HTTP/1, or its place on one by HTTP/2. And how either
//! is made.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connect::{Alpn, NoConnection};
use super::end::End;
use super::endpoint::Endpoint;
use super::http1::Broken;
use super::no_head::NoHead;
use super::own::Told;
use super::pool::{Dialer, Sendable, Upstream};
use super::shared::{Lease, Shared};
use crate::config::{Limits, Speaks};
use crate::proxy::wire::{Progress, RequestBody};

pub(in crate::proxy) enum Carrier {
    Http1(Box<Upstream>),
    Http2(Box<Lease>),
}

/// What a connection is made for.
#[derive(Clone, Copy)]
pub(in crate::proxy) struct Terms {
    pub limits: Limits,
    /// For a connection that others wait for too.
    pub within: Duration,
    pub carries: Carries,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Carries {
    Requests,
    /// One that asks to leave HTTP for what HTTP/2 has no word for.
    Upgrade,
    /// One that asks for a WebSocket: by HTTP/2 where the endpoint takes that there (RFC 8441), else by HTTP/1.
    WebSocket,
}

/// A connection that is being made, for whoever waits for it.
#[derive(Default)]
pub(super) struct Opening {
    done: Notify,
    opened: RefCell<Option<Result<Opened, NoConnection>>>,
}

enum Opened {
    Shared(Rc<Shared>),
    /// The endpoint has chosen HTTP/1: for the first that takes it.
    Own(Cell<Option<Box<Upstream>>>),
}

/// Of an answer that nobody wants. More is dearer than another connection.
const MOST_DISCARDED: usize = 64 * 1024;

impl Carrier {
    /// On the heap: what is moved with every request is no larger for it.
    fn of_lease(lease: Lease) -> Carrier {
        Carrier::Http2(Box::new(lease))
    }

    /// One that stands, and can take a request.
    pub(in crate::proxy) fn resting(
        endpoint: &Rc<Endpoint>,
        told: Option<&Told>,
        sendable: Sendable,
        carries: Carries,
        progress: &Progress,
    ) -> Option<Carrier> {
        if let Some(told) = told {
            return told.own.resting(endpoint, sendable, progress).map(Carrier::Http1);
        }
        // Which HTTP it takes is not known before its settings are.
        if carries == Carries::WebSocket && endpoint.reach.speaks() != Speaks::Http1 {
            return None;
        }
        if let Some(upstream) = Upstream::resting(endpoint, sendable, progress) {
            return Some(Carrier::Http1(upstream));
        }
        if endpoint.reach.speaks() == Speaks::Http1 || carries == Carries::Upgrade {
            return None;
        }
        endpoint.lease(sendable).map(Carrier::of_lease)
    }

    /// A new one, or a place on one that others have asked for.
    pub(in crate::proxy) async fn connect(
        dialer: &Dialer,
        endpoint: &Rc<Endpoint>,
        terms: &Terms,
        told: Option<Told>,
    ) -> Result<Carrier, NoConnection> {
        if told.is_some() || terms.carries == Carries::Upgrade || endpoint.reach.speaks() == Speaks::Http1 {
            return own(dialer, endpoint, terms, told).await;
        }
        if terms.carries == Carries::WebSocket {
            return Carrier::for_web_socket(dialer, endpoint, terms).await;
        }
        Carrier::shared(dialer, endpoint, terms).await
    }

    /// A place on one that has tunnels, if the endpoint has any, or one of HTTP/1.
    async fn for_web_socket(dialer: &Dialer, endpoint: &Rc<Endpoint>, terms: &Terms) -> Result<Carrier, NoConnection> {
        let stands = endpoint.lease(Sendable::Once).map(Carrier::of_lease);
        let carrier = match stands {
            Some(carrier) => carrier,
            None => Carrier::shared(dialer, endpoint, &Terms { carries: Carries::Requests, ..*terms }).await?,
        };
        match &carrier {
            Carrier::Http2(lease) if !lease.takes_tunnels() => {}
            Carrier::Http1(_) | Carrier::Http2(_) => return Ok(carrier),
        }
        match endpoint.reach.speaks() {
            Speaks::Http2 => Err(NoConnection::NoTunnel),
            Speaks::Http1 | Speaks::Either => {
                own(dialer, endpoint, &Terms { carries: Carries::Upgrade, ..*terms }, None).await
            }
        }
    }

    async fn shared(dialer: &Dialer, endpoint: &Rc<Endpoint>, terms: &Terms) -> Result<Carrier, NoConnection> {
        loop {
            if let Some(lease) = endpoint.lease_of_least_busy() {
                return Ok(Carrier::of_lease(lease));
            }
            let opening = endpoint.reach.opening().unwrap_or_else(|| open(dialer, endpoint, *terms));
            let done = opening.done.notified();
            if opening.opened.borrow().is_none() {
                done.await;
            }
            match opening.opened.borrow().as_ref().expect("it is done") {
                Err(error) => return Err(error.clone()),
                Ok(Opened::Own(upstream)) => {
                    if let Some(upstream) = upstream.take() {
                        return Ok(Carrier::Http1(upstream));
                    }
                    break;
                }
                Ok(Opened::Shared(shared)) => {
                    let lease = endpoint.lease_of(shared);
                    if lease.has_room() {
                        return Ok(Carrier::of_lease(lease));
                    }
                }
            }
        }
        own(dialer, endpoint, terms, None).await
    }

    pub(in crate::proxy) fn endpoint(&self) -> &Rc<Endpoint> {
        match self {
            Carrier::Http1(upstream) => &upstream.endpoint,
            Carrier::Http2(lease) => &lease.endpoint,
        }
    }

    /// It has carried a request before, and another may be sent again.
    pub(in crate::proxy) fn is_reused(&self) -> bool {
        match self {
            Carrier::Http1(upstream) => upstream.reused,
            Carrier::Http2(_) => true,
        }
    }

    /// Sends the request and waits for the response head. Where the time is up `waits_on` says whether to wait on;
    /// with it the head is kept.
    pub(in crate::proxy) async fn send(
        &mut self,
        request: Request<RequestBody>,
        sendable: Sendable,
        progress: &Progress,
        waits_on: Option<&dyn Fn() -> bool>,
    ) -> Result<Response<()>, NoHead> {
        match self {
            Carrier::Http1(upstream) => upstream.send(request, sendable, progress, waits_on).await,
            // On the heap, or every request would have room for it.
            Carrier::Http2(lease) => Box::pin(lease.send(request, sendable, progress, waits_on)).await,
        }
    }

    /// The head of the request that was sent, whatever has become of it, and no body.
    pub(in crate::proxy) fn given_request(&mut self) -> Option<Request<RequestBody>> {
        match self {
            Carrier::Http1(upstream) => upstream.given_request(),
            Carrier::Http2(lease) => lease.given(),
        }
    }

    /// Reads what there is of an answer that nobody wants, and lets the connection rest if that is all.
    pub(in crate::proxy) fn discard(mut self, now: Instant) {
        let mut read = 0;
        while !self.is_end_stream() && read < MOST_DISCARDED {
            match self.poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Ok(frame))) => read += frame.data_ref().map_or(0, Bytes::len),
                Poll::Ready(Some(Err(_)) | None) | Poll::Pending => break,
            }
        }
        if self.is_end_stream() {
            self.release(now);
        }
    }

    /// The request that was lost, if it may be sent again.
    pub(in crate::proxy) fn sent_request(&mut self) -> Option<Request<RequestBody>> {
        match self {
            Carrier::Http1(upstream) => upstream.sent_request(),
            Carrier::Http2(lease) => lease.lost(),
        }
    }

    /// What comes after the head.
    pub(in crate::proxy) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self {
            Carrier::Http1(upstream) => upstream.poll_frame(cx),
            Carrier::Http2(lease) => lease.received().poll_frame(cx).map_err(Broken::from),
        }
    }

    /// Nothing more comes of the answer.
    pub(in crate::proxy) fn is_end_stream(&self) -> bool {
        match self {
            Carrier::Http1(upstream) => upstream.is_end_stream(),
            Carrier::Http2(lease) => lease.is_end_stream(),
        }
    }

    pub(in crate::proxy) fn size_hint(&self) -> SizeHint {
        match self {
            Carrier::Http1(upstream) => upstream.size_hint(),
            Carrier::Http2(lease) => lease.size_hint(),
        }
    }

    /// The endpoint's side of a tunnel, which it has agreed to.
    pub(in crate::proxy) fn into_end(self) -> End {
        match self {
            Carrier::Http1(upstream) => upstream.into_end(),
            Carrier::Http2(lease) => lease.into_end(),
        }
    }

    /// The answer is whole.
    pub(in crate::proxy) fn release(self, now: Instant) {
        if let Carrier::Http1(upstream) = self {
            upstream.release(now);
        }
    }
}

/// A connection that nobody else waits for.
async fn own(
    dialer: &Dialer,
    endpoint: &Rc<Endpoint>,
    terms: &Terms,
    told: Option<Told>,
) -> Result<Carrier, NoConnection> {
    match make(dialer, endpoint, terms, told).await? {
        Opened::Own(upstream) => Ok(Carrier::Http1(upstream.take().expect("it was made just now"))),
        Opened::Shared(shared) => Ok(Carrier::of_lease(endpoint.lease_of(&shared))),
    }
}

/// Begins to make a connection that several may wait for. It is made to the end also where they give up.
fn open(dialer: &Dialer, endpoint: &Rc<Endpoint>, terms: Terms) -> Rc<Opening> {
    let opening = Rc::new(Opening::default());
    endpoint.reach.begin(&opening);
    let (dialer, endpoint) = (dialer.clone(), Rc::clone(endpoint));
    tokio::task::spawn_local({
        let opening = Rc::clone(&opening);
        async move {
            let made = tokio::time::timeout(terms.within, make(&dialer, &endpoint, &terms, None)).await;
            opening.opened.replace(Some(made.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))));
            endpoint.reach.end(&opening);
            opening.done.notify_waiters();
        }
    });
    opening
}

/// One that is told of a client carries its requests alone, and so one at a time.
async fn make(
    dialer: &Dialer,
    endpoint: &Rc<Endpoint>,
    terms: &Terms,
    told: Option<Told>,
) -> Result<Opened, NoConnection> {
    let only_http1 = told.is_some() || terms.carries == Carries::Upgrade;
    let alpn = if only_http1 { Alpn::OnlyHttp1 } else { Alpn::AsConfigured };
    let generation = endpoint.reach.generation();
    let stream = endpoint.reach.connect(&endpoint.known, alpn, told.as_ref()).await?;
    if !only_http1 && endpoint.reach.chooses_http2(&stream)? {
        let shared = Shared::new(stream, dialer, &terms.limits).await?;
        if generation == endpoint.reach.generation() {
            endpoint.keep(&shared);
        }
        return Ok(Opened::Shared(shared));
    }
    let rests = told.is_some() || !only_http1 || endpoint.reach.speaks() == Speaks::Http1;
    let upstream = Upstream::new(stream, dialer, endpoint, &terms.limits, told);
    let rests = rests && generation == endpoint.reach.generation();
    let upstream = if rests { upstream } else { upstream.without_rest() };
    Ok(Opened::Own(Cell::new(Some(upstream))))
}
