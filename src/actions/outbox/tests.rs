//! Everything here is played by hand: no action is carried out.

use std::path::Path;

use jiff::SignedDuration;

use super::*;
use crate::actions::Said;
use crate::config::{self, Environment};

const REST: &str = r#"
listen: 127.0.0.1:0
admin: { listen: 127.0.0.1:0 }
blue: { version: v1, endpoints: ["127.0.0.1:9001"] }
green: { version: v2, endpoints: ["127.0.0.1:9002"] }
runbook:
"#;

struct Played {
    outbox: Outbox,
    /// As the journal has it.
    occasions: BTreeMap<(u32, u32), OccasionRecord>,
    actions: BTreeMap<(u32, u32), ActionRecord>,
    now: Timestamp,
}

impl Played {
    fn by(runbook: &str) -> Played {
        let config = config::parse(&format!("{REST}{runbook}"), "test", Path::new(""), &Environment::default());
        let runbook = config.unwrap_or_else(|faults| panic!("{faults}")).runbook;
        let now = "2026-01-31T13:14:15Z".parse().expect("a time");
        let outbox = Outbox::new(runbook, vec![], vec![]);
        Played { outbox, occasions: BTreeMap::new(), actions: BTreeMap::new(), now }
    }

    fn happen(&mut self, moment: Moment, epoch: u32) {
        let facts = Facts { epoch, at: self.now, ..Facts::sample(moment, "checkout", "v1", "v2") };
        self.outbox.happen(&facts, self.now);
        self.write();
    }

