//! The traffic: what befalls both versions alike, and what befalls green alone.

use fastrand::Rng;

/// When a request comes.
pub struct Moment {
    /// Seconds since the release began.
    pub at: f64,
    pub number: u64,
    /// Of this release, from 0 to 1: where its waves begin.
    pub phase: f64,
    /// Seconds since the weight last changed.
    pub since_change: f64,
}

/// What a version makes of a request.
pub struct Served {
    pub fails: bool,
    /// Seconds.
    pub takes: f64,
}

/// One kind of traffic at one weight.
pub struct Row {
    pub name: String,
    pub weight: f64,
    /// Requests a second.
    pub rate: f64,
    pub workers: usize,
    /// Seconds between two looks.
    pub tick: f64,
    pub endpoints: usize,
    /// Of green's, from half a minute on.
    pub bad_endpoints: usize,
    /// What green fails beside what both do.
    pub green_fails: f64,
    /// The median of green's failures until it is rolled back, at most.
    pub most_failed: u64,
    pub world: World,
}

/// What both versions make of a request.
type World = Box<dyn Fn(&Moment, &mut Rng) -> Served + Sync>;

const WEIGHTS: [f64; 6] = [1.0, 10.0, 50.0, 90.0, 99.0, 100.0];

/// Of each kind of trouble that depends on the weight, where it was seen to matter.
const SOME: [f64; 3] = [10.0, 50.0, 90.0];

/// Two milliseconds, give or take.
fn quick(random: &mut Rng) -> f64 {
    0.001_5 + 0.001 * random.f64()
}

fn row(name: &str, weight: f64, world: impl Fn(&Moment, &mut Rng) -> Served + Sync + 'static) -> Row {
    Row {
        name: name.to_owned(),
        weight,
        rate: 10.0,
        workers: 2,
        tick: 4.0,
        endpoints: 1,
        bad_endpoints: 0,
        green_fails: 0.0,
        most_failed: u64::MAX,
        world: Box::new(world),
    }
}

/// Both fail this share of the requests at a moment.
fn failing(name: &str, weights: &[f64], share: impl Fn(&Moment) -> f64 + Sync + Clone + 'static) -> Vec<Row> {
    let rows = weights.iter().map(|weight| {
        let share = share.clone();
        row(name, *weight, move |moment, random| {
            let fails = random.f64() < share(moment);
            Served { fails, takes: quick(random) }
        })
    });
    rows.collect()
}

/// `height` during `duty` of every `period`.
fn wave(moment: &Moment, period: f64, duty: f64, height: f64) -> f64 {
    if (moment.at / period + moment.phase).fract() < duty { height } else { 0.001 }
}

/// Latencies that both have alike.
fn latency(name: &str, weights: &[f64], takes: impl Fn(&Moment, &mut Rng) -> f64 + Sync + Clone + 'static) -> Vec<Row> {
    let rows = weights.iter().map(|weight| {
        let takes = takes.clone();
        row(name, *weight, move |moment, random| Served { fails: random.f64() < 0.001, takes: takes(moment, random) })
    });
    rows.collect()
}

fn normal(random: &mut Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
}

