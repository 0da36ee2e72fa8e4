//! One request to one version: an endpoint, a connection, the response head. What may be tried again, and what not.
//!
//! A request is never sent twice unless it is idempotent and has no body, was lost on a connection that had rested,
//! and nothing of an answer had come. What was certainly never written may always be sent elsewhere.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use http::{Request, Response, StatusCode, header};
use tokio::time::Instant;

use super::body::{ResponseBody, Streaming};
use super::client::Client;
use super::ending::{Ending, Reason};
use super::headers::{self, Upgrade};
use super::observe::Exchange;
use super::race;
use super::respond::{Refusal, unavailable};
use super::service::Service;
use super::websocket::Wish;
use crate::config::Speaks;
use crate::gate::{Outcome, Version};
use crate::proxy::upstream::{Carrier, Carries, Endpoint, NoHead, Picked, Sendable, Terms, Upstream, pick};
use crate::proxy::wire::{BodyFailure, Interrupt, Phase, Progress, RequestBody};

/// Endpoints of one version that are tried when connections are refused.
const ENDPOINTS_TRIED: usize = 3;

/// A request on its way.
pub(super) enum Forwarded {
    /// It never begins.
    Refused(Refusal),
    /// It was given to a connection that stood.
    Sent { upstream: Box<Upstream>, exchange: Box<Exchange>, way: Way },
    /// There is more to be done. On the heap, or every request would have room for it.
    Goes(Pin<Box<dyn Future<Output = Response<ResponseBody>>>>),
}

/// What a request passes.
pub(super) struct Way {
    pub service: Rc<Service>,
    pub progress: Rc<Progress>,
    pub client: Rc<Client>,
    pub wish: Wish,
}

/// A connection for a request, or the endpoint to which one is to be made.
enum Found {
    Stands(Carrier),
    Missing(Rc<Endpoint>),
}

#[derive(Clone, Copy)]
enum Failed {
    NoEndpoint,
    Refused(Refusal),
}

/// Whether a connection that has carried a request before will do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Any,
    New,
}

/// Sends `request` to the version of `exchange` if a connection is at hand. What is moved after that is small.
pub(super) fn forward(way: Way, mut exchange: Box<Exchange>, mut request: Request<RequestBody>) -> Forwarded {
    let sendable = sendable(&request);
    let found = if way.has_a_word(&exchange) { way.find(&mut exchange, &[], Wanted::Any, sendable) } else { None };
    match found {
        Some(Found::Stands(Carrier::Http1(mut upstream))) => {
            name_host(&mut request, &upstream.endpoint);
            let sendable = if upstream.reused { sendable } else { Sendable::Once };
            upstream.give(request, sendable);
            Forwarded::Sent { upstream, exchange, way }
        }
        found => Forwarded::Goes(Box::pin(async move {
            let mut unsent = Some(request);
            let attempted = attempt(&way, &mut exchange, &mut unsent, Wanted::Any, found).await;
            go_on(way, exchange, unsent, attempted).await
        })),
    }
}

impl Forwarded {
    /// Waits for the head of the answer, and sends the request again where it may be.
    pub(super) async fn answered(self) -> Result<Response<ResponseBody>, Refusal> {
        let (mut upstream, mut exchange, way) = match self {
            Forwarded::Sent { upstream, exchange, way } => (upstream, exchange, way),
            Forwarded::Goes(answered) => return Ok(answered.await),
            Forwarded::Refused(refusal) => return Err(refusal),
        };
        let came = std::future::poll_fn(|cx| upstream.poll_head(&way.progress, cx)).await;
        match came {
            Ok(response) => Ok(answer(&way, exchange, Carrier::Http1(upstream), response)),
            Err(none) => Ok(Box::pin(async move {
                let (mut unsent, mut upstream) = (None, Carrier::Http1(upstream));
                let taken_back = way.take_back(none, &mut upstream, &mut unsent, Wanted::Any);
                drop(upstream);
                let attempted = match taken_back {
                    Ok(()) => attempt(&way, &mut exchange, &mut unsent, Wanted::New, None).await,
                    Err(failed) => Err(failed),
                };
                go_on(way, exchange, unsent, attempted).await
            })
            .await),
        }
    }
}

