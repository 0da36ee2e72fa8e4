//! When there is a limit, where it begins and how it moves.

use super::*;

/// A blue that is looked at tick after tick.
struct Looked {
    ramp: Ramp,
    tick: u32,
}

/// What a tick sees: so many answers, of which so many are failures, each after so many milliseconds.
#[derive(Clone, Copy)]
struct Seen {
    answers: u64,
    failures: u64,
    took_ms: u64,
    of_blue: u64,
    refused: u64,
}

/// Nobody needs more than there is.
const QUIET: Seen = Seen { answers: 100, failures: 0, took_ms: 20, of_blue: 0, refused: 0 };
const REFUSING: Seen = Seen { refused: 1, ..QUIET };
/// Ten and more times what is usual, while many wait.
const SLOW: Seen = Seen { took_ms: 900, of_blue: 10_000, ..QUIET };

fn evidence(Seen { answers, failures, took_ms, .. }: Seen) -> Evidence {
    let mut ended = Evidence::default();
    for answer in 0..answers {
        let charge = if answer < failures { Charge::Failed } else { Charge::Served };
        ended.record(charge, Some(Duration::from_millis(took_ms)));
    }
    ended
}

impl Looked {
    /// After so many ticks of this, while so many of green's waited.
    fn after(ticks: u32, seen: Seen, of_green: u64) -> Looked {
        let mut past = Past::default();
        let waiting = Latency::default();
        for tick in 1..=ticks {
            let look = Look { ended: &evidence(seen), waiting: &waiting, of_blue: 5, of_green, refused: 0 };
            past.add(&look, TICK * tick);
        }
        Looked { ramp: Ramp::begin(&past, LENGTH, TICK * ticks), tick: ticks }
    }

    fn usual() -> Looked {
        Looked::after(200, QUIET, 10)
    }

    /// So many ticks of this, and the limit then. A window of this blue has three.
    fn ticks(&mut self, ticks: u32, seen: Seen) -> Option<u64> {
        for _ in 0..ticks {
            self.tick += 1;
            let (ended, waiting) = (evidence(seen), Latency::default());
            let Seen { of_blue, refused, .. } = seen;
            self.ramp.look(&Look { ended: &ended, waiting: &waiting, of_blue, of_green: 0, refused }, TICK * self.tick);
        }
        self.ramp.limit()
    }

    /// A limit of some height.
    fn limited() -> (Looked, u64) {
        let mut looked = Looked::usual();
        assert_eq!(looked.ticks(6, SLOW), Some(5));
        let limit = looked.ticks(60, REFUSING).expect("it is limited");
        assert!(limit > 100, "{limit}");
        (looked, limit)
    }
}

#[test]
fn a_limit_rises_where_half_of_it_waits_or_one_was_refused_and_not_where_nobody_needs_more() {
    let limit_after = |seen: Seen| {
        let mut looked = Looked::usual();
        assert_eq!(looked.ticks(6, SLOW), Some(5));
        looked.ticks(30, seen)
    };
    assert_eq!((limit_after(QUIET), limit_after(Seen { of_blue: 2, ..QUIET })), (Some(5), Some(5)));
    let (by_half, by_refusal) = (limit_after(Seen { of_blue: 3, ..QUIET }), limit_after(REFUSING));
    assert!(by_half > Some(5) && by_refusal > by_half, "{by_half:?} {by_refusal:?}");
}

#[test]
fn blue_suffers_in_two_windows_in_a_row_and_not_in_every_other() {
    let mut looked = Looked::usual();
    assert!((0..20).all(|_| looked.ticks(3, SLOW).or(looked.ticks(3, QUIET)).is_none()));
    assert_eq!((looked.ticks(3, SLOW), looked.ticks(3, SLOW)), (None, Some(5)));
}

#[test]
fn a_few_failures_are_no_suffering_however_large_their_share_is() {
    let failing = |failures| Seen { answers: 30, failures, of_blue: 100, ..QUIET };
    let nothing = Seen { answers: 0, of_blue: 100, ..QUIET };
    let limit_after = |failures| {
        let mut looked = Looked::usual();
        (0..10).fold(None, |_, _| {
            looked.ticks(1, failing(failures));
            looked.ticks(2, nothing)
        })
    };
    assert_eq!((limit_after(4), limit_after(5)), (None, Some(5)));
}

#[test]
fn a_limit_falls_by_half_in_a_window_however_slow_blue_is_or_when_it_fails_quickly() {
    let (mut looked, limit) = Looked::limited();
    assert_eq!(looked.ticks(3, Seen { of_blue: 0, ..SLOW }), Some(limit / 2));
    let (mut looked, limit) = Looked::limited();
    assert_eq!(looked.ticks(3, Seen { failures: 50, ..QUIET }), Some(limit / 2));
}

#[test]
fn a_quick_blue_is_not_held_back_for_the_hiccups_of_a_few_milliseconds() {
    let quick = Seen { took_ms: 2, ..QUIET };
    let mut looked = Looked::after(200, quick, 10);
    assert_eq!(looked.ticks(6, SLOW), Some(5));
    let limit = looked.ticks(30, Seen { took_ms: 6, ..REFUSING });
    assert!(limit > Some(20), "{limit:?}");
}

#[test]
fn a_large_blue_has_all_of_greens_traffic_at_the_end_of_the_ramp() {
    let mut looked = Looked::after(200, QUIET, 30_000);
    assert_eq!(looked.ticks(6, SLOW), Some(5));
    let limit = looked.ticks(290, REFUSING);
    assert!(limit > Some(20_000), "{limit:?}");
}

#[test]
fn a_window_is_twice_as_long_as_an_answer_took_within_bounds() {
    for (took_ms, expected) in [(20, 6), (370, 16), (5_000, 20)] {
        let mut looked = Looked::after(200, Seen { took_ms, ..QUIET }, 10);
        let slow = Seen { took_ms: took_ms * 3, ..SLOW };
        let ticks = (1..=100).find(|_| looked.ticks(1, slow).is_some());
        assert_eq!(ticks, Some(expected), "{took_ms} ms");
    }
}

#[test]
fn blue_is_held_against_what_it_did_of_late_and_against_nothing_that_says_too_little() {
    let mut past = Past::default();
    for tick in 1..=1_000 {
        let of_blue = if tick == 1 { 50 } else { 5 };
        let look = Look { ended: &evidence(QUIET), waiting: &Latency::default(), of_blue, of_green: 10, refused: 0 };
        past.add(&look, TICK * tick);
    }
    let mut looked = Looked { ramp: Ramp::begin(&past, LENGTH, TICK * 1_000), tick: 1_000 };
    assert_eq!(looked.ticks(6, SLOW), Some(5), "and not the fifty of long before");
    // Nineteen quick answers.
    let mut looked = Looked::after(19, Seen { answers: 1, took_ms: 1, ..QUIET }, 10);
    assert_eq!(looked.ticks(30, Seen { of_blue: 100, took_ms: 50, ..QUIET }), None);
}
