//! What people are told of an approval, and what becomes of its time.

use super::*;
use crate::release::{Acknowledged, Approval, Epoch, Gates, Input, Judged, OnLowTraffic, State, Step, Weight};

const HOUR: Duration = Duration::from_secs(3600);

/// A release of 25 % for an hour, then an approval within a day.
struct Release {
    plan: Plan,
    state: State,
    now: Duration,
}

impl Release {
    fn new(otherwise: Otherwise, irreversible: Option<&str>) -> Release {
        let weight = Weight::from_percent(25.0).expect("a weight");
        let approval = Approval::Within(Deadline { within: HOUR * 24, otherwise });
        let plan = Plan {
            steps: vec![Step { weight, mirror: None, cohort: None, bake: HOUR, approval }],
            budget: None,
            initial_delay: Duration::ZERO,
            progress_deadline: None,
            monitoring: HOUR,
            on_low_traffic: OnLowTraffic::Wait,
            irreversible: irreversible.map(str::to_owned),
            max_weight: Weight::FULL,
            gates: Gates::default(),
        };
        let state = State::Idle { epoch: Epoch::default() };
        Release { plan, state, now: Duration::ZERO }
    }

    /// The approval has just been asked for.
    fn asked(otherwise: Otherwise, irreversible: Option<&str>) -> Release {
        let mut release = Release::new(otherwise, irreversible);
        release.take(Input::Start { actor: ann(), reason: String::new() });
        release.pass();
        assert_eq!(release.after(HOUR), [(Kind::AwaitingApproval, "plan".to_owned(), release.asks())]);
        release
    }

    fn asks(&self) -> String {
        let comes = match self.run().awaited(Some(&self.plan), self.now).expect("it is asked for").otherwise {
            Otherwise::Pause => "the release is paused",
            Otherwise::Rollback => "it is rolled back",
        };
        format!("the bake is over, and the step waits for an approval; without one within 24 h {comes}")
    }

    fn run(&self) -> &Run {
        self.state.run().expect("the release is open")
    }

    fn left(&self) -> Option<Duration> {
        Some(self.run().awaited(Some(&self.plan), self.now)?.left)
    }

    fn take(&mut self, input: Input) -> Vec<Effect> {
        let (state, effects) = self.state.clone().apply(input, Some(&self.plan), self.now).expect("it is granted");
        self.state = state;
        effects
    }

    /// What is told of an input.
    fn tell(&mut self, input: Input) -> Vec<(Kind, String, String)> {
        let told = |effect| match effect {
            Effect::Tell { kind, actor, sentence } => Some((kind, actor, sentence)),
            _ => None,
        };
        self.take(input).into_iter().filter_map(told).collect()
    }

    fn pass(&mut self) -> Vec<(Kind, String, String)> {
        self.tell(Input::Judged(Judged::Pass))
    }

    /// What is told of a judgement so long after.
    fn after(&mut self, time: Duration) -> Vec<(Kind, String, String)> {
        self.now += time;
        self.pass()
    }

    fn by(&mut self, input: fn(String, String) -> Input) -> Vec<(Kind, String, String)> {
        self.tell(input(ann(), String::new()))
    }

    /// The process dies and starts anew.
    fn restart(&mut self) {
        let run = self.run();
        let waited = run.waited(self.now);
        let restored = Run::restored(run.epoch, run.stage, run.weight, run.holds.clone(), waited, self.now);
        self.state = State::Open(restored);
        self.take(Input::Restarted);
    }
}

const UNAPPROVED: &str = "nobody approved step 1 of 2 (25 %) within 24 h";

fn ann() -> String {
    "ann".to_owned()
}

fn approve(actor: String, reason: String) -> Input {
    Input::Approve { actor, reason }
}

fn pause(actor: String, reason: String) -> Input {
    Input::Pause { actor, reason }
}

fn resume(actor: String, reason: String) -> Input {
    Input::Resume { actor, reason }
}

fn slow() -> Held {
    Held { by: "slow".to_owned(), sentence: "green is slow".to_owned() }
}

fn told(kind: Kind, sentence: &str) -> Vec<(Kind, String, String)> {
    vec![(kind, "plan".to_owned(), sentence.to_owned())]
}

#[test]
fn promise_1_a_release_that_nobody_approves_in_time_is_latched_first_and_says_so() {
    let mut release = Release::asked(Otherwise::Rollback, None);
    assert_eq!(release.after(HOUR * 24 - Duration::from_nanos(1)), []);
    release.now += Duration::from_nanos(1);
    let effects = release.take(Input::Judged(Judged::Fail));
    let latch = Effect::Latch { epoch: Epoch::from(1) };
    assert_eq!(effects, [latch, Effect::tell(Kind::RolledBack, "plan", UNAPPROVED.to_owned())]);
    let State::RolledBack { cause, .. } = &release.state else { panic!("{:?}", release.state) };
    assert_eq!((cause.trigger.as_str(), cause.actor.as_str()), ("approval-deadline", "plan"));
}

