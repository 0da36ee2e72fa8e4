//! Is one sample worse than another of the same moments? Failures and both tails of the latency, weighed together.

use std::time::Duration;

use super::block::Counts;
use super::mixture::Since;
use super::numbers::{ln, ln_sum};
use super::projection::Null;
use super::recent::Recent;
use super::relative::Relative;
use super::sentence::Measure;
use super::tail::Tail;
use super::{Counted, Settings};
use crate::gate::ByVersion;
use crate::gate::crossing::Tally;
use crate::gate::trigger::Quantile;

/// The three tests.
#[derive(Clone, Debug)]
pub(super) struct Contrast {
    pub(super) errors: Relative,
    pub(super) p99: Tail,
    pub(super) p50: Tail,
}

/// Shares of the errors and of each tail in the combined evidence.
const ERRORS: f64 = 0.5;
const TAIL: f64 = 0.25;

impl Contrast {
    /// `of_blue` is what is known of blue's failures, `recent` of its latencies, `planned` how many blocks are expected.
    pub(super) fn new(settings: &Settings, of_blue: Tally, recent: &Recent, planned: f64, now: Duration) -> Contrast {
        let null = Null { ratio: settings.ratio, margin: settings.margin };
        let tail = |quantile| Tail::new(quantile, settings, recent, planned, now);
        Contrast {
            errors: Relative::new(null, of_blue, planned, now),
            p99: tail(Quantile::P99),
            p50: tail(Quantile::P50),
        }
    }

    /// Adds one tick. `recent` holds blue's latencies of the ticks before.
    pub(super) fn tick(&mut self, counted: &ByVersion<Counted<'_>>, recent: &Recent, now: Duration) {
        self.errors.tick(ByVersion::build(|version| failures(counted.of(version))), now);
        for tail in [&mut self.p99, &mut self.p50] {
            tail.tick(counted, recent, now);
        }
    }

    /// The share of the traffic changes.
    pub(super) fn cut(&mut self, recent: &Recent, now: Duration) {
        self.errors.cut(now);
        self.p99.cut(recent, now);
        self.p50.cut(recent, now);
    }

    /// Forgets the evidence, and keeps what is expected of blue.
    pub(super) fn restart(&mut self) {
        self.errors.restart();
        self.p99.restart();
        self.p50.restart();
    }

    /// ln M: the mean of the e-processes, which is one whatever their dependence.
    pub(super) fn ln(&self) -> f64 {
        ln_sum(&self.shares())
    }

    fn shares(&self) -> [f64; 3] {
        [ln(ERRORS) + self.errors.ln(), ln(TAIL) + self.p99.ln(), ln(TAIL) + self.p50.ln()]
    }

    /// The metric that weighs most, and the units that it rests on.
    pub(super) fn heaviest(&self) -> (Measure, Since) {
        let slow = |quantile, tail: &Tail| {
            let bounds = tail.bounds().expect("a tail without bounds has no evidence");
            (Measure::Slow { quantile, bounds }, tail.since())
        };
        let [errors, p99, p50] = self.shares();
        if errors >= p99 && errors >= p50 {
            (Measure::Errors, self.errors.since())
        } else if p99 >= p50 {
            slow("P99", &self.p99)
        } else {
            slow("P50", &self.p50)
        }
    }
}

/// What one version adds to the test of failures.
pub(super) fn failures(counted: &Counted<'_>) -> Counts {
    let Counted { evidence, clients, .. } = counted;
    Counts { tally: Tally { bad: evidence.failures, units: evidence.requests }, clients: *clients }
}
