//! Findings over time, as the control task sees them.

use super::*;

/// A comparison and its clock, with a tick of 100 ms.
struct Bench {
    comparison: Comparison,
    weight: Weight,
    now: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Convict,
    Untrusted,
    External,
    Acquitted,
    Unresolved,
    Probe,
    Hold,
    NoData,
    Clear,
    Undecided,
}

fn kind(finding: &Finding) -> Kind {
    match finding {
        Finding::Convict { .. } => Kind::Convict,
        Finding::Untrusted { .. } => Kind::Untrusted,
        Finding::External { .. } => Kind::External,
        Finding::Acquitted { .. } => Kind::Acquitted,
        Finding::Unresolved { .. } => Kind::Unresolved,
        Finding::Probe { .. } => Kind::Probe,
        Finding::Hold { .. } => Kind::Hold,
        Finding::NoData { .. } => Kind::NoData,
        Finding::Clear { .. } => Kind::Clear,
        Finding::Undecided { .. } => Kind::Undecided,
    }
}

fn sentence(finding: Finding) -> String {
    match finding {
        Finding::Convict { sentence, .. }
        | Finding::Untrusted { sentence }
        | Finding::External { sentence }
        | Finding::Acquitted { sentence }
        | Finding::Unresolved { sentence }
        | Finding::Probe { sentence }
        | Finding::Hold { sentence }
        | Finding::NoData { sentence }
        | Finding::Clear { sentence }
        | Finding::Undecided { sentence } => sentence,
    }
}

impl Bench {
    /// At `percent`, with a history of ten minutes at 100 requests a second of which 0.1 % fail.
    fn at(percent: f64) -> Bench {
        let history = Evidence { requests: 60_000, failures: 60, ..Evidence::default() };
        Bench::after(&history, percent)
    }

    fn after(history: &Evidence, percent: f64) -> Bench {
        let comparison = Comparison::new(Settings::default(), history, Duration::from_secs(3_600), START);
        Bench { comparison, weight: Weight::from_percent(percent).expect("in range"), now: START }
    }

    /// One tick of `(failures, requests)`.
    fn tick(&mut self, green: (u64, u64), blue: (u64, u64)) -> Finding {
        self.tick_with(green, blue, (0, 0))
    }

    /// One in which `drawn` of blue's stand in for green.
    fn tick_with(&mut self, green: (u64, u64), blue: (u64, u64), drawn: (u64, u64)) -> Finding {
        self.now += Duration::from_millis(100);
        let counted = |(failures, requests)| Evidence { requests, failures, ..Evidence::default() };
        let (green, blue, drawn, waiting) = (counted(green), counted(blue), counted(drawn), Latency::default());
        let of = |evidence| Counted { evidence, waiting: &waiting, clients: None };
        self.comparison.tick(ByVersion { blue: of(&blue), green: of(&green) }, Some(of(&drawn)), self.weight, self.now)
    }

    /// The same tick again and again; the first finding that is another than `at_first`, and after how many ticks.
    fn until_other(&mut self, at_first: Kind, green: (u64, u64), blue: (u64, u64)) -> (Kind, u64) {
        for ticks in 1..=100_000 {
            let finding = kind(&self.tick(green, blue));
            if finding != at_first {
                return (finding, ticks);
            }
        }
        panic!("{at_first:?} for 100,000 ticks");
    }

    fn weigh(&mut self, percent: f64) {
        self.weight = Weight::from_percent(percent).expect("in range");
        self.comparison.weight_changed(self.now);
    }
}

#[test]
fn a_green_that_fails_beside_a_healthy_blue_is_convicted_in_the_words_for_the_on_call() {
    let mut bench = Bench::at(10.0);
    assert_eq!(kind(&bench.tick((0, 5), (0, 45))), Kind::Undecided);
    assert_eq!(kind(&bench.tick((1, 4), (0, 36))), Kind::Undecided);
    assert_eq!(kind(&bench.tick((8, 8), (0, 72))), Kind::Convict);
    let finding = sentence(bench.tick((0, 5), (0, 45)));
    assert_eq!(
        finding,
        "green failed 9 of 17 requests (52.9 %), 100 ms after the first failure; in the same moments blue failed 0 of 153 \
         (0.0 %); a green within limits (at most 1.5 times blue's rate plus 0.1 points) would look this bad in fewer \
         than 1 of 1,000,000 releases; blue was healthy, so it is not an outside cause"
    );
}

#[test]
fn a_conviction_stays_whatever_comes_after_it() {
    let mut bench = Bench::at(10.0);
    assert_eq!(bench.until_other(Kind::Undecided, (4, 4), (0, 36)).0, Kind::Convict);
    for _ in 0..1_000 {
        assert_eq!(kind(&bench.tick((0, 5), (0, 45))), Kind::Convict);
    }
}

