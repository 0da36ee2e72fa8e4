use super::*;
use crate::course::Input;
use crate::gate::{Evidence, Policy};
use crate::measure::shard::Sample;
use crate::release::{Cause, Epoch, Input as Ordered};

const SECOND: Duration = Duration::from_secs(1);
const WATCH: Duration = Duration::from_secs(600);

/// A release of half the traffic, of 100 requests a second to blue.
struct Played {
    course: Course,
    now: Duration,
}

impl Played {
    fn released(watch: Duration) -> Played {
        let policy = Policy { watch, ..Policy::default() };
        let course = Course::new(policy, None, State::Idle { epoch: Epoch::default() }, Duration::ZERO);
        let mut played = Played { course, now: Duration::ZERO };
        assert_eq!(played.blue_fails(0, 100), [""; 0]);
        let weight = Weight::from_percent(50.0).expect("a weight");
        let (actor, reason) = ("ann".to_owned(), String::new());
        played.take(Input::Operator(Ordered::SetWeight { weight, actor, reason }));
        let bad = played.tick(0, Evidence { requests: 100, failures: 9, ..Evidence::default() });
        assert_eq!(bad, [""; 0]);
        played
    }

    fn rolled_back(watch: Duration) -> Played {
        let mut played = Played::released(watch);
        played.roll_back();
        played
    }

    fn roll_back(&mut self) {
        let (actor, reason) = ("ann".to_owned(), "bad".to_owned());
        let acknowledged = crate::release::Acknowledged::No;
        self.take(Input::Operator(Ordered::Withdraw { actor, reason, acknowledged }));
    }

    /// What is told of it.
    fn take(&mut self, input: Input<'_>) -> Vec<String> {
        let told = |effect| match effect {
            Effect::Tell { kind, sentence, .. } => Some(format!("{}: {sentence}", kind.name())),
            _ => None,
        };
        let effects = self.course.take(input, self.now).expect("it is granted");
        effects.into_iter().filter_map(told).collect()
    }

    /// A second in which blue fails so many of 100 requests.
    fn tick(&mut self, failures: u64, green: Evidence) -> Vec<String> {
        self.counted(Evidence { requests: 100, failures, ..Evidence::default() }, green)
    }

    fn counted(&mut self, blue: Evidence, green: Evidence) -> Vec<String> {
        self.now += SECOND;
        let sample = |evidence| Sample { evidence, ..Sample::default() };
        let samples = ByVersion { blue: sample(blue), green: sample(green) };
        let counted = Tick { samples, ..Tick::default() };
        self.take(Input::Tick { counted: &counted, health: ByVersion::default() })
    }

    /// So many seconds like it.
    fn blue_fails(&mut self, failures: u64, seconds: u32) -> Vec<String> {
        (0..seconds).flat_map(|_| self.tick(failures, Evidence::default())).collect()
    }

    fn finding(&self) -> Option<Finding> {
        self.course.watch().map(|watch| watch.finding)
    }
}

const THEN: &str = "0.0 % in the ten minutes before the rollback; green failed 9.0 % in the minute before it";

#[test]
fn a_blue_that_does_as_before_has_recovered_when_its_watch_is_over() {
    let mut played = Played::rolled_back(WATCH);
    assert_eq!(played.blue_fails(0, 599), [""; 0]);
    assert_eq!(played.finding(), Some(Finding::Open));
    let told = "recovered: the rollback has helped: in the 10 min after it blue failed 0 of 60,000 requests (0.0 %)";
    assert_eq!(played.blue_fails(0, 1), [format!("{told}, {THEN}")]);
    assert_eq!(played.blue_fails(50, 1_000), [""; 0], "it is over");
}

