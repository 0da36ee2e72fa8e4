//! What changes while the proxy runs: the green of a release, the endpoints of a version, the configuration. Nothing of it
//! loses a request.

mod marathon;
mod plans;
mod reload;

use serde_json::{Value, json};

use super::support::bench::GATE;
use super::support::upstream::refusing;
use super::support::{Backend, Bench, Proxy, Response, Upstream, config, eventually, portcullis, refused, stderr};

const QUICK: &str = "{ steps: [{ weight: 50%, bake: 200ms }], monitoring: 200ms }";
const SLOW: &str = "{ steps: [{ weight: 50%, bake: 1h }], monitoring: 1h }";

fn named(version: &str, backend: &Backend) -> Value {
    json!({ "green": { "version": version, "endpoints": [backend.address.to_string()] }, "reason": "a test" })
}

fn endpoints(backends: &[&Backend]) -> Value {
    let addresses: Vec<String> = backends.iter().map(|backend| backend.address.to_string()).collect();
    json!({ "endpoints": addresses, "reason": "a test" })
}

#[track_caller]
fn granted(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.text());
    serde_json::from_slice(&response.body).expect("a status")
}

/// The detail of a refusal with this status.
#[track_caller]
fn refusal(response: &Response, status: u16) -> String {
    assert_eq!(response.status, status, "{}", response.text());
    let problem: Value = serde_json::from_slice(&response.body).expect("a problem document");
    problem["detail"].as_str().expect("a detail").to_owned()
}

#[test]
fn a_green_that_is_named_becomes_blue_and_is_still_blue_after_a_restart_with_the_old_file() {
    let mut bench = Bench::with_plan(QUICK);
    let third = Backend::answering(200);
    let status = granted(&bench.proxy.post("/v1/release", &named("v3", &third)));
    assert_eq!(status["green"]["version"], "v3");
    let status = bench.until_state("completed");
    assert_eq!(status["blue"]["version"], "v3");
    bench.assert_all_to(&third, &bench.blue);
    assert_eq!(bench.green.count(), 0, "the green of the file was not released");

    let text = bench.text.clone();
    bench.crash_and_start(&text);
    bench.assert_all_to(&third, &bench.blue);
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["blue"]["version"]), (&json!("completed"), &json!("v3")));
    let difference = status["difference"].as_str().expect("the file says something else");
    let expected = format!("blue is v3 at [{}], and v1 at [{}] in the file", third.address, bench.blue.address);
    assert!(difference.starts_with(&expected), "{difference}");
    let told = bench.proxy.until_logged("the versions are not those of the configuration");
    assert_eq!(told["difference"], difference);
    assert!(check(&bench).contains("is in use by process"), "what holds there is what the status says");

    // And goes back to what was blue before it, if it must.
    bench.operate("rollback");
    bench.assert_all_to(&bench.blue, &third);
}

/// What `check` says of the file and the journal.
#[track_caller]
fn check(bench: &Bench) -> String {
    let (file, data) = (bench.proxy.file().to_str().expect("text"), bench.data.path().to_str().expect("text"));
    let output = portcullis(&["check", file, "--data", data], &[]);
    assert_eq!(output.status.code(), Some(0));
    stderr(&output)
}

#[test]
fn check_says_where_the_journal_of_a_proxy_that_has_stopped_differs_from_the_file() {
    let mut bench = Bench::with_plan(QUICK);
    let third = Backend::answering(200);
    granted(&bench.proxy.post("/v1/release", &named("v3", &third)));
    bench.until_state("completed");
    let difference = bench.proxy.status()["difference"].as_str().expect("they differ").to_owned();
    bench.proxy.crash();
    assert!(check(&bench).contains("has yet to be repaired"), "to repair it would be to write");
    let text = bench.text.clone();
    bench.crash_and_start(&text);
    bench.proxy.sigterm();
    assert!(bench.proxy.wait_exit().success());
    assert_eq!(check(&bench), format!("note: {difference}\n"));
    std::fs::remove_dir_all(bench.data.path()).expect("it is there");
    assert_eq!(check(&bench), "");
    assert!(!bench.data.path().exists(), "who only looks makes nothing");
}

