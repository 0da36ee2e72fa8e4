//! The runbooks of deploy/policies: for each of their triggers, traffic that crosses it and traffic that does not.

use std::ops::RangeInclusive;

use portcullis::gate::signal::Posting;
use portcullis::release::effect::Kind;
use portcullis::release::{self, Acknowledged, Refusal};

mod play;
mod runbooks;
mod services;

use play::{Ended, Play, Traffic, WELL};

/// What green, or both versions, do after a minute in which both were well.
#[derive(Clone, Copy)]
enum Act {
    Green(Traffic),
    /// Blue as much as green.
    Both(Traffic),
}

use Act::{Both, Green};

const GOES_ON: Ended = Ended::GoesOn;
const FROZEN: Ended = Ended::Frozen;

fn rolled_back(trigger: &str) -> Ended {
    Ended::RolledBack(trigger.to_owned())
}

fn paused(trigger: &str) -> Ended {
    Ended::Paused(trigger.to_owned())
}

fn failing(share: f64) -> Traffic {
    Traffic { failing: share, ..WELL }
}

fn taking(millis: u64) -> Traffic {
    Traffic { millis, ..WELL }
}

fn tail(slow: f64, slow_millis: u64) -> Traffic {
    Traffic { slow, slow_millis, ..WELL }
}

fn checks(failed_checks: u32) -> Traffic {
    Traffic { failed_checks, ..WELL }
}

/// A minute of well-being, then the act for so many seconds.
fn played(file: &str, act: Act, seconds: u64) -> (Play, u64) {
    let mut play = Play::of(file);
    play.run(60);
    let per_second = play.blue.per_second;
    match act {
        Green(green) => play.green = green,
        Both(both) => (play.blue, play.green) = (Traffic { per_second, ..both }, both),
    }
    let took = play.run(seconds);
    (play, took)
}

/// Plays each act for at most so many seconds; `after` says when a rollback comes, in seconds of the act.
fn check(file: &str, rows: &[(Act, u64, Ended, RangeInclusive<u64>)]) {
    for (index, (act, seconds, expected, after)) in rows.iter().enumerate() {
        let (play, took) = played(file, *act, *seconds);
        assert_eq!(play.ended(), *expected, "{file}, row {index}, after {took} s");
        if matches!(expected, Ended::RolledBack(_)) {
            assert!(after.contains(&took), "{file}, row {index}: rolled back after {took} s");
        }
    }
}

/// Every trigger of the file acts in one of the rows.
fn covers(file: &str, acting: &[&str]) {
    let mut triggers = Play::of(file).triggers();
    triggers.sort_unstable();
    let mut acting: Vec<String> = acting.iter().map(|&name| name.to_owned()).collect();
    acting.sort_unstable();
    assert_eq!(acting, triggers, "{file}");
}

#[test]
fn thresholds_that_stay_crossed_for_minutes_roll_back() {
    let file = "sustained-thresholds.yaml";
    covers(file, &["errors", "slow", "dead-checks"]);
    check(
        file,
        &[
            (Green(failing(0.02)), 600, rolled_back("errors"), 300..=345),
            (Green(failing(0.009)), 900, GOES_ON, 0..=0),
            (Both(failing(0.02)), 400, FROZEN, 0..=0),
            (Green(tail(0.05, 250)), 900, rolled_back("slow"), 600..=630),
            (Green(tail(0.009, 250)), 900, GOES_ON, 0..=0),
            (Green(tail(0.05, 190)), 900, GOES_ON, 0..=0),
            (Both(tail(0.05, 250)), 700, FROZEN, 0..=0),
            (Green(checks(3)), 60, rolled_back("dead-checks"), 0..=0),
            (Green(checks(2)), 60, GOES_ON, 0..=0),
            (Both(checks(3)), 60, FROZEN, 0..=0),
        ],
    );
}

