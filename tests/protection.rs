//! What is over a bound that the operator has set is refused by us, in words that a client can act on, and is charged to
//! nobody.

use std::sync::{Mutex, mpsc};

use serde_json::Value;

use crate::support::upstream::{Seen, refusing};
use crate::support::{Client, Cut, Proxy, Response, Upstream, config};

/// The answer is ours.
#[track_caller]
fn check_ours(response: &Response, status: u16, error: &str) {
    let said = (response.status, response.head.one("proxy-status"));
    assert_eq!(said, (status, format!("portcullis; error={error}")));
}

/// What was refused has this status, and nobody is charged for it.
#[track_caller]
fn check_charged_to_nobody(proxy: &Proxy, status: u16, requests: u64) {
    let code = format!("code=\"{status}\"");
    let labels = ["version=\"none\"", "outcome=\"refused_by_us\"", code.as_str()];
    proxy.until_metric("portcullis_requests_total", &labels, requests as f64);
    for version in ["blue", "green"] {
        assert_eq!(proxy.status()[version]["failures"], 0, "{version}");
    }
}

/// Goes over to the configuration with `rest`.
#[track_caller]
fn reload(proxy: &Proxy, blue: &Upstream, rest: &str) {
    reload_to(proxy, &config(&[blue.address], &[([127, 0, 0, 1], 1).into()], rest));
}

#[track_caller]
fn reload_to(proxy: &Proxy, text: &str) {
    std::fs::write(proxy.file(), text).expect("the file can be written");
    let response = proxy.post("/v1/config/reload", &serde_json::Value::Null);
    assert_eq!(response.status, 200, "{}", response.text());
}

fn upload(length: usize) -> String {
    format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n")
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn row_51_a_body_that_says_it_is_over_the_bound_is_413_before_any_of_it_and_reaches_no_endpoint() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "limits: { requestBodyBytes: 10 }");
    let mut client = proxy.client();
    client.send(format!("{}0123456789", upload(10)));
    assert_eq!(client.response().status, 200, "the bound itself is allowed");
    client.send(upload(11));
    let response = client.response();
    check_ours(&response, 413, "http_request_error");
    assert_eq!(response.head.one("connection"), "close");
    client.ends();
    let expecting = upload(11).replace("Host", "Expect: 100-continue\r\nHost");
    assert_eq!(proxy.client().send(expecting).response().status, 413, "and nothing before it");
    check_charged_to_nobody(&proxy, 413, 2);
    assert_eq!(blue.count(), 1);
}

#[test]
fn row_35_a_client_that_still_sends_reads_our_413_and_not_a_reset() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "limits: { requestBodyBytes: 1KiB }");
    let mut client = proxy.client();
    let length = 64 * 1024;
    client.send(upload(length)).send(vec![b'a'; length]);
    check_ours(&client.response(), 413, "http_request_error");
    client.ends();
    assert_eq!(blue.connections(), 0);
}

#[test]
fn row_51_a_chunked_body_is_cut_where_it_grows_over_the_bound_and_is_413() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "limits: { requestBodyBytes: 10 }");
    let mut client = proxy.client();
    client.send(format!("{CHUNKED}5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"));
    assert_eq!(client.response().status, 200, "the bound itself is allowed");
    client.send(format!("{CHUNKED}5\r\n01234\r\n6\r\n56789a\r\n0\r\n\r\n"));
    let response = client.response();
    check_ours(&response, 413, "http_request_error");
    assert_eq!(response.head.one("connection"), "close");
    client.ends();
    blue.until("the end of all connections", |seen| seen.iter().all(|one| one.end.is_some()).then_some(()));
    assert_eq!(blue.count(), 1, "no whole request has come of it");
    proxy.until_outcome("refused_by_us", 1);
    assert_eq!(proxy.status()["blue"]["failures"], 0);
}

