//! One client connection from accept to close, and the stack that every request passes.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::body::{RequestBody, ResponseBody};
use super::client_share::Class;
use super::drive::{Ended, drive};
use super::observe::Exchange;
use super::park::PARK_AFTER;
use super::progress::{self, Progress};
use super::respond::{HEAD_TIMEOUT, Refusal};
use super::socket::{Owned, Socket};
use super::upgrade::{self, End};
use super::worker::{Phase, Place, Worker};
use super::{forward, headers};
use crate::gate::streak::Routed;
use crate::measure::clients::Drawn;
use crate::measure::shard::{Arm, Record, Standing, Took};

/// After the last answer, what the client still sends is read for at most this long, so that it can read the answer.
const LINGER: Duration = Duration::from_secs(1);

/// What is known of the client.
pub(super) struct Client {
    pub address: IpAddr,
    /// Its X-Forwarded-* fields are believed.
    pub trusted: bool,
    pub forwarded_for: HeaderValue,
    /// None where its requests may be those of others.
    pub class: Option<Class>,
}

/// Serves one client connection to its end.
pub(super) async fn connection(worker: Rc<Worker>, place: Place, stream: TcpStream, peer: SocketAddr) {
    let client = Rc::new(Client::new(&worker, peer));
    let socket = Socket::own(stream, &worker.sends);
    let mut early = Bytes::new();
    loop {
        if early.is_empty() && !readable(&worker, &place, &socket).await {
            return;
        }
        match drive(&worker, &place, &client, &socket, early).await {
            Ended::Parked(read) => early = read,
            Ended::HeadTimeout => {
                let whole = worker.settings.timeouts.request_head;
                refused(&worker, http::StatusCode::REQUEST_TIMEOUT, whole);
                if socket.share().write_all(HEAD_TIMEOUT).await.is_ok() {
                    linger(&worker, &socket).await;
                }
                return;
            }
            Ended::Upgraded(early, upstream) => {
                let client = End { socket, early };
                if let Err(error) = upgrade::join(client, upstream, worker.settings.timeouts.tunnel_idle).await {
                    tracing::debug!(%error, %peer, "the tunnel was cut off");
                }
                return;
            }
            Ended::Aborted => return abort(&socket),
            Ended::Finished => return linger(&worker, &socket).await,
        }
    }
}

/// The stack, outermost first. One call for each request.
pub(super) async fn answer(
    worker: Rc<Worker>,
    progress: Rc<Progress>,
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let started = progress.now();
    let version = request.version();
    progress.enter(progress::Phase::Waiting, started, worker.settings.timeouts.response_head);
    let forwarded = AssertUnwindSafe(route(&worker, &progress, &client, request, started)).catch_unwind();
    let outcome = forwarded.await.unwrap_or_else(|_| {
        worker.panicked();
        Err(Refusal::Internal)
    });
    let mut response = match outcome {
        Ok(response) => response,
        Err(refusal) => {
            refused(&worker, refusal.status(), started.elapsed());
            progress.enter(progress::Phase::Idle, Instant::now(), PARK_AFTER);
            refusal.response()
        }
    };
    if worker.phase.get() != Phase::Serving {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    progress.ends_by_close.set(version == Version::HTTP_10);
    if version == Version::HTTP_10 {
        for_http_1_0(&mut response);
    }
    Ok(response)
}

/// Makes the end of the connection the end of an answer whose length is not known. hyper would add `keep-alive` to the
/// answer of an HTTP/1.1 server, also to one that says `close`.
fn for_http_1_0(response: &mut Response<ResponseBody>) {
    let (body, headers) = (response.body(), response.headers());
    if !body.is_end_stream() && body.size_hint().exact().is_none() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    } else if !headers.contains_key(header::CONNECTION) {
        return;
    }
    *response.version_mut() = Version::HTTP_10;
}

/// Checks and rewrites the head, chooses the version, forwards.
async fn route(
    worker: &Rc<Worker>,
    progress: &Rc<Progress>,
    client: &Client,
    request: Request<Incoming>,
    started: Instant,
) -> Result<Response<ResponseBody>, Refusal> {
    #[cfg(feature = "fault-injection")]
    assert!(request.uri().path() != "/portcullis/panic", "a test asked for it");
    let (mut parts, incoming) = request.into_parts();
    let line = worker.line(&parts.method, &parts.uri, client.address);
    let upgrade = headers::request(&mut parts, client)?;
    let chosen = worker.choose(&parts, client);
    let request = Request::from_parts(parts, RequestBody::new(incoming, progress));
    let exchange = Exchange::new(worker, progress, chosen, line, started);
    Ok(forward::forward(worker, progress, exchange, request, upgrade).await)
}

/// Counts a refusal of ours, which is charged to nobody.
fn refused(worker: &Worker, status: http::StatusCode, whole: Duration) {
    worker.record(&Record {
        version: None,
        routed: Routed::default(),
        outcome: crate::gate::Outcome::RefusedByUs,
        charge: crate::gate::Charge::Nobody,
        standing: Standing::Aside,
        drawn: Drawn::Request,
        arm: Arm::Rest,
        endpoint: None,
        status: status.as_u16(),
        judged: Took::default(),
        shown: Took { head: None, whole: Some(whole) },
    });
}

/// Waits for the first byte of a request; false when the connection is to be closed instead.
async fn readable(worker: &Worker, place: &Place, socket: &Socket) -> bool {
    let mut until = std::pin::pin!(tokio::time::sleep(worker.settings.timeouts.keep_alive));
    std::future::poll_fn(|cx| {
        place.wake_by(cx.waker());
        if let Poll::Ready(readable) = socket.poll_readable(cx) {
            return Poll::Ready(readable.is_ok());
        }
        if worker.phase.get() == Phase::Closing || until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        Poll::Pending
    })
    .await
}

/// Ends our side and reads what the client still sends, so that closing does not reset what it has yet to read. What has
/// not been sent by then waits as long as any part of a body may.
async fn linger(worker: &Worker, socket: &Owned) {
    let mut stream = socket.share();
    match tokio::time::timeout(worker.settings.timeouts.body_idle, stream.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return tracing::trace!(%error, "the client was gone first"),
        Err(_) => return abort(socket),
    }
    // On the heap, or every connection's task would have room for it.
    let mut discarded = vec![0; 4096];
    let reading = async {
        while stream.read(&mut discarded).await? > 0 {}
        io::Result::Ok(())
    };
    if let Ok(Err(error)) = tokio::time::timeout(LINGER, reading).await {
        tracing::trace!(%error, "the client was gone first");
    }
}

/// Ends the connection so that the client cannot take it for a clean end.
fn abort(socket: &Owned) {
    if let Err(error) = socket.reset_on_close() {
        tracing::debug!(%error, "the connection was gone before it could be reset");
    }
}

impl Client {
    fn new(worker: &Worker, peer: SocketAddr) -> Client {
        let address = peer.ip().to_canonical();
        let trusted = worker.settings.trusted_proxies.iter().any(|network| network.contains(&address));
        Client {
            address,
            trusted,
            class: (!trusted).then(|| worker.class(address)),
            forwarded_for: HeaderValue::from_str(&address.to_string()).expect("an address is a header value"),
        }
    }
}