#[test]
fn what_recovers_before_its_time_is_over_goes_on() {
    for (file, act, seconds) in [
        ("sustained-thresholds.yaml", failing(0.02), 240),
        ("sustained-thresholds.yaml", tail(0.05, 250), 540),
        ("unresolved-errors.yaml", failing(0.08), 840),
        ("relative-latency.yaml", checks(9), 29),
    ] {
        let (mut play, _) = played(file, Green(act), seconds);
        play.green = WELL;
        play.run(120);
        assert_eq!(play.ended(), GOES_ON, "{file}: {act:?}");
    }
}

#[test]
fn a_person_rolls_back_under_every_policy() {
    for file in [
        "sustained-thresholds.yaml",
        "relative-latency.yaml",
        "monitoring-window.yaml",
        "unresolved-errors.yaml",
        "investigate-first.yaml",
    ] {
        let mut play = Play::of(file);
        play.run(60);
        assert_eq!(play.ended(), GOES_ON);
        assert_eq!(play.operator(withdraw(Acknowledged::No)), Ok(()));
        assert_eq!(play.ended(), rolled_back("operator"), "{file}");
    }
}

#[test]
fn a_green_far_worse_than_blue_is_rolled_back_at_once_and_a_worse_one_paused() {
    let file = "relative-latency.yaml";
    covers(file, &["meltdown", "five-times", "elevated-errors", "twice", "not-ready"]);
    check(
        file,
        &[
            (Green(failing(0.15)), 60, rolled_back("meltdown"), 5..=10),
            (Green(failing(1.0)), 60, rolled_back("meltdown"), 0..=2),
            (Both(failing(0.15)), 60, FROZEN, 0..=0),
            (Green(failing(0.07)), 120, paused("elevated-errors"), 0..=0),
            (Green(failing(0.04)), 120, GOES_ON, 0..=0),
            (Both(failing(0.07)), 120, FROZEN, 0..=0),
            (Green(taking(60)), 60, rolled_back("five-times"), 0..=2),
            (Green(taking(30)), 120, paused("twice"), 0..=0),
            (Green(taking(15)), 120, GOES_ON, 0..=0),
            (Both(taking(60)), 120, GOES_ON, 0..=0),
            (Green(checks(1)), 60, rolled_back("not-ready"), 30..=31),
            (Both(checks(1)), 60, FROZEN, 0..=0),
        ],
    );
}

#[test]
fn a_paused_release_is_still_rolled_back_when_it_gets_worse() {
    let (mut play, _) = played("relative-latency.yaml", Green(failing(0.07)), 120);
    assert_eq!(play.ended(), paused("elevated-errors"));
    play.green = failing(0.3);
    play.run(60);
    assert_eq!(play.ended(), rolled_back("meltdown"));
}

#[test]
fn users_and_synthetic_checks_decide_until_an_hour_after_the_release() {
    let file = "monitoring-window.yaml";
    covers(file, &["availability", "server-errors", "checkout-works"]);
    check(
        file,
        &[
            (Green(failing(0.002)), 300, rolled_back("availability"), 30..=90),
            (Green(failing(0.0009)), 900, GOES_ON, 0..=0),
            (Both(failing(0.002)), 300, FROZEN, 0..=0),
        ],
    );
}

#[test]
fn server_errors_are_found_before_there_are_enough_requests_for_the_availability() {
    for (share, expected) in [(0.03, rolled_back("server-errors")), (0.009, GOES_ON)] {
        let mut play = Play::of("monitoring-window.yaml");
        play.green = Traffic { per_second: 20, ..failing(share) };
        play.run(200);
        assert_eq!(play.ended(), expected);
    }
}

#[test]
fn a_synthetic_check_that_fails_rolls_back_and_one_that_failed_before_freezes() {
    let file = "monitoring-window.yaml";
    for (signal, expected) in [("checkout-synthetic", rolled_back("checkout-works")), ("another", GOES_ON)] {
        let mut play = Play::of(file);
        play.run(60);
        play.post(signal, Posting::Firing);
        play.run(10);
        assert_eq!(play.ended(), expected, "{signal}");
    }
    let mut play = Play::of(file);
    play.run(60);
    assert_eq!(play.operator(withdraw(Acknowledged::No)), Ok(()));
    play.post("checkout-synthetic", Posting::Firing);
    play.run(10);
    let start = release::Input::Start { actor: "alice".to_owned(), reason: String::new() };
    assert_eq!(play.operator(start), Ok(()));
    play.run(10);
    assert_eq!(play.ended(), FROZEN);
}

