use super::*;
use crate::gate::trigger::{Action, Cadence, Confirm, Quantile, Rate, Span, Times};

fn trigger(condition: Condition) -> Trigger {
    Trigger {
        name: "worse".to_owned(),
        route: None,
        condition,
        window: Duration::from_secs(10),
        sustained: Duration::ZERO,
        minimum_requests: 50,
        cadence: Cadence::EveryTick,
        confirm: Confirm::No,
        action: Action::Rollback,
    }
}

fn share(fraction: f64) -> Share {
    Share::try_from(fraction).expect("in range")
}

fn times(factor: f64) -> Times {
    Times::try_from(factor).expect("in range")
}

fn counted((failures, requests): (u64, u64)) -> Evidence {
    Evidence { requests, failures, ..Evidence::default() }
}

/// `(requests, milliseconds)` each.
fn timed(groups: &[(u64, u64)]) -> Evidence {
    let mut evidence = Evidence::default();
    for (requests, millis) in groups {
        evidence.requests += requests;
        (0..*requests).for_each(|_| evidence.latency.record(Duration::from_millis(*millis)));
    }
    evidence
}

#[derive(Debug, PartialEq)]
enum Short {
    FewOfGreen,
    FewOfBlue,
    Within,
    Crossed(BlueStands),
}

fn check(condition: Condition, green: &Evidence, blue: &Evidence, expected: Short) {
    let short = match cross(&trigger(condition), ByVersion { blue, green }) {
        Crossing::TooFew { version: Version::Green, .. } => Short::FewOfGreen,
        Crossing::TooFew { version: Version::Blue, .. } => Short::FewOfBlue,
        Crossing::Within => Short::Within,
        Crossing::Crossed { blue, .. } => Short::Crossed(blue),
    };
    assert_eq!(short, expected, "{condition:?}: green {green:?}, blue {blue:?}");
}

#[test]
fn promise_5_how_blue_stands_at_an_error_bound_decides_about_blame() {
    use BlueStands::{Clear, Doubtful, Near, Over};
    let bound = Condition::FailuresAbove { share: share(0.1), written: Rate::Errors };
    for (green, blue, expected) in [
        ((49, 49), (0, 1000), Short::FewOfGreen),
        ((0, 0), (0, 0), Short::FewOfGreen),
        ((5, 50), (0, 450), Short::Within),
        ((6, 50), (0, 450), Short::Crossed(Clear)),
        ((6, 50), (0, 0), Short::Crossed(Clear)),
        ((50, 50), (1, 10), Short::Crossed(Clear)),
        ((6, 50), (3, 50), Short::Crossed(Near)),
        ((50, 50), (4, 50), Short::Crossed(Clear)),
        ((6, 50), (5, 49), Short::Crossed(Doubtful)),
        ((6, 50), (5, 50), Short::Crossed(Near)),
        ((6, 50), (6, 50), Short::Crossed(Over)),
        ((500, 1000), (101, 1000), Short::Crossed(Over)),
    ] {
        check(bound, &counted(green), &counted(blue), expected);
    }
}

#[test]
fn a_rate_relative_to_blue_must_pass_the_factor_and_the_floor() {
    use BlueStands::{Clear, Near};
    let bound = Condition::FailuresAboveBlue { times: times(2.0), floor: share(0.01) };
    for (green, blue, expected) in [
        ((50, 50), (0, 49), Short::FewOfBlue),
        ((1, 100), (0, 50), Short::Within),
        ((2, 100), (0, 50), Short::Crossed(Near)),
        ((12, 100), (0, 50), Short::Crossed(Clear)),
        ((8, 100), (4, 100), Short::Within),
        ((9, 100), (4, 100), Short::Crossed(Near)),
        ((18, 100), (4, 100), Short::Crossed(Clear)),
        ((100, 100), (60, 100), Short::Within),
    ] {
        check(bound, &counted(green), &counted(blue), expected);
    }
}

