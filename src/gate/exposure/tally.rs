//! Green's failures beyond blue's, block by block, and how far the sum can be from the truth.
//!
//! A block holds requests of the same moments and of one weight, with `a` requests of green for each of blue's. Then green's
//! failures less `a` times blue's are what green has harmed, give or take what chance made of blue's failures.
//!
//! Sources: the difference of two rates over strata of changing weights is that of Mantel and Haenszel, with the variance of
//! Greenland and Robins (Biometrics 41, 1985) for rare events; its bound is Bernstein's for Poisson counts (Boucheron, Lugosi,
//! Massart, *Concentration Inequalities*, §2.4); what is shown for good is bounded by the normal mixture, at every moment
//! at once (Howard et al., *Time-uniform, nonparametric, nonasymptotic confidence sequences*, 2021, eq. 14).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Counted;
use crate::gate::ByVersion;
use crate::gate::compare::numbers::ln;
use crate::gate::crossing::Tally;
use crate::release::Weight;

/// The sums over all blocks, which a restart does not forget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Known {
    pub green: Tally,
    pub blue: Tally,
    /// `Σ x_g − a·x_b`: the requests that green has harmed.
    harmed: f64,
    /// Green's failures beyond blue's usual rate where blue had no requests: it may have failed as many.
    alone: f64,
    /// `Σ x_b·a·(1 + a)`: the variance of what would have failed anyway.
    anyway: f64,
    /// `Σ (x_g + x_b)·a`: the variance of `harmed` if green were as good as blue.
    equal: f64,
    /// The largest `1 + a`.
    widest: f64,
    /// `Σ n_g·n_b/N`, `Σ (x_g·n_b − x_b·n_g)/N` and its variance.
    weighed: f64,
    excess: f64,
    variance: f64,
    /// What was harmed before people gave the budget once more.
    pub before: f64,
    /// People have been told that the budget may be used up.
    pub used_up: bool,
}

/// What is not in a block yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pending {
    /// Of the present weight, and of earlier ones.
    blocks: [Block; 2],
    /// Requests of green without an answer, beyond blue's.
    hanging: f64,
    /// Those that had none when the weight changed, after which they are not seen until they end.
    lost_sight: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Block {
    counted: ByVersion<Tally>,
    opened: Option<Duration>,
}

/// How much was harmed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) harmed: f64,
    /// With one chance in a thousand to be more, at this moment.
    pub(super) at_most: f64,
    /// With a tenth of the false alarm's chance to be less, at whatever moment.
    pub(super) at_least: f64,
}

/// −ln of one in a thousand.
const SURE: f64 = 6.907_755_278_982_137;

/// Of the false alarm's chance, the part that blames green by the budget: the comparison has the whole of it.
const PART: f64 = 0.1;

/// Green is as good as blue where it fails at most this much of blue's own rate more, or this share of the requests: a smaller
/// excess cannot be told from chance in the time that a release has.
const TOLERATED_OF_BLUE: f64 = 0.5;
const TOLERATED: f64 = 0.003;

/// As in the comparison.
const UNITS: u64 = 8;
const AGE: Duration = Duration::from_secs(600);

impl Known {
    /// Nothing is known but what was harmed before.
    pub(super) fn after(harmed: f64) -> Known {
        Known { before: harmed, ..Known::default() }
    }

    /// The excess that is no reason to go slowly.
    pub(super) fn tolerated(&self) -> f64 {
        (TOLERATED_OF_BLUE * self.blue.rate()).min(TOLERATED)
    }

    fn add(&mut self, counted: ByVersion<Tally>) {
        let ByVersion { blue, green } = counted;
        let [bad_blue, blues, bad_green, greens] = [blue.bad, blue.units, green.bad, green.units].map(|n| n as f64);
        if greens == 0.0 {
            return;
        }
        self.green.add(green);
        self.blue.add(blue);
        if blues == 0.0 {
            self.alone += bad_green - greens * self.blue.rate();
            return;
        }
        let (a, all) = (greens / blues, greens + blues);
        self.harmed += bad_green - a * bad_blue;
        self.anyway += bad_blue * a * (1.0 + a);
        self.equal += (bad_green + bad_blue) * a;
        self.widest = self.widest.max(1.0 + a);
        self.weighed += greens * blues / all;
        self.excess += (bad_green * blues - bad_blue * greens) / all;
        self.variance += (bad_green * blues * blues + bad_blue * greens * greens) / (all * all);
    }
}

