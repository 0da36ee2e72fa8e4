//! What the flip to blue does to traffic: how much of green's failing gets through, and what is lost on the way.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Backend, Client, Listener, Load, Proxy, Tally, Upstream, config, eventually, number};

const CONNECTIONS: usize = 64;
const STREAK: u64 = 5;

/// Failures that a streak convicts at, at half of the traffic, where blue answers every time: five lower the weight, and what
/// comes at a tenth convicts.
const CONVICTS: u64 = 8;

const TWO_WORKERS: &str = "workers: 2\ngate: { triggers: [{ name: dead, metric: failureStreak, atLeast: 5 }] }";

fn start(blue: &Backend, green: &Backend, rest: &str) -> Proxy {
    Proxy::start(&config(&[blue.address], &[green.address], rest))
}

fn rolled_back(status: &Value) -> bool {
    status["state"] == "rolledBack"
}

fn statuses(client: &mut Client, requests: usize) -> Vec<u16> {
    (0..requests).map(|_| client.get("/").status).collect()
}

#[test]
fn promise_1_after_a_rollback_no_request_on_any_kept_alive_connection_reaches_green() {
    let (blue, green) = (Backend::answering(200), Backend::answering(500));
    let proxy = start(&blue, &green, TWO_WORKERS);
    let load = Load::start(proxy.listen, CONNECTIONS);
    load.until_more(1_000);
    assert_eq!(green.count(), 0, "at weight 0");
    proxy.set_weight(50.0);
    proxy.until(rolled_back);
    load.mark();
    load.until_late(20_000);
    let status = proxy.status();
    let tally = load.stop();

    assert_eq!(green.late(), 0, "requests that were started after the rollback was seen");
    assert_eq!((&tally.lost, tally.connections), (&vec![], CONNECTIONS as u64), "nobody had to connect again");
    let through = tally.failed;
    assert!(through >= STREAK, "{through} failures convicted green");
    assert!(through <= CONVICTS + CONNECTIONS as u64, "{through} failures got through");
    assert!(green.count() <= CONVICTS + CONNECTIONS as u64, "{} requests reached green", green.count());
    let reaction = status["rollback"]["reactionMicros"].as_f64();
    assert!(reaction.is_some_and(|micros| micros > 0.0), "{status:#}");
    let reason = status["rollback"]["reason"].as_str().expect("a sentence");
    assert!(reason.starts_with("green failed ") && reason.contains(" requests in a row"), "{reason}");
    assert!(reason.contains("in the same time blue failed 0 of "), "{reason}");
    assert!(reason.contains("if both failed alike, that would come by chance less than once in "), "{reason}");
    assert_eq!((&status["rollback"]["trigger"], &status["rollback"]["actor"]), (&json!("dead"), &json!("gate")));
    assert_eq!((&status["weight"], &status["verdict"]["kind"]), (&json!(0.0), &json!("fail")));
}

#[test]
fn promise_1_the_request_after_the_one_that_proves_it_goes_to_blue() {
    let (blue, green) = (Backend::answering(200), Backend::answering(500));
    // The user's own word: the fifth failure proves it, whatever else is known.
    let proxy = start(&blue, &green, &TWO_WORKERS.replace("atLeast: 5", "atLeast: 5, confirm: none"));
    let mut client = proxy.client();
    // Sent at once, so that the worker goes from one to the next without a pause for anybody else to act in.
    let pipelined = "GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(40);
    for release in 1..=20 {
        assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
        proxy.set_weight(50.0);
        client.send(&pipelined);
        let answers: Vec<u16> = (0..40).map(|_| client.response().status).collect();
        assert_eq!(green.count(), STREAK * release, "{answers:?}");
        proxy.until(rolled_back);
    }
}