#[test]
fn promise_5_a_fault_of_both_versions_is_external_and_ends_without_blame() {
    for percent in [1.0, 10.0, 50.0, 90.0] {
        let mut bench = Bench::at(percent);
        let mut findings = Vec::new();
        for _ in 0..900 {
            findings.push(kind(&bench.tick((10, 10), (90, 90))));
        }
        assert_eq!(findings.last(), Some(&Kind::External), "at {percent} %");
        assert!(!findings.contains(&Kind::Convict), "at {percent} %");
        assert_eq!(bench.comparison.evidence().suspicious, 0.01, "an outage does not come to be expected");
        let finding = sentence(bench.tick((10, 10), (90, 90)));
        assert!(finding.ends_with("(100.0 %): not caused by the version"), "{finding}");
        let (acquitted, ticks) = bench.until_other(Kind::External, (0, 10), (0, 90));
        assert_eq!((acquitted, ticks.abs_diff(600) < 15), (Kind::Acquitted, true), "at {percent} %: after {ticks}");
        assert_ne!(kind(&bench.tick((0, 10), (0, 90))), Kind::Acquitted, "said once");
    }
}

#[test]
fn a_green_that_still_fails_when_blue_has_recovered_is_convicted() {
    let mut bench = Bench::at(50.0);
    for _ in 0..50 {
        bench.tick((5, 10), (5, 10));
    }
    assert_eq!(kind(&bench.tick((5, 10), (5, 10))), Kind::External);
    let (found, ticks) = bench.until_other(Kind::External, (5, 10), (0, 10));
    assert!(found == Kind::Convict && ticks < 100, "{found:?} after {ticks}");
}

#[test]
fn at_full_weight_green_is_probed_and_a_healthy_blue_convicts_it_there() {
    let mut bench = Bench::at(100.0);
    assert_eq!(bench.until_other(Kind::Undecided, (0, 10), (0, 0)).0, Kind::Clear);
    assert_eq!(bench.until_other(Kind::Clear, (10, 10), (0, 0)), (Kind::Probe, 1));
    assert_eq!(kind(&bench.tick((10, 10), (0, 0))), Kind::Probe);
    bench.weigh(10.0);
    let (found, ticks) = bench.until_other(Kind::Probe, (1, 1), (0, 9));
    assert!(found == Kind::Convict && ticks < 10, "{found:?} after {ticks}");
}

#[test]
fn a_probed_green_that_behaves_is_acquitted_after_a_minute_and_fifty_requests() {
    let mut bench = Bench::at(50.0);
    assert_eq!(bench.until_other(Kind::Undecided, (1, 1), (0, 1)).0, Kind::Probe);
    bench.weigh(10.0);
    let began = bench.now;
    let (found, _) = bench.until_other(Kind::Probe, (0, 1), (0, 9));
    assert_eq!((found, (bench.now - began).as_secs()), (Kind::Acquitted, 60));
    let Summary { ln_green, ln_blue, .. } = bench.comparison.evidence();
    assert_eq!((ln_green, ln_blue), (numbers::ln(0.5), numbers::ln(0.5)), "both begin anew");
    bench.weigh(50.0);
    assert_eq!(kind(&bench.tick((0, 5), (0, 5))), Kind::Undecided);
    // A second suspicion needs evidence of its own.
    assert_eq!(bench.until_other(Kind::Undecided, (1, 1), (0, 1)).0, Kind::Probe);
}

#[test]
fn at_a_low_weight_a_suspicion_holds_and_does_not_probe() {
    let mut bench = Bench::at(10.0);
    // Without blue beside it there is nothing to blame green by.
    assert_eq!(bench.until_other(Kind::Undecided, (1, 1), (0, 0)).0, Kind::Hold);
}

#[test]
fn a_suspicion_without_an_answer_withdraws_green_after_fifteen_minutes_without_blame() {
    let mut bench = Bench::at(90.0);
    assert_eq!(bench.until_other(Kind::Undecided, (1, 1), (0, 0)).0, Kind::Probe);
    let began = bench.now;
    let (found, _) = bench.until_other(Kind::Probe, (1, 1), (0, 0));
    assert_eq!((found, (bench.now - began).as_secs()), (Kind::Unresolved, 900));
    let finding = sentence(bench.tick((0, 0), (0, 0)));
    assert!(finding.ends_with("did not show whether green is to blame: withdrawn without blame"), "{finding}");
    bench.weigh(0.0);
    assert_eq!(kind(&bench.tick((0, 0), (0, 9))), Kind::Unresolved);
    bench.weigh(10.0);
    assert_eq!(kind(&bench.tick((0, 1), (0, 9))), Kind::Undecided, "somebody has resumed the release");
}

