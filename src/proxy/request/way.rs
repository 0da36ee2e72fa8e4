//! How a request gets to a version: an endpoint, a connection, and what it means where no head comes back.

use std::rc::Rc;
use std::time::Duration;

use http::Request;
use tokio::time::Instant;

use super::client::Client;
use super::observe::Exchange;
use super::race;
use super::respond::Refusal;
use super::service::Service;
use super::websocket::Wish;
use crate::config::Speaks;
use crate::gate::Charge;
use crate::proxy::upstream::{Carrier, Carries, Endpoint, NoHead, Picked, Sendable, Terms, pick, pick_in_order};
use crate::proxy::wire::{BodyFailure, Interrupt, Phase, Progress, RequestBody};

/// Endpoints of one version that are tried when connections are refused.
const ENDPOINTS_TRIED: usize = 3;

/// What a request passes.
pub(super) struct Way {
    pub service: Rc<Service>,
    pub progress: Rc<Progress>,
    pub client: Rc<Client>,
    pub wish: Wish,
}

/// A connection for a request, or the endpoint to which one is to be made.
pub(super) enum Found {
    Stands(Carrier),
    Missing(Rc<Endpoint>),
}

/// Why there is no answer of a version.
pub(super) enum Failed {
    NoEndpoint,
    Refused(Refusal),
    /// The version may have seen it, and had it for so long. It can be sent again where it is there.
    Lost {
        refusal: Refusal,
        had: Duration,
        request: Option<Box<Request<RequestBody>>>,
    },
}

/// Whether a connection that has carried a request before will do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    New,
}

impl Way {
    /// Whether what is spoken with the version's endpoints has a word for what the client wishes.
    pub(super) fn has_a_word(&self, exchange: &Exchange) -> bool {
        self.wish.carries() != Carries::Upgrade || exchange.serving.speaks(exchange.section) != Speaks::Http2
    }

    /// Leaves a request that got no head in `unsent` if it may be sent again, and fails where it is not to be, by a connection
    /// that was `wanted` so.
    pub(super) fn take_back(
        &self,
        exchange: &Exchange,
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
        let is_failure = refusal.outcome().charge() == Charge::Failed;
        if unsent.is_some() || !is_failure || !exchange.shield.is_up() {
            return Err(Failed::Refused(refusal));
        }
        let had = progress.of_version(Instant::now()).unwrap_or_default();
        Err(Failed::Lost { refusal, had, request: exchange.shield.again(upstream).map(Box::new) })
    }

    /// Picks another endpoint of the version than those that were tried, and looks for a connection to it; none where there is
    /// no other.
    pub(super) fn find(
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
        let random = &mut self.service.random.borrow_mut();
        let picked = match exchange.own_endpoints() {
            None => pick(endpoints, tried, random),
            Some(own) => pick_in_order(endpoints, own, tried, random),
        };
        let Picked { endpoint, trial } = picked?;
        exchange.at(&endpoint, trial);
        if wanted == Wanted::New {
            return Some(Found::Missing(endpoint));
        }
        let told = self.client.told(&exchange.serving, exchange.section);
        match Carrier::resting(&endpoint, told.as_ref(), sendable, self.wish.carries(), &self.progress) {
            Some(upstream) => {
                if !tried.is_empty() || exchange.in_place.is_some() {
                    // What began last was the time for a connection to another endpoint, or to another version.
                    self.send(exchange, Instant::now());
                } else if exchange.shield.is_up() {
                    self.send(exchange, exchange.started);
                } else {
                    self.progress.send(exchange.started);
                }
                Some(Found::Stands(upstream))
            }
            None => Some(Found::Missing(endpoint)),
        }
    }

    /// The request is sent at `now` on a connection that stands, and from then on the head of the answer is waited for.
    fn send(&self, exchange: &Exchange, now: Instant) {
        let usual = exchange.timeouts().response_head;
        self.progress.enter(Phase::Waiting, now, exchange.shield.patience(usual));
        self.progress.send(now);
    }
}

/// A connection to an endpoint of the version; to another one when the first cannot be reached. The first may have been `found`
/// already.
pub(super) async fn connect(
    way: &Way,
    exchange: &mut Exchange,
    wanted: Wanted,
    sendable: Sendable,
    mut found: Option<Found>,
) -> Result<Carrier, Failed> {
    let Way { service, progress, client, .. } = way;
    let (timeouts, limits) = (*exchange.timeouts(), exchange.serving.settings().limits);
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
                way.send(exchange, stands);
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