#[test]
fn a_latency_quantile_is_crossed_when_more_than_its_tail_is_slower() {
    use BlueStands::{Clear, Doubtful, Over};
    let quantile = Quantile::try_from(0.9).expect("in range");
    let bound = Condition::LatencyAbove { quantile, span: Span::Head, bound: Duration::from_millis(200) };
    let fast = timed(&[(100, 5)]);
    for (green, blue, expected) in [
        (timed(&[(44, 5), (5, 400)]), &fast, Short::FewOfGreen),
        (timed(&[(90, 5), (10, 400)]), &fast, Short::Within),
        (timed(&[(89, 5), (11, 400)]), &fast, Short::Crossed(Clear)),
        (timed(&[(100, 200)]), &fast, Short::Within),
        (timed(&[(89, 5), (11, 400)]), &timed(&[(10, 400)]), Short::Crossed(Doubtful)),
        (timed(&[(89, 5), (11, 400)]), &timed(&[(80, 5), (20, 400)]), Short::Crossed(Over)),
    ] {
        check(bound, &green, blue, expected);
    }
}

#[test]
fn a_latency_relative_to_blue_must_pass_the_factor_and_the_floor() {
    let quantile = Quantile::try_from(0.9).expect("in range");
    let floor = Duration::from_millis(10);
    let bound = Condition::LatencyAboveBlue { quantile, span: Span::Head, times: times(5.0), floor };
    for (green, blue, expected) in [
        (timed(&[(100, 400)]), timed(&[(49, 20)]), Short::FewOfBlue),
        (timed(&[(100, 98)]), timed(&[(100, 20)]), Short::Within),
        (timed(&[(100, 110)]), timed(&[(100, 20)]), Short::Crossed(BlueStands::Clear)),
        (timed(&[(100, 9)]), timed(&[(100, 1)]), Short::Within),
        (timed(&[(100, 12)]), timed(&[(100, 1)]), Short::Crossed(BlueStands::Clear)),
    ] {
        check(bound, &green, &blue, expected);
    }
}

#[test]
fn promise_5_a_few_slow_requests_of_green_cross_a_bound_relative_to_blue_by_chance() {
    let quantile = Quantile::try_from(0.95).expect("in range");
    let floor = Duration::from_millis(10);
    let bound = Condition::LatencyAboveBlue { quantile, span: Span::Head, times: times(5.0), floor };
    let blue = timed(&[(5_800, 6), (60, 70)]);
    for (slow, expected) in [
        (2, Short::Within),
        (3, Short::Crossed(BlueStands::Near)),
        (5, Short::Crossed(BlueStands::Near)),
        (6, Short::Crossed(BlueStands::Clear)),
        (51, Short::Crossed(BlueStands::Clear)),
    ] {
        check(bound, &timed(&[(51 - slow, 6), (slow, 67)]), &blue, expected);
    }
}

#[test]
fn promise_3_requests_without_a_latency_are_no_evidence_of_speed() {
    let quantile = Quantile::P99;
    let absolute = Condition::LatencyAbove { quantile, span: Span::Head, bound: Duration::from_millis(200) };
    let floor = Duration::from_millis(10);
    let relative = Condition::LatencyAboveBlue { quantile, span: Span::Head, times: times(5.0), floor };
    let (unanswered, answered) = (counted((1000, 1000)), timed(&[(100, 5)]));
    check(absolute, &unanswered, &answered, Short::FewOfGreen);
    check(relative, &unanswered, &answered, Short::FewOfGreen);
    check(relative, &answered, &unanswered, Short::FewOfBlue);
}

#[test]
fn promise_5_a_blue_over_an_error_bound_that_fails_as_much_as_green_is_worse() {
    let bound = trigger(Condition::FailuresAbove { share: share(0.1), written: Rate::Errors });
    for (green, blue, expected) in [
        ((0, 0), (6, 50), true),
        ((10, 100), (20, 100), true),
        ((20, 100), (20, 100), true),
        ((21, 100), (20, 100), false),
        ((0, 100), (5, 50), false),
        ((0, 100), (49, 49), false),
    ] {
        let (green, blue) = (counted(green), counted(blue));
        assert_eq!(blue_is_worse(&bound, ByVersion { blue: &blue, green: &green }), expected, "{green:?} {blue:?}");
    }
}

