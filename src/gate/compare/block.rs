//! Units of both versions from the same moments.

use std::time::Duration;

use crate::gate::ByVersion;
use crate::gate::crossing::Tally;

/// What one tick adds to one metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub tally: Tally,
    /// The distinct clients behind the units, where clients stick to a version.
    pub clients: Option<u64>,
}

/// Units since the last block closed. Whether it closes never depends on how many of them were bad.
#[derive(Clone, Copy, Debug, Default)]
pub struct Block {
    counted: ByVersion<Tally>,
    /// Independent units, at most: one for each client where clients stick to a version.
    independent: ByVersion<u64>,
    opened: Option<Duration>,
    first_bad: Option<Duration>,
}

/// A block closes with so many units, and at least one of each version.
const UNITS: u64 = 8;

/// Units further apart than this are not of the same moments.
const AGE: Duration = Duration::from_secs(600);

impl Block {
    pub fn add(&mut self, counts: ByVersion<Counts>, now: Duration) {
        let ByVersion { blue, green } = counts;
        if blue.tally.units + green.tally.units == 0 {
            return;
        }
        self.opened = self.opened.or(Some(now));
        if green.tally.bad > 0 {
            self.first_bad = self.first_bad.or(Some(now));
        }
        add(&mut self.counted.blue, &mut self.independent.blue, blue);
        add(&mut self.counted.green, &mut self.independent.green, green);
    }

    pub fn is_empty(&self) -> bool {
        self.opened.is_none()
    }

    pub fn closes(&self) -> bool {
        let ByVersion { blue, green } = self.counted;
        blue.units >= 1 && green.units >= 1 && blue.units + green.units >= UNITS
    }

    pub fn is_too_old(&self, now: Duration) -> bool {
        self.opened.is_some_and(|opened| now - opened >= AGE)
    }

    pub const fn counted(&self) -> ByVersion<Tally> {
        self.counted
    }

    pub const fn first_bad(&self) -> Option<Duration> {
        self.first_bad
    }

    /// Green's share of the units.
    pub fn share(&self) -> f64 {
        let ByVersion { blue, green } = self.counted;
        green.units as f64 / (blue.units + green.units) as f64
    }

    /// The power to which the evidence is taken: the inverse of the mean number of units behind one client, of the
    /// version where that is larger. One without sticky clients.
    pub fn temper(&self) -> f64 {
        let of = |independent: u64, tally: Tally| match tally.units {
            0 => 1.0,
            units => (independent as f64 / units as f64).min(1.0),
        };
        of(self.independent.blue, self.counted.blue).min(of(self.independent.green, self.counted.green))
    }
}

fn add(total: &mut Tally, independent: &mut u64, Counts { tally, clients }: Counts) {
    total.add(tally);
    *independent += clients.unwrap_or(tally.units);
}
