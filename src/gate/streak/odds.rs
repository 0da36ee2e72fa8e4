//! How surely a row of green's failures excludes that both versions failed alike.

use std::f64::consts::PI;

use super::Since;
use crate::gate::compare::numbers::ln;

/// Tables made ahead: the way of a request takes no logarithm.
///
/// If both versions fail with one rate `p`, whatever it is, green's `n` failures in a row with `k` successes of blue among
/// them have the chance pⁿ·(1−p)ᵏ, at most its largest value over `p`. One over that is an e-value, so it may be looked at after every
/// request: the chance that a row ever reaches `1/α` is at most `α` (universal inference: Wasserman, Ramdas and Balakrishnan,
/// PNAS 2020, with the alternative that green fails always and blue never). Where blue has failed too, the alternative is
/// that blue has a rate of its own, unknown as Krichevsky and Trofimov take it (IEEE IT 1981), a Beta(½, ½).
#[derive(Debug)]
pub struct Odds {
    /// `x·ln x`.
    x_ln_x: Vec<f64>,
    /// `ln Γ(x + ½)`.
    ln_gamma_of_half: Vec<f64>,
    /// `ln Γ(x + 1)`.
    ln_factorial: Vec<f64>,
    /// What a row must reach, by the binary logarithm of its number.
    needed: [f64; LEVELS],
}

/// No row convicts at a higher chance.
const HIGHEST_CHANCE: f64 = 1e-6;

/// The chance that any row of an epoch convicts while both versions fail alike. Rows are many where both fail often, so
/// the later ones get less each: the rows from the 2ˡ-th to the one before the 2ˡ⁺¹-th share 6/π²·(l+1)⁻² of it.
const CHANCE_OF_ANY: f64 = 1e-4;

/// Of a row in which blue failed as often as can be counted, or more often. A number that JSON can hold.
const UNKNOWN: f64 = -1e9;

/// Rows are counted up to 4,095.
const LEVELS: usize = 12;

impl Odds {
    pub(super) const MOST_GREEN_FAILURES: u8 = (1 << 5) - 1;
    pub(super) const MOST_BLUE_FAILURES: u8 = (1 << 5) - 1;
    pub(super) const MOST_BLUE_SUCCESSES: u16 = (1 << 9) - 1;

    pub(super) fn new() -> Odds {
        let green = usize::from(Odds::MOST_GREEN_FAILURES);
        let blue = usize::from(Odds::MOST_BLUE_FAILURES) + usize::from(Odds::MOST_BLUE_SUCCESSES);
        let sums = |first: f64, count: usize, of: fn(f64) -> f64| -> Vec<f64> {
            let sums = (0..count).scan(first, |sum, x| Some(std::mem::replace(sum, *sum + of(x as f64))));
            sums.collect()
        };
        let share = 6.0 / (PI * PI);
        Odds {
            x_ln_x: (0..=green + blue).map(|x| if x == 0 { 0.0 } else { x as f64 * ln(x as f64) }).collect(),
            ln_gamma_of_half: sums(ln(PI) / 2.0, blue + 1, |x| ln(x + 0.5)),
            ln_factorial: sums(0.0, blue + 1, |x| ln(x + 1.0)),
            needed: std::array::from_fn(|level| {
                let rows = f64::from(1 << level);
                let of_each = CHANCE_OF_ANY * share / (rows * ((level + 1) * (level + 1)) as f64);
                -ln(of_each.min(HIGHEST_CHANCE))
            }),
        }
    }

    /// The logarithm of the evidence that the versions do not fail alike.
    pub(super) fn ln(&self, since: Since) -> f64 {
        let Since { green_failures, blue_failures, blue_successes } = since;
        if blue_failures == Odds::MOST_BLUE_FAILURES {
            return UNKNOWN;
        }
        let (bad, good) = (usize::from(blue_failures), usize::from(blue_successes));
        let all_bad = usize::from(green_failures) + bad;
        let alike = self.x_ln_x[all_bad] + self.x_ln_x[good] - self.x_ln_x[all_bad + good];
        let of_blue = match bad {
            0 => 0.0,
            _ => {
                self.ln_gamma_of_half[bad] + self.ln_gamma_of_half[good]
                    - self.ln_factorial[bad + good]
                    - 2.0 * self.ln_gamma_of_half[0]
            }
        };
        of_blue - alike
    }

    /// What the row of this number, counted from 1, must reach to convict.
    pub(super) fn ln_needed(&self, row: u16) -> f64 {
        self.needed[row.ilog2() as usize]
    }
}
