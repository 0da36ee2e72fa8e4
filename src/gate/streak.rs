//! The failure streak: N charged failures of green in a row, with a success of blue, and no failure, as the witness.
//!
//! The workers judge it themselves, so its whole state packs into one `u64` that they keep in an atomic. While green
//! is healthy the state does not change, and a request costs one load of a cache line that nobody writes.

use super::outcome::Charge;
use super::version::Version;

/// What the workers know of green's streak in one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    epoch: u16,
    green_failures: u16,
    /// Failures of blue since green's first. One is enough to know while green's streak is short of N, so that blue's
    /// requests write nothing after it.
    blue_failures: u16,
    /// Successes of blue since its last failure; one is enough in the same way.
    blue_successes: u16,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Counting,
    /// N failures without a clean witness: the weight has been lowered, blue's next answers decide.
    Probing,
    /// Green has been convicted in this epoch.
    Convicted,
}

/// What the worker that saw the request must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Nothing,
    /// Lower green's weight, without blame.
    Probe,
    /// Green has failed and blue has not, or does not any more.
    Convict,
    /// Both fail: nobody is blamed.
    Common,
}

/// What 14 bits hold, far above any N that the configuration takes.
const MOST_SUCCESSES: u16 = (1 << 14) - 1;

impl Streak {
    /// Takes in one request's charge. `epoch` is the one that the request was routed in: requests of an earlier epoch
    /// change nothing, the first of a later one starts afresh.
    #[must_use]
    pub fn observe(self, version: Version, charge: Charge, epoch: u16, at_least: u16) -> (Streak, Signal) {
        let age = epoch.wrapping_sub(self.epoch);
        if age > u16::MAX / 2 || self.phase == Phase::Convicted && age == 0 {
            return (self, Signal::Nothing);
        }
        let known = if age == 0 { self } else { Streak { epoch, ..Streak::default() } };
        match (version, charge) {
            (_, Charge::Nobody) => (self, Signal::Nothing),
            (Version::Green, Charge::Served) => (Streak { epoch, ..Streak::default() }, Signal::Nothing),
            (Version::Green, Charge::Failed) => known.green_failed(at_least),
            (Version::Blue, charge) if known.green_failures > 0 => known.blue_answered(charge, at_least),
            (Version::Blue, _) => (known, Signal::Nothing),
        }
    }

    fn green_failed(self, at_least: u16) -> (Streak, Signal) {
        let failed = Streak { green_failures: self.green_failures.saturating_add(1), ..self };
        if failed.green_failures < at_least {
            return (failed, Signal::Nothing);
        }
        match self.phase {
            Phase::Counting if self.blue_failures == 0 && self.blue_successes > 0 => {
                (Streak { phase: Phase::Convicted, ..failed }, Signal::Convict)
            }
            Phase::Counting => (Streak { phase: Phase::Probing, blue_successes: 0, ..failed }, Signal::Probe),
            Phase::Probing if self.blue_successes >= at_least.min(MOST_SUCCESSES) => {
                (Streak { phase: Phase::Convicted, ..failed }, Signal::Convict)
            }
            Phase::Probing | Phase::Convicted => (failed, Signal::Nothing),
        }
    }

    /// Blue's first success convicts if blue has failed none since green's streak began. Promise 5: if it has, both may
    /// fail by the same cause, which may have passed before green's next request. So as many successes in a row are asked
    /// of blue as failures of green, and one more failure of green after them.
    fn blue_answered(self, charge: Charge, at_least: u16) -> (Streak, Signal) {
        match (self.phase, charge) {
            (Phase::Counting, Charge::Served) => (Streak { blue_successes: 1, ..self }, Signal::Nothing),
            (Phase::Counting, Charge::Failed) => (Streak { blue_failures: 1, ..self }, Signal::Nothing),
            (Phase::Probing, Charge::Served) => {
                let blue_successes = (self.blue_successes + 1).min(MOST_SUCCESSES);
                let answered = Streak { blue_successes, ..self };
                if self.blue_failures == 0 {
                    (Streak { phase: Phase::Convicted, ..answered }, Signal::Convict)
                } else {
                    (answered, Signal::Nothing)
                }
            }
            (Phase::Probing, Charge::Failed) => {
                let blue_failures = self.blue_failures.saturating_add(1);
                if blue_failures >= at_least {
                    (Streak { epoch: self.epoch, ..Streak::default() }, Signal::Common)
                } else {
                    (Streak { blue_failures, blue_successes: 0, ..self }, Signal::Nothing)
                }
            }
            (Phase::Convicted, _) | (_, Charge::Nobody) => (self, Signal::Nothing),
        }
    }

