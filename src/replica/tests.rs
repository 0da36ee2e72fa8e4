//! What the model takes for equal, or does not reach within its bounds.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    epoch: u32,
    percent: u32,
    is_latched: bool,
}

impl Body for State {
    fn epoch(&self) -> u32 {
        self.epoch
    }

    fn is_latched(&self) -> bool {
        self.is_latched
    }
}

type One = Replica<u64, State>;

const EARLY: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(11);
const OTHER: Stamp = Stamp { process: 1, number: 1 };

fn split(epoch: u32, percent: u32) -> State {
    State { epoch, percent, is_latched: false }
}

fn latched(epoch: u32) -> State {
    State { epoch, percent: 0, is_latched: true }
}

fn heard(turn: u64, by: Stamp, body: State, how: How) -> Heard<u64, State> {
    Heard { version: turn, shared: Some(Shared { turn, by, body }), how }
}

/// One that has read that green has 10 %, which was the first turn.
fn follower() -> One {
    let (mut one, _) = Replica::new(7);
    let number = one.reading.expect("it reads first");
    assert_eq!(one.heard(heard(1, OTHER, split(1, 10), How::Read(number)), EARLY), [Effect::Follow(split(1, 10))]);
    one
}

/// The same, which leads for ten seconds.
fn leader() -> One {
    let mut one = follower();
    assert!(matches!(one.lease(Lease::Held { until: Duration::from_secs(10) }, EARLY)[..], [Effect::Read(_)]));
    let number = one.reading.expect("it reads");
    assert_eq!(one.heard(heard(1, OTHER, split(1, 10), How::Read(number)), EARLY), []);
    assert!(one.may_step(EARLY));
    one
}

/// The only effect, which is a write.
fn write(effects: Vec<Effect<u64, State>>) -> Write<u64, State> {
    let [Effect::Write(write)] = &effects[..] else { panic!("one write: {effects:?}") };
    write.clone()
}

/// It was too late: somebody else has written `body`.
fn overtaken(one: &mut One, by: Stamp, body: State) -> Vec<Effect<u64, State>> {
    let [Effect::Read(number)] = one.wrote(by, Written::Conflict, EARLY)[..] else { panic!("it reads anew") };
    one.heard(heard(5, OTHER, body, How::Read(number)), EARLY)
}

#[test]
fn a_latch_that_is_not_written_outlives_its_own_epoch_and_no_later_one() {
    for (body, expected) in [(split(1, 20), None), (split(2, 10), Some(split(2, 10))), (latched(1), Some(latched(1)))] {
        let mut one = follower();
        let owed = write(one.decide(Decision::Latches, latched(1), EARLY));
        let effects = overtaken(&mut one, owed.shared.by, body);
        match expected {
            Some(followed) => assert_eq!(effects, [Effect::Follow(followed)]),
            None => assert_eq!(write(effects).shared.body, latched(1)),
        }
    }
}

#[test]
fn nothing_that_is_decided_after_a_latch_takes_its_place() {
    let mut one = leader();
    let raised = write(one.decide(Decision::Raises, split(1, 20), EARLY));
    assert_eq!(one.decide(Decision::Latches, latched(1), EARLY), []);
    for decision in [Decision::Raises, Decision::Keeps] {
        assert_eq!(one.decide(decision, split(1, 30), EARLY), [], "one write at a time");
    }
    let effects = one.wrote(raised.shared.by, Written::Done(2), EARLY);
    let owed = write(effects);
    assert_eq!((owed.version, owed.shared.turn, owed.shared.body), (2, 3, latched(1)));
}

#[test]
fn a_raise_that_is_heard_of_after_the_lease_has_run_out_is_followed_as_anothers() {
    let mut one = leader();
    let Write { shared, .. } = write(one.decide(Decision::Raises, split(1, 20), EARLY));
    let effects = one.heard(heard(2, shared.by, shared.body, How::Watched), LATE);
    assert_eq!(effects, [Effect::Follow(split(1, 20))]);
}

#[test]
fn a_raise_that_is_answered_after_the_lease_has_run_out_is_gone_by_after_a_read_alone() {
    let mut one = leader();
    let by = write(one.decide(Decision::Raises, split(1, 20), EARLY)).shared.by;
    let [Effect::Read(number)] = one.wrote(by, Written::Done(2), LATE)[..] else { panic!("others may have gone on") };
    let effects = one.heard(heard(3, OTHER, latched(1), How::Read(number)), LATE);
    assert_eq!(effects, [Effect::Follow(latched(1))]);
}

#[test]
fn what_a_leader_has_not_written_ends_with_its_lease_and_a_follower_keeps_what_it_decides() {
    let mut one = leader();
    let by = write(one.decide(Decision::Keeps, split(1, 8), EARLY)).shared.by;
    assert_eq!(one.decide(Decision::Keeps, split(1, 5), EARLY), []);
    assert_eq!(one.lease(Lease::Lost, EARLY), [Effect::Follow(split(1, 10))]);
    assert_eq!(one.decide(Decision::Keeps, split(1, 4), EARLY), []);
    assert!(matches!(one.wrote(by, Written::Conflict, EARLY)[..], [Effect::Read(_)]));
    let number = one.reading.expect("it reads");
    one.lease(Lease::Held { until: LATE }, EARLY);
    let number = one.reading.filter(|newer| *newer != number).expect("who begins to lead reads anew");
    assert_eq!(one.heard(heard(1, OTHER, split(1, 10), How::Read(number)), EARLY), []);
    assert!(one.may_step(EARLY), "nothing is left of it");
}

#[test]
fn an_answer_to_an_earlier_question_is_none() {
    let mut one = follower();
    let [Effect::ServeBlue, Effect::Read(first)] = one.woke()[..] else { panic!("it stood still") };
    let [Effect::ServeBlue, Effect::Read(second)] = one.woke()[..] else { panic!("and once more") };
    assert_eq!(one.heard(heard(1, OTHER, split(1, 10), How::Read(first)), EARLY), []);
    assert_eq!(one.heard(heard(1, OTHER, split(1, 10), How::Read(second)), EARLY), [Effect::Follow(split(1, 10))]);
}

#[test]
fn what_was_decided_on_top_of_a_write_that_is_under_way_is_written_next() {
    for (first, second) in [(Decision::Keeps, Decision::Keeps), (Decision::Raises, Decision::Raises)] {
        let mut one = leader();
        let by = write(one.decide(first, split(1, 20), EARLY)).shared.by;
        assert_eq!(one.decide(second, split(1, 5), EARLY), []);
        let next = write(one.wrote(by, Written::Done(2), EARLY));
        assert_eq!((next.version, next.shared.turn, next.shared.body), (2, 3, split(1, 5)));
        let last = one.wrote(next.shared.by, Written::Done(3), EARLY);
        assert_eq!(last, [if second == Decision::Raises { Effect::Go } else { Effect::Kept }]);
        assert!(one.may_step(EARLY));
    }
}
