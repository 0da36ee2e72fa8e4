//! Many replicas that act as one: what they count is added up in one of them, and the comparison of the sum is as quick as if
//! one proxy had had all of the traffic, and as careful.
//!
//! What is real: how ticks of replicas are added up (`measure::replicas`), the comparison, and how `falseAlarm` is shared.

use std::time::Duration;

use portcullis::course::Voice;
use portcullis::gate::compare::projection::Null;
use portcullis::gate::compare::relative::Relative;
use portcullis::gate::compare::{Comparison, Counted as OfVersion, Finding, Settings};
use portcullis::gate::{ByVersion, Evidence};
use portcullis::measure::Tick;
use portcullis::measure::replicas::{Counted, Drawers, Replicas, Split};
use portcullis::release::{Epoch, Weight};

use super::draw::{Draw, seconds};
use super::{Cell, Form, Sample, report};

const REPLICAS: usize = 20;

/// The one that leads.
const LEADER: usize = 0;

/// The one in a bad zone, where there is one.
const ZONE: usize = 7;

const HISTORY: u64 = 60_000;
const PLANNED: Duration = Duration::from_secs(3_600);
const FALSE_ALARM: f64 = 0.001;

/// How the replicas are heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    AtOnce,
    /// Each always this late: up to a second, in equal steps.
    Late,
    /// Late, and each is away for 15 s of every minute: it has no traffic, and is another process afterwards.
    ComeAndGo,
    /// Late, and each is unheard for 15 s of every minute: it counts on, and tells all of it afterwards.
    CutOff,
}

#[derive(Clone, Debug)]
struct Fleet {
    heard: Heard,
    /// Requests per second of each.
    rate: f64,
    tick: f64,
    blue: f64,
    green: f64,
    /// How often both versions fail in the bad zone beside that.
    zone: f64,
    /// Green's weight in percent, and how long it stays. The last stays to the end.
    plan: Vec<(f64, f64)>,
    /// How long the bad zone takes to follow a change of the weight; the others take up to a second.
    zone_follows_after: f64,
    longest: f64,
}

/// What came of it.
struct Played {
    /// Green's requests of the whole fleet until the conviction; none without one.
    convicted_after: Option<u64>,
    failed: u64,
}

impl Fleet {
    fn at_one_percent(heard: Heard) -> Fleet {
        Fleet {
            heard,
            rate: 5.0,
            tick: 0.5,
            blue: 0.001,
            green: 0.05,
            zone: 0.0,
            plan: vec![(1.0, f64::INFINITY)],
            zone_follows_after: 0.0,
            longest: 10_000.0,
        }
    }

    fn weight(&self, at: f64) -> Weight {
        let mut left = at.max(0.0);
        let mut steps = self.plan.iter();
        let mut weight = steps.next().expect("a plan has a step");
        while left >= weight.1 {
            left -= weight.1;
            match steps.next() {
                Some(next) => weight = next,
                None => break,
            }
        }
        Weight::from_percent(weight.0).expect("in range")
    }

    fn follows_after(&self, replica: usize) -> f64 {
        match replica {
            LEADER => 0.0,
            ZONE => self.zone_follows_after,
            _ => lag(replica),
        }
    }

    /// Whether it is away, or unheard, and for how long yet.
    fn away(&self, replica: usize, at: f64) -> Option<f64> {
        let in_minute = (at + 3.0 * replica as f64) % 60.0;
        let is_out = matches!(self.heard, Heard::ComeAndGo | Heard::CutOff) && replica != LEADER && in_minute < 15.0;
        is_out.then_some(15.0 - in_minute)
    }