/// Turns what came back into the answer. Blue is asked where green cannot be reached at all.
async fn go_on(
    way: Way,
    mut exchange: Box<Exchange>,
    mut unsent: Option<Request<RequestBody>>,
    mut attempted: Result<(Carrier, Response<()>), Failed>,
) -> Response<ResponseBody> {
    let Way { service, progress, .. } = &way;
    loop {
        let failed = match attempted {
            Ok((upstream, response)) => return answer(&way, exchange, upstream, response),
            Err(failed) => failed,
        };
        let (status, ending) = match failed {
            Failed::NoEndpoint => {
                (StatusCode::SERVICE_UNAVAILABLE, Ending::failed(Outcome::ConnectError, Reason::NoEndpoint))
            }
            Failed::Refused(refusal) => (refusal.status(), Ending::from(refusal)),
        };
        exchange.refused_with(status);
        let now = Instant::now();
        // What was never sent to green blue can answer, whatever the method; green is charged.
        if exchange.version == Version::Green
            && unsent.is_some()
            && let Some(instead) = exchange.instead(service.table().roles.section(Version::Blue))
        {
            exchange.finish(ending, now);
            exchange = Box::new(instead);
            progress.enter(Phase::Waiting, now, exchange.serving.settings().timeouts.response_head);
            attempted = attempt(&way, &mut exchange, &mut unsent, Wanted::Any, None).await;
            continue;
        }
        exchange.finish(ending, now);
        return match failed {
            Failed::NoEndpoint => unavailable(exchange.speaks),
            Failed::Refused(refusal) => refusal.response(exchange.speaks),
        };
    }
}

fn sendable(request: &Request<RequestBody>) -> Sendable {
    if request.method().is_idempotent() && request.body().is_empty() { Sendable::Again } else { Sendable::Once }
}

pub(super) fn name_host(request: &mut Request<RequestBody>, endpoint: &Endpoint) {
    if !request.headers().contains_key(header::HOST) {
        request.headers_mut().insert(header::HOST, endpoint.host.clone());
    }
}

/// Sends what is unsent until an answer comes, or nothing more can be done; at first by what was `found`, if that is known.
async fn attempt(
    way: &Way,
    exchange: &mut Exchange,
    unsent: &mut Option<Request<RequestBody>>,
    mut wanted: Wanted,
    mut found: Option<Found>,
) -> Result<(Carrier, Response<()>), Failed> {
    if !way.has_a_word(exchange) {
        return Err(Failed::Refused(Refusal::Upgrade));
    }
    loop {
        let sendable = sendable(unsent.as_ref().expect("it is put back before the next attempt"));
        let mut upstream = match found.take() {
            Some(Found::Stands(upstream)) => upstream,
            found => connect(way, exchange, wanted, sendable, found).await?,
        };
        let mut request = unsent.take().expect("it has just been looked at");
        name_host(&mut request, upstream.endpoint());
        let sendable = if upstream.is_reused() { sendable } else { Sendable::Once };
        match upstream.send(request, sendable, &way.progress).await {
            Ok(response) => return Ok((upstream, response)),
            Err(none) => way.take_back(none, &mut upstream, unsent, wanted)?,
        }
        wanted = Wanted::New;
    }
}

impl Way {
    /// Whether what is spoken with the version's endpoints has a word for what the client wishes.
    fn has_a_word(&self, exchange: &Exchange) -> bool {
        self.wish.carries() != Carries::Upgrade || exchange.serving.speaks(exchange.section) != Speaks::Http2
    }

    /// Leaves a request that got no head in `unsent` if it may be sent again, and fails where it is not to be, by a connection
    /// that was `wanted` so.
    fn take_back(
        &self,
        none: NoHead,
        upstream: &mut Carrier,
        unsent: &mut Option<Request<RequestBody>>,
        wanted: Wanted,
    ) -> Result<(), Failed> {
        let progress = &self.progress;
        let refusal = match none {
            NoHead::Lost => match upstream.sent_request() {
                Some(sent) => {
                    *unsent = Some(sent);
                    return Ok(());
                }
                None => match progress.body_failure.get() {
                    Some(BodyFailure::Malformed) => Refusal::MalformedBody,
                    Some(BodyFailure::Large) => Refusal::LargeBody,
                    Some(BodyFailure::Gone) => Refusal::ClientGone,
                    None => Refusal::Reset,
                },
            },
            NoHead::Unprocessed(request) => {
                *unsent = Some(*request);
                if wanted == Wanted::Any {
                    return Ok(());
                }
                Refusal::Reset
            }
            NoHead::BadHost => Refusal::Host,
            NoHead::LargeHead => Refusal::LargeHead,
            NoHead::Malformed(error) => {
                tracing::debug!(%error, endpoint = %upstream.endpoint().known, "invalid answer");
                Refusal::Invalid
            }
            NoHead::Invalid(error) => {
                tracing::debug!(%error, endpoint = %upstream.endpoint().known, "invalid answer");
                Refusal::Invalid
            }
            NoHead::Interrupted(Interrupt::Cut) => Refusal::Left,
            NoHead::Interrupted(Interrupt::Expired) if progress.is_awaiting_body() => Refusal::SlowBody,
            NoHead::Interrupted(Interrupt::Expired) => Refusal::HeadTimeout,
        };
        Err(Failed::Refused(refusal))
    }

