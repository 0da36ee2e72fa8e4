//! The failure streak: charged failures of green in a row, with what blue did in the same time as the witness.
//!
//! The workers judge it themselves, so its whole state packs into one `u64` that they keep in an atomic. While green
//! is healthy the state does not change, and a request costs one load of a cache line that nobody writes.
//!
//! Enough failures in a row lower the weight, without blame. They convict when both versions failing alike is excluded
//! ([`Odds`]). Promise 5: whatever befalls both befalls them in the same moments, so blue's answers count only if they came
//! between two failures of green, and only requests that were routed at the same weight are held against each other. A row
//! that began at one weight and goes on at another has its evidence of the first carried over, and the rate that both
//! might share is free to be another one then.

use serde::{Deserialize, Serialize};

use super::crossing::Tally;
use super::outcome::Charge;
use super::trigger::{Conviction, StreakTrigger};
use super::version::Version;
use crate::release::Epoch;

mod odds;

pub use odds::Odds;

/// What the workers know of green's row of failures in one epoch. The bounds of the numbers are those of their bits in
/// [`Streak::pack`]; one that is full stays so, which only ever makes a conviction harder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    /// The low bits of the epoch.
    epoch: u8,
    /// The low bits of the count of changes of the weight, as it was when the newest requests of the row were routed.
    change: u8,
    /// Rows that have begun in this epoch.
    rows: u16,
    /// Green's failures in a row.
    failures: u16,
    /// What both did since the row began, or the weight changed in it.
    since: Since,
    /// What was known before that change, in whole natural logarithms.
    carried: u8,
    source: Source,
    phase: Phase,
}

/// What both versions did at one weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Since {
    green_failures: u8,
    blue_failures: u8,
    blue_successes: u16,
}

/// Which of green's endpoints the row comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Source {
    #[default]
    None,
    /// One alone of three or more, by its number modulo [`TOLD_APART`]. A bad endpoint is no bad version.
    One(u8),
    Several,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Counting,
    /// Enough failures, and too little evidence: the weight has been lowered, and what comes decides.
    Probing,
    /// Green has been convicted in this epoch.
    Convicted,
}

/// By which table a request was routed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Routed {
    pub epoch: Epoch,
    /// How often the weight had changed in the epoch by then.
    pub change: u16,
}

/// One request that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub version: Version,
    pub charge: Charge,
    pub routed: Routed,
    /// The number of the endpoint, where the version has enough of them that one can be told from the version.
    pub endpoint: Option<usize>,
}

impl Routed {
    /// Whether the weight has changed since `other`, in the same epoch.
    pub const fn changed_since(self, other: Routed) -> bool {
        let ahead = self.change.wrapping_sub(other.change);
        ahead != 0 && ahead < u16::MAX / 2
    }
}

impl Answer {
    /// Of a version whose endpoints are too few to be told from it.
    pub const fn of(version: Version, charge: Charge, routed: Routed) -> Answer {
        Answer { version, charge, routed, endpoint: None }
    }
}

/// What the workers judge by.
#[derive(Debug)]
pub struct Rule {
    at_least: u16,
    conviction: Conviction,
    odds: Odds,
}

/// What has passed since the first failure of green's row: what a worker decided on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Green's failures in a row.
    pub failures: u64,
    /// How many of them came at the weight that the last of them was routed by.
    pub at_weight: u64,
    /// Blue's requests in the time of those, and how many of them failed.
    pub blue: Tally,
    /// The natural logarithm of one over the chance of all this if both versions failed alike; not above 0 where that is
    /// as good an explanation as any.
    pub ln_evidence: f64,
}

/// What the worker that saw the request must do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Signal {
    Nothing,
    /// Lower green's weight, without blame.
    Probe(Row),
    /// Green has failed and blue has not, or not alike.
    Convict(Row),
    /// Both fail: nobody is blamed.
    Common(Row),
}

/// Endpoints that a row tells apart; others that share a number are taken for one, which spares the version.
const TOLD_APART: u8 = 6;

const MOST_FAILURES: u16 = (1 << 10) - 1;
const MOST_ROWS: u16 = (1 << 12) - 1;
const MOST_CARRIED: u8 = (1 << 4) - 1;
/// The changes of the weight are counted modulo this.
const CHANGES: u8 = 1 << 6;

/// With less evidence of a difference than 20 to 1 a row in which blue has failed as often is common.
const LN_DIFFERENT: f64 = 3.0;

impl Rule {
    pub fn new(trigger: &StreakTrigger) -> Rule {
        Rule { at_least: trigger.at_least, conviction: trigger.conviction, odds: Odds::new() }
    }
}

