//! Triggers that are judged at an interval.

use super::*;

const EVERY: Duration = Duration::from_secs(10);
const WELL: (u64, u64) = (5, 50);
const BAD: (u64, u64) = (6, 50);
const FEW: (u64, u64) = (6, 49);
const BLUE_WELL: (u64, u64) = (0, 450);

fn at_intervals(failure_limit: Option<u32>, consecutive_limit: Option<u32>) -> Bench {
    let cadence = Cadence::Interval { every: EVERY, failure_limit, consecutive_limit };
    Bench::new([Trigger { cadence, ..meltdown() }])
}

/// Lets one interval pass with the same evidence; the judgement at its end.
fn interval(bench: &mut Bench, green: (u64, u64), blue: (u64, u64)) -> Judgement {
    let ticks = EVERY.as_millis() / TICK.as_millis();
    let looks: Vec<Judgement> = (0..ticks).map(|_| bench.look(green, blue)).collect();
    let (last, before) = looks.split_last().expect("an interval has ticks");
    assert!(before.iter().all(|look| look.orders.is_empty()), "only a judgement fires: {before:?}");
    last.clone()
}

/// In which interval, from 1, the trigger fires. `B` is bad, `w` well, `-` too few requests, `c` a common cause.
fn check(limits: (Option<u32>, Option<u32>), intervals: &str, expected: Option<usize>) {
    let mut bench = at_intervals(limits.0, limits.1);
    bench.look(WELL, BLUE_WELL);
    let fired = intervals.chars().position(|kind| {
        let (green, blue) = match kind {
            'B' => (BAD, BLUE_WELL),
            'w' => (WELL, BLUE_WELL),
            '-' => (FEW, BLUE_WELL),
            _ => ((50, 50), (450, 450)),
        };
        ordered(&interval(&mut bench, green, blue)) == [Ordered::Rollback]
    });
    assert_eq!(fired.map(|index| index + 1), expected, "{limits:?} {intervals}");
}

#[test]
fn the_limits_count_failed_judgements_in_all_and_in_a_row() {
    for (limits, intervals, expected) in [
        ((Some(0), None), "B", Some(1)),
        ((Some(0), None), "wwB", Some(3)),
        ((Some(3), None), "BwBwBwB", Some(7)),
        ((Some(3), None), "BBB", None),
        ((None, Some(2)), "BwBwBwB", None),
        ((None, Some(2)), "BwBB", Some(4)),
        ((Some(3), Some(2)), "BB", Some(2)),
        ((Some(3), Some(2)), "BwBwBwB", Some(7)),
    ] {
        check(limits, intervals, expected);
    }
}

#[test]
fn an_interval_that_cannot_be_judged_has_neither_failed_nor_passed() {
    for (intervals, expected) in [("B-B", Some(3)), ("B--wB", None), ("--", None), ("cc", None), ("cBB", Some(3))] {
        check((None, Some(2)), intervals, expected);
    }
    check((Some(0), None), "-c-", None);
}

#[test]
fn promise_3_between_two_judgements_too_few_requests_are_no_pass() {
    let mut bench = at_intervals(Some(0), None);
    assert_eq!(interval(&mut bench, WELL, BLUE_WELL).standing, Stands::Pending, "nothing has been judged");
    bench.look(WELL, BLUE_WELL);
    assert_eq!(bench.look(WELL, BLUE_WELL).standing, Stands::Within);
    let judgement = bench.look((0, 49), BLUE_WELL);
    assert_eq!((judgement.standing, judgement.verdict.kind), (Stands::TooFew, Kind::Wait));
    assert_eq!(bench.look(WELL, BLUE_WELL).standing, Stands::Within);
}

#[test]
fn promise_5_after_a_common_cause_a_judgement_needs_a_clear_difference_for_one_window() {
    let mut bench = at_intervals(Some(0), None);
    bench.look(WELL, BLUE_WELL);
    assert_eq!(interval(&mut bench, (50, 50), (450, 450)).standing, Stands::Common);
    assert!(!crossing::differ_clearly(tally(BAD, (20, 450))));
    // Bad within one window of 10 s after the common cause cannot be, the interval is as long: the first one counts.
    assert_eq!(ordered(&interval(&mut bench, BAD, (20, 450))), [Ordered::Rollback]);
    let cadence = Cadence::Interval { every: EVERY, failure_limit: Some(0), consecutive_limit: None };
    let mut bench = Bench::new([Trigger { cadence, window: 3 * EVERY, ..meltdown() }]);
    bench.look(WELL, BLUE_WELL);
    interval(&mut bench, (50, 50), (450, 450));
    for _ in 0..2 {
        let judgement = interval(&mut bench, BAD, (20, 450));
        assert_eq!((judgement.orders, judgement.standing), (vec![], Stands::Pending));
    }
    assert_eq!(ordered(&interval(&mut bench, BAD, (20, 450))), [Ordered::Rollback]);
}

#[test]
fn a_judgement_stands_until_the_next() {
    let mut bench = at_intervals(Some(1), None);
    let first = bench.look(BAD, BLUE_WELL);
    assert_eq!(first.verdict, Verdict::wait("`meltdown` is judged every 10 s and has not been yet"));
    assert_eq!(first.standing, Stands::Pending, "what has not been judged is not passed");
    let failed = interval(&mut bench, BAD, BLUE_WELL);
    assert_eq!((failed.standing, failed.verdict.kind), (Stands::Pending, Kind::Wait));
    let between = bench.look(WELL, BLUE_WELL);
    assert_eq!((between.verdict, between.standing), (failed.verdict, Stands::Pending));
    for _ in 0..98 {
        assert_eq!(bench.look(WELL, BLUE_WELL).verdict.kind, Kind::Wait);
    }
    assert_eq!(bench.look(WELL, BLUE_WELL).verdict, Verdict::pass("green crosses none of 1 bounds"));
}

#[test]
fn a_late_look_is_one_judgement_and_the_next_comes_a_whole_interval_later() {
    let mut bench = at_intervals(Some(1), None);
    bench.look(WELL, BLUE_WELL);
    bench.now += 10 * EVERY;
    assert_eq!(bench.look(BAD, BLUE_WELL).orders, []);
    assert_eq!(bench.ticks_to_order(BAD, BLUE_WELL, 200), Some(99));
}

#[test]
fn the_sentence_tells_how_often_it_was_judged_and_failed() {
    let mut bench = at_intervals(Some(1), None);
    bench.look(WELL, BLUE_WELL);
    interval(&mut bench, BAD, BLUE_WELL);
    interval(&mut bench, WELL, BLUE_WELL);
    assert_eq!(
        interval(&mut bench, BAD, BLUE_WELL).verdict,
        Verdict::fail(
            "green failed 6 of 50 requests (12.0 %) in the last 10 s, above 10 %; blue failed 0 of 450; judged every \
             10 s, failed so far: 2, in a row: 1"
        )
    );
}

#[test]
fn a_new_epoch_counts_judgements_from_nothing() {
    let mut bench = at_intervals(Some(1), None);
    bench.look(WELL, BLUE_WELL);
    interval(&mut bench, BAD, BLUE_WELL);
    bench.gate.reset(bench.now);
    bench.look(WELL, BLUE_WELL);
    assert_eq!(interval(&mut bench, BAD, BLUE_WELL).orders, []);
    assert_eq!(ordered(&interval(&mut bench, BAD, BLUE_WELL)), [Ordered::Rollback]);
}
