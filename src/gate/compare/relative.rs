//! One metric of green against blue's in the same moments: the exact two-sample e-process. Specification: §1.1.

use std::time::Duration;

use super::baseline::Baseline;
use super::block::{Block, Counts};
use super::mixture::{Mixture, Since, Starts};
use super::numbers::{Rate, rising};
use super::projection::{Null, Rates};
use crate::gate::ByVersion;
use crate::gate::crossing::Tally;

/// How many rates of green are held against the null at once.
pub const ALTERNATIVES: usize = 6;

/// The highest rate that an alternative has; a rate of one would make a single good unit impossible.
pub const HIGHEST: f64 = 0.98;

/// The alternatives start above the null's boundary, which must leave room for them.
const HIGHEST_BOUNDARY: f64 = 0.9;

/// The weight of the copy that starts with the release.
const FIRST: f64 = 0.5;

/// The alternatives beside one estimate of blue's rate.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    blue: Rate,
    green: [Rate; ALTERNATIVES],
}

/// One metric.
#[derive(Clone, Debug)]
pub struct Relative {
    null: Null,
    baseline: Baseline,
    grid: Grid,
    block: Block,
    evidence: Mixture<ALTERNATIVES>,
}

impl Grid {
    pub fn new(null: Null, blue: f64) -> Grid {
        let boundary = null.allowed(blue).min(HIGHEST_BOUNDARY);
        Grid { blue: Rate::new(blue), green: rising(boundary, HIGHEST) }
    }

    /// The rates of green that are held against the null.
    pub fn rates(&self) -> [f64; ALTERNATIVES] {
        self.green.map(|green| green.rate)
    }

    /// The logarithm of the evidence that a block is against `null`, for each alternative. Its expectation, before the
    /// logarithm, is at most one for every pair of rates within the null.
    pub fn ln_factors(&self, null: Null, counted: ByVersion<Tally>, share: f64) -> [f64; ALTERNATIVES] {
        let ByVersion { blue: of_blue, green: of_green } = counted;
        self.green.map(|green| {
            let nearest = null.project(Rates { green: green.rate, blue: self.blue.rate }, share);
            green.ln_likelihood_over(Rate::new(nearest.green), of_green)
                + self.blue.ln_likelihood_over(Rate::new(nearest.blue), of_blue)
        })
    }
}

impl Relative {
    /// `history` is what blue did before the release, `planned` how many blocks are expected.
    pub fn new(null: Null, history: Tally, planned: f64, now: Duration) -> Relative {
        let baseline = Baseline::new(history, now);
        Relative {
            null,
            baseline,
            grid: Grid::new(null, baseline.rate()),
            block: Block::default(),
            evidence: Mixture::new(Starts::new(FIRST, planned)),
        }
    }

    /// Adds one tick.
    pub fn tick(&mut self, counts: ByVersion<Counts>, now: Duration) {
        self.block.add(counts, now);
        self.baseline.add(counts.blue.tally);
        if self.block.closes() {
            self.close();
        } else if self.block.is_too_old(now) {
            self.block = Block::default();
        }
        if self.block.is_empty() && self.baseline.is_due(now) {
            self.refresh(now);
        }
    }

    /// Ends the block, whether it is full or not: green's share of the traffic changes.
    pub fn cut(&mut self, now: Duration) {
        if self.block.closes() {
            self.close();
        }
        self.block = Block::default();
        self.refresh(now);
    }

    /// Forgets what was expected of blue, as the bound between good and bad units has moved; the evidence stays.
    pub fn expect(&mut self, history: Tally, now: Duration) {
        self.block = Block::default();
        self.baseline = Baseline::new(history, now);
        self.grid = Grid::new(self.null, self.baseline.rate());
    }

    /// Forgets the evidence; what is expected of blue stays.
    pub fn restart(&mut self) {
        self.block = Block::default();
        self.evidence = self.evidence.anew();
    }

    /// ln M of this metric.
    pub const fn ln(&self) -> f64 {
        self.evidence.ln()
    }

    pub const fn blocks(&self) -> u64 {
        self.evidence.blocks()
    }

    /// The rate that is expected of blue.
    pub const fn expected(&self) -> f64 {
        self.baseline.rate()
    }

    pub fn since(&self) -> Since {
        self.evidence.since()
    }

    fn close(&mut self) {
        let temper = self.block.temper();
        let factors = self.grid.ln_factors(self.null, self.block.counted(), self.block.share());
        self.evidence.take(self.block.counted(), self.block.first_bad(), factors.map(|factor| temper * factor));
        self.block = Block::default();
    }

    fn refresh(&mut self, now: Duration) {
        self.baseline.refresh(now);
        self.grid = Grid::new(self.null, self.baseline.rate());
    }
}
