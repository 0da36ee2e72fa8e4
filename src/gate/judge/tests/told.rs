//! Triggers on health checks and on signals.

use super::*;
use crate::gate::signal::{Posted, Posting};
use crate::gate::trigger::{CheckTrigger, SignalTrigger};

fn checks(sustained: u64) -> Policy {
    let trigger = CheckTrigger {
        name: "dead-checks".to_owned(),
        at_least: 3,
        sustained: Duration::from_secs(sustained),
        action: Action::Rollback,
    };
    Policy { triggers: vec![meltdown()], checks: vec![trigger], ..Policy::default() }
}

fn health(endpoints: u32, failing_for: u32) -> Health {
    Health { endpoints, failing_for, ..Health::default() }
}

fn well(bench: &mut Bench) -> Judgement {
    bench.look((0, 50), (0, 450))
}

#[test]
fn promise_5_failed_checks_are_greens_only_while_blues_pass() {
    let rollback = (Stands::Fires, vec![Ordered::Rollback]);
    for (green, blue, expected) in [
        (health(2, 3), health(2, 0), rollback.clone()),
        (health(2, 3), health(0, 0), rollback.clone()),
        (health(1, 9), health(1, 0), rollback),
        (health(2, 2), health(2, 0), (Stands::Within, vec![])),
        (health(2, 0), health(2, 9), (Stands::Within, vec![])),
        (health(2, 3), health(2, 1), (Stands::Common, vec![])),
        (health(2, 3), health(2, 3), (Stands::Common, vec![])),
        (health(0, 0), health(2, 0), (Stands::TooFew, vec![])),
    ] {
        let mut bench = Bench::of(&checks(0));
        bench.health = ByVersion { blue, green };
        let judgement = well(&mut bench);
        assert_eq!((judgement.standing, ordered(&judgement)), expected, "green {green:?}, blue {blue:?}");
        assert_eq!(judgement.freeze.is_some(), judgement.standing == Stands::Common);
    }
}

#[test]
fn failed_checks_explain_themselves() {
    for (green, blue, expected) in [
        (
            health(2, 3),
            health(2, 0),
            Verdict::fail("all 2 endpoints of green failed their last 3 health checks; blue's pass"),
        ),
        (
            health(1, 4),
            health(0, 0),
            Verdict::fail("green's endpoint failed its last 4 health checks; blue is not checked"),
        ),
        (
            health(2, 3),
            health(1, 1),
            Verdict::wait(
                "all 2 endpoints of green failed their last 3 health checks, and blue's fail too, so the cause is not \
                 the version",
            ),
        ),
        (health(0, 0), health(1, 0), Verdict::wait("no endpoint of green has been checked for `dead-checks`")),
    ] {
        let mut bench = Bench::of(&checks(0));
        bench.health = ByVersion { blue, green };
        assert_eq!(well(&mut bench).verdict, expected);
    }
}

#[test]
fn failed_checks_can_have_to_be_sustained() {
    let mut bench = Bench::of(&checks(30));
    bench.health = ByVersion { blue: health(1, 0), green: health(1, 3) };
    assert_eq!(bench.ticks_to_order((0, 50), (0, 450), 200), None);
    bench.health.green.failing_for = 0;
    assert_eq!(well(&mut bench).verdict.kind, Kind::Pass);
    bench.health.green.failing_for = 3;
    assert_eq!(bench.ticks_to_order((0, 50), (0, 450), 400), Some(300));
}

#[test]
fn promise_5_failed_checks_do_not_flip_traffic_to_a_blue_that_is_known_to_be_worse() {
    let mut bench = Bench::of(&checks(0));
    bench.health = ByVersion { blue: health(1, 0), green: health(1, 3) };
    let judgement = bench.look((5, 50), (90, 450));
    assert_eq!((judgement.standing, judgement.orders), (Stands::Common, vec![]));
}

fn listening(action: Action) -> Bench {
    let signal = SignalTrigger { name: "synthetic".to_owned(), signal: "checkout".to_owned(), action };
    let mut bench = Bench::of(&Policy { triggers: vec![meltdown()], signals: vec![signal], ..Policy::default() });
    assert_eq!(well(&mut bench).verdict.kind, Kind::Pass);
    bench
}

fn post(bench: &mut Bench, signal: &str, state: Posting) {
    let (signal, sentence, actor) = (signal.to_owned(), "cannot pay".to_owned(), "probe-7".to_owned());
    bench.signals.take(Posted { signal, state, sentence, actor }, bench.now);
}

#[test]
fn a_signal_acts_once_for_each_time_that_it_fires() {
    for (action, expected) in
        [(Action::Rollback, Ordered::Rollback), (Action::Pause, Ordered::Pause), (Action::Notify, Ordered::Notify)]
    {
        let mut bench = listening(action);
        post(&mut bench, "another", Posting::Firing);
        assert_eq!(well(&mut bench).orders, []);
        post(&mut bench, "checkout", Posting::Firing);
        assert_eq!(ordered(&well(&mut bench)), [expected]);
        post(&mut bench, "checkout", Posting::Firing);
        assert_eq!(well(&mut bench).orders, [], "it fires still");
        post(&mut bench, "checkout", Posting::Resolved);
        assert_eq!((well(&mut bench).verdict.kind, well(&mut bench).orders), (Kind::Pass, vec![]));
        post(&mut bench, "checkout", Posting::Firing);
        assert_eq!(ordered(&well(&mut bench)), [expected]);
        post(&mut bench, "checkout", Posting::Resolved);
        post(&mut bench, "checkout", Posting::Firing);
        assert_eq!(ordered(&well(&mut bench)), [expected], "resolved and fired between two looks");
    }
}

#[test]
fn promise_6_a_signal_names_who_posted_it_and_what_was_said() {
    let mut bench = listening(Action::Rollback);
    post(&mut bench, "checkout", Posting::Firing);
    let judgement = well(&mut bench);
    assert_eq!(judgement.verdict, Verdict::fail("signal `checkout` fires, posted by probe-7: cannot pay"));
    assert_eq!(judgement.standing, Stands::Fires);
}

#[test]
fn promise_5_a_signal_from_before_the_release_freezes_and_does_not_blame() {
    let mut bench = listening(Action::Rollback);
    post(&mut bench, "checkout", Posting::Firing);
    bench.now += TICK;
    bench.gate.reset(bench.now);
    let judgement = well(&mut bench);
    assert_eq!((judgement.standing, judgement.orders), (Stands::Common, vec![]));
    assert!(judgement.freeze.is_some_and(|sentence| sentence.contains("before the release began")));
    post(&mut bench, "checkout", Posting::Resolved);
    assert_eq!(well(&mut bench).verdict.kind, Kind::Pass);
    post(&mut bench, "checkout", Posting::Firing);
    assert_eq!(ordered(&well(&mut bench)), [Ordered::Rollback]);
}
