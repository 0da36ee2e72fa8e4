//! Blue against itself: a random part of its requests, as large as green's share, is tested against the rest by the same
//! tests. Where these two differ it is the measuring, the draw or the traffic that makes them differ, and may do the same to
//! green.

use std::time::Duration;

use super::contrast::Contrast;
use super::numbers::ln;
use super::recent::Recent;
use super::sentence;
use super::standing::HOLDS;
use super::{Counted, Settings};
use crate::gate::crossing::Tally;
use crate::gate::{ByVersion, Evidence, Latency};

/// The test of blue against itself.
#[derive(Clone, Debug)]
pub(super) struct Arm {
    contrast: Contrast,
    trust: Trust,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Kept,
    /// Blue has differed from itself, and is not calm again.
    Lost,
}

/// What a tick changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Stays,
    /// Blue agrees with itself again: what was gathered meanwhile is worth nothing.
    CalmAgain,
}

/// The evidence at which blue agrees with itself again: one to one.
const LN_CALM: f64 = 0.0;

impl Arm {
    pub(super) fn new(settings: &Settings, of_blue: Tally, recent: &Recent, planned: f64, now: Duration) -> Arm {
        Arm { contrast: Contrast::new(settings, of_blue, recent, planned, now), trust: Trust::Kept }
    }

    /// Adds one tick: `drawn` is the part of `blue` that stands in for green.
    pub(super) fn tick(&mut self, blue: Counted<'_>, drawn: Counted<'_>, recent: &Recent, now: Duration) -> Turn {
        let rest = Rest::of(&blue, &drawn);
        self.contrast.tick(&ByVersion { blue: rest.counted(), green: drawn }, recent, now);
        let ln_evidence = self.contrast.ln();
        match self.trust {
            Trust::Kept if ln_evidence >= ln(HOLDS) => self.trust = Trust::Lost,
            Trust::Lost if ln_evidence <= LN_CALM => {
                self.trust = Trust::Kept;
                return Turn::CalmAgain;
            }
            Trust::Kept | Trust::Lost => {}
        }
        Turn::Stays
    }

    pub(super) fn cut(&mut self, recent: &Recent, now: Duration) {
        self.contrast.cut(recent, now);
    }

    /// Why nothing that is measured may be believed; none while blue agrees with itself.
    pub(super) fn distrust(&self) -> Option<String> {
        match self.trust {
            Trust::Kept => None,
            Trust::Lost => {
                let (measure, since) = self.contrast.heaviest();
                Some(sentence::untrusted(measure, &since, self.contrast.ln()))
            }
        }
    }

    pub(super) fn is_trusted(&self) -> bool {
        self.trust == Trust::Kept
    }

    /// ln M of blue against itself.
    pub(super) fn ln(&self) -> f64 {
        self.contrast.ln()
    }
}

/// Blue without the part that is drawn.
struct Rest {
    evidence: Evidence,
    waiting: Latency,
    clients: Option<u64>,
}

impl Rest {
    fn of(blue: &Counted<'_>, drawn: &Counted<'_>) -> Rest {
        let (mut evidence, mut waiting) = (blue.evidence.clone(), blue.waiting.clone());
        evidence.subtract(drawn.evidence);
        waiting.subtract(drawn.waiting);
        let clients = blue.clients.map(|clients| clients.saturating_sub(drawn.clients.unwrap_or_default()));
        Rest { evidence, waiting, clients }
    }

    const fn counted(&self) -> Counted<'_> {
        Counted { evidence: &self.evidence, waiting: &self.waiting, clients: self.clients }
    }
}