#[test]
fn a_difference_is_clear_beyond_three_standard_errors_and_only_when_green_is_the_worse() {
    let tally = |(bad, units)| Tally { bad, units };
    for (green, blue, expected) in [
        ((0, 0), (0, 100), false),
        ((10, 10), (0, 0), false),
        ((100, 100), (100, 100), false),
        ((12, 100), (5, 100), false),
        ((12, 100), (50, 1000), false),
        ((15, 100), (50, 1000), true),
        ((5, 100), (500, 1000), false),
    ] {
        let measured = ByVersion { blue: tally(blue), green: tally(green) };
        assert_eq!(differ_clearly(measured), expected, "{measured:?}");
    }
}

/// `(failures, requests)` of green and of blue before and after a change of the weight.
fn check_shifted(before: [(u64, u64); 2], after: [(u64, u64); 2], expected: Crossing) {
    let bound = trigger(Condition::FailuresAbove { share: share(0.1), written: Rate::Errors });
    let add = |one: (u64, u64), other: (u64, u64)| counted((one.0 + other.0, one.1 + other.1));
    let total = ByVersion { green: add(before[0], after[0]), blue: add(before[1], after[1]) };
    let since = ByVersion { green: counted(after[0]), blue: counted(after[1]) };
    let window = Window { total: total.as_ref(), since_change: Some(since.as_ref()) };
    assert_eq!(cross(&bound, window), expected, "{before:?}, then {after:?}");
}

#[test]
fn promise_5_after_a_change_of_the_weight_blue_is_seen_at_the_times_of_greens_requests() {
    use BlueStands::{Clear, Doubtful, Over};
    let tally = |(bad, units)| Tally { bad, units };
    let crossed = |green, blue, stands, shifted| Crossing::Crossed {
        measured: ByVersion { green: tally(green), blue: tally(blue) },
        blue: stands,
        shifted,
    };
    // From 5 to 50 %, and then both fail: of all that blue did it is 4 %.
    check_shifted([(0, 50), (0, 950)], [(75, 500), (75, 500)], crossed((75, 550), (82, 602), Over, true));
    // From 50 to 5 %, and both have recovered.
    check_shifted([(75, 500), (75, 500)], [(0, 50), (0, 950)], crossed((75, 550), (82, 602), Over, true));
    // Green alone, and as many failures of blue that are of other times.
    check_shifted([(0, 50), (0, 950)], [(75, 500), (0, 500)], crossed((75, 550), (0, 1_450), Clear, false));
    check_shifted([(0, 50), (75, 950)], [(75, 500), (0, 500)], crossed((75, 550), (75, 1_450), Clear, false));
    // Blue's few requests since then prove nothing, and neither do those of a time without any.
    check_shifted([(0, 50), (0, 950)], [(75, 500), (5, 20)], crossed((75, 550), (5, 24), Doubtful, true));
    check_shifted([(0, 50), (0, 950)], [(75, 500), (0, 0)], crossed((75, 550), (0, 950), Clear, false));
    // In a time without any of blue's it is taken to have been as it was in the rest: no better, no less sure and no surer.
    check_shifted([(91, 700), (900, 10_000)], [(39, 300), (0, 0)], crossed((130, 1_000), (900, 10_000), Clear, false));
    check_shifted([(50, 100), (20, 30)], [(50, 100), (0, 0)], crossed((100, 200), (20, 30), Doubtful, false));
}

