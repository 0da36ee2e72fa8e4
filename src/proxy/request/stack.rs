//! The stack that every request passes, outermost first.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body;
use tokio::time::Instant;

use super::access::{Ended, Line};
use super::added::Added;
use super::body::ResponseBody;
use super::choose::Chosen;
use super::client::Client;
use super::ending::Ending;
use super::forward::{Forwarded, forward};
use super::grpc::Speaks;
use super::headers::Asked;
use super::ids::Trace;
use super::mirror::Copy;
use super::observe::Exchange;
use super::respond::Refusal;
use super::service::{Service, Serving};
use super::shield::Shield;
use super::span::Begun;
use super::way::Way;
use super::websocket::Wish;
use super::{headers, ids};
use crate::config::Limits;
use crate::gate;
use crate::gate::streak::Routed;
use crate::gate::{Charge, GrpcStatus, Outcome};
use crate::live::Permit;
use crate::measure::Shed;
use crate::measure::clients::Drawn;
use crate::measure::shard::{Arm, Record, Standing, Took};
use crate::proxy::wire::{Bounds, Phase, Progress, Received, RequestBody};
use crate::release::Weight;

/// What is said of a request elsewhere, whatever becomes of it.
#[derive(Default)]
struct Named {
    /// Until somebody else sees to it.
    line: Option<Box<Line>>,
    /// What the client is told beside the answer.
    added: Option<Box<Added>>,
    /// What it is told in.
    speaks: Speaks,
}

/// What a request is once it may go on.
struct Admitted {
    asked: Asked,
    chosen: Chosen,
    permit: Option<Permit>,
}

