//! The way from suspicion to an answer, step by step.

use super::*;
use crate::gate::compare::standing::{Look, Standing, Turn};

const BOUND: f64 = 0.01;

/// A standing and its clock, which moves on by a second with each step.
struct Bench {
    standing: Standing,
    now: Duration,
}

/// Evidence that is as good as none, and as good as certain.
const LITTLE: f64 = 0.0;
const MUCH: f64 = 10.0;

fn look(green: f64, blue: f64) -> Look {
    Look {
        ln_evidence: LITTLE,
        ln_absolute: ByVersion { blue, green },
        bound: BOUND,
        counted: ByVersion::default(),
        weight: Weight::FULL,
    }
}

fn with(look: Look, green: (u64, u64), blue: (u64, u64)) -> Look {
    let of = |(bad, units)| Tally { bad, units };
    Look { counted: ByVersion { blue: of(blue), green: of(green) }, ..look }
}

impl Bench {
    fn new() -> Bench {
        Bench { standing: Standing::Calm, now: START }
    }

    fn step(&mut self, look: Look) -> (&'static str, Turn) {
        self.now += Duration::from_secs(1);
        let (standing, turn) = std::mem::replace(&mut self.standing, Standing::Calm).step(&look, self.now);
        self.standing = standing;
        (self.standing.name(), turn)
    }

    /// The same step until the standing is another: which, and after how many steps.
    fn until_other(&mut self, look: Look) -> (&'static str, u64) {
        let before = self.standing.name();
        for steps in 1..10_000 {
            let (name, _) = self.step(look);
            if name != before {
                return (name, steps);
            }
        }
        panic!("{before} for 10,000 s");
    }
}

#[test]
fn green_is_suspected_at_a_thousand_to_one_and_blue_shares_it_at_twenty_to_one() {
    for (green, blue, expected) in
        [(6.9, 2.9, "calm"), (6.9, MUCH, "calm"), (6.91, 2.9, "suspected"), (6.91, 3.0, "common")]
    {
        assert_eq!(Bench::new().step(look(green, blue)), (expected, Turn::Stays), "{green}, {blue}");
    }
}

#[test]
fn an_acquittal_needs_a_minute_fifty_units_and_no_evidence_of_a_difference() {
    let suspect = || {
        let mut bench = Bench::new();
        bench.step(look(MUCH, LITTLE));
        bench
    };
    assert_eq!(suspect().until_other(with(look(MUCH, LITTLE), (0, 10), (0, 10))), ("calm", 60));
    assert_eq!(suspect().until_other(with(look(MUCH, LITTLE), (1, 100), (0, 10))), ("calm", 60));
    assert_eq!(suspect().until_other(with(look(MUCH, LITTLE), (2, 100), (0, 10))).0, "withdrawn");
    let mut bench = suspect();
    for _ in 0..49 {
        bench.step(with(look(MUCH, LITTLE), (0, 1), (0, 10)));
    }
    for _ in 0..400 {
        assert_eq!(bench.step(with(look(MUCH, LITTLE), (0, 0), (0, 10))).0, "suspected", "49 units are too few");
    }
    let (_, turn) = bench.step(with(look(MUCH, LITTLE), (0, 1), (0, 10)));
    let green = Tally { bad: 0, units: 50 };
    assert!(matches!(turn, Turn::Acquitted(window) if window.green == green), "{turn:?}");
    let mut bench = suspect();
    let differs = Look { ln_evidence: 3.0, ..with(look(MUCH, LITTLE), (0, 10), (0, 10)) };
    for _ in 0..2_000 {
        assert_eq!(bench.step(differs).0, "suspected", "twenty to one speaks against it");
    }
    assert_eq!(bench.step(with(look(MUCH, LITTLE), (0, 10), (0, 10))).0, "calm");
}

#[test]
fn the_quarter_of_an_hour_begins_anew_when_blue_alone_has_recovered() {
    let mut bench = Bench::new();
    assert_eq!(bench.step(look(MUCH, MUCH)).0, "common");
    for _ in 0..1_800 {
        assert_eq!(bench.step(with(look(MUCH, MUCH), (5, 10), (5, 10))).0, "common", "people have been called");
    }
    // Blue's evidence is gone before its last minute is: that alone does not say that it has recovered.
    let recovering = with(look(MUCH, LITTLE), (5, 10), (0, 10));
    assert_eq!(bench.until_other(recovering), ("suspected", 59));
    assert_eq!(bench.until_other(recovering), ("withdrawn", 900));
}

#[test]
fn a_common_cause_that_ends_for_both_acquits() {
    let mut bench = Bench::new();
    bench.step(look(MUCH, MUCH));
    bench.step(with(look(MUCH, MUCH), (5, 10), (5, 10)));
    // The failing second leaves the last minute when it is sixty seconds old.
    assert_eq!(bench.until_other(with(look(MUCH, MUCH), (0, 10), (0, 10))), ("calm", 59));
}

#[test]
fn a_withdrawn_green_stays_so_until_its_weight_is_raised_from_zero() {
    let mut bench = Bench::new();
    bench.step(look(MUCH, LITTLE));
    assert_eq!(bench.until_other(look(MUCH, LITTLE)), ("withdrawn", 900));
    assert_eq!(bench.step(look(MUCH, LITTLE)).0, "withdrawn", "the weight has not been lowered yet");
    assert_eq!(bench.step(Look { weight: Weight::ZERO, ..look(LITTLE, LITTLE) }).0, "withdrawn");
    assert_eq!(bench.step(Look { weight: Weight::PROBE, ..look(LITTLE, LITTLE) }), ("calm", Turn::Resumed));
}