    /// From the highest bits: 16 of the epoch, 16 of green's failures, 16 of blue's failures, 14 of blue's successes,
    /// 2 of the phase.
    pub const fn pack(self) -> u64 {
        let phase = match self.phase {
            Phase::Counting => 0,
            Phase::Probing => 1,
            Phase::Convicted => 2,
        };
        (self.epoch as u64) << 48
            | (self.green_failures as u64) << 32
            | (self.blue_failures as u64) << 16
            | (self.blue_successes as u64) << 2
            | phase
    }

    pub const fn unpack(packed: u64) -> Streak {
        let phase = match packed & 3 {
            0 => Phase::Counting,
            1 => Phase::Probing,
            _ => Phase::Convicted,
        };
        Streak {
            epoch: (packed >> 48) as u16,
            green_failures: (packed >> 32) as u16,
            blue_failures: (packed >> 16) as u16,
            blue_successes: packed as u16 >> 2,
            phase,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `g`/`b` a success of green or blue, `G`/`B` a failure, `-` one that is charged to nobody.
    /// Returns the signals that were given, by the index of the request that gave them.
    fn play(requests: &str) -> Vec<(usize, Signal)> {
        let mut streak = Streak::default();
        let mut given = Vec::new();
        for (index, request) in requests.chars().enumerate() {
            let (version, charge) = match request {
                'g' => (Version::Green, Charge::Served),
                'G' => (Version::Green, Charge::Failed),
                'b' => (Version::Blue, Charge::Served),
                'B' => (Version::Blue, Charge::Failed),
                _ => (Version::Green, Charge::Nobody),
            };
            let (next, signal) = Streak::unpack(streak.pack()).observe(version, charge, 0, 3);
            assert_eq!(Streak::unpack(next.pack()), next);
            streak = next;
            if signal != Signal::Nothing {
                given.push((index, signal));
            }
        }
        given
    }

    #[test]
    fn promise_5_a_streak_needs_a_success_of_blue_and_no_failure_since_its_first() {
        use Signal::{Common, Convict, Probe};
        for (requests, expected) in [
            ("GGbG", vec![(3, Convict)]),
            ("bGGG", vec![(3, Probe)]),
            ("GGG", vec![(2, Probe)]),
            ("GGGb", vec![(2, Probe), (3, Convict)]),
            ("GbBGG", vec![(4, Probe)]),
            ("GBbGG", vec![(4, Probe)]),
            ("GbBGGbb", vec![(4, Probe)]),
            ("GbBGGbbb", vec![(4, Probe)]),
            ("GbBGGbbbG", vec![(4, Probe), (8, Convict)]),
            ("GbBGGbbbgGGbG", vec![(4, Probe), (12, Convict)]),
            ("GbBGGbbGbG", vec![(4, Probe), (9, Convict)]),
            ("GbBGGbbbBGbG", vec![(4, Probe)]),
            ("GbBGGbbBbb", vec![(4, Probe)]),
            ("GbBGGbBbBb", vec![(4, Probe), (8, Common)]),
            ("GGGBGBb", vec![(2, Probe)]),
            ("GGGBbbb", vec![(2, Probe)]),
            ("GGGBbbbG", vec![(2, Probe), (7, Convict)]),
            ("GGGBBB", vec![(2, Probe), (5, Common)]),
            ("GGGBBBGGGb", vec![(2, Probe), (5, Common), (8, Probe), (9, Convict)]),
            ("GBGBGB", vec![(4, Probe)]),
            ("GGgGbG", vec![]),
            ("GbGgGG", vec![]),
            ("Gb-G-G", vec![(5, Convict)]),
            ("GbGGGGbGG", vec![(3, Convict)]),
            ("GGGgBBBBb", vec![(2, Probe)]),
            ("bbbBBBBB", vec![]),
        ] {
            assert_eq!(play(requests), expected, "{requests}");
        }
    }

    #[test]
    fn requests_of_an_earlier_epoch_change_nothing_and_a_later_epoch_starts_afresh() {
        let at_least = 2;
        let (streak, _) = Streak::default().observe(Version::Green, Charge::Failed, 5, at_least);
        assert_eq!(streak.observe(Version::Green, Charge::Failed, 4, at_least), (streak, Signal::Nothing));
        let (later, signal) = streak.observe(Version::Green, Charge::Failed, 6, at_least);
        assert_eq!((later.green_failures, signal), (1, Signal::Nothing));
    }
}
