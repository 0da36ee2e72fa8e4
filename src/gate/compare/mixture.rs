//! An e-process that is started anew at every block (the Shiryaev-Roberts form), so that a fault that begins late is
//! found as quickly as an early one. The weights of all starts sum to one, so it stays an e-process: the chance that it
//! ever reaches 1/α while its null holds is at most α.

use std::time::Duration;

use super::numbers::{ln, ln_add, ln_mean};
use crate::gate::ByVersion;
use crate::gate::crossing::Tally;

/// The weights with which copies start: `first` before any block, half of the rest evenly over the planned blocks, the
/// other half over all that follow.
#[derive(Clone, Copy, Debug)]
pub struct Starts {
    first: f64,
    even: f64,
    tail: f64,
    planned: f64,
}

/// `K` processes, one for each alternative, and their mean.
#[derive(Clone, Debug)]
pub struct Mixture<const K: usize> {
    starts: Starts,
    tracks: [Track; K],
    blocks: u64,
    ln_mean: f64,
}

#[derive(Clone, Copy, Debug)]
struct Track {
    ln: f64,
    /// The weight of the heaviest single copy, and what it has seen.
    heaviest: f64,
    since: Since,
}

/// What has been counted since the copy started that weighs most: the units that the evidence comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Since {
    pub counted: ByVersion<Tally>,
    /// The tick of green's first bad unit.
    pub first_bad: Option<Duration>,
}

impl Starts {
    /// `first` is the weight of the copy that starts before any block, `planned` how many blocks are expected.
    pub fn new(first: f64, planned: f64) -> Starts {
        let half = (1.0 - first) / 2.0;
        Starts { first: ln(first), even: ln(half / planned), tail: ln(half * planned), planned }
    }

    pub const fn ln_first(&self) -> f64 {
        self.first
    }

    /// The weight of the copy that starts with the block of this number, counted from 1.
    pub fn ln_weight(&self, block: u64) -> f64 {
        let block = block as f64;
        if block <= self.planned { self.even } else { self.tail - ln(block) - ln(block + 1.0) }
    }
}

impl<const K: usize> Mixture<K> {
    pub fn new(starts: Starts) -> Mixture<K> {
        let track = Track { ln: starts.ln_first(), heaviest: starts.ln_first(), since: Since::default() };
        Mixture { starts, tracks: [track; K], blocks: 0, ln_mean: starts.ln_first() }
    }

    /// One that begins where this one began.
    pub fn anew(&self) -> Mixture<K> {
        Mixture::new(self.starts)
    }

    /// Adds a block, whose evidence against the null is `ln_factors` for each alternative. `first_bad` is the tick of its
    /// first bad unit of green.
    pub fn take(&mut self, counted: ByVersion<Tally>, first_bad: Option<Duration>, ln_factors: [f64; K]) {
        self.blocks += 1;
        let start = self.starts.ln_weight(self.blocks);
        for (track, ln_factor) in self.tracks.iter_mut().zip(ln_factors) {
            if start >= track.heaviest {
                track.heaviest = start;
                track.since = Since::default();
            }
            track.heaviest += ln_factor;
            track.since.add(counted, first_bad);
            track.ln = ln_add(track.ln, start) + ln_factor;
        }
        self.ln_mean = ln_mean(&self.tracks.map(|track| track.ln));
    }

    /// The logarithm of the evidence against the null.
    pub const fn ln(&self) -> f64 {
        self.ln_mean
    }

    pub const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// What the alternative that explains the blocks best rests on.
    pub fn since(&self) -> Since {
        let best = self.tracks.iter().reduce(|best, track| if track.ln > best.ln { track } else { best });
        best.map(|track| track.since).unwrap_or_default()
    }
}

impl Since {
    fn add(&mut self, counted: ByVersion<Tally>, first_bad: Option<Duration>) {
        self.counted.blue.add(counted.blue);
        self.counted.green.add(counted.green);
        self.first_bad = self.first_bad.or(first_bad);
    }
}
