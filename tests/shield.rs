//! The shield: what green fails blue answers, within its budget, and green is charged.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use http::HeaderMap;
use serde_json::{Value, json};

use crate::support::http2::Http2;
use crate::support::upstream::refusing;
use crate::support::{
    Backend, Connection, DEADLINE, Http2Upstream, Load, Proxy, Request, Upstream, config, eventually, folder, message,
    number, portcullis, printed,
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const FAILED: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 6\r\n\r\nfailed";

const REQUESTS: &str = "portcullis_requests_total";
const SHIELDED: &str = "portcullis_shielded_total";
const UNSHIELDED: &str = "portcullis_unshielded_total";

/// Decides nothing by itself.
const WATCHES: &str = "gate: { warmUp: { time: 0s, requests: 0 }, triggers: [{ name: alerts, metric: external }], compare: { enabled: false } }\n";

/// What blue may have where it has no requests of its own.
const AT_REST: f64 = 10.0;

fn before(blue: SocketAddr, green: SocketAddr, shield: &str) -> Proxy {
    Proxy::start(&config(&[blue], &[green], &format!("shield: {shield}\n{WATCHES}")))
}

/// Everything goes to green.
fn all_to_green(blue: SocketAddr, green: SocketAddr, shield: &str) -> Proxy {
    let proxy = before(blue, green, shield);
    proxy.set_weight(100.0);
    proxy
}

/// Green does this with each request that it has read.
fn green(fails: impl Fn(&mut Connection, &Request) + Send + Sync + 'static) -> Upstream {
    Upstream::scripted(move |connection| {
        while let Some(request) = connection.request() {
            fails(connection, &request);
        }
    })
}

fn failing() -> Upstream {
    green(|connection, _| connection.send(FAILED))
}

fn hanging() -> Upstream {
    green(|connection, _| connection.drain())
}

/// Ways to fail before the head of an answer is whole, and what green is charged with.
#[expect(clippy::type_complexity, reason = "a table")]
const FAULTS: [(&str, fn(&mut Connection, &Request), &str); 6] = [
    ("500", |connection, _| connection.send(FAILED), "server_error"),
    ("a close", |connection, _| connection.close(), "reset"),
    ("a reset", |connection, _| connection.reset(), "reset"),
    ("half a head", |connection, _| half_a_head(connection), "reset"),
    ("no HTTP", |connection, _| no_http(connection), "reset"),
    ("silence", |connection, _| connection.drain(), "timeout"),
];

fn half_a_head(connection: &mut Connection) {
    connection.send("HTTP/1.1 200 OK\r\ncontent-le");
    connection.close();
}

fn no_http(connection: &mut Connection) {
    connection.send("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    connection.close();
}

#[test]
fn row_70_a_shielded_failure_is_charged_to_green_and_the_answer_of_blue_is_not_counted_twice() {
    let (blue, green) = (Upstream::ok(), failing());
    let proxy = all_to_green(blue.address, green.address, "on");
    let mut client = proxy.client();
    for number in 0..5 {
        let response = client.get(&format!("/{number}?q"));
        assert_eq!((response.status, response.text()), (200, format!("GET /{number}?q")));
    }
    let status = proxy.until(|status| status["green"]["shielded"] == 5);
    let of_green = &status["green"];
    assert_eq!(
        (&of_green["requests"], &of_green["failures"], &of_green["errorRate"]),
        (&json!(5), &json!(5), &json!(1.0))
    );
    assert_eq!((&of_green["successRate"], &of_green["effectiveSuccessRate"]), (&json!(0.0), &json!(1.0)));
    assert_eq!((&status["blue"]["requests"], &status["blue"]["successRate"]), (&json!(0), &Value::Null));
    proxy.until_metric(SHIELDED, &[], 5.0);
    assert_eq!(proxy.metric(REQUESTS, &[]), 5.0, "each is counted once");
    assert_eq!(proxy.metric(REQUESTS, &["version=\"green\"", "outcome=\"server_error\"", "code=\"500\""]), 5.0);
    assert_eq!((blue.count(), green.count(), green.connections()), (5, 5, 1));
    let [at_green, at_blue] = [&green, &blue].map(|upstream| upstream.seen()[0].bytes.clone());
    assert_eq!(at_green, at_blue, "they are the same requests");
    proxy.until_metric("portcullis_inflight_requests", &[], 0.0);
    let said = printed(&portcullis(&["status", "--admin", &format!("http://{}", proxy.admin)], &[]));
    let felt = "5 requests, 5 failed (100.00 %), 5 of them answered by blue (100.00 % of clients served)";
    assert!(said.contains(felt), "{said}");
}

#[test]
fn what_green_fails_before_its_head_blue_answers_and_green_is_charged() {
    for (name, fails, outcome) in FAULTS {
        let (blue, green) = (Upstream::ok(), green(fails));
        let proxy = all_to_green(blue.address, green.address, "{ after: 200ms }");
        for method in ["GET", "HEAD"] {
            let mut client = proxy.client();
            client.send(format!("{method} / HTTP/1.1\r\nHost: test\r\n\r\n"));
            let response = if method == "HEAD" { client.response_to_head() } else { client.response() };
            assert_eq!(response.status, 200, "{name}, {method}");
        }
        let labels = ["version=\"green\"", &format!("outcome=\"{outcome}\"")];
        proxy.until_metric(REQUESTS, &labels, 2.0);
        proxy.until_metric(SHIELDED, &[], 2.0);
        proxy.until(|status| status["green"]["failures"] == 2);
        assert_eq!((blue.count(), green.count()), (2, 2), "{name}");
    }
}

#[test]
fn a_client_without_a_host_is_answered_by_blue_under_the_name_of_blue() {
    let (blue, green) = (Upstream::ok(), failing());
    let (refused, _socket) = refusing();
    for green in [green.address, refused] {
        let proxy = all_to_green(blue.address, green, "on");
        assert_eq!(proxy.client().send("GET / HTTP/1.0\r\n\r\n").response().status, 200);
    }
    assert!(blue.requests().iter().all(|request| request.head.one("host") == blue.address.to_string()));
}

#[test]
fn without_a_shield_or_for_another_method_the_client_gets_the_failure_of_green() {
    let (blue, green) = (Upstream::ok(), failing());
    let proxy = all_to_green(blue.address, green.address, "off");
    assert_eq!(proxy.get("/").text(), "failed");
    assert_eq!(proxy.metric(UNSHIELDED, &[]), 0.0);
    let text = config(&[blue.address], &[green.address], &format!("shield: {{ methods: [PUT] }}\n{WATCHES}"));
    std::fs::write(proxy.file(), text).expect("the file can be written");
    assert_eq!(proxy.post("/v1/config/reload", &Value::Null).status, 200);
    let mut client = proxy.client();
    for (method, expected) in [("GET", 500), ("PUT", 200), ("POST", 500), ("DELETE", 500)] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(client.response().status, expected, "{method}");
    }
    assert_eq!(blue.count(), 1);
}

/// A green that fails everything at half of the traffic of GETs: nobody sees a failure, it is rolled back, and blue has no more
/// than its budget.
#[track_caller]
fn check_unfelt(name: &str, green: SocketAddr, connections: usize) {
    let blue = Backend::answering(200);
    let rest = "shield: { after: 500ms }\ngate: { warmUp: { time: 0s, requests: 0 } }";
    let data = folder();
    let proxy = Proxy::start_in(data.path(), &config(&[blue.address], &[green], rest));
    let load = Load::start(proxy.listen, connections);
    load.until_more(2_000);
    assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
    proxy.set_weight(50.0);
    proxy.until(|status| status["state"] == "rolledBack");
    load.mark();
    load.until_late(1_000);
    let tally = load.stop();
    assert_eq!((tally.failed, &tally.lost), (0, &vec![]), "{name}");
    proxy.until_metric("portcullis_inflight_requests", &[], 0.0);
    let status = proxy.until(|status| status["green"]["shielded"] == status["green"]["failures"]);
    let failures = status["green"]["failures"].as_u64().expect("a number");
    assert!(failures >= 5, "{name}: {status:#}");
    assert_eq!((&status["green"]["successRate"], &status["green"]["effectiveSuccessRate"]), (&json!(0.0), &json!(1.0)));
    assert_eq!(blue.count(), tally.answered, "{name}: each has one answer, of blue");
    let shielded = proxy.metric(SHIELDED, &[]);
    let own = tally.answered as f64 - shielded;
    assert!(shielded <= 0.2 * own + AT_REST, "{name}: {shielded} beside {own}");
    assert_felt(&proxy, "100.0 %");
}

/// What the report says that clients saw, in the end: a decision may be made before a request of green has ended.
#[track_caller]
fn assert_felt(proxy: &Proxy, rate: &str) {
    let row = format!("| success rate as clients saw it | {rate} |");
    let report = || proxy.call("GET", "/v1/releases/v2-1/report", &Value::Null).text();
    eventually(&row, || report().contains(&row).then_some(()));
}

#[test]
fn what_was_under_way_at_a_rollback_is_in_the_report_once_it_has_ended() {
    let (tell, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let blue = Upstream::ok();
    let green = green(move |connection, _| {
        wait.lock().expect("one connection").recv_timeout(DEADLINE).expect("the test tells it");
        connection.send(FAILED);
    });
    let (text, data) = (format!("shield: {{ after: 20s }}\n{WATCHES}"), folder());
    let proxy = Proxy::start_in(data.path(), &config(&[blue.address], &[green.address], &text));
    proxy.set_weight(100.0);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    green.until("the request", |seen| (!seen.first()?.requests.is_empty()).then_some(()));
    assert_eq!(proxy.post("/v1/release/rollback", &Value::Null).status, 200);
    tell.send(()).expect("green waits");
    assert_eq!(client.response().status, 200);
    assert_felt(&proxy, "100.0 %");
}

#[test]
fn what_is_not_charged_to_green_hides_no_failure_that_clients_saw() {
    let blue = Backend::answering(200);
    let green = green(|connection, request| match request.target.as_str() {
        "/hang" => connection.drain(),
        _ => connection.send(FAILED),
    });
    let routes = "routes: [{ name: aside, paths: [/aside], exclude: true }]";
    let rest = format!("shield: {{ after: 100ms }}\n{routes}\n{WATCHES}");
    let data = folder();
    let proxy = Proxy::start_in(data.path(), &config(&[blue.address], &[green.address], &rest));
    proxy.set_weight(100.0);
    let mut client = proxy.client();
    assert_eq!(client.get("/aside").status, 200);
    blue.take(Duration::from_millis(500));
    assert_eq!(proxy.get("/hang").status, 200);
    proxy.until_metric(SHIELDED, &[], 2.0);
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.response().status, 500);
    let status = proxy.until(|status| status["green"]["failures"] == 1);
    let of_green = &status["green"];
    assert_eq!((&of_green["shielded"], &of_green["effectiveSuccessRate"]), (&json!(0), &json!(0.0)), "{status:#}");
    assert_eq!(proxy.post("/v1/release/rollback", &Value::Null).status, 200);
    assert_felt(&proxy, "0.0 %");
}

#[test]
fn users_do_not_feel_a_green_that_fails_everything() {
    let green = Backend::answering(500);
    check_unfelt("500", green.address, 16);
}

#[test]
fn users_do_not_feel_a_green_that_hangs() {
    check_unfelt("hang", hanging().address, 16);
}

#[test]
fn users_do_not_feel_a_green_that_refuses() {
    let (green, _socket) = refusing();
    check_unfelt("refused", green, 16);
}

#[test]
fn users_do_not_feel_a_green_that_cuts_connections() {
    let green = green(|connection, _| connection.reset());
    check_unfelt("cut", green.address, 16);
}

#[test]
fn beyond_the_budget_the_client_gets_the_failure_of_green() {
    let (blue, green) = (Upstream::ok(), failing());
    let proxy = before(blue.address, green.address, "{ budget: 5% }");
    proxy.set_weight(50.0);
    let mut client = proxy.client();
    let began = Instant::now();
    let failed = (0..1_000).filter(|_| client.get("/").status == 500).count();
    // What leaks into an empty bucket is one in a second.
    let most = 500.0 * 0.05 + AT_REST + began.elapsed().as_secs_f64();
    let shielded = (500 - failed) as f64;
    assert!((500.0 * 0.05..=most).contains(&shielded), "{shielded}, and {most} at most");
    assert_eq!(blue.count(), 500 + (500 - failed));
    proxy.until_metric(SHIELDED, &[], shielded);
    proxy.until_metric(UNSHIELDED, &["reason=\"over_budget\""], failed as f64);
    let effective = proxy.status()["green"]["effectiveSuccessRate"].as_f64().expect("a number");
    assert!((effective - shielded / 500.0).abs() < 1e-9, "{effective}");
}

/// `PORTCULLIS_SHIELD_POSTS=100000` for the whole of it.
#[test]
fn a_post_is_never_sent_twice_once_anything_of_it_may_have_been_read() {
    let posts = number("PORTCULLIS_SHIELD_POSTS").unwrap_or(POSTS);
    // An endpoint of a test keeps its connections open for as long as it lives.
    (0..posts.div_ceil(POSTS)).for_each(|_| check_posts());
}

const POSTS: u64 = 2_000;

#[track_caller]
fn check_posts() {
    let turn = AtomicUsize::new(0);
    let green = Upstream::scripted(move |connection| {
        while let Some(head) = connection.head() {
            match turn.fetch_add(1, Ordering::SeqCst) % 6 {
                // Before its body, and after.
                0 => connection.close(),
                1 => drop(connection.body(head).map(|_| connection.send(FAILED))),
                2 => drop(connection.body(head).map(|_| connection.close())),
                3 => drop(connection.body(head).map(|_| connection.reset())),
                4 => drop(connection.body(head).map(|_| half_a_head(connection))),
                _ => drop(connection.body(head).map(|_| connection.send(OK))),
            }
        }
    });
    let blue = Upstream::ok();
    let proxy = before(blue.address, green.address, "{ methods: [GET, HEAD, OPTIONS, PUT, DELETE], budget: 100% }");
    proxy.set_weight(50.0);
    let clients = (0..4).map(|client| {
        let mut connection = proxy.client();
        std::thread::spawn(move || {
            for number in (client..POSTS).step_by(4) {
                connection.send(format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"));
                connection.response();
            }
        })
    });
    clients.collect::<Vec<_>>().into_iter().for_each(|client| client.join().expect("every one is answered"));
    let mut seen = HashMap::<String, u32>::new();
    for connection in [green.seen(), blue.seen()].concat() {
        let text = String::from_utf8_lossy(&connection.bytes).into_owned();
        for line in text.split("POST /").skip(1) {
            *seen.entry(line.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    assert_eq!(seen.len() as u64, POSTS);
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(proxy.metric(SHIELDED, &[]), 0.0);
}

#[test]
fn a_body_is_held_up_to_its_bound_and_sent_again() {
    let (blue, green) = (Upstream::ok(), failing());
    let proxy = all_to_green(blue.address, green.address, "{ methods: [PUT], bodyBytes: 1000B }");
    let mut client = proxy.client();
    let body = "0123456789".repeat(100);
    for (framed, expected) in [
        (format!("Content-Length: 1000\r\n\r\n{body}"), 200),
        (format!("Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3e8\r\n{body}\r\n0\r\nx-sum: 7\r\n\r\n"), 200),
        (format!("Content-Length: 1001\r\n\r\n{body}a"), 500),
        (format!("Transfer-Encoding: chunked\r\n\r\n3e8\r\n{body}\r\n1\r\na\r\n0\r\n\r\n"), 500),
    ] {
        client.send(format!("PUT /{expected} HTTP/1.1\r\nHost: test\r\n{framed}"));
        assert_eq!(client.response().status, expected, "{framed:.30}");
    }
    assert!(blue.requests().iter().all(|request| request.body == body.as_bytes()), "{:?}", blue.requests());
    assert_eq!((blue.count(), green.count()), (2, 4));
    let bytes = String::from_utf8_lossy(&blue.seen()[0].bytes).into_owned();
    assert!(bytes.contains("x-sum: 7\r\n"), "{bytes}");
    proxy.until_metric(UNSHIELDED, &["reason=\"not_held\""], 1.0);
}

#[test]
fn a_body_goes_to_blue_as_well_where_green_gives_no_head() {
    for (name, fails, _) in FAULTS {
        let (blue, green) = (Upstream::ok(), green(fails));
        let proxy = all_to_green(blue.address, green.address, "{ methods: [PUT], after: 200ms }");
        let mut client = proxy.client();
        for framed in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
            client.send(format!("PUT / HTTP/1.1\r\nHost: test\r\n{framed}"));
            assert_eq!(client.response().status, 200, "{name}, {framed:.30}");
        }
        assert!(blue.requests().iter().all(|request| request.body == b"hello"), "{name}: {:?}", blue.requests());
        assert_eq!((blue.count(), green.count()), (2, 2), "{name}");
        proxy.until_metric(SHIELDED, &[], 2.0);
    }
}

#[test]
fn a_body_of_which_green_had_a_part_goes_to_blue_whole() {
    let blue = Upstream::ok();
    let green = Upstream::scripted(|connection| {
        connection.head();
        connection.bytes(5);
        connection.send(FAILED);
        connection.drain();
    });
    let proxy = all_to_green(blue.address, green.address, "{ methods: [PUT] }");
    let mut client = proxy.client();
    client.send("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello");
    blue.until("the request that green has failed", |seen| message::find(&seen.first()?.bytes, b"hello"));
    client.send("world");
    assert_eq!(client.response().status, 200);
    assert_eq!(blue.only_request().body, b"helloworld");
    proxy.until_metric(SHIELDED, &[], 1.0);
}

#[test]
fn a_client_that_spoils_its_own_body_is_not_shielded_from_that() {
    let (blue, green) = (Upstream::ok(), hanging());
    let limits = "{ methods: [PUT] }\nlimits: { requestBodyBytes: 4 }";
    let proxy = all_to_green(blue.address, green.address, limits);
    let mut client = proxy.client();
    client.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(client.response().status, 413);
    assert_eq!((blue.connections(), proxy.status()["green"]["failures"].as_u64()), (0, Some(0)));
}

#[test]
fn row_71_a_hang_is_charged_where_blue_answers_sooner_and_lasts_at_least_so_long_where_it_does_not() {
    let (blue, green) = (Backend::answering(200), hanging());
    let proxy = all_to_green(blue.address, green.address, "{ after: 300ms }");
    assert_eq!(proxy.get("/").status, 200);
    proxy.until_metric(REQUESTS, &["version=\"green\"", "outcome=\"timeout\""], 1.0);
    proxy.until(|status| status["green"]["failures"] == 1);
    blue.take(Duration::from_millis(1_000));
    assert_eq!(proxy.get("/").status, 200);
    proxy.until_metric(REQUESTS, &["version=\"green\"", "outcome=\"refused_by_us\""], 1.0);
    proxy.until_metric(SHIELDED, &[], 2.0);
    let status = proxy.status();
    assert_eq!((&status["green"]["requests"], &status["green"]["failures"]), (&json!(1), &json!(1)));
    assert_eq!(proxy.metric("portcullis_response_head_seconds_bucket", &["version=\"green\"", "le=\"0.25\""]), 0.0);
    assert_eq!(proxy.metric("portcullis_response_head_seconds_count", &["version=\"green\""]), 2.0);
}

#[test]
fn where_blue_cannot_answer_a_slow_green_is_waited_for() {
    let (blue, green) = (Upstream::ok(), Backend::answering(200));
    let proxy = all_to_green(blue.address, green.address, "{ after: 100ms }");
    let none = proxy.call("PUT", "/v1/versions/blue/endpoints", &json!({ "endpoints": [] }));
    assert_eq!(none.status, 200, "{}", none.text());
    green.take(Duration::from_millis(600));
    assert_eq!(proxy.get("/").status, 200);
    green.answer(500);
    assert_eq!(proxy.get("/").status, 500);
    proxy.until_metric(UNSHIELDED, &["reason=\"blue_unfit\""], 1.0);
    proxy.until(|status| status["green"]["requests"] == 2 && status["green"]["failures"] == 1);
}

#[test]
fn a_blue_that_is_known_to_be_bad_gets_nothing_of_green() {
    let (blue, green) = (Backend::answering(500), Backend::answering(200));
    let proxy = before(blue.address, green.address, "on");
    proxy.set_weight(50.0);
    let mut client = proxy.client();
    (0..120).for_each(|_| _ = client.get("/"));
    proxy.until(|status| status["blue"]["failures"] == 60 && status["green"]["requests"] == 60);
    proxy.set_weight(100.0);
    green.answer(500);
    assert_eq!(client.get("/").status, 500);
    assert_eq!(blue.count(), 60);
    proxy.until_metric(UNSHIELDED, &["reason=\"blue_unfit\""], 1.0);
}

#[test]
fn what_blue_fails_too_its_client_gets_and_green_alone_is_charged() {
    let (blue, green) = (Backend::answering(503), failing());
    let proxy = all_to_green(blue.address, green.address, "on");
    assert_eq!(proxy.get("/").status, 503);
    proxy.until_metric(UNSHIELDED, &["reason=\"blue_failed\""], 1.0);
    let status = proxy.until(|status| status["green"]["failures"] == 1);
    assert_eq!((&status["blue"]["requests"], &status["green"]["effectiveSuccessRate"]), (&json!(0), &json!(0.0)));
}

#[test]
fn what_has_begun_to_be_answered_is_not_answered_by_another() {
    let blue = Upstream::ok();
    let green = green(|connection, request| match request.target.as_str() {
        "/hint" => connection.send(format!("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n{FAILED}")),
        _ => connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"),
    });
    let proxy = all_to_green(blue.address, green.address, "on\ntimeouts: { bodyIdle: 200ms }");
    let mut client = proxy.client();
    client.send("GET /hint HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(client.response_head().starts_with("HTTP/1.1 103 "));
    assert_eq!(client.response().text(), "failed");
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(client.response_head().starts_with("HTTP/1.1 200 "));
    assert_eq!(client.rest().0, b"hello");
    assert_eq!(blue.connections(), 0);
}

/// Fails by its path, and answers any other.
fn http2_green() -> Http2Upstream {
    Http2Upstream::scripted(
        None,
        |_| {},
        |mut call| {
            Box::pin(async move {
                match call.request.uri().path() {
                    "/500" => call.fail(500).await,
                    "/reset" => call.respond.send_reset(h2::Reason::INTERNAL_ERROR),
                    "/hang" => std::future::pending().await,
                    _ => call.echo().await,
                }
            })
        },
    )
}

#[test]
fn by_http_2_on_both_sides_as_well() {
    let (green, blue, plain) = (http2_green(), Http2Upstream::ok(None), Upstream::ok());
    for (blue, protocol) in [(blue.address, "http2"), (plain.address, "http1")] {
        let rest = format!("shield: {{ methods: [GET, PUT], after: 300ms }}\n{WATCHES}");
        let text = config(&[blue], &[green.address], &rest);
        let text = text.replacen("version: v1,", &format!("version: v1, protocol: {protocol},"), 1);
        let proxy = Proxy::start(&text.replacen("version: v2,", "version: v2, protocol: http2,", 1));
        proxy.set_weight(100.0);
        let mut client = Http2::connect(proxy.listen);
        for path in ["/500", "/reset", "/hang"] {
            let answer = client.get(path);
            assert_eq!(
                (answer.status, answer.text().contains(&format!("GET {path}"))),
                (200, true),
                "{path} {protocol}"
            );
        }
        for path in ["/500", "/reset", "/hang"] {
            let put = http::Request::put(format!("http://test{path}")).body(()).expect("a request");
            let (answer, mut body) = client.begin(put);
            body.send_data("hello".into(), false).expect("an open stream");
            body.send_trailers(HeaderMap::new()).expect("an open stream");
            assert_eq!(client.answer(answer).status, 200, "{path} {protocol}");
        }
        let mut client = proxy.client();
        assert_eq!(["/500", "/reset", "/hang"].map(|path| client.get(path).status), [200; 3]);
        proxy.until_metric(SHIELDED, &[], 9.0);
        proxy.until(|status| status["green"]["failures"] == 9);
    }
    let bodies = blue.requests().into_iter().map(|(_, body, _)| body).filter(|body| !body.is_empty());
    assert_eq!(bodies.collect::<Vec<_>>(), [b"hello"; 3]);
    assert_eq!(plain.requests().iter().filter(|request| request.body == b"hello").count(), 3);
}

#[test]
fn a_call_of_grpc_that_may_be_made_twice_is_shielded_until_its_head_is_out() {
    const MESSAGE: &str = "\0\0\0\0\0";
    let call = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nContent-Type: application/grpc\r\n\
             Content-Length: 5\r\n\r\n{MESSAGE}"
        )
    };
    let answer = |number: u8| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntrailer: grpc-status\r\n\
             transfer-encoding: chunked\r\n\r\n5\r\n{MESSAGE}\r\n0\r\ngrpc-status: {number}\r\n\r\n"
        )
    };
    let (of_blue, of_green) = (answer(0), answer(14));
    let blue = Upstream::answering(of_blue);
    let green = green(move |connection, request| {
        connection.send(match request.target.rsplit('/').next() {
            Some("Head") => {
                "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 14\r\ncontent-length: 0\r\n\r\n"
            }
            Some("Unknown") => {
                "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 5\r\ncontent-length: 0\r\n\r\n"
            }
            Some("Http") => FAILED,
            _ => &of_green,
        });
    });
    let proxy = all_to_green(blue.address, green.address, "{ grpc: [\"/shop.Catalog/*\", \"/shop.Cart/Http\"] }");
    let mut client = proxy.client();
    let mut said = |path: &str| {
        let response = client.send(call(path)).response();
        let trailer = response.trailers.iter().find(|(name, _)| name == "grpc-status").map(|(_, value)| value.clone());
        let of_head = || response.head.has("grpc-status").then(|| response.head.one("grpc-status"));
        trailer.map(|value| String::from_utf8_lossy(&value).into_owned()).or_else(of_head)
    };
    for (path, expected) in [
        ("/shop.Catalog/Head", Some("0")),
        ("/shop.Catalog/Http", Some("0")),
        ("/shop.Cart/Http", Some("0")),
        ("/shop.Catalog/Trailers", Some("14")),
        ("/shop.Catalog/Unknown", Some("5")),
        ("/shop.Cart/Head", Some("14")),
        ("/shop.Other/Http", None),
    ] {
        assert_eq!(said(path).as_deref(), expected, "{path}");
    }
    assert!(blue.requests().iter().all(|request| request.body == MESSAGE.as_bytes()));
    assert_eq!(blue.count(), 3);
    proxy.until_metric(SHIELDED, &[], 3.0);
    proxy.until(|status| status["green"]["failures"] == 6);
}

#[test]
fn a_hang_of_which_the_client_is_tired_ends_at_blue_and_is_no_failure() {
    let (blue, green) = (hanging(), hanging());
    let proxy = all_to_green(blue.address, green.address, "{ after: 100ms }");
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    blue.until("the request", |seen| (!seen.first()?.requests.is_empty()).then_some(()));
    green.until_ended(0);
    client.reset();
    blue.until_ended(0);
    proxy.until_metric(REQUESTS, &["version=\"green\""], 1.0);
    let status = proxy.status();
    assert_eq!((&status["green"]["requests"], &status["green"]["failures"]), (&json!(0), &json!(0)));
    assert_eq!(proxy.metric(SHIELDED, &[]) + proxy.metric(UNSHIELDED, &[]), 0.0);
    proxy.until_metric("portcullis_inflight_requests", &[], 0.0);
}

#[test]
fn the_bound_on_requests_to_blue_holds_for_those_of_green_too() {
    let waiting = Arc::new(AtomicUsize::new(0));
    let blue = {
        let waiting = Arc::clone(&waiting);
        Upstream::scripted(move |connection| {
            while connection.request().is_some() {
                waiting.fetch_add(1, Ordering::SeqCst);
                connection.drain();
            }
        })
    };
    let green = failing();
    let text = config(&[blue.address], &[green.address], &format!("shield: on\n{WATCHES}"));
    let proxy = Proxy::start(&text.replacen("version: v1,", "version: v1, maxRequests: 1,", 1));
    proxy.set_weight(100.0);
    let mut first = proxy.client();
    first.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    eventually("the first at blue", || (waiting.load(Ordering::SeqCst) == 1).then_some(()));
    assert_eq!(proxy.get("/").status, 500);
    proxy.until_metric(UNSHIELDED, &["reason=\"blue_unfit\""], 1.0);
}

#[test]
fn a_route_opts_in_for_other_methods_and_out_of_the_shield() {
    let (blue, green) = (Upstream::ok(), failing());
    let routes = "routes:\n- { name: pay, paths: [/pay], shield: { methods: [POST] } }\n- { name: bare, paths: [/bare], shield: off }\n";
    let proxy = all_to_green(blue.address, green.address, &format!("on\n{routes}"));
    let mut client = proxy.client();
    let asked = [
        ("GET", "/", 200),
        ("POST", "/", 500),
        ("POST", "/pay", 200),
        ("GET", "/pay", 500),
        ("GET", "/bare", 500),
        ("POST", "/bare", 500),
    ];
    for (method, path, status) in asked {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody"));
        assert_eq!(client.response().status, status, "{method} {path}");
    }
    proxy.until_metric(SHIELDED, &[], 2.0);
    let seen: Vec<_> = blue.seen().into_iter().flat_map(|connection| connection.requests).collect();
    let bodies: Vec<_> = seen.iter().map(|request| (request.target.as_str(), &request.body[..])).collect();
    assert_eq!(bodies, [("/", &b"body"[..]), ("/pay", b"body")]);
    let status = proxy.until(|status| status["green"]["requests"] == 6);
    assert_eq!(status["green"]["failures"], 6, "{status:#}");
}