/// Answers one request. Its head is worked on at once, and what waits for the answer is small.
pub(in crate::proxy) fn answer(
    service: Rc<Service>,
    progress: Rc<Progress>,
    client: Rc<Client>,
    request: Request<impl Into<Received>>,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> {
    let (started, version) = (progress.now(), request.version());
    progress.ends_by_close.set(version == Version::HTTP_10);
    let serving = service.serving();
    progress.enter(Phase::Waiting, started, serving.settings().timeouts.response_head);
    let mut named = Named::default();
    let way = Way { service: Rc::clone(&service), progress: Rc::clone(&progress), client, wish: Wish::Nothing };
    let begun = catch_unwind(AssertUnwindSafe(|| route(way, serving, request, started, &mut named)));
    let forwarded = begun.unwrap_or_else(|_| Forwarded::Refused(panicked(&service)));
    AssertUnwindSafe(forwarded.answered()).catch_unwind().map(move |outcome| {
        let mut response = match outcome.unwrap_or_else(|_| Err(panicked(&service))) {
            Ok(response) => response,
            Err(refusal) => {
                let response = refuse(&service, refusal, &mut named, started.elapsed());
                progress.rest(Instant::now());
                response
            }
        };
        if let Some(added) = named.added {
            added.to(response.headers_mut());
        }
        if !service.keeps_alive.get() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        progress.answering.set(true);
        if version == Version::HTTP_10 {
            for_http_1_0(&mut response);
        }
        Ok(response)
    })
}

fn panicked(service: &Service) -> Refusal {
    service.records.panicked();
    Refusal::Internal
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
fn route(
    mut way: Way,
    serving: Rc<Serving>,
    request: Request<impl Into<Received>>,
    started: Instant,
    named: &mut Named,
) -> Forwarded {
    let Way { service, progress, client, .. } = &way;
    let (mut parts, body) = request.into_parts();
    let incoming: Received = body.into();
    let settings = serving.settings();
    let trace = ids::trace(service, settings, &parts.headers);
    let span = trace.sampled().map(|context| Begun::new(&service.spans, context, &parts.headers, client));
    named.line = serving.line(&parts, incoming.size_hint().exact(), client, span);
    if let Some(id) = ids::request_id(service, settings, &parts.headers, client) {
        if let Some(line) = &mut named.line {
            line.identify(&id);
        }
        named.added.get_or_insert_default().request_id = Some(id);
    }
    #[cfg(feature = "fault-injection")]
    assert!(parts.uri.path() != "/portcullis/panic", "a test asked for it");
    let length = incoming.size_hint().lower();
    let whole_target = if progress.has_fragment.take() { Err(Refusal::Target) } else { Ok(()) };
    let admitted =
        whole_target.and_then(|()| admit(service, &serving, &mut parts, (length, trace), client, started, named));
    let Admitted { asked, chosen, permit } = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => {
            // Told by a look at the head only where that is needed.
            named.speaks = Speaks::of(&parts.headers);
            return Forwarded::Refused(refusal);
        }
    };
    named.speaks = asked.speaks;
    let body = RequestBody::new(incoming, progress, bounds(&settings.limits, asked.speaks));
    let mut request = Request::from_parts(parts, body);
    way.wish = Wish::of(asked.upgrade, &request);
    let copy = if chosen.copied == Weight::ZERO { None } else { Copy::of(&way, &serving, &chosen, &request) };
    if let Some(copy) = &copy {
        named.line.get_or_insert_with(|| Serving::silent_line(&way.client)).mirrored = Some(copy.pair());
    }
    let Way { service, progress, .. } = &way;
    let mut exchange = Exchange::new(service, serving, progress, chosen, permit, named.line.take(), started);
    if exchange.route.is_some() {
        progress.enter(Phase::Waiting, started, exchange.timeouts().response_head);
    }
    exchange.speaks = asked.speaks;
    // Who has chosen green is to see what it does.
    if chosen.version == gate::Version::Green && !matches!(chosen.standing, Standing::Overridden(_)) {
        exchange.shield = Shield::over(exchange.serving.settings(), exchange.route, &mut request, asked);
    }
    exchange.balance(request.headers(), &way.client);
    let forwarded = forward(way, Box::new(exchange), request);
    if let Some(copy) = copy {
        copy.go();
    }
    forwarded
}

/// What a body is held to. A stream of messages is silent for as long as there are none.
fn bounds(limits: &Limits, speaks: Speaks) -> Bounds {
    let rate = match speaks {
        Speaks::Http => limits.request_body_rate,
        Speaks::Grpc => 0,
    };
    Bounds { most: limits.request_body_bytes, rate }
}

/// Makes the head of a request with a body of at least `length` bytes, in `trace`, the one that goes on, if it may, to the
/// version that is chosen.
fn admit(
    service: &Service,
    serving: &Serving,
    parts: &mut Parts,
    (length, trace): (u64, Trace),
    client: &Client,
    started: Instant,
    named: &mut Named,
) -> Result<Admitted, Refusal> {
    let settings = serving.settings();
    let asked = headers::request(parts, client, settings.limits.target_bytes)?;
    if let Some(Added { request_id: Some(id), .. }) = named.added.as_deref() {
        parts.headers.insert(ids::X_REQUEST_ID, HeaderValue::clone(id));
    }
    trace.tell(service, settings, &mut parts.headers);
    if let Some(line) = &mut named.line {
        line.goes_on(parts);
    }
    serving.admit(&parts.headers, client, started)?;
    if settings.limits.request_body_bytes.is_some_and(|most| length > most) {
        return Err(Refusal::LargeBody);
    }
    let wanted = match &settings.overriding {
        Some(overriding) => service.asked_for(serving, overriding, &mut parts.headers, client),
        None => None,
    };
    let chosen = match wanted.and_then(|version| service.overridden(serving, parts, version)) {
        Some(chosen) => chosen,
        None => service.choose(serving, parts, client, &mut named.added),
    };
    let permit = serving.permit(chosen.section, chosen.version)?;
    Ok(Admitted { asked, chosen, permit })
}

/// Refuses a request that is known by its head, `whole` after it came.
fn refuse(service: &Service, refusal: Refusal, named: &mut Named, whole: Duration) -> Response<ResponseBody> {
    let grpc = named.speaks.instead_of(refusal.status());
    refused(service, refusal.status(), grpc, whole);
    match refusal {
        Refusal::Overload => service.records.shed(Shed::Request),
        Refusal::Ramp => service.records.shed(Shed::InRamp),
        _ => {}
    }
    if let Some(line) = named.line.take() {
        let (status, ending) = (refusal.status().as_u16(), Ending::from(refusal));
        line.write(&Ended::refused(status, grpc, ending, whole));
    }
    refusal.response(named.speaks)
}

/// Refuses a request for its head alone.
pub(super) fn refuse_head(
    service: &Service,
    client: &Client,
    head: &Parts,
    refusal: Refusal,
) -> Response<ResponseBody> {
    let line = service.serving().line(head, None, client, None);
    let mut named = Named { line, speaks: Speaks::of(&head.headers), added: None };
    refuse(service, refusal, &mut named, Duration::ZERO)
}

/// Counts a refusal of ours, which is charged to nobody.
pub(super) fn refused(service: &Service, status: StatusCode, grpc: Option<GrpcStatus>, whole: Duration) {
    service.records.record(&Record {
        version: None,
        routed: Routed::default(),
        outcome: Outcome::RefusedByUs,
        charge: Charge::Nobody,
        standing: Standing::Aside,
        drawn: Drawn::Request,
        arm: Arm::Rest,
        route: None,
        endpoint: None,
        status: status.as_u16(),
        grpc,
        judged: Took::default(),
        shown: Took { head: None, whole: Some(whole) },
    });
}
