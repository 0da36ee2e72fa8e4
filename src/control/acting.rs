//! What is done about a rollback where there are several replicas: by one of them where that is possible, and in every case by
//! one at least.
//!
//! Whoever gets a latch written sees to its actions, and the leader sees to those of a replica that is gone; `kubernetes` finds
//! out whose they are. A replica that cannot write its latch tells people without waiting for that.

use jiff::Timestamp;

use super::Control;
use super::event::Event;
use super::together::{Acted, Owed};
use crate::config::Runbook;
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
        let at = self.rollback.as_ref().map(|rollback| rollback.at);
        let Some(event) = rollback_event(self.course.state(), at) else { return };
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
}

/// What is to be done about a latch, by name: nothing about one that a newer green has brought.
pub(super) fn to_do(state: &State, runbook: &Runbook) -> Vec<String> {
    if state.is_found_bad() { runbook.names_at(Moment::RolledBack) } else { Vec::new() }
}

/// The rollback, as whoever decided it has told it; none where nobody has to hear of it.
fn rollback_event(state: &State, at: Option<Timestamp>) -> Option<Event> {
    let State::RolledBack { cause, .. } = state else { return None };
    let event = Event::new(Kind::RolledBack, cause.actor.clone(), cause.reason.clone(), state);
    state.is_found_bad().then(|| Event { at: at.unwrap_or(event.at), ..event })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Environment};
    use crate::release::input::{GATE, SUPERSEDED};
    use crate::release::{Cause, Epoch};

    #[test]
    fn nobody_owes_anything_for_a_release_that_a_newer_green_has_ended() {
        let text = r#"
listen: 127.0.0.1:0
admin: { listen: 127.0.0.1:0 }
blue: { version: v1, endpoints: ["127.0.0.1:9001"] }
green: { version: v2, endpoints: ["127.0.0.1:9002"] }
runbook: { rolledBack: [{ name: page, manual: { text: a } }] }
"#;
        let config = config::parse(text, "test", Path::new(""), &Environment::default());
        let runbook = config.unwrap_or_else(|faults| panic!("{faults}")).runbook;
        let check = |trigger: &str, owed: &[&str]| {
            let cause = Cause { trigger: trigger.to_owned(), reason: "a test".to_owned(), actor: "alice".to_owned() };
            let state = State::RolledBack { epoch: Epoch::from(7), cause };
            assert_eq!(to_do(&state, &runbook), owed, "{trigger}");
            let at: Timestamp = "2026-01-31T13:14:15Z".parse().expect("a time");
            let told = rollback_event(&state, Some(at)).map(|event| (event.at, event.epoch.number(), event.sentence));
            assert_eq!(told, (!owed.is_empty()).then(|| (at, 7, "a test".to_owned())), "{trigger}");
        };
        check("meltdown", &["page"]);
        check(GATE, &["page"]);
        check(SUPERSEDED, &[]);
        assert_eq!(rollback_event(&State::Idle { epoch: Epoch::from(7) }, None).map(|event| event.kind), None);
    }
}
