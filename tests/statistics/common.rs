//! Table T6: both versions fail alike, and green is not blamed for it.

use std::time::Duration;

use portcullis::gate::compare::{Comparison, Counted, Finding, Settings};
use portcullis::gate::{ByVersion, Evidence, Latency};
use portcullis::release::Weight;

use super::draw::{Draw, seconds};
use super::{Cell, Form, report};

const RATE: f64 = 100.0;
const HISTORY: u64 = 60_000;
const MOST: u32 = 1_500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    External(u32),
    Rollback,
    Undecided,
}

#[derive(Clone, Copy, Debug)]
struct Shared {
    weight: f64,
    fails: f64,
    /// What blue did before; a version is suspected above three times that, or 1 %.
    before: f64,
    specified: Specified,
}

#[derive(Clone, Copy, Debug)]
enum Specified {
    /// Mean requests until the cause is known to be common; the table gives a range over all weights.
    Between(f64, f64),
    /// Percent of the runs that are undecided when the requests end.
    Undecided(f64),
    /// No rollback is all that the table says.
    Nothing,
}

fn shared() -> Vec<Shared> {
    let mut all = Vec::new();
    for (fails, specified) in [(1.0, (4.0, 21.0)), (0.5, (11.0, 62.0)), (0.2, (37.0, 227.0)), (0.05, (373.0, 499.0))] {
        for weight in [10.0, 50.0, 90.0, 99.0] {
            let specified = match (fails, weight) {
                (0.05, 10.0) => Specified::Undecided(70.0),
                _ => Specified::Between(specified.0, specified.1),
            };
            all.push(Shared { weight, fails, before: 0.001, specified });
        }
    }
    for fails in [1.0, 0.5, 0.2] {
        for weight in [10.0, 50.0, 90.0, 99.0] {
            all.push(Shared { weight, fails, before: 0.05 / 3.0, specified: Specified::Nothing });
        }
    }
    all
}

impl Shared {
    fn play(&self, draw: &mut Draw) -> End {
        let past = draw.history(HISTORY, self.before);
        let history = Evidence { requests: past.units, failures: past.bad, ..Evidence::default() };
        let settings = Settings { tick: Duration::from_secs(1), ..Settings::default() };
        let mut comparison = Comparison::new(settings, &history, Duration::from_secs(3_600), Duration::ZERO);
        let (mut weight, waiting) = (Weight::from_percent(self.weight).expect("in range"), Latency::default());
        let mut counted: ByVersion<Evidence> = ByVersion::default();
        for request in 1..=MOST {
            let now = seconds(f64::from(request) / RATE);
            let to_green = draw.happens(weight.ratio());
            let failed = u64::from(draw.happens(self.fails));
            let (taken, spared) = match to_green {
                true => (&mut counted.green, &mut counted.blue),
                false => (&mut counted.blue, &mut counted.green),
            };
            (taken.requests, taken.failures, spared.requests, spared.failures) = (1, failed, 0, 0);
            let of = |evidence| Counted { evidence, waiting: &waiting, clients: None };
            let ByVersion { blue, green } = counted.as_ref();
            match comparison.tick(ByVersion { blue: of(blue), green: of(green) }, None, weight, now) {
                Finding::Convict { .. } => return End::Rollback,
                Finding::External { .. } => return End::External(request),
                Finding::Probe { .. } if weight > Weight::PROBE => {
                    weight = Weight::PROBE;
                    comparison.weight_changed(now);
                }
                _ => {}
            }
        }
        End::Undecided
    }
}

#[test]
fn promise_5_a_common_cause_is_never_blamed_on_green() {
    let form = Form::chosen();
    let mut cells = Vec::new();
    for (number, shared) in (500..).zip(form.cells(shared(), 8)) {
        let runs = form.runs(10_000);
        let (mut rollbacks, mut external, mut requests) = (0, 0, 0);
        for run in 0..runs {
            match shared.play(&mut Draw::new(number, run)) {
                End::Rollback => rollbacks += 1,
                End::External(after) => (external, requests) = (external + 1, requests + u64::from(after)),
                End::Undecided => {}
            }
        }
        let mean = requests as f64 / f64::from(external);
        let undecided = 100.0 * (runs as f64 - f64::from(external) - f64::from(rollbacks)) / runs as f64;
        // The range holds the means of four weights; each is given the tolerance of a mean.
        let (specified, is_near) = match shared.specified {
            Specified::Between(least, most) => {
                (format!("0; {least} to {most}"), mean >= least * 0.94 - 0.5 && mean <= most * 1.06 + 0.5)
            }
            Specified::Undecided(percent) => {
                (format!("0; {percent} % undecided"), (undecided - percent).abs() <= 0.06 * percent)
            }
            Specified::Nothing => ("0".to_owned(), true),
        };
        cells.push(Cell {
            name: format!(
                "both fail {} %, weight {} %, blue {:.2} % before",
                shared.fails * 100.0,
                shared.weight,
                shared.before * 100.0
            ),
            specified,
            measured: format!("{rollbacks}; {mean:.1}, {undecided:.0} % undecided"),
            runs,
            passes: rollbacks == 0 && is_near,
        });
    }
    report("T6: a common cause: rollbacks; mean requests until it is known to be common", form, &cells);
}
