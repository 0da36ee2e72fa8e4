//! The evidence that green fails less than is unacceptable. It needs no blue beside green, so it clears a release at
//! 100 % as well. Specification: §1.5.

use super::block::Counts;
use super::mixture::Starts;
use super::numbers::{Rate, ln, ln_add};
use crate::gate::crossing::Tally;

/// A one-sample e-process against "green's rate is at least `unacceptable`", of one weight.
///
/// It is started anew at every tick with very little weight, so that a burst of failures which is over does not hold
/// green back for as long as the time before it would take to repeat.
#[derive(Clone, Debug)]
pub struct Pass {
    unacceptable: Rate,
    starts: Starts,
    ticks: u64,
    ln: f64,
    counted: Tally,
}

/// Nearly all the weight starts at once: the rest costs no unit of those that clear green.
const FIRST: f64 = 0.995;

/// Green is cleared from here on.
const ENOUGH: f64 = 20.0;

/// More than this is not kept, so that a long good time cannot outweigh a fault that begins late. An e-process that is
/// cut off from above stays one.
const MOST: f64 = 1e6;

impl Pass {
    /// `planned` is how many ticks are expected.
    pub fn new(unacceptable: f64, planned: f64) -> Pass {
        let starts = Starts::new(FIRST, planned);
        Pass {
            unacceptable: Rate::new(unacceptable),
            starts,
            ticks: 0,
            ln: starts.ln_first(),
            counted: Tally::default(),
        }
    }

    /// Adds one tick of green. `expected` is the rate of a good green, which is blue's.
    pub fn take(&mut self, Counts { tally, clients }: Counts, expected: f64) {
        if tally.units == 0 {
            return;
        }
        self.ticks += 1;
        self.counted.add(tally);
        let temper = clients.map_or(1.0, |clients| (clients as f64 / tally.units as f64).min(1.0));
        let factor = temper * self.good(expected).ln_likelihood_over(self.unacceptable, tally);
        self.ln = (ln_add(self.ln, self.starts.ln_weight(self.ticks)) + factor).min(ln(MOST));
    }

    /// Forgets everything: another weight has to be earned anew.
    pub fn restart(&mut self) {
        self.ticks = 0;
        self.ln = self.starts.ln_first();
        self.counted = Tally::default();
    }

    pub const fn ln(&self) -> f64 {
        self.ln
    }

    pub fn is_enough(&self) -> bool {
        self.ln >= ln(ENOUGH)
    }

    /// How many more units without a failure would be enough.
    pub fn missing(&self, expected: f64) -> u64 {
        let of_one = self.good(expected).ln_likelihood_over(self.unacceptable, Tally { bad: 0, units: 1 });
        ((ln(ENOUGH) - self.ln) / of_one).max(0.0).ceil() as u64
    }

    /// Green's units at this weight.
    pub const fn counted(&self) -> Tally {
        self.counted
    }

    pub const fn unacceptable(&self) -> f64 {
        self.unacceptable.rate
    }

    /// The alternative has to lie well below what is unacceptable, even where blue itself does not.
    fn good(&self, expected: f64) -> Rate {
        Rate::new(expected.min(self.unacceptable.rate / 2.0))
    }
}
