//! Copies of requests for green, beside the originals that blue serves. Their answers are thrown away.
//!
//! An original never waits for its copy: the copy is made of the head alone, is sent by a task of its own, and is the first
//! that is given up where anything runs short. Absent: evidence, ejection, an access log, shared bounds, bodies.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use tokio::time::Instant;

use super::choose::Chosen;
use super::copies::Answered;
use super::headers::name_host;
use super::headers::{self, Upgrade};
use super::pair::{Half, Pair};
use super::respond::Refusal;
use super::service::{Service, Serving};
use super::way::Way;
use super::websocket::Wish;
use crate::config::{Mirror, ShadowHost};
use crate::gate::{Outcome, Version};
use crate::live::Stage;
use crate::measure::Copied;
use crate::measure::shard::Took;
use crate::proxy::upstream::{Carrier, Carries, Endpoint, NoHead, Picked, Sendable, Terms, pick};
use crate::proxy::wire::{Counted, Progress, RequestBody};
use crate::release::{Epoch, Weight};

/// A copy whose turn comes so late is on a worker that has more to do than it can, and is dropped.
const LATE: Duration = Duration::from_millis(5);

/// What Envoy puts behind the name of a host.
const SHADOW: &[u8] = b"-shadow";

/// One that is to be sent.
pub(super) struct Copy {
    pair: Rc<Pair>,
    serving: Rc<Serving>,
    /// Whose endpoints are green's.
    section: Version,
    request: Request<RequestBody>,
    decided: Instant,
    _counted: Counted,
}

/// An answer, as far as it came.
struct Answer {
    outcome: Outcome,
    status: u16,
    bytes: Option<u64>,
    head: Option<Duration>,
}

/// Whether a request may be copied where it is drawn.
fn may_be(way: &Way, chosen: &Chosen, request: &Request<RequestBody>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
        && request.body().is_empty()
        && matches!(way.wish, Wish::Nothing)
        && chosen.version == Version::Blue
}

impl Copy {
    /// A copy of `request`, which goes to blue, if it is drawn and there is room.
    pub(super) fn of(
        way: &Way,
        serving: &Rc<Serving>,
        chosen: &Chosen,
        request: &Request<RequestBody>,
    ) -> Option<Box<Copy>> {
        let (service, settings) = (&way.service, serving.settings());
        let section = service.table().roles.section(Version::Green);
        // A connection that is told of a client is that client's.
        let is_fit = may_be(way, chosen, request) && serving.proxy_protocol(section).is_none();
        if !is_fit || serving.endpoints.of(section).is_empty() || settings.counting.excludes(request.uri().path()) {
            return None;
        }
        if service.copies.draw(chosen.copied) == Version::Blue {
            return None;
        }
        let is_short = service.stage.get() != Stage::Calm
            || service.copies.count() >= settings.copies
            || service.copies.is_in_vain(Instant::now())
            || serving.permit(section, Version::Green).is_err();
        if is_short {
            service.records.copied(Copied::Dropped);
            return None;
        }
        let pair = Pair::new(service, chosen.routed.epoch);
        Some(Box::new(Copy {
            pair,
            serving: Rc::clone(serving),
            section,
            request: copied(request, settings.mirror.host),
            decided: Instant::now(),
            _counted: service.copies.one_more(),
        }))
    }

    pub(super) fn pair(&self) -> Rc<Pair> {
        Rc::clone(&self.pair)
    }

    /// Sends it as soon as the worker has time.
    pub(super) fn go(self: Box<Self>) {
        tokio::task::spawn_local(self.run());
    }

