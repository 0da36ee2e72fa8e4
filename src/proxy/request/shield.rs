//! What keeps a failure of green from its client: blue answers in its place while nothing of an answer is out, as far as its
//! budget goes, and green is charged.
//!
//! A request without a body costs nothing to be ready for that: its head is written already, and is read again only when green
//! has failed. One with a body is held.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use tokio::time::Instant;

use super::ending::Ending;
use super::grpc::{self, Speaks};
use super::headers::{Asked, Upgrade};
use super::observe::Exchange;
use super::way::Way;
use crate::config::{self, RouteShield};
use crate::gate::{Charge, RouteMark, Version};
use crate::live::{Permit, Settings};
use crate::measure::Shielded;
use crate::proxy::upstream::Carrier;
use crate::proxy::wire::{Kept, Phase, RequestBody};
use crate::routing::Refuge;

/// What one request has of it.
pub(super) enum Shield {
    /// Its client sees whatever becomes of it.
    Down,
    Up(Up),
}

pub(super) struct Up {
    /// For green's response head.
    after: Duration,
    patience: Cell<Patience>,
    /// None of a request without a body.
    held: Option<Box<Held>>,
}

/// How long green's response head is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Until blue may answer instead.
    Short,
    /// As long as that of any version.
    Usual,
}

/// A request with a body.
struct Held {
    head: Request<()>,
    body: Rc<Kept>,
}

/// What blue gets in green's place.
pub(super) struct Instead {
    pub request: Request<RequestBody>,
    pub section: Version,
    pub permit: Option<Permit>,
}

/// Whether green can have seen something of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Never,
    Perhaps,
}

/// Where blue cannot answer for now it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(250);

impl Shield {
    /// That of a request to green on `route`, by what is configured.
    pub(super) fn over(
        settings: &Settings,
        route: Option<RouteMark>,
        request: &mut Request<RequestBody>,
        asked: Asked,
    ) -> Shield {
        let Some(configured) = &settings.shield else { return Shield::Down };
        let is_covered = || match settings.shield_of(route) {
            RouteShield::AsElsewhere => covers(configured, request, asked.speaks),
            RouteShield::Off => false,
            RouteShield::Methods(methods) => methods.contains(request.method()),
        };
        if asked.upgrade != Upgrade::NotAsked || !is_covered() {
            return Shield::Down;
        }
        let held = if request.body().is_empty() {
            None
        } else if request.body().size_hint().lower() > configured.body_bytes as u64 {
            return Shield::Down;
        } else {
            Some(Box::new(hold(request, configured.body_bytes)))
        };
        Shield::Up(Up { after: configured.after, patience: Cell::new(Patience::Short), held })
    }

    /// How long green's response head is waited for, which is `usual` of others.
    pub(super) fn patience(&self, usual: Duration) -> Duration {
        match self {
            Shield::Down => usual,
            Shield::Up(up) => up.after.min(usual),
        }
    }

    pub(super) const fn is_up(&self) -> bool {
        matches!(self, Shield::Up(_))
    }

    /// The request once more, which `upstream` has had. None where it is not whole.
    pub(super) fn again(&self, upstream: &mut Carrier) -> Option<Request<RequestBody>> {
        let Shield::Up(Up { held, .. }) = self else { return None };
        match held {
            None => upstream.given_request(),
            Some(held) => held.body.again().map(|body| held.head.clone().map(|()| body)),
        }
    }
}

fn covers(configured: &config::Shield, request: &Request<RequestBody>, speaks: Speaks) -> bool {
    let is_call = speaks == Speaks::Grpc && request.method() == Method::POST;
    configured.methods.contains(request.method())
        || is_call && configured.grpc.iter().any(|call| call.matches(request.uri().path()))
}

fn hold(request: &mut Request<RequestBody>, most_bytes: usize) -> Held {
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.version_mut() = request.version();
    *head.headers_mut() = request.headers().clone();
    let body = std::mem::replace(request.body_mut(), RequestBody::Empty);
    let (body, kept) = body.kept(most_bytes);
    *request.body_mut() = body;
    Held { head, body: kept }
}

/// Whether this answer is a failure that its client need not see. It is told by its head alone.
pub(super) fn is_failure(exchange: &Exchange, answer: &Response<()>) -> bool {
    exchange.shield.is_up() && charge(exchange, answer) == Charge::Failed
}