#[test]
fn promise_2_a_rolled_back_epoch_stays_on_blue_whatever_weight_is_asked_for() {
    let (blue, green) = (Backend::answering(200), Backend::answering(500));
    let proxy = start(&blue, &green, TWO_WORKERS);
    proxy.set_weight(50.0);
    let mut client = proxy.client();
    eventually("green's streak", || statuses(&mut client, 20).iter().all(|status| *status == 200).then_some(()));
    let epoch = proxy.until(rolled_back)["epoch"].clone();
    let reached = green.count();
    for weight in [0.0, 1.0, 50.0, 100.0] {
        let refused = proxy.call("PUT", "/v1/weight", &json!({ "weight": weight }));
        assert_eq!(refused.status, 409, "{weight}");
        assert!(refused.text().contains("POST /v1/release"), "{}", refused.text());
    }
    green.answer(200);
    assert_eq!(proxy.post("/v1/release/rollback", &Value::Null).status, 200, "once more changes nothing");
    statuses(&mut client, 200);
    let status = proxy.status();
    assert_eq!((&status["state"], &status["epoch"], green.count()), (&json!("rolledBack"), &epoch, reached));
    assert_eq!(status["rollback"]["trigger"], "dead", "the first rollback is the one that is remembered");
    assert_eq!(status["verdict"]["sentence"], status["rollback"]["reason"]);

    let opened = proxy.post("/v1/release", &json!({ "reason": "fixed" }));
    assert_eq!(opened.status, 200, "{}", opened.text());
    let status = proxy.status();
    assert_eq!(status["epoch"], epoch.as_u64().expect("a number") + 1);
    assert_eq!((&status["weight"], &status["rollback"]), (&json!(0.0), &Value::Null));
    statuses(&mut client, 200);
    assert_eq!(green.count(), reached, "a new release begins at weight 0");
    proxy.set_weight(100.0);
    statuses(&mut client, 10);
    assert_eq!(green.count(), reached + 10);
}

#[test]
fn at_full_weight_a_streak_lowers_the_weight_and_convicts_with_what_comes_there() {
    let (blue, green) = (Backend::answering(200), Backend::answering(500));
    let proxy = start(&blue, &green, "gate: { triggers: [{ name: dead, metric: failureStreak, atLeast: 5 }] }");
    let events = Listener::new(proxy.admin);
    proxy.set_weight(100.0);
    let mut client = proxy.client();
    assert_eq!(statuses(&mut client, 5), [500; 5]);
    let status = proxy.until(|status| status["green"]["requests"] == 5);
    assert_eq!((&status["weight"], &status["state"]), (&json!(10.0), &json!("paused")));
    assert_eq!((&status["verdict"]["kind"], &status["rollback"]), (&json!("wait"), &Value::Null));
    assert_eq!((&status["verdict"]["sentence"], green.count()), (&status["pause"], 5));

    // At 10 % one of every ten requests goes to green.
    let probed = statuses(&mut client, 60);
    assert!(probed[..19].contains(&500) && probed[..19].contains(&200), "{probed:?}");
    assert_eq!(statuses(&mut client, 100), [200; 100]);
    assert!((7..=10).contains(&green.count()), "{}", green.count());
    let status = proxy.until(rolled_back);
    assert_eq!((&status["weight"], &status["rollback"]["trigger"]), (&json!(0.0), &json!("dead")));
    let kinds: Vec<String> = events.heard().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["weightSet", "probing", "rolledBack"]);
}

#[test]
fn promise_5_when_both_versions_fail_in_a_row_nothing_is_rolled_back_and_the_weight_may_only_fall() {
    let (blue, green) = (Backend::answering(503), Backend::answering(500));
    let proxy = start(&blue, &green, TWO_WORKERS);
    let events = Listener::new(proxy.admin);
    proxy.set_weight(50.0);
    let mut client = proxy.client();
    statuses(&mut client, 100);
    let frozen = events.until("frozen");
    let sentence = frozen.data["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("in the same time blue failed 5 of 5"), "{sentence}");
    assert!(sentence.ends_with(": not caused by the version"), "{sentence}");
    statuses(&mut client, 300);
    let status = proxy.until(|status| {
        let [blue, green] = ["blue", "green"].map(|version| status[version]["requests"].as_u64());
        blue.zip(green).is_some_and(|(blue, green)| blue + green == 400)
    });
    assert_eq!(status["state"], "paused");
    assert!(status["pause"].as_str().is_some_and(|pause| pause.ends_with(": not caused by the version")), "{status:#}");
    assert_eq!((&status["verdict"]["kind"], &status["rollback"]), (&json!("wait"), &Value::Null));
    assert_eq!(status["weight"], 10.0, "a streak without evidence lowers it");

    let refused = proxy.call("PUT", "/v1/weight", &json!({ "weight": 10.01 }));
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("not caused by the version"), "{}", refused.text());
    assert_eq!(proxy.status()["weight"], 10.0);
    proxy.set_weight(5.0);
    assert_eq!(proxy.status()["weight"], 5.0);
    let kinds: Vec<String> = events.heard().into_iter().map(|event| event.kind).collect();
    assert!(!kinds.contains(&"rolledBack".to_owned()), "{kinds:?}");
}

