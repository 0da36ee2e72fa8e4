//! Batches, and what is done where a collector does not take one (OTLP 1.x, "OTLP/HTTP Response").

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::collector::{Answer, Collector};
use super::{Counts, Span, message};
use crate::config::Otlp;
use crate::live::Live;
use crate::resolve::Lookups;
use crate::routing::Routing;
use crate::uuid::uuid;

pub(super) struct Exporter {
    queue: mpsc::Receiver<Span>,
    routing: Arc<Routing<Live>>,
    collector: Collector,
    counts: Counts,
    closing: watch::Receiver<bool>,
    /// What tells this process from others of its service.
    instance: String,
    /// The collector that was there last, for what is left when there is none any more.
    last: Option<Arc<Otlp>>,
    stands: Stands,
    /// In the batch that is being sent.
    under_way: usize,
}

/// How the collector does, which is said when it changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    Takes,
    Fails,
}

/// From the first span of a batch: whoever looks at a trace is slower.
const GATHER: Duration = Duration::from_millis(200);

/// As many as the SDKs of OpenTelemetry send at once.
const BATCH: usize = 512;

/// Between two attempts: the first, and the longest. Each is twice the one before, give or take a half.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A batch that has not been taken for so long is given up, as by the SDKs.
const GIVE_UP: Duration = Duration::from_secs(60);

impl Exporter {
    pub(super) fn new(
        queue: mpsc::Receiver<Span>,
        routing: Arc<Routing<Live>>,
        lookups: Lookups,
        counts: Counts,
        closing: watch::Receiver<bool>,
    ) -> Exporter {
        Exporter {
            queue,
            routing,
            collector: Collector::new(lookups),
            counts,
            closing,
            instance: uuid(fastrand::u128(..)),
            last: None,
            stands: Stands::Takes,
            under_way: 0,
        }
    }

    /// Sends until the process closes, and for at most `longest` from then on.
    pub(super) async fn run(mut self, longest: Duration) {
        let mut closing = self.closing.clone();
        let over = async {
            // An error means that whoever would say so is gone.
            _ = closing.wait_for(|closing| *closing).await;
            tokio::time::sleep(longest).await;
        };
        let is_sent = tokio::select! {
            () = self.send_all() => true,
            () = over => false,
        };
        if !is_sent {
            let lost = self.under_way + self.queue.len();
            self.counts.failed.increment(lost as u64);
            tracing::warn!(lost, "the last spans were not taken in time");
        }
    }

    async fn send_all(&mut self) {
        let mut closing = self.closing.clone();
        while let Some(first) = self.next().await {
            // At the end nothing more comes.
            let gathered = tokio::time::timeout(GATHER, closing.wait_for(|closing| *closing)).await;
            if gathered.is_ok() {
                self.queue.close();
            }
            let mut batch = vec![first];
            loop {
                while let Some(span) = (batch.len() < BATCH).then(|| self.queue.try_recv().ok()).flatten() {
                    batch.push(span);
                }
                if batch.is_empty() {
                    break;
                }
                self.export(std::mem::take(&mut batch)).await;
            }
        }
    }

    /// The next span, for as long as one can come.
    async fn next(&mut self) -> Option<Span> {
        tokio::select! {
            biased;
            span = self.queue.recv() => span,
            _ = self.closing.wait_for(|closing| *closing) => {
                self.queue.close();
                self.queue.try_recv().ok()
            }
        }
    }

    async fn export(&mut self, batch: Vec<Span>) {
        let spans = batch.len() as u64;
        let Some(otlp) = self.otlp() else {
            self.counts.dropped.increment(spans);
            return;
        };
        self.under_way = batch.len();
        let body = message::of(&batch, &otlp.service_name, &self.instance);
        drop(batch);
        let rejected = self.deliver(body).await;
        self.under_way = 0;
        match rejected {
            Some(rejected) => {
                self.counts.rejected.increment(rejected.min(spans));
                self.counts.exported.increment(spans.saturating_sub(rejected));
            }
            None => self.counts.failed.increment(spans),
        }
    }

    /// How many spans of the message a collector that has taken it has rejected; none where it was not taken.
    async fn deliver(&mut self, body: Bytes) -> Option<u64> {
        let (began, mut pause) = (Instant::now(), PAUSE);
        loop {
            // By the configuration as of now: it may have been mended.
            let otlp = self.otlp()?;
            let asked = tokio::time::timeout(otlp.timeout, self.collector.post(&otlp, body.clone())).await;
            let (why, after) = match asked {
                Ok(Ok(Answer::Taken { rejected, why })) => {
                    self.takes(rejected, &why);
                    return Some(rejected);
                }
                Ok(Ok(Answer::Refused(status))) => {
                    self.fails(&format!("it answered {status}"));
                    return None;
                }
                Ok(Ok(Answer::Later { status, after })) => (format!("it answered {status}"), after),
                Ok(Err(failure)) => (failure.to_string(), None),
                Err(_) => (format!("no answer within {:?}", otlp.timeout), None),
            };
            self.fails(&why);
            let wait = after.unwrap_or_else(|| pause.mul_f64(0.5 + fastrand::f64()));
            if began.elapsed() + wait > GIVE_UP {
                return None;
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn otlp(&mut self) -> Option<Arc<Otlp>> {
        if let Some(otlp) = &self.routing.live().settings.otlp {
            self.last = Some(Arc::clone(otlp));
        }
        self.last.clone()
    }

    fn takes(&mut self, rejected: u64, why: &str) {
        if std::mem::replace(&mut self.stands, Stands::Takes) == Stands::Fails {
            tracing::info!("the collector takes spans again");
        }
        if rejected > 0 || !why.is_empty() {
            tracing::warn!(rejected, why, "the collector has something to say of spans");
        }
    }

    fn fails(&mut self, why: &str) {
        if std::mem::replace(&mut self.stands, Stands::Fails) == Stands::Takes {
            tracing::warn!(why, "the collector takes no spans");
        } else {
            tracing::debug!(why, "the collector still takes no spans");
        }
    }
}
