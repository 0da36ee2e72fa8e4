//! The unit vectors of the specification, to 1e-8, and the way from suspicion to blame.

mod findings;
mod standing;
mod tails;

use super::block::Block;
use super::block::Counts;
use super::projection::Null;
use super::relative::Grid;
use super::relative::Relative;
use super::*;
use crate::gate::compare::projection::Rates;

const DEFAULT: Null = Null { ratio: 1.5, margin: 0.001 };

/// The last tick of 100 ms that a test looks at is far from the first, and the first is not at zero.
const START: Duration = Duration::from_secs(1_000);

fn close(computed: f64, expected: f64, of: &str) {
    assert!((computed - expected).abs() < 1e-8, "{of}: {computed}, not {expected}");
}

/// `(n_g, x_g, n_b, x_b)`, as the specification writes a block.
fn counts((green, green_bad, blue, blue_bad): (u64, u64, u64, u64)) -> ByVersion<Counts> {
    let of = |bad, units| Counts { tally: Tally { bad, units }, clients: None };
    ByVersion { blue: of(blue_bad, blue), green: of(green_bad, green) }
}

fn block(of: (u64, u64, u64, u64)) -> Block {
    let mut block = Block::default();
    block.add(counts(of), START);
    block
}

#[test]
fn the_projection_is_that_of_the_specification() {
    for ((green, blue, share, ratio, margin), (nearest_green, nearest_blue)) in [
        ((0.98, 0.001, 0.01, 1.5, 0.001), (0.016_290_261_327_4, 0.010_193_507_551_6)),
        ((0.05, 0.001, 0.1, 1.5, 0.001), (0.008_618_440_941_44, 0.005_078_960_627_63)),
        ((0.05, 0.001, 0.1, 1.5, 0.0), (0.008_445_425_485_52, 0.005_630_283_657_01)),
        ((0.5, 0.1, 0.5, 1.0, 0.0), (0.3, 0.3)),
    ] {
        let nearest = Null { ratio, margin }.project(Rates { green, blue }, share);
        let of = format!("{green} beside {blue}");
        close(nearest.green, nearest_green, &of);
        close(nearest.blue, nearest_blue, &of);
    }
}

#[test]
fn an_alternative_that_is_acceptable_is_no_evidence() {
    let alternative = Rates { green: 0.05, blue: 0.1 };
    assert_eq!(DEFAULT.project(alternative, 0.3), alternative);
    // Where even a green that always fails would be acceptable.
    let wide = Null { ratio: 5.0, margin: 0.001 };
    let factors = Grid::new(wide, 0.5).ln_factors(wide, block((10, 10, 90, 0)).counted(), 0.1);
    assert_eq!(factors, [0.0; 6]);
}

#[test]
fn the_grid_is_that_of_the_specification() {
    let expected = [0.006_763_233_056, 0.018_296_528_55, 0.049_497_474_68, 0.133_905_182_8, 0.362_252_783_5, 0.98];
    for (computed, expected) in Grid::new(DEFAULT, 0.001).rates().into_iter().zip(expected) {
        close(computed, expected, "grid");
    }
}

#[test]
fn the_evidence_of_one_block_is_that_of_the_specification() {
    for (of, expected) in [
        ((1, 1, 99, 0), 3.854_332_045),
        ((1, 0, 99, 0), -0.211_071_548),
        ((4, 4, 4, 0), 2.657_996_353),
        ((10, 1, 90, 2), -0.865_993_750),
        ((120, 7, 9_880, 3), 16.411_320_313),
        ((120, 7, 9_880, 70), 3.665_006_949),
    ] {
        let block = block(of);
        let factors = Grid::new(DEFAULT, 0.001).ln_factors(DEFAULT, block.counted(), block.share());
        close(numbers::ln_mean(&factors), expected, &format!("{of:?}"));
    }
}

#[test]
fn the_evidence_of_five_blocks_is_that_of_the_specification() {
    // So much history that a rate of exactly 0.1 % is expected throughout.
    let history = Tally { bad: 1_000_000_000, units: 1_000_000_000_000 };
    let mut relative = Relative::new(DEFAULT, history, 3_600.0, START);
    let blocks = [
        ((1, 0, 99, 0), -0.904_079_850),
        ((1, 0, 80, 1), -1.351_606_063),
        ((1, 1, 110, 0), 1.393_658_725),
        ((1, 1, 95, 0), 4.904_097_344),
        ((1, 1, 102, 0), 8.822_321_917),
    ];
    for (second, (of, expected)) in (1..).zip(blocks) {
        relative.tick(counts(of), START + Duration::from_secs(second));
        close(relative.ln(), expected, &format!("after block {second}"));
    }
}

#[test]
fn the_absolute_evidence_is_that_of_the_specification() {
    // The vectors are without the start's weight of a half, and without late starts.
    let planned = 1e15;
    for (failures, expected) in (1..).zip([2.181_729_437, 4.818_182_767, 7.653_723_864, 10.568_185_113]) {
        let mut absolute = Absolute::new(Version::Green, 0.05, planned);
        for _ in 0..failures {
            absolute.take(Counts { tally: Tally { bad: 1, units: 1 }, clients: None }, START);
        }
        close(absolute.ln() - 0.5_f64.ln(), expected, &format!("{failures} failures"));
    }
}