#[test]
fn an_approval_in_time_ends_the_wait_and_the_plan_goes_on() {
    let mut release = Release::asked(Otherwise::Rollback, None);
    assert_eq!(release.after(HOUR * 23), []);
    assert_eq!((release.left(), release.by(approve)[0].0), (Some(HOUR), Kind::Approved));
    assert_eq!(release.left(), None);
    assert_eq!(release.after(HOUR * 2)[0].0, Kind::Promoted);
}

#[test]
fn a_pause_for_want_of_an_approval_keeps_the_weight_and_a_late_approval_goes_on() {
    let mut release = Release::asked(Otherwise::Pause, None);
    assert_eq!(release.after(HOUR * 24), told(Kind::Paused, UNAPPROVED));
    assert_eq!((release.run().weight, release.run().held_by()), (release.plan.steps[0].weight, Some(UNAPPROVED)));
    assert_eq!(release.after(HOUR * 100), [], "people are told once");
    release.by(approve);
    assert!(!release.run().is_held());
    assert_eq!(release.pass()[0].0, Kind::Promoted);
}

#[test]
fn a_resume_without_an_approval_gives_the_time_again() {
    let mut release = Release::asked(Otherwise::Pause, None);
    release.after(HOUR * 24);
    release.now += HOUR * 10;
    assert_eq!(release.by(resume)[0].0, Kind::Resumed);
    assert_eq!((release.left(), release.pass()), (Some(HOUR * 24), vec![]));
    assert_eq!(release.after(HOUR * 24), told(Kind::Paused, UNAPPROVED));
}

#[test]
fn a_late_approval_ends_no_pause_that_a_trigger_or_a_person_asked_for() {
    for others in [Input::Hold(slow()), pause(ann(), String::new())] {
        let mut release = Release::asked(Otherwise::Pause, None);
        release.after(HOUR * 24);
        assert_eq!(release.tell(others)[0].0, Kind::Paused);
        release.by(approve);
        assert!(release.run().is_held(), "{:?}", release.run().holds);
        assert_eq!(release.pass(), []);
        release.by(resume);
        assert_eq!(release.pass()[0].0, Kind::Promoted);
    }
}

#[test]
fn the_time_stands_still_while_anything_else_holds_the_release() {
    let check = |hold: Input, go_on: Input| {
        let mut release = Release::asked(Otherwise::Rollback, None);
        release.now += HOUR * 4;
        release.tell(hold);
        assert_eq!(release.after(HOUR * 100), []);
        release.tell(go_on);
        assert_eq!(release.left(), Some(HOUR * 20));
        assert_eq!(release.after(HOUR * 19), []);
        assert_eq!(release.after(HOUR), told(Kind::RolledBack, UNAPPROVED));
    };
    let resumed = || resume(ann(), String::new());
    check(pause(ann(), String::new()), resumed());
    check(Input::Hold(slow()), resumed());
    check(Input::Probe(slow()), Input::Acquit { sentence: "green is fast".to_owned() });
    check(Input::Freeze { sentence: "both are slow".to_owned() }, Input::Thaw);
}

#[test]
fn no_number_of_restarts_puts_the_end_of_the_time_off() {
    let mut release = Release::asked(Otherwise::Rollback, None);
    // The bake of an hour begins anew with each, and is never over.
    for _ in 0..47 {
        release.now += HOUR / 2;
        release.restart();
        assert_eq!(release.pass(), []);
    }
    assert_eq!(release.left(), Some(HOUR / 2));
    assert_eq!(release.after(HOUR / 2), told(Kind::RolledBack, UNAPPROVED));
}

#[test]
fn what_is_asked_for_again_after_a_restart_says_how_much_of_the_time_is_left() {
    let mut release = Release::asked(Otherwise::Pause, None);
    release.now += HOUR * 2 + Duration::from_millis(1234);
    release.restart();
    let sentence = "the bake is over, and the step waits for an approval; without one in the 1259 min that are left the \
                    release is paused";
    assert_eq!(release.after(HOUR), told(Kind::AwaitingApproval, sentence));
}

#[test]
fn an_irreversible_release_that_nobody_approves_is_held_and_people_are_called() {
    let mut release = Release::asked(Otherwise::Rollback, Some("the table is gone"));
    let sentence = format!("{UNAPPROVED}; not rolled back, because the release is irreversible: the table is gone");
    assert_eq!(release.after(HOUR * 24), told(Kind::Irreversible, &sentence));
    assert_eq!(release.after(HOUR * 100), []);
    let mut approved = Release { plan: release.plan.clone(), state: release.state.clone(), now: release.now };
    approved.by(approve);
    assert_eq!(approved.pass()[0].0, Kind::Promoted);

    // What convicts it after that is told, and no approval ends it.
    let bad = Cause { trigger: "dead".to_owned(), reason: "green is dead".to_owned(), actor: "gate".to_owned() };
    assert_eq!(release.tell(Input::RollBack(bad))[0].0, Kind::Irreversible);
    release.by(approve);
    assert!(release.run().is_held());
    let acknowledged = Acknowledged::Yes;
    let by_hand = release.tell(Input::Withdraw { actor: ann(), reason: String::new(), acknowledged });
    assert_eq!(by_hand[0].0, Kind::RolledBack);
}
