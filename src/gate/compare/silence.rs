//! Has a version that should have had traffic had none? Specification: §1.3, "No data".

use std::time::Duration;

use crate::gate::crossing::Tally;
use crate::gate::{ByVersion, Version};
use crate::release::Weight;

#[derive(Clone, Debug)]
pub(super) struct Silence {
    /// When each version last had a unit, or the weight changed.
    heard: ByVersion<Duration>,
    /// Units of both versions, and over how long.
    units: u64,
    since: Duration,
    before: Duration,
}

/// What blue's history covers.
const HISTORY: Duration = Duration::from_secs(600);

/// A version is not called silent sooner, nor later.
const SOONEST: Duration = Duration::from_secs(60);
const LATEST: Duration = Duration::from_secs(900);

/// So many units of the version are expected in the time that makes it silent.
const EXPECTED: f64 = 10.0;

impl Silence {
    /// `history` is how many units blue had in the ten minutes before `now`.
    pub(super) fn new(history: u64, now: Duration) -> Silence {
        let before = if history == 0 { Duration::ZERO } else { HISTORY };
        Silence { heard: ByVersion { blue: now, green: now }, units: history, since: now, before }
    }

    pub(super) fn tick(&mut self, tallies: ByVersion<Tally>, now: Duration) {
        for version in Version::BOTH {
            let units = tallies.of(version).units;
            if units > 0 {
                self.units += units;
                *self.heard.of_mut(version) = now;
            }
        }
    }

    pub(super) const fn weight_changed(&mut self, now: Duration) {
        self.heard = ByVersion { blue: now, green: now };
    }

    /// A version without traffic at this weight, and for how long; green before blue.
    pub(super) fn find(&self, weight: Weight, now: Duration) -> Option<(Version, Duration)> {
        let elapsed = (self.before + (now - self.since)).as_secs_f64();
        let shares = [(Version::Green, weight.ratio()), (Version::Blue, 1.0 - weight.ratio())];
        shares.into_iter().filter(|(_, share)| *share > 0.0).find_map(|(version, share)| {
            let limit = match self.units {
                0 => SOONEST.as_secs_f64(),
                units => {
                    (EXPECTED * elapsed / (units as f64 * share)).clamp(SOONEST.as_secs_f64(), LATEST.as_secs_f64())
                }
            };
            let silent = now - *self.heard.of(version);
            (silent.as_secs_f64() >= limit).then_some((version, silent))
        })
    }
}