#[test]
fn what_is_recorded_of_the_versions_holds_until_the_file_says_something_new_of_them() {
    let mut bench = Bench::with_plan(QUICK);
    let third = Backend::answering(200);
    granted(&bench.proxy.post("/v1/release", &named("v3", &third)));
    bench.until_state("completed");
    let text = bench.text.replace("version: v2", "version: v4");
    bench.crash_and_start(&text);
    let status = bench.proxy.status();
    assert_eq!((&status["blue"]["version"], &status["green"]["version"]), (&json!("v1"), &json!("v4")));
    assert_eq!(status["difference"], Value::Null);
    bench.assert_all_to(&bench.blue, &third);
}

#[test]
fn another_green_is_refused_by_name_while_a_release_is_open_and_so_is_one_that_is_blue() {
    let bench = Bench::with_plan(SLOW);
    let third = Backend::answering(200);
    granted(&bench.proxy.post("/v1/release", &named("v3", &third)));
    let other = refusal(&bench.proxy.post("/v1/release", &named("v4", &bench.green)), 409);
    assert_eq!(other, "release 1 of v3 is open, so none of v4 can begin; promote it or roll it back first");
    assert!(refusal(&bench.proxy.post("/v1/release", &named("v3", &third)), 409).contains("release 1 is open"));
    bench.operate("rollback");
    let blue = refusal(&bench.proxy.post("/v1/release", &named("v1", &third)), 409);
    assert_eq!(blue, "v1 is blue already: it serves everything that green does not");
}

#[test]
fn the_version_that_was_rolled_back_last_is_released_once_more_only_when_that_is_said() {
    let mut bench = Bench::with_plan(SLOW);
    let third = Backend::answering(200);
    granted(&bench.proxy.post("/v1/release", &named("v3", &third)));
    bench.operate("rollback");
    let text = bench.text.clone();
    for restarts in [false, true] {
        if restarts {
            bench.crash_and_start(&text);
        }
        let detail = refusal(&bench.proxy.post("/v1/release", &named("v3", &third)), 409);
        assert!(detail.starts_with("v3 was the last to be rolled back (rolled back by local: a test"), "{detail}");
    }
    let url = bench.url();
    let endpoint = third.address.to_string();
    let start = ["release", "start", "--admin", &url, "--green", "v3", "--endpoint", &endpoint];
    assert!(refused(&portcullis(&start, &[]), 1).contains("or --again"));
    let again = portcullis(&[&start[..], &["--again"]].concat(), &[]);
    assert!(again.status.success(), "{again:?}");
    assert_eq!(bench.proxy.status()["state"], "stepping");
}

#[test]
fn a_named_green_that_is_not_one_is_refused_with_its_field_and_nothing_changes() {
    let bench = Bench::with_plan(SLOW);
    for (body, field) in [
        (json!({ "green": { "version": "v3", "endpoints": ["127.0.0.1"] } }), "green.endpoints[0]"),
        (json!({ "green": { "version": "v3", "endpoints": ["a:1", "a:1"] } }), "green.endpoints[1]"),
        (json!({ "green": { "version": "", "endpoints": ["a:1"] } }), "green.version"),
        (json!({ "green": { "version": "v3" } }), "green"),
        (json!({ "green": { "version": "v3", "endpoints": [], "weight": 3 } }), "green.weight"),
        (json!({ "grene": {} }), "grene"),
    ] {
        let detail = refusal(&bench.proxy.post("/v1/release", &body), 422);
        assert!(detail.starts_with(field), "{detail}");
    }
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["green"]["version"]), (&json!("idle"), &json!("v2")));
}

#[test]
fn row_92_endpoints_come_and_go_under_load_and_no_request_is_lost() {
    let bench = Bench::with_plan(SLOW);
    let others: Vec<Backend> = (0..3).map(|_| Backend::answering(200)).collect();
    let path = "/v1/versions/blue/endpoints";
    for round in 0..30 {
        let some: Vec<&Backend> = others.iter().chain([&bench.blue]).skip(round % 4).collect();
        let status = granted(&bench.proxy.call("PUT", path, &endpoints(&some)));
        assert_eq!(status["blue"]["endpoints"], some.len());
        bench.load.until_more(20);
    }
    granted(&bench.proxy.call("PUT", path, &endpoints(&[&others[0]])));
    bench.assert_all_to(&others[0], &bench.blue);
    let event = bench.events.until("endpointsChanged");
    assert!(
        event.data["sentence"].as_str().is_some_and(|said| said.starts_with("blue (v1) has 4 endpoints, 1 before: "))
    );
    let Bench { load, .. } = bench;
    let tally = load.stop();
    assert_eq!((tally.failed, tally.lost), (0, vec![]));
}

