//! One request on a connection by HTTP/2, to its response head.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_KEY, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::{Body, SizeHint};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Shared;
use crate::proxy::upstream::end::{End, Held};
use crate::proxy::upstream::endpoint::Endpoint;
use crate::proxy::upstream::no_head::NoHead;
use crate::proxy::upstream::pool::Sendable;
use crate::proxy::wire::{Interrupt, Lender, LentBody, Pipe, Progress, Received, RequestBody, Side};

/// The place of one request on a connection.
pub(in crate::proxy) struct Lease {
    pub endpoint: Rc<Endpoint>,
    shared: Rc<Shared>,
    /// There was nothing else on the connection, which had carried requests before.
    rested: bool,
    /// The head that was sent.
    given: Option<Parts>,
    /// It was lost, and may be sent again.
    is_lost: bool,
    /// What the request has become, if it is no longer one.
    tunnel: Option<Side>,
    /// What comes after the head of the answer.
    received: Received,
}

/// A request that waits for its answer.
struct Asked {
    answer: ResponseFuture,
    carries: Carries,
}

/// What goes on the stream after the head.
enum Carries {
    /// A body, sent by a task of its own where that takes long, or none.
    Body(Option<Sending>),
    /// What a tunnel would carry.
    Tunnel(SendStream<Bytes>),
}

/// The task that sends a body. Dropped before the answer has come, it ends, and the stream is reset; else it goes on.
struct Sending(Option<JoinHandle<()>>);

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

impl Lease {
    pub(super) fn new(endpoint: &Rc<Endpoint>, shared: &Rc<Shared>) -> Lease {
        let before = shared.under_way.replace(shared.under_way.get() + 1);
        let rested = before == 0 && shared.carried.replace(true);
        Lease {
            endpoint: Rc::clone(endpoint),
            shared: Rc::clone(shared),
            rested,
            given: None,
            is_lost: false,
            tunnel: None,
            received: Received::None,
        }
    }

    /// Whether the connection had room for it.
    pub(in crate::proxy::upstream) fn has_room(&self) -> bool {
        self.shared.under_way.get() <= self.shared.most_streams()
    }

    /// As [`Shared::takes_tunnels`].
    pub(in crate::proxy::upstream) fn takes_tunnels(&self) -> bool {
        self.shared.takes_tunnels()
    }

    /// Sends the request and waits for the response head. One that asks to leave HTTP is sent as an extended CONNECT (RFC 8441,
    /// section 5), and the answer is what HTTP/1 would have.
    pub(in crate::proxy::upstream) async fn send(
        &mut self,
        request: Request<RequestBody>,
        sendable: Sendable,
        progress: &Progress,
        waits_on: Option<&dyn Fn() -> bool>,
    ) -> Result<Response<()>, NoHead> {
        let (parts, body) = request.into_parts();
        let (lender, body) = LentBody::new(body);
        let head = self.as_http2(parts.clone(), &body).ok_or(NoHead::BadHost)?;
        let began = Instant::now();
        let Ok(mut asked) = self.ask(head, body) else { return Err(unprocessed(parts, &lender)) };
        let answered = std::future::poll_fn(|cx| match progress.take_interrupt() {
            Some(Interrupt::Expired) if waits_on.is_some_and(|waits_on| waits_on()) => asked.poll(progress, cx).map(Ok),
            Some(interrupt) => Poll::Ready(Err(interrupt)),
            None => asked.poll(progress, cx).map(Ok),
        });
        let error = match answered.await {
            Ok(Ok(answer)) => {
                self.given = waits_on.map(|_| parts);
                return Ok(self.answered(answer, asked.carries));
            }
            Ok(Err(error)) => error,
            Err(interrupt) => {
                // Nothing was heard at all: the next requests had better go elsewhere.
                let heard = self.shared.heard.last.get() > began;
                if interrupt == Interrupt::Expired && !heard && !progress.is_awaiting_body() {
                    self.shared.over.set(true);
                }
                self.given = Some(parts);
                return Err(NoHead::Interrupted(interrupt));
            }
        };
        let none = match fate(&error) {
            Fate::Unprocessed => return Err(unprocessed(parts, &lender)),
            Fate::Invalid => NoHead::Malformed(error),
            Fate::Reset => NoHead::Lost,
            Fate::Lost => {
                self.is_lost = self.rested && sendable == Sendable::Again;
                NoHead::Lost
            }
        };
        self.given = Some(parts);
        Err(none)
    }

    /// What comes after the head.
    pub(in crate::proxy::upstream) fn received(&mut self) -> Pin<&mut Received> {
        Pin::new(&mut self.received)
    }

    pub(in crate::proxy::upstream) fn is_end_stream(&self) -> bool {
        self.received.is_end_stream()
    }

    pub(in crate::proxy::upstream) fn size_hint(&self) -> SizeHint {
        self.received.size_hint()
    }

    /// The request that was lost, if it may be sent again.
    pub(in crate::proxy::upstream) fn lost(&mut self) -> Option<Request<RequestBody>> {
        if self.is_lost { self.given() } else { None }
    }