#[test]
fn row_51_an_answer_that_has_begun_breaks_off_where_the_body_grows_over_the_bound() {
    let (begun, wait) = mpsc::channel::<()>();
    let begun = Mutex::new(begun);
    let blue = Upstream::scripted(move |connection| {
        connection.head();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        connection.drain();
        begun.lock().expect("one connection").send(()).ok();
    });
    let proxy = Proxy::before_with(&blue, "limits: { requestBodyBytes: 10 }");
    let mut client = proxy.client();
    client.send(format!("{CHUNKED}5\r\n01234\r\n"));
    assert!(client.response_head().starts_with("HTTP/1.1 200 "));
    assert_eq!(client.bytes(10), b"5\r\nhello\r\n");
    client.send("6\r\n56789a\r\n");
    let cut = client.try_response().expect_err("the answer has broken off");
    assert!(matches!(cut, Cut::Short | Cut::Reset), "{cut:?}");
    wait.recv_timeout(crate::support::DEADLINE).expect("the endpoint's connection has ended");
    proxy.until_outcome("refused_by_us", 1);
    assert_eq!(proxy.status()["blue"]["failures"], 0);
}

#[test]
fn a_bound_on_bodies_comes_and_goes_by_a_reload() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    let sends = format!("{}0123456789", upload(10));
    assert_eq!(client.send(&sends).response().status, 200);
    reload(&proxy, &blue, "limits: { requestBodyBytes: 9 }");
    assert_eq!(client.send(&sends).response().status, 413);
    reload(&proxy, &blue, "");
    assert_eq!(proxy.client().send(&sends).response().status, 200);
}

