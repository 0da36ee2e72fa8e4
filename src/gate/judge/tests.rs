use super::*;
use crate::gate::Kind;
use crate::gate::trigger::{Cadence, Condition, Confirm, Quantile, Rate, Share, Span, Times};

mod bench;
mod cadence;
mod confirm;
mod told;

use bench::{Bench, Ordered, TICK, WINDOW, acting, counted, meltdown, ordered, share, sustained, tally, timed};

#[test]
fn an_error_bound_fires_in_the_tick_that_it_is_crossed() {
    let mut bench = Bench::new([meltdown()]);
    assert_eq!(bench.look((5, 50), (0, 450)).verdict.kind, Kind::Pass);
    let judgement = bench.look((6, 50), (0, 450));
    assert_eq!((judgement.verdict.kind, ordered(&judgement)), (Kind::Fail, vec![Ordered::Rollback]));
}

#[test]
fn promise_3_with_one_request_less_than_the_minimum_nothing_happens() {
    let mut bench = Bench::new([meltdown()]);
    for _ in 0..600 {
        let judgement = bench.look((49, 49), (0, 1_000));
        assert_eq!((judgement.verdict.kind, judgement.orders, judgement.freeze), (Kind::Wait, vec![], None));
    }
    assert_eq!(ordered(&bench.look((50, 50), (0, 1_000))), [Ordered::Rollback]);
}

#[test]
fn promise_3_no_evidence_is_never_a_pass() {
    let passes =
        |triggers: Vec<Trigger>, green| Bench::new(triggers).look(green, (0, 1_000)).verdict.kind == Kind::Pass;
    assert!(passes(vec![meltdown()], (0, 50)));
    assert!(!passes(vec![meltdown()], (0, 49)));
    assert!(!passes(vec![meltdown()], (0, 0)));
    assert!(!passes(vec![Trigger { minimum_requests: 0, ..meltdown() }], (0, 0)));
    assert!(
        !passes(vec![Trigger { minimum_requests: 51, ..meltdown() }, meltdown()], (0, 50)),
        "one of two cannot tell"
    );
    assert!(!passes(vec![], (0, 1_000)), "without a trigger nobody looks");
    assert!(!passes(vec![acting(Action::Notify)], (0, 1_000)), "a trigger that only notifies clears nothing");
}

#[test]
fn the_verdict_is_a_sentence_with_its_numbers() {
    for (trigger, expected) in [
        (meltdown(), "green failed 14 of 120 requests (11.7 %) in the last 10 s, above 10 %; blue failed 0 of 1,080"),
        (
            Trigger {
                condition: Condition::FailuresAbove { share: share(0.01), written: Rate::Successes },
                ..meltdown()
            },
            "green succeeded with 106 of 120 requests (88.3 %) in the last 10 s, below 99 %; blue failed 0 of 1,080",
        ),
        (
            Trigger {
                condition: Condition::FailuresAboveBlue {
                    times: Times::try_from(2.0).expect("in range"),
                    floor: share(0.01),
                },
                ..meltdown()
            },
            "green failed 14 of 120 requests (11.7 %) in the last 10 s, above 2 times blue's rate and above 1 %; \
             blue failed 0 of 1,080",
        ),
    ] {
        let judgement = Bench::new([trigger]).look((14, 120), (0, 1_080));
        assert_eq!(judgement.verdict, Verdict::fail(expected));
        let [Order::Rollback { trigger, sentence }] = judgement.orders.as_slice() else { panic!("{judgement:?}") };
        assert_eq!((trigger.as_str(), sentence.as_str()), ("meltdown", expected));
    }
}

#[test]
fn a_latency_verdict_names_the_quantiles_of_both_versions() {
    let absolute =
        Condition::LatencyAbove { quantile: Quantile::P99, span: Span::Head, bound: Duration::from_millis(200) };
    let relative = Condition::LatencyAboveBlue {
        quantile: Quantile::P95,
        span: Span::Head,
        times: Times::try_from(5.0).expect("in range"),
        floor: Duration::from_millis(10),
    };
    for (condition, expected) in [
        (
            absolute,
            "green's P99 was 412 ms over 120 requests in the last 10 s, above 200 ms; blue's was 8.03 ms over 1,080",
        ),
        (
            relative,
            "green's P95 was 412 ms over 120 requests in the last 10 s, above 5 times blue's and above 10 ms; \
             blue's was 8.03 ms over 1,080",
        ),
    ] {
        let judgement = Bench::new([Trigger { condition, ..meltdown() }]).look_at(&timed(120, 411), &timed(1_080, 8));
        assert_eq!(judgement.verdict, Verdict::fail(expected));
    }
}

