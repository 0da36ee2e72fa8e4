//! The exposure budget: releases of faults of every size and kind, in virtual time, with the real deciding core and streak.
//!
//! What is harmed is known here: a request that the fault hits and that would not have failed anyway. Ticks of 100 ms; healthy
//! traffic is drawn a tick at a time, that of a fault request by request, because workers look at each.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis::config::{self, Config, Environment};
use portcullis::course::{Course, Input, Streak, StreakFound};
use portcullis::gate::streak::Answer;
use portcullis::gate::{ByVersion, Charge, Health, Latency, Version};
use portcullis::measure::Tick;
use portcullis::release::{self, Effect, Epoch, State, Weight};
use portcullis::routing::{NOTICES, Notice, Routing, Table};
use tokio::sync::mpsc;

use super::Form;
use super::draw::{Draw, seconds};

const BUDGET: u64 = 200;
const TICK: f64 = 0.1;

/// Blue is seen for so long before a release.
const BEFORE: f64 = 60.0;

/// A release that is not through by then is none.
const LONGEST: f64 = 3_600.0;

/// The plan of the example in docs/releases.md: until it is at 100 % nothing is quicker than its bakes.
const DEFAULT_STEPS: f64 = 25.0 * 60.0;

/// A healthy answer takes so long, a hanging one fails after so long.
const QUICK: f64 = 0.02;
const TIMEOUT: f64 = 30.0;

const RATES: [f64; 4] = [20.0, 100.0, 1_000.0, 5_000.0];
const BASES: [f64; 3] = [0.0, 0.001, 0.01];

/// When green is bad.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    AtOnce,
    /// From so many seconds on.
    After(f64),
    /// Above a weight: of what comes beyond it the share fails.
    Beyond(f64),
    /// Above a weight: everything fails by the share.
    Above(f64),
    /// Requests hang instead, from so many seconds on.
    Hangs(f64),
    Never,
}

/// What else befalls both.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Both {
    Steady,
    /// Every fourth second, by chance, has all that fails.
    InLumps,
}

#[derive(Clone, Copy, Debug)]
struct World {
    rate: f64,
    base: f64,
    shape: Shape,
    share: f64,
    both: Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    RolledBack,
    Paused,
    Through,
    /// Through, and rolled back at 100 %.
    TooLate,
    Open,
}

#[derive(Clone, Debug)]
struct Played {
    harmed: u64,
    end: End,
    /// When it was at 100 %, or ended.
    at: f64,
    /// The weight when the fault began.
    weight: f64,
    said: String,
    /// What the release itself says was harmed.
    told: u64,
}

/// Requests that have had no answer: since when, and of the present weight or not.
struct Hung {
    since: f64,
    count: u64,
    present: bool,
}

struct Play {
    world: World,
    draw: Draw,
    course: Course,
    routing: Routing,
    notices: mpsc::Receiver<Notice>,
    latencies: Vec<Latency>,
    hung: Vec<Hung>,
    /// How much more than usual both fail in this second.
    lump: f64,
    harmed: u64,
    began: Option<f64>,
    through: Option<f64>,
}

fn config() -> Config {
    let plan = format!("{{ budget: {BUDGET} }}");
    let text = format!(
        "listen: 127.0.0.1:8080\nadmin: {{ listen: 127.0.0.1:9090 }}\nblue: {{ version: v1, endpoints: [\"127.0.0.1:9001\"] }}\n\
         green: {{ version: v2, endpoints: [\"127.0.0.1:9002\"] }}\nrelease: {plan}\n"
    );
    config::parse(&text, "budget.yaml", Path::new(""), &Environment::default())
        .unwrap_or_else(|faults| panic!("{faults}"))
}

impl Play {
    fn new(world: World, draw: Draw) -> Play {
        let Config { policy, plan, .. } = config();
        let (notify, notices) = mpsc::channel(NOTICES);
        let routing = Routing::new(Table::default(), policy.streak.clone(), notify);
        let idle = State::Idle { epoch: Epoch::default() };
        let course = Course::new(policy, plan, idle, Duration::ZERO);
        // As many latencies at a time as a power of two.
        let latencies = (0..14).map(|power| {
            let mut latency = Latency::default();
            (0..1_u32 << power).for_each(|_| latency.record(seconds(QUICK)));
            latency
        });
        Play {
            world,
            draw,
            course,
            routing,
            notices,
            latencies: latencies.collect(),
            hung: Vec::new(),
            lump: 0.0,
            harmed: 0,
            began: None,
            through: None,
        }
    }

