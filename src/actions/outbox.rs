//! What is to be done about releases, and has been. Pure: what happens goes in with the time, what has to be written down
//! and carried out comes out.
//!
//! Actions of one moment run side by side, so that one that hangs holds up no other. One waits for those before it that say
//! `onFailure: stop`, and for those whose answers it names.

mod once;
mod schedule;
mod sheet;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::context::Remembered;
use super::deliver::{Attempt, End};
use super::facts::{Facts, Now};
use crate::config::Runbook;
use crate::config::runbook::{Action, Moment};
use crate::journal::{ActionRecord, ActionResult, Doing, OccasionRecord};
use schedule::{BACK_OFFS, due_at, next_attempt, next_occurrence, occurrence_at};
use sheet::{Entry, Sheet};
pub(crate) use sheet::{key, plain};

/// What is to be done, with what has been done of the releases that it is about.
#[derive(Debug)]
pub struct Outbox {
    runbook: Arc<Runbook>,
    /// By epoch.
    sheets: BTreeMap<u32, Sheet>,
    /// Kept until the next [`Outbox::changes`].
    changes: Changes,
}

/// What the journal has to know, and everybody is told.
#[derive(Debug, Default)]
pub struct Changes {
    pub doing: Doing,
    /// The actions that have ended.
    pub ended: Vec<ActionRecord>,
}

/// One attempt that is to be made.
#[derive(Clone, Debug)]
pub struct Order {
    pub epoch: u32,
    pub number: u32,
    pub action: Arc<Action>,
    pub runbook: Arc<Runbook>,
    pub facts: Facts,
    pub now: Now,
    pub earlier: Vec<Remembered>,
}

/// What tells an action from the others.
#[derive(Clone, Copy)]
enum Keyed {
    ByOccasion,
    /// The moment comes once in it.
    ByRelease,
}

/// Actions of one release, those that come again among them. What is beyond is told and not done.
const MOST_OF_RELEASE: usize = 1_000;

/// Releases that something is still to be done about, at a time; the oldest give way.
const MOST_RELEASES: usize = 64;

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.doing == Doing::default()
    }
}

impl Outbox {
    pub fn new(runbook: Arc<Runbook>, occasions: Vec<OccasionRecord>, actions: Vec<ActionRecord>) -> Outbox {
        let mut sheets: BTreeMap<u32, Sheet> = BTreeMap::new();
        for occasion in occasions {
            sheets.entry(occasion.epoch).or_default().occasions.push(occasion);
        }
        for record in actions {
            sheets.entry(record.epoch).or_default().entries.push(Entry { record, under_way: false });
        }
        Outbox { runbook, sheets, changes: Changes::default() }
    }

    /// The runbook from here on.
    pub fn follow(&mut self, runbook: Arc<Runbook>) {
        self.runbook = runbook;
    }

    pub fn runbook(&self) -> &Arc<Runbook> {
        &self.runbook
    }

    /// A moment of a release has come.
    pub fn happen(&mut self, facts: &Facts, now: Timestamp) {
        let actions = self.runbook.at(facts.moment).cloned().collect();
        self.enter(facts, actions, Keyed::ByOccasion, now);
    }

    /// As [`Outbox::happen`], of the actions with these names alone.
    pub fn happen_only(&mut self, facts: &Facts, names: &[String], now: Timestamp) {
        let named = |action: &&Arc<Action>| names.contains(&action.name);
        let actions = self.runbook.at(facts.moment).filter(named).cloned().collect();
        self.enter(facts, actions, Keyed::ByOccasion, now);
    }

    fn enter(&mut self, facts: &Facts, actions: Vec<Arc<Action>>, keyed: Keyed, now: Timestamp) {
        let (epoch, moment) = (facts.epoch, facts.moment);
        if moment == Moment::Recovered {
            self.resolve(epoch);
        }
        if actions.is_empty() {
            return;
        }
        while self.sheets.len() >= MOST_RELEASES && !self.sheets.contains_key(&epoch) {
            let Some(oldest) = self.sheets.keys().next().copied() else { break };
            self.give_up(oldest, now);
        }
        // Of those before it only what is to be done matters.
        self.sheets.retain(|of, sheet| *of == epoch || !sheet.occasions.is_empty());
        let sheet = self.sheets.entry(epoch).or_default();
        if sheet.entries.len() > MOST_OF_RELEASE {
            return;
        }
        let number = sheet.next_occasion();
        let occasion = OccasionRecord {
            epoch,
            number,
            facts: serde_json::to_value(facts).expect("facts are plain data"),
            resolved: !moment.lasts(),
        };
        self.changes.doing.occasions.push(occasion.clone());
        sheet.occasions.push(occasion);
        for action in actions {
            let due = due_at(action.after, facts.at);
            let key = match keyed {
                Keyed::ByOccasion => sheet::key(&action.name, facts, number),
                Keyed::ByRelease => sheet::key_of_release(&action.name, facts),
            };
            let place = sheet::Place { occasion: number, occurrence: 0 };
            let record = sheet.enter(&action, facts, place, &key, due).record.clone();
            let (number, is_beyond) = (record.number, sheet.entries.len() > MOST_OF_RELEASE);
            self.changes.doing.actions.push(record);
            if is_beyond {
                let why = format!("the release has had {MOST_OF_RELEASE} actions; this and all others are left out");
                self.end(epoch, number, ActionResult::Failed, why, BTreeMap::new(), now);
                break;
            }
        }
    }