    fn after(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// The names of what is to be carried out as of now.
    fn due(&mut self) -> Vec<String> {
        let orders = self.outbox.due(usize::MAX, self.now);
        self.write();
        orders.into_iter().map(|order| order.action.name.clone()).collect()
    }

    fn end(&mut self, name: &str, end: End) {
        let record =
            self.actions.values().rev().find(|action| action.name == name && action.result == ActionResult::Pending);
        let (epoch, number) = record.map(|record| (record.epoch, record.number)).expect("it is pending");
        self.outbox.ended(epoch, number, Attempt { end, said: Said::Nothing }, self.now);
        self.write();
    }

    fn write(&mut self) {
        let Doing { actions, occasions, passed } = self.outbox.changes().doing;
        self.actions.extend(actions.into_iter().map(|action| ((action.epoch, action.number), action)));
        self.occasions.extend(occasions.into_iter().map(|occasion| ((occasion.epoch, occasion.number), occasion)));
        for key in passed {
            self.occasions.remove(&key);
        }
    }

    /// What a process does that finds the journal of this one.
    fn restart(self) -> Played {
        let runbook = Arc::clone(self.outbox.runbook());
        let (occasions, actions) =
            (self.occasions.values().cloned().collect(), self.actions.values().cloned().collect());
        Played { outbox: Outbox::new(runbook, occasions, actions), ..self }
    }

    fn results(&self) -> Vec<(&str, ActionResult)> {
        self.actions.values().map(|action| (action.name.as_str(), action.result)).collect()
    }
}

fn done() -> End {
    End::Delivered { sentence: "done".to_owned(), remembered: BTreeMap::new() }
}

fn retry() -> End {
    End::Retry { why: "busy".to_owned(), after: None }
}

const TWO: &str =
    "  rolledBack:\n  - { name: a, manual: { text: a } }\n  - { name: b, after: 5m, manual: { text: b } }\n";

#[test]
fn what_is_due_is_handed_out_once_and_the_rest_when_its_time_has_come() {
    let mut played = Played::by(TWO);
    played.happen(Moment::RolledBack, 1);
    assert_eq!((played.due(), played.due()), (vec!["a".to_owned()], vec![]));
    played.after(299);
    assert_eq!(played.due(), [""; 0]);
    played.after(1);
    assert_eq!(played.due(), ["b"]);
}

#[test]
fn a_restart_goes_on_with_what_is_pending_by_the_same_keys_and_with_nothing_else() {
    let mut played = Played::by(TWO);
    played.happen(Moment::RolledBack, 1);
    played.due();
    let key = played.actions[&(1, 0)].key.clone();
    let mut played = played.restart();
    assert_eq!(played.due(), ["a"]);
    assert_eq!(played.actions[&(1, 0)].key, key);
    played.end("a", done());
    let mut played = played.restart();
    assert_eq!(played.due(), [""; 0]);
    played.after(300);
    assert_eq!(played.due(), ["b"]);
    played.end("b", done());
    assert!(played.occasions.is_empty(), "nothing is left to be done");
    let mut played = played.restart();
    played.happen(Moment::RolledBack, 1);
    let numbers: Vec<u32> = played.actions.keys().map(|(_, number)| *number).collect();
    assert_eq!(numbers, [0, 1, 2, 3], "what has been done is not written over");
}

#[test]
fn attempts_are_bounded_and_each_waits_for_its_time() {
    let mut played = Played::by("  rolledBack:\n  - { name: a, retries: 2, manual: { text: a } }\n");
    played.happen(Moment::RolledBack, 1);
    for attempts in 1..=2 {
        assert_eq!(played.due(), ["a"]);
        played.end("a", retry());
        assert_eq!(played.due(), [""; 0], "attempt {attempts} has only just failed");
        played.after(10);
    }
    assert_eq!(played.due(), ["a"]);
    played.end("a", retry());
    assert_eq!(played.results(), [("a", ActionResult::Failed)]);
    assert_eq!(played.actions[&(1, 0)].sentence, "busy; given up after 3 attempts");
}

#[test]
fn those_behind_an_action_that_stops_wait_for_it_over_all_its_attempts() {
    let mut played = Played::by(
        "  rolledBack:\n  - { name: a, onFailure: stop, manual: { text: a } }\n  - { name: b, manual: { text: b } }\n",
    );
    played.happen(Moment::RolledBack, 1);
    assert_eq!(played.due(), ["a"]);
    played.end("a", retry());
    assert_eq!(played.due(), [""; 0]);
    played.after(10);
    assert_eq!(played.due(), ["a"]);
    played.end("a", done());
    assert_eq!(played.due(), ["b"]);
}

#[test]
fn an_action_waits_for_the_one_whose_answer_it_names_and_sees_it() {
    let mut played = Played::by(
        "  rolledBack:\n  - { name: ticket, manual: { text: a } }\n  - { name: chat, manual: { text: \"{{ actions.ticket.key }}\" } }\n",
    );
    played.happen(Moment::RolledBack, 1);
    assert_eq!(played.due(), ["ticket"]);
    let remembered = BTreeMap::from([("key".to_owned(), "SHOP-1".to_owned())]);
    played.end("ticket", End::Delivered { sentence: String::new(), remembered });
    let orders = played.outbox.due(usize::MAX, played.now);
    assert_eq!(orders[0].earlier[0].values["key"], "SHOP-1");
}

#[test]
fn updates_end_with_what_they_are_about_or_with_their_number() {
    let runbook = "  rolledBack:\n  - { name: update, every: 15m, atMost: 3, manual: { text: a } }\n";
    let mut played = Played::by(runbook);
    played.happen(Moment::RolledBack, 1);
    for _ in 0..3 {
        assert_eq!(played.due(), ["update"]);
        played.end("update", done());
        played.after(900);
    }
    assert_eq!(played.due(), [""; 0]);
    assert!(played.occasions.is_empty());

    let mut played = Played::by(runbook);
    played.happen(Moment::RolledBack, 1);
    played.due();
    played.end("update", done());
    played.outbox.observe(2, "stepping");
    played.after(900);
    assert_eq!(played.due(), [""; 0]);
    assert_eq!(played.results(), [("update", ActionResult::Done), ("update", ActionResult::Skipped)]);

    let mut played = Played::by(runbook);
    played.happen(Moment::RolledBack, 1);
    played.happen(Moment::Recovered, 1);
    played.due();
    assert_eq!(played.results(), [("update", ActionResult::Skipped)], "blue is well");
}

#[test]
fn a_release_without_end_is_bounded_and_so_are_releases_that_wait_for_something() {
    let mut played = Played::by("  paused:\n  - { name: a, after: 1h, manual: { text: a } }\n");
    for _ in 0..MOST_OF_RELEASE + 5 {
        played.happen(Moment::Paused, 1);
    }
    let failed = played.actions.values().filter(|action| action.result == ActionResult::Failed).count();
    assert_eq!((failed, played.actions.len()), (1, MOST_OF_RELEASE + 1));
    let mut played = Played::by("  rolledBack:\n  - { name: a, after: 1h, manual: { text: a } }\n");
    for epoch in 1..=u32::try_from(MOST_RELEASES).expect("few") + 1 {
        played.happen(Moment::RolledBack, epoch);
    }
    assert_eq!(played.actions[&(1, 0)].result, ActionResult::Failed);
    assert_eq!(played.outbox.records().count(), MOST_RELEASES);
}

#[test]
fn what_was_broken_off_is_done_again_at_once_and_counts_as_no_attempt() {
    let mut played = Played::by(TWO);
    played.happen(Moment::RolledBack, 1);
    assert_eq!(played.due(), ["a"]);
    assert!(played.outbox.is_busy());
    played.outbox.interrupted(1, 0);
    assert!(!played.outbox.is_busy());
    assert_eq!(played.due(), ["a"]);
    assert_eq!(played.actions[&(1, 0)].attempts, 0);
}

#[test]
fn what_several_processes_enter_is_entered_once_in_each_and_by_keys_that_all_make_alike() {
    let runbook = "  rolledBack:\n  - { name: page, manual: { text: a } }\n  - { name: undo, manual: { text: b } }\n";
    let facts = |at: &str| {
        let facts = Facts::sample(Moment::RolledBack, "checkout", "v1", "v2");
        Facts { at: at.parse().expect("a time"), ..facts }
    };
    let (here, there) = (facts("2026-01-31T13:14:15Z"), facts("2026-01-31T13:14:20Z"));
    let both = ["page".to_owned(), "undo".to_owned()];
    let mut played = Played::by(runbook);
    // Moments of before number the occasions otherwise.
    played.happen(Moment::Paused, 7);
    played.outbox.happen_once(&here, &both[..1], played.now);
    played.outbox.happen_once(&there, &both, played.now);
    played.outbox.happen_once(&there, &both, played.now);
    played.after(10);
    assert_eq!(played.due(), ["page", "undo"]);
    played.end("page", End::Delivered { sentence: String::new(), remembered: BTreeMap::new() });
    assert!(played.outbox.is_through(&there, "page"));
    assert!(!played.outbox.is_through(&there, "undo"));
    assert!(played.outbox.is_through(&there, "gone"), "the runbook has no such action any more");

    let mut other = Played::by(runbook);
    other.outbox.happen_once(&there, &both, other.now);
    let keys = |played: &Played| -> Vec<String> { played.outbox.records().map(|record| record.key.clone()).collect() };
    assert_eq!(keys(&played), keys(&other));
    // The resource was made anew, and counts its releases from 1 once more.
    let anew = Facts { started: "2026-02-28T13:00:00Z".parse().expect("a time"), ..there };
    assert!(!other.outbox.is_through(&anew, "page"));
    other.outbox.happen_once(&anew, &both, other.now);
    assert_eq!(other.outbox.records().count(), 4);
}

#[test]
fn an_attempt_knows_how_long_after_the_moment_it_was_due_and_whether_that_has_ended() {
    let runbook = "  promoted:\n  - { name: p, manual: { text: p } }\n";
    let mut played = Played::by(&format!("{TWO}{runbook}"));
    played.happen(Moment::RolledBack, 1);
    played.due();
    let told = |played: &mut Played| {
        let orders = played.outbox.due(usize::MAX, played.now);
        let [Order { now, .. }] = &orders[..] else { panic!("{orders:?}") };
        (now.minutes, now.resolved)
    };
    played.after(305);
    assert_eq!(told(&mut played), (5, false));
    played.end("b", retry());
    played.happen(Moment::Recovered, 1);
    played.after(600);
    assert_eq!(told(&mut played), (5, true), "blue is well");
    played.end("b", retry());
    played.after(600);
    assert_eq!(told(&mut played), (5, true), "the same in every attempt");
    let mut played = Played::by(runbook);
    played.happen(Moment::Promoted, 1);
    assert_eq!(told(&mut played), (0, true), "it does not last");
}

#[test]
fn an_update_comes_again_though_what_it_waited_for_at_first_has_failed() {
    let mut played = Played::by(
        "  rolledBack:\n  - { name: a, onFailure: stop, manual: { text: a } }\n  - { name: b, every: 15m, manual: { text: b } }\n",
    );
    played.happen(Moment::RolledBack, 1);
    assert_eq!(played.due(), ["a"]);
    played.end("a", End::Failed { why: "no".to_owned() });
    assert_eq!(played.due(), [""; 0]);
    played.after(900);
    assert_eq!(played.due(), ["b"]);
    assert_eq!(played.results()[1], ("b", ActionResult::Skipped));
}

#[test]
fn an_action_waits_for_no_answer_that_is_due_after_it() {
    let mut played = Played::by(
        "  rolledBack:\n  - { name: ticket, after: 1h, manual: { text: a } }\n  - { name: chat, manual: { text: \"{{ actions.ticket.result }}\" } }\n",
    );
    played.happen(Moment::RolledBack, 1);
    assert_eq!(played.due(), ["chat"]);
}

#[test]
fn after_a_restart_what_failed_of_one_moment_stops_nothing_of_the_next() {
    let runbook =
        "  paused:\n  - { name: a, onFailure: stop, manual: { text: a } }\n  - { name: b, manual: { text: b } }\n";
    let mut played = Played::by(runbook);
    played.happen(Moment::Paused, 1);
    played.due();
    played.end("a", End::Failed { why: "no".to_owned() });
    assert_eq!(played.due(), [""; 0]);
    let mut played = played.restart();
    played.happen(Moment::Paused, 1);
    assert_eq!(played.due(), ["a"]);
    played.end("a", done());
    assert_eq!(played.due(), ["b"]);
}

#[test]
fn an_action_that_a_reload_has_put_at_another_moment_is_not_carried_out_at_this_one() {
    let mut played = Played::by(TWO);
    played.happen(Moment::RolledBack, 1);
    let Played { outbox, .. } = Played::by(&TWO.replace("rolledBack", "promoted"));
    played.outbox.follow(Arc::clone(outbox.runbook()));
    assert_eq!(played.due(), [""; 0]);
    assert_eq!(played.results()[0], ("a", ActionResult::Failed));
}