    fn run(mut self) -> Played {
        let (mut now, mut start) = (0.0, false);
        let mut weight = 0.0;
        loop {
            now += TICK;
            if now >= BEFORE && !start {
                start = true;
                let input = release::Input::Start { actor: "test".to_owned(), reason: String::new() };
                self.feed(&Input::Operator(input), now);
            }
            self.tick(now, start.then_some(now - BEFORE));
            if self.began.is_some() && weight == 0.0 {
                weight = self.course.state().weight().percent();
            }
            let at = now - BEFORE;
            let end = match self.course.state() {
                State::RolledBack { .. } if self.through.is_some() => End::TooLate,
                State::RolledBack { .. } => End::RolledBack,
                State::Completed { .. } => End::Through,
                State::Open(run) if run.holds.paused.is_some() => End::Paused,
                _ if at > LONGEST => End::Open,
                // Nothing more befalls a green that is well.
                _ if self.through.is_some() && self.world.shape == Shape::Never => End::Through,
                _ => continue,
            };
            let said = match self.course.state() {
                State::RolledBack { cause, .. } => format!("{}: {}", cause.trigger, cause.reason),
                State::Open(run) => {
                    let (verdict, harm) = (self.course.verdict(), self.course.harm());
                    format!("at {} {:?} {verdict:?} {harm:?}", run.weight, run.held_by())
                }
                _ => String::new(),
            };
            let told = self.course.harm().map_or(0, |harm| harm.harmed);
            return Played { harmed: self.harmed, end, at: self.through.unwrap_or(at), weight, said, told };
        }
    }

    /// The share of green's requests that the fault hits.
    fn fault(&self, at: f64) -> f64 {
        let World { shape, share, .. } = self.world;
        let weight = self.routing.table().weight().ratio();
        match shape {
            Shape::AtOnce => share,
            Shape::After(from) | Shape::Hangs(from) if at >= from => share,
            Shape::Beyond(most) if weight > most => share * (1.0 - most / weight),
            Shape::Above(most) if weight > most => share,
            Shape::After(_) | Shape::Hangs(_) | Shape::Beyond(_) | Shape::Above(_) | Shape::Never => 0.0,
        }
    }

    fn tick(&mut self, now: f64, released: Option<f64>) {
        let World { rate, base, both, shape, .. } = self.world;
        let fault = released.map_or(0.0, |at| self.fault(at));
        if now.fract() < TICK {
            self.lump = if self.draw.happens(0.25) { 4.0 } else { 0.0 };
        }
        let base = if both == Both::InLumps { base * self.lump } else { base };
        let arrivals = self.draw.arrivals(rate * TICK);
        let weight = self.routing.table().weight().ratio();
        let mut tick = Tick::default();
        if fault == 0.0 || matches!(shape, Shape::Hangs(_)) || weight == 0.0 {
            let green = self.draw.hits(arrivals, weight);
            let hangs = if matches!(shape, Shape::Hangs(_)) { self.draw.hits(green, fault) } else { 0 };
            if hangs > 0 {
                self.began = self.began.or(Some(now));
                self.harmed += hangs;
                self.hung.push(Hung { since: now, count: hangs, present: true });
            }
            let units = ByVersion { blue: arrivals - green, green: green - hangs };
            let bad = ByVersion { blue: self.draw.hits(units.blue, base), green: self.draw.hits(units.green, base) };
            self.answer(&mut tick, units, bad);
        } else {
            self.began = self.began.or(Some(now));
            self.one_by_one(&mut tick, arrivals, base, fault, now);
        }
        self.hang(&mut tick, now);
        let health = ByVersion::build(|_| Health::default());
        let before = self.routing.table().weight().ratio();
        self.feed(&Input::Tick { counted: &tick, health }, now);
        if matches!(self.course.state(), State::RolledBack { .. }) {
            // What was under way is hit all the same.
            self.harmed += (rate * before * QUICK * fault).round() as u64;
        }
    }

