//! Table G1: how often a green that is within limits is taken for a bad one.

use std::time::Duration;

use portcullis::gate::ByVersion;
use portcullis::gate::compare::projection::Null;
use portcullis::gate::compare::relative::Relative;

use super::draw::Draw;
use super::{Cell, Form, report};

const WEIGHTS: [f64; 6] = [0.01, 0.05, 0.1, 0.25, 0.5, 0.9];
const STEP: u64 = 600;
const SECONDS: u64 = 3_600;
const DEFAULT: Null = Null { ratio: 1.5, margin: 0.001 };

/// The evidence that is looked for, and the chance of ever seeing it.
const LEVELS: [(f64, f64); 3] = [(20.0, 0.05), (100.0, 0.01), (1_000.0, 0.001)];

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Both versions at this rate.
    Constant(f64),
    /// Green as bad as the null allows.
    Boundary(f64),
    /// Both fail half of their requests for two separate minutes.
    Outages,
    /// In one second of a hundred both fail 40 %.
    Bursts,
    /// Both rise from 0.1 to 5 %.
    Drift,
    /// Both fail half of their requests in the first 20 s of each weight.
    Steps,
}

#[derive(Clone, Copy, Debug)]
struct Scenario {
    name: &'static str,
    null: Null,
    fault: Fault,
    /// Requests per second of both versions.
    rate: f64,
    /// Green's real share, of the one that is configured.
    share: f64,
    /// Percent of the runs that ever see each level.
    specified: [f64; 3],
    /// Runs behind these.
    of: u64,
    runs: u64,
}

fn scenarios() -> Vec<Scenario> {
    let plain = |name, null, fault, rate, specified| Scenario {
        name,
        null,
        fault,
        rate,
        share: 1.0,
        specified,
        of: 5_000,
        runs: 5_000,
    };
    let sharp = Null::EQUAL;
    let drift = |name, share, specified| Scenario {
        share,
        of: 1_500,
        runs: 1_500,
        ..plain(name, sharp, Fault::Drift, 100.0, specified)
    };
    vec![
        Scenario {
            of: 20_000,
            runs: 20_000,
            ..plain("green exactly at the boundary, 100/s", DEFAULT, Fault::Boundary(0.001), 100.0, [1.18, 0.22, 0.01])
        },
        plain("two common outages of 60 s at 50 %, 100/s (sharp)", sharp, Fault::Outages, 100.0, [0.78, 0.30, 0.06]),
        Scenario {
            of: 20_000,
            runs: 20_000,
            ..plain("0.1 %, 100/s (sharp)", sharp, Fault::Constant(0.001), 100.0, [1.18, 0.29, 0.04])
        },
        plain("0.1 %, 1/s (sharp)", sharp, Fault::Constant(0.001), 1.0, [0.24, 0.04, 0.0]),
        plain("0.1 %, 10/s (sharp)", sharp, Fault::Constant(0.001), 10.0, [0.62, 0.10, 0.0]),
        plain("0.1 %, 1000/s (sharp)", sharp, Fault::Constant(0.001), 1_000.0, [1.10, 0.30, 0.0]),
        plain("1 %, 1/s (sharp)", sharp, Fault::Constant(0.01), 1.0, [0.50, 0.04, 0.0]),
        plain("good green, 100/s (default)", DEFAULT, Fault::Constant(0.001), 100.0, [0.12, 0.0, 0.0]),
        plain("common bursts, 100/s (sharp)", sharp, Fault::Bursts, 100.0, [0.46, 0.06, 0.02]),
        plain("common drift 0.1 to 5 %, 100/s (sharp)", sharp, Fault::Drift, 100.0, [1.12, 0.18, 0.0]),
        plain("common outage of 20 s at each step, 100/s (sharp)", sharp, Fault::Steps, 100.0, [0.12, 0.02, 0.0]),
        drift("real share 0.7 of the configured, drift (sharp)", 0.7, [1.5, 0.13, 0.0]),
        drift("real share 1.1 of the configured, drift (sharp)", 1.1, [1.1, 0.13, 0.0]),
        drift("real share 1.5 of the configured, drift (sharp)", 1.5, [1.1, 0.27, 0.0]),
    ]
}