    fn play(&self, draw: &mut Draw) -> Played {
        let past = draw.history(HISTORY, self.blue);
        let history = Evidence { requests: past.units, failures: past.bad, ..Evidence::default() };
        let false_alarm = FALSE_ALARM * Voice::Sum.share();
        let settings = Settings { tick: Duration::from_secs(1), false_alarm, ..Settings::default() };
        let mut comparison = Comparison::new(settings, &history, PLANNED, Duration::ZERO);
        let mut replicas = Replicas::default();
        let names: Vec<String> = (0..REPLICAS).map(|replica| format!("replica-{replica}")).collect();
        // With when it will be heard.
        let mut told: Vec<(f64, usize, Duration, Counted)> = Vec::new();
        let (mut weight, mut played) = (self.weight(0.0), Played { convicted_after: None, failed: 0 });
        let mut green = 0;
        for number in 1.. {
            let at = f64::from(number) * self.tick;
            if at > self.longest {
                break;
            }
            let now = seconds(at);
            let mut sum = Tick::default();
            for (replica, name) in names.iter().enumerate() {
                let away = self.away(replica, at);
                if away.is_some() && self.heard == Heard::ComeAndGo {
                    replicas.forget(name);
                    continue;
                }
                let own = self.weight(at - self.follows_after(replica));
                let counted = self.count(replica, own, draw);
                green += counted.tick.samples.green.evidence.requests;
                played.failed += counted.tick.samples.green.evidence.failures;
                match (replica, self.heard) {
                    (LEADER, _) => sum = counted.tick,
                    (_, Heard::AtOnce) => replicas.take(name, now, counted),
                    (_, _) => told.push((at + away.unwrap_or_default() + lag(replica), replica, now, counted)),
                }
            }
            let mut due: Vec<_> = told.extract_if(.., |(heard, ..)| *heard <= at).collect();
            due.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
            for (_, replica, counted_at, counted) in due {
                replicas.take(&names[replica], counted_at, counted);
            }
            let present = self.weight(at);
            if present != weight {
                comparison.weight_changed(now);
                weight = present;
            }
            replicas.add_to(&mut sum, &Drawers::default(), split(weight), now);
            let of = ByVersion::build(|version| OfVersion {
                evidence: &sum.samples.of(version).evidence,
                waiting: sum.waiting.of(version),
                clients: *sum.clients.of(version),
            });
            if let Finding::Convict { .. } = comparison.tick(of, None, weight, now) {
                played.convicted_after = Some(green);
                break;
            }
        }
        played
    }

    fn count(&self, replica: usize, weight: Weight, draw: &mut Draw) -> Counted {
        let zone = if replica == ZONE { self.zone } else { 0.0 };
        let all = draw.arrivals(self.rate * self.tick);
        let to_green = draw.hits(all, weight.ratio());
        let mut tick = Tick::default();
        for (sample, requests, fails) in
            [(&mut tick.samples.blue, all - to_green, self.blue), (&mut tick.samples.green, to_green, self.green)]
        {
            sample.evidence.requests = requests;
            sample.evidence.failures = draw.hits(requests, (fails + zone).min(1.0));
        }
        Counted { split: split(weight), tick, drawers: Drawers::default() }
    }
}

fn split(weight: Weight) -> Split {
    Split { epoch: Epoch::from(1), weight, taken_back: 0 }
}

fn lag(replica: usize) -> f64 {
    replica as f64 / REPLICAS as f64
}

