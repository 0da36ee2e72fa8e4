//! Ten releases in a row under load over the API alone, each with new endpoints, three of them bad, with reloads and changes
//! of endpoints in between. `PORTCULLIS_TEST_MARATHON=500000` asks for so many requests.

use serde_json::{Value, json};

use super::{endpoints, granted, named};
use crate::support::events::Event;
use crate::support::{Backend, Bench, number};

const PLAN: &str = "{ steps: [{ weight: 50%, bake: 100ms, approval: true }], monitoring: 200ms }";
const RELEASES: u64 = 10;
const BAD: [u64; 3] = [3, 6, 7];

#[test]
fn ten_releases_in_a_row_with_reloads_and_endpoints_that_change_lose_no_request() {
    let wanted = number("PORTCULLIS_TEST_MARATHON").unwrap_or(5_000);
    let mut bench = Bench::with_plan(PLAN);
    let mut blue = Backend::answering(200);
    std::mem::swap(&mut blue, &mut bench.blue);
    let mut blue_name = "v1".to_owned();
    let mut kept = Vec::new();
    for release in 1..=RELEASES {
        let (version, green) = (format!("w{release}"), Backend::answering(200));
        let is_bad = BAD.contains(&release);
        granted(&bench.proxy.post("/v1/release", &named(&version, &green)));
        for round in 0..2 {
            let text = bench.text.replace("above: 50%", &format!("above: {}%", 50 + 2 * release + round));
            std::fs::write(bench.proxy.file(), text).expect("a file");
            granted(&bench.proxy.post("/v1/config/reload", &Value::Null));
        }
        let more = Backend::answering(200);
        for round in 0..5 {
            let (own, path) = if round % 2 == 0 { (&green, "green") } else { (&blue, "blue") };
            let all = if round < 2 { vec![own, &more] } else { vec![own] };
            granted(&bench.proxy.call("PUT", &format!("/v1/versions/{path}/endpoints"), &endpoints(&all)));
            bench.load.until_more(wanted / RELEASES / 5);
        }
        kept.push(more);
        if is_bad {
            green.answer(500);
        } else {
            bench.until_state("paused");
            bench.operate("approve");
        }
        let status =
            bench.proxy.until(|status| ["completed", "rolledBack"].iter().any(|state| status["state"] == *state));
        let expected = if is_bad { "rolledBack" } else { "completed" };
        assert_eq!(status["state"], expected, "release {release}: {status:#}");
        if is_bad {
            kept.push(green);
        } else {
            kept.push(std::mem::replace(&mut blue, green));
            blue_name = version;
        }
        assert_eq!(status["blue"]["version"], json!(blue_name));
    }
    let Bench { load, proxy, .. } = bench;
    let history: Value = serde_json::from_slice(&proxy.call("GET", "/v1/releases", &Value::Null).body).expect("a list");
    let outcomes: Vec<&str> =
        history.as_array().expect("a list").iter().filter_map(|one| one["outcome"].as_str()).collect();
    let rolled_back = outcomes.iter().filter(|outcome| **outcome == "rolledBack").count();
    assert_eq!((outcomes.len(), rolled_back), (10, 3), "{history:#}");
    let tally = load.stop();
    assert_eq!(tally.lost, [""; 0]);
    assert!(tally.answered >= wanted, "{} of {wanted}", tally.answered);
    println!("{} requests, {} of them the bad versions' own failures", tally.answered, tally.failed);
}

/// After a kill at any instant blue is the last version whose completion was told, or the one that was about to complete;
/// and what was told to be rolled back gets nothing. `PORTCULLIS_TEST_KILLS=50` asks for more kills.
#[test]
fn promise_2_kills_in_releases_that_name_their_green_leave_blue_and_the_latch_as_they_were_told() {
    let mut random = fastrand::Rng::with_seed(number("PORTCULLIS_TEST_SEED").unwrap_or(7));
    let mut bench = Bench::with_plan("{ steps: [{ weight: 50%, bake: 50ms }], monitoring: 100ms }");
    let text = bench.text.clone();
    let mut blue = "v1".to_owned();
    let mut kept = Vec::new();
    for release in 1..=number("PORTCULLIS_TEST_KILLS").unwrap_or(6).min(50) {
        let (version, green) = (format!("w{release}"), Backend::answering(200));
        granted(&bench.proxy.post("/v1/release", &named(&version, &green)));
        if release % 3 == 0 {
            green.answer(500);
        }
        bench.load.until_more(random.u64(1..2_000));
        bench.proxy.crash();
        let of_release = |event: &Event| event.data["epoch"] == release;
        let told: Vec<Event> = bench.events.heard().into_iter().filter(of_release).collect();
        bench.crash_and_start(&text);
        let status = bench.proxy.status();
        let is = status["blue"]["version"].as_str().expect("a name").to_owned();
        let has_been_told = |kind: &str| told.iter().any(|told| told.kind == kind);
        if has_been_told("completed") {
            assert_eq!(is, version, "release {release}: {status:#}");
        } else {
            assert!(is == version || is == blue, "release {release}: {is}, {told:?}");
        }
        if has_been_told("rolledBack") {
            assert_eq!((&status["state"], &status["weight"]), (&json!("rolledBack"), &json!(0.0)), "{status:#}");
        }
        kept.push(green);
        bench.proxy.post("/v1/release/rollback", &json!({ "reason": "the next one" }));
        blue = bench.proxy.status()["blue"]["version"].as_str().expect("a name").to_owned();
    }
}
