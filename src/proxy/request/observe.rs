//! One record for each request that a version was chosen for, at the end of its stream, also when the client drops it.

use std::rc::Rc;
use std::time::Duration;

use http::response::Parts;
use http::{HeaderMap, Request, StatusCode, header};
use tokio::time::Instant;

use super::access::{Ended, Line};
use super::choose::Chosen;
use super::ending::{Ending, Reason};
use super::grpc::{self, Speaks};
use super::headers;
use super::in_place::{Hung, InPlace, Part, shown_failure};
use super::records::Waiting;
use super::service::{Service, Serving};
use super::shield::Shield;
use super::tunnel::Tunnel;
use crate::config::Timeouts;
use crate::gate::streak::{Answer, Routed};
use crate::gate::{Charge, GrpcStatus, Outcome, RouteMark, Version};
use crate::live::Permit;
use crate::measure::Shielded;
use crate::measure::clients::Drawn;
use crate::measure::shard::{Arm, Record, Standing, Took};
use crate::proxy::upstream::{Carrier, Endpoint, Trial, UnderWay};
use crate::proxy::wire::{Progress, Protocol, RequestBody};
use crate::release::Weight;

/// One request on its way. Dropping it before [`Exchange::finish`] means that the client went away, unless it was
/// cut while the client took nothing.
pub(in crate::proxy) struct Exchange {
    service: Rc<Service>,
    pub serving: Rc<Serving>,
    pub progress: Rc<Progress>,
    pub version: Version,
    /// Where the endpoints of `version` are configured.
    pub section: Version,
    routed: Routed,
    drawn: Drawn,
    arm: Arm,
    standing: Standing,
    /// None where no routes are configured.
    pub route: Option<RouteMark>,
    /// Its key among the requests that wait for a response head.
    waiting: Option<usize>,
    pub started: Instant,
    head: Option<Head>,
    pub status: u16,
    /// What the client speaks.
    pub(super) speaks: Speaks,
    /// What an answer of gRPC has said so far; none of any other.
    grpc: Option<GrpcStatus>,
    /// Where the version may have only so many requests at a time.
    permit: Option<Permit>,
    at: Option<UnderWay>,
    trial: Option<Trial>,
    finished: bool,
    pub(super) shield: Shield,
    /// Where the client's own endpoints are found; none where its version's serve anybody.
    pub(super) point: Option<usize>,
    /// Whose name is in the Host field that goes to the endpoint.
    host: HostOf,
    /// None where it is the first part of a request, which is the one that counts.
    pub(super) in_place: Option<Box<InPlace>>,
    /// For the access log; empty when it is off.
    line: Option<Box<Line>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HostOf {
    Client,
    Endpoint,
}

/// The response head, once it has come.
#[derive(Clone, Copy)]
struct Head {
    /// What the version took for it.
    judged: Option<Duration>,
    /// What the client saw.
    shown: Duration,
}

impl Exchange {
    pub(super) fn new(
        service: &Rc<Service>,
        serving: Rc<Serving>,
        progress: &Rc<Progress>,
        chosen: Chosen,
        permit: Option<Permit>,
        line: Option<Box<Line>>,
        started: Instant,
    ) -> Exchange {
        let Chosen { version, section, routed, drawn, arm, standing, route, copied: _ } = chosen;
        progress.begin();
        let waiting = (standing == Standing::Evidence).then(|| {
            let waiting = Waiting { progress: Rc::clone(progress), version, arm, routed, route };
            service.records.waiting.borrow_mut().insert(waiting)
        });
        let begun = service.records.begun.of(version);
        begun.set(begun.get().wrapping_add(1));
        Exchange {
            service: Rc::clone(service),
            serving,
            progress: Rc::clone(progress),
            version,
            section,
            routed,
            drawn,
            arm,
            standing,
            route,
            waiting,
            started,
            head: None,
            status: 0,
            speaks: Speaks::Http,
            grpc: None,
            permit,
            at: None,
            trial: None,
            finished: false,
            shield: Shield::Down,
            point: None,
            host: HostOf::Client,
            in_place: None,
            line,
        }
    }

    /// The same request once more, for blue in green's place: it counts as green's, and is no fair sample of blue.
    pub(super) fn instead(mut self: Box<Self>, to: (Version, Option<Permit>), part: Part) -> Box<Exchange> {
        let (section, permit) = to;
        let Exchange { routed, drawn, started, speaks, route, .. } = *self;
        let (service, serving, progress) =
            (Rc::clone(&self.service), Rc::clone(&self.serving), Rc::clone(&self.progress));
        let mut line = self.line.take();
        line.iter_mut().for_each(|line| line.again());
        let now = Instant::now();
        service.records.begins_in_place();
        let (failed, hung) = match part {
            Part::Ended(ending) => {
                let failed = shown_failure(self.standing, self.charge(ending.outcome), routed);
                // Before anything is decided, which tells what clients felt of it.
                service.records.gave_to_blue(failed);
                self.finish(ending, now);
                (failed, None)
            }
            Part::Hung(had) => (None, Some(self.hang(had, now))),
        };
        // Before anything of blue's part begins.
        drop(self);
        let (version, arm, standing) = (Version::Blue, Arm::Rest, Standing::Aside);
        let chosen = Chosen { version, section, routed, drawn, arm, standing, route, copied: Weight::ZERO };
        let mut instead = Exchange::new(&service, serving, &progress, chosen, permit, line, started);
        instead.in_place = Some(Box::new(InPlace { failed, hung }));
        instead.speaks = speaks;
        Box::new(instead)
    }