    /// Picks another endpoint of the version than those that were tried, and looks for a connection to it; none where there is
    /// no other.
    fn find(
        &self,
        exchange: &mut Exchange,
        tried: &[Rc<Endpoint>],
        wanted: Wanted,
        sendable: Sendable,
    ) -> Option<Found> {
        if tried.len() >= ENDPOINTS_TRIED {
            return None;
        }
        let endpoints = exchange.serving.endpoints.of(exchange.section);
        let Picked { endpoint, trial } = pick(endpoints, tried, &mut self.service.random.borrow_mut())?;
        exchange.at(&endpoint, trial);
        if wanted == Wanted::New {
            return Some(Found::Missing(endpoint));
        }
        let told = self.client.told(&exchange.serving, exchange.section);
        match Carrier::resting(&endpoint, told.as_ref(), sendable, self.wish.carries(), &self.progress) {
            Some(upstream) => {
                if tried.is_empty() {
                    self.progress.send(exchange.started);
                } else {
                    // What began last was the time for a connection to another endpoint.
                    let now = Instant::now();
                    self.progress.enter(Phase::Waiting, now, exchange.serving.settings().timeouts.response_head);
                    self.progress.send(now);
                }
                Some(Found::Stands(upstream))
            }
            None => Some(Found::Missing(endpoint)),
        }
    }
}

/// A connection to an endpoint of the version; to another one when the first cannot be reached. The first may have been `found`
/// already.
async fn connect(
    way: &Way,
    exchange: &mut Exchange,
    wanted: Wanted,
    sendable: Sendable,
    mut found: Option<Found>,
) -> Result<Carrier, Failed> {
    let Way { service, progress, client, .. } = way;
    let (timeouts, limits) = (exchange.serving.settings().timeouts, exchange.serving.settings().limits);
    let told = client.told(&exchange.serving, exchange.section);
    let terms = Terms { limits, within: timeouts.connect, carries: way.wish.carries() };
    let mut tried: Vec<Rc<Endpoint>> = Vec::new();
    let mut failed = Failed::NoEndpoint;
    while let Some(next) = found.take().or_else(|| way.find(exchange, &tried, wanted, sendable)) {
        let endpoint = match next {
            Found::Stands(upstream) => return Ok(upstream),
            Found::Missing(endpoint) => endpoint,
        };
        if service.records.connections() >= exchange.serving.settings().descriptors.connecting {
            return Err(Failed::Refused(Refusal::Exhausted));
        }
        let asked = Instant::now();
        progress.enter(Phase::Waiting, asked, timeouts.connect);
        let connecting = async {
            let told = told.clone();
            if endpoint.has_twin() {
                return race::connect(service, exchange, &endpoint, (terms, told), &mut tried).await;
            }
            Carrier::connect(&service.dialer, &endpoint, &terms, told).await
        };
        let refusal = match progress.within(connecting).await {
            Ok(Ok(upstream)) => {
                let stands = Instant::now();
                progress.enter(Phase::Waiting, stands, timeouts.response_head);
                progress.send(stands);
                exchange.connected(stands - asked);
                return Ok(upstream);
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, endpoint = %endpoint.known, "no connection");
                Refusal::from(&error)
            }
            Err(Interrupt::Expired) => Refusal::ConnectTimeout,
            Err(Interrupt::Cut) => Refusal::Left,
        };
        tried.extend(exchange.endpoint_failed(refusal.outcome()));
        failed = Failed::Refused(refusal);
    }
    Err(failed)
}

fn answer(
    way: &Way,
    mut exchange: Box<Exchange>,
    mut upstream: Carrier,
    response: Response<()>,
) -> Response<ResponseBody> {
    let Way { progress, client, wish, .. } = way;
    let now = progress.now();
    let (mut parts, ()) = response.into_parts();
    if let Carrier::Http1(upstream) = &mut upstream {
        upstream.rest_as_told(&parts);
    }
    exchange.head_received(parts.status.as_u16(), now);
    let switches = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    let rewritten = if switches {
        wish.agreed(&mut parts, &upstream).and_then(|()| headers::response(&mut parts, Upgrade::Asked))
    } else if parts.status.is_success() && wish.is_bootstrapped() {
        // The client would take it for an agreement.
        Err(Refusal::Upgrade)
    } else {
        headers::response(&mut parts, Upgrade::NotAsked)
    };
    match rewritten {
        Ok(speaks) => exchange.speaks_in_head(speaks, &parts),
        Err(refusal) => {
            exchange.refused_with(refusal.status());
            exchange.finish(Ending::from(refusal), now);
            return refusal.response(exchange.speaks);
        }
    }
    if switches {
        if wish.is_bootstrapped() {
            exchange.status = StatusCode::OK.as_u16();
        }
        exchange.finish(exchange.whole(), now);
        let protocol = headers::protocol(&parts.headers);
        *client.tunnel.borrow_mut() = Some(exchange.tunnel(upstream, protocol));
        return Response::from_parts(parts, ResponseBody::Own(None));
    }
    progress.enter(Phase::Streaming, now, exchange.serving.settings().timeouts.body_idle);
    let streaming = Streaming { upstream: Some(upstream), exchange };
    Response::from_parts(parts, ResponseBody::streaming(streaming))
}
