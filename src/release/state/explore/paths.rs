//! The searches, each with how many states, steps and how deep they are.

use super::plans::{awaiting, bounded, exposed, gated, gated_exposed, plan, short};
use super::{DEADLINE, check, check_routes};
use crate::release::{OnLowTraffic, Otherwise};

#[test]
fn no_path_breaks_a_rule() {
    check(Some(plan(OnLowTraffic::Wait, DEADLINE, None)), [9_023, 243_593, 19]);
}

#[test]
fn no_path_breaks_a_rule_without_a_progress_deadline_when_low_traffic_passes() {
    check(Some(plan(OnLowTraffic::Pass, None, None)), [9_023, 243_593, 19]);
}

#[test]
fn no_path_breaks_a_rule_when_low_traffic_rolls_back() {
    check(Some(plan(OnLowTraffic::Rollback, DEADLINE, None)), [9_023, 243_593, 19]);
}

#[test]
fn no_path_breaks_a_rule_of_an_irreversible_release() {
    check(Some(plan(OnLowTraffic::Wait, DEADLINE, Some("migration"))), [3_932, 94_343, 18]);
}

#[test]
fn no_path_breaks_a_rule_of_an_irreversible_release_when_low_traffic_passes() {
    check(Some(plan(OnLowTraffic::Pass, None, Some("migration"))), [3_932, 94_343, 18]);
}

#[test]
fn no_path_breaks_a_rule_of_an_irreversible_release_when_low_traffic_rolls_back() {
    check(Some(plan(OnLowTraffic::Rollback, DEADLINE, Some("migration"))), [3_932, 94_343, 18]);
}

#[test]
fn no_path_breaks_a_rule_when_a_missing_approval_rolls_back() {
    check(Some(awaiting(Otherwise::Rollback, None)), [14_063, 379_673, 20]);
}

#[test]
fn no_path_breaks_a_rule_when_a_missing_approval_pauses() {
    check(Some(awaiting(Otherwise::Pause, None)), [17_033, 459_863, 23]);
}

#[test]
fn no_path_breaks_a_rule_of_an_irreversible_release_when_a_missing_approval_would_roll_back() {
    check(Some(awaiting(Otherwise::Rollback, Some("migration"))), [7_352, 176_423, 22]);
}

#[test]
fn no_path_breaks_a_rule_of_an_exposure_budget() {
    check(Some(exposed(None)), [5_903, 182_965, 17]);
}

#[test]
fn no_path_breaks_a_rule_of_an_irreversible_release_with_an_exposure_budget() {
    check(Some(exposed(Some("migration"))), [2_452, 68_631, 16]);
}

#[test]
fn no_path_breaks_a_rule_when_green_may_not_have_everything_by_itself() {
    check(Some(bounded(DEADLINE, None)), [9_503, 256_553, 19]);
}

#[test]
fn no_path_breaks_a_rule_of_an_irreversible_release_when_green_may_not_have_everything_by_itself() {
    check(Some(bounded(DEADLINE, Some("migration"))), [4_132, 99_143, 18]);
}

#[test]
fn no_path_breaks_a_rule_without_a_plan() {
    check(None, [2_963, 79_973, 15]);
}

#[test]
fn no_path_breaks_a_rule_when_a_route_is_taken_back() {
    check_routes(Some(short(None)), [19_058, 533_586, 18]);
}

#[test]
fn no_path_breaks_a_rule_of_an_irreversible_release_when_a_route_would_be_taken_back() {
    check_routes(Some(short(Some("migration"))), [3_332, 83_275, 16]);
}

#[test]
fn no_path_breaks_a_rule_of_an_exposure_budget_when_a_route_is_taken_back() {
    check_routes(Some(exposed(None)), [15_938, 509_978, 19]);
}

#[test]
fn no_path_breaks_a_rule_without_a_plan_when_a_route_is_taken_back() {
    check_routes(None, [7_718, 216_066, 16]);
}

#[test]
fn no_path_gets_past_a_gate_that_has_not_passed() {
    check(Some(gated(DEADLINE, None)), [31_123, 1_026_096, 24]);
}

#[test]
fn no_path_of_an_irreversible_release_gets_past_a_gate_that_has_not_passed() {
    check(Some(gated(None, Some("migration"))), [13_752, 412_055, 23]);
}

#[test]
fn no_path_of_an_exposure_budget_gets_past_a_gate_that_has_not_passed() {
    check(Some(gated_exposed()), [30_103, 1_079_428, 21]);
}