#[test]
fn promise_3_too_few_requests_are_undecided_and_none_are_no_data() {
    let mut bench = Bench::at(10.0);
    let finding = bench.tick((0, 5), (0, 45));
    assert_eq!(
        sentence(finding),
        "green failed 0 of 5 requests (0.0 %) at this weight: 55 more requests without a failure would show that it fails \
         less than 5.0 %"
    );
    assert_eq!(bench.until_other(Kind::Undecided, (0, 5), (0, 45)), (Kind::Clear, 11));
    let (found, ticks) = bench.until_other(Kind::Clear, (0, 0), (0, 10));
    assert_eq!((found, ticks), (Kind::NoData, 600));
    assert_eq!(
        sentence(bench.tick((0, 0), (0, 10))),
        "green has had no request for 1 min although it should have: nothing can be said of green"
    );
    assert_eq!(kind(&bench.tick((0, 5), (0, 45))), Kind::Clear);
    let (found, _) = bench.until_other(Kind::Clear, (0, 10), (0, 0));
    assert_eq!(found, Kind::NoData, "blue is missing");
    bench.weigh(5.0);
    assert_eq!(
        bench.until_other(Kind::Undecided, (0, 0), (0, 0)),
        (Kind::NoData, 600),
        "a new weight is given its time"
    );
}

#[test]
fn little_traffic_is_given_the_time_that_ten_requests_take() {
    let history = Evidence { requests: 600, failures: 0, ..Evidence::default() };
    let mut bench = Bench::after(&history, 2.0);
    // One request a second: ten of green's take 500 s.
    for tick in 1_u64.. {
        let finding = kind(&bench.tick((0, 0), (0, u64::from(tick.is_multiple_of(10)))));
        if finding != Kind::Undecided {
            assert_eq!(finding, Kind::NoData);
            assert!(tick.abs_diff(5_000) < 20, "after {tick} ticks");
            break;
        }
    }
}

#[test]
fn at_weight_zero_no_traffic_of_green_is_missing() {
    let mut bench = Bench::at(0.0);
    for _ in 0..6_000 {
        assert_eq!(kind(&bench.tick((0, 0), (0, 10))), Kind::Undecided);
    }
}

#[test]
fn green_is_cleared_at_each_weight_anew_and_no_long_good_time_hides_a_late_fault() {
    let mut bench = Bench::at(100.0);
    assert_eq!(bench.until_other(Kind::Undecided, (0, 10), (0, 0)), (Kind::Clear, 6));
    for _ in 0..6_000 {
        assert_eq!(kind(&bench.tick((0, 10), (0, 0))), Kind::Clear);
    }
    let (_, ticks) = bench.until_other(Kind::Clear, (1, 10), (0, 0));
    assert!(ticks < 10, "one in ten fails, and green is clear for {ticks} more ticks");
    bench.until_other(Kind::Undecided, (0, 10), (0, 0));
    bench.weigh(100.0);
    assert_eq!(bench.until_other(Kind::Undecided, (0, 10), (0, 0)), (Kind::Clear, 6));
}

#[test]
fn a_metric_is_suspected_from_twenty_to_one_on() {
    let mut bench = Bench::at(1.0);
    assert_eq!(bench.comparison.suspicion(), Suspicion::default());
    assert_eq!(kind(&bench.tick((1, 1), (0, 99))), Kind::Undecided, "the errors are half of the evidence");
    assert_eq!(bench.comparison.suspicion(), Suspicion { errors: true, p99: false, p50: false });
    assert_eq!(kind(&bench.tick((1, 4), (0, 296))), Kind::Hold);
    let (found, _) = bench.until_other(Kind::Hold, (0, 1), (0, 99));
    assert_eq!(
        (found, bench.comparison.suspicion()),
        (Kind::Undecided, Suspicion { errors: true, p99: false, p50: false })
    );
    for _ in 0..100 {
        bench.tick((0, 1), (0, 99));
    }
    assert_eq!(bench.comparison.suspicion(), Suspicion::default());
}

#[test]
fn two_runs_over_the_same_ticks_give_the_same_bits() {
    let run = || {
        let mut bench = Bench::at(10.0);
        for tick in 0..2_000_u64 {
            bench.tick((tick % 97 / 96, 5), (tick % 31 / 30, 45));
        }
        serde_json::to_string(&bench.comparison.evidence()).expect("a summary is plain data")
    };
    assert_eq!(run(), run());
    assert!(run().contains("\"standing\":\"calm\""));
}

