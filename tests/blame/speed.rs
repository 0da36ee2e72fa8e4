//! How many failures clients see before a green that fails everything is rolled back, beside a healthy blue.

use serde_json::Value;

use crate::support::{Backend, Load, Proxy, config};

const RUNS: usize = 20;
const CONNECTIONS: usize = 64;
/// What is in flight twice, before the probe and in it, is a matter of luck.
const LOADS: usize = 5;

fn rolled_back(status: &Value) -> bool {
    status["state"] == "rolledBack"
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// At each weight, the most that the median may be.
const BOUNDS: [(f64, f64); 4] = [(10.0, 6.0), (50.0, 9.0), (90.0, 10.0), (100.0, 10.0)];

#[test]
fn promise_1_one_client_sees_few_failures_of_a_green_that_fails_everything() {
    let (blue, green) = (Backend::answering(200), Backend::answering(500));
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], "workers: 2"));
    let mut client = proxy.client();
    (0..200).for_each(|_| assert_eq!(client.get("/").status, 200, "blue alone"));
    for (weight, most) in BOUNDS {
        let (mut failed, mut micros) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
            proxy.set_weight(weight);
            let seen = (0..400).filter(|_| client.get("/").status == 500).count();
            failed.push(seen as f64);
            let status = proxy.until(rolled_back);
            micros.extend(status["rollback"]["reactionMicros"].as_f64());
        }
        let (median_failed, median_micros) = (median(failed.clone()), median(micros));
        println!("{weight} %: {median_failed} failures (median), {failed:?}; flipped in {median_micros:.2} µs");
        assert!(median_failed <= most, "at {weight} %: {failed:?}");
    }
}

#[test]
fn promise_1_of_64_connections_no_more_fail_than_that_and_what_is_in_flight() {
    for (weight, most) in BOUNDS {
        let failed: Vec<f64> = (0..LOADS).map(|_| failed_under_load(weight)).collect();
        let median_failed = median(failed.clone());
        println!("{weight} %, {CONNECTIONS} connections: {median_failed} failures (median), {failed:?}");
        assert!(median_failed <= most + CONNECTIONS as f64, "at {weight} %: {failed:?}");
    }
}

fn failed_under_load(weight: f64) -> f64 {
    let (blue, green) = (Backend::answering(200), Backend::answering(500));
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], "workers: 2"));
    let load = Load::start(proxy.listen, CONNECTIONS);
    load.until_more(1_000);
    proxy.set_weight(weight);
    proxy.until(rolled_back);
    load.stop().failed as f64
}
