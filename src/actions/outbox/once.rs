//! What several processes may enter, each for itself: they tell by its keys that it is the same.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Keyed, Outbox, sheet};
use crate::actions::facts::Facts;
use crate::config::runbook::Action;
use crate::journal::{ActionRecord, ActionResult};

impl Outbox {
    /// As [`Outbox::happen`], of a moment that every release has once at most and that several processes may enter: of these
    /// actions those that have not been. Whoever enters them, their keys are the same.
    pub fn happen_once(&mut self, facts: &Facts, names: &[String], now: Timestamp) {
        let is_new = |action: &&Arc<Action>| names.contains(&action.name) && !self.is_entered(facts, &action.name);
        let actions: Vec<Arc<Action>> = self.runbook.at(facts.moment).filter(is_new).cloned().collect();
        self.enter(facts, actions, Keyed::ByRelease, now);
    }

    /// Whether nothing is left to be done of an action that [`Outbox::happen_once`] has entered, or would.
    pub fn is_through(&self, facts: &Facts, name: &str) -> bool {
        if !self.runbook.at(facts.moment).any(|action| action.name == name) {
            return true;
        }
        let key = sheet::key_of_release(name, facts);
        let mut entered = self.of_key(facts.epoch, &key).peekable();
        entered.peek().is_some() && entered.all(|record| record.result != ActionResult::Pending)
    }

    fn is_entered(&self, facts: &Facts, name: &str) -> bool {
        self.of_key(facts.epoch, &sheet::key_of_release(name, facts)).next().is_some()
    }

    /// With all that come again.
    fn of_key(&self, epoch: u32, key: &str) -> impl Iterator<Item = &ActionRecord> {
        let records = self.sheets.get(&epoch).into_iter().flat_map(|sheet| &sheet.entries).map(|entry| &entry.record);
        records.filter(move |record| record.key.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))
    }
}