    /// The head that was sent, and no body. Of an answer only where it was asked to be kept.
    pub(in crate::proxy::upstream) fn given(&mut self) -> Option<Request<RequestBody>> {
        self.given.take().map(|parts| Request::from_parts(parts, RequestBody::Empty))
    }

    /// The endpoint's side of what the request has become.
    pub(in crate::proxy::upstream) fn into_end(mut self: Box<Self>) -> End {
        let side = self.tunnel.take().expect("there is one wherever a 101 was made of the answer");
        End { side, early: Bytes::new(), _held: Held::Place { _lease: self } }
    }

    /// Hands the request over. An error means that nothing of it was written.
    fn ask(&self, head: Request<()>, body: LentBody) -> Result<Asked, h2::Error> {
        let is_tunnel = head.method() == Method::CONNECT;
        let ends = !is_tunnel && body.is_end_stream();
        let (answer, stream) = self.shared.sender.borrow().clone().send_request(head, ends)?;
        let carries = match () {
            () if is_tunnel => Carries::Tunnel(stream),
            () if ends => Carries::Body(None),
            () => Carries::Body(Some(Sending::begin(Pipe::new(body, stream, Reason::CANCEL)))),
        };
        Ok(Asked { answer, carries })
    }

    fn answered(&mut self, answer: Response<RecvStream>, carries: Carries) -> Response<()> {
        let (mut parts, stream) = answer.into_parts();
        match carries {
            Carries::Body(Some(sending)) => sending.go_on(),
            Carries::Body(None) => {}
            Carries::Tunnel(to) if parts.status.is_success() => {
                self.tunnel = Some(Side::stream(to, stream));
                parts.status = StatusCode::SWITCHING_PROTOCOLS;
                parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                parts.headers.remove(CONTENT_LENGTH);
                return Response::from_parts(parts, ());
            }
            Carries::Tunnel(mut to) => {
                if let Err(error) = to.send_data(Bytes::new(), true) {
                    tracing::debug!(%error, "the stream has ended already");
                }
            }
        }
        self.received = Received::on_stream(stream, &parts.headers);
        Response::from_parts(parts, ())
    }

    /// The head as HTTP/2 has it. None where the host is none.
    fn as_http2(&self, mut parts: Parts, body: &LentBody) -> Option<Request<()>> {
        let host = parts.headers.remove(HOST).unwrap_or_else(|| self.endpoint.host.clone());
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(if self.endpoint.reach.is_secured() { Scheme::HTTPS } else { Scheme::HTTP });
        uri.authority = Some(Authority::try_from(host.as_bytes()).ok()?);
        uri.path_and_query = Some(parts.uri.into_parts().path_and_query.unwrap_or(PathAndQuery::from_static("/")));
        parts.uri = Uri::from_parts(uri).ok()?;
        parts.version = http::Version::HTTP_2;
        parts.headers.remove(TRANSFER_ENCODING);
        if parts.headers.remove(UPGRADE).is_some() {
            parts.headers.remove(CONNECTION);
            parts.headers.remove(SEC_WEBSOCKET_KEY);
            parts.method = Method::CONNECT;
            parts.extensions.insert(Protocol::from("websocket"));
        } else if body.is_end_stream() && has_a_body_by_rights(&parts.method) {
            parts.headers.entry(CONTENT_LENGTH).or_insert(HeaderValue::from_static("0"));
        }
        Some(Request::from_parts(parts, ()))
    }
}

/// Methods of which one without a body says so (RFC 9110, section 8.6).
fn has_a_body_by_rights(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::DELETE)
}

impl Asked {
    fn poll(&mut self, progress: &Progress, cx: &mut Context<'_>) -> Poll<Result<Response<RecvStream>, h2::Error>> {
        while let Poll::Ready(Some(Ok(head))) = self.answer.poll_informational(cx) {
            // There is none in HTTP/2 (RFC 9113, section 8.6).
            if head.status() != StatusCode::SWITCHING_PROTOCOLS {
                progress.interims.push(head);
            }
        }
        Pin::new(&mut self.answer).poll(cx)
    }
}

impl Sending {
    /// Sends what there is at once, and the rest in a task.
    fn begin(mut pipe: Pipe<LentBody>) -> Sending {
        let sent = Pin::new(&mut pipe).poll(&mut Context::from_waker(Waker::noop()));
        Sending(sent.is_pending().then(|| tokio::task::spawn_local(pipe)))
    }

    /// The answer has come, and may be over before the request is.
    fn go_on(mut self) {
        self.0 = None;
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
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

fn fate(error: &h2::Error) -> Fate {
    match error {
        // Those that it has begun on are not ended by it.
        error if error.is_remote() && error.is_go_away() => Fate::Unprocessed,
        error if error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM) => Fate::Unprocessed,
        error if error.is_remote() => Fate::Reset,
        error if error.is_library() => Fate::Invalid,
        // What we ended ourselves, because the client's body broke off, and what the socket did.
        _ => Fate::Lost,
    }
}