/// Answers a request to `/0` when the first of the senders says so, and so on.
fn held(requests: usize) -> (Upstream, Vec<mpsc::Sender<()>>) {
    let (answers, waits): (Vec<_>, Vec<_>) = (0..requests).map(|_| mpsc::channel::<()>()).unzip();
    let waits: Vec<Mutex<mpsc::Receiver<()>>> = waits.into_iter().map(Mutex::new).collect();
    let upstream = Upstream::scripted(move |connection| {
        while let Some(request) = connection.request() {
            let number: usize = request.target[1..].parse().expect("a number");
            let told = waits[number].lock().expect("one request of this number").recv();
            if told.is_err() {
                return;
            }
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    (upstream, answers)
}

/// Sends the request to `/number`, and waits until the endpoint has it as its `number`th, from 0.
#[track_caller]
fn begin(client: &mut Client, number: usize, blue: &Upstream) {
    client.send(format!("GET /{number} HTTP/1.1\r\nHost: test\r\n\r\n"));
    let count = |seen: &[Seen]| seen.iter().map(|one| one.requests.len()).sum::<usize>();
    blue.until("the request", |seen| (count(seen) > number).then_some(()));
}

/// The configuration in which blue has at most so many requests at a time.
fn with_most(blue: &Upstream, most: usize) -> String {
    let text = config(&[blue.address], &[([127, 0, 0, 1], 1).into()], "workers: 2");
    text.replacen("version: v1,", &format!("version: v1, maxRequests: {most},"), 1)
}

#[track_caller]
fn check_busy(client: &mut Client) {
    let response = client.get("/");
    check_ours(&response, 503, "connection_limit_reached");
    assert_eq!(response.head.one("retry-after"), "1");
}

#[test]
fn row_51_a_request_over_the_most_of_its_version_is_503_with_retry_after_until_another_has_ended() {
    let (blue, answers) = held(4);
    let proxy = Proxy::start(&with_most(&blue, 2));
    let mut clients = [(); 2].map(|()| proxy.client());
    begin(&mut clients[0], 0, &blue);
    begin(&mut clients[1], 1, &blue);
    // Whichever worker gets a connection knows of the two.
    let mut others = [(); 8].map(|()| proxy.client());
    others.iter_mut().for_each(check_busy);
    check_charged_to_nobody(&proxy, 503, 8);
    answers[0].send(()).expect("blue waits");
    assert_eq!(clients[0].response().status, 200);
    begin(&mut others[0], 2, &blue);
    check_busy(&mut others[1]);
    let [_, abandoned] = clients;
    abandoned.reset();
    proxy.until_outcome("client_cancelled", 1);
    begin(&mut others[2], 3, &blue);
    for (answer, client) in answers[2..].iter().zip([0, 2]) {
        answer.send(()).expect("blue waits");
        assert_eq!(others[client].response().status, 200, "on the connection that was refused before");
    }
}

#[test]
fn the_most_of_a_version_is_changed_by_a_reload_that_forgets_no_request() {
    let (blue, answers) = held(3);
    let proxy = Proxy::start(&with_most(&blue, 2));
    let mut clients = [(); 3].map(|()| proxy.client());
    begin(&mut clients[0], 0, &blue);
    begin(&mut clients[1], 1, &blue);
    reload_to(&proxy, &with_most(&blue, 3));
    begin(&mut clients[2], 2, &blue);
    reload_to(&proxy, &with_most(&blue, 2));
    answers[0].send(()).expect("blue waits");
    assert_eq!(clients[0].response().status, 200);
    check_busy(&mut clients[0]);
    reload_to(&proxy, &with_most(&blue, 3));
    answers[1].send(()).expect("blue waits");
    assert_eq!(clients[1].response().status, 200);
}

#[test]
fn what_green_is_not_there_to_serve_counts_among_the_most_of_blue() {
    let (blue, answers) = held(2);
    let (nobody, _socket) = refusing();
    let rest = "workers: 1\ngate: { compare: { enabled: false } }";
    let text = config(&[blue.address], &[nobody], rest);
    let proxy = Proxy::start(&text.replacen("version: v1,", "version: v1, maxRequests: 1,", 1));
    let mut clients = [(); 2].map(|()| proxy.client());
    begin(&mut clients[0], 0, &blue);
    let weight = proxy.call("PUT", "/v1/weight", &serde_json::json!({ "weight": 100 }));
    assert_eq!(weight.status, 200, "{}", weight.text());
    check_ours(&clients[1].get("/"), 502, "connection_refused");
    answers[0].send(()).expect("blue waits");
    assert_eq!(clients[0].response().status, 200);
    begin(&mut clients[1], 1, &blue);
    answers[1].send(()).expect("blue waits");
    assert_eq!(clients[1].response().status, 200, "by blue in green's place");
}

/// So slow that no test sees a second request let in.
const ONE_AN_HOUR: &str = "rateLimit: { requests: 1, per: 1h, burst: 3 }";

#[track_caller]
fn check_too_many(response: &Response) {
    check_ours(response, 429, "http_request_denied");
    let wait: u64 = response.head.one("retry-after").parse().expect("seconds");
    assert!((3_000..=3_600).contains(&wait), "{wait}");
}

fn get_for(forwarded_for: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: {forwarded_for}\r\n\r\n")
}

#[test]
fn a_client_over_its_rate_is_429_with_retry_after_on_every_worker_and_nobody_is_charged() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, &format!("workers: 2\n{ONE_AN_HOUR}"));
    let statuses: Vec<u16> = (0..3).map(|_| proxy.client().get("/").status).collect();
    assert_eq!(statuses, [200; 3]);
    for _ in 0..8 {
        let mut client = proxy.client();
        check_too_many(&client.get("/"));
        // The connection is kept, and no name that a client gives itself helps it.
        check_too_many(&client.send(get_for("203.0.113.7")).response());
    }
    check_charged_to_nobody(&proxy, 429, 16);
    proxy.until_charged(3, 0);
    assert_eq!(blue.count(), 3);
}

#[test]
fn behind_a_trusted_proxy_each_client_has_a_rate_and_a_network_of_ipv6_is_one() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, &format!("trustedProxies: [127.0.0.0/8]\n{ONE_AN_HOUR}"));
    let mut peer = proxy.client();
    for (client, same) in [
        ("203.0.113.7", "198.51.100.1, 203.0.113.7"),
        ("203.0.113.8", "203.0.113.8"),
        ("2001:db8::1", "2001:db8::ffff:2"),
    ] {
        let statuses: Vec<u16> = (0..3).map(|_| peer.send(get_for(client)).response().status).collect();
        assert_eq!(statuses, [200; 3], "{client}");
        check_too_many(&peer.send(get_for(client)).response());
        check_too_many(&peer.send(get_for(same)).response());
    }
    assert_eq!(peer.send(get_for("2001:db8:0:1::1")).response().status, 200);
}

