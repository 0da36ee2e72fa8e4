//! Table T2: a fault that begins after half an hour without one.

use portcullis::gate::ByVersion;
use portcullis::gate::compare::projection::Null;
use portcullis::gate::compare::relative::Relative;

use super::draw::{Draw, seconds};
use super::{Cell, Form, Sample, report};

const WEIGHT: f64 = 0.1;
const BLUE: f64 = 0.001;
const HEALTHY: f64 = 1_800.0;
const PLANNED: f64 = 3_600.0;
const GREEN_FAILS: [f64; 4] = [0.05, 0.1, 0.5, 1.0];

/// M of the errors alone that convicts: their share of the evidence is a half.
const CONVICTS: f64 = 2_000.0;

#[derive(Clone, Copy, Debug)]
struct Late {
    /// Requests per second of both versions.
    rate: f64,
    tick: f64,
    /// Green requests from the fault to the rollback for each of [`GREEN_FAILS`], and half of the last digit.
    specified: [(f64, f64); 4],
}

fn rates() -> Vec<Late> {
    vec![
        Late { rate: 100.0, tick: 1.0, specified: [(245.0, 0.5), (111.0, 0.5), (23.0, 0.5), (11.0, 0.5)] },
        Late { rate: 10.0, tick: 1.0, specified: [(234.0, 0.5), (106.0, 0.5), (18.5, 0.05), (8.1, 0.05)] },
        Late { rate: 1.0, tick: 1.0, specified: [(198.0, 0.5), (88.0, 0.5), (17.0, 0.5), (7.7, 0.05)] },
        Late { rate: 1_000.0, tick: 0.1, specified: [(290.0, 0.5), (127.0, 0.5), (26.0, 0.5), (12.0, 0.5)] },
        // One tick: the table's 993 are one random tick of 1,000 in the mean.
        Late { rate: 100_000.0, tick: 0.1, specified: [(993.0, 0.5); 4] },
    ]
}

impl Late {
    fn step(&self, relative: &mut Relative, number: u64, green: f64, draw: &mut Draw) -> (u64, u64) {
        let units = draw.arrivals(self.rate * self.tick);
        let of_green = draw.hits(units, WEIGHT);
        let units = ByVersion { blue: units - of_green, green: of_green };
        let counts = draw.outcomes(units, ByVersion { blue: BLUE, green });
        relative.tick(counts, seconds(number as f64 * self.tick));
        (of_green, counts.green.tally.bad)
    }

    /// Seconds, green requests and failures from the fault to the rollback, for each of [`GREEN_FAILS`]. None if the
    /// healthy time ends in a rollback.
    fn play(&self, draw: &mut Draw) -> Option<[[f64; 3]; 4]> {
        let history = draw.history((600.0 * self.rate).min(1e6) as u64, BLUE);
        let mut healthy = Relative::new(Null { ratio: 1.5, margin: 0.001 }, history, PLANNED / self.tick, seconds(0.0));
        let ticks = (HEALTHY / self.tick) as u64;
        for number in 1..=ticks {
            self.step(&mut healthy, number, BLUE, draw);
            if healthy.ln() >= CONVICTS.ln() {
                return None;
            }
        }
        Some(GREEN_FAILS.map(|fails| {
            let (mut relative, mut number, mut requests, mut failed) = (healthy.clone(), ticks, 0, 0);
            while relative.ln() < CONVICTS.ln() {
                number += 1;
                let (green, bad) = self.step(&mut relative, number, fails, draw);
                requests += green;
                failed += bad;
            }
            [(number - ticks) as f64 * self.tick, requests as f64, failed as f64]
        }))
    }
}

#[test]
fn a_fault_that_begins_late_is_found_as_quickly_as_specified() {
    let form = Form::chosen();
    let mut cells = Vec::new();
    for (number, late) in (300..).zip(form.cells(rates(), 2)) {
        let runs = form.runs(2_000);
        let mut samples: [[Sample; 3]; 4] = Default::default();
        let mut false_alarms = 0;
        for run in 0..runs {
            let Some(results) = late.play(&mut Draw::new(number, run)) else {
                false_alarms += 1;
                continue;
            };
            for (samples, results) in samples.iter_mut().zip(results) {
                for (sample, result) in samples.iter_mut().zip(results) {
                    sample.add(result);
                }
            }
        }
        for ((fails, [time, green, failed]), (mean, rounding)) in
            GREEN_FAILS.into_iter().zip(&samples).zip(late.specified)
        {
            cells.push(Cell {
                name: format!("{}/s, tick {} s, green {} %", late.rate, late.tick, fails * 100.0),
                specified: format!("{mean}"),
                measured: format!("{:.1} s / {:.1} / {:.1}", time.mean(), green.mean(), failed.mean()),
                runs: runs - false_alarms,
                passes: false_alarms * 100 <= runs && green.is_near(mean, 0.06, rounding, form),
            });
        }
    }
    report("T2: a late fault, weight 10 %: seconds / green requests (specified) / failed", form, &cells);
}