    /// As workers see it: the first that finds green bad sends the rest to blue.
    fn one_by_one(&mut self, tick: &mut Tick, arrivals: u64, base: f64, fault: f64, now: f64) {
        let (mut units, mut bad) = (ByVersion::<u64>::default(), ByVersion::<u64>::default());
        for _ in 0..arrivals {
            let table = self.routing.table();
            let is_green = self.draw.happens(table.weight().ratio());
            let version = if is_green { Version::Green } else { Version::Blue };
            let anyway = self.draw.happens(base);
            let hit = is_green && self.draw.happens(fault);
            self.harmed += u64::from(hit && !anyway);
            *units.of_mut(version) += 1;
            *bad.of_mut(version) += u64::from(anyway || hit);
            let charge = if anyway || hit { Charge::Failed } else { Charge::Served };
            self.routing.observe(Answer::of(version, charge, table.routed()));
            while let Ok(notice) = self.notices.try_recv() {
                let (came_to, row) = match notice {
                    Notice::Convicted { row, .. } => (Streak::Convicted, row),
                    Notice::Probing { row, .. } => (Streak::Probing, row),
                    Notice::Common { row, .. } => (Streak::Common, row),
                };
                self.harmed += u64::from(came_to == Streak::Convicted)
                    * (self.world.rate * table.weight().ratio() * QUICK * fault).round() as u64;
                self.feed(&Input::Streak(StreakFound { came_to, row: Some(row) }), now);
            }
        }
        self.answer(tick, units, bad);
    }

    fn answer(&mut self, tick: &mut Tick, units: ByVersion<u64>, bad: ByVersion<u64>) {
        for version in Version::BOTH {
            let evidence = &mut tick.samples.of_mut(version).evidence;
            evidence.requests = *units.of(version);
            evidence.failures = *bad.of(version);
            for (power, latency) in self.latencies.iter().enumerate() {
                if evidence.requests >> power & 1 == 1 {
                    evidence.latency.add(latency);
                }
            }
        }
    }

    fn hang(&mut self, tick: &mut Tick, now: f64) {
        self.hung.retain(|hung| {
            let age = now - hung.since;
            if age >= TIMEOUT {
                let part = if hung.present { &mut tick.samples } else { &mut tick.late };
                let evidence = &mut part.green.evidence;
                evidence.requests += hung.count;
                evidence.failures += hung.count;
                return false;
            }
            for _ in 0..if hung.present { hung.count } else { 0 } {
                tick.waiting.green.record(seconds(age.max(0.001)));
            }
            true
        });
    }

    fn feed(&mut self, input: &Input<'_>, at: f64) {
        for effect in self.course.take(input.clone(), seconds(at)).expect("nothing is refused") {
            match effect {
                Effect::Latch { epoch } => _ = self.routing.latch(epoch),
                Effect::Route { epoch, weight } => {
                    self.routing.route(epoch, weight);
                    self.hung.iter_mut().for_each(|hung| hung.present = false);
                    if weight == Weight::FULL {
                        self.through.get_or_insert(at - BEFORE);
                    }
                }
                Effect::Revert { .. }
                | Effect::TakeBack { .. }
                | Effect::Complete { .. }
                | Effect::Begin { .. }
                | Effect::Tell { .. }
                | Effect::Ask(_)
                | Effect::Try { .. }
                | Effect::Notify { .. } => {}
            }
        }
    }
}

/// Plays `count` releases on all cores, in the order of their numbers.
fn play(count: u64, world: impl Fn(&mut Draw, u64) -> World + Sync, cell: u64) -> Vec<(World, Played)> {
    let (next, all) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let run = next.fetch_add(1, Ordering::Relaxed);
                    if run >= count {
                        return;
                    }
                    let mut draw = Draw::new(cell, run);
                    let world = world(&mut draw, run);
                    let played = Play::new(world, draw).run();
                    all.lock().expect("no thread panics").push((run, world, played));
                }
            });
        }
    });
    let mut all = all.into_inner().expect("no thread panics");
    all.sort_by_key(|(run, _, _)| *run);
    all.into_iter().map(|(_, world, played)| (world, played)).collect()
}

/// From 0.005 to 1, every order of magnitude as often.
fn log_uniform(draw: &mut Draw, least: f64) -> f64 {
    least.powf(1.0 - draw.uniform())
}