impl Streak {
    /// Before the first request of `epoch`.
    pub fn opened(epoch: Epoch) -> Streak {
        Streak { epoch: epoch.low_bits() as u8, ..Streak::default() }
    }

    /// Takes in one request. Those of an earlier epoch change nothing, the first of a later one starts afresh.
    #[must_use]
    pub fn observe(self, answer: Answer, rule: &Rule) -> (Streak, Signal) {
        let Answer { version, charge, routed, endpoint } = answer;
        let age = (routed.epoch.low_bits() as u8).wrapping_sub(self.epoch);
        if age > u8::MAX / 2 || self.phase == Phase::Convicted && age == 0 {
            return (self, Signal::Nothing);
        }
        let known = if age == 0 { self } else { Streak::opened(routed.epoch) };
        let is_late = known.failures > 0 && known.newer_than(routed.change);
        match (version, charge) {
            (_, Charge::Nobody) => (self, Signal::Nothing),
            (Version::Green, Charge::Served) => (known.broken(), Signal::Nothing),
            (Version::Green, Charge::Failed) if is_late => (known, Signal::Nothing),
            (Version::Green, Charge::Failed) => known.at(routed.change, rule).green_failed(endpoint, rule),
            (Version::Blue, _) if known.failures == 0 => (known, Signal::Nothing),
            (Version::Blue, Charge::Served) if is_late => (known, Signal::Nothing),
            (Version::Blue, Charge::Failed) if is_late => known.blue_failed(rule),
            (Version::Blue, Charge::Served) => (known.at(routed.change, rule).blue_answered(), Signal::Nothing),
            (Version::Blue, Charge::Failed) => known.at(routed.change, rule).blue_failed(rule),
        }
    }

    /// Whether the newest requests of the row were routed after `change`.
    const fn newer_than(&self, change: u16) -> bool {
        let ahead = self.change.wrapping_sub(change as u8) % CHANGES;
        ahead != 0 && ahead < CHANGES / 2
    }

    /// The row as requests at the weight of `change` go on with it.
    fn at(self, change: u16, rule: &Rule) -> Streak {
        let change = change as u8 % CHANGES;
        if self.failures == 0 || self.change == change {
            return Streak { change, ..self };
        }
        let known = self.ln_evidence(rule);
        // What speaks for a common cause is no evidence of a difference later on: that begins as another row would.
        let (carried, rows) = if known > 0.0 { (known as u8, self.rows) } else { (0, (self.rows + 1).min(MOST_ROWS)) };
        Streak { change, since: Since::default(), carried: carried.min(MOST_CARRIED), rows, ..self }
    }

    /// What is left of the row when it ends: the count of rows.
    fn broken(self) -> Streak {
        Streak { epoch: self.epoch, change: self.change, rows: self.rows, ..Streak::default() }
    }

    fn green_failed(self, endpoint: Option<usize>, rule: &Rule) -> (Streak, Signal) {
        let rows = if self.failures == 0 { (self.rows + 1).min(MOST_ROWS) } else { self.rows };
        let failures = (self.failures + 1).min(MOST_FAILURES);
        let green_failures = (self.since.green_failures + 1).min(Odds::MOST_GREEN_FAILURES);
        let since = Since { green_failures, ..self.since };
        let failed = Streak { rows, failures, since, source: self.source.joined_by(endpoint), ..self };
        if failures < rule.at_least || failed.source != Source::Several {
            return (failed, Signal::Nothing);
        }
        let row = failed.row(rule);
        if rule.convicts(&failed, &row) {
            return (Streak { phase: Phase::Convicted, ..failed }, Signal::Convict(row));
        }
        match self.phase {
            _ if failed.is_common(&row, rule) => (failed.broken(), Signal::Common(row)),
            Phase::Counting => (Streak { phase: Phase::Probing, ..failed }, Signal::Probe(row)),
            Phase::Probing | Phase::Convicted => (failed, Signal::Nothing),
        }
    }

    fn blue_answered(self) -> Streak {
        let blue_successes = (self.since.blue_successes + 1).min(Odds::MOST_BLUE_SUCCESSES);
        Streak { since: Since { blue_successes, ..self.since }, ..self }
    }

    fn blue_failed(self, rule: &Rule) -> (Streak, Signal) {
        let blue_failures = (self.since.blue_failures + 1).min(Odds::MOST_BLUE_FAILURES);
        let failed = Streak { since: Since { blue_failures, ..self.since }, ..self };
        let row = failed.row(rule);
        if failed.phase == Phase::Probing && failed.is_common(&row, rule) {
            return (failed.broken(), Signal::Common(row));
        }
        (failed, Signal::Nothing)
    }

