//! How much harm green has done, how much it could still do, and the weight that keeps both within a budget.
//!
//! A request is harmed that fails on green and would not have failed on blue: the failures of green beyond blue's in the same
//! moments. [`tally`] adds them up, with bounds; here the bounds become a weight. The comparison goes on beside it, and usually
//! finds a bad green first. Absent: what the plan makes of the weight, and slowness that is no failure.

mod tally;
mod traffic;

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::ByVersion;
use super::crossing::Tally;
use super::verdict::{count, percent};
use crate::release::Weight;
pub use tally::Known;
use tally::{Bounds, Pending};
use traffic::Traffic;

/// What a release may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Harmed requests.
    pub budget: u64,
    /// The weight is such that a green as bad as it may still be would use up the budget in this time at the earliest.
    pub horizon: Duration,
    /// The chance of ever blaming a green that fails no more than blue.
    pub false_alarm: f64,
}

/// The exposure of one release.
#[derive(Clone, Debug)]
pub struct Exposure {
    settings: Settings,
    known: Known,
    pending: Pending,
    traffic: Traffic,
    change: Change,
}

/// What one tick shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// Of requests that were routed at the present weight.
    pub present: ByVersion<Tally>,
    /// Of requests that were routed before the weight last changed.
    pub late: ByVersion<Tally>,
    /// Requests that have had no answer for [`HANGS`], now.
    pub hanging: ByVersion<u64>,
}

/// What has been seen since the weight last changed.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    at: Duration,
    /// Requests of green: routed since then, and before.
    present: u64,
    late: u64,
}

/// What is to become of the weight.
#[derive(Clone, Debug, PartialEq)]
pub enum Advice {
    Stay,
    /// 100 % ends the exposure.
    Go {
        weight: Weight,
        sentence: String,
    },
    /// The budget may be used up, and it is not shown that green has.
    UsedUp {
        sentence: String,
    },
    /// Green has used up the budget.
    Shown {
        sentence: String,
    },
}

/// What people are shown.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Harm {
    pub budget: u64,
    /// Requests that green has harmed: the best estimate, and what it is at most.
    pub harmed: u64,
    pub at_most: u64,
    /// By how much green's share of failures may lie above blue's, at most. One while nothing is known.
    pub excess_at_most: f64,
}

/// A request that waits for so long counts as harmed, unless as many of blue's do.
pub const HANGS: Duration = Duration::from_secs(1);

/// The time from a failure to a lower weight, at most: a tick, and the requests that are under way. What a raise adds to green's
/// traffic in it may use half of what is left.
const REACTION: f64 = 0.2;

/// The rest is for what is under way when the weight changes.
const SPENDABLE: f64 = 0.9;

/// No raise is smaller than this because of [`REACTION`], so that those of the heaviest traffic are bounded.
const LEAST_RAISE: f64 = 0.01;

/// Smaller changes of the weight are left out, because each is a decision that people are told.
const WORTH_A_RAISE: f64 = 1.25;
const WORTH_A_DROP: f64 = 0.8;

/// A weight lasts for so long and so many requests of green before it is raised.
const DWELL: Duration = Duration::from_secs(1);
const DWELL_REQUESTS: u64 = 8;

/// Half of each tells most in a time: beyond it blue is too rare to compare with. It is passed when all the way to 100 % is allowed.
const EVEN: f64 = 0.5;

/// The last weight before 100 %.
const MOST: f64 = 0.9;

const LEAST: f64 = 0.000_1;

impl Exposure {
    pub fn new(settings: Settings, now: Duration) -> Exposure {
        Exposure {
            settings,
            known: Known::default(),
            pending: Pending::default(),
            traffic: Traffic::new(now),
            change: Change { at: now, ..Change::default() },
        }
    }

    /// As [`crate::gate::compare::Comparison::judge_at`].
    pub const fn judge_at(&mut self, false_alarm: f64) {
        self.settings.false_alarm = false_alarm;
    }

    /// What a journal keeps of it.
    pub const fn known(&self) -> Known {
        self.known
    }

    /// Goes on from what a journal has kept.
    pub const fn resume(&mut self, known: Known) {
        self.known = known;
    }

    /// Adds one tick. Call it every tick, with empty counts too.
    pub fn take(&mut self, counted: &Counted, weight: Weight, now: Duration) {
        let Counted { present, late, hanging } = counted;
        let requests = [present, late].map(|part| part.blue.units + part.green.units).into_iter().sum::<u64>();
        self.traffic.add(requests, now);
        self.change.present += present.green.units;
        self.change.late += late.green.units;
        self.pending.take(counted, weight, &mut self.known, now);
        self.pending.see(*hanging, weight);
    }

