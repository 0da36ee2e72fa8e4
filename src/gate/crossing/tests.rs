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
