use super::*;
use crate::course::Input;
use crate::gate::trigger::{Action, Cadence, Condition, Confirm, Rate, Share};
use crate::gate::{Health, Policy};
use crate::measure::shard::Sample;
use crate::release::{Epoch, Input as Ordered, State, Weight};

const SECOND: Duration = Duration::from_secs(1);

/// A release of half the traffic: 100 requests a second to each version, and a bound of 10 % in a window of 20 s, before
/// whose rollback a flag is turned off and five seconds are waited.
struct Played {
    course: Course,
    now: Duration,
}

fn meltdown() -> Trigger {
    let share = Share::try_from(0.1).expect("a share");
    Trigger {
        name: "meltdown".to_owned(),
        route: None,
        condition: Condition::FailuresAbove { share, written: Rate::Errors },
        window: 20 * SECOND,
        sustained: Duration::ZERO,
        minimum_requests: 50,
        cadence: Cadence::EveryTick,
        confirm: Confirm::No,
        action: Action::Rollback,
    }
}

impl Played {
    fn released() -> Played {
        let other = Trigger {
            name: "other".to_owned(),
            condition: Condition::FailuresAbove {
                share: Share::try_from(0.5).expect("a share"),
                written: Rate::Errors,
            },
            ..meltdown()
        };
        let first = First { trigger: "meltdown".to_owned(), run: vec!["flag-off".to_owned()], wait: 5 * SECOND };
        let policy = Policy { triggers: vec![meltdown(), other], first: vec![first], ..Policy::default() };
        let course = Course::new(policy, None, State::Idle { epoch: Epoch::default() }, Duration::ZERO);
        let mut played = Played { course, now: Duration::ZERO };
        let weight = Weight::from_percent(50.0).expect("a weight");
        played.take(Input::Operator(Ordered::SetWeight { weight, actor: "ann".to_owned(), reason: String::new() }));
        played
    }

    /// What is told and tried.
    fn take(&mut self, input: Input<'_>) -> Vec<String> {
        let told = |effect| match effect {
            Effect::Tell { kind, sentence, .. } => Some(format!("{}: {sentence}", kind.name())),
            Effect::Try { trigger } => Some(format!("try {trigger}")),
            _ => None,
        };
        let effects = self.course.take(input, self.now).expect("it is granted");
        effects.into_iter().filter_map(told).collect()
    }

    /// A second in which so many of green's requests fail.
    fn second(&mut self, failures: u64, requests: u64) -> Vec<String> {
        self.now += SECOND;
        let sample = |failures, requests| {
            let evidence = Evidence { requests, failures, ..Evidence::default() };
            Sample { evidence, ..Sample::default() }
        };
        let samples = ByVersion { blue: sample(0, 100), green: sample(failures, requests) };
        let counted = Tick { samples, ..Tick::default() };
        self.take(Input::Tick { counted: &counted, health: ByVersion::<Health>::default() })
    }

    fn seconds(&mut self, many: u32, failures: u64) -> Vec<String> {
        (0..many).flat_map(|_| self.second(failures, 100)).collect()
    }

    /// The flag has just been turned off.
    fn tried() -> Played {
        let mut played = Played::released();
        let told = played.second(20, 100);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0], "try meltdown");
        assert!(told[1].starts_with("trying: "), "{told:?}");
        assert!(
            told[1].ends_with("; `flag-off` is tried first, and if that has not helped in 5 s, green is rolled back")
        );
        played
    }

    fn state(&self) -> &'static str {
        self.course.state().name()
    }
}

#[test]
fn what_is_tried_first_waits_for_its_time_and_rolls_back_when_it_has_not_helped() {
    let mut played = Played::tried();
    assert_eq!(played.course.verdict().kind, verdict::Kind::Wait, "{:?}", played.course.verdict());
    assert_eq!(played.seconds(4, 20), [""; 0]);
    let told = played.seconds(1, 20);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("rolledBack: ") && told[0].ends_with("`flag-off` was tried 5 s before, and has not helped")
    );
    assert_eq!(played.state(), "rolledBack");
}

#[test]
fn what_has_helped_is_seen_on_what_came_since_and_green_stays() {
    let mut played = Played::tried();
    let told = played.seconds(5, 0);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("helped: `flag-off` has helped: since it was tried 5 s before, "), "{told:?}");
    assert_eq!(played.seconds(100, 0), [""; 0]);
    assert_eq!(played.state(), "stepping");
}

#[test]
fn what_is_bad_again_after_it_has_helped_is_rolled_back_at_once() {
    let mut played = Played::tried();
    played.seconds(5, 0);
    assert_eq!(played.seconds(60, 0), [""; 0]);
    let told = played.seconds(10, 40);
    assert!(told[0].starts_with("rolledBack: "), "{told:?}");
}

#[test]
fn promise_3_too_few_requests_are_no_help() {
    let mut played = Played::tried();
    let told: Vec<String> = (0..5).flat_map(|_| played.second(0, 9)).collect();
    let sentence =
        "`flag-off` was tried 5 s before, and green had 45 requests since, too few to say that it has helped";
    assert_eq!(told, [format!("rolledBack: {sentence}")]);
}

#[test]
fn promise_1_another_trigger_waits_for_nothing_that_is_tried() {
    let mut played = Played::tried();
    let told = played.second(99, 100);
    assert!(told[0].starts_with("rolledBack: "), "{told:?}");
}

#[test]
fn a_new_release_may_try_it_again() {
    let mut played = Played::tried();
    played.seconds(5, 20);
    played.take(Input::Operator(Ordered::Start { actor: "ann".to_owned(), reason: String::new() }));
    let weight = Weight::from_percent(50.0).expect("a weight");
    played.take(Input::Operator(Ordered::SetWeight { weight, actor: "ann".to_owned(), reason: String::new() }));
    assert_eq!(played.second(20, 100)[0], "try meltdown");
}
