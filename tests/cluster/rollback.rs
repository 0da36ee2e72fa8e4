//! One replica sees a fault, and all of them leave green.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::support::cluster::Cluster;
use super::super::support::{Listener, Load, eventually, number};
use super::{Replica, Rollout};

/// From the first replica's rollback to the last request that any of them gives to green, in a run by hand: a machine that does
/// other things as well may take longer.
const PROMISED: Duration = Duration::from_secs(1);

/// Half of all requests, for as long as the test wants.
pub fn half() -> Value {
    json!({ "steps": [{ "weight": "50%", "bake": "1h" }], "monitoring": "1h" })
}

#[test]
fn a_fault_that_one_replica_sees_takes_all_of_them_back_to_blue() {
    let Some(cluster) = Cluster::shared() else { return };
    let runs = number("PORTCULLIS_ROLLBACKS");
    let rollout = Rollout::with_plan(cluster, half());
    let mut replicas = rollout.replicas();
    let (mut of_fault, mut of_rollback) = (Vec::new(), Vec::new());
    for run in 0..runs.unwrap_or(3) {
        rollout.green.answer(200);
        rollout.release(&format!("v{}", run + 2));
        replicas.iter().for_each(|replica| drop(replica.until_weight(50.0)));
        // Only what this one sends is answered badly. It leads in some of the runs.
        let one = &replicas[run as usize % 3];
        let told = Listener::new(one.proxy.admin);
        rollout.green.moments();
        rollout.green.answer_late(500);
        let bad = Load::start(one.proxy.listen, 8);
        bad.mark();
        let rolled_back = told.until("rolledBack").at;
        replicas.iter().for_each(|replica| drop(replica.until_state("rolledBack")));
        rollout.until("the latch", |status| status["latch"]["epoch"] == run + 1);
        bad.stop();
        let (first_bad, last) = until_quiet(&rollout);
        of_fault.push(last.duration_since(first_bad));
        of_rollback.push(last.saturating_duration_since(rolled_back));
    }
    replicas.iter_mut().for_each(Replica::calm);
    tell("from the first bad answer to the last request to green, of three replicas", &mut of_fault);
    let most = tell("from the rollback of the one that sees it to the last request to green", &mut of_rollback);
    assert!(runs.is_none() || most <= PROMISED, "{of_rollback:?}");
}

/// Prints how long it took, and returns the most.
fn tell(what: &str, took: &mut [Duration]) -> Duration {
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize];
    let [least, median, most_of_all, most] = [0.0, 0.5, 0.95, 1.0].map(at);
    println!("{what}, {} runs: least {least:?}, median {median:?}, 95 % {most_of_all:?}, most {most:?}", took.len());
    most
}

/// Waits until green has got nothing for so long that nothing was under way to it, and says when its first bad answer and its last
/// request were.
fn until_quiet(rollout: &Rollout<'_>) -> (Instant, Instant) {
    let before = rollout.green.moments();
    let all = rollout.blue.count() + 200;
    eventually("two hundred requests to blue", || (rollout.blue.count() >= all).then_some(()));
    let after = rollout.green.moments();
    let last = after.last.or(before.last).expect("green had requests");
    (before.first_late.expect("a bad answer"), last)
}
