//! What is done about a rollback where there are several replicas: by one of them where that is possible, and in every case by
//! one at least.
//!
//! Whoever gets a latch written sees to its actions, and the leader sees to those of a replica that is gone; `kubernetes` finds
//! out whose they are. A replica that cannot write its latch tells people without waiting for that.

use jiff::Timestamp;

use super::Control;
use super::event::Event;
use super::together::{Acted, Owed};
use crate::config::runbook::Moment;
use crate::release::{Kind, State};

/// What people are told beside the reason.
const ALONE: &str = "the others may go on: this replica has not been able to write it down for them so far";

impl Control {
    /// With every tick.
    pub(super) fn see_to_actions(&mut self) {
        let Some(among) = self.inputs.together.others() else { return };
        if among.has_waited_long_to_write() {
            self.tell_alone();
        }
        self.do_what_is_left();
    }

    /// Tells of a rollback of its own that nobody else knows of. What changes something waits: the others may still have traffic
    /// on what it would change.
    pub(super) fn tell_alone(&mut self) {
        let Some(among) = self.inputs.together.others_mut() else { return };
        if among.unwritten.take().is_none() {
            return;
        }
        let Some(event) = among.to_act_on.iter().find(|event| event.kind == Kind::RolledBack).cloned() else { return };
        tracing::warn!("a rollback of this replica is not written: people are told all the same");
        let event = Event { sentence: format!("{}; {ALONE}", event.sentence), ..event };
        let facts = self.facts(Moment::RolledBack, &event);
        let told = self.deeds.outbox.runbook().telling_at(Moment::RolledBack);
        self.deeds.outbox.happen_once(&facts, &told, Timestamp::now());
        self.keep_deeds();
    }

    /// What is left to be done about the rollback that the resource has, as far as it is this replica's.
    fn do_what_is_left(&mut self) {
        let Some(event) = self.rollback_event() else { return };
        let epoch = event.epoch.number();
        let owed = self.inputs.together.others().and_then(|among| among.owed.clone());
        let Some(Owed { left, .. }) = owed.filter(|owed| owed.epoch == epoch && !owed.left.is_empty()) else { return };
        let facts = self.facts(Moment::RolledBack, &event);
        self.deeds.outbox.happen_once(&facts, &left, Timestamp::now());
        let done = left.into_iter().filter(|name| self.deeds.outbox.is_through(&facts, name)).collect();
        let acted = Acted { epoch, done };
        if let Some(among) = self.inputs.together.others() {
            among.acted.send_if_modified(|known| {
                let is_news = *known != acted;
                *known = acted;
                is_news
            });
        }
        self.keep_deeds();
    }

    /// The rollback, as whoever decided it has told it.
    fn rollback_event(&self) -> Option<Event> {
        let state @ State::RolledBack { cause, .. } = self.course.state() else { return None };
        let event = Event::new(Kind::RolledBack, cause.actor.clone(), cause.reason.clone(), state);
        let at = self.rollback.as_ref().map_or(event.at, |rollback| rollback.at);
        Some(Event { at, ..event })
    }
}