#[test]
fn every_other_verdict_explains_itself_too() {
    let check = |trigger: Trigger, green, blue, expected: Verdict| {
        assert_eq!(Bench::new([trigger]).look(green, blue).verdict, expected);
    };
    check(meltdown(), (0, 120), (0, 1_080), Verdict::pass("green crosses none of 1 bounds"));
    check(
        meltdown(),
        (3, 12),
        (0, 108),
        Verdict::wait("too few requests to judge `meltdown`: green had 12 of at least 50 in the last 10 s"),
    );
    check(
        meltdown(),
        (14, 120),
        (200, 1_080),
        Verdict::wait(
            "both versions cross the bound of `meltdown`, so the cause is not the version: green failed 14 of 120 \
             requests (11.7 %) in the last 10 s, above 10 %; blue failed 200 of 1,080",
        ),
    );
    check(
        meltdown(),
        (14, 120),
        (2, 11),
        Verdict::wait(
            "green crosses the bound of `meltdown`, and so does blue with too few requests to be sure: green failed \
             14 of 120 requests (11.7 %) in the last 10 s, above 10 %; blue failed 2 of 11",
        ),
    );
    check(
        sustained(5),
        (14, 120),
        (0, 1_080),
        Verdict::wait(
            "green failed 14 of 120 requests (11.7 %) in the last 10 s, above 10 %; blue failed 0 of 1,080; the bound \
             is for 5 s sustained; so far for 0 ms",
        ),
    );
}

#[test]
fn a_success_bound_fires_below_it() {
    let condition = Condition::FailuresAbove { share: share(0.01), written: Rate::Successes };
    let mut bench = Bench::new([Trigger { condition, ..meltdown() }]);
    assert_eq!(bench.look((1, 100), (0, 900)).verdict.kind, Kind::Pass);
    assert_eq!(ordered(&bench.look((2, 100), (0, 900))), [Ordered::Rollback]);
}

#[test]
fn sustained_for_5_s_fires_at_5_s_and_neither_a_tick_sooner_nor_later() {
    let mut bench = Bench::new([sustained(5)]);
    assert_eq!(bench.ticks_to_order((6, 50), (0, 450), 100), Some(50));
}

#[test]
fn a_bound_that_is_kept_for_one_tick_begins_its_time_anew() {
    let mut bench = Bench::new([sustained(5)]);
    assert_eq!(bench.ticks_to_order((6, 50), (0, 450), 48), None);
    bench.look((5, 50), (0, 450));
    assert_eq!(bench.ticks_to_order((6, 50), (0, 450), 100), Some(50));
}

#[test]
fn time_without_enough_requests_does_not_count_as_sustained_and_does_not_begin_it_anew() {
    let mut bench = Bench::new([sustained(5)]);
    assert_eq!(bench.ticks_to_order((6, 50), (0, 450), 20), None);
    assert_eq!(bench.ticks_to_order((6, 49), (0, 450), 599), None);
    // The look after a pause only takes the clock up again: 2 s were held before, 3 s are left from it.
    assert_eq!(bench.ticks_to_order((6, 50), (0, 450), 100), Some(30));
}

#[test]
fn an_episode_is_forgotten_after_a_minute_without_enough_requests() {
    let mut bench = Bench::new([sustained(5)]);
    assert_eq!(bench.ticks_to_order((6, 50), (0, 450), 20), None);
    assert_eq!(bench.ticks_to_order((6, 49), (0, 450), 600), None);
    assert_eq!(bench.ticks_to_order((6, 50), (0, 450), 100), Some(50));
}

#[test]
fn promise_5_when_both_versions_cross_the_bound_the_weight_freezes_and_nobody_is_blamed() {
    for trigger in [meltdown(), sustained(5), acting(Action::Pause)] {
        let mut bench = Bench::new([trigger]);
        for _ in 0..600 {
            let judgement = bench.look((50, 50), (46, 450));
            assert_eq!((judgement.verdict.kind, judgement.orders), (Kind::Wait, vec![]));
            assert_eq!(judgement.freeze, Some(judgement.verdict.sentence));
        }
    }
}

#[test]
fn promise_5_after_a_common_cause_the_next_window_needs_a_clear_difference() {
    let (unclear, blue_is_well) = ((6, 50), (9, 450));
    assert_eq!(Bench::new([meltdown()]).ticks_to_order((6, 50), (2, 450), 200), Some(0), "it fires by itself");
    let mut bench = Bench::new([meltdown()]);
    bench.look((50, 50), (450, 450));
    assert_eq!(bench.ticks_to_order((6, 50), (20, 450), 200), Some(99), "one window after the common cause");
    let mut bench = Bench::new([meltdown()]);
    bench.look((50, 50), (450, 450));
    assert!(!crossing::differ_clearly(tally((6, 50), (20, 450))));
    assert!(crossing::differ_clearly(tally(unclear, blue_is_well)));
    assert_eq!(bench.ticks_to_order(unclear, blue_is_well, 200), Some(0), "a clear difference needs no waiting");
}

#[test]
fn promise_5_a_blue_close_to_the_bound_makes_green_wait_until_it_is_clear_or_one_window_long() {
    let mut bench = Bench::new([meltdown()]);
    assert_eq!(bench.ticks_to_order((6, 50), (4, 50), 200), Some(100));
    let mut bench = Bench::new([meltdown()]);
    let judgement = bench.look((6, 50), (4, 50));
    assert_eq!((judgement.verdict.kind, judgement.freeze), (Kind::Wait, None));
    assert_eq!(bench.ticks_to_order((30, 50), (4, 50), 200), Some(0));
}

