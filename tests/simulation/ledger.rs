//! Counts on its own what happened in a run, and says which promise that breaks.

use std::time::Duration;

use portcullis::control::status::Status;
use portcullis::gate::trigger::Condition;
use portcullis::gate::{ByVersion, Charge, Kind as VerdictKind, Trigger, Version};
use portcullis::measure::shard::Record;
use portcullis::release::Epoch;
use portcullis::routing::{Route, Table};

use super::scenario::{ERRORS_ABOVE, SLOWER_THAN, Scenario};

#[derive(Clone, Debug)]
pub struct Violation {
    /// The promise's number; 0 when the counts are wrong.
    pub promise: u8,
    pub what: String,
}

pub type Checked = Result<(), Violation>;

/// Requests of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    requests: u64,
    failures: u64,
    timed: u64,
    slow: u64,
}

/// What a worker has recorded since it last handed over.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    epoch: Epoch,
    tally: ByVersion<Tally>,
}

/// The ledger of one run.
pub struct Ledger<'a> {
    scenario: &'a Scenario,
    pending: Vec<Pending>,
    /// The running sums of the present epoch at each hand-over.
    handed: Vec<(Duration, ByVersion<Tally>)>,
    epoch: Epoch,
    latched: Option<Epoch>,
    /// Epochs that operators have opened.
    opened: u32,
    /// Failures in a row, of blue also across epochs.
    in_a_row: ByVersion<u16>,
    witnessed: bool,
    /// Since when green alone has been over the error bound without doubt.
    guilty_since: Option<Duration>,
}

/// The tick of the control task, and the longest slot: that of a window of 10 s.
const TICK: Duration = Duration::from_millis(100);
const SLOT: Duration = Duration::from_millis(167);

/// From a bound being crossed to all traffic being on blue.
const REACTS_WITHIN: Duration = Duration::from_millis(300);

