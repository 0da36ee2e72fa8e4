//! Random traffic.

use std::time::Duration;

use portcullis::gate::ByVersion;
use portcullis::gate::compare::block::Counts;
use portcullis::gate::crossing::Tally;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Binomial, Distribution, Geometric, Poisson};

pub struct Draw(SmallRng);

/// A block closes with so many units of both versions together.
const BLOCK: u64 = 8;

impl Draw {
    /// One stream for each run of each cell.
    pub fn new(cell: u64, run: u64) -> Draw {
        Draw(SmallRng::seed_from_u64(cell << 32 | run))
    }

    pub fn happens(&mut self, chance: f64) -> bool {
        self.0.random::<f64>() < chance
    }

    /// From 0 to 1.
    pub fn uniform(&mut self) -> f64 {
        self.0.random()
    }

    /// How many of `units` are hit.
    pub fn hits(&mut self, units: u64, chance: f64) -> u64 {
        match chance {
            _ if units == 0 || chance <= 0.0 => 0,
            1.0.. => units,
            _ if units <= 4 => (0..units).filter(|_| self.happens(chance)).count() as u64,
            _ => Binomial::new(units, chance).expect("a chance lies between 0 and 1").sample(&mut self.0),
        }
    }

    pub fn arrivals(&mut self, mean: f64) -> u64 {
        Poisson::new(mean).expect("the mean is positive").sample(&mut self.0) as u64
    }

    fn misses(&mut self, chance: f64) -> u64 {
        Geometric::new(chance).expect("a chance lies between 0 and 1").sample(&mut self.0)
    }

    /// Requests one after the other, each green's with the chance `share`, until a block closes: green's and blue's.
    pub fn block(&mut self, share: f64) -> ByVersion<u64> {
        let green = self.hits(BLOCK, share);
        match green {
            0 => ByVersion { blue: BLOCK + self.misses(share), green: 1 },
            BLOCK => ByVersion { blue: 1, green: BLOCK + self.misses(1.0 - share) },
            _ => ByVersion { blue: BLOCK - green, green },
        }
    }

    pub fn outcomes(&mut self, units: ByVersion<u64>, rates: ByVersion<f64>) -> ByVersion<Counts> {
        let mut of = |units, rate| Counts { tally: Tally { bad: self.hits(units, rate), units }, clients: None };
        ByVersion { blue: of(units.blue, rates.blue), green: of(units.green, rates.green) }
    }

    /// What blue did in the ten minutes before.
    pub fn history(&mut self, units: u64, rate: f64) -> Tally {
        Tally { bad: self.hits(units, rate), units }
    }
}

pub fn seconds(number: f64) -> Duration {
    Duration::from_secs_f64(number)
}