    fn blue_failed_as_often(&self, rule: &Rule) -> bool {
        u16::from(self.since.blue_failures) >= rule.at_least.min(Odds::MOST_BLUE_FAILURES.into())
    }

    /// Whether blue has failed as often as green had to, and as much.
    fn is_common(&self, row: &Row, rule: &Rule) -> bool {
        let differs = rule.conviction == Conviction::ByEvidence && row.ln_evidence >= LN_DIFFERENT;
        self.blue_failed_as_often(rule) && !differs
    }

    fn row(&self, rule: &Rule) -> Row {
        let Since { green_failures, blue_failures, blue_successes } = self.since;
        let bad = u64::from(blue_failures);
        Row {
            failures: self.failures.into(),
            at_weight: green_failures.into(),
            blue: Tally { bad, units: bad + u64::from(blue_successes) },
            ln_evidence: self.ln_evidence(rule),
        }
    }

    fn ln_evidence(&self, rule: &Rule) -> f64 {
        f64::from(self.carried) + rule.odds.ln(self.since)
    }
}

impl Rule {
    fn convicts(&self, streak: &Streak, row: &Row) -> bool {
        match self.conviction {
            Conviction::ByEvidence => row.ln_evidence >= self.odds.ln_needed(streak.rows),
            Conviction::ByCount => !streak.blue_failed_as_often(self),
        }
    }
}

impl Source {
    fn joined_by(self, endpoint: Option<usize>) -> Source {
        let Some(endpoint) = endpoint else { return Source::Several };
        let number = (endpoint % usize::from(TOLD_APART)) as u8;
        match self {
            Source::None => Source::One(number),
            Source::One(known) if known == number => self,
            Source::One(_) | Source::Several => Source::Several,
        }
    }

    const fn pack(self) -> u64 {
        match self {
            Source::None => 0,
            Source::One(number) => number as u64 + 1,
            Source::Several => TOLD_APART as u64 + 1,
        }
    }

    const fn unpack(packed: u64) -> Source {
        match packed as u8 {
            0 => Source::None,
            several if several > TOLD_APART => Source::Several,
            one => Source::One(one - 1),
        }
    }
}

/// Packs fields into one word, the first into the highest bits.
struct Bits(u64);

impl Bits {
    const fn push(self, field: u64, bits: u32) -> Bits {
        debug_assert!(field >> bits == 0);
        Bits(self.0 << bits | field)
    }

    const fn pop(&mut self, bits: u32) -> u64 {
        let field = self.0 & ((1 << bits) - 1);
        self.0 >>= bits;
        field
    }
}

/// Where [`Streak::pack`] puts the epoch, green's failures in a row and the phase.
const EPOCH_SHIFT: u32 = 56;
const ROW_OR_PHASE: u64 = 0x3ff << 28 | 0b11;

impl Streak {
    /// Whether [`Streak::observe`] would change nothing of this packed state: most requests are answered while no row is
    /// open, and need not unpack it.
    pub fn is_untouched(packed: u64, answer: &Answer) -> bool {
        let fails_green = answer.version == Version::Green && answer.charge == Charge::Failed;
        let of_epoch = packed >> EPOCH_SHIFT == u64::from(answer.routed.epoch.low_bits() & 0xff);
        of_epoch && packed & ROW_OR_PHASE == 0 && !fails_green
    }

    pub const fn pack(self) -> u64 {
        let phase = match self.phase {
            Phase::Counting => 0,
            Phase::Probing => 1,
            Phase::Convicted => 2,
        };
        Bits(self.epoch as u64)
            .push(self.change as u64, 6)
            .push(self.rows as u64, 12)
            .push(self.failures as u64, 10)
            .push(self.since.green_failures as u64, 5)
            .push(self.since.blue_failures as u64, 5)
            .push(self.since.blue_successes as u64, 9)
            .push(self.carried as u64, 4)
            .push(self.source.pack(), 3)
            .push(phase, 2)
            .0
    }

    pub const fn unpack(packed: u64) -> Streak {
        let mut bits = Bits(packed);
        let phase = match bits.pop(2) {
            0 => Phase::Counting,
            1 => Phase::Probing,
            _ => Phase::Convicted,
        };
        let source = Source::unpack(bits.pop(3));
        let carried = bits.pop(4) as u8;
        let blue_successes = bits.pop(9) as u16;
        let blue_failures = bits.pop(5) as u8;
        let green_failures = bits.pop(5) as u8;
        let failures = bits.pop(10) as u16;
        let rows = bits.pop(12) as u16;
        let change = bits.pop(6) as u8;
        let since = Since { green_failures, blue_failures, blue_successes };
        Streak { epoch: bits.0 as u8, change, rows, failures, since, carried, source, phase }
    }
}

#[cfg(test)]
mod tests;