#[test]
fn the_share_is_exact_over_10_000_requests_and_holds_at_once_on_kept_alive_connections() {
    const WORKERS: u64 = 2;
    let (blue, green) = (Backend::answering(200), Backend::answering(200));
    let proxy = start(&blue, &green, "workers: 2");
    let mut clients: Vec<Client> = (0..8).map(|_| proxy.client()).collect();
    for (percent, expected) in [(12.34, 1_234), (0.01, 1), (99.99, 9_999), (0.0, 0), (100.0, 10_000), (50.0, 5_000)] {
        proxy.set_weight(percent);
        assert_eq!(proxy.status()["weight"], percent);
        let (of_blue, of_green) = (blue.count(), green.count());
        std::thread::scope(|scope| {
            for client in &mut clients {
                scope.spawn(|| (0..10_000 / 8).for_each(|_| assert_eq!(client.get("/").status, 200)));
            }
        });
        let (of_blue, of_green) = (blue.count() - of_blue, green.count() - of_green);
        assert_eq!(of_blue + of_green, 10_000);
        let tolerance = if percent.fract() == 0.0 && expected % 10_000 == 0 { 0 } else { WORKERS };
        assert!(of_green.abs_diff(expected) <= tolerance, "{of_green} at {percent} %");
    }
}

#[test]
fn no_request_waits_while_the_kernel_makes_room_for_open_files() {
    let (blue, green) = (Backend::answering(200), Backend::answering(200));
    let proxy = start(&blue, &green, TWO_WORKERS);
    let room = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid())).expect("it runs");
        status.lines().find_map(|line| line.strip_prefix("FDSize:")?.trim().parse::<u64>().ok()).expect("it has some")
    };
    let before = room();
    let load = Load::start(proxy.listen, 200);
    load.until_more(1_000);
    assert_eq!((room(), load.stop().lost), (before, vec![]), "each growth holds up every worker");
}

/// How many requests the load below sends.
fn requests() -> u64 {
    number("PORTCULLIS_TEST_REQUESTS").unwrap_or(40_000)
}

#[test]
fn no_request_is_lost_while_the_weight_changes_100_times_and_the_process_is_told_to_end() {
    const CHANGES: u64 = 100;
    let (blue, green) = (Backend::answering(200), Backend::answering(200));
    let mut proxy = start(&blue, &green, "workers: 2\ndrain: { wait: 2s, deadline: 10s }");
    let load = Load::start(proxy.listen, CONNECTIONS);
    for change in 0..CHANGES {
        proxy.set_weight([50.0, 0.0, 100.0, 12.34, 99.0][(change % 5) as usize]);
        load.until_more(requests() / CHANGES);
        if change == CHANGES / 2 {
            assert_eq!(proxy.post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
            load.until_more(requests() / CHANGES);
            assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
        }
    }
    proxy.sigterm();
    eventually("readiness to be off", || (proxy.call("GET", "/readyz", &Value::Null).status == 503).then_some(()));
    load.leave();
    let Tally { answered, failed, lost, .. } = load.join();
    assert_eq!((failed, lost), (0, vec![]));
    assert!(answered >= requests(), "{answered}");
    assert_eq!(blue.count() + green.count(), answered, "each request reached one version, once");
    assert!(proxy.wait_exit().success());
}

#[test]
fn what_is_in_flight_at_a_rollback_and_at_sigterm_is_answered_by_the_version_that_has_it() {
    let (blue, green) = (Backend::answering(200), Backend::answering(200));
    let mut proxy = start(&blue, &green, "workers: 2\ndrain: { wait: 0s, deadline: 10s }");
    green.take(Duration::from_millis(700));
    proxy.set_weight(100.0);
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    eventually("every request at green", || (green.count() == CONNECTIONS as u64).then_some(()));
    assert_eq!(proxy.post("/v1/release/rollback", &Value::Null).status, 200);
    proxy.sigterm();
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
        client.ends();
    }
    assert_eq!((blue.count(), green.count()), (0, CONNECTIONS as u64));
    assert!(proxy.wait_exit().success());
}

