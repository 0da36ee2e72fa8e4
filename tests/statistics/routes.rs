//! 64 routes compared by themselves: how often a green that is within limits is taken for a bad one, and how soon one is found
//! that fails on a small route alone.

use std::time::Duration;

use portcullis::gate::compare::{Comparison, Counted, Finding, RoutePast, Settings};
use portcullis::gate::route::{NamedRoute, OTHER};
use portcullis::gate::{ByVersion, Evidence, Latency, RouteNumber, Version};
use portcullis::release::Weight;

use super::draw::{Draw, seconds};
use super::{Cell, Form, Sample, report};

const ROUTES: usize = 64;
const PLANNED: Duration = Duration::from_secs(3_600);

/// The named routes and the rest.
fn routes() -> Vec<NamedRoute> {
    let name = |index| if index == ROUTES { OTHER.to_owned() } else { format!("route-{index}") };
    let number = |index| RouteNumber::from_index(index).expect("there are as many");
    (0..=ROUTES).map(|index| NamedRoute { number: number(index), name: name(index) }).collect()
}

/// Requests per second of each: a few have most, as in any service.
fn rates(all: f64) -> Vec<f64> {
    let shares: Vec<f64> = (0..=ROUTES).map(|index| 1.0 / (index + 1) as f64).collect();
    let sum: f64 = shares.iter().sum();
    shares.into_iter().map(|share| all * share / sum).collect()
}

/// So many requests, of which this share fails, as slow as any.
fn evidence(units: u64, fails: f64, draw: &mut Draw) -> Evidence {
    let mut latency = Latency::default();
    let slowest = draw.hits(units, 0.012);
    let slow = draw.hits(units - slowest, 0.3);
    for (millis, count) in [(400, slowest), (60, slow), (15, units - slowest - slow)] {
        latency.record_many(Duration::from_millis(millis), count);
    }
    Evidence { requests: units, failures: draw.hits(units, fails), latency, ..Evidence::default() }
}

fn sum<'a>(of: impl Iterator<Item = &'a Evidence>) -> Evidence {
    of.fold(Evidence::default(), |mut sum, part| {
        sum.add(part);
        sum
    })
}

fn begin(settings: Settings, pasts: &[Evidence]) -> Comparison {
    let routes = routes();
    let mut comparison = Comparison::new(settings, &sum(pasts.iter()), PLANNED, Duration::ZERO);
    let pasts = routes.iter().zip(pasts).map(|(route, blue)| RoutePast { route, blue });
    comparison.follow_routes(pasts, Duration::ZERO);
    comparison
}

/// One tick of every route and of the whole.
fn tick(comparison: &mut Comparison, on: &[ByVersion<Evidence>], weight: Weight, now: Duration) -> Finding {
    let waiting = Latency::default();
    let of = |evidence| Counted { evidence, waiting: &waiting, clients: None };
    let counted = |number: RouteNumber| {
        let on = &on[number.index()];
        ByVersion { blue: of(&on.blue), green: of(&on.green) }
    };
    comparison.tick_routes(counted, now);
    let whole = ByVersion::build(|version: Version| sum(on.iter().map(|on| on.of(version))));
    comparison.tick(ByVersion { blue: of(&whole.blue), green: of(&whole.green) }, None, weight, now)
}

const STEP: u64 = 150;
const WEIGHTS: [f64; 4] = [1.0, 10.0, 25.0, 50.0];

/// Whether a green that is as bad as allowed on every route is convicted in a release of ten minutes.
fn falsely_convicts(length: u64, draw: &mut Draw) -> bool {
    const BLUE: f64 = 0.004;
    let settings = Settings { tick: Duration::from_secs(1), ..Settings::default() };
    let rates = rates(400.0);
    let pasts: Vec<Evidence> = rates.iter().map(|rate| evidence((600.0 * rate) as u64, BLUE, draw)).collect();
    let mut comparison = begin(settings, &pasts);
    let allowed = settings.ratio * BLUE + settings.margin;
    for second in 0..length {
        let weight = Weight::from_percent(WEIGHTS[(second / STEP) as usize % WEIGHTS.len()]).expect("in range");
        let now = Duration::from_secs(second + 1);
        if second > 0 && second % STEP == 0 {
            comparison.weight_changed(now);
        }
        let mut on = |rate: &f64| {
            let units = draw.arrivals(*rate);
            let green = draw.hits(units, weight.ratio());
            ByVersion { blue: evidence(units - green, BLUE, draw), green: evidence(green, allowed, draw) }
        };
        let on: Vec<ByVersion<Evidence>> = rates.iter().map(&mut on).collect();
        if matches!(tick(&mut comparison, &on, weight, now), Finding::Convict { .. }) {
            return true;
        }
    }
    false
}

