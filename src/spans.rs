//! Server spans of sampled requests, to a collector by OTLP over HTTP, from a thread of their own.
//!
//! A worker puts a span into a bounded queue and never waits; what there is no room for is counted. [`export`] sends what is
//! there in batches, again where that may help, [`collector`] is the connection, [`message`] what is said on it. Absent: which
//! requests are sampled, which [`crate::proxy`] settles by their heads.

mod collector;
mod export;
mod message;

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use metrics::Counter;
use tokio::sync::{mpsc, watch};

use crate::gate::{GrpcStatus, Outcome, Version};
use crate::live::Live;
use crate::resolve::Lookups;
use crate::routing::Routing;
use export::Exporter;

/// One request, as its client's server saw it. Texts are cut where the worker makes them.
#[derive(Debug)]
pub struct Span {
    pub trace: u128,
    pub id: u64,
    pub parent: Option<u64>,
    /// The tracestate that came with it.
    pub state: String,
    pub started: Timestamp,
    pub took: Duration,
    pub method: Method,
    pub path: String,
    pub scheme: &'static str,
    pub host: Option<String>,
    pub user_agent: Option<String>,
    /// Of HTTP.
    pub protocol: &'static str,
    pub client: IpAddr,
    /// At the other end of the client's connection.
    pub peer: IpAddr,
    /// None where it was refused before one was chosen.
    pub version: Option<Version>,
    pub endpoint: Option<String>,
    /// 0 where there was none.
    pub status: u16,
    pub grpc: Option<GrpcStatus>,
    pub outcome: Outcome,
    pub reason: Option<&'static str>,
    /// What kind of error it is; none where it is none of a server's.
    pub error: Option<Cow<'static, str>>,
}

#[derive(Debug)]
pub enum Method {
    Known(&'static str),
    /// Of clients' invention.
    Other(String),
}

/// A worker's end of the queue.
#[derive(Clone)]
pub struct Spans {
    queue: mpsc::Sender<Span>,
    dropped: Counter,
}

/// Counts what became of spans.
#[derive(Clone)]
pub struct Counts {
    pub exported: Counter,
    /// By a collector that took the rest.
    pub rejected: Counter,
    /// By a collector that took none, or was not there for long.
    pub failed: Counter,
    /// For want of room.
    pub dropped: Counter,
}

/// The thread that sends.
pub struct Exporting {
    thread: JoinHandle<()>,
    closing: watch::Sender<bool>,
}

/// Spans that wait: 20 MiB of the longest, 3 MiB of usual ones. As many as 20,000 a second fill it between two looks.
const QUEUED: usize = 4096;

/// How long the end of the process waits for a collector.
const CLOSING: Duration = Duration::from_secs(5);

/// How often a process on its way out looks whether the thread has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Starts the thread, which sends to the collector that `routing` names at the time.
pub fn start(routing: Arc<Routing<Live>>, lookups: Lookups, counts: Counts) -> io::Result<(Spans, Exporting)> {
    let (queue, queued) = mpsc::channel(QUEUED);
    let (closing, asked) = watch::channel(false);
    let spans = Spans { queue, dropped: counts.dropped.clone() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("portcullis-spans".to_owned()).spawn(move || {
        runtime.block_on(Exporter::new(queued, routing, lookups, counts, asked).run(CLOSING));
    })?;
    Ok((spans, Exporting { thread, closing }))
}

impl Spans {
    /// Of a worker whose spans nobody wants.
    pub fn nowhere() -> Spans {
        Spans { queue: mpsc::channel(1).0, dropped: Counter::noop() }
    }

    pub fn take(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.dropped.increment(1);
        }
    }
}

impl Exporting {
    /// Sends what is there, and ends.
    pub async fn flush(self) {
        self.closing.send_replace(true);
        while !self.thread.is_finished() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
