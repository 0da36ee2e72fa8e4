//! Where spans go, and of which requests there are any.

use std::time::Duration;

use http::HeaderMap;
use http::uri::PathAndQuery;

use super::endpoint::Endpoint;
use super::transport::Transport;

/// A collector that takes OTLP over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// By `http://` or `https://`; never a socket in the file system.
    pub collector: Endpoint,
    pub path: PathAndQuery,
    /// Their values are secrets.
    pub headers: HeaderMap,
    /// Of the traces that begin here.
    pub sample: SampleRatio,
    /// For one export.
    pub timeout: Duration,
    pub transport: Transport,
    /// What the spans' resource is called.
    pub service_name: String,
}

/// Which traces are sampled: those whose random part, the low 56 bits of the id, is at least so much
/// (OpenTelemetry, "Consistent probability sampling"; W3C Trace Context level 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRatio(u64);

const RANDOM_PARTS: u64 = 1 << 56;

impl SampleRatio {
    /// Of a fraction from 0 to 1.
    pub(super) fn of(fraction: f64) -> SampleRatio {
        SampleRatio(((1.0 - fraction) * RANDOM_PARTS as f64).round() as u64)
    }

    pub fn takes(self, trace: u128) -> bool {
        trace as u64 % RANDOM_PARTS >= self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_random_ids_the_share_is_taken_and_the_same_one_by_everybody() {
        let mut random = fastrand::Rng::with_seed(7);
        let ids: Vec<u128> = (0..100_000).map(|_| random.u128(..)).collect();
        for (fraction, least, most) in
            [(0.0, 0, 0), (0.01, 900, 1_100), (0.5, 49_300, 50_700), (0.999, 99_850, 99_950), (1.0, 100_000, 100_000)]
        {
            let taken = ids.iter().filter(|id| SampleRatio::of(fraction).takes(**id)).count();
            assert!((least..=most).contains(&taken), "{taken} of {fraction}");
        }
        assert!(SampleRatio::of(0.5).takes(1 << 55) && !SampleRatio::of(0.5).takes((1 << 55) - 1));
        assert!(!SampleRatio::of(0.5).takes(u128::MAX << 56), "what stands before the random part says nothing");
        assert!(ids.iter().all(|id| !SampleRatio::of(0.1).takes(*id) || SampleRatio::of(0.2).takes(*id)));
    }
}
