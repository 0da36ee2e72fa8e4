//! Tables T1 and T1b: how many requests a green that is bad from the first on is given, without and with the probe.

use std::time::Duration;

use portcullis::gate::compare::projection::Null;
use portcullis::gate::compare::relative::Relative;
use portcullis::gate::compare::{Comparison, Counted, Finding, Settings};
use portcullis::gate::{ByVersion, Evidence, Latency};
use portcullis::release::Weight;

use super::draw::{Draw, seconds};
use super::{Cell, Form, Sample, report};

const DEFAULT: Null = Null { ratio: 1.5, margin: 0.001 };

/// Requests per second of both versions; nothing in these tables depends on it but when blue's rate is estimated anew.
const RATE: f64 = 100.0;
const HISTORY: u64 = 60_000;
const PLANNED: f64 = 3_600.0;

/// The errors' share of the combined evidence.
const ERRORS: f64 = 0.5;

#[derive(Clone, Copy, Debug)]
struct Delay {
    null: Null,
    weight: f64,
    blue: f64,
    green: f64,
    false_alarm: f64,
    /// Green requests until the rollback, and half of the last digit that the table gives.
    specified: (f64, f64),
}

impl Delay {
    fn is_slow(&self) -> bool {
        self.green <= 0.01
    }

    fn name(&self) -> String {
        let percent = |share: f64| format!("{} %", (share * 1e4).round() / 100.0);
        format!("blue {}, green {}, weight {}", percent(self.blue), percent(self.green), percent(self.weight))
    }

    /// Green's requests and failures until the rollback.
    fn play(&self, draw: &mut Draw) -> (u64, u64) {
        let history = draw.history(HISTORY, self.blue);
        let mut relative = Relative::new(self.null, history, PLANNED, Duration::ZERO);
        let rates = ByVersion { blue: self.blue, green: self.green };
        let (mut requests, mut green, mut failed) = (0, 0, 0);
        while relative.ln() < -f64::ln(self.false_alarm * ERRORS) {
            let units = draw.block(self.weight);
            requests += units.blue + units.green;
            let counts = draw.outcomes(units, rates);
            green += units.green;
            failed += counts.green.tally.bad;
            relative.tick(counts, seconds(requests as f64 / RATE));
        }
        (green, failed)
    }
}

/// `(green fails, [mean at weight 1 %, 10 %, 50 %, 90 %])`; 0 where the table has no number.
const T1: [(f64, [f64; 4]); 5] = [
    (1.0, [2.8, 4.6, 13.9, 92.6]),
    (0.5, [6.3, 11.3, 38.0, 242.0]),
    (0.1, [44.0, 72.0, 224.0, 1_410.0]),
    (0.05, [111.0, 163.0, 498.0, 3_085.0]),
    (0.01, [1_794.0, 2_158.0, 5_129.0, 0.0]),
];

const T1B: [(f64, [f64; 3]); 4] =
    [(1.0, [3.3, 5.5, 16.9]), (0.5, [7.7, 14.0, 47.0]), (0.1, [54.0, 88.0, 279.0]), (0.05, [139.0, 205.0, 616.0])];

fn t1() -> Vec<Delay> {
    let weights = [0.01, 0.1, 0.5, 0.9];
    let plain = |green, weight, mean: f64| {
        let rounding = if mean.fract() == 0.0 { 0.5 } else { 0.05 };
        Delay { null: DEFAULT, weight, blue: 0.001, green, false_alarm: 0.001, specified: (mean, rounding) }
    };
    let mut cells: Vec<Delay> = T1
        .into_iter()
        .flat_map(|(green, means)| weights.into_iter().zip(means).map(move |(weight, mean)| plain(green, weight, mean)))
        .filter(|delay| delay.specified.0 > 0.0)
        .collect();
    for (green, mean) in [(0.05, 596.0), (0.1, 143.0), (0.5, 13.9), (1.0, 5.2)] {
        cells.push(Delay { blue: 0.01, ..plain(green, 0.1, mean) });
    }
    cells
}

fn t1_sharp() -> Vec<Delay> {
    let means = [(1.0, 4.0, 0.05), (0.5, 9.7, 0.05), (0.1, 55.0, 0.5), (0.05, 126.0, 0.5), (0.01, 1_048.0, 0.5)];
    means
        .into_iter()
        .map(|(green, mean, rounding)| Delay {
            null: Null::EQUAL,
            weight: 0.1,
            blue: 0.001,
            green,
            false_alarm: 0.001,
            specified: (mean, rounding),
        })
        .collect()
}

fn t1b() -> Vec<Delay> {
    let weights = [0.01, 0.1, 0.5];
    let cell = |green, weight, mean: f64| {
        let rounding = if mean.fract() == 0.0 { 0.5 } else { 0.05 };
        Delay { null: DEFAULT, weight, blue: 0.001, green, false_alarm: 0.0001, specified: (mean, rounding) }
    };
    T1B.into_iter()
        .flat_map(|(green, means)| weights.into_iter().zip(means).map(move |(weight, mean)| cell(green, weight, mean)))
        .collect()
}