impl Scenario {
    fn rates(&self, second: u64, draw: &mut Draw) -> ByVersion<f64> {
        let both = |rate| ByVersion { blue: rate, green: rate };
        match self.fault {
            Fault::Constant(rate) => both(rate),
            Fault::Boundary(rate) => ByVersion { blue: rate, green: self.null.allowed(rate) },
            Fault::Outages if matches!(second, 900..960 | 2_400..2_460) => both(0.5),
            Fault::Bursts if draw.happens(0.01) => both(0.4),
            Fault::Steps if second >= STEP && second % STEP < 20 => both(0.5),
            Fault::Outages | Fault::Bursts | Fault::Steps => both(0.001),
            Fault::Drift => both(0.001 + 0.049 * second as f64 / SECONDS as f64),
        }
    }

    /// The most evidence that one hour ever shows, as its logarithm.
    fn play(&self, draw: &mut Draw) -> f64 {
        let before = match self.fault {
            Fault::Constant(rate) | Fault::Boundary(rate) => rate,
            _ => 0.001,
        };
        let history = draw.history((600.0 * self.rate) as u64, before);
        let mut relative = Relative::new(self.null, history, SECONDS as f64, Duration::ZERO);
        let mut most = f64::NEG_INFINITY;
        for second in 0..SECONDS {
            let now = Duration::from_secs(second + 1);
            if second > 0 && second % STEP == 0 {
                relative.cut(now);
            }
            let rates = self.rates(second, draw);
            let share = (WEIGHTS[(second / STEP) as usize] * self.share).min(1.0);
            let units = draw.arrivals(self.rate);
            let green = draw.hits(units, share);
            relative.tick(draw.outcomes(ByVersion { blue: units - green, green }, rates), now);
            most = most.max(relative.ln());
        }
        most
    }
}

#[test]
fn an_acceptable_green_is_convicted_no_more_often_than_promised() {
    let form = Form::chosen();
    let mut cells = Vec::new();
    for (number, scenario) in (100..).zip(form.cells(scenarios(), 3)) {
        let runs = form.runs(scenario.runs);
        let mut seen = [0; LEVELS.len()];
        for run in 0..runs {
            let most = scenario.play(&mut Draw::new(number, run));
            for (seen, (level, _)) in seen.iter_mut().zip(LEVELS) {
                *seen += u64::from(most >= f64::ln(level));
            }
        }
        for ((seen, (level, nominal)), specified) in seen.into_iter().zip(LEVELS).zip(scenario.specified) {
            cells.push(Cell {
                name: format!("{}, ever ≥ {level}", scenario.name),
                specified: format!("{specified} %"),
                measured: format!("{:.2} %", 100.0 * seen as f64 / runs as f64),
                runs,
                passes: passes(seen, runs, specified / 100.0, scenario.of, nominal, form),
            });
        }
    }
    report("G1: false alarms", form, &cells);
}

fn passes(seen: u64, runs: u64, specified: f64, of: u64, nominal: f64, form: Form) -> bool {
    let share = seen as f64 / runs as f64;
    // The standard error of the difference between two simulations of the same share. A share of nothing in the table
    // stands for less than one run of it.
    let pooled = (seen as f64 + specified * of as f64).max(1.0) / (runs + of) as f64;
    let error = (pooled * (1.0 - pooled) * (1.0 / runs as f64 + 1.0 / of as f64)).sqrt();
    let chance = if form == Form::Long { 0.0 } else { 4.0 * (nominal * (1.0 - nominal) / runs as f64).sqrt() };
    share <= nominal + chance && (share - specified).abs() <= 4.0 * error
}
