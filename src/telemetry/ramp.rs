//! What blue is not given of the traffic that comes back to it.

use metrics::{Counter, Gauge, describe_counter, describe_gauge};

use super::Telemetry;
use crate::gate::ramp::Suffering;

const REFUSED: &str = "portcullis_ramp_refused_total";
const LIMIT: &str = "portcullis_ramp_limit_requests";

pub(super) struct Ramp {
    refused: [(&'static str, Counter); Suffering::REASONS.len()],
    limit: Gauge,
}

impl Ramp {
    pub(super) fn new() -> Ramp {
        describe_counter!(
            REFUSED,
            "Requests that were not let to a blue that suffered from traffic that came back to it, by how it suffered"
        );
        describe_gauge!(
            LIMIT,
            "Requests that such a blue may have waiting for an answer; +Inf while it takes everything"
        );
        let refused = |reason: &'static str| (reason, metrics::counter!(REFUSED, "reason" => reason));
        let limit = metrics::gauge!(LIMIT);
        limit.set(f64::INFINITY);
        Ramp { refused: Suffering::REASONS.map(refused), limit }
    }
}

impl Telemetry {
    /// So many requests more were refused, for what blue suffers from, and so many it may have; none where nothing bounds it.
    pub fn ramp(&self, refused: u64, suffering: Option<Suffering>, limit: Option<u64>) {
        let Ramp { refused: counters, limit: gauge } = &self.handles.ramp;
        for (_, counter) in counters.iter().filter(|(reason, _)| suffering.is_some_and(|of| of.reason() == *reason)) {
            counter.increment(refused);
        }
        gauge.set(limit.map_or(f64::INFINITY, |limit| limit as f64));
    }
}
