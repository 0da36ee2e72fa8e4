//! One trigger on a window of evidence: what is sustained, what is common, what fires.

use std::time::Duration;

use super::episode::Phase;
use super::sum::Ruling;
use crate::gate::compare::Suspicion;
use crate::gate::crossing::{self, BlueStands, Crossing, Tally, cross};
use crate::gate::trigger::{Action, Cadence, Condition, Confirm, Trigger};
use crate::gate::verdict::{count, describe, duration, percent};
use crate::gate::{ByVersion, Version, Window};

#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) trigger: Trigger,
    pub(super) phase: Phase,
    /// When both versions last crossed the bound together.
    common_at: Option<Duration>,
    /// None where every look is a judgement, and before the first look.
    judgements: Option<Judgements>,
}

/// What the judgements at an interval have come to in this release.
#[derive(Clone, Debug)]
struct Judgements {
    /// The last judgement, or the first look.
    last_at: Duration,
    failed: u32,
    in_a_row: u32,
    /// Stands until the next judgement.
    ruling: Ruling,
}

/// Quantiles from here on are confirmed by the comparison of the P99, the others by that of the P50.
const TAIL: f64 = 0.75;

impl Track {
    pub(super) fn new(trigger: Trigger) -> Track {
        Track { trigger, phase: Phase::Within, common_at: None, judgements: None }
    }

    pub(super) fn reset(&mut self) {
        self.phase = Phase::Within;
        self.common_at = None;
        self.judgements = None;
    }

    /// Whether it decides about the release.
    pub(super) fn gates(&self) -> bool {
        self.trigger.action != Action::Notify
    }

    pub(super) fn rule(&mut self, window: Window<'_>, suspicion: Suspicion, now: Duration) -> Ruling {
        let ruling = match self.trigger.cadence {
            Cadence::EveryTick => self.at_every_look(window, now),
            Cadence::Interval { every, failure_limit, consecutive_limit } => {
                self.at_intervals(window, every, (failure_limit, consecutive_limit), now)
            }
        };
        match ruling {
            Ruling::Fires(sentence) if !self.is_confirmed(suspicion) => {
                Ruling::Unconfirmed(format!("{sentence}; the comparison does not show a difference to blue"))
            }
            ruling => ruling,
        }
    }

    fn at_every_look(&mut self, window: Window<'_>, now: Duration) -> Ruling {
        let crossing = cross(&self.trigger, window);
        match crossing {
            Crossing::TooFew { .. } => self.phase.lose_sight(self.trigger.sustained, now),
            Crossing::Within | Crossing::Crossed { .. } => {}
        }
        let blamed = match self.without_blame(crossing, window, now) {
            Ok(ruling) => return ruling,
            Err(blamed) => blamed,
        };
        let crossed = self.phase.cross(now);
        let sentence = describe(&self.trigger, window.total);
        if crossed.held < self.trigger.sustained {
            Ruling::Pending(format!("{sentence}; so far for {}", duration(whole_tenths(crossed.held))))
        } else if self.is_unclear(&blamed, crossed.since, now) {
            Ruling::Pending(format!("{sentence}; the difference to blue could be chance"))
        } else {
            Ruling::Fires(sentence)
        }
    }

    /// Judges once in `every`, and counts. A judgement that blames nobody, for too few requests or because blue is over
    /// the bound too, has neither failed nor passed: it counts for nothing and breaks no row.
    fn at_intervals(
        &mut self,
        window: Window<'_>,
        every: Duration,
        (failure_limit, consecutive_limit): (Option<u32>, Option<u32>),
        now: Duration,
    ) -> Ruling {
        let nothing = || Judgements {
            last_at: now,
            failed: 0,
            in_a_row: 0,
            ruling: Ruling::Pending(format!(
                "`{}` is judged every {} and has not been yet",
                self.trigger.name,
                duration(every)
            )),
        };
        let mut judgements = self.judgements.take().unwrap_or_else(nothing);
        let crossing = cross(&self.trigger, window);
        if now - judgements.last_at < every {
            let ruling = judgements.ruling.clone();
            self.judgements = Some(judgements);
            return match (ruling, crossing) {
                // Promise 3: a judgement that passed is no pass for as long as there is nothing to see.
                (Ruling::Within, Crossing::TooFew { version, seen }) => self.too_few(version, seen),
                (ruling, _) => ruling,
            };
        }
        let due = judgements.last_at + every;
        judgements.last_at = if now - due < every { due } else { now };
        judgements.ruling = match self.without_blame(crossing, window, now) {
            Ok(ruling) => {
                if ruling == Ruling::Within {
                    judgements.in_a_row = 0;
                }
                ruling
            }
            Err(blamed) => {
                let crossed = self.phase.cross(now);
                let sentence = describe(&self.trigger, window.total);
                if self.is_unclear(&blamed, crossed.since, now) {
                    Ruling::Pending(format!("{sentence}; the difference to blue could be chance"))
                } else {
                    judgements.failed += 1;
                    judgements.in_a_row += 1;
                    let Judgements { failed, in_a_row, .. } = judgements;
                    let sentence = format!(
                        "{sentence}; judged every {}, failed so far: {failed}, in a row: {in_a_row}",
                        duration(every)
                    );
                    let fires = failure_limit.is_some_and(|limit| failed > limit)
                        || consecutive_limit.is_some_and(|limit| in_a_row >= limit);
                    if fires { Ruling::Fires(sentence) } else { Ruling::Pending(sentence) }
                }
            }
        };
        let ruling = judgements.ruling.clone();
        self.judgements = Some(judgements);
        ruling
    }

