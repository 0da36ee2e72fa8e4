//! The rulings of all triggers over time, added up to one judgement.
//!
//! [`windowed`] rules on windows of evidence, [`told`] on what others have measured; [`episode`] remembers how long a bound
//! has been crossed and what was ordered because of it, [`sum`] finds the worst.

use std::time::Duration;

use super::compare::Suspicion;
use super::crossing;
use super::evidence::Window;
use super::health::Health;
use super::policy::Policy;
use super::refuge;
use super::signal::Signals;
use super::trigger::{Action, Trigger};
use super::verdict::{Verdict, describe};
use super::version::ByVersion;
use sum::{Ruling, Sum};
use told::{Checks, Signal};
use windowed::Track;

mod episode;
mod sum;
mod told;
mod windowed;

/// The triggers of one release and how long each has been crossed.
#[derive(Clone, Debug)]
pub struct Gate {
    tracks: Vec<Track>,
    checks: Vec<Checks>,
    signals: Vec<Signal>,
    /// When this epoch began; else the first look.
    begun_at: Option<Duration>,
}

/// All that one look goes by.
#[derive(Clone, Copy, Debug)]
pub struct Look<'s, W> {
    /// The evidence in the window that a trigger names.
    pub windows: W,
    pub health: ByVersion<Health>,
    pub signals: &'s Signals,
    pub suspicion: Suspicion,
    /// What is known against blue, whatever the triggers look at ([`super::refuge`]).
    pub against_blue: Option<&'s str>,
    /// Routes of which nothing is evidence any more: their triggers are not judged.
    pub taken_back: &'s [String],
}

/// What one look at all the evidence comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    pub verdict: Verdict,
    pub standing: Stands,
    pub orders: Vec<Order>,
    /// Why green's weight must not be raised.
    pub freeze: Option<String>,
}

/// How the triggers stand as a whole: the worst of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// One that rolls back or pauses.
    Fires,
    /// Blue crosses a bound as well, or may.
    Common,
    /// One is crossed, and its action waits for time, for a clear difference or for the comparison.
    Pending,
    TooFew,
    /// No trigger on a window could hold green back, so none clears it.
    NothingGates,
    Within,
}

/// What is to be done, with the sentence that explains it. Each is given once for each time that a bound is crossed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    Rollback {
        trigger: String,
        sentence: String,
    },
    Pause {
        trigger: String,
        sentence: String,
    },
    Notify {
        trigger: String,
        sentence: String,
    },
    /// Lower green's weight without blame, until it is certain.
    Probe {
        trigger: String,
        sentence: String,
    },
}

impl Gate {
    pub fn new(policy: &Policy) -> Gate {
        Gate {
            tracks: policy.triggers.iter().cloned().map(Track::new).collect(),
            checks: policy.checks.iter().cloned().map(Checks::new).collect(),
            signals: policy.signals.iter().cloned().map(Signal::new).collect(),
            begun_at: None,
        }
    }

    /// Forgets every episode; for a new epoch, which begins `now` and whose evidence starts from nothing.
    pub fn reset(&mut self, now: Duration) {
        self.tracks.iter_mut().for_each(Track::reset);
        self.checks.iter_mut().for_each(Checks::reset);
        self.signals.iter_mut().for_each(Signal::reset);
        self.begun_at = Some(now);
    }

    /// Judges every trigger. Call it every tick; `now` never goes back.
    pub fn judge<'e, W, E>(&mut self, look: &Look<'_, W>, now: Duration) -> Judgement
    where
        W: Fn(&Trigger) -> E,
        E: Into<Window<'e>>,
    {
        let window = |trigger: &Trigger| (look.windows)(trigger).into();
        let begun_at = *self.begun_at.get_or_insert(now);
        let over_a_bound = || {
            // On one route blue may be worse, and the better place for all the others.
            self.tracks.iter().filter(|track| track.trigger.route.is_none()).find_map(|track| {
                let evidence = window(&track.trigger).total;
                crossing::blue_is_worse(&track.trigger, evidence).then(|| describe(&track.trigger, evidence))
            })
        };
        let worse_blue = look.against_blue.map(str::to_owned).or_else(over_a_bound);
        let spared = |action, ruling| match (ruling, &worse_blue) {
            (Ruling::Fires(_) | Ruling::Unconfirmed(_) | Ruling::Doubtful(_), Some(of_blue))
                if action == Action::Rollback =>
            {
                Ruling::Common(refuge::spared(of_blue))
            }
            (ruling, _) => ruling,
        };
        let mut sum = Sum::default();
        let is_taken_back =
            |trigger: &Trigger| trigger.route.as_ref().is_some_and(|route| look.taken_back.contains(&route.name));
        for track in self.tracks.iter_mut().filter(|track| !is_taken_back(&track.trigger)) {
            let ruling = track.rule(window(&track.trigger), look.suspicion, now);
            let Track { trigger, phase, .. } = track;
            sum.take(&trigger.name, trigger.action, phase, spared(trigger.action, ruling));
        }
        for checks in &mut self.checks {
            let ruling = checks.rule(look.health, now);
            let Checks { trigger, phase } = checks;
            sum.take(&trigger.name, trigger.action, phase, spared(trigger.action, ruling));
        }
        for signal in &mut self.signals {
            let ruling = signal.rule(look.signals, begun_at);
            let Signal { trigger, phase } = signal;
            sum.take(&trigger.name, trigger.action, phase, spared(trigger.action, ruling));
        }
        let gating = self.tracks.iter().filter(|track| track.gates() && track.trigger.route.is_none()).count();
        sum.judgement(gating)
    }
}

#[cfg(test)]
mod tests;