fn faulty(draw: &mut Draw, run: u64) -> World {
    let rate = RATES[run as usize % RATES.len()];
    let base = BASES[run as usize / RATES.len() % BASES.len()];
    let share = log_uniform(draw, 0.005);
    let shape = match run / 12 % 5 {
        0 => Shape::AtOnce,
        1 => Shape::After(600.0 * draw.uniform()),
        2 => Shape::Beyond(log_uniform(draw, 0.001)),
        3 => Shape::Above(log_uniform(draw, 0.001)),
        _ => Shape::Hangs(300.0 * draw.uniform()),
    };
    World { rate, base, shape, share, both: Both::Steady }
}

fn healthy(run: u64) -> World {
    let both = if (run / 12).is_multiple_of(2) { Both::Steady } else { Both::InLumps };
    let (rate, base) = (RATES[run as usize % RATES.len()], BASES[run as usize / RATES.len() % BASES.len()]);
    World { rate, base, shape: Shape::Never, share: 0.0, both }
}

/// Releases that are played of a long form's `long`.
fn releases(long: u64) -> u64 {
    match Form::chosen() {
        Form::Tiny => 12,
        Form::Short => 60,
        Form::Long => long,
    }
}

fn told(world: &World, played: &Played) -> String {
    let World { rate, base, shape, share, .. } = world;
    let Played { harmed, end, at, weight, told, said } = played;
    format!(
        "{rate}/s, {base} fail anyway, {share:.4} {shape:?}: {end:?} after {at:.0} s, {harmed} harmed ({told} told), began at \
         {weight} %: {said}"
    )
}

#[test]
fn a_fault_that_begins_before_green_has_everything_harms_more_than_the_budget_in_one_release_of_a_hundred_at_most() {
    let count = releases(1_000);
    let all = play(count, faulty, 902);
    let ends = |end| all.iter().filter(|(_, played)| played.end == end).count();
    println!(
        "{count} releases of a bad green: {} rolled back, {} paused, {} still open after an hour, {} at 100 %, of which {} were rolled \
         back",
        ends(End::RolledBack),
        ends(End::Paused),
        ends(End::Open),
        ends(End::Through) + ends(End::TooLate),
        ends(End::TooLate)
    );
    let (late, in_time): (Vec<_>, Vec<_>) = all.iter().partition(|(_, played)| played.weight >= 100.0);
    let (by_weight, plain): (Vec<_>, Vec<_>) =
        in_time.into_iter().partition(|(world, _)| matches!(world.shape, Shape::Beyond(_) | Shape::Above(_)));
    let over = [("whatever the weight", plain), ("above a weight", by_weight), ("from 100 % on", late)].map(
        |(when, played)| {
            let over: Vec<_> = played.iter().filter(|(_, played)| played.harmed > BUDGET).collect();
            println!("bad {when}: {} of {} over the budget", over.len(), played.len());
            over.iter().for_each(|(world, played)| println!("{}", told(world, played)));
            (over.len(), played.len())
        },
    );
    // The more has gone well before, the less is looked for at a larger weight.
    for ((over, played), percent) in over.into_iter().zip([1, 5]) {
        assert!(over * 100 <= played.max(100) * percent, "{over} of {played}");
    }
}

#[test]
fn a_good_green_is_through_sooner_than_by_the_default_steps() {
    let count = releases(960);
    let all = play(count, |_, run| healthy(run), 901);
    let mut times: Vec<f64> = all.iter().map(|(_, played)| played.at).collect();
    times.sort_by(f64::total_cmp);
    let (median, most) = (times[times.len() / 2], times[times.len() * 95 / 100]);
    let blamed: Vec<_> = all.iter().filter(|(_, played)| played.end == End::RolledBack).collect();
    let open = all.iter().filter(|(_, played)| matches!(played.end, End::Open | End::Paused)).count();
    println!(
        "{count} releases of a good green: at 100 % after {median:.0} s, 95 % of them within {most:.0} s, {open} never"
    );
    for (world, played) in all.iter().filter(|(_, played)| played.at > DEFAULT_STEPS || played.end != End::Through) {
        println!("{}", told(world, played));
    }
    assert!(blamed.len() as u64 <= count / 1_000, "{blamed:?}");
    assert!(median < DEFAULT_STEPS / 2.0, "{median}");
    assert!(most < DEFAULT_STEPS || count < 100, "{most}");
}