/// `PORTCULLIS_STATISTICS=long` plays the 2,000 releases, in some minutes.
#[test]
fn of_a_thousand_releases_with_64_routes_at_most_one_is_falsely_rolled_back() {
    let form = Form::chosen();
    let (runs, length) = match form {
        Form::Tiny => (2, STEP / 3),
        Form::Short => (20, 4 * STEP),
        Form::Long => (2_000, 4 * STEP),
    };
    let convicted = (0..runs).filter(|run| falsely_convicts(length, &mut Draw::new(700, *run))).count() as u64;
    let cell = Cell {
        name: "green exactly at the boundary on each of 64 routes, 400/s".to_owned(),
        specified: "at most 0.1 %".to_owned(),
        measured: format!("{:.2} %", 100.0 * convicted as f64 / runs as f64),
        runs,
        passes: convicted * 1_000 <= runs,
    };
    report("64 routes: false alarms", form, &[cell]);
}

/// The requests of green's that fail on one route of 10 requests/s among 2,000 until it is convicted, from `late` on.
fn found(late: u64, draw: &mut Draw) -> u64 {
    const CHECKOUT: usize = 7;
    let settings = Settings::default();
    let weight = Weight::PROBE;
    let mut rates = vec![0.0; ROUTES + 1];
    (rates[ROUTES], rates[CHECKOUT]) = (1_990.0, 10.0);
    let pasts: Vec<Evidence> = rates.iter().map(|rate| evidence((600.0 * rate) as u64, 0.001, draw)).collect();
    let mut comparison = begin(settings, &pasts);
    let mut failed = 0;
    for number in 0..u64::MAX {
        let now = seconds(number as f64 / 10.0);
        let mut on = vec![ByVersion::<Evidence>::default(); ROUTES + 1];
        for index in [CHECKOUT, ROUTES] {
            let units = draw.arrivals(rates[index] / 10.0);
            let green = draw.hits(units, weight.ratio());
            let fails = if index == CHECKOUT && number >= 10 * late { 1.0 } else { 0.001 };
            on[index] = ByVersion { blue: evidence(units - green, 0.001, draw), green: evidence(green, fails, draw) };
        }
        if number >= 10 * late {
            failed += on[CHECKOUT].green.failures;
        }
        if let Finding::Convict { sentence, .. } = tick(&mut comparison, &on, weight, now) {
            assert!(sentence.starts_with("on route `route-7` green failed "), "{sentence}");
            return failed;
        }
    }
    unreachable!("it is convicted sooner")
}

#[test]
fn what_convicted_a_route_is_forgotten_once_the_route_is_left_out() {
    let mut draw = Draw::new(730, 0);
    let mut tick_of = |comparison: &mut Comparison, fails: f64, number: u64| {
        let mut on = vec![ByVersion::<Evidence>::default(); ROUTES + 1];
        // What is on a route that was taken back is not counted.
        for (index, share) in [(7, if fails > 0.0 { 5 } else { 0 }), (9, 5), (ROUTES, 90)] {
            let fails = if index == 7 { fails } else { 0.0 };
            on[index] = ByVersion::build(|version| {
                evidence(share, if version == Version::Green { fails } else { 0.0 }, &mut draw)
            });
        }
        tick(comparison, &on, Weight::PROBE, seconds(number as f64 / 10.0))
    };
    let pasts: Vec<Evidence> = vec![Evidence::default(); ROUTES + 1];
    let mut comparison = begin(Settings::default(), &pasts);
    let convicted = (0..1_000).find_map(|number| match tick_of(&mut comparison, 1.0, number) {
        Finding::Convict { route, .. } => Some((number, route)),
        _ => None,
    });
    let (at, route) = convicted.expect("it fails");
    assert_eq!(route.as_deref(), Some("route-7"));
    comparison.leave_out("route-7");
    for number in at + 1..at + 600 {
        let finding = tick_of(&mut comparison, 0.0, number);
        assert!(matches!(finding, Finding::Undecided { .. } | Finding::Clear { .. }), "{finding:?}");
    }
    assert!(comparison.routes().all(|route| route.route != "route-7") && comparison.routes().count() == ROUTES);
}

#[test]
fn a_route_of_half_a_percent_that_fails_on_green_alone_is_convicted_within_30_failures() {
    let form = Form::chosen();
    let mut cells = Vec::new();
    for (number, late) in (710..).zip([0, 30, 300]) {
        let runs = match form {
            Form::Tiny if late > 30 => continue,
            Form::Tiny => 2,
            Form::Short => 20,
            Form::Long => 500,
        };
        let mut failed = Sample::default();
        (0..runs).for_each(|run| failed.add(found(late, &mut Draw::new(number, run)) as f64));
        let most = failed.values.iter().copied().fold(0.0, f64::max);
        cells.push(Cell {
            name: format!("10/s of 2,000/s, weight 10 %, after {late} s"),
            specified: "at most 30".to_owned(),
            measured: format!("{:.1}, at most {most}", failed.mean()),
            runs,
            passes: most <= 30.0,
        });
    }
    report("64 routes: failed requests until a broken one is found", form, &cells);
}