    /// It ends without an outcome, after green had it for so long in vain.
    fn hang(&mut self, had: Duration, now: Instant) -> Hung {
        self.finished = true;
        self.status = StatusCode::GATEWAY_TIMEOUT.as_u16();
        let shown = now - self.started;
        let took = |time: Duration| Took { head: Some(time), whole: Some(time) };
        // Until more is known of it we have ended it ourselves.
        let record = self.record(Outcome::RefusedByUs, took(had), took(shown));
        let endpoint = self.at.as_ref().map(|at| Rc::clone(&at.endpoint));
        self.leave(now);
        let (service, serving) = (Rc::clone(&self.service), Rc::clone(&self.serving));
        Hung { service, serving, section: self.section, record, endpoint, had }
    }

    /// The client sees what became of it, though a shield was there, or never needed.
    pub(super) fn was_not_shielded(&self, why_not: Shielded) {
        self.service.records.shielded(why_not, None);
    }

    /// Has the endpoint's name in a request that names none.
    pub(super) fn name_host(&mut self, request: &mut Request<RequestBody>, endpoint: &Endpoint) {
        if headers::name_host(request, endpoint) {
            self.host = HostOf::Endpoint;
        }
    }

    /// Takes that out again: it is not the name of the next one.
    pub(super) fn forget_host(&self, request: &mut Request<RequestBody>) {
        if self.host == HostOf::Endpoint {
            request.headers_mut().remove(header::HOST);
        }
    }

    /// What holds of its route.
    pub(super) fn timeouts(&self) -> &Timeouts {
        self.serving.settings().timeouts_of(self.route)
    }

    /// The request has become a tunnel, by what carried it.
    pub(super) fn tunnel(&self, carrier: Carrier, protocol: Protocol) -> Tunnel {
        let (section, routed, route) = (self.section, self.routed, self.route);
        let (endpoint, serving) = (Rc::clone(carrier.endpoint()), Rc::clone(&self.serving));
        Tunnel { protocol, section, routed, route, endpoint, serving, end: carrier.into_end() }
    }

    /// The request goes to `endpoint`, and no longer to the one before.
    pub(super) fn at(&mut self, endpoint: &Rc<Endpoint>, trial: Option<Trial>) {
        self.leave_endpoint();
        self.trial = trial;
        self.at = Some(endpoint.begin(&self.progress));
        if self.version == Version::Green
            && let Some(in_warm_up) = self.standing.in_warm_up()
            && endpoint.warms_up(self.routed.epoch, &self.serving.settings().counting.warm_up, self.started)
        {
            self.standing = in_warm_up;
            self.waits_no_more();
        }
    }

    /// The endpoint failed to take the request, which goes on to another: the version is not charged. Returns which it was.
    pub(super) fn endpoint_failed(&mut self, outcome: Outcome) -> Option<Rc<Endpoint>> {
        let endpoint = self.at.as_ref().map(|at| Rc::clone(&at.endpoint))?;
        self.report(&endpoint, outcome.charge());
        self.leave_endpoint();
        if let Some(line) = &mut self.line {
            line.endpoint = Some(Rc::clone(&endpoint));
        }
        Some(endpoint)
    }

    /// A connection was made for the request.
    pub(super) fn connected(&mut self, took: Duration) {
        self.service.records.connected(self.version, took);
        if let Some(line) = &mut self.line {
            line.connect = Some(took);
        }
    }

    /// So much of the answer's body has come.
    pub(super) fn passed(&mut self, length: usize) {
        if let Some(line) = &mut self.line {
            line.response_bytes += length as u64;
        }
    }

    pub(super) fn head_received(&mut self, status: u16, now: Instant) {
        self.status = status;
        self.head = Some(Head { judged: self.progress.of_version(now), shown: now - self.started });
        self.permit.iter_mut().for_each(Permit::answered);
        self.waits_no_more();
    }

    /// How long the head of an answer is waited for.
    pub(super) fn usual_patience(&self) -> Duration {
        self.timeouts().response_head
    }

    /// It is answered by us, as with `status`.
    pub(super) fn refused_with(&mut self, status: StatusCode) {
        self.status = status.as_u16();
        self.grpc = self.speaks.instead_of(status);
    }