    /// What began and lasts has ended where the release of `epoch` is in this state.
    pub fn observe(&mut self, epoch: u32, state: &str) {
        let ended = |occasion: &OccasionRecord| {
            let moment = moment_of(occasion);
            occasion.epoch < epoch
                || match moment {
                    Some(Moment::Paused) => state != "paused",
                    Some(Moment::Started) => matches!(state, "idle" | "completed" | "rolledBack"),
                    _ => false,
                }
        };
        for sheet in self.sheets.values_mut() {
            for occasion in sheet.occasions.iter_mut().filter(|occasion| !occasion.resolved) {
                if ended(occasion) {
                    occasion.resolved = true;
                    self.changes.doing.occasions.push(occasion.clone());
                }
            }
        }
    }

    /// Nothing of a rollback is left to be told of.
    fn resolve(&mut self, epoch: u32) {
        for occasion in self.sheets.get_mut(&epoch).into_iter().flat_map(|sheet| &mut sheet.occasions) {
            if !occasion.resolved {
                occasion.resolved = true;
                self.changes.doing.occasions.push(occasion.clone());
            }
        }
    }

    /// What is to be carried out as of now, at most so much. Each has to end with [`Outbox::ended`] or
    /// [`Outbox::interrupted`].
    pub fn due(&mut self, room: usize, now: Timestamp) -> Vec<Order> {
        let mut orders = Vec::new();
        let epochs: Vec<u32> = self.sheets.keys().copied().collect();
        for epoch in epochs {
            let mut at = 0;
            while orders.len() < room {
                let Some(index) = self.sheets[&epoch].next_due(at, now) else { break };
                at = index + 1;
                orders.extend(self.order(epoch, index, now));
            }
        }
        orders
    }

    /// None where it is left out, or has to wait for others.
    fn order(&mut self, epoch: u32, index: usize, now: Timestamp) -> Option<Order> {
        let sheet = &self.sheets[&epoch];
        let record = &sheet.entries[index].record;
        let (number, comes_again) = (record.number, record.occurrence);
        let found = self.runbook.action(&record.name).filter(|action| {
            self.runbook.at(moment_named(&record.moment)).any(|of_moment| Arc::ptr_eq(of_moment, action))
        });
        let Some(action) = found.cloned() else {
            let why = "the configuration has no such action any more".to_owned();
            self.end(epoch, number, ActionResult::Failed, why, BTreeMap::new(), now);
            return None;
        };
        let occasion = sheet.occasions.iter().find(|occasion| occasion.number == record.occasion);
        let facts = occasion.and_then(|occasion| serde_json::from_value::<Facts>(occasion.facts.clone()).ok());
        let (Some(occasion), Some(facts)) = (occasion, facts) else {
            let why = "what it was about is not in the journal".to_owned();
            self.end(epoch, number, ActionResult::Failed, why, BTreeMap::new(), now);
            return None;
        };
        if occasion.resolved && action.every.is_some() {
            let why = "what it was an update of has ended".to_owned();
            self.end(epoch, number, ActionResult::Skipped, why, BTreeMap::new(), now);
            return None;
        }
        match sheet.before(index, &self.runbook, &action) {
            sheet::Before::Done => {}
            sheet::Before::Pending => return None,
            sheet::Before::Failed(name) => {
                let why = format!("`{name}` has failed before it");
                self.end(epoch, number, ActionResult::Skipped, why, BTreeMap::new(), now);
                return None;
            }
        }
        // What it is due at moves with each attempt, and what it says does not.
        let since = occurrence_at(&action, facts.at, record.occurrence).duration_since(facts.at);
        let told = Now {
            key: record.key.clone(),
            occurrence: comes_again,
            minutes: since.as_secs().div_euclid(60).max(0),
            resolved: occasion.resolved,
            test: false,
        };
        let order = Order {
            epoch,
            number,
            action,
            runbook: Arc::clone(&self.runbook),
            facts,
            now: told,
            earlier: sheet.remembered(),
        };
        self.sheets.get_mut(&epoch)?.entries[index].under_way = true;
        Some(order)
    }