    async fn run(self: Box<Self>) {
        let Copy { pair, serving, section, request, decided, _counted } = *self;
        let service = Rc::clone(&pair.service);
        let Mirror { timeout, response_body_bytes, .. } = serving.settings().mirror;
        if decided.elapsed() > LATE || service.table().copied() == Weight::ZERO {
            return service.records.copied(Copied::Dropped);
        }
        let progress = Rc::new(Progress::new());
        let _under_way = service.copies.begin(&progress);
        let sender = Sender { service: &service, serving: &serving, section, progress: &progress, epoch: pair.epoch };
        let answered = sender.until_cut(sender.send(request, response_body_bytes));
        let ended = tokio::time::timeout(timeout, answered).await;
        let now = Instant::now();
        let answer = match ended {
            Ok(Sent::Answered { answer, is_warm }) => {
                let whole = progress.of_version(now).filter(|_| is_warm);
                let judged = Took { head: answer.head.filter(|_| is_warm), whole };
                Half::of(&serving, &answer, judged)
            }
            Ok(Sent::Cut) => Half::of(&serving, &Answer::none(Outcome::RefusedByUs), Took::default()),
            Ok(Sent::Dropped) => return service.records.copied(Copied::Dropped),
            Err(_) => {
                let took = progress.of_version(now);
                Half::of(&serving, &Answer::none(Outcome::Timeout), Took { head: took, whole: took })
            }
        };
        let answered = if answer.outcome == Outcome::Timeout { Answered::No } else { Answered::Yes };
        service.copies.ended(answered);
        service.records.copied(Copied::Came(answer.outcome));
        pair.copy_came(answer);
    }
}

/// What becomes of a copy.
enum Sent {
    Answered {
        answer: Answer,
        is_warm: bool,
    },
    /// Green was rolled back, or its endpoint has left.
    Cut,
    /// There was no room for its connection.
    Dropped,
}

/// What sends one copy.
struct Sender<'c> {
    service: &'c Rc<Service>,
    serving: &'c Rc<Serving>,
    section: Version,
    progress: &'c Rc<Progress>,
    epoch: Epoch,
}

impl Sender<'_> {
    /// Polls as the driver of a client's connection does.
    async fn until_cut(&self, sent: impl Future<Output = Sent>) -> Sent {
        let mut sent = pin!(sent);
        let progress = self.progress;
        std::future::poll_fn(|cx| {
            progress.polled_by(cx.waker());
            if progress.take_interrupt().is_some() {
                return Poll::Ready(Sent::Cut);
            }
            let polled = sent.as_mut().poll(cx);
            if progress.interims.any() {
                // For a client that there is not.
                progress.interims.take();
            }
            progress.let_time_pass();
            polled
        })
        .await
    }

    async fn send(&self, request: Request<RequestBody>, most_bytes: u64) -> Sent {
        let Sender { service, serving, section, progress, epoch } = *self;
        let picked = pick(serving.endpoints.of(section), &[], &mut service.random.borrow_mut());
        let Some(Picked { endpoint, trial }) = picked else {
            return Sent::Answered { answer: Answer::none(Outcome::ConnectError), is_warm: true };
        };
        // That is for a request whose answer readmits.
        drop(trial);
        let _under_way = endpoint.begin(progress);
        let is_warm = !endpoint.warms_up(epoch, &serving.settings().counting.warm_up, Instant::now());
        let resting = Carrier::resting(&endpoint, None, Sendable::Again, Carries::Requests, progress);
        let mut unsent = Some((request, resting));
        while let Some((mut request, resting)) = unsent.take() {
            let is_first = resting.is_some();
            let mut carrier = match resting {
                Some(carrier) => carrier,
                None => match self.connect(&endpoint).await {
                    Ok(carrier) => carrier,
                    Err(sent) => return sent,
                },
            };
            name_host(&mut request, &endpoint);
            progress.send(Instant::now());
            let sendable = if carrier.is_reused() { Sendable::Again } else { Sendable::Once };
            let came = carrier.send(request, sendable, progress, None).await;
            let outcome = match came {
                Ok(head) => {
                    let answer = self.read(carrier, head.into_parts().0, most_bytes).await;
                    return Sent::Answered { answer, is_warm };
                }
                Err(NoHead::Lost) if is_first => match carrier.sent_request() {
                    Some(again) => {
                        unsent = Some((again, None));
                        continue;
                    }
                    None => Outcome::Reset,
                },
                Err(NoHead::Unprocessed(again)) if is_first => {
                    unsent = Some((*again, None));
                    continue;
                }
                Err(NoHead::BadHost | NoHead::Interrupted(_)) => Outcome::RefusedByUs,
                Err(NoHead::Lost | NoHead::Unprocessed(_)) => Outcome::Reset,
                Err(NoHead::LargeHead | NoHead::Malformed(_) | NoHead::Invalid(_)) => Outcome::Reset,
            };
            return Sent::Answered { answer: Answer::none(outcome), is_warm };
        }
        unreachable!("each turn sends or goes on with something unsent")
    }

    /// A new connection. Copies make none where clients would soon not be accepted, and not many at once.
    async fn connect(&self, endpoint: &Rc<Endpoint>) -> Result<Carrier, Sent> {
        let settings = self.serving.settings();
        let has_room = self.service.records.connections() < settings.descriptors.accepting;
        if !has_room || !self.service.copies.may_connect(Instant::now()) {
            return Err(Sent::Dropped);
        }
        let within = settings.timeouts.connect;
        let terms = Terms { limits: settings.limits, within, carries: Carries::Requests };
        let connecting = Carrier::connect(&self.service.dialer, endpoint, &terms, None);
        let failed = |outcome| Sent::Answered { answer: Answer::none(outcome), is_warm: true };
        match tokio::time::timeout(within, connecting).await {
            Ok(Ok(carrier)) => Ok(carrier),
            Ok(Err(error)) => Err(failed(Refusal::from(&error).outcome())),
            Err(_) => Err(failed(Outcome::Timeout)),
        }
    }

    /// Reads the answer to its end, and keeps nothing of it; of a longer one no more than `most_bytes`.
    async fn read(&self, mut carrier: Carrier, mut parts: http::response::Parts, most_bytes: u64) -> Answer {
        let head = self.progress.of_version(self.progress.now());
        if let Carrier::Http1(upstream) = &mut carrier {
            upstream.rest_as_told(&parts);
        }
        let status = parts.status.as_u16();
        let is_agreed = parts.status == StatusCode::SWITCHING_PROTOCOLS;
        if is_agreed || headers::response(&mut parts, Upgrade::NotAsked).is_err() {
            return Answer { status, head, ..Answer::none(Outcome::Reset) };
        }
        let outcome = Outcome::of_status(status);
        let mut bytes = 0;
        while !carrier.is_end_stream() {
            match std::future::poll_fn(|cx| carrier.poll_frame(cx)).await {
                None => break,
                Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
                Some(Err(_)) => return Answer { outcome: Outcome::Truncated, status, bytes: None, head },
            }
            if bytes > most_bytes {
                // The connection ends with what nobody reads.
                return Answer { outcome, status, bytes: None, head };
            }
        }
        carrier.release(Instant::now());
        Answer { outcome, status, bytes: Some(bytes), head }
    }
}

