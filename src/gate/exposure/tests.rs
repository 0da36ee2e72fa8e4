use super::*;

const SETTINGS: Settings = Settings { budget: 200, horizon: Duration::from_secs(600), false_alarm: 0.001 };

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn percent_of(percent: f64) -> Weight {
    Weight::from_percent(percent).expect("a weight")
}

fn counted(blue: (u64, u64), green: (u64, u64)) -> Counted {
    let of = |(bad, units)| Tally { bad, units };
    Counted { present: ByVersion { blue: of(blue), green: of(green) }, ..Counted::default() }
}

/// After so many seconds of 1,000 requests at this weight, of which blue and green fail these.
fn seen(weight: f64, seconds: u32, blue_fails: u64, green_fails: u64) -> (Exposure, Duration) {
    let mut exposure = Exposure::new(SETTINGS, Duration::ZERO);
    let green = (weight * 10.0) as u64;
    for second in 1..=seconds {
        let tick = counted((blue_fails, 1_000 - green), (green_fails, green));
        exposure.take(&tick, percent_of(weight), at(second.into()));
    }
    (exposure, at(seconds.into()))
}

fn weight(advice: Advice) -> Option<f64> {
    match advice {
        Advice::Go { weight, .. } => Some(weight.percent()),
        Advice::Stay | Advice::UsedUp { .. } | Advice::Shown { .. } => None,
    }
}

#[test]
fn the_first_weight_is_what_the_budget_allows_a_green_that_fails_everything_for_the_horizon() {
    let mut unknown = Exposure::new(SETTINGS, Duration::ZERO);
    unknown.take(&counted((0, 4_000), (0, 0)), Weight::ZERO, at(4.0));
    assert_eq!(unknown.advise(Weight::ZERO, at(4.0)), Advice::Stay, "the traffic is not known yet");
    let (mut exposure, now) = seen(0.0, 5, 0, 0);
    // 180 of 600,000 requests in ten minutes.
    assert_eq!(weight(exposure.advise(Weight::ZERO, now)), Some(0.03));
}

#[test]
fn a_green_that_fails_nothing_gets_at_most_twice_as_much_at_a_time() {
    let (mut exposure, now) = seen(1.0, 100, 0, 0);
    assert_eq!(weight(exposure.advise(percent_of(1.0), now)), Some(2.0));
    exposure.weight_changed(now);
    assert_eq!(exposure.advise(percent_of(2.0), now + at(0.5)), Advice::Stay, "this weight has shown nothing yet");
}

#[test]
fn the_more_green_fails_beyond_blue_the_less_it_gets() {
    let (mut exposure, now) = seen(1.0, 100, 0, 0);
    exposure.take(&counted((0, 970), (25, 30)), percent_of(1.0), now + at(1.0));
    let (harm, lowered) = (exposure.harm(), weight(exposure.advise(percent_of(1.0), now + at(1.0))));
    assert_eq!((harm.harmed, harm.at_most), (25, 25));
    assert!(lowered.is_some_and(|lowered| lowered < 1.0), "{lowered:?}");
}

#[test]
fn what_both_fail_alike_harms_nobody() {
    let (exposure, _) = seen(50.0, 100, 5, 5);
    assert_eq!((exposure.harm().harmed, exposure.shown()), (0, None));
}

#[test]
fn a_budget_that_green_has_used_up_is_shown_and_one_that_may_be_is_not() {
    let (exposure, _) = seen(50.0, 40, 0, 5);
    assert!(exposure.shown().is_some_and(|sentence| sentence.contains("is used up by green: 200 so far, at most 200")));
    // Blue fails as many, and chance alone is as large as the budget.
    let (mut exposure, now) = seen(50.0, 5, 250, 250);
    assert_eq!(exposure.shown(), None);
    assert!(matches!(exposure.advise(percent_of(50.0), now), Advice::UsedUp { .. }));
    exposure.renew();
    assert!(!exposure.was_used_up() && exposure.harm().at_most == 0);
}

#[test]
fn what_fails_while_green_has_everything_is_not_shown_to_be_green_s_where_blue_fails_it_too_once_it_is_asked() {
    let (mut exposure, mut now) = seen(50.0, 100, 0, 0);
    exposure.weight_changed(now);
    for second in 1..=2 {
        exposure.take(&counted((0, 0), (250, 1_000)), Weight::FULL, now + at(second.into()));
    }
    now += at(2.0);
    exposure.weight_changed(now);
    for second in 1..=5 {
        exposure.take(&counted((225, 900), (25, 100)), percent_of(10.0), now + at(second.into()));
    }
    assert_eq!((exposure.harm().harmed, exposure.shown()), (500, None));
}

#[test]
fn a_request_that_waits_for_long_is_harmed_unless_as_many_of_blue_s_do() {
    let (mut exposure, now) = seen(10.0, 60, 0, 0);
    let hanging = |blue, green| Counted { hanging: ByVersion { blue, green }, ..Counted::default() };
    exposure.take(&hanging(90, 10), percent_of(10.0), now);
    assert_eq!(exposure.harm().harmed, 0);
    exposure.take(&hanging(0, 10), percent_of(10.0), now);
    assert_eq!(exposure.harm().harmed, 10);
    exposure.weight_changed(now);
    assert_eq!(exposure.harm().harmed, 10, "they are out of sight, and hang all the same");
}

#[test]
fn what_is_known_is_the_same_after_a_journal_has_kept_it() {
    let (exposure, now) = seen(10.0, 60, 1, 1);
    let kept = serde_json::to_string(&exposure.known()).expect("plain data");
    let mut restored = Exposure::new(SETTINGS, now);
    restored.resume(serde_json::from_str(&kept).expect("what was kept"));
    assert_eq!(restored.harm(), exposure.harm());
}