#[test]
fn while_blue_differs_from_itself_the_comparison_convicts_nobody_and_says_why() {
    let mut bench = Bench::at(10.0);
    let finding = (0..20).find_map(|_| {
        let finding = bench.tick_with((0, 4), (4, 36), (4, 4));
        (kind(&finding) == Kind::Untrusted).then_some(finding)
    });
    let said = sentence(finding.expect("the drawn part fails everything, and the rest nothing"));
    assert!(said.starts_with("two random parts of blue differ: one failed 4 of 4 requests (100.0 %)"), "{said}");
    assert!(said.contains("the other 0 of 32 (0.0 %)"), "{said}");
    assert!(said.contains("the comparison convicts nobody"), "{said}");
    for _ in 0..50 {
        assert_eq!(kind(&bench.tick_with((4, 4), (4, 36), (4, 4))), Kind::Untrusted, "whatever green does");
        assert_eq!(bench.comparison.suspicion(), Suspicion::default(), "nothing is confirmed");
    }
}

#[test]
fn once_blue_agrees_with_itself_again_green_is_judged_by_what_comes_from_then_on() {
    let mut bench = Bench::at(10.0);
    (0..5).for_each(|_| _ = bench.tick_with((4, 4), (4, 36), (4, 4)));
    let calm = (0..100_000).find(|_| kind(&bench.tick_with((0, 4), (0, 36), (0, 4))) != Kind::Untrusted);
    assert!(calm.is_some_and(|ticks| ticks > 10), "{calm:?}");
    assert_eq!(bench.comparison.evidence().errors.blocks, 0, "what was gathered meanwhile is worth nothing");
    let after = (0..50).find(|_| kind(&bench.tick_with((4, 4), (0, 36), (0, 4))) == Kind::Convict);
    assert!(after.is_some_and(|ticks| ticks < 5), "{after:?}");
}

#[test]
fn a_blue_that_agrees_with_itself_changes_nothing_of_how_green_is_judged() {
    let (mut with, mut without) = (Bench::at(10.0), Bench::at(10.0));
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..2_000 {
        // One failure in a hundred ticks for each unit, and one in nine of blue's is in the part that is drawn.
        let failed = random.u64(..4_000);
        let (green, blue) = ((u64::from(failed < 4), 4), (u64::from((4..40).contains(&failed)), 36));
        let drawn = (u64::from((4..8).contains(&failed)), 4);
        assert_eq!(with.tick_with(green, blue, drawn), without.tick(green, blue));
    }
    let (with, without) = (with.comparison.evidence(), without.comparison.evidence());
    assert_eq!((with.ln_evidence, with.errors, with.ln_pass), (without.ln_evidence, without.errors, without.ln_pass));
    assert!(with.ln_arm < 0.0, "{with:?}");
}

/// Ticks in which green's failures are on one of two routes: requests and failures of green, requests of blue, on each.
fn named(ticks: u32, [small, rest]: [(u64, u64, u64); 2]) -> Option<String> {
    let routes = ["small", "rest"].map(|name| {
        let number = RouteNumber::from_index(usize::from(name == "rest")).expect("there is room");
        NamedRoute { number, name: name.to_owned() }
    });
    let past = Evidence { requests: 30_000, failures: 30, ..Evidence::default() };
    let mut bench = Bench::at(20.0);
    let pasts = routes.iter().map(|route| RoutePast { route, blue: &past });
    bench.comparison.follow_routes(pasts, bench.now);
    let of = |(green, bad, blue): (u64, u64, u64)| ByVersion {
        blue: Evidence { requests: blue, ..Evidence::default() },
        green: Evidence { requests: green, failures: bad, ..Evidence::default() },
    };
    let on = [of(small), of(rest)];
    let waiting = Latency::default();
    for _ in 0..ticks {
        bench.now += Duration::from_millis(100);
        let sum = ByVersion::build(|version| {
            let mut both = on[0].of(version).clone();
            both.add(on[1].of(version));
            both
        });
        let counted = |evidence| Counted { evidence, waiting: &waiting, clients: None };
        let of_route = |number: RouteNumber| {
            let on = &on[number.index()];
            ByVersion { blue: counted(&on.blue), green: counted(&on.green) }
        };
        bench.comparison.tick_routes(of_route, bench.now);
        let whole = ByVersion { blue: counted(&sum.blue), green: counted(&sum.green) };
        bench.comparison.tick(whole, None, bench.weight, bench.now);
    }
    bench.comparison.heaviest().route
}

#[test]
fn a_route_is_named_that_has_green_s_failures_also_where_the_whole_has_more_evidence_of_them() {
    // Blue happens to have less of this route than of the others, which makes green's failures there less surprising.
    assert_eq!(named(12, [(1, 1, 1), (9, 0, 44)]).as_deref(), Some("small"));
    assert_eq!(named(12, [(1, 1, 3), (9, 9, 36)]), None, "everything fails");
}
