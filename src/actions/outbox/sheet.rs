//! The actions of one release.

use jiff::Timestamp;

use crate::actions::context::Remembered;
use crate::actions::facts::Facts;
use crate::config::Runbook;
use crate::config::runbook::{Action, OnFailure};
use crate::journal::{ActionRecord, ActionResult, OccasionRecord};

#[derive(Debug, Default)]
pub(super) struct Sheet {
    /// In the order of their numbers.
    pub(super) entries: Vec<Entry>,
    /// Those that not everything has been done about.
    pub(super) occasions: Vec<OccasionRecord>,
    next_occasion: u32,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: ActionRecord,
    /// An attempt of it is being made.
    pub(super) under_way: bool,
}

/// Of which moment it is, and which of those that come again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) occasion: u32,
    pub(super) occurrence: u32,
}

/// How those stand that an action waits for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Before<'s> {
    Done,
    Pending,
    /// It is not to be done, because of the one of this name.
    Failed(&'s str),
}

/// Of the parts of a key that people have named.
const MOST_OF_NAME: usize = 40;

impl Entry {
    fn is_pending(&self) -> bool {
        self.record.result == ActionResult::Pending
    }
}

impl Sheet {
    pub(super) fn next_occasion(&mut self) -> u32 {
        let of_entries = self.entries.iter().map(|entry| entry.record.occasion + 1).max().unwrap_or(0);
        let number = self.next_occasion.max(of_entries);
        self.next_occasion = number + 1;
        number
    }

    pub(super) fn enter(
        &mut self,
        action: &Action,
        facts: &Facts,
        Place { occasion, occurrence }: Place,
        key: &str,
        due: Timestamp,
    ) -> &Entry {
        let record = ActionRecord {
            epoch: facts.epoch,
            number: self.entries.last().map_or(0, |last| last.record.number + 1),
            occasion,
            key: format!("{key}:{occurrence}"),
            name: action.name.clone(),
            kind: action.kind.name().to_owned(),
            moment: facts.moment.name().to_owned(),
            occurrence,
            due,
            attempts: 0,
            result: ActionResult::Pending,
            at: None,
            sentence: String::new(),
            remembered: std::collections::BTreeMap::new(),
        };
        self.entries.push(Entry { record, under_way: false });
        self.entries.last().expect("one was pushed")
    }

    pub(super) fn entry_mut(&mut self, number: u32) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.record.number == number && entry.is_pending())
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.is_pending())
    }

    /// The place of the first from `from` on whose time has come.
    pub(super) fn next_due(&self, from: usize, now: Timestamp) -> Option<usize> {
        let is_due = |entry: &Entry| entry.is_pending() && !entry.under_way && entry.record.due <= now;
        (from..self.entries.len()).find(|index| is_due(&self.entries[*index]))
    }

    pub(super) fn before(&self, index: usize, runbook: &Runbook, action: &Action) -> Before<'_> {
        let own = &self.entries[index].record;
        for Entry { record, .. } in &self.entries[..index] {
            let of_occasion = record.occasion == own.occasion && record.occurrence == 0 && own.occurrence == 0;
            let stops =
                of_occasion && runbook.action(&record.name).is_some_and(|before| before.on_failure == OnFailure::Stop);
            let is_needed = action.needs.contains(&record.name);
            match record.result {
                ActionResult::Pending if stops || is_needed && record.due <= own.due => return Before::Pending,
                ActionResult::Failed if stops => return Before::Failed(&record.name),
                ActionResult::Pending
                | ActionResult::Done
                | ActionResult::Failed
                | ActionResult::Skipped
                | ActionResult::Task => {}
            }
        }
        Before::Done
    }

    /// What later actions may ask for.
    pub(super) fn remembered(&self) -> Vec<Remembered> {
        let ended = self.entries.iter().filter(|entry| !entry.is_pending());
        let remembered = |Entry { record, .. }: &Entry| Remembered {
            name: record.name.clone(),
            kind: record.kind.clone(),
            moment: super::moment_named(&record.moment),
            result: record.result.name().to_owned(),
            values: record.remembered.clone(),
        };
        ended.map(remembered).collect()
    }
}

/// Tells this action from every other there ever is, and goes into headers: without a journal epochs begin anew with each
/// process, so the time is part of it. Those that come again have their number behind it.
pub(crate) fn key(name: &str, facts: &Facts, occasion: u32) -> String {
    let (service, green, name) = (plain(&facts.service), plain(&facts.green), plain(name));
    let (epoch, moment, at) = (facts.epoch, facts.moment.name(), facts.at.as_millisecond());
    format!("{service}:{green}-{epoch}:{moment}-{occasion}:{at}:{name}")
}

/// Likewise, and the same wherever the moment is entered, which the release has once.
pub(super) fn key_of_release(name: &str, facts: &Facts) -> String {
    let (service, green, name) = (plain(&facts.service), plain(&facts.green), plain(name));
    let (epoch, moment, started) = (facts.epoch, facts.moment.name(), facts.started.as_millisecond());
    format!("{service}:{green}-{epoch}:{moment}:{started}:{name}")
}

/// As much of a name as a key has.
pub(crate) fn plain(name: &str) -> String {
    let letters = name.chars().take(MOST_OF_NAME);
    letters.map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' }).collect()
}
