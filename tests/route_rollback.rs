//! Routes that are taken back by themselves, while the rest of their release stays where it is.

use std::path::Path;
use std::sync::{Mutex, mpsc};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Client, Connection, DEADLINE, Listener, Proxy, Upstream, config, eventually, folder, portcullis, printed,
};

const REQUESTS: &str = "portcullis_requests_total";
const TAKEN_BACK: &str = "portcullis_route_taken_back";
const ROUTES: &str = "routes:\n\
                      - { name: search, paths: [/search] }\n\
                      - { name: checkout, paths: [/checkout/*], rollback: route }\n";
const COMPARED: &str = "gate: { warmUp: { time: 0s, requests: 0 }, triggers: [] }\n";
/// Five failures convict the route, and half of all requests the whole.
const TRIGGERS: &str = "routes:\n\
                        - name: checkout\n  \
                          paths: [/checkout/*]\n  \
                          rollback: route\n  \
                          triggers: [{ name: checkout-errors, metric: errorRate, above: 50%, minimumRequests: 5, window: 1h }]\n\
                        gate: { compare: { enabled: false }, triggers: [{ name: all, metric: errorRate, above: 50%, window: 1h, \
                        minimumRequests: 1 }] }\n";

struct Bench {
    text: String,
    data: TempDir,
    proxy: Proxy,
    upstreams: [Upstream; 2],
}