impl Pending {
    pub(super) fn take(&mut self, counted: &Counted, weight: Weight, known: &mut Known, now: Duration) {
        let Pending { blocks, lost_sight, .. } = self;
        for (block, part) in blocks.iter_mut().zip([counted.present, counted.late]) {
            block.add(part, now);
            if block.closes(weight) || block.is_too_old(now) {
                known.add(std::mem::take(block).counted);
            }
        }
        *lost_sight = (*lost_sight - counted.late.green.units as f64).max(0.0);
    }

    /// What waits without an answer.
    pub(super) fn see(&mut self, hanging: ByVersion<u64>, weight: Weight) {
        let share = weight.ratio();
        // At 100 % nobody can say what is usual.
        let usual = if share < 1.0 { hanging.blue as f64 * share / (1.0 - share) } else { f64::INFINITY };
        self.hanging = (hanging.green as f64 - usual).max(0.0);
    }

    /// The share of the traffic changes.
    pub(super) fn cut(&mut self, known: &mut Known) {
        for block in &mut self.blocks {
            known.add(std::mem::take(block).counted);
        }
        self.lost_sight += std::mem::take(&mut self.hanging);
    }

    /// By how much green's share of failures lies above blue's, at most.
    pub(super) fn excess(&self, known: &Known) -> f64 {
        let weighed = known.weighed + self.hanging;
        let bad = known.excess + self.hanging + (2.0 * SURE * (known.variance + self.hanging)).sqrt() + SURE;
        if bad >= weighed { 1.0 } else { (bad / weighed).max(SURE / weighed) }
    }

    pub(super) fn bounds(&self, known: &Known, budget: f64, false_alarm: f64) -> Bounds {
        let open = self.blocks.iter().map(|block| block.counted.green.bad).sum::<u64>() as f64;
        let unpaired = open + self.hanging + self.lost_sight + known.alone;
        // Chance is no larger than what is known of it, and no more is harmed than failed.
        let most = (known.green.bad as f64).min(self.excess(known) * known.green.units as f64);
        Bounds {
            harmed: known.harmed + unpaired,
            at_most: known.harmed.max(most.min(known.harmed.max(0.0) + (2.0 * SURE * known.anyway).sqrt())) + unpaired,
            at_least: known.harmed - mixture(known, budget, PART * false_alarm),
        }
    }
}

/// The bound of the normal mixture, and for what is not normal in few failures.
fn mixture(known: &Known, budget: f64, alpha: f64) -> f64 {
    let odds = -ln(alpha);
    // The bound is closest where half of the budget is about to show.
    let best = budget * budget / (8.0 * odds);
    normal_mixture(known.equal, alpha, best) + known.widest.max(1.0) * odds / 3.0
}

/// For a variance of `at`, closest around `best`.
fn normal_mixture(at: f64, alpha: f64, best: f64) -> f64 {
    let odds = -2.0 * ln(alpha);
    let rho = best / (odds + ln(1.0 + odds));
    ((at + rho) * (ln((at + rho) / rho) + odds)).sqrt()
}

impl Block {
    fn add(&mut self, counted: ByVersion<Tally>, now: Duration) {
        if counted.blue.units + counted.green.units > 0 {
            self.opened = self.opened.or(Some(now));
            self.counted.blue.add(counted.blue);
            self.counted.green.add(counted.green);
        }
    }

    fn closes(&self, weight: Weight) -> bool {
        let ByVersion { blue, green } = self.counted;
        let both = green.units >= 1 && (blue.units >= 1 || weight == Weight::FULL);
        both && blue.units + green.units >= UNITS
    }

    fn is_too_old(&self, now: Duration) -> bool {
        self.opened.is_some_and(|opened| now - opened >= AGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_mixture_has_the_published_values() {
        // The unit tests of confseq.
        assert!((normal_mixture(100.0, 0.05, 100.0) - 30.35209).abs() < 1e-4);
    }
}