#[test]
fn promise_5_a_bound_relative_to_blue_takes_blue_at_the_times_of_greens_requests_as_well() {
    let relative = trigger(Condition::FailuresAboveBlue { times: times(2.0), floor: share(0.05) });
    let crosses = |blue_after: u64| {
        let total = ByVersion { green: counted((75, 550)), blue: counted((blue_after, 1_450)) };
        let since = ByVersion { green: counted((75, 500)), blue: counted((blue_after, 500)) };
        let window = Window { total: total.as_ref(), since_change: Some(since.as_ref()) };
        matches!(cross(&relative, window), Crossing::Crossed { .. })
    };
    assert!(!crosses(75) && crosses(20));
}

#[test]
fn promise_5_by_a_bound_relative_to_blue_chance_is_judged_by_the_worse_of_blue_as_it_was_and_at_the_times_of_green() {
    let relative = trigger(Condition::FailuresAboveBlue { times: times(2.0), floor: share(0.05) });
    let tally = |(bad, units)| Tally { bad, units };
    // Of green's 110 requests 16 failed, all but ten of them since the change. At the times of those blue failed 6 % of its own,
    // or 7 % at the times of the others: by half of that it would be no chance.
    for blue in [[(0, 190), (6, 100)], [(14, 190), (0, 100)]] {
        let [before, since] = blue;
        let both = (before.0 + since.0, before.1 + since.1);
        let total = ByVersion { green: counted((16, 110)), blue: counted(both) };
        let since = ByVersion { green: counted((16, 100)), blue: counted(since) };
        let window = Window { total: total.as_ref(), since_change: Some(since.as_ref()) };
        let measured = ByVersion { green: tally((16, 110)), blue: tally(both) };
        let expected = Crossing::Crossed { measured, blue: BlueStands::Near, shifted: false };
        assert_eq!(cross(&relative, window), expected, "{blue:?}");
    }
}

#[test]
fn promise_5_a_quantile_relative_to_blue_may_be_passed_as_often_as_blue_did_at_the_times_of_greens_requests() {
    let quantile = Quantile::try_from(0.95).expect("in range");
    let floor = Duration::from_millis(10);
    let relative = trigger(Condition::LatencyAboveBlue { quantile, span: Span::Head, times: times(5.0), floor });
    // Both begin to be slow, a fifth of blue's requests, and so few of all that its own quantile does not show it.
    let crossing = |slow: u64| {
        let since = ByVersion { green: timed(&[(500 - slow, 6), (slow, 100)]), blue: timed(&[(400, 6), (100, 100)]) };
        let mut total = ByVersion { green: timed(&[(50, 6)]), blue: timed(&[(9_500, 6)]) };
        total.green.add(&since.green);
        total.blue.add(&since.blue);
        cross(&relative, Window { total: total.as_ref(), since_change: Some(since.as_ref()) })
    };
    assert_eq!(crossing(90), Crossing::Within);
    assert!(matches!(crossing(250), Crossing::Crossed { blue: BlueStands::Clear, .. }));
}

#[test]
fn promise_5_so_many_bad_requests_of_green_and_not_one_less_are_no_chance() {
    let tally = |(bad, units)| Tally { bad, units };
    // Computed apart from this code. The first of them: of fifty requests of blue none was bad, so it is taken to be one of 51,
    // by which as many as 8 of 50 come in less than one of ten thousand windows.
    for (units, blue, least) in [
        (50, (0, 50), 8),
        (10, (0, 50), 5),
        (20, (1, 20), 10),
        (500, (0, 10_000), 3),
        (100, (50, 1_000), 17),
        (1_000, (50, 1_000), 84),
        (2_000, (20, 2_000), 44),
        (5_000, (500, 10_000), 320),
    ] {
        let beyond = |bad| is_beyond_chance(tally((bad, units)), tally(blue));
        assert_eq!((beyond(least - 1), beyond(least)), (false, true), "{least} of {units}, blue {blue:?}");
    }
    assert!(is_beyond_chance(tally((50, 50)), tally((0, 50))), "all of them");
    assert!(!is_beyond_chance(tally((0, 100)), tally((50, 100))), "green is the better one");
    assert!(!is_beyond_chance(tally((2, 100)), tally((0, 1))), "one request of blue says nothing of its rate");
}
