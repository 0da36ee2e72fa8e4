//! What mirrored requests came to: counted apart from everything else, and evidence of nothing but themselves.

use std::time::Duration;

use super::shard::{Sample, Took};
use crate::gate::{ByVersion, Charge, Latency, Outcome, Version};
use crate::release::Epoch;

/// What became of one that was to be copied. The names are the values of the metric label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The copy was sent, or could not be, and came to this.
    Came(Outcome),
    /// There was no room for a copy.
    Dropped,
}

/// What two whole answers to one request have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    Same,
    /// Their statuses differ.
    Status,
    /// Their statuses are the same, and the lengths of their bodies differ.
    Length,
    /// One of them is not whole, or was not read to its end.
    Not,
}

/// A request that blue answered and its copy, once both have ended.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub epoch: Epoch,
    /// Blue's the original, green's the copy.
    pub came: ByVersion<(Charge, Took)>,
    pub compared: Compared,
    /// What green took to the response head, warm or not.
    pub copy_head: Option<Duration>,
}

/// Of one worker between two hand-overs, or of all in a tick.
#[derive(Clone, Debug, Default)]
pub struct Mirrored {
    copied: [u64; Copied::ALL.len()],
    /// The epoch that the rest is of.
    pub epoch: Epoch,
    compared: [u64; Compared::ALL.len()],
    pub samples: ByVersion<Sample>,
    /// What is shown of the copies.
    pub shown: Latency,
}

impl Copied {
    pub const ALL: [Copied; 11] = [
        Copied::Came(Outcome::Success),
        Copied::Came(Outcome::ClientError),
        Copied::Came(Outcome::ServerError),
        Copied::Came(Outcome::ConnectError),
        Copied::Came(Outcome::Timeout),
        Copied::Came(Outcome::Reset),
        Copied::Came(Outcome::Truncated),
        Copied::Came(Outcome::GrpcFailure),
        Copied::Came(Outcome::ClientCancelled),
        Copied::Came(Outcome::RefusedByUs),
        Copied::Dropped,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Copied::Came(outcome) => outcome.name(),
            Copied::Dropped => "dropped",
        }
    }

    const fn index(self) -> usize {
        match self {
            Copied::Came(outcome) => outcome as usize,
            Copied::Dropped => Copied::ALL.len() - 1,
        }
    }
}

impl Compared {
    pub const ALL: [Compared; 4] = [Compared::Same, Compared::Status, Compared::Length, Compared::Not];

    pub const fn name(self) -> &'static str {
        match self {
            Compared::Same => "same",
            Compared::Status => "status",
            Compared::Length => "length",
            Compared::Not => "not_compared",
        }
    }
}

impl Mirrored {
    pub fn copied(&mut self, copied: Copied) {
        self.copied[copied.index()] += 1;
    }

    pub fn ended(&mut self, pair: &Pair) {
        if pair.epoch > self.epoch {
            *self = Mirrored { copied: self.copied, epoch: pair.epoch, ..Mirrored::default() };
        }
        if pair.epoch == self.epoch {
            self.compared[pair.compared as usize] += 1;
            if let Some(head) = pair.copy_head {
                self.shown.record(head);
            }
            for version in Version::BOTH {
                let (charge, took) = *pair.came.of(version);
                self.samples.of_mut(version).record(charge, took);
            }
        }
    }

    pub fn add(&mut self, other: &Mirrored) {
        for (sum, count) in self.compared.iter_mut().zip(other.compared) {
            *sum += count;
        }
        for version in Version::BOTH {
            self.samples.of_mut(version).add(other.samples.of(version));
        }
    }

    /// What another proxy has counted.
    pub fn told(epoch: Epoch, compared: [u64; Compared::ALL.len()], samples: ByVersion<Sample>) -> Mirrored {
        Mirrored { epoch, compared, samples, ..Mirrored::default() }
    }

    pub fn of(&self, copied: Copied) -> u64 {
        self.copied[copied.index()]
    }

    pub fn compared(&self, compared: Compared) -> u64 {
        self.compared[compared as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_place_and_a_name_of_its_own() {
        for (place, copied) in Copied::ALL.into_iter().enumerate() {
            assert_eq!(copied.index(), place);
        }
        assert_eq!(Outcome::ALL.len() + 1, Copied::ALL.len());
    }

    #[test]
    fn pairs_of_an_earlier_epoch_are_no_evidence() {
        let first = Epoch::default().next();
        let pair = |epoch| Pair {
            epoch,
            came: ByVersion::build(|_| (Charge::Served, Took::default())),
            compared: Compared::Same,
            copy_head: None,
        };
        let mut mirrored = Mirrored::default();
        for epoch in [first, first.next(), first] {
            mirrored.ended(&pair(epoch));
            mirrored.copied(Copied::Dropped);
        }
        let counted = (mirrored.epoch, mirrored.compared(Compared::Same), mirrored.samples.green.evidence.requests);
        assert_eq!((counted, mirrored.of(Copied::Dropped)), ((first.next(), 1, 1), 3));
    }
}
