//! Blue after a rollback, watched for as long as the policy says: whether it has helped.
//!
//! It decides nothing: people are told, once when blue is found bad as well, and once at the end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Course;
use crate::gate::crossing::Tally;
use crate::gate::recovery::{Before, LEAST_REQUESTS, Seen};
use crate::gate::refuge;
use crate::gate::trigger::Span;
use crate::gate::verdict::{count, duration, percent};
use crate::gate::{ByVersion, Health};
use crate::measure::Tick;
use crate::measure::window::{STATUS_WINDOW, watch_window};
use crate::release::input::GATE;
use crate::release::{Effect, Kind, State, Weight};

/// The watch of blue after a rollback. The journal keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watch {
    /// The rollback, on the clock of the deciding core.
    pub began: Duration,
    pub ends: Duration,
    pub before: Before,
    /// Blue's requests since the rollback.
    pub after: Tally,
    pub finding: Finding,
    /// Before then the window holds less than its length, or what was before the rollback.
    #[serde(skip)]
    looks_from: Duration,
}

/// The edge of the window moves by a second at most: with one more it holds nothing of before the rollback.
const EDGE: Duration = Duration::from_secs(1);

/// Whether the rollback has helped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Finding {
    /// The watch is not over, and nothing speaks against blue.
    Open,
    /// It is not over, and blue was found bad.
    Bad,
    Recovered,
    NotRecovered,
    /// Too few requests.
    Unknown,
}

impl Finding {
    /// As the API names it.
    pub const fn name(self) -> &'static str {
        match self {
            Finding::Open => "watching",
            Finding::Bad => "bad",
            Finding::Recovered => "recovered",
            Finding::NotRecovered => "notRecovered",
            Finding::Unknown => "unknown",
        }
    }

    const fn is_over(self) -> bool {
        match self {
            Finding::Open | Finding::Bad => false,
            Finding::Recovered | Finding::NotRecovered | Finding::Unknown => true,
        }
    }
}

impl Course {
    /// None before a rollback, and where the policy has no watch.
    pub fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    /// What a journal has kept of it. Blue is looked at once there is a window of it.
    pub fn set_watch(&mut self, watch: Option<Watch>, now: Duration) {
        self.watch = watch.map(|watch| {
            let looks_from = now + watch_window(&self.policy);
            let ends = if watch.finding.is_over() { watch.ends } else { watch.ends.max(looks_from) };
            Watch { ends, looks_from, ..watch }
        });
    }

    /// The release has been rolled back, from this weight. Where green had nothing there is nothing to watch.
    pub(super) fn begin_watch(&mut self, weight: Weight, now: Duration) {
        let length = self.policy.watch;
        let ByVersion { green, .. } = self.windows.evidence(STATUS_WINDOW, Span::Head);
        if length.is_zero() || weight == Weight::ZERO && green.requests == 0 {
            return;
        }
        self.watch = Some(Watch {
            began: now,
            ends: now + length,
            before: Before { blue: Seen::of(self.history.blue()), green: Seen::of(green) },
            after: Tally::default(),
            finding: Finding::Open,
            looks_from: now + watch_window(&self.policy) + EDGE,
        });
    }

    /// One tick after a rollback.
    pub(super) fn look_at_blue(&mut self, counted: &Tick, health: ByVersion<Health>, now: Duration) -> Vec<Effect> {
        let Some(watch) = self.watch.as_mut().filter(|watch| !watch.finding.is_over()) else { return vec![] };
        if !matches!(self.state, State::RolledBack { .. }) {
            return vec![];
        }
        let blue = &counted.samples.blue.evidence;
        watch.after.add(Tally { bad: blue.failures, units: blue.requests });
        if now < watch.looks_from {
            return vec![];
        }
        let lost = refuge::lost(health.blue, self.windows.evidence(STATUS_WINDOW, Span::Head));
        let window = watch_window(&self.policy);
        let seen = self.windows.evidence(window, Span::Head);
        let bad = lost.or_else(|| watch.before.suffers(seen.blue, window));
        let is_over = now >= watch.ends;
        let told = match (watch.finding, bad) {
            (Finding::Open, Some(bad)) => {
                watch.finding = if is_over { Finding::NotRecovered } else { Finding::Bad };
                Some((Kind::NotRecovered, format!("the rollback has not helped, blue is bad as well: {bad}")))
            }
            (_, Some(_)) if is_over => {
                watch.finding = Finding::NotRecovered;
                None
            }
            (_, None) if is_over && watch.after.units < LEAST_REQUESTS => {
                watch.finding = Finding::Unknown;
                Some((Kind::RecoveryUnknown, watch.unknown(now)))
            }
            (_, None) if is_over => {
                watch.finding = Finding::Recovered;
                Some((Kind::Recovered, watch.recovered(now)))
            }
            _ => None,
        };
        told.map(|(kind, sentence)| Effect::tell(kind, GATE, sentence)).into_iter().collect()
    }
}

impl Watch {
    /// How long it is looked at yet.
    pub fn left(&self, now: Duration) -> Duration {
        if self.finding.is_over() { Duration::ZERO } else { self.ends.saturating_sub(now) }
    }

    fn recovered(&self, now: Duration) -> String {
        let Tally { bad, units } = self.after;
        let (failures, requests, share) = (count(bad), count(units), percent(self.after.rate()));
        format!(
            "the rollback has helped: in the {} after it blue failed {failures} of {requests} requests ({share}), {}",
            self.length(now),
            self.before.rates()
        )
    }

    fn unknown(&self, now: Duration) -> String {
        let requests =
            if self.after.units == 1 { "one request".to_owned() } else { format!("{} requests", self.after.units) };
        format!(
            "nobody can say whether the rollback has helped: blue had {requests} in the {} after it",
            self.length(now)
        )
    }

    fn length(&self, now: Duration) -> String {
        duration(Duration::from_secs((now - self.began).as_secs()))
    }
}

#[cfg(test)]
mod tests;
