//! The slow tail of the latency: which units are slow, and green's share of them against blue's. Specification: §1.2.
//!
//! The bounds between fast and slow are edges of histogram buckets, so coarse buckets cost no validity.

use std::time::Duration;

use super::block::Counts;
use super::mixture::Since;
use super::projection::Null;
use super::recent::Recent;
use super::relative::Relative;
use super::{Counted, Settings};
use crate::gate::crossing::Tally;
use crate::gate::trigger::Quantile;
use crate::gate::{ByVersion, Latency};

/// The tail beyond one quantile.
#[derive(Clone, Debug)]
pub struct Tail {
    quantile: Quantile,
    slower: f64,
    slower_by: Duration,
    bounds: Bounds,
    relative: Relative,
}

/// Units slower than these are slow; the null is that green has at most blue's share of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bounds {
    /// Blue has had too few units to say where its tail begins.
    Unknown,
    /// `waiting` is how many of the requests still without a head were slow at the last tick; none before the first.
    Set { bounds: ByVersion<Duration>, waiting: Option<ByVersion<u64>> },
}

/// So many units of blue's are wanted beyond the quantile before a bound is set there.
const BEYOND: f64 = 10.0;

impl Tail {
    /// `planned` is how many blocks are expected.
    pub fn new(quantile: Quantile, settings: &Settings, recent: &Recent, planned: f64, now: Duration) -> Tail {
        let Settings { slower, slower_by, .. } = *settings;
        let relative = Relative::new(Null::EQUAL, Tally::default(), planned, now);
        let mut tail = Tail { quantile, slower, slower_by, bounds: Bounds::Unknown, relative };
        tail.set_bounds(recent, now);
        tail
    }

    /// Adds one tick. `recent` holds blue's latencies of the ticks before.
    pub fn tick(&mut self, counted: &ByVersion<Counted<'_>>, recent: &Recent, now: Duration) {
        let Bounds::Set { bounds, waiting: ref mut before } = self.bounds else {
            self.set_bounds(recent, now);
            return;
        };
        let waiting = ByVersion::build(|version| slower(counted.of(version).waiting, *bounds.of(version)));
        // What waited before the bounds held has been counted by others, or not at all: the first tick only looks.
        let Some(before) = before.replace(waiting) else { return };
        let counts = ByVersion::build(|version| {
            let Counted { evidence, clients, .. } = *counted.of(version);
            let ended_slow = slower(&evidence.latency, *bounds.of(version));
            let ended_fast = evidence.latency.len() - ended_slow;
            let bad = (ended_slow + waiting.of(version)).saturating_sub(*before.of(version));
            Counts { tally: Tally { bad, units: bad + ended_fast }, clients }
        });
        self.relative.tick(counts, now);
    }

    /// Green's share of the traffic changes: the bounds are set anew.
    pub fn cut(&mut self, recent: &Recent, now: Duration) {
        self.relative.cut(now);
        self.set_bounds(recent, now);
    }

    /// Forgets the evidence.
    pub fn restart(&mut self) {
        self.relative.restart();
    }

    /// The bounds between fast and slow; none while blue's tail is unknown.
    pub const fn bounds(&self) -> Option<ByVersion<Duration>> {
        match self.bounds {
            Bounds::Unknown => None,
            Bounds::Set { bounds, .. } => Some(bounds),
        }
    }

    pub const fn quantile(&self) -> Quantile {
        self.quantile
    }

    /// ln M of this metric.
    pub const fn ln(&self) -> f64 {
        self.relative.ln()
    }

    pub const fn relative(&self) -> &Relative {
        &self.relative
    }

    pub fn since(&self) -> Since {
        self.relative.since()
    }

    /// Keeps the bounds that there are when blue has had too little traffic since.
    fn set_bounds(&mut self, recent: &Recent, now: Duration) {
        let enough = (BEYOND / self.quantile.tail().fraction()).round() as u64;
        let Some(latency) = recent.at_least(enough, now) else { return };
        let blue = latency.quantile(self.quantile).expect("blue has had more than ten requests");
        let at_least = blue.mul_f64(1.0 + self.slower).max(blue + self.slower_by);
        let bounds = ByVersion { blue, green: latency.edge(at_least) };
        self.bounds = Bounds::Set { bounds, waiting: None };
        self.relative.expect(Tally { bad: slower(&latency, blue), units: latency.len() }, now);
    }
}

fn slower(latency: &Latency, bound: Duration) -> u64 {
    if latency.is_empty() { 0 } else { latency.slower_than(bound) }
}