    /// What the head of an answer says where one of both sides speaks gRPC. Any other status than 200 says it all (its
    /// http-grpc-status-mapping.md).
    pub(super) fn speaks_in_head(&mut self, answer: Speaks, head: &Parts) {
        if (answer == Speaks::Grpc || self.speaks == Speaks::Grpc) && head.status == StatusCode::OK {
            self.grpc = Some(grpc::said(&head.headers).unwrap_or(GrpcStatus::Missing));
        }
    }

    /// The last that comes of an answer.
    pub(super) fn speaks_in_trailers(&mut self, trailers: &HeaderMap) {
        if let Some(grpc) = &mut self.grpc {
            *grpc = grpc::said(trailers).unwrap_or(*grpc);
        }
    }

    /// How it ends where the answer is whole.
    pub(super) const fn whole(&self) -> Ending {
        Ending::whole(self.status, self.grpc)
    }

    /// Records what the request came to. The first call counts.
    pub(super) fn finish(&mut self, ending: Ending, now: Instant) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let Ending { outcome, .. } = ending;
        let shown_whole = now - self.started;
        let judged_whole = self.progress.of_version(now);
        let waited_in_vain = matches!(outcome, Outcome::Timeout | Outcome::ClientCancelled);
        let in_vain = Head { judged: judged_whole, shown: shown_whole };
        let head = self.head.or(waited_in_vain.then_some(in_vain));
        let judged = Took { head: head.and_then(|head| head.judged), whole: judged_whole };
        let shown = Took { head: head.map(|head| head.shown), whole: Some(shown_whole) };
        let record = self.record(outcome, judged, shown);
        match self.in_place.take() {
            None => book(&self.service, &self.serving, self.section, &record, self.at.as_ref().map(|at| &at.endpoint)),
            Some(in_place) => in_place.end(&self.service, record.charge),
        }
        let Record { version, status, charge, grpc, judged, .. } = record;
        if let Some(mut line) = self.line.take() {
            if let Some(at) = &self.at {
                line.endpoint = Some(Rc::clone(&at.endpoint));
            }
            let head = head.map(|head| head.shown);
            let whole = shown_whole;
            line.write(&Ended { version, status, grpc, ending, charge, judged, head, whole });
        }
        self.leave(now);
    }

    /// What an answer of gRPC has said. Of one that is not whole nobody knows what it would have said.
    fn said(&self, outcome: Outcome) -> Option<GrpcStatus> {
        self.grpc.filter(|said| *said != GrpcStatus::Missing || outcome == Outcome::GrpcFailure)
    }

    fn charge(&self, outcome: Outcome) -> Charge {
        self.serving.settings().counting.charge(outcome, self.status, self.said(outcome))
    }

    fn record(&self, outcome: Outcome, judged: Took, shown: Took) -> Record {
        let Exchange { version, routed, drawn, arm, standing, status, route, .. } = *self;
        Record {
            version: Some(version),
            routed,
            outcome,
            charge: self.charge(outcome),
            standing: self.service.standing_at_its_end(route, standing),
            drawn,
            arm,
            route,
            endpoint: self.at.as_ref().and_then(|at| at.endpoint.number_among_siblings()),
            status,
            grpc: self.said(outcome),
            judged,
            shown,
        }
    }

    /// It is no longer under way.
    fn leave(&mut self, now: Instant) {
        self.waits_no_more();
        self.leave_endpoint();
        self.permit = None;
        let ended = self.service.records.ended.of(self.version);
        ended.set(ended.get().wrapping_add(1));
        self.progress.rest(now);
    }

    pub(super) fn report(&self, endpoint: &Endpoint, charge: Charge) {
        report(&self.serving, self.section, self.version, endpoint, charge);
    }

    fn waits_no_more(&mut self) {
        if let Some(key) = self.waiting.take() {
            self.service.records.waiting.borrow_mut().remove(key);
        }
    }

    fn leave_endpoint(&mut self) {
        (self.at, self.trial) = (None, None);
    }
}

/// Counts what came of a request, and lets it count where something is decided.
pub(super) fn book(service: &Service, serving: &Serving, section: Version, record: &Record, at: Option<&Rc<Endpoint>>) {
    service.records.record(record);
    let Record { version: Some(version), charge, standing, routed, endpoint, .. } = *record else { return };
    if standing.counts_in_a_row() {
        let answer = Answer { version, charge, routed, endpoint };
        // Whoever hears of a finding has the requests that it rests on.
        service.routing.observe_and(answer, || service.hand_over());
        if let Some(at) = at {
            report(serving, section, version, at, charge);
        }
    }
}

fn report(serving: &Serving, section: Version, version: Version, endpoint: &Endpoint, charge: Charge) {
    endpoint.report(charge, &serving.settings().ejection, serving.among(section, version));
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.finished {
            let ending = if std::thread::panicking() {
                Ending::failed(Outcome::RefusedByUs, Reason::Internal)
            } else if self.progress.is_cut() {
                Ending::failed(Outcome::RefusedByUs, Reason::EndpointLeft)
            } else {
                Ending::failed(Outcome::ClientCancelled, Reason::ClientGone)
            };
            self.finish(ending, Instant::now());
        }
    }
}
