//! One request to one version: an endpoint, a connection, the response head. What may be tried again, and what not.
//!
//! A request is never sent twice to one version unless it is idempotent and has no body, was lost on a connection that had
//! rested, and nothing of an answer had come. What was certainly never written may always be sent elsewhere; [`super::shield`]
//! says what blue gets of the rest.

use std::future::Future;
use std::pin::Pin;

use http::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::body::{ResponseBody, Streaming};
use super::ending::{Ending, Reason};
use super::grpc::Speaks;
use super::headers::{self, Upgrade};
use super::in_place::Part;
use super::observe::Exchange;
use super::respond::{Refusal, unavailable};
use super::shield::{Sent, is_failure};
use super::way::{Failed, Found, Wanted, Way, connect};
use crate::gate::Outcome;
use crate::proxy::upstream::{Carrier, Sendable, Upstream};
use crate::proxy::wire::{Phase, RequestBody};

/// A request on its way.
pub(super) enum Forwarded {
    /// It never begins.
    Refused(Refusal),
    /// It was given to a connection that stood.
    Sent { upstream: Box<Upstream>, exchange: Box<Exchange>, way: Way },
    /// There is more to be done. On the heap, or every request would have room for it.
    Goes(Pin<Box<dyn Future<Output = Response<ResponseBody>>>>),
}

/// Sends `request` to the version of `exchange` if a connection is at hand. What is moved after that is small.
pub(super) fn forward(way: Way, mut exchange: Box<Exchange>, mut request: Request<RequestBody>) -> Forwarded {
    let sendable = sendable(&request);
    let found = if way.has_a_word(&exchange) { way.find(&mut exchange, &[], Wanted::Any, sendable) } else { None };
    match found {
        Some(Found::Stands(Carrier::Http1(mut upstream))) => {
            exchange.name_host(&mut request, &upstream.endpoint);
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
        let came = std::future::poll_fn(|cx| {
            let waits_on = || way.waits_on(&exchange);
            upstream.poll_head_on(&way.progress, waits_on, cx)
        });
        match came.await {
            Ok(response) if !is_failure(&exchange, &response) => {
                Ok(answer(&way, exchange, Carrier::Http1(upstream), response))
            }
            Ok(response) => Ok(Box::pin(go_on(way, exchange, None, Ok((Carrier::Http1(upstream), response)))).await),
            Err(none) => Ok(Box::pin(async move {
                let (mut unsent, mut upstream) = (None, Carrier::Http1(upstream));
                let taken_back = way.take_back(&exchange, none, &mut upstream, &mut unsent, Wanted::Any);
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

/// Turns what came back into the answer. Blue is asked where green has failed and its client has had nothing of that.
async fn go_on(
    way: Way,
    mut exchange: Box<Exchange>,
    mut unsent: Option<Request<RequestBody>>,
    mut attempted: Result<(Carrier, Response<()>), Failed>,
) -> Response<ResponseBody> {
    loop {
        let (instead, part) = match attempted {
            Ok((mut upstream, response)) => {
                exchange.compare_with_hung(&response);
                let instead = if is_failure(&exchange, &response) {
                    way.instead(&exchange, Sent::Perhaps, || exchange.shield.again(&mut upstream))
                } else {
                    None
                };
                let Some(instead) = instead else { return answer(&way, exchange, upstream, response) };
                (instead, Part::Ended(give_up(&way, &mut exchange, upstream, response)))
            }
            Err(failed) => {
                let (status, ending, refusal) = ended_by(&failed);
                exchange.refused_with(status);
                let part = match failed {
                    Failed::Lost { refusal: Refusal::HeadTimeout, had, .. } if had < exchange.usual_patience() => {
                        Part::Hung(had)
                    }
                    _ => Part::Ended(ending),
                };
                let instead = match failed {
                    // What was never sent to green blue can answer, whatever the method.
                    Failed::NoEndpoint | Failed::Refused(_) if unsent.is_some() => {
                        way.instead(&exchange, Sent::Never, || unsent.take())
                    }
                    Failed::NoEndpoint | Failed::Refused(_) => None,
                    Failed::Lost { request, .. } => {
                        way.instead(&exchange, Sent::Perhaps, || request.map(|request| *request))
                    }
                };
                let Some(instead) = instead else {
                    exchange.finish(ending, Instant::now());
                    return match refusal {
                        None => unavailable(exchange.speaks),
                        Some(refusal) => refusal.response(exchange.speaks),
                    };
                };
                (instead, part)
            }
        };
        // Green is charged, whoever answers.
        exchange = exchange.instead((instead.section, instead.permit), part);
        exchange.balance(instead.request.headers(), &way.client);
        let usual = exchange.usual_patience();
        way.progress.enter(Phase::Waiting, Instant::now(), usual);
        unsent = Some(instead.request);
        attempted = attempt(&way, &mut exchange, &mut unsent, Wanted::Any, None).await;
    }
}

/// What a failure comes to, where nobody answers instead.
fn ended_by(failed: &Failed) -> (StatusCode, Ending, Option<Refusal>) {
    match *failed {
        Failed::NoEndpoint => {
            (StatusCode::SERVICE_UNAVAILABLE, Ending::failed(Outcome::ConnectError, Reason::NoEndpoint), None)
        }
        Failed::Refused(refusal) | Failed::Lost { refusal, .. } => {
            (refusal.status(), Ending::from(refusal), Some(refusal))
        }
    }
}

/// Takes a failing answer in as one that nobody gets, and says what it came to.
fn give_up(way: &Way, exchange: &mut Exchange, mut upstream: Carrier, response: Response<()>) -> Ending {
    let now = way.progress.now();
    let (parts, ()) = response.into_parts();
    if let Carrier::Http1(upstream) = &mut upstream {
        upstream.rest_as_told(&parts);
    }
    exchange.head_received(parts.status.as_u16(), now);
    exchange.speaks_in_head(Speaks::of(&parts.headers), &parts);
    upstream.discard(now);
    exchange.whole()
}

fn sendable(request: &Request<RequestBody>) -> Sendable {
    if request.method().is_idempotent() && request.body().is_empty() { Sendable::Again } else { Sendable::Once }
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
        exchange.name_host(&mut request, upstream.endpoint());
        let sendable = if upstream.is_reused() { sendable } else { Sendable::Once };
        let waits_on: &dyn Fn() -> bool = &|| way.waits_on(exchange);
        let waits_on = exchange.shield.is_up().then_some(waits_on);
        match upstream.send(request, sendable, &way.progress, waits_on).await {
            Ok(response) => return Ok((upstream, response)),
            Err(none) => way.take_back(exchange, none, &mut upstream, unsent, wanted)?,
        }
        wanted = Wanted::New;
    }
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
    progress.enter(Phase::Streaming, now, exchange.timeouts().body_idle);
    let streaming = Streaming { upstream: Some(upstream), exchange };
    Response::from_parts(parts, ResponseBody::streaming(streaming))
}