fn check(table: &str, first: u64, all: Vec<Delay>, short: usize) {
    let form = Form::chosen();
    let mut cells = Vec::new();
    for (number, delay) in (first..).zip(form.cells(all, short)) {
        let runs = form.runs(if delay.is_slow() { 600 } else { 2_000 });
        let (mut green, mut failed) = (Sample::default(), Sample::default());
        for run in 0..runs {
            let (requests, failures) = delay.play(&mut Draw::new(number, run));
            green.add(requests as f64);
            failed.add(failures as f64);
        }
        let (mean, rounding) = delay.specified;
        let tolerance = if delay.is_slow() { 0.1 } else { 0.06 };
        cells.push(Cell {
            name: delay.name(),
            specified: format!("{mean}"),
            measured: format!("{:.1} ({:.0}) / {:.1}", green.mean(), green.percentile_99(), failed.mean()),
            runs,
            passes: green.is_near(mean, tolerance, rounding, form),
        });
    }
    report(table, form, &cells);
}

#[test]
fn a_bad_green_is_convicted_after_as_few_requests_as_specified() {
    check("T1: green requests until the rollback, mean (99th percentile) / failed", 200, t1(), 10);
}

#[test]
fn a_bad_green_is_convicted_after_as_few_requests_against_the_sharp_null() {
    check("T1, sharp null (ratio 1, margin 0)", 230, t1_sharp(), 3);
}

#[test]
fn a_smaller_chance_of_a_false_alarm_costs_as_many_requests_as_specified() {
    check("T1b: a false alarm in 10,000 releases", 240, t1b(), 6);
}

/// `(weight, green fails, mean green requests until the rollback)`.
const PROBED: [(f64, f64, f64); 12] = [
    (90.0, 1.0, 6.7),
    (90.0, 0.5, 17.5),
    (99.0, 1.0, 6.7),
    (50.0, 1.0, 6.6),
    (90.0, 0.1, 131.0),
    (90.0, 0.05, 390.0),
    (50.0, 0.5, 16.5),
    (50.0, 0.1, 118.0),
    (50.0, 0.05, 329.0),
    (99.0, 0.5, 17.5),
    (99.0, 0.1, 133.0),
    (99.0, 0.05, 400.0),
];

/// Green's requests and failures until the rollback, every request a tick; none if it ends without one. Where chance
/// holds the cause to be common for a while, green keeps the weight it has.
fn probed(weight: f64, green: f64, draw: &mut Draw) -> Option<(u64, u64)> {
    let past = draw.history(HISTORY, 0.001);
    let history = Evidence { requests: past.units, failures: past.bad, ..Evidence::default() };
    let settings = Settings { tick: Duration::from_secs(1), ..Settings::default() };
    let mut comparison = Comparison::new(settings, &history, seconds(PLANNED), Duration::ZERO);
    let (mut weight, waiting) = (Weight::from_percent(weight).expect("in range"), Latency::default());
    let mut counted: ByVersion<Evidence> = ByVersion::default();
    let (mut requests, mut failed) = (0, 0);
    for tick in 1..200_000 {
        let now = seconds(f64::from(tick) / RATE);
        let to_green = draw.happens(weight.ratio());
        (counted.green.requests, counted.blue.requests) = (u64::from(to_green), u64::from(!to_green));
        counted.green.failures = draw.hits(counted.green.requests, green);
        counted.blue.failures = draw.hits(counted.blue.requests, 0.001);
        requests += counted.green.requests;
        failed += counted.green.failures;
        let of = |evidence| Counted { evidence, waiting: &waiting, clients: None };
        let ByVersion { blue, green } = counted.as_ref();
        match comparison.tick(ByVersion { blue: of(blue), green: of(green) }, None, weight, now) {
            Finding::Convict { .. } => return Some((requests, failed)),
            Finding::Probe { .. } if weight > Weight::PROBE => {
                weight = Weight::PROBE;
                comparison.weight_changed(now);
            }
            Finding::Unresolved { .. } | Finding::Acquitted { .. } => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn a_probe_convicts_at_high_weight_after_as_few_requests_as_specified() {
    let form = Form::chosen();
    let mut cells = Vec::new();
    for (number, (weight, fails, mean)) in (260..).zip(form.cells(PROBED.to_vec(), 4)) {
        let runs = form.runs(1_000);
        let (mut green, mut failed, mut undecided) = (Sample::default(), Sample::default(), 0);
        for run in 0..runs {
            match probed(weight, fails, &mut Draw::new(number, run)) {
                Some((requests, failures)) => {
                    green.add(requests as f64);
                    failed.add(failures as f64);
                }
                None => undecided += 1,
            }
        }
        let rounding = if mean.fract() == 0.0 { 0.5 } else { 0.05 };
        cells.push(Cell {
            name: format!("blue 0.1 %, green {} %, weight {weight} %", fails * 100.0),
            specified: format!("{mean}"),
            measured: format!(
                "{:.1} ({:.0}) / {:.1}, {undecided} without a rollback",
                green.mean(),
                green.percentile_99(),
                failed.mean()
            ),
            runs,
            passes: undecided == 0 && green.is_near(mean, 0.06, rounding, form),
        });
    }
    report("T1 with the probe: green requests until the rollback, mean (99th percentile) / failed", form, &cells);
}
