//! One record for each request that a version was chosen for, at the end of its stream, also when the client drops it.

use std::rc::Rc;

use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::progress::{Phase, Progress};
use super::worker::Worker;
use crate::config::AccessLog;
use crate::gate::{Outcome, Version};
use crate::measure::shard::Record;
use crate::release::Epoch;
use crate::routing::Table;

/// One request on its way. Dropping it before [`Exchange::finish`] means that the client went away.
pub(super) struct Exchange {
    worker: Rc<Worker>,
    progress: Rc<Progress>,
    pub version: Version,
    /// Where the endpoints of `version` are configured.
    pub section: Version,
    epoch: Epoch,
    started: Instant,
    head_at: Option<Instant>,
    pub status: u16,
    endpoint: Option<Rc<Endpoint>>,
    finished: bool,
    /// For the access log; empty when it is off.
    line: Option<Box<Line>>,
}

/// What the access log says of a request.
pub(super) struct Line {
    pub method: http::Method,
    pub target: http::Uri,
    pub client: std::net::IpAddr,
}

impl Exchange {
    pub(super) fn new(
        worker: &Rc<Worker>,
        progress: &Rc<Progress>,
        version: Version,
        table: &Table,
        line: Option<Box<Line>>,
        started: Instant,
    ) -> Exchange {
        let in_flight = worker.in_flight.of(version);
        in_flight.set(in_flight.get() + 1);
        Exchange {
            worker: Rc::clone(worker),
            progress: Rc::clone(progress),
            version,
            section: table.roles.section(version),
            epoch: table.epoch,
            started,
            head_at: None,
            status: 0,
            endpoint: None,
            finished: false,
            line,
        }
    }

    /// The request goes to `endpoint`, and no longer to the one before.
    pub(super) fn at(&mut self, endpoint: &Rc<Endpoint>) {
        self.leave_endpoint();
        endpoint.in_flight.set(endpoint.in_flight.get() + 1);
        self.endpoint = Some(Rc::clone(endpoint));
    }

    /// The endpoint failed to take the request, which goes on to another: the version is not charged.
    pub(super) fn endpoint_failed(&mut self) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.report(Outcome::ConnectError.charge(), &self.worker.settings.ejection);
        }
        self.leave_endpoint();
    }

    pub(super) fn head_received(&mut self, status: u16, now: Instant) {
        self.status = status;
        self.head_at = Some(now);
    }

    /// Records what the request came to. The first call counts.
    pub(super) fn finish(&mut self, outcome: Outcome, now: Instant) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let whole = now - self.started;
        let waited_in_vain = matches!(outcome, Outcome::Timeout | Outcome::ClientCancelled);
        let head = match self.head_at {
            Some(at) => Some(at - self.started),
            None => waited_in_vain.then_some(whole),
        };
        let Exchange { version, epoch, status, .. } = *self;
        self.worker.record(&Record { version: Some(version), epoch, outcome, status, head, whole });
        self.worker.routing.observe(version, outcome.charge(), epoch);
        if let Some(endpoint) = &self.endpoint {
            endpoint.report(outcome.charge(), &self.worker.settings.ejection);
        }
        self.leave_endpoint();
        let in_flight = self.worker.in_flight.of(version);
        in_flight.set(in_flight.get() - 1);
        self.progress.enter(Phase::Idle, now, super::serve::PARK_AFTER);
        if let Some(line) = &self.line {
            tracing::info!(
                target: "portcullis::access",
                client = %line.client,
                method = %line.method,
                target = %line.target,
                version = version.name(),
                status,
                outcome = outcome.name(),
                head_ms = head.map(|head| head.as_secs_f64() * 1e3),
                whole_ms = whole.as_secs_f64() * 1e3,
                "request"
            );
        }
    }

    fn leave_endpoint(&mut self) {
        if let Some(endpoint) = self.endpoint.take() {
            endpoint.in_flight.set(endpoint.in_flight.get() - 1);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.finished {
            let outcome = if std::thread::panicking() { Outcome::RefusedByUs } else { Outcome::ClientCancelled };
            self.finish(outcome, Instant::now());
        }
    }
}

impl Worker {
    /// What the access log will say of a request, if it is on.
    pub(super) fn line(
        &self,
        method: &http::Method,
        target: &http::Uri,
        client: std::net::IpAddr,
    ) -> Option<Box<Line>> {
        match self.settings.access_log {
            AccessLog::Off => None,
            AccessLog::On => Some(Box::new(Line { method: method.clone(), target: target.clone(), client })),
        }
    }
}
