use super::*;
use crate::gate::Charge;

mod limit;

const TICK: Duration = Duration::from_millis(100);
const LENGTH: Duration = Duration::from_secs(30);

/// A blue that works on `well` requests at a time, each of which takes 20 ms. Others wait for their turn, and where there are many it
/// gets a third done, as one that thrashes.
struct Blue {
    well: f64,
    waiting: f64,
}

const USUAL: f64 = 0.02;

/// Of a client, in seconds.
const PATIENCE: f64 = 1.0;

/// What came of `arriving` requests in a tick.
struct Ticked {
    /// Before their clients gave up.
    answered: f64,
    ended: f64,
    refused: f64,
    took: Duration,
}

impl Blue {
    /// A tick in small steps, with at most `limit` requests at a time.
    fn tick(&mut self, arriving: f64, limit: Option<u64>) -> Ticked {
        let steps = 100.0;
        let (mut answered, mut ended, mut refused, mut took) = (0.0, 0.0, 0.0, USUAL);
        for _ in 0..100 {
            let room = limit.map_or(f64::INFINITY, |limit| (limit as f64 - self.waiting).max(0.0));
            let let_in = (arriving / steps).min(room);
            refused += arriving / steps - let_in;
            self.waiting += let_in;
            let load = (self.waiting / self.well).max(1.0);
            took = USUAL * load * load.min(3.0);
            let served = (self.waiting * (TICK.as_secs_f64() / steps) / took).min(self.waiting);
            self.waiting -= served;
            ended += served;
            answered += if took <= PATIENCE { served } else { 0.0 };
        }
        Ticked { answered, ended, refused, took: Duration::from_secs_f64(took) }
    }
}

struct Play {
    now: Duration,
    past: Past,
    blue: Blue,
}

/// Sums over some ticks.
#[derive(Debug, Default)]
struct Sum {
    answered: f64,
    refused: f64,
    limited: Option<Duration>,
}

impl Play {
    /// Blue has had this many requests a second of late.
    fn after(per_second: f64, well: f64) -> Play {
        let mut play = Play { now: Duration::ZERO, past: Past::default(), blue: Blue { well, waiting: 0.0 } };
        for _ in 0..200 {
            let (ended, waiting, refused, _) = play.tick(per_second, None);
            let of_blue = play.blue.waiting.ceil() as u64;
            let look = Look { ended: &ended, waiting: &waiting, of_blue, of_green: 10, refused };
            play.past.add(&look, play.now);
        }
        play
    }

    fn tick(&mut self, per_second: f64, limit: Option<u64>) -> (Evidence, Latency, u64, Ticked) {
        self.now += TICK;
        let ticked = self.blue.tick(per_second * TICK.as_secs_f64(), limit);
        let mut ended = Evidence::default();
        (0..ticked.ended.round() as u64).for_each(|_| ended.record(Charge::Served, Some(ticked.took)));
        let mut waiting = Latency::default();
        waiting.record_many(ticked.took / 2, self.blue.waiting as u64);
        let refused = ticked.refused.round() as u64;
        (ended, waiting, refused, ticked)
    }

    /// The ramp for so many seconds at this many requests a second. What is limited is what comes anew.
    fn go(&mut self, ramp: &mut Ramp, per_second: f64, seconds: u64) -> Sum {
        let (mut sum, began) = (Sum::default(), self.now);
        for _ in 0..seconds * 10 {
            let (ended, waiting, refused, ticked) = self.tick(per_second, ramp.limit());
            sum.answered += ticked.answered;
            sum.refused += ticked.refused;
            let of_blue = self.blue.waiting.ceil() as u64;
            ramp.look(&Look { ended: &ended, waiting: &waiting, of_blue, of_green: 0, refused }, self.now);
            if ramp.limit().is_some() {
                sum.limited.get_or_insert(self.now - began);
            }
        }
        sum
    }
}

#[test]
fn a_blue_that_carries_everything_gets_it_at_once() {
    let mut play = Play::after(100.0, 40.0);
    let mut ramp = Ramp::begin(&play.past, LENGTH, play.now);
    let sum = play.go(&mut ramp, 1_000.0, 30);
    assert_eq!((sum.refused, sum.limited, ramp.suffering()), (0.0, None, None));
    assert!(sum.answered > 29_900.0, "{sum:?}");
}

#[test]
fn a_blue_that_breaks_down_answers_more_when_it_is_given_less() {
    // It can answer 400 a second, and 1,000 come.
    let mut crushed = Play::after(100.0, 8.0);
    let mut spared = Play::after(100.0, 8.0);
    let without: f64 = (0..300).map(|_| crushed.tick(1_000.0, None).3.answered).sum();
    let mut ramp = Ramp::begin(&spared.past, LENGTH, spared.now);
    let with = spared.go(&mut ramp, 1_000.0, 30);
    assert!(without < 500.0, "{without} of 30,000");
    assert!(with.answered > 6_500.0, "{with:?}: it can answer 12,000");
    assert!(with.limited.is_some_and(|after| after <= Duration::from_secs(1)), "{with:?}");
    assert!(matches!(ramp.suffering(), Some(Suffering::Slow { before: Some(_), .. })), "{:?}", ramp.suffering());
}