/// Answers with its name, and with 500 where the target holds `fails`.
fn named(name: &'static str, fails: &'static str) -> Upstream {
    Upstream::scripted(move |connection: &mut Connection| {
        while let Some(request) = connection.request() {
            let status = if !fails.is_empty() && request.target.contains(fails) { 500 } else { 200 };
            connection.send(format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\n\r\n{name}", name.len()));
        }
    })
}

fn bench(rest: &str, green: Upstream, weight: f64) -> Bench {
    let blue = named("blue", "");
    let text = config(&[blue.address], &[green.address], rest);
    let data = folder();
    let proxy = Proxy::start_in(data.path(), &text);
    proxy.set_weight(weight);
    Bench { text, data, proxy, upstreams: [blue, green] }
}

impl Bench {
    fn url(&self) -> String {
        format!("http://{}", self.proxy.admin)
    }

    fn data(&self) -> &Path {
        self.data.path()
    }

    fn replays(&self) {
        let replayed = printed(&portcullis(&["replay", "v2-1", "--admin", &self.url()], &[]));
        assert!(replayed.ends_with("to the last bit.\n"), "{replayed}");
    }

    /// One request in ten is for the route, which green fails, until that is taken back.
    fn until_taken_back(&self) -> Value {
        let mut client = self.proxy.client();
        eventually("the route is taken back", || {
            for number in 0..10 {
                client.get(if number == 3 { "/checkout/fails" } else { "/" });
            }
            let status = self.proxy.status();
            status["routes"][1]["takenBack"].is_string().then_some(status)
        })
    }
}

/// Who serves these requests.
#[track_caller]
fn served(client: &mut Client, target: &str, requests: usize) -> Vec<String> {
    (0..requests).map(|_| client.get(target).text()).collect()
}

#[track_caller]
fn all_to_blue(client: &mut Client) {
    assert_eq!(served(client, "/checkout/fails", 30), ["blue"; 30]);
}

#[track_caller]
fn post(proxy: &Proxy, path: &str) -> Value {
    let response = proxy.post(path, &json!({ "reason": "a test" }));
    assert_eq!(response.status, 200, "{}", response.text());
    serde_json::from_slice(&response.body).expect("a status")
}

#[test]
fn a_route_that_says_so_goes_to_blue_alone_by_its_own_verdict_and_the_rest_stays_where_it_is() {
    let near = "override: { header: x-version, from: [\"127.0.0.0/8\"] }\nsticky: { header: x-user }\n";
    let bench = bench(&format!("{ROUTES}{COMPARED}{near}"), named("green", "fails"), 50.0);
    let (proxy, events) = (&bench.proxy, Listener::new(bench.proxy.admin));
    assert_eq!(proxy.metric(TAKEN_BACK, &["route=\"checkout\""]), 0.0);
    let status = bench.until_taken_back();
    assert_eq!(status["state"], "paused", "{status:#}");
    let checkout = &status["routes"][1];
    let why = checkout["takenBack"].as_str().expect("a sentence");
    assert!(why.starts_with("on route `checkout` green failed "), "{why}");
    assert_eq!(checkout["goes"], "toBlue");
    proxy.until(|status| status["routes"][1]["lnEvidence"].is_null());
    // Where the first failures came slowly it was probed before.
    let weight = status["weight"].as_f64().expect("a number");
    let alone =
        format!("route `checkout` alone goes to blue for the rest of the release, which is paused at {weight} %");
    let pause = format!("{why}; {alone}");
    assert_eq!((status["pause"].as_str(), &status["routes"][0]["goes"]), (Some(pause.as_str()), &"judged".into()));
    let event = events.until("routeTakenBack").data;
    assert_eq!((event["sentence"].as_str(), &event["state"]), (Some(pause.as_str()), &"paused".into()));
    proxy.until_metric(TAKEN_BACK, &["route=\"checkout\""], 1.0);

    let mut client = proxy.client();
    all_to_blue(&mut client);
    proxy.set_weight(50.0);
    for field in ["X-Version: green", "X-User: a", "X-User: b", "X-User: c"] {
        client.send(format!("GET /checkout/fails HTTP/1.1\r\nHost: test\r\n{field}\r\n\r\n"));
        assert_eq!(client.response().text(), "blue", "{field}");
    }
    // Of a pair the first may have been drawn before.
    let green = served(&mut client, "/search", 20).iter().filter(|name| *name == "green").count();
    assert!((9..=11).contains(&green), "{green}");
    let shown = printed(&portcullis(&["status", "--admin", &bench.url()], &[]));
    assert!(shown.contains(&format!("  route checkout is taken back to blue: {why}\n")), "{shown}");

    post(proxy, "/v1/release/pause");
    assert_eq!(post(proxy, "/v1/release/resume")["state"], "stepping");
    all_to_blue(&mut client);
    post(proxy, "/v1/release/rollback");
    assert_eq!(served(&mut client, "/search", 20), ["blue"; 20]);
    proxy.until_metric(TAKEN_BACK, &["route=\"checkout\""], 0.0);
    let report = printed(&portcullis(&["report", "v2-1", "--admin", &bench.url()], &[]));
    assert!(report.contains("| Taken back alone | checkout |\n"), "{report}");
    bench.replays();

    post(proxy, "/v1/release");
    proxy.set_weight(100.0);
    assert_eq!(served(&mut client, "/checkout/x", 5), ["green"; 5], "of a release before");
}

#[test]
fn a_trigger_of_such_a_route_takes_it_back_and_the_rest_is_judged_from_nothing() {
    let bench = bench(TRIGGERS, named("green", "fails"), 100.0);
    let mut client = bench.proxy.client();
    assert_eq!(served(&mut client, "/", 20), ["green"; 20]);
    assert_eq!(served(&mut client, "/checkout/fails", 5), ["green"; 5]);
    let status = bench.proxy.until(|status| status["state"] == "paused");
    let why = status["routes"][0]["takenBack"].as_str().expect("a sentence");
    assert!(why.starts_with("on route `checkout` green failed 5 of 5 requests (100.0 %) in the last 1 h"), "{why}");
    all_to_blue(&mut client);
    // Ten failures of thirty are within the bound of the whole, if those of the route count.
    served(&mut client, "/fails", 5);
    let status = bench.proxy.until(|status| status["state"] == "rolledBack");
    let reason = status["rollback"]["reason"].as_str().expect("a sentence");
    assert_eq!(status["rollback"]["trigger"], "all");
    assert!(reason.starts_with("green failed "), "{reason}");
    bench.replays();
}

#[test]
fn what_ends_on_a_route_after_it_was_taken_back_is_no_evidence_of_the_whole() {
    let (tell, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let green = Upstream::scripted(move |connection| {
        while let Some(request) = connection.request() {
            if request.target == "/checkout/late" {
                wait.lock().expect("one request").recv_timeout(DEADLINE).expect("the test tells it");
            }
            let status = if request.target.starts_with("/checkout") { 500 } else { 200 };
            connection.send(format!("HTTP/1.1 {status} Scripted\r\ncontent-length: 0\r\n\r\n"));
        }
    });
    let bench = bench(TRIGGERS, green, 100.0);
    let (mut late, mut client) = (bench.proxy.client(), bench.proxy.client());
    late.send("GET /checkout/late HTTP/1.1\r\nHost: test\r\n\r\n");
    served(&mut client, "/", 20);
    bench.upstreams[1].until("the late request", |seen| {
        seen.iter().flat_map(|seen| &seen.requests).any(|request| request.target == "/checkout/late").then_some(())
    });
    served(&mut client, "/checkout/fails", 5);
    bench.proxy.until(|status| status["state"] == "paused");
    tell.send(()).expect("green waits");
    assert_eq!(late.response().status, 500);
    bench.proxy.until_metric(REQUESTS, &["route=\"checkout\"", "code=\"500\""], 6.0);
    // Counted by a later tick, after that of the late one was judged.
    client.get("/");
    bench.proxy.until_metric(REQUESTS, &["route=\"other\""], 21.0);
    let status = bench.proxy.until(|status| status["green"]["requests"] == 26);
    assert_eq!(status["state"], "paused", "{status:#}");
}

#[test]
fn a_route_stays_taken_back_over_a_crash_a_take_over_and_a_reload_that_numbers_it_anew() {
    let mut bench = bench(&format!("{ROUTES}{COMPARED}"), named("green", "fails"), 50.0);
    let why = bench.until_taken_back()["routes"][1]["takenBack"].clone();
    bench.proxy.crash();
    bench.proxy = Proxy::start_in(bench.data(), &bench.text);
    let mut client = bench.proxy.client();
    all_to_blue(&mut client);
    let status = bench.proxy.status();
    assert_eq!((&status["state"], &status["routes"][1]["takenBack"]), (&"paused".into(), &why), "{status:#}");

    let listens = format!("listen: {}\nadmin: {{ listen: {} }}", bench.proxy.listen, bench.proxy.admin);
    let text = bench.text.replace("listen: 127.0.0.1:0\nadmin: { listen: 127.0.0.1:0 }", &listens);
    bench.proxy.crash();
    bench.proxy = Proxy::start_in(bench.data(), &text);
    let successor = Proxy::take_over(bench.data(), &text);
    bench.proxy.wait_exit();
    bench.proxy = successor;
    let mut client = bench.proxy.client();
    all_to_blue(&mut client);

    let reload = |proxy: &Proxy, text: &str| {
        std::fs::write(proxy.file(), text).expect("it is writable");
        proxy.post("/v1/config/reload", &Value::Null)
    };
    let refused = reload(&bench.proxy, &text.replace("name: checkout", "name: pay"));
    let problem: Value = serde_json::from_slice(&refused.body).expect("a problem document");
    let detail = "route `checkout` was taken back in release 1, which is open, and has to stay in `routes`, or its requests go \
                  to green again; roll the release back or promote it first";
    assert_eq!((refused.status, problem["detail"].as_str()), (409, Some(detail)));
    all_to_blue(&mut client);
    let loaded =
        reload(&bench.proxy, &text.replace("- { name: search", "- { name: a, paths: [/a] }\n- { name: search"));
    assert_eq!(loaded.status, 200, "{}", loaded.text());
    all_to_blue(&mut client);
    let status = bench.proxy.until(|status| status["routes"][2]["takenBack"] == why);
    assert_eq!(status["state"], "paused");
    bench.proxy.set_weight(50.0);
    all_to_blue(&mut client);
    // Of a pair the first may have been drawn before.
    let green = served(&mut client, "/search", 20).iter().filter(|name| *name == "green").count();
    assert!((9..=11).contains(&green), "{green}");

    post(&bench.proxy, "/v1/release/rollback");
    bench.replays();
}

#[test]
fn a_process_whose_configuration_has_lost_the_route_rolls_the_release_back() {
    let mut bench = bench(&format!("{ROUTES}{COMPARED}"), named("green", "fails"), 50.0);
    bench.until_taken_back();
    bench.proxy.crash();
    bench.proxy = Proxy::start_in(bench.data(), &bench.text.replace("name: checkout", "name: pay"));
    assert_eq!(served(&mut bench.proxy.client(), "/", 20), ["blue"; 20]);
    let rollback = &bench.proxy.until(|status| status["state"] == "rolledBack")["rollback"];
    let reason =
        "route `checkout` was taken back, and is no more in the configuration: its requests would go to green again";
    assert_eq!((&rollback["trigger"], rollback["reason"].as_str()), (&"comparison".into(), Some(reason)));
}

#[test]
fn whoever_promotes_gives_green_the_route_again() {
    let bench = bench(&format!("{ROUTES}{COMPARED}"), named("green", "fails"), 50.0);
    let events = Listener::new(bench.proxy.admin);
    bench.until_taken_back();
    post(&bench.proxy, "/v1/release/promote");
    let promoted = events.until("promoted").data["sentence"].clone();
    assert_eq!(promoted, "promoted to 100 % by local: a test; route `checkout` goes to green again");
    assert_eq!(served(&mut bench.proxy.client(), "/checkout/x", 10), ["green"; 10]);
}

#[test]
fn a_websocket_to_green_on_a_route_that_is_taken_back_is_told_to_end_and_one_on_another_lives_on() {
    let green = Upstream::scripted(|connection| {
        while let Some(request) = connection.request() {
            if request.target.ends_with("/socket") {
                connection.send(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: y\r\n\r\n",
                );
                let byte = connection.bytes(1);
                return connection.send(byte);
            }
            let status = if request.target.contains("fails") { 500 } else { 200 };
            connection.send(format!("HTTP/1.1 {status} Scripted\r\ncontent-length: 0\r\n\r\n"));
        }
    });
    let bench = bench(&format!("{TRIGGERS}drain: {{ wait: 0s, deadline: 300ms }}\n"), green, 100.0);
    let upgrade = |target: &str| {
        let mut client = bench.proxy.client();
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"
        ));
        assert_eq!(client.response().status, 101);
        client
    };
    let (mut on_route, mut elsewhere) = (upgrade("/checkout/socket"), upgrade("/socket"));
    let mut client = bench.proxy.client();
    served(&mut client, "/", 20);
    served(&mut client, "/checkout/fails", 5);
    // The close code 1012.
    assert_eq!(on_route.bytes(4), [0x88, 0x02, 0x03, 0xf4]);
    assert_eq!(on_route.rest().0, b"");
    assert_eq!(elsewhere.send("a").bytes(1), b"a");
}