#[test]
fn a_rate_is_changed_by_a_reload_and_one_that_stays_forgets_nothing() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, ONE_AN_HOUR);
    let mut client = proxy.client();
    (0..3).for_each(|_| assert_eq!(client.get("/").status, 200));
    check_too_many(&client.get("/"));
    reload(&proxy, &blue, &format!("{ONE_AN_HOUR}\naccessLog: true"));
    check_too_many(&client.get("/"));
    reload(&proxy, &blue, &ONE_AN_HOUR.replace("burst: 3", "burst: 4"));
    (0..4).for_each(|_| assert_eq!(client.get("/").status, 200));
    check_too_many(&client.get("/"));
    reload(&proxy, &blue, "");
    (0..8).for_each(|_| assert_eq!(client.get("/").status, 200));
}

/// What is refused, and the configuration that it takes.
const REFUSALS: [(u16, &str, &str); 9] = [
    (400, "", "nonsense\r\n\r\n"),
    (400, "", "GET / HTTP/1.1\r\n\r\n"),
    (405, "", "TRACE / HTTP/1.1\r\nHost: test\r\n\r\n"),
    (408, "timeouts: { requestHead: 100ms }", "GET / HT"),
    (408, "timeouts: { responseHead: 100ms }", "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nhello"),
    (413, "limits: { requestBodyBytes: 1 }", "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n"),
    (414, "limits: { targetBytes: 1KiB }", "long target"),
    (431, "limits: { headFields: 1 }", "GET / HTTP/1.1\r\nHost: test\r\nX: 1\r\n\r\n"),
    (503, "limits: { connections: 1 }", ""),
];

#[test]
fn row_68_our_own_refusals_are_charged_to_nobody_and_counted_apart() {
    for (status, rest, request) in REFUSALS {
        let (blue, green) = (Upstream::ok(), Upstream::ok());
        let gate = "gate: { minimumRequests: 3, triggers: [{ name: rate, metric: errorRate, above: 0.1% }, \
                    { name: dead, metric: failureStreak, atLeast: 3, confirm: none }] }";
        let proxy = Proxy::start(&config(&[blue.address], &[green.address], &format!("{gate}\n{rest}")));
        proxy.set_weight(100.0);
        let mut held = proxy.client();
        if request.is_empty() {
            assert_eq!(held.get("/").status, 200);
        }
        let long = format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "a".repeat(2_000));
        for _ in 0..4 {
            let mut client = proxy.client();
            // A connection over the bound may have ended by now.
            client.offer(if request == "long target" { &long } else { request }).ok();
            assert_eq!(client.response().status, status, "{request:?}");
        }
        let counted = ["outcome=\"refused_by_us\"", &format!("code=\"{status}\"")];
        proxy.until_metric("portcullis_requests_total", &counted, 4.0);
        let said = proxy.status();
        let failures = ["blue", "green"].map(|version| said[version]["failures"].as_u64());
        assert_eq!(
            (failures, &said["weight"], &said["rollback"]),
            ([Some(0); 2], &100.0.into(), &Value::Null),
            "{request:?}"
        );
        let served = u64::from(request.is_empty());
        assert_eq!(said["green"]["requests"], served, "{request:?}");
    }
}
