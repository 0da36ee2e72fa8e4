//! Logarithms and their sums. They come from `libm` and not from the platform, so that a journal replayed on another
//! machine gives the same bits.

pub use libm::{exp, log as ln, log1p as ln_1p, pow};

use crate::gate::crossing::Tally;

/// A rate strictly between 0 and 1, with the logarithms of itself and of its rest.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub rate: f64,
    bad: f64,
    good: f64,
}

/// Beyond this difference the smaller number is lost in the rounding of the larger.
const LOST: f64 = 40.0;

/// `ln(e^a + e^b)`.
pub fn ln_add(a: f64, b: f64) -> f64 {
    let (larger, smaller) = if a >= b { (a, b) } else { (b, a) };
    let difference = larger - smaller;
    if difference > LOST { larger } else { larger + ln_1p(exp(-difference)) }
}

/// `ln` of the sum of `e^x` over `logarithms`, which are not empty.
pub fn ln_sum(logarithms: &[f64]) -> f64 {
    let largest = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logarithms.iter().map(|logarithm| exp(logarithm - largest)).sum();
    largest + ln(sum)
}

/// `ln` of the mean of `e^x` over `logarithms`, which are not empty.
pub fn ln_mean(logarithms: &[f64]) -> f64 {
    ln_sum(logarithms) - ln(logarithms.len() as f64)
}

impl Rate {
    pub fn new(rate: f64) -> Rate {
        Rate { rate, bad: ln(rate), good: ln_1p(-rate) }
    }

    /// `ln` of how much likelier `tally` is at this rate than at `other`.
    pub fn ln_likelihood_over(&self, other: Rate, tally: Tally) -> f64 {
        tally.bad as f64 * (self.bad - other.bad) + (tally.units - tally.bad) as f64 * (self.good - other.good)
    }
}

/// `K` rates that rise by equal factors from just above `lowest` to `highest`.
pub fn rising<const K: usize>(lowest: f64, highest: f64) -> [Rate; K] {
    std::array::from_fn(|index| {
        let way = (index + 1) as f64 / K as f64;
        Rate::new(pow(lowest, 1.0 - way) * pow(highest, way))
    })
}
