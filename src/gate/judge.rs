//! The rulings of all triggers over time: what is sustained, what is common, what fires.

use std::time::Duration;

use super::crossing::{self, BlueStands, Crossing, cross};
use super::evidence::Evidence;
use super::trigger::{Action, Trigger};
use super::verdict::{Verdict, count, describe, duration};
use super::version::ByVersion;

/// The triggers of one release and how long each has been crossed.
#[derive(Clone, Debug)]
pub struct Gate {
    tracks: Vec<Track>,
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

/// How green stands at the bounds that decide about it, the worst of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// No trigger over a window ends in a rollback or a pause.
    NothingGates,
    Within,
    TooFew,
    /// A bound is crossed, and not for long enough or not clearly enough.
    Pending,
    Common,
    Fires,
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
    /// Lower green's weight without blame, until blue has enough requests to compare with.
    Probe {
        trigger: String,
        sentence: String,
    },
}

#[derive(Clone, Debug)]
struct Track {
    trigger: Trigger,
    phase: Phase,
    /// When both versions last crossed the bound together.
    common_at: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Within,
    Crossed(Crossed),
}

/// One episode in which green crosses the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Crossed {
    since: Duration,
    seen_at: Duration,
    /// How long green has been seen over the bound, times without enough requests left out.
    held: Duration,
    /// How long there have been too few requests to tell.
    unknown: Duration,
    ordered: Ordered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ordered {
    Nothing,
    Probe,
    Action,
}

/// How one trigger stands at one look.
enum Standing {
    TooFew(String),
    Within,
    /// Crossed, but not for long enough, or not clearly enough, for its action.
    Pending(String),
    /// Blue crosses the bound too.
    Common(String),
    /// Blue crosses it too, by too few requests to be sure.
    Doubtful(String),
    Fires(String),
}

/// A sustained bound forgets an episode after this long without enough requests, or half its time if that is longer.
const UNKNOWN_RESETS_AFTER: Duration = Duration::from_secs(60);

/// The verdict's sentence without a trigger that could hold green back.
const NOTHING_CLEARS_GREEN: &str = "no bound over a window ends in a rollback or a pause, so nothing clears green";

impl Gate {
    pub fn new(triggers: Vec<Trigger>) -> Gate {
        let tracks =
            triggers.into_iter().map(|trigger| Track { trigger, phase: Phase::Within, common_at: None }).collect();
        Gate { tracks }
    }

    /// Forgets every episode; for a new epoch, whose evidence starts from nothing.
    pub fn reset(&mut self) {
        for track in &mut self.tracks {
            track.phase = Phase::Within;
            track.common_at = None;
        }
    }

    /// Judges every trigger on the evidence that `windows` returns for it. Call it every tick; `now` never goes back.
    pub fn judge<'a>(&mut self, windows: impl Fn(&Trigger) -> ByVersion<&'a Evidence>, now: Duration) -> Judgement {
        let worse_blue = self.tracks.iter().find_map(|track| {
            let evidence = windows(&track.trigger);
            crossing::blue_is_worse(&track.trigger, evidence).then(|| describe(&track.trigger, evidence))
        });
        let mut sum = Sum::default();
        for track in &mut self.tracks {
            let evidence = windows(&track.trigger);
            let standing = match (track.look(evidence, now), &worse_blue) {
                (Standing::Fires(_), Some(of_blue)) if track.trigger.action == Action::Rollback => {
                    Standing::Common(format!("blue is no better, so traffic stays where it is: {of_blue}"))
                }
                (standing, _) => standing,
            };
            sum.take(track, standing);
        }
        let gating = self.tracks.iter().filter(|track| track.gates()).count();
        sum.judgement(gating)
    }
}

impl Track {
    /// Whether it decides about the release. One that only notifies moves no traffic, holds nothing and clears nothing.
    fn gates(&self) -> bool {
        self.trigger.action != Action::Notify
    }

    fn look(&mut self, evidence: ByVersion<&Evidence>, now: Duration) -> Standing {
        match cross(&self.trigger, evidence) {
            Crossing::TooFew { version, seen } => {
                self.phase = self.unknown(now);
                Standing::TooFew(format!(
                    "too few requests to judge `{}`: {version} had {} of at least {} in the last {}",
                    self.trigger.name,
                    count(seen),
                    count(self.trigger.minimum_requests),
                    duration(self.trigger.window)
                ))
            }
            Crossing::Within => {
                self.phase = Phase::Within;
                Standing::Within
            }
            Crossing::Crossed { blue: BlueStands::Over, .. } => {
                self.phase = Phase::Within;
                self.common_at = Some(now);
                Standing::Common(format!(
                    "both versions cross the bound of `{}`, so the cause is not the version: {}",
                    self.trigger.name,
                    describe(&self.trigger, evidence)
                ))
            }
            Crossing::Crossed { blue: BlueStands::Doubtful, .. } => {
                self.phase = Phase::Crossed(self.crossed(now));
                Standing::Doubtful(format!(
                    "green crosses the bound of `{}`, and so does blue with too few requests to be sure: {}",
                    self.trigger.name,
                    describe(&self.trigger, evidence)
                ))
            }
            Crossing::Crossed { blue, measured } => {
                let crossed = self.crossed(now);
                self.phase = Phase::Crossed(crossed);
                let sentence = describe(&self.trigger, evidence);
                let tainted = self.common_at.is_some_and(|at| now - at < self.trigger.window);
                let unclear = blue == BlueStands::Near || tainted && !crossing::differ_clearly(measured);
                if crossed.held < self.trigger.sustained {
                    Standing::Pending(format!("{sentence}; so far for {}", duration(whole_tenths(crossed.held))))
                } else if unclear && now - crossed.since < self.trigger.window {
                    Standing::Pending(format!("{sentence}; the difference to blue could be chance"))
                } else {
                    Standing::Fires(sentence)
                }
            }
        }
    }