/// To whom an answer counts, as far as its head says.
pub(super) fn charge(exchange: &Exchange, answer: &Response<()>) -> Charge {
    let status = answer.status();
    let is_call = exchange.speaks == Speaks::Grpc && status == StatusCode::OK;
    let grpc = if is_call { grpc::said(answer.headers()) } else { None };
    let Ending { outcome, .. } = Ending::whole(status.as_u16(), grpc);
    exchange.serving.settings().counting.charge(outcome, status.as_u16(), grpc)
}

impl Way {
    /// Whether green, whose time is up, is waited for all the same: because it is its client that is slow, or because blue cannot
    /// answer in its place and green still may.
    pub(super) fn waits_on(&self, exchange: &Exchange) -> bool {
        let Shield::Up(up) = &exchange.shield else { return false };
        let (progress, now) = (&self.progress, Instant::now());
        let usual = exchange.timeouts().response_head;
        let left = progress.of_version(now).and_then(|had| usual.checked_sub(had)).filter(|left| !left.is_zero());
        let Some(left) = left.filter(|_| up.patience.get() == Patience::Short) else { return false };
        if progress.is_awaiting_body() {
            up.patience.set(Patience::Usual);
            progress.enter(Phase::Waiting, now, usual);
            return true;
        }
        if self.may_be_shielded(exchange).is_ok() {
            return false;
        }
        progress.enter(Phase::Waiting, now, ASK_AGAIN.min(left));
        true
    }

    /// What blue gets in the place of a green that failed the `request`; none where it gets nothing.
    pub(super) fn instead(
        &self,
        exchange: &Exchange,
        sent: Sent,
        request: impl FnOnce() -> Option<Request<RequestBody>>,
    ) -> Option<Instead> {
        if exchange.version != Version::Green {
            return None;
        }
        let why_not = match self.look_for_instead(exchange, sent, request) {
            Ok(instead) => {
                self.service.budget.borrow_mut().spend();
                return Some(instead);
            }
            Err(why_not) => why_not,
        };
        if exchange.shield.is_up() || sent == Sent::Never {
            exchange.was_not_shielded(why_not);
        }
        None
    }

    fn look_for_instead(
        &self,
        exchange: &Exchange,
        sent: Sent,
        request: impl FnOnce() -> Option<Request<RequestBody>>,
    ) -> Result<Instead, Shielded> {
        // What was certainly never sent costs nobody a second time, whatever the budget.
        let (section, permit) = match sent {
            Sent::Never => (self.blue(), permitted(exchange, self.blue())?),
            Sent::Perhaps => self.may_be_shielded(exchange)?,
        };
        let mut request = request().ok_or(Shielded::NotHeld)?;
        exchange.forget_host(&mut request);
        Ok(Instead { request, section, permit })
    }

    fn may_be_shielded(&self, exchange: &Exchange) -> Result<(Version, Option<Permit>), Shielded> {
        let Shield::Up(up) = &exchange.shield else { return Err(Shielded::NotHeld) };
        let is_held = up.held.as_ref().is_none_or(|held| held.body.is_whole());
        if !is_held || self.progress.interims.has_passed() {
            return Err(Shielded::NotHeld);
        }
        if self.service.routing.refuge() == Refuge::Lost {
            return Err(Shielded::BlueUnfit);
        }
        if !self.service.has_budget() {
            return Err(Shielded::OverBudget);
        }
        self.refuge(exchange)
    }

    /// Where blue's endpoints are.
    fn blue(&self) -> Version {
        self.service.table().roles.section(Version::Blue)
    }

    /// That, where it is another place than green's and one of them takes requests, and leave for a request
    /// to them.
    fn refuge(&self, exchange: &Exchange) -> Result<(Version, Option<Permit>), Shielded> {
        let section = self.blue();
        let endpoints = exchange.serving.endpoints.of(section);
        // A release that has completed meanwhile has made green blue.
        if section == exchange.section || !endpoints.iter().any(|endpoint| endpoint.known.is_healthy()) {
            return Err(Shielded::BlueUnfit);
        }
        Ok((section, permitted(exchange, section)?))
    }
}

/// Leave for a request to blue's endpoints.
fn permitted(exchange: &Exchange, section: Version) -> Result<Option<Permit>, Shielded> {
    exchange.serving.permit(section, Version::Blue).map_err(|_| Shielded::BlueUnfit)
}
