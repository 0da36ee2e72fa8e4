//! What requests of one version came to.

use super::shard::Took;
use crate::gate::{Charge, Evidence, Latency};

/// The evidence by head latency, and the whole latency beside it.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub evidence: Evidence,
    pub whole: Latency,
}

impl Sample {
    pub fn record(&mut self, charge: Charge, Took { head, whole }: Took) {
        self.evidence.record(charge, head);
        if let Some(whole) = whole.filter(|_| charge != Charge::Nobody) {
            self.whole.record(whole);
        }
    }

    pub fn add(&mut self, other: &Sample) {
        self.evidence.add(&other.evidence);
        self.whole.add(&other.whole);
    }

    pub fn clear(&mut self) {
        self.evidence.clear();
        self.whole.clear();
    }
}