impl<'a> Ledger<'a> {
    pub fn new(scenario: &'a Scenario) -> Ledger<'a> {
        Ledger {
            scenario,
            pending: vec![Pending::default(); scenario.workers],
            handed: Vec::new(),
            epoch: Epoch::default(),
            latched: None,
            opened: 0,
            in_a_row: ByVersion::default(),
            witnessed: false,
            guilty_since: None,
        }
    }

    /// A worker has routed a request.
    pub fn routed(&self, table: Table, version: Version, now: Duration) -> Checked {
        if version == Version::Green && (table.route == Route::Latched || self.latched >= Some(table.epoch)) {
            return broken(
                2,
                format!("at {now:?} a request of epoch {} went to green, which was latched", table.epoch),
            );
        }
        Ok(())
    }

    /// A worker has recorded the end of a request. Call it before the streak learns of it.
    pub fn recorded(&mut self, worker: usize, record: &Record) {
        let Some(version) = record.version else { return };
        let pending = &mut self.pending[worker];
        if record.routed.epoch > pending.epoch {
            *pending = Pending { epoch: record.routed.epoch, ..Pending::default() };
        }
        let charge = record.charge;
        if record.routed.epoch == pending.epoch {
            let tally = pending.tally.of_mut(version);
            tally.requests += u64::from(charge != Charge::Nobody);
            tally.failures += u64::from(charge == Charge::Failed);
            if let Some(head) = record.judged.head {
                tally.timed += 1;
                tally.slow += u64::from(head > SLOWER_THAN);
            }
        }
        if record.routed.epoch != self.epoch {
            return;
        }
        match (version, charge) {
            (_, Charge::Nobody) => {}
            (Version::Green, Charge::Served) => (self.in_a_row.green, self.witnessed) = (0, false),
            (Version::Green, Charge::Failed) => self.in_a_row.green = self.in_a_row.green.saturating_add(1),
            (Version::Blue, Charge::Served) => {
                self.in_a_row.blue = 0;
                self.witnessed = self.in_a_row.green > 0;
            }
            (Version::Blue, Charge::Failed) => self.in_a_row.blue = self.in_a_row.blue.saturating_add(1),
        }
    }

    pub fn handed_over(&mut self, worker: usize, now: Duration) {
        let pending = std::mem::take(&mut self.pending[worker]);
        self.pending[worker].epoch = pending.epoch;
        if pending.epoch != self.epoch || pending.tally == ByVersion::default() {
            return;
        }
        let mut sum = self.handed.last().map_or_else(ByVersion::default, |(_, sum)| *sum);
        for version in Version::BOTH {
            let (sum, new) = (sum.of_mut(version), pending.tally.of(version));
            sum.requests += new.requests;
            sum.failures += new.failures;
            sum.timed += new.timed;
            sum.slow += new.slow;
        }
        self.handed.push((now, sum));
    }

    /// An operator's command was carried out; the epoch that is open then.
    pub fn obeyed(&mut self, epoch: Epoch) {
        if epoch > self.epoch {
            self.opened += 1;
        }
        self.enter(epoch);
    }

    fn enter(&mut self, epoch: Epoch) {
        if epoch != self.epoch {
            self.epoch = epoch;
            self.handed.clear();
            self.in_a_row.green = 0;
            self.witnessed = false;
            self.guilty_since = None;
        }
    }

    /// Looks at the table after anything that could have changed it.
    pub fn table(&mut self, table: Table, now: Duration) -> Checked {
        let opened = (0..self.opened).fold(Epoch::default(), |epoch, _| epoch.next());
        if table.epoch != opened {
            return broken(2, format!("at {now:?} epoch {} is open, which no operator asked for", table.epoch));
        }
        if table.route == Route::Latched {
            self.latched = self.latched.max(Some(table.epoch));
        } else if self.latched >= Some(table.epoch) {
            return broken(2, format!("at {now:?} the latch of epoch {} is gone", table.epoch));
        }
        Ok(())
    }

    /// The streak has latched the table by itself.
    pub fn streak_latched(&self, now: Duration) -> Checked {
        let Some(streak) = &self.scenario.policy.streak else { return broken(5, "there is no streak".to_owned()) };
        let rows = self.in_a_row;
        if rows.green < streak.at_least {
            return broken(4, format!("at {now:?} the streak convicted green for {} failures", rows.green));
        }
        if !self.witnessed || rows.blue >= streak.at_least {
            return broken(
                5,
                format!("at {now:?} the streak convicted green while blue failed {} in a row", rows.blue),
            );
        }
        Ok(())
    }

    /// Looks at what a tick at `now` has published.
    pub fn status(&mut self, status: &Status, now: Duration) -> Checked {
        for trigger in &self.scenario.policy.triggers {
            self.counts(status, trigger, now)?;
            let (_, outer) = self.window(trigger.window, now);
            if status.verdict.kind == VerdictKind::Pass && outer.green.requests < trigger.minimum_requests {
                let what = format!("at {now:?} passes with {:?} for `{}`", outer.green, trigger.name);
                return broken(3, what);
            }
        }
        self.overdue(status, now)
    }

    /// `epoch` has been rolled back for `trigger`, at `now`.
    pub fn rolled_back(&mut self, epoch: Epoch, trigger: &str, now: Duration) -> Checked {
        self.latched = self.latched.max(Some(epoch));
        let Some(trigger) = self.scenario.policy.triggers.iter().find(|known| known.name == trigger) else {
            return Ok(());
        };
        let (inner, outer) = self.window(trigger.window, now);
        let most = Tally { failures: outer.green.failures, slow: outer.green.slow, ..inner.green };
        if !over(trigger, most) && !is_relative(trigger) {
            return broken(4, format!("at {now:?} `{}` blamed green for {:?}", trigger.name, outer.green));
        }
        let enough = inner.blue.requests >= trigger.minimum_requests;
        if enough && over(trigger, inner.blue) && over(trigger, outer.blue) {
            let what = format!("at {now:?} `{}` blamed green while blue stood at {:?}", trigger.name, outer.blue);
            return broken(5, what);
        }
        // With few requests chance may make a difference; with many it must not.
        let many = self.scenario.expected(trigger.window) >= 500.0;
        if self.scenario.is_common() && many && !is_relative(trigger) && self.scenario.commands.is_empty() {
            let what = format!("at {now:?} `{}` blamed green for a common outage: {outer:?}", trigger.name);
            return broken(5, what);
        }
        Ok(())
    }

    /// Whether the published windows hold what was handed over.
    fn counts(&self, status: &Status, trigger: &Trigger, now: Duration) -> Checked {
        let name = portcullis::gate::verdict::duration(trigger.window);
        let published = status.windows.iter().find(|window| window.window == name).expect("each window is published");
        let (inner, outer) = self.window(trigger.window, now);
        for (version, counted) in [(Version::Blue, &published.blue), (Version::Green, &published.green)] {
            let (inner, outer) = (inner.of(version), outer.of(version));
            let requests = (inner.requests..=outer.requests).contains(&counted.requests);
            let failures = (inner.failures..=outer.failures).contains(&counted.failures);
            if !requests || !failures {
                let (requests, failures) = (counted.requests, counted.failures);
                let what = format!(
                    "at {now:?} the window of {name} holds {failures} of {requests} of {version}, between {inner:?} and {outer:?}"
                );
                return broken(0, what);
            }
        }
        Ok(())
    }

    /// Whether green alone has been over the error bound for too long.
    fn overdue(&mut self, status: &Status, now: Duration) -> Checked {
        let errors = &self.scenario.policy.triggers[0];
        let (inner, outer) = self.window(errors.window, now);
        // Nothing is rolled back into a blue that mostly failed in the last minute; more than a third may be that.
        let (surely, at_most) = self.window(Duration::from_secs(60), now);
        let refuge = [surely.blue, at_most.blue].iter().all(|blue| 3 * blue.failures <= blue.requests);
        let guilty = refuge
            && status.state == "stepping"
            && errors.sustained.is_zero()
            && [inner.green, outer.green].iter().all(|green| green.requests >= 50 && over(errors, *green))
            && outer.blue.failures == 0;
        match (guilty, self.guilty_since) {
            (false, _) => self.guilty_since = None,
            (true, None) => self.guilty_since = Some(now),
            (true, Some(since)) if now - since < REACTS_WITHIN => {}
            (true, Some(since)) => {
                return broken(1, format!("green has been over the bound since {since:?} at {now:?}: {inner:?}"));
            }
        }
        Ok(())
    }

    /// What was surely in a window of `length` at the tick `now`, and the most that can have been.
    fn window(&self, length: Duration, now: Duration) -> (ByVersion<Tally>, ByVersion<Tally>) {
        let until = |at: Duration| match self.handed.partition_point(|(handed, _)| *handed <= at) {
            0 => ByVersion::default(),
            index => self.handed[index - 1].1,
        };
        let since = |at: Duration| {
            let (before, all) = (until(at), until(now));
            ByVersion::build(|version| {
                let (before, all) = (before.of(version), all.of(version));
                Tally {
                    requests: all.requests - before.requests,
                    failures: all.failures - before.failures,
                    timed: all.timed - before.timed,
                    slow: all.slow - before.slow,
                }
            })
        };
        let inner = since(now.saturating_sub(length));
        let outer = match now.checked_sub(length + SLOT + TICK) {
            Some(at) => since(at),
            None => until(now),
        };
        (inner, outer)
    }
}

fn over(trigger: &Trigger, tally: Tally) -> bool {
    match trigger.condition {
        Condition::FailuresAbove { .. } => tally.failures as f64 > ERRORS_ABOVE * tally.requests as f64,
        Condition::LatencyAbove { quantile, .. } => {
            tally.slow as f64 > (1.0 - quantile.fraction()) * tally.timed as f64 + 1e-6
        }
        Condition::FailuresAboveBlue { .. } | Condition::LatencyAboveBlue { .. } => false,
    }
}

fn is_relative(trigger: &Trigger) -> bool {
    matches!(trigger.condition, Condition::FailuresAboveBlue { .. } | Condition::LatencyAboveBlue { .. })
}

pub fn broken<T>(promise: u8, what: String) -> Result<T, Violation> {
    Err(Violation { promise, what })
}
