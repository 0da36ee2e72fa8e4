//! The steps that requests take, as the worker takes them, and the policy that the gate judges by.

// Each bench uses its own part of this.
#![allow(dead_code)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use portcullis::config::ClientKey;
use portcullis::gate::policy::{Counting, PathPattern};
use portcullis::gate::streak::{Answer, Routed};
use portcullis::gate::trigger::{
    Cadence, Condition, Confirm, Conviction, Quantile, Rate, Share, Span, StreakTrigger, Times,
};
use portcullis::gate::{Action, Outcome, Policy, Trigger, Version};
use portcullis::measure::clients::Drawn;
use portcullis::measure::shard::{Arm, Collector, Record, Recorder, Standing, Took, pair};
use portcullis::proxy::{ClientShare, Draw, Lot};
use portcullis::release::{Epoch, Weight};
use portcullis::routing::{NOTICES, Notice, Routing, Table, View};
use tokio::sync::mpsc::{Receiver, channel};

pub(crate) const WORKERS: usize = 16;

/// Reads the table and draws the version of one request.
pub(crate) struct Choosing {
    _routing: Routing,
    view: View,
    draw: Draw,
}

/// Settles whether one request is evidence: by its path, and by how many its client has sent of late.
pub(crate) struct Admitting {
    counting: Counting,
    shares: ClientShare,
    next: u32,
}

/// Finds the lot of one client by its cookie.
pub(crate) struct Sticking {
    key: ClientKey,
    headers: HeaderMap,
}

/// Records what one request came to, and shows it to the streak.
pub(crate) struct Recording {
    routing: Routing,
    recorder: Recorder,
    records: Vec<Record>,
    next: usize,
    _collector: Collector,
    _notices: Receiver<Notice>,
}

impl Choosing {
    pub(crate) fn new() -> Choosing {
        let (routing, _) = open();
        Choosing { view: routing.view(), draw: Draw::new(1), _routing: routing }
    }

    pub(crate) fn step(&mut self) -> Version {
        let table = self.view.load().table;
        self.draw.next(black_box(table.weight()))
    }
}

impl Admitting {
    pub(crate) fn new() -> Admitting {
        let exclude = vec![PathPattern::Exact("/healthz".to_owned()), PathPattern::Prefix("/internal/".to_owned())];
        let counting = Counting { exclude, ..Counting::default() };
        let shares = ClientShare::of_all(counting.client_share, 0x9E37_79B9_7F4A_7C15);
        Admitting { counting, shares, next: 0 }
    }

    /// One of a thousand clients in turn.
    pub(crate) fn step(&mut self) -> bool {
        self.next = (self.next + 1) % 1_000;
        let address = IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + self.next));
        let class = self.shares.class(black_box(address));
        !self.counting.excludes(black_box("/checkout/42")) && self.shares.takes(class, Version::Blue)
    }
}

impl Sticking {
    pub(crate) fn new() -> Sticking {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("shop.example"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("curl/8.5.0"));
        let cookies = "theme=dark; consent=1; session=3f1c9a4e7b2d4c58a1e60b9d7c35f842";
        headers.insert(header::COOKIE, HeaderValue::from_static(cookies));
        Sticking { key: ClientKey::Cookie("session".to_owned()), headers }
    }

    pub(crate) fn step(&self) -> Option<Lot> {
        Lot::of(&self.key, black_box(&self.headers), || Ipv4Addr::LOCALHOST.into(), epoch())
    }
}

impl Recording {
    pub(crate) fn new() -> Recording {
        let (routing, notices) = open();
        let (recorder, collector) = pair();
        let records = (0..1024).map(record).collect();
        Recording { routing, recorder, records, next: 0, _collector: collector, _notices: notices }
    }

    pub(crate) fn step(&mut self) {
        let record = black_box(&self.records[self.next % self.records.len()]);
        self.next += 1;
        self.recorder.record(record);
        if let Some(version) = record.version {
            self.routing.observe(Answer::of(version, record.charge, record.routed));
        }
    }
}

/// A release at a quarter, with a streak armed.
fn open() -> (Routing, Receiver<Notice>) {
    let (notify, notices) = channel(NOTICES);
    let routing = Routing::new(Table::default(), policy().streak, notify);
    routing.route(epoch(), Weight::from_percent(25.0).expect("a weight"));
    (routing, notices)
}

pub(crate) fn epoch() -> Epoch {
    Epoch::default().next()
}

pub(crate) fn routed() -> Routed {
    Routed { epoch: epoch(), change: 0 }
}

/// Traffic of two healthy versions: every fourth request is green's, one of 64 is no success, latencies differ.
pub(crate) fn record(number: u64) -> Record {
    let (outcome, status) = match number % 64 {
        63 => (Outcome::ClientError, 404),
        _ => (Outcome::Success, 200),
    };
    let head = Duration::from_micros(500 + number * 7919 % 20_000);
    let took = Took { head: Some(head), whole: Some(head * 2) };
    let version = if number.is_multiple_of(4) { Version::Green } else { Version::Blue };
    Record {
        version: Some(version),
        routed: routed(),
        outcome,
        charge: outcome.charge(),
        standing: Standing::Evidence,
        drawn: Drawn::Request,
        arm: Arm::Rest,
        route: None,
        endpoint: None,
        status,
        grpc: None,
        judged: took,
        shown: took,
    }
}

/// An error bound, a latency bound and one relative to blue.
pub(crate) fn policy() -> Policy {
    let errors = Condition::FailuresAbove { share: Share::try_from(0.1).expect("in range"), written: Rate::Errors };
    let slow = Condition::LatencyAbove { quantile: Quantile::P99, span: Span::Head, bound: Duration::from_millis(200) };
    let times = Times::try_from(5.0).expect("in range");
    let floor = Duration::from_millis(10);
    let relative = Condition::LatencyAboveBlue { quantile: Quantile::P95, span: Span::Head, times, floor };
    let trigger = |(name, condition): (&str, Condition)| Trigger {
        name: name.to_owned(),
        route: None,
        condition,
        window: Duration::from_secs(10),
        sustained: Duration::ZERO,
        minimum_requests: 50,
        cadence: Cadence::EveryTick,
        confirm: Confirm::No,
        action: Action::Rollback,
    };
    let triggers = [("meltdown", errors), ("slow", slow), ("five-times", relative)].map(trigger).to_vec();
    let (name, conviction) = ("dead".to_owned(), Conviction::ByEvidence);
    let streak = StreakTrigger { name, at_least: 5, conviction, action: Action::Rollback };
    Policy { triggers, streak: Some(streak), ..Policy::default() }
}