    /// An attempt has ended.
    pub fn ended(&mut self, epoch: u32, number: u32, attempt: Attempt, now: Timestamp) {
        let Some(entry) = self.sheets.get_mut(&epoch).and_then(|sheet| sheet.entry_mut(number)) else { return };
        entry.under_way = false;
        entry.record.attempts += 1;
        let attempts = entry.record.attempts;
        let retries = self.runbook.action(&entry.record.name).map_or(0, |action| action.retries);
        match attempt.end {
            End::Delivered { sentence, remembered } => {
                self.end(epoch, number, ActionResult::Done, sentence, remembered, now);
            }
            End::Task { sentence } => self.end(epoch, number, ActionResult::Task, sentence, BTreeMap::new(), now),
            End::Skipped { why } => self.end(epoch, number, ActionResult::Skipped, why, BTreeMap::new(), now),
            End::Failed { why } => self.end(epoch, number, ActionResult::Failed, why, BTreeMap::new(), now),
            End::Retry { why, .. } if attempts > retries || attempts > BACK_OFFS => {
                let why = if attempts > 1 { format!("{why}; given up after {attempts} attempts") } else { why };
                self.end(epoch, number, ActionResult::Failed, why, BTreeMap::new(), now);
            }
            End::Retry { why, after } => {
                entry.record.sentence = why;
                entry.record.due = next_attempt(&entry.record.key, attempts, after, now);
                self.changes.doing.actions.push(entry.record.clone());
            }
        }
    }

    /// An attempt was broken off by this process, and is made again.
    pub fn interrupted(&mut self, epoch: u32, number: u32) {
        if let Some(entry) = self.sheets.get_mut(&epoch).and_then(|sheet| sheet.entry_mut(number)) {
            entry.under_way = false;
        }
    }

    fn end(
        &mut self,
        epoch: u32,
        number: u32,
        result: ActionResult,
        sentence: String,
        remembered: BTreeMap<String, String>,
        now: Timestamp,
    ) {
        let Some(sheet) = self.sheets.get_mut(&epoch) else { return };
        let Some(entry) = sheet.entry_mut(number) else { return };
        entry.under_way = false;
        let record = &mut entry.record;
        *record = ActionRecord { result, sentence, remembered, at: Some(now), ..record.clone() };
        let record = record.clone();
        self.changes.doing.actions.push(record.clone());
        self.come_again(&record, now);
        self.changes.ended.push(record.clone());
        self.pass(epoch, record.occasion);
    }

    /// Enters the next of those that come again.
    fn come_again(&mut self, record: &ActionRecord, now: Timestamp) {
        let Some(action) = self.runbook.action(&record.name).cloned() else { return };
        let Some(every) = action.every else { return };
        let Some(sheet) = self.sheets.get_mut(&record.epoch) else { return };
        let occasion = sheet.occasions.iter().find(|occasion| occasion.number == record.occasion);
        let Some(occasion) = occasion.filter(|occasion| !occasion.resolved) else { return };
        let Ok(facts) = serde_json::from_value::<Facts>(occasion.facts.clone()) else { return };
        let first = due_at(action.after, facts.at);
        let next = next_occurrence(first, every, record.occurrence, now);
        if let Some((occurrence, due)) = next.filter(|_| sheet.entries.len() < MOST_OF_RELEASE) {
            let place = sheet::Place { occasion: record.occasion, occurrence };
            let key = record.key.rsplit_once(':').map_or(record.key.as_str(), |(key, _)| key);
            let entry = sheet.enter(&action, &facts, place, key, due);
            self.changes.doing.actions.push(entry.record.clone());
        }
    }

    /// Forgets a moment that everything has been done about.
    fn pass(&mut self, epoch: u32, occasion: u32) {
        let newest = self.sheets.keys().next_back().copied();
        let Some(sheet) = self.sheets.get_mut(&epoch) else { return };
        if sheet.pending().any(|entry| entry.record.occasion == occasion) {
            return;
        }
        sheet.occasions.retain(|known| known.number != occasion);
        self.changes.doing.passed.push((epoch, occasion));
        if sheet.occasions.is_empty() && newest != Some(epoch) {
            self.sheets.remove(&epoch);
        }
    }

    fn give_up(&mut self, epoch: u32, now: Timestamp) {
        let pending: Vec<u32> =
            self.sheets.get(&epoch).into_iter().flat_map(Sheet::pending).map(|entry| entry.record.number).collect();
        for number in pending {
            let why = "too many releases have something to be done about them".to_owned();
            self.end(epoch, number, ActionResult::Failed, why, BTreeMap::new(), now);
        }
        self.sheets.remove(&epoch);
    }

    /// What has changed since this was last asked.
    pub fn changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// All of it, for a journal that may have missed some.
    pub fn all(&self) -> Doing {
        let occasions = self.sheets.values().flat_map(|sheet| sheet.occasions.iter().cloned()).collect();
        Doing { actions: self.records().cloned().collect(), occasions, passed: Vec::new() }
    }

    /// Whether attempts are under way.
    pub fn is_busy(&self) -> bool {
        self.sheets.values().flat_map(|sheet| &sheet.entries).any(|entry| entry.under_way)
    }

    /// Of the newest release, and of those before it that something is to be done about.
    pub fn records(&self) -> impl Iterator<Item = &ActionRecord> {
        self.sheets.values().flat_map(|sheet| &sheet.entries).map(|entry| &entry.record)
    }
}

fn moment_named(name: &str) -> Moment {
    Moment::named(name).unwrap_or(Moment::First)
}

fn moment_of(occasion: &OccasionRecord) -> Option<Moment> {
    Moment::named(occasion.facts.get("moment")?.as_str()?)
}

#[cfg(test)]
mod tests;
