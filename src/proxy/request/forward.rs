//! One request to one version: an endpoint, a connection, the response head. What may be tried again, and what not.
//!
//! A request is never sent twice unless it is idempotent and has no body, was lost on a connection that had rested,
//! and nothing of an answer had come. What was certainly never written may always be sent elsewhere.

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
use crate::proxy::upstream::{Carrier, Carries, Endpoint, NoHead, Picked, Sendable, Terms, pick};
use crate::proxy::wire::{BodyFailure, Interrupt, Phase, Progress, Received, RequestBody};

/// Endpoints of one version that are tried when connections are refused.
const ENDPOINTS_TRIED: usize = 3;

/// Sends `request` to the version of `exchange`, or to blue where green cannot be reached at all, and turns what comes back
/// into the answer.
pub(super) async fn forward(
    service: &Rc<Service>,
    progress: &Rc<Progress>,
    client: &Client,
    mut exchange: Exchange,
    request: Request<RequestBody>,
    upgrade: Upgrade,
) -> Response<ResponseBody> {
    let wish = Wish::of(upgrade, &request);
    let mut unsent = Some(request);
    loop {
        let failed = match attempt(service, progress, client, &mut exchange, &mut unsent, wish.carries()).await {
            Ok((upstream, response)) => return answer(progress, client, exchange, upstream, response, &wish),
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
            exchange = instead;
            progress.enter(Phase::Waiting, now, exchange.serving.settings().timeouts.response_head);
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

async fn attempt(
    service: &Rc<Service>,
    progress: &Rc<Progress>,
    client: &Client,
    exchange: &mut Exchange,
    unsent: &mut Option<Request<RequestBody>>,
    carries: Carries,
) -> Result<(Carrier, Response<Received>), Failed> {
    if carries == Carries::Upgrade && exchange.serving.speaks(exchange.section) == Speaks::Http2 {
        return Err(Failed::Refused(Refusal::Upgrade));
    }
    let mut wanted = Wanted::Any;
    loop {
        let sendable = sendable(unsent.as_ref().expect("it is put back before the next attempt"));
        let mut upstream = connect(service, progress, client, exchange, wanted, sendable, carries).await?;
        let mut request = unsent.take().expect("it has just been looked at");
        if !request.headers().contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, upstream.endpoint().host.clone());
        }
        let sendable = if upstream.is_reused() { sendable } else { Sendable::Once };
        match upstream.send(request, sendable, progress).await {
            Ok(response) => return Ok((upstream, response)),
            Err(NoHead::NotSent(request)) if upstream.is_reused() => *unsent = Some(*request),
            Err(NoHead::NotSent(_) | NoHead::Lost) => match upstream.sent_request() {
                Some(sent) => *unsent = Some(sent),
                None => {
                    return Err(Failed::Refused(match progress.body_failure.get() {
                        Some(BodyFailure::Malformed) => Refusal::MalformedBody,
                        Some(BodyFailure::Large) => Refusal::LargeBody,
                        Some(BodyFailure::Gone) => Refusal::ClientGone,
                        None => Refusal::Reset,
                    }));
                }
            },
            Err(NoHead::Unprocessed(request)) => {
                *unsent = Some(*request);
                if wanted == Wanted::New {
                    return Err(Failed::Refused(Refusal::Reset));
                }
            }
            Err(NoHead::BadHost) => return Err(Failed::Refused(Refusal::Host)),
            Err(NoHead::Invalid(error)) => {
                tracing::debug!(%error, endpoint = %upstream.endpoint().known, "invalid answer");
                let refusal = if error.is_parse_too_large() { Refusal::LargeHead } else { Refusal::Invalid };
                return Err(Failed::Refused(refusal));
            }
            Err(NoHead::Malformed(error)) => {
                tracing::debug!(%error, endpoint = %upstream.endpoint().known, "invalid answer");
                return Err(Failed::Refused(Refusal::Invalid));
            }
            Err(NoHead::Interrupted(interrupt)) => {
                return Err(Failed::Refused(match interrupt {
                    Interrupt::Cut => Refusal::Left,
                    Interrupt::Expired if progress.is_awaiting_body() => Refusal::SlowBody,
                    Interrupt::Expired => Refusal::HeadTimeout,
                }));
            }
        }
        wanted = Wanted::New;
    }
}

/// A connection to an endpoint of the version; to another one when the first cannot be reached.
async fn connect(
    service: &Rc<Service>,
    progress: &Progress,
    client: &Client,
    exchange: &mut Exchange,
    wanted: Wanted,
    sendable: Sendable,
    carries: Carries,
) -> Result<Carrier, Failed> {
    let (timeouts, limits) = (exchange.serving.settings().timeouts, exchange.serving.settings().limits);
    let told = client.told(&exchange.serving, exchange.section);
    let terms = Terms { limits, within: timeouts.connect, carries };
    let mut tried: Vec<Rc<Endpoint>> = Vec::new();
    let mut failed = Failed::NoEndpoint;
    while let Some(Picked { endpoint, trial }) = another(service, exchange, &tried) {
        exchange.at(&endpoint, trial);
        if wanted == Wanted::Any
            && let Some(upstream) = Carrier::resting(&endpoint, told.as_ref(), sendable, carries, progress.now())
        {
            if tried.is_empty() {
                progress.send(exchange.started);
            } else {
                // What began last was the time for a connection to another endpoint.
                let now = Instant::now();
                progress.enter(Phase::Waiting, now, timeouts.response_head);
                progress.send(now);
            }
            return Ok(upstream);
        }
        if service.records.connections() >= exchange.serving.settings().descriptors.connecting {
            return Err(Failed::Refused(Refusal::Exhausted));
        }
        let asked = Instant::now();
        progress.enter(Phase::Waiting, asked, timeouts.connect);
        // On the heap, or every request would have room for it, and be moved with it.
        let connecting = Box::pin(async {
            let told = told.clone();
            if endpoint.has_twin() {
                return race::connect(service, exchange, &endpoint, (terms, told), &mut tried).await;
            }
            Carrier::connect(&service.dialer, &endpoint, &terms, told).await
        });
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

fn another(service: &Service, exchange: &Exchange, tried: &[Rc<Endpoint>]) -> Option<Picked> {
    if tried.len() >= ENDPOINTS_TRIED {
        return None;
    }
    pick(exchange.serving.endpoints.of(exchange.section), tried, &mut service.random.borrow_mut())
}

fn answer(
    progress: &Rc<Progress>,
    client: &Client,
    mut exchange: Exchange,
    mut upstream: Carrier,
    response: Response<Received>,
    wish: &Wish,
) -> Response<ResponseBody> {
    let now = progress.now();
    let (mut parts, incoming) = response.into_parts();
    if let Carrier::Http1(upstream) = &mut upstream {
        upstream.rest_as_told(&parts, &incoming);
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
    let streaming = Streaming { incoming, upstream: Some(upstream), exchange, progress: Rc::clone(progress) };
    Response::from_parts(parts, ResponseBody::streaming(streaming))
}