#[test]
fn the_gate_stays_armed_for_an_hour_at_100_percent_and_not_longer() {
    for (minutes, expected) in [(58, rolled_back("availability")), (61, Ended::Completed)] {
        let mut play = Play::of("monitoring-window.yaml");
        let promote = release::Input::Promote { actor: "alice".to_owned(), reason: String::new() };
        assert_eq!(play.operator(promote), Ok(()));
        // At 100 % blue has no requests left.
        play.blue.per_second = 0;
        play.run(60 * minutes);
        play.green = failing(0.5);
        play.run(60);
        assert_eq!(play.ended(), expected, "{minutes} minutes");
    }
}

#[test]
fn errors_have_a_quarter_of_an_hour_and_slowness_has_none() {
    let file = "unresolved-errors.yaml";
    covers(file, &["twice", "lasting-errors"]);
    check(
        file,
        &[
            (Green(taking(25)), 60, rolled_back("twice"), 2..=5),
            (Green(taking(19)), 300, GOES_ON, 0..=0),
            (Both(taking(25)), 300, GOES_ON, 0..=0),
            (Green(failing(0.08)), 1200, rolled_back("lasting-errors"), 900..=950),
            (Green(failing(0.04)), 1200, GOES_ON, 0..=0),
            (Both(failing(0.08)), 1200, FROZEN, 0..=0),
        ],
    );
}

#[test]
fn a_destructive_change_is_not_rolled_back_by_a_machine() {
    let irreversible = |text: String| {
        let written = text.replace("  # irreversible:", "  irreversible:");
        assert_ne!(written, text, "the line is there to be used");
        written
    };
    let mut play = Play::with("unresolved-errors.yaml", irreversible);
    play.run(60);
    play.green = taking(25);
    play.run(120);
    assert_eq!(play.ended(), Ended::Halted("twice".to_owned()));
    assert!(play.told(Kind::Irreversible));
    assert!(matches!(play.operator(withdraw(Acknowledged::No)), Err(Refusal::Irreversible { .. })));
    assert_eq!(play.operator(withdraw(Acknowledged::Yes)), Ok(()));
    assert_eq!(play.ended(), rolled_back("operator"));
}

#[test]
fn only_what_is_plainly_broken_is_rolled_back_by_a_machine() {
    let file = "investigate-first.yaml";
    covers(file, &["down", "dead-checks", "half-as-fast", "too-many-errors", "intermittent"]);
    check(
        file,
        &[
            (Green(failing(1.0)), 60, rolled_back("down"), 0..=0),
            (Both(failing(1.0)), 60, FROZEN, 0..=0),
            (Green(checks(3)), 60, rolled_back("dead-checks"), 0..=0),
            (Green(checks(2)), 60, GOES_ON, 0..=0),
            (Green(taking(25)), 60, rolled_back("half-as-fast"), 4..=7),
            (Green(taking(19)), 60, GOES_ON, 0..=0),
            (Green(tail(0.3, 200)), 60, GOES_ON, 0..=0),
            (Green(failing(0.08)), 60, rolled_back("too-many-errors"), 5..=8),
            (Green(failing(0.02)), 120, paused("intermittent"), 0..=0),
            (Green(failing(0.004)), 120, GOES_ON, 0..=0),
            (Both(failing(0.02)), 120, FROZEN, 0..=0),
        ],
    );
}

fn withdraw(acknowledged: Acknowledged) -> release::Input {
    release::Input::Withdraw { actor: "alice".to_owned(), reason: String::new(), acknowledged }
}