#[test]
fn the_limit_rises_as_blue_can_take_more() {
    let mut play = Play::after(100.0, 8.0);
    let mut ramp = Ramp::begin(&play.past, LENGTH, play.now);
    play.go(&mut ramp, 1_000.0, 10);
    let at_first = ramp.limit().expect("it suffers");
    play.blue.well = 40.0;
    let last = {
        play.go(&mut ramp, 1_000.0, 10);
        play.go(&mut ramp, 1_000.0, 5)
    };
    assert!(ramp.limit().expect("the ramp goes on") > at_first);
    assert_eq!(last.refused, 0.0, "{last:?}");
}

/// A ramp after 20 s of 100 requests a second that took 20 ms each, of which so many in a hundred failed, five at a time.
fn ramp(failed_percent: u64) -> Ramp {
    let mut past = Past::default();
    for tick in 1..=200_u32 {
        let mut ended = Evidence::default();
        for request in 0..10 {
            let failed = (u64::from(tick) * 10 + request) % 100 < failed_percent;
            let charge = if failed { Charge::Failed } else { Charge::Served };
            ended.record(charge, Some(Duration::from_millis(20)));
        }
        let look = Look { ended: &ended, waiting: &Latency::default(), of_blue: 5, of_green: 10, refused: 0 };
        past.add(&look, TICK * tick);
    }
    Ramp::begin(&past, LENGTH, TICK * 200)
}

/// Whether blue is limited after a second of requests that took so many milliseconds, so many of each tick's hundred failed,
/// and so many of which wait at a time.
fn limited(failed_before: u64, (took_ms, failed, waiting): (u64, u64, u64)) -> bool {
    let mut ramp = ramp(failed_before);
    for tick in 201..=211_u32 {
        let mut ended = Evidence::default();
        for request in 0..100 {
            let charge = if request < failed { Charge::Failed } else { Charge::Served };
            ended.record(charge, Some(Duration::from_millis(took_ms)));
        }
        let look = Look { ended: &ended, waiting: &Latency::default(), of_blue: waiting, of_green: 0, refused: 0 };
        ramp.look(&look, TICK * tick);
    }
    ramp.limit().is_some()
}

#[test]
fn blue_suffers_when_it_has_more_to_do_and_is_slower_or_fails_more_than_before() {
    for (before, seen, expected) in [
        (0, (20, 0, 100), false),
        (0, (44, 0, 100), false),
        (0, (47, 0, 100), true),
        (0, (47, 0, 5), false),
        (0, (20, 9, 100), false),
        (0, (20, 11, 100), true),
        (0, (20, 11, 5), false),
        (30, (20, 35, 100), false),
        (30, (20, 45, 100), true),
    ] {
        assert_eq!(limited(before, seen), expected, "{before} %, {seen:?}");
    }
}

#[test]
fn requests_that_hang_show_that_blue_suffers_though_none_has_ended() {
    let mut ramp = ramp(0);
    for tick in 201..=220_u32 {
        let mut waiting = Latency::default();
        waiting.record_many(TICK * (tick - 200), 50);
        let look = Look { ended: &Evidence::default(), waiting: &waiting, of_blue: 50, of_green: 0, refused: 0 };
        ramp.look(&look, TICK * tick);
    }
    assert_eq!(ramp.limit(), Some(5), "as many as it had before");
    let said = ramp.suffering().expect("it suffers").sentence();
    assert!(said.starts_with("half of blue's answers take ") && said.ends_with(", 20 ms before"), "{said}");
}

#[test]
fn one_slow_window_and_a_few_slow_requests_show_nothing() {
    let mut ramp = ramp(0);
    let mut look = |tick: u32, took_ms: u64, requests: u64| {
        let mut ended = Evidence::default();
        (0..requests).for_each(|_| ended.record(Charge::Served, Some(Duration::from_millis(took_ms))));
        let look = Look { ended: &ended, waiting: &Latency::default(), of_blue: 50, of_green: 0, refused: 0 };
        ramp.look(&look, TICK * tick);
        ramp.limit()
    };
    let of = |tick: u32| if tick.is_multiple_of(6) { 900 } else { 20 };
    assert!((201..=300).all(|tick| look(tick, of(tick), 100).is_none()));
    // Nineteen in all.
    assert!((301..=319).all(|tick| look(tick, 900, 1).is_none()));
}

#[test]
fn a_blue_of_which_nothing_was_known_is_held_against_its_best_since_the_flip() {
    let mut ramp = Ramp::begin(&Past::default(), LENGTH, Duration::ZERO);
    let mut look = |tick: u32, took_ms: u64| {
        let mut ended = Evidence::default();
        (0..100).for_each(|_| ended.record(Charge::Served, Some(Duration::from_millis(took_ms))));
        let look = Look { ended: &ended, waiting: &Latency::default(), of_blue: 50, of_green: 0, refused: 0 };
        ramp.look(&look, TICK * tick);
        ramp.limit()
    };
    assert!((1..=10).all(|tick| look(tick, 30).is_none()));
    let limits: Vec<_> = (11..=30).map(|tick| look(tick, 100)).collect();
    assert_eq!(limits.iter().flatten().next(), Some(&LEAST_LIMIT), "{limits:?}");
}

#[test]
fn a_ramp_ends_when_its_time_is_up_and_more_that_comes_back_begins_it_again() {
    let mut ramp = ramp(0);
    let began = TICK * 200;
    assert_eq!(ramp.left(began + Duration::from_secs(29)), Some(Duration::from_secs(1)));
    assert_eq!(ramp.left(began + LENGTH), None);
    ramp.begin_again(began + Duration::from_secs(20));
    assert_eq!(ramp.left(began + LENGTH), Some(Duration::from_secs(20)));
}