#[test]
fn so_many_failures_in_a_row_suspect_a_version() {
    for (bound, failures) in [(0.01, 2), (0.05, 3), (0.1, 4)] {
        let mut absolute = Absolute::new(Version::Green, bound, 3_600.0);
        let mut needed = 0;
        while absolute.ln() < 1_000_f64.ln() {
            absolute.take(Counts { tally: Tally { bad: 1, units: 1 }, clients: None }, START);
            needed += 1;
        }
        assert_eq!(needed, failures, "above {bound}");
    }
}

#[test]
fn so_many_units_without_a_failure_clear_green() {
    for (unacceptable, units) in [(0.01, 332), (0.02, 157), (0.05, 60), (0.1, 29)] {
        let mut pass = Pass::new(unacceptable, 36_000.0);
        assert_eq!(pass.missing(0.001), units);
        let mut taken = 0;
        while !pass.is_enough() {
            pass.take(Counts { tally: Tally { bad: 0, units: 1 }, clients: None }, 0.001);
            taken += 1;
        }
        assert_eq!(taken, units, "below {unacceptable}");
    }
}

#[test]
fn the_expected_evidence_of_an_acceptable_green_is_at_most_one() {
    let null = DEFAULT;
    let grid = Grid::new(null, 0.01);
    for blue in [0.0, 0.001, 0.01, 0.1, 0.5] {
        for green in [0.0, 0.3 * null.allowed(blue), null.allowed(blue)] {
            let mut expectation = [0.0; 6];
            for green_bad in 0..=4 {
                for blue_bad in 0..=6 {
                    let chance = binomial(4, green_bad, green) * binomial(6, blue_bad, blue);
                    let factors = grid.ln_factors(null, block((4, green_bad, 6, blue_bad)).counted(), 0.4);
                    for (sum, factor) in expectation.iter_mut().zip(factors) {
                        *sum += chance * factor.exp();
                    }
                }
            }
            for expectation in expectation {
                assert!(expectation <= 1.0 + 1e-12, "green {green}, blue {blue}: {expectation}");
            }
        }
    }
}

fn binomial(units: u64, bad: u64, rate: f64) -> f64 {
    let choices: f64 = (0..bad).map(|index| (units - index) as f64 / (index + 1) as f64).product();
    choices * rate.powi(bad as i32) * (1.0 - rate).powi((units - bad) as i32)
}

#[test]
fn a_block_closes_by_its_units_and_never_by_their_failures() {
    for (of, expected) in [
        ((0, 0, 100, 0), false),
        ((100, 100, 0, 0), false),
        ((1, 1, 6, 6), false),
        ((1, 0, 7, 0), true),
        ((7, 7, 1, 0), true),
    ] {
        assert_eq!(block(of).closes(), expected, "{of:?}");
    }
    let mut relative = Relative::new(DEFAULT, Tally::default(), 3_600.0, START);
    relative.tick(counts((0, 0, 5, 5)), START);
    relative.tick(counts((0, 0, 0, 0)), START + Duration::from_secs(600));
    relative.tick(counts((3, 0, 0, 0)), START + Duration::from_secs(601));
    assert_eq!(relative.blocks(), 0, "units from ten minutes ago are not of the same moments");
    relative.tick(counts((0, 0, 5, 0)), START + Duration::from_secs(602));
    assert_eq!(relative.blocks(), 1);
}

#[test]
fn a_block_that_is_cut_short_by_a_new_weight_is_thrown_away() {
    let mut relative = Relative::new(DEFAULT, Tally::default(), 3_600.0, START);
    relative.tick(counts((0, 0, 7, 0)), START);
    relative.cut(START);
    relative.tick(counts((1, 1, 0, 0)), START);
    assert_eq!(relative.blocks(), 0);
}

#[test]
fn many_requests_of_few_clients_weigh_as_much_as_the_clients() {
    let tempered = |clients: Option<u64>| {
        let mut of = counts((12, 6, 88, 0));
        of.green.clients = clients;
        of.blue.clients = clients.map(|_| 88);
        let mut block = Block::default();
        block.add(of, START);
        block.temper()
    };
    assert_eq!(tempered(None), 1.0);
    assert_eq!(tempered(Some(12)), 1.0);
    assert_eq!(tempered(Some(40)), 1.0);
    assert_eq!(tempered(Some(3)), 0.25);
    let evidence = |clients: Option<u64>| {
        let mut of = counts((12, 6, 88, 0));
        (of.green.clients, of.blue.clients) = (clients, clients.map(|_| 88));
        let mut relative = Relative::new(DEFAULT, Tally { bad: 1, units: 1_000 }, 3_600.0, START);
        relative.tick(of, START);
        relative.ln()
    };
    assert!(evidence(None) > 1_000_f64.ln());
    assert!(evidence(Some(1)) < 20_f64.ln());
}