#[test]
fn twenty_replicas_at_1_percent_convict_a_5_percent_fault_in_as_few_requests_as_specified_for_their_sum() {
    let form = Form::chosen();
    // Table T1, and the nine tenths of the chance of a false alarm that the sum has.
    let specified = 111.0 * f64::ln(2.0 / (FALSE_ALARM * Voice::Sum.share())) / f64::ln(2.0 / FALSE_ALARM);
    let mut cells = Vec::new();
    for (number, heard) in (700..).zip([Heard::AtOnce, Heard::Late, Heard::ComeAndGo]) {
        let runs = form.runs(2_000);
        let (mut green, mut failed, mut unconvicted) = (Sample::default(), Sample::default(), 0);
        for run in 0..runs {
            let played = Fleet::at_one_percent(heard).play(&mut Draw::new(number, run));
            match played.convicted_after {
                Some(requests) => {
                    green.add(requests as f64);
                    failed.add(played.failed as f64);
                }
                None => unconvicted += 1,
            }
        }
        cells.push(Cell {
            name: format!("20 replicas, heard {heard:?}"),
            specified: format!("{specified:.1} (310)"),
            measured: format!(
                "{:.1} ({:.0}) / {:.1}, {unconvicted} without a rollback",
                green.mean(),
                green.percentile_99(),
                failed.mean()
            ),
            runs,
            passes: unconvicted == 0 && green.is_near(specified, 0.06, 0.5, form),
        });
    }
    println!("one replica that hears of nobody needs {:.0} green requests of its own", alone(form).mean());
    report("Replicas: green requests of all until the rollback, mean (99th percentile) / failed", form, &cells);
}

/// Green's requests at one replica until its own judgement, which has a small part of `falseAlarm`, convicts.
fn alone(form: Form) -> Sample {
    let share = Voice::Own { among: REPLICAS as u32 - 1 }.share();
    let mut green = Sample::default();
    for run in 0..form.runs(1_000) {
        let mut draw = Draw::new(710, run);
        let history = draw.history(HISTORY / REPLICAS as u64, 0.001);
        let null = Null { ratio: 1.5, margin: 0.001 };
        let mut relative = Relative::new(null, history, PLANNED.as_secs_f64(), Duration::ZERO);
        let (mut all, mut of_green) = (0, 0);
        while relative.ln() < -f64::ln(FALSE_ALARM * share * 0.5) {
            let units = draw.block(0.01);
            all += units.blue + units.green;
            of_green += units.green;
            let counts = draw.outcomes(units, ByVersion { blue: 0.001, green: 0.05 });
            relative.tick(counts, seconds(all as f64 / 5.0));
        }
        green.add(of_green as f64);
    }
    green
}

/// From 1 to 90 %, and down to 10 % as a probe does.
fn up_and_down() -> Vec<(f64, f64)> {
    [1.0, 5.0, 10.0, 25.0, 50.0, 90.0, 10.0].map(|weight| (weight, 100.0)).to_vec()
}

#[test]
fn promise_5_replicas_that_fail_alike_or_lag_or_stand_in_a_bad_zone_are_not_blamed_on_green() {
    let form = Form::chosen();
    let healthy = Fleet {
        rate: 50.0,
        tick: 1.0,
        green: 0.001,
        plan: up_and_down(),
        zone_follows_after: 1.0,
        longest: 700.0,
        ..Fleet::at_one_percent(Heard::Late)
    };
    let zone = Fleet { zone: 0.3, ..healthy.clone() };
    let cells = [
        ("all healthy, up to a second late", healthy.clone()),
        ("all healthy, unheard for 15 s of each minute", Fleet { heard: Heard::CutOff, ..healthy.clone() }),
        ("all healthy, away for 15 s of each minute", Fleet { heard: Heard::ComeAndGo, ..healthy }),
        ("30 % of both fail in one zone", zone.clone()),
        ("the same, unheard for 15 s of each minute", Fleet { heard: Heard::CutOff, ..zone.clone() }),
        ("the same, the zone takes 20 s to follow the weight", Fleet { zone_follows_after: 20.0, ..zone }),
    ];
    let runs = form.runs(2_000);
    let cells = (720..).zip(cells).map(|(number, (name, fleet))| {
        let blamed = (0..runs).filter(|run| fleet.play(&mut Draw::new(number, *run)).convicted_after.is_some()).count();
        Cell {
            name: name.to_owned(),
            specified: "at most 0.09 %".to_owned(),
            measured: format!("{blamed}"),
            runs,
            // Of 2,000 runs one may be chance, two are not.
            passes: blamed <= 1,
        }
    });
    report("Replicas: an acceptable green that is rolled back", form, &cells.collect::<Vec<_>>());
}
