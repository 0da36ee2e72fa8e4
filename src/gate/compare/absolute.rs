//! One version against a fixed bound, whatever the other does: a one-sample e-process. It says that something is wrong,
//! never whose fault it is. Specification: §1.3.

use std::time::Duration;

use super::block::Counts;
use super::mixture::{Mixture, Since, Starts};
use super::numbers::{Rate, rising};
use super::relative::HIGHEST;
use crate::gate::crossing::Tally;
use crate::gate::{ByVersion, Version};

const ALTERNATIVES: usize = 4;

/// The weight of the copy that starts with the release.
const FIRST: f64 = 0.5;

/// No bound lies higher, as the alternatives lie above it.
const HIGHEST_BOUND: f64 = 0.9;

/// The process of one version.
#[derive(Clone, Debug)]
pub struct Absolute {
    version: Version,
    bound: Rate,
    alternatives: [Rate; ALTERNATIVES],
    evidence: Mixture<ALTERNATIVES>,
    starts: Starts,
}

impl Absolute {
    /// `planned` is how many ticks are expected.
    pub fn new(version: Version, bound: f64, planned: f64) -> Absolute {
        let starts = Starts::new(FIRST, planned);
        let bound = bound.min(HIGHEST_BOUND);
        Absolute {
            version,
            bound: Rate::new(bound),
            alternatives: rising(bound, HIGHEST),
            evidence: Mixture::new(starts),
            starts,
        }
    }

    /// Moves the bound for the ticks to come.
    pub fn set_bound(&mut self, bound: f64) {
        let bound = bound.min(HIGHEST_BOUND);
        if bound != self.bound.rate {
            self.bound = Rate::new(bound);
            self.alternatives = rising(bound, HIGHEST);
        }
    }

    /// Adds one tick of the version.
    pub fn take(&mut self, Counts { tally, clients }: Counts, now: Duration) {
        if tally.units == 0 {
            return;
        }
        let temper = clients.map_or(1.0, |clients| (clients as f64 / tally.units as f64).min(1.0));
        let mut counted: ByVersion<Tally> = ByVersion::default();
        *counted.of_mut(self.version) = tally;
        let first_bad = (tally.bad > 0).then_some(now);
        let factors = self.alternatives.map(|above| temper * above.ln_likelihood_over(self.bound, tally));
        self.evidence.take(counted, first_bad, factors);
    }

    /// Forgets the evidence, as an episode is over.
    pub fn restart(&mut self) {
        self.evidence = Mixture::new(self.starts);
    }

    /// The logarithm of the evidence that the version is above the bound.
    pub const fn ln(&self) -> f64 {
        self.evidence.ln()
    }

    pub const fn bound(&self) -> f64 {
        self.bound.rate
    }

    pub fn since(&self) -> Since {
        self.evidence.since()
    }
}