    fn crossed(&self, now: Duration) -> Crossed {
        match self.phase {
            Phase::Within => Crossed {
                since: now,
                seen_at: now,
                held: Duration::ZERO,
                unknown: Duration::ZERO,
                ordered: Ordered::Nothing,
            },
            Phase::Crossed(crossed) => {
                let passed = if crossed.unknown.is_zero() { now - crossed.seen_at } else { Duration::ZERO };
                Crossed { seen_at: now, held: crossed.held + passed, unknown: Duration::ZERO, ..crossed }
            }
        }
    }

    fn unknown(&self, now: Duration) -> Phase {
        match self.phase {
            Phase::Within => Phase::Within,
            Phase::Crossed(crossed) => {
                let unknown = crossed.unknown + (now - crossed.seen_at);
                if unknown > UNKNOWN_RESETS_AFTER.max(self.trigger.sustained / 2) {
                    Phase::Within
                } else {
                    Phase::Crossed(Crossed { seen_at: now, unknown, ..crossed })
                }
            }
        }
    }

    /// Notes that `ordered` has been given in this episode; false if it, or more, was given before.
    fn first(&mut self, ordered: Ordered) -> bool {
        match &mut self.phase {
            Phase::Within => true,
            Phase::Crossed(crossed) => {
                let first = (crossed.ordered as u8) < ordered as u8;
                if first {
                    crossed.ordered = ordered;
                }
                first
            }
        }
    }
}

/// Adds up how the triggers stand, the worst sentence first.
#[derive(Default)]
struct Sum {
    fails: Option<String>,
    common: Option<String>,
    doubtful: Option<String>,
    waits: Option<String>,
    too_few: Option<String>,
    orders: Vec<Order>,
}

impl Sum {
    fn take(&mut self, track: &mut Track, standing: Standing) {
        let trigger = track.trigger.name.clone();
        match standing {
            Standing::Within => {}
            Standing::TooFew(_) | Standing::Pending(_) | Standing::Common(_) | Standing::Doubtful(_)
                if !track.gates() => {}
            Standing::TooFew(sentence) => _ = self.too_few.get_or_insert(sentence),
            Standing::Pending(sentence) => _ = self.waits.get_or_insert(sentence),
            Standing::Common(sentence) => _ = self.common.get_or_insert(sentence),
            Standing::Doubtful(sentence) => {
                self.doubtful.get_or_insert_with(|| sentence.clone());
                if track.trigger.action == Action::Rollback && track.first(Ordered::Probe) {
                    self.orders.push(Order::Probe { trigger, sentence });
                }
            }
            Standing::Fires(sentence) => {
                match track.trigger.action {
                    Action::Rollback => _ = self.fails.get_or_insert_with(|| sentence.clone()),
                    Action::Pause => _ = self.waits.get_or_insert_with(|| sentence.clone()),
                    Action::Notify => {}
                }
                if track.first(Ordered::Action) {
                    self.orders.push(match track.trigger.action {
                        Action::Rollback => Order::Rollback { trigger, sentence },
                        Action::Pause => Order::Pause { trigger, sentence },
                        Action::Notify => Order::Notify { trigger, sentence },
                    });
                }
            }
        }
    }

    fn judgement(self, gating: usize) -> Judgement {
        let freeze = self.common.clone().or_else(|| self.doubtful.clone());
        let standing = match (&self.fails, &freeze, &self.waits, &self.too_few) {
            (Some(_), ..) => Stands::Fires,
            (None, Some(_), ..) => Stands::Common,
            (None, None, Some(_), _) => Stands::Pending,
            (None, None, None, Some(_)) => Stands::TooFew,
            (None, None, None, None) if gating == 0 => Stands::NothingGates,
            (None, None, None, None) => Stands::Within,
        };
        let verdict = if let Some(sentence) = self.fails {
            Verdict::fail(sentence)
        } else if let Some(sentence) = self.common.or(self.doubtful).or(self.waits).or(self.too_few) {
            Verdict::wait(sentence)
        } else if gating == 0 {
            // Promise 3: bounds that nobody judges are not kept.
            Verdict::wait(NOTHING_CLEARS_GREEN)
        } else {
            Verdict::pass(format!("green crosses none of {gating} bounds"))
        };
        Judgement { verdict, standing, orders: self.orders, freeze }
    }
}

fn whole_tenths(held: Duration) -> Duration {
    Duration::from_millis(u64::try_from(held.as_millis()).unwrap_or(u64::MAX) / 100 * 100)
}

#[cfg(test)]
mod tests;