    /// The ruling where green is not to blame; else how the two versions stand.
    fn without_blame(&mut self, crossing: Crossing, window: Window<'_>, now: Duration) -> Result<Ruling, Blamed> {
        let name = &self.trigger.name;
        Ok(match crossing {
            Crossing::TooFew { version, seen } => self.too_few(version, seen),
            Crossing::Within => {
                self.phase = Phase::Within;
                Ruling::Within
            }
            Crossing::Crossed { blue: BlueStands::Over, measured, shifted } => {
                self.phase = Phase::Within;
                self.common_at = Some(now);
                Ruling::Common(format!(
                    "both versions cross the bound of `{name}`, so the cause is not the version: {}{}",
                    describe(&self.trigger, window.total),
                    at_greens_times(measured.blue, shifted)
                ))
            }
            Crossing::Crossed { blue: BlueStands::Doubtful, measured, shifted } => {
                self.phase.cross(now);
                Ruling::Doubtful(format!(
                    "green crosses the bound of `{name}`, and so does blue with too few requests to be sure: {}{}",
                    describe(&self.trigger, window.total),
                    at_greens_times(measured.blue, shifted)
                ))
            }
            Crossing::Crossed { blue: blue @ (BlueStands::Clear | BlueStands::Near), measured, .. } => {
                return Err(Blamed { near: blue == BlueStands::Near, measured });
            }
        })
    }

    fn too_few(&self, version: Version, seen: u64) -> Ruling {
        Ruling::TooFew(format!(
            "too few requests to judge `{}`: {version} had {} of at least {} in the last {}",
            self.trigger.name,
            count(seen),
            count(self.trigger.minimum_requests),
            duration(self.trigger.window)
        ))
    }

    /// For one window a difference that could be chance is waited out.
    fn is_unclear(&self, blamed: &Blamed, since: Duration, now: Duration) -> bool {
        let tainted = self.common_at.is_some_and(|at| now - at < self.trigger.window);
        let unclear = blamed.near || tainted && !crossing::differ_clearly(blamed.measured);
        unclear && now - since < self.trigger.window
    }

    fn is_confirmed(&self, suspicion: Suspicion) -> bool {
        match (self.trigger.confirm, self.trigger.condition) {
            (Confirm::No, _) => true,
            (Confirm::Comparison, Condition::FailuresAbove { .. } | Condition::FailuresAboveBlue { .. }) => {
                suspicion.errors
            }
            (
                Confirm::Comparison,
                Condition::LatencyAbove { quantile, .. } | Condition::LatencyAboveBlue { quantile, .. },
            ) => {
                if quantile.fraction() < TAIL {
                    suspicion.p50
                } else {
                    suspicion.p99
                }
            }
        }
    }
}

/// Green is over the bound and blue is not.
struct Blamed {
    /// Blue is over half of it, and the difference could be chance.
    near: bool,
    measured: ByVersion<Tally>,
}

/// What makes blue stand worse than its own numbers say.
fn at_greens_times(blue: Tally, shifted: bool) -> String {
    if !shifted {
        return String::new();
    }
    let share = percent(blue.rate());
    format!("; the weight has changed, and at the times of green's requests {share} of blue's would have been bad")
}

fn whole_tenths(held: Duration) -> Duration {
    Duration::from_millis(u64::try_from(held.as_millis()).unwrap_or(u64::MAX) / 100 * 100)
}