#[test]
fn promise_5_a_blue_over_the_bound_with_too_few_requests_is_asked_for_more_before_anyone_is_blamed() {
    let mut bench = Bench::new([meltdown()]);
    let judgement = bench.look((50, 50), (5, 49));
    assert_eq!((judgement.verdict.kind, ordered(&judgement)), (Kind::Wait, vec![Ordered::Probe]));
    assert_eq!(judgement.freeze, Some(judgement.verdict.sentence));
    for _ in 0..100 {
        let judgement = bench.look((50, 50), (5, 49));
        assert_eq!((judgement.orders, judgement.freeze.is_some()), (vec![], true), "the probe is ordered once");
    }
    assert_eq!(ordered(&bench.look((50, 50), (0, 60))), [Ordered::Rollback], "blue's next answers decide");
}

#[test]
fn promise_5_only_a_trigger_that_may_roll_back_lowers_the_weight_to_look_closer() {
    let judgement = Bench::new([acting(Action::Pause)]).look((50, 50), (5, 49));
    assert_eq!((judgement.orders, judgement.freeze.is_some()), (vec![], true));
    let judgement = Bench::new([acting(Action::Notify)]).look((50, 50), (5, 49));
    assert_eq!((judgement.orders, judgement.freeze), (vec![], None));
}

#[test]
fn promise_5_traffic_is_not_flipped_to_a_blue_that_is_known_to_be_worse() {
    let slow = Condition::LatencyAbove { quantile: Quantile::P99, span: Span::Head, bound: Duration::from_millis(200) };
    let mut bench = Bench::new([Trigger { name: "slow".to_owned(), condition: slow, ..meltdown() }, meltdown()]);
    let green = timed(100, 400);
    let mut blue = timed(900, 5);
    blue.failures = 300;
    let judgement = bench.look_at(&green, &blue);
    assert_eq!((judgement.verdict.kind, &judgement.orders), (Kind::Wait, &vec![]));
    assert!(judgement.freeze.is_some_and(|sentence| sentence.starts_with("blue is no better")));
    blue.failures = 0;
    assert_eq!(ordered(&bench.look_at(&green, &blue)), [Ordered::Rollback], "once blue is well, green has to answer");
}

#[test]
fn an_action_is_ordered_once_in_an_episode_and_again_in_the_next() {
    for (action, expected) in
        [(Action::Notify, Ordered::Notify), (Action::Pause, Ordered::Pause), (Action::Rollback, Ordered::Rollback)]
    {
        let mut bench = Bench::new([acting(action)]);
        for _ in 0..2 {
            assert_eq!(ordered(&bench.look((6, 50), (0, 450))), [expected]);
            assert_eq!(bench.ticks_to_order((6, 50), (0, 450), 200), None, "{action:?} in the same episode");
            bench.look((5, 50), (0, 450));
        }
    }
}

#[test]
fn a_pause_makes_the_verdict_wait_and_a_notification_leaves_it_alone() {
    assert_eq!(Bench::new([acting(Action::Pause)]).look((6, 50), (0, 450)).verdict.kind, Kind::Wait);
    let within =
        Trigger { condition: Condition::FailuresAbove { share: share(0.5), written: Rate::Errors }, ..meltdown() };
    let judgement = Bench::new([acting(Action::Notify), within]).look((6, 50), (0, 450));
    assert_eq!((judgement.verdict.kind, ordered(&judgement)), (Kind::Pass, vec![Ordered::Notify]));
}

#[test]
fn a_new_epoch_starts_with_no_episode_and_no_common_cause() {
    let mut bench = Bench::new([sustained(5)]);
    assert_eq!(bench.ticks_to_order((6, 50), (0, 450), 40), None);
    bench.gate.reset(bench.now);
    assert_eq!(bench.ticks_to_order((6, 50), (0, 450), 100), Some(50));
    let mut bench = Bench::new([meltdown()]);
    bench.look((50, 50), (450, 450));
    bench.gate.reset(bench.now);
    assert_eq!(bench.ticks_to_order((6, 50), (20, 450), 100), Some(0));
}

#[test]
fn each_trigger_is_judged_on_a_window_of_its_own() {
    let (long, short) = (Duration::from_secs(60), WINDOW);
    let bench = Bench::new([Trigger { name: "long".to_owned(), window: long, ..meltdown() }, meltdown()]);
    let Bench { mut gate, signals, .. } = bench;
    let (well, bad, blue) = (counted((1, 100)), counted((20, 100)), counted((0, 900)));
    let look = Look {
        windows: |trigger: &Trigger| ByVersion {
            blue: &blue,
            green: if trigger.window == short { &bad } else { &well },
        },
        health: ByVersion::default(),
        signals: &signals,
        suspicion: Suspicion::default(),
        against_blue: None,
        taken_back: &[],
    };
    let judgement = gate.judge(&look, Duration::from_secs(1));
    assert_eq!(ordered(&judgement), [Ordered::Rollback]);
    assert!(judgement.verdict.sentence.contains("in the last 10 s"));
}
