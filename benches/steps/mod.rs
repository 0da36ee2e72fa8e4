//! The two steps that every request takes, as the worker takes them, and the policy that the gate judges by.

// Each bench uses its own part of this.
#![allow(dead_code)]

use std::hint::black_box;
use std::time::Duration;

use portcullis::gate::trigger::{Cadence, Condition, Confirm, Quantile, Rate, Share, Span, StreakTrigger, Times};
use portcullis::gate::{Action, Outcome, Policy, Trigger, Version};
use portcullis::measure::clients::Drawn;
use portcullis::measure::shard::{Collector, Record, Recorder, Standing, pair};
use portcullis::proxy::Draw;
use portcullis::release::{Epoch, Weight};
use portcullis::routing::{NOTICES, Notice, Routing, View};
use tokio::sync::mpsc::{Receiver, channel};

pub(crate) const WORKERS: usize = 16;

/// Reads the table and draws the version of one request.
pub(crate) struct Choosing {
    _routing: Routing,
    view: View,
    draw: Draw,
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
        let table = **self.view.load();
        self.draw.next(black_box(table.weight()))
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
            self.routing.observe(version, record.charge, record.epoch);
        }
    }
}

/// A release at a quarter, with a streak armed.
fn open() -> (Routing, Receiver<Notice>) {
    let (notify, notices) = channel(NOTICES);
    let routing = Routing::new(policy().streak, notify);
    routing.route(epoch(), Weight::from_percent(25.0).expect("a weight"));
    (routing, notices)
}

pub(crate) fn epoch() -> Epoch {
    Epoch::default().next()
}

/// Traffic of two healthy versions: every fourth request is green's, one of 64 is no success, latencies differ.
pub(crate) fn record(number: u64) -> Record {
    let (outcome, status) = match number % 64 {
        63 => (Outcome::ClientError, 404),
        _ => (Outcome::Success, 200),
    };
    let head = Duration::from_micros(500 + number * 7919 % 20_000);
    let version = if number.is_multiple_of(4) { Version::Green } else { Version::Blue };
    Record {
        version: Some(version),
        epoch: epoch(),
        outcome,
        charge: outcome.charge(),
        standing: Standing::Evidence,
        drawn: Drawn::Request,
        status,
        head: Some(head),
        whole: head * 2,
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
        condition,
        window: Duration::from_secs(10),
        sustained: Duration::ZERO,
        minimum_requests: 50,
        cadence: Cadence::EveryTick,
        confirm: Confirm::No,
        action: Action::Rollback,
    };
    let triggers = [("meltdown", errors), ("slow", slow), ("five-times", relative)].map(trigger).to_vec();
    let streak = StreakTrigger { name: "dead".to_owned(), at_least: 5, action: Action::Rollback };
    Policy { triggers, streak: Some(streak), ..Policy::default() }
}
