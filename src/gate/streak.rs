//! The failure streak: N charged failures of green in a row, with a success of blue as the witness.
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
    /// Failures of blue in a row since green's streak went without a witness.
    blue_failures: u16,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Unwitnessed,
    /// Blue has succeeded since green's first failure of the streak.
    Witnessed,
    /// N failures without a witness: the weight has been lowered, blue's next answer decides.
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
    /// Green has failed and blue has not.
    Convict,
    /// Both fail: nobody is blamed.
    Common,
}

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
            Phase::Witnessed => (Streak { phase: Phase::Convicted, ..failed }, Signal::Convict),
            Phase::Unwitnessed => (Streak { phase: Phase::Probing, blue_failures: 0, ..failed }, Signal::Probe),
            Phase::Probing | Phase::Convicted => (failed, Signal::Nothing),
        }
    }

    fn blue_answered(self, charge: Charge, at_least: u16) -> (Streak, Signal) {
        match (self.phase, charge) {
            (Phase::Unwitnessed, Charge::Served) => (Streak { phase: Phase::Witnessed, ..self }, Signal::Nothing),
            (Phase::Probing, Charge::Served) => (Streak { phase: Phase::Convicted, ..self }, Signal::Convict),
            (Phase::Probing, Charge::Failed) => {
                let blue_failures = self.blue_failures.saturating_add(1);
                if blue_failures >= at_least {
                    (Streak { epoch: self.epoch, ..Streak::default() }, Signal::Common)
                } else {
                    (Streak { blue_failures, ..self }, Signal::Nothing)
                }
            }
            (Phase::Unwitnessed, Charge::Failed) | (Phase::Witnessed | Phase::Convicted, _) | (_, Charge::Nobody) => {
                (self, Signal::Nothing)
            }
        }
    }

    pub const fn pack(self) -> u64 {
        let phase = match self.phase {
            Phase::Unwitnessed => 0,
            Phase::Witnessed => 1,
            Phase::Probing => 2,
            Phase::Convicted => 3,
        };
        (self.epoch as u64) << 48 | (self.green_failures as u64) << 32 | (self.blue_failures as u64) << 16 | phase
    }

    pub const fn unpack(packed: u64) -> Streak {
        let phase = match packed & 3 {
            0 => Phase::Unwitnessed,
            1 => Phase::Witnessed,
            2 => Phase::Probing,
            _ => Phase::Convicted,
        };
        Streak {
            epoch: (packed >> 48) as u16,
            green_failures: (packed >> 32) as u16,
            blue_failures: (packed >> 16) as u16,
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
    fn a_streak_needs_a_success_of_blue_since_its_first_failure() {
        use Signal::{Common, Convict, Probe};
        for (requests, expected) in [
            ("GGbG", vec![(3, Convict)]),
            ("bGGG", vec![(3, Probe)]),
            ("GGG", vec![(2, Probe)]),
            ("GGGb", vec![(2, Probe), (3, Convict)]),
            ("GGGBGBb", vec![(2, Probe), (6, Convict)]),
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