/// Holds `/a/…` and `/b/…` each until all of theirs and the test are there, and answers with the status behind.
fn holding(batches: [Arc<Barrier>; 2]) -> Upstream {
    Upstream::scripted(move |connection| {
        while let Some(request) = connection.request() {
            let [a, b] = &batches;
            match request.target.split('/').nth(1) {
                Some("a") => _ = a.wait(),
                Some("b") => _ = b.wait(),
                _ => {}
            }
            let status = request.target.rsplit('/').next().expect("a status");
            connection.send(format!("HTTP/1.1 {status} Told\r\ncontent-length: 2\r\n\r\nok"));
        }
    })
}

#[test]
fn row_74_what_is_in_flight_at_the_flip_ends_on_green_is_counted_and_neither_unlatches_nor_triggers_again() {
    const HELD: usize = 4;
    let batches = [(); 2].map(|()| Arc::new(Barrier::new(HELD + 1)));
    let (blue, green) = (Upstream::ok(), holding(batches.clone()));
    let gate = "gate: { compare: { enabled: false }, \
                triggers: [{ name: dead, metric: failureStreak, atLeast: 3, confirm: none }] }";
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], gate));
    let events = Listener::new(proxy.admin);
    proxy.set_weight(100.0);
    let mut held: Vec<(Client, u16)> = Vec::new();
    for (batch, status) in
        [("a", 200), ("a", 500), ("a", 200), ("a", 500), ("b", 500), ("b", 500), ("b", 500), ("b", 500)]
    {
        let mut client = proxy.client();
        client.send(format!("GET /{batch}/{status} HTTP/1.1\r\nHost: test\r\n\r\n"));
        held.push((client, status));
    }
    green.until("all that are held", |seen| {
        (seen.iter().map(|one| one.requests.len()).sum::<usize>() == 2 * HELD).then_some(())
    });
    let mut client = proxy.client();
    assert_eq!([(); 3].map(|()| client.get("/500").status), [500; 3]);
    let told = proxy.until(rolled_back)["rollback"].clone();
    let counted = |code: &str, requests: f64| {
        proxy.until_metric("portcullis_requests_total", &["version=\"green\"", &format!("code=\"{code}\"")], requests);
    };

    // Those that end while the epoch is latched.
    batches[0].wait();
    for (client, status) in &mut held[..HELD] {
        assert_eq!(client.response().status, *status);
    }
    counted("200", 2.0);
    counted("500", 5.0);
    let status = proxy.until(|status| status["green"]["requests"] == 7);
    assert_eq!((&status["green"]["failures"], &status["rollback"], &status["weight"]), (&json!(5), &told, &json!(0.0)));
    assert_eq!(client.get("/after").text(), "GET /after", "blue answers");

    // And those that end in the next release: they are none of its evidence.
    assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
    proxy.set_weight(50.0);
    batches[1].wait();
    for (client, status) in &mut held[HELD..] {
        assert_eq!(client.response().status, *status);
    }
    counted("500", 9.0);
    // What is shown of the next two, one of each version, is shown of all before them.
    (0..2).for_each(|_| assert_eq!(client.get("/200").status, 200));
    let status = proxy.until(|status| status["blue"]["requests"] == 1 && status["green"]["requests"] != 0);
    let said = (&status["weight"], &status["rollback"], &status["green"]["requests"], &status["green"]["failures"]);
    assert_eq!(said, (&json!(50.0), &Value::Null, &json!(1), &json!(0)), "{status:#}");
    let kinds: Vec<String> = events.heard().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "rolledBack").count(), 1, "{kinds:?}");
}