#[test]
fn what_is_expected_of_blue_is_kept_while_blue_has_no_traffic() {
    let mut relative = Relative::new(DEFAULT, Tally { bad: 60, units: 60_000 }, 3_600.0, START);
    let expected = relative.expected();
    for minute in 1..=1_440 {
        relative.tick(counts((10, 0, 0, 0)), START + Duration::from_secs(60 * minute));
    }
    assert_eq!(relative.expected(), expected);
    relative.tick(counts((1, 0, 60_000, 600)), START + Duration::from_secs(60 * 1_441));
    // Half is new, and of the old at least half is kept: a block without blue is thrown away after ten minutes.
    assert!((0.005..0.0075).contains(&relative.expected()), "{}", relative.expected());
}

#[test]
fn all_starts_together_weigh_no_more_than_one() {
    for first in [0.5, 0.995] {
        let starts = mixture::Starts::new(first, 100.0);
        let late: f64 = (1..=1_000_000).map(|block| starts.ln_weight(block).exp()).sum();
        let rest = 1.0 - first - late;
        assert!((0.0..0.01 * (1.0 - first)).contains(&rest), "{first}: {rest} is left");
    }
}

#[test]
fn the_numbers_of_a_late_fault_are_those_since_it_began() {
    let mut relative = Relative::new(DEFAULT, Tally { bad: 60, units: 60_000 }, 3_600.0, START);
    for second in 1..=1_800 {
        relative.tick(counts((10, 0, 90, 0)), START + Duration::from_secs(second));
    }
    for second in 1_801..=1_803 {
        relative.tick(counts((10, 5, 90, 1)), START + Duration::from_secs(second));
    }
    assert!(relative.ln() > 2_000_f64.ln());
    let since = relative.since();
    assert!(since.counted.green.bad == 15 && since.counted.green.units < 60, "{since:?}");
    assert_eq!(since.first_bad, Some(START + Duration::from_secs(1_801)));
}

#[test]
fn without_a_history_blue_is_known_after_its_first_requests() {
    let mut relative = Relative::new(DEFAULT, Tally::default(), 3_600.0, START);
    assert_eq!(relative.expected(), 0.5);
    relative.tick(counts((1, 0, 99, 0)), START + Duration::from_millis(100));
    assert_eq!(relative.expected(), 0.5 / 100.0);
}

#[test]
fn a_blue_that_fails_more_than_is_acceptable_lets_no_failing_green_pass() {
    let mut pass = Pass::new(0.05, 36_000.0);
    for _ in 0..1_000 {
        pass.take(Counts { tally: Tally { bad: 1, units: 10 }, clients: None }, 0.1);
        assert!(!pass.is_enough());
    }
}

#[test]
fn a_burst_of_failures_that_is_over_does_not_hold_green_back_for_hours() {
    let mut pass = Pass::new(0.05, 36_000.0);
    pass.take(Counts { tally: Tally { bad: 10_000, units: 10_000 }, clients: None }, 0.001);
    let mut units = 0;
    while !pass.is_enough() {
        pass.take(Counts { tally: Tally { bad: 0, units: 1 }, clients: None }, 0.001);
        units += 1;
    }
    assert!((300..500).contains(&units), "{units}");
}

#[test]
fn one_client_that_fails_often_suspects_nobody_and_clears_nobody() {
    let mut absolute = Absolute::new(Version::Green, 0.01, 3_600.0);
    absolute.take(Counts { tally: Tally { bad: 100, units: 100 }, clients: Some(1) }, START);
    assert!(absolute.ln() < 1_000_f64.ln());
    let mut pass = Pass::new(0.05, 36_000.0);
    pass.take(Counts { tally: Tally { bad: 0, units: 100 }, clients: Some(1) }, 0.001);
    assert!(!pass.is_enough());
}

#[test]
fn older_latencies_serve_only_while_there_are_too_few() {
    let latency = |micros: u64, requests: u64| {
        let mut latency = Latency::default();
        (0..requests).for_each(|_| latency.record(Duration::from_micros(micros)));
        latency
    };
    let minute = |number: u64| START + Duration::from_secs(60 * number);
    let mut recent = Recent::new(&latency(1_000, 5_000), START);
    for number in 1..=30 {
        recent.add(&latency(2_000, 20), minute(number));
    }
    // Ten minutes hold some 200 units: the five thousand before are needed for a thousand, and not for a hundred.
    assert_eq!(recent.at_least(1_000, minute(30)).map(|sum| sum.len()), Some(5_600));
    let few = recent.at_least(100, minute(30)).expect("there are more");
    assert!(few.len() < 300 && few.slower_than(Duration::from_micros(1_500)) == few.len(), "{}", few.len());
    for number in 31..=60 {
        recent.add(&latency(3_000, 200), minute(number));
    }
    let sum = recent.at_least(1_000, minute(60)).expect("there are more");
    assert!((2_000..2_600).contains(&sum.len()), "{}", sum.len());
    assert_eq!(recent.at_least(5_000, minute(60)).map(|sum| sum.len()), None, "nothing older is kept in vain");
}