    /// Green's share of new requests is another from `now` on.
    pub fn weight_changed(&mut self, now: Duration) {
        self.pending.cut(&mut self.known);
        self.change = Change { at: now, ..Change::default() };
    }

    /// People go on after [`Advice::UsedUp`]: the budget is there once more, and what is known begins anew.
    pub fn renew(&mut self) {
        let harmed = self.bounds().harmed.max(0.0) + self.known.before;
        self.known = Known::after(harmed);
    }

    /// Whether people have been asked and have gone on.
    pub const fn was_used_up(&self) -> bool {
        self.known.used_up
    }

    pub fn harm(&self) -> Harm {
        let Bounds { harmed, at_most, .. } = self.bounds();
        let whole = |requests: f64| (requests.max(0.0) + self.known.before) as u64;
        Harm {
            budget: self.settings.budget,
            harmed: whole(harmed.round()),
            at_most: whole(at_most.ceil()),
            excess_at_most: self.excess(),
        }
    }

    /// What is to become of `weight`. Call it after [`Exposure::take`], while nothing else holds the release.
    pub fn advise(&mut self, weight: Weight, now: Duration) -> Advice {
        if let Some(sentence) = self.shown() {
            return Advice::Shown { sentence };
        }
        let Some(rate) = self.traffic.rate(now) else { return Advice::Stay };
        let Bounds { harmed, at_most, .. } = self.bounds();
        let is_within = self.is_within();
        if at_most >= self.spendable() && !is_within {
            self.known.used_up = true;
            return Advice::UsedUp { sentence: self.told("may be used up, and it is not certain") };
        }
        let left = self.spendable() - harmed.max(0.0);
        let allowed = if is_within { 1.0 } else { left / (rate * self.horizon() * self.excess()) };
        match self.target(weight.ratio(), allowed, left, rate, now) {
            Some(target) => {
                let weight = basis_points(target);
                Advice::Go { weight, sentence: self.told(&format!("allows {weight}")) }
            }
            None => Advice::Stay,
        }
    }

    /// The sentence for a green that has shown to use up the budget, whatever else holds the release.
    pub fn shown(&self) -> Option<String> {
        let Bounds { harmed, at_most, at_least } = self.bounds();
        let used = if self.is_within() { harmed } else { at_most };
        (at_least > 0.0 && used >= self.spendable()).then(|| self.told("is used up by green"))
    }

    /// The weight to go to; none where that is not worth a change.
    fn target(&self, weight: f64, allowed: f64, left: f64, rate: f64, now: Duration) -> Option<f64> {
        if weight == 0.0 {
            return Some(allowed.clamp(LEAST, Weight::PROBE.ratio()));
        }
        let Change { at, present, late } = self.change;
        if now - at < DWELL {
            return None;
        }
        if allowed <= weight * WORTH_A_DROP {
            return (weight > LEAST).then_some(allowed.clamp(LEAST, EVEN));
        }
        if present < DWELL_REQUESTS || present < late {
            return None;
        }
        let beside = (left.max(0.0) / 2.0 / (rate * REACTION)).max(LEAST_RAISE);
        let most = (weight * 2.0).min(weight + beside);
        if allowed >= 1.0 && (most >= 1.0 || weight >= MOST) {
            return Some(1.0);
        }
        let target = allowed.min(most).min(if allowed < 1.0 { EVEN } else { MOST });
        (target >= weight * WORTH_A_RAISE || target > weight && allowed > most).then_some(target)
    }

    /// Whether green is known to fail so little beyond blue that no more can be told.
    fn is_within(&self) -> bool {
        self.excess() <= self.known.tolerated()
    }

    fn excess(&self) -> f64 {
        self.pending.excess(&self.known)
    }

    fn bounds(&self) -> Bounds {
        self.pending.bounds(&self.known, self.budget(), self.settings.false_alarm)
    }

    fn budget(&self) -> f64 {
        self.settings.budget as f64
    }

    fn spendable(&self) -> f64 {
        self.budget() * SPENDABLE
    }

    fn horizon(&self) -> f64 {
        self.settings.horizon.as_secs_f64()
    }

    fn told(&self, what: &str) -> String {
        let Harm { budget, harmed, at_most, excess_at_most } = self.harm();
        let Tally { bad, units } = self.known.green;
        format!(
            "the exposure budget of {} harmed requests {what}: {} so far, at most {}; green failed {} of {} requests, at most {} \
             more than blue in the same moments",
            count(budget),
            count(harmed),
            count(at_most),
            count(bad),
            count(units),
            percent(excess_at_most)
        )
    }
}

/// Rounded down, and never to nothing.
fn basis_points(share: f64) -> Weight {
    let whole = (share.clamp(LEAST, 1.0) * 10_000.0 + 1e-6) as u16;
    Weight::from_basis_points(whole).expect("at most 100 %")
}

#[cfg(test)]
mod tests;