/// Both versions alike.
pub fn healthy() -> Vec<Row> {
    let mut rows = failing("fail 0.1 %", &WEIGHTS, |_| 0.001);
    for percent in [2_u8, 5, 10, 20, 30, 50, 80] {
        rows.extend(failing(&format!("fail {percent} %"), &WEIGHTS, move |_| f64::from(percent) / 100.0));
    }
    for (period, duty) in [(0.1, 0.5), (1.0, 0.5), (10.0, 0.1), (10.0, 0.2)] {
        for height in [0.3, 0.5, 1.0] {
            let name = format!("fail {height} for {duty} of every {period} s");
            let weights: &[f64] = if height < 1.0 { &[50.0, 75.0] } else { &[10.0, 75.0, 99.0] };
            rows.extend(failing(&name, weights, move |moment| wave(moment, period, duty, height)));
        }
    }
    rows.extend(failing("a ramp from 0 to 60 % in an hour", &SOME, |moment| moment.at / 6_000.0));
    rows.extend(failing("every 10th request of all", &SOME, |moment| f64::from(u8::from(moment.number % 10 == 0))));
    rows.extend(failing("every 4th request of all", &SOME, |moment| f64::from(u8::from(moment.number % 4 == 0))));
    let soon_after = |moment: &Moment| if moment.since_change < 3.0 { 1.0 } else { 0.001 };
    rows.extend(failing("an outage of 3 s at each change of the weight", &SOME, soon_after));
    for residue in [0.1, 0.2] {
        let share = move |moment: &Moment| if wave(moment, 120.0, 0.1, 1.0) > 0.5 { 1.0 } else { residue };
        rows.extend(failing(&format!("outages of 12 s, and {residue} between them"), &[50.0, 90.0, 100.0], share));
    }
    rows.extend(failures_that_take_their_time());
    rows.extend(latencies());
    rows.extend(clients_in_bursts());
    for endpoints in [3, 4, 10] {
        for weight in [10.0, 50.0, 90.0] {
            let kind = failing(&format!("one bad endpoint of {endpoints}"), &[weight], |_| 0.001);
            rows.extend(kind.into_iter().map(|row| Row { endpoints, bad_endpoints: 1, ..row }));
        }
    }
    for workers in [16] {
        for percent in [0.3, 0.5] {
            let kind = failing(&format!("fail {percent}, {workers} workers"), &SOME, move |_| percent);
            rows.extend(kind.into_iter().map(|row| Row { workers, ..row }));
        }
    }
    rows.extend(
        failing("fail 0.3, looked at every 100 ms", &[50.0], |_| 0.3).into_iter().map(|row| Row { tick: 0.1, ..row }),
    );
    rows
}

fn failures_that_take_their_time() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, failure, success) in
        [("failures take 5 s, successes 2 ms", 5.0, 0.002), ("successes take 1 s, failures 2 ms", 0.002, 1.0)]
    {
        for weight in [10.0, 50.0, 90.0, 100.0] {
            for height in [0.3, 0.6] {
                let name = format!("{name}: {height} for 20 s of every 60");
                rows.push(row(&name, weight, move |moment, random| {
                    let fails = random.f64() < wave(moment, 60.0, 1.0 / 3.0, height);
                    Served { fails, takes: if fails { failure } else { success } * (0.9 + 0.2 * random.f64()) }
                }));
            }
        }
    }
    rows
}

fn latencies() -> Vec<Row> {
    let mut rows = latency("both are slow for 1 s of every 10", &SOME, |moment, random| {
        quick(random) * if wave(moment, 10.0, 0.1, 1.0) > 0.5 { 100.0 } else { 1.0 }
    });
    rows.extend(latency("lognormal, sigma 1", &[1.0, 10.0, 50.0, 99.0], |_, random| 0.02 * normal(random).exp()));
    rows.extend(latency("lognormal, sigma 2", &SOME, |_, random| (0.02 * (2.0 * normal(random)).exp()).min(60.0)));
    rows.extend(latency("Pareto, alpha 1.1", &SOME, |_, random| {
        (0.005 * (1.0 - random.f64()).powf(-1.0 / 1.1)).min(60.0)
    }));
    rows.extend(latency("slower and slower, tenfold in an hour", &SOME, |moment, random| {
        quick(random) * (1.0 + moment.at / 400.0)
    }));
    rows
}

/// A client whose every request fails sends 20 in a row, now and then.
fn clients_in_bursts() -> Vec<Row> {
    failing(
        "20 failures of one client in a row, every 30 s",
        &SOME,
        |moment| {
            if moment.number % 600 < 20 { 1.0 } else { 0.001 }
        },
    )
}

/// Green alone is bad.
pub fn bad() -> Vec<Row> {
    let mut rows = Vec::new();
    for (share, bounds) in
        [(1.0, [4, 6, 9, 10, 10, 10]), (0.5, [8, 12, 24, 30, 30, 24]), (0.2, [12, 20, 40, 40, 40, 40])]
    {
        for (weight, most_failed) in WEIGHTS.into_iter().zip(bounds) {
            let kind = failing(&format!("green fails {share}"), &[weight], |_| 0.001);
            // A release reaches 100 % by way of 50 %, and is judged there.
            let rate = if weight < 5.0 { 100.0 } else { 20.0 };
            rows.extend(kind.into_iter().map(|row| Row { green_fails: share, most_failed, rate, tick: 0.1, ..row }));
        }
    }
    for (endpoints, bad_endpoints) in [(4, 2), (4, 4)] {
        let kind = failing(&format!("{bad_endpoints} bad endpoints of {endpoints}"), &SOME, |_| 0.001);
        rows.extend(kind.into_iter().map(|row| Row { endpoints, bad_endpoints, most_failed: 40, ..row }));
    }
    rows
}