impl Answer {
    const fn none(outcome: Outcome) -> Answer {
        Answer { outcome, status: 0, bytes: None, head: None }
    }
}

impl Half {
    fn of(serving: &Serving, answer: &Answer, judged: Took) -> Half {
        let Answer { outcome, status, bytes, head } = *answer;
        let charge = serving.settings().counting.charge(outcome, status, None);
        Half { outcome, charge, status, bytes, judged, head }
    }
}

/// The same head, for nobody who is waited for.
fn copied(request: &Request<RequestBody>, host: ShadowHost) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    if host == ShadowHost::Marked {
        mark(copy.headers_mut());
    }
    copy
}

/// `shop:8080` becomes `shop-shadow:8080`. An address in brackets has no name that could be marked.
fn mark(headers: &mut HeaderMap) {
    let Some(host) = headers.get(HOST).map(HeaderValue::as_bytes) else { return };
    if host.starts_with(b"[") || host.is_empty() {
        return;
    }
    let end = memchr::memchr(b':', host).unwrap_or(host.len());
    let marked = [&host[..end], SHADOW, &host[end..]].concat();
    headers.insert(HOST, HeaderValue::from_bytes(&marked).expect("a host and a word are a value"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_host_is_marked_before_its_port() {
        for (host, marked) in [
            ("shop", "shop-shadow"),
            ("shop:8080", "shop-shadow:8080"),
            ("10.0.0.1:80", "10.0.0.1-shadow:80"),
            ("[::1]:80", "[::1]:80"),
            ("", ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            mark(&mut headers);
            assert_eq!(headers[HOST], marked);
        }
    }
}
