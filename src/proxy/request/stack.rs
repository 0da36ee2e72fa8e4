//! The stack that every request passes, outermost first.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::body::ResponseBody;
use super::client::Client;
use super::observe::Exchange;
use super::respond::Refusal;
use super::service::{Service, Serving};
use super::{forward, headers};
use crate::gate::streak::Routed;
use crate::gate::{Charge, Outcome};
use crate::measure::clients::Drawn;
use crate::measure::shard::{Arm, Record, Standing, Took};
use crate::proxy::lifecycle;
use crate::proxy::wire::{Phase, Progress, RequestBody};

/// Answers one request.
pub(in crate::proxy) async fn answer(
    service: Rc<Service>,
    progress: Rc<Progress>,
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let started = progress.now();
    let version = request.version();
    let serving = service.serving();
    progress.enter(Phase::Waiting, started, serving.settings().timeouts.response_head);
    let forwarded = AssertUnwindSafe(route(&service, serving, &progress, &client, request, started)).catch_unwind();
    let outcome = forwarded.await.unwrap_or_else(|_| {
        service.records.panicked();
        Err(Refusal::Internal)
    });
    let mut response = match outcome {
        Ok(response) => response,
        Err(refusal) => {
            refused(&service, refusal.status(), started.elapsed());
            progress.rest(Instant::now());
            refusal.response()
        }
    };
    if service.phase.get() != lifecycle::Phase::Serving {
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
    service: &Rc<Service>,
    serving: Rc<Serving>,
    progress: &Rc<Progress>,
    client: &Client,
    request: Request<Incoming>,
    started: Instant,
) -> Result<Response<ResponseBody>, Refusal> {
    #[cfg(feature = "fault-injection")]
    assert!(request.uri().path() != "/portcullis/panic", "a test asked for it");
    let (mut parts, incoming) = request.into_parts();
    let line = serving.line(&parts.method, &parts.uri, client.address);
    let upgrade = headers::request(&mut parts, client)?;
    serving.admit(&parts.headers, client, started)?;
    let most = serving.settings().limits.request_body_bytes;
    if most.is_some_and(|most| incoming.size_hint().lower() > most) {
        return Err(Refusal::LargeBody);
    }
    let chosen = service.choose(&serving, &parts, client);
    let permit = serving.permit(chosen.section, chosen.version)?;
    let request = Request::from_parts(parts, RequestBody::new(incoming, progress, most));
    let exchange = Exchange::new(service, serving, progress, chosen, permit, line, started);
    Ok(forward::forward(service, progress, client, exchange, request, upgrade).await)
}

/// Counts a request whose head did not come in time.
pub(in crate::proxy) fn head_timed_out(service: &Service) {
    refused(service, StatusCode::REQUEST_TIMEOUT, service.serving().settings().timeouts.request_head);
}

/// Counts a refusal of ours, which is charged to nobody.
fn refused(service: &Service, status: StatusCode, whole: Duration) {
    service.records.record(&Record {
        version: None,
        routed: Routed::default(),
        outcome: Outcome::RefusedByUs,
        charge: Charge::Nobody,
        standing: Standing::Aside,
        drawn: Drawn::Request,
        arm: Arm::Rest,
        endpoint: None,
        status: status.as_u16(),
        judged: Took::default(),
        shown: Took { head: None, whole: Some(whole) },
    });
}