#[test]
fn a_blue_that_is_bad_as_well_is_told_once_and_after_a_minute() {
    let mut played = Played::rolled_back(WATCH);
    assert_eq!(played.blue_fails(8, 60), [""; 0]);
    let bad = "in the last minute it failed 488 of 6,100 requests (8.0 %)";
    let told = format!("notRecovered: the rollback has not helped, blue is bad as well: {bad}, {THEN}");
    assert_eq!(played.blue_fails(8, 1), [told]);
    assert_eq!(played.finding(), Some(Finding::Bad));
    assert_eq!(played.blue_fails(8, 539), [""; 0]);
    assert_eq!(played.finding(), Some(Finding::NotRecovered));
}

#[test]
fn a_watch_of_less_than_a_minute_looks_at_all_of_it_and_at_nothing_before_the_rollback() {
    let short = Duration::from_secs(5);
    let mut played = Played::released(short);
    assert_eq!(played.blue_fails(30, 1), [""; 0]);
    played.roll_back();
    assert_eq!(played.blue_fails(0, 5), [""; 0]);
    assert!(played.blue_fails(0, 1)[0].starts_with("recovered: "), "what was before the rollback is not in it");
    let mut played = Played::rolled_back(short);
    assert_eq!(played.blue_fails(8, 5), [""; 0]);
    let told = played.blue_fails(8, 1);
    let bad = "notRecovered: the rollback has not helped, blue is bad as well: in the last 5 s it failed ";
    assert!(told.len() == 1 && told[0].starts_with(bad), "{told:?}");
    assert_eq!(played.finding(), Some(Finding::NotRecovered));
}

#[test]
fn a_blue_that_was_bad_may_recover() {
    let mut played = Played::rolled_back(WATCH);
    assert_eq!(played.blue_fails(8, 100).len(), 1);
    let told = played.blue_fails(0, 500);
    assert!(told[0].starts_with("recovered: "), "{told:?}");
}

#[test]
fn promise_3_too_few_requests_of_blue_are_no_recovery() {
    let mut played = Played::rolled_back(WATCH);
    for _ in 0..49 {
        played.counted(Evidence { requests: 1, ..Evidence::default() }, Evidence::default());
    }
    let told: Vec<String> = (49..600).flat_map(|_| played.counted(Evidence::default(), Evidence::default())).collect();
    let unknown = "nobody can say whether the rollback has helped: blue had 49 requests in the 10 min after it";
    assert_eq!(told, [format!("recoveryUnknown: {unknown}")]);
}

#[test]
fn nothing_is_watched_where_the_policy_says_so_or_green_had_nothing() {
    assert_eq!(Played::rolled_back(Duration::ZERO).finding(), None);
    let mut played = Played::released(WATCH);
    played.course = Course::new(
        Policy { watch: WATCH, ..Policy::default() },
        None,
        State::Idle { epoch: Epoch::default() },
        played.now,
    );
    played.roll_back();
    assert_eq!(played.finding(), None);
}

#[test]
fn a_new_release_ends_the_watch() {
    let mut played = Played::rolled_back(WATCH);
    assert_eq!(played.finding(), Some(Finding::Open));
    played.take(Input::Operator(Ordered::Start { actor: "ann".to_owned(), reason: String::new() }));
    assert_eq!(played.finding(), None);
}

#[test]
fn a_watch_goes_on_after_a_restart_once_there_is_a_minute_of_blue() {
    let mut played = Played::rolled_back(WATCH);
    played.blue_fails(0, 595);
    let watch = serde_json::to_value(played.course.watch()).expect("plain data");
    let cause = Cause { trigger: "operator".to_owned(), reason: "bad".to_owned(), actor: "ann".to_owned() };
    let state = State::RolledBack { epoch: played.course.epoch(), cause };
    played.course = Course::new(Policy { watch: WATCH, ..Policy::default() }, None, state, played.now);
    played.course.set_watch(serde_json::from_value(watch).expect("a watch"), played.now);
    assert_eq!(played.blue_fails(0, 59), [""; 0]);
    assert!(played.blue_fails(0, 1)[0].starts_with("recovered: "));
}