#[test]
fn row_92_a_version_without_endpoints_gets_503_with_a_time_and_serves_again_when_they_come() {
    let bench = Bench::with_plan(SLOW);
    let path = "/v1/versions/blue/endpoints";
    granted(&bench.proxy.call("PUT", path, &endpoints(&[])));
    let response = bench.proxy.get("/");
    assert_eq!((response.status, response.head.one("retry-after").as_str()), (503, "1"));
    granted(&bench.proxy.call("PUT", path, &endpoints(&[&bench.blue])));
    assert_eq!(bench.proxy.get("/").status, 200);
    assert!(
        refusal(&bench.proxy.call("PUT", "/v1/versions/red/endpoints", &endpoints(&[])), 404)
            .contains("blue and green")
    );
}

#[test]
fn connections_of_endpoints_that_stay_are_kept_and_those_of_endpoints_that_leave_are_closed() {
    let (blue, other) = (Upstream::ok(), Upstream::ok());
    let proxy = Proxy::before_with(&blue, GATE);
    for _ in 0..3 {
        assert_eq!(proxy.get("/").status, 200);
    }
    let path = "/v1/versions/blue/endpoints";
    let list =
        |all: &[&Upstream]| json!({ "endpoints": all.iter().map(|one| one.address.to_string()).collect::<Vec<_>>() });
    granted(&proxy.call("PUT", path, &list(&[&blue, &other])));
    (0..20).for_each(|_| assert_eq!(proxy.get("/").status, 200));
    assert_eq!(blue.connections(), 1, "one connection carries them all");
    granted(&proxy.call("PUT", path, &list(&[&other])));
    blue.until_ended(0);
}

#[test]
fn row_93_what_was_never_sent_to_a_green_that_cannot_be_reached_is_answered_by_blue_and_charged_to_green() {
    let blue = Upstream::ok();
    let (green, _unreachable) = refusing();
    let policy = "gate: { triggers: [{ name: alerts, metric: external }], compare: { enabled: false } }";
    let proxy = Proxy::start(&config(&[blue.address], &[green], policy));
    proxy.set_weight(100.0);
    let mut client = proxy.client();
    let body = "0123456789".repeat(1_000);
    for method in ["GET", "POST", "PUT", "DELETE"] {
        let length = body.len();
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"));
        assert_eq!(client.response().status, 200, "{method}");
    }
    assert!(blue.requests().iter().all(|request| request.body == body.as_bytes()));
    let of_green = || proxy.metric("portcullis_requests_total", &["version=\"green\"", "outcome=\"connect_error\""]);
    eventually("green's failures", || (of_green() >= 4.0).then_some(()));
    assert_eq!(proxy.metric("portcullis_requests_total", &["version=\"blue\""]), 0.0, "each is counted once");
    proxy.until(|status| status["green"]["failures"] == 4);
}

#[test]
fn row_93_a_green_without_endpoints_is_neither_blamed_nor_passed_and_goes_on_when_they_come() {
    let bench = Bench::with_plan(QUICK);
    let third = Backend::answering(200);
    granted(&bench.proxy.post("/v1/release", &json!({ "green": { "version": "v3", "endpoints": [] } })));
    bench.events.until("stepped");
    bench.load.until_more(300);
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["weight"]), (&json!("stepping"), &json!(50.0)));
    assert_eq!((&status["green"]["requests"], &status["verdict"]["kind"]), (&json!(0), &json!("wait")));
    granted(&bench.proxy.call("PUT", "/v1/versions/green/endpoints", &endpoints(&[&third])));
    bench.until_state("completed");
    let tally = bench.load.stop();
    assert_eq!((tally.failed, tally.lost), (0, vec![]));
}
