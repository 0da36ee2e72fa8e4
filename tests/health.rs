//! Active health checks: what is asked, what passes, and what becomes of an endpoint that fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::support::upstream::refusing;
use serde_json::Value;

use crate::support::{Backend, Connection, End, Proxy, Upstream, config};

const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// In front of these endpoints of blue, which are checked often.
fn checking(blue: &[SocketAddr], check: &str) -> String {
    let check =
        format!("healthCheck: {{ {check}, interval: 100ms, timeout: 100ms, healthyAfter: 2, unhealthyAfter: 3 }}");
    config(blue, &[NOBODY], "").replacen("version: v1,", &format!("version: v1, {check},"), 1)
}

/// Answers checks with a status that can be set, and everything else with 200.
fn switchable(status: u16) -> (Upstream, Arc<AtomicU16>) {
    let switch = Arc::new(AtomicU16::new(status));
    let upstream = Upstream::scripted({
        let switch = Arc::clone(&switch);
        move |connection| {
            while let Some(request) = connection.request() {
                let status = if request.target == "/healthz" { switch.load(Ordering::SeqCst) } else { 200 };
                connection.send(format!("HTTP/1.1 {status} Scripted\r\ncontent-length: 2\r\n\r\nok"));
            }
        }
    });
    (upstream, switch)
}

/// Requests that were no checks.
fn served(upstream: &Upstream) -> usize {
    upstream.requests().iter().filter(|request| request.target != "/healthz").count()
}

fn healthy(proxy: &Proxy, endpoints: u64) {
    proxy.until(|status| status["blue"]["healthyEndpoints"] == endpoints);
}

#[test]
fn an_endpoint_that_fails_its_checks_gets_no_request_until_it_passes_again() {
    let ((good, _), (bad, switch)) = (switchable(204), switchable(503));
    let proxy = Proxy::start(&checking(&[good.address, bad.address], "path: /healthz"));
    let endpoint = format!("endpoint=\"{}\"", bad.address);
    proxy.until_metric("portcullis_endpoint_healthy", &["version=\"blue\"", &endpoint], 0.0);
    healthy(&proxy, 1);
    let before = served(&bad);
    let mut client = proxy.client();
    for _ in 0..100 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!((served(&good), served(&bad) - before), (100, 0));

    switch.store(302, Ordering::SeqCst);
    proxy.until_metric("portcullis_endpoint_healthy", &["version=\"blue\"", &endpoint], 1.0);
    for _ in 0..100 {
        assert_eq!(client.get("/").status, 200);
    }
    assert!(served(&bad) > before);
    let said = proxy.until_logged("endpoint unhealthy");
    assert_eq!((&said["failed"], &said["failure"]), (&3.into(), &"the answer was 503 Service Unavailable".into()));
    assert_eq!(proxy.logged("endpoint unhealthy").len(), 1);
    proxy.until_logged_times("endpoint healthy again", 1);
}

#[test]
fn row_46_with_no_healthy_endpoint_the_answer_is_503_with_retry_after_and_charged() {
    for count in [1, 2] {
        let endpoints: Vec<Upstream> = (0..count).map(|_| switchable(500).0).collect();
        let addresses: Vec<SocketAddr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
        let proxy = Proxy::start(&checking(&addresses, "path: /healthz"));
        healthy(&proxy, 0);
        let response = proxy.get("/");
        assert_eq!((response.status, response.text().as_str()), (503, "no endpoint is available\n"));
        assert_eq!(response.head.one("proxy-status"), "portcullis; error=destination_unavailable");
        assert_eq!(response.head.one("retry-after"), "1");
        proxy.until_charged(1, 1);
        assert!(endpoints.iter().all(|endpoint| served(endpoint) == 0));
    }
}

#[test]
fn row_73_a_check_is_one_get_on_a_connection_of_its_own_and_no_evidence() {
    let (blue, _) = switchable(200);
    let proxy = Proxy::start(&checking(&[blue.address], "path: \"/healthz?deep=1\""));
    let seen = blue.until("five checks", |seen| (seen.len() > 5).then(|| seen[..5].to_vec()));
    for connection in seen {
        let [request] = &connection.requests[..] else { panic!("{connection:?}") };
        assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/healthz?deep=1"));
        assert_eq!(request.head.one("host"), blue.address.to_string());
        assert_eq!(request.head.one("user-agent"), "portcullis-health");
        assert!(connection.end.is_some_and(|end| end == End::Clean || end == End::Reset), "{connection:?}");
    }
    assert_eq!(proxy.get("/").status, 200);
    proxy.until_charged(1, 0);
    assert_eq!(proxy.metric("portcullis_requests_total", &[]), 1.0);
}

#[test]
fn a_check_fails_that_is_refused_slow_malformed_endless_or_answered_with_4xx() {
    type Script = fn(&mut Connection);
    let scripts: [(&str, Script); 5] = [
        ("404", |connection| {
            connection.request();
            connection.send("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        }),
        ("silent", Connection::drain),
        ("malformed", |connection| {
            connection.request();
            connection.send("SSH-2.0-OpenSSH_9.2\r\n");
            connection.drain();
        }),
        ("closing", |connection| _ = connection.request()),
        ("endless head", |connection| {
            connection.request();
            connection.send("HTTP/1.1 200 OK\r\n");
            while connection.offer(b"x-more: and more, and more, and more, and more, and more, and more\r\n") {}
        }),
    ];
    let (refused, _socket) = refusing();
    std::thread::scope(|scope| {
        for (name, script) in scripts {
            scope.spawn(move || {
                let blue = Upstream::scripted(script);
                let proxy = Proxy::start(&checking(&[blue.address], "path: /healthz"));
                healthy(&proxy, 0);
                assert_eq!(proxy.get("/").status, 503, "{name}");
            });
        }
        scope.spawn(move || healthy(&Proxy::start(&checking(&[refused], "path: /healthz")), 0));
    });
}

#[test]
fn a_body_that_never_ends_does_not_fail_a_check_and_is_not_read() {
    let blue = Upstream::scripted(|connection| {
        if connection.request().is_some_and(|request| request.target == "/healthz") {
            connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            while connection.offer(format!("4000\r\n{}\r\n", "a".repeat(0x4000)).as_bytes()) {}
        } else {
            connection.send(OK);
        }
    });
    let proxy = Proxy::start(&checking(&[blue.address], "path: /healthz"));
    blue.until("ten checks", |seen| (seen.len() > 10).then_some(()));
    assert_eq!(proxy.status()["blue"]["healthyEndpoints"], 1);
    assert!(proxy.logged("endpoint unhealthy").is_empty());
    assert!(proxy.memory() < 64 << 20, "{} bytes", proxy.memory());
}

#[test]
fn a_check_by_tcp_asks_only_for_a_connection() {
    let blue = Upstream::scripted(Connection::drain);
    let proxy = Proxy::start(&checking(&[blue.address], "tcp: true"));
    let seen = blue.until("five checks", |seen| (seen.len() > 5).then(|| seen[..5].to_vec()));
    assert!(seen.iter().all(|connection| connection.bytes.is_empty()), "{seen:?}");
    assert_eq!(proxy.status()["blue"]["healthyEndpoints"], 1);
    let (refused, _socket) = refusing();
    let proxy = Proxy::start(&checking(&[refused], "tcp: true"));
    healthy(&proxy, 0);
}

#[test]
fn a_version_without_checks_is_served_whatever_its_endpoints_would_say() {
    let (blue, _) = switchable(503);
    let proxy = Proxy::before(&blue);
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(blue.count(), 1);
}

/// A gate with these triggers, and green at 100 %.
fn at_full_weight(blue: &str, green: &str, backends: [SocketAddr; 2], triggers: &str) -> Proxy {
    let gate = format!("gate: {{ minimumRequests: 5, compare: {{ enabled: false }}, triggers: [{triggers}] }}");
    let text = config(&backends[..1], &backends[1..], &gate);
    let text = text.replacen("version: v1,", &format!("version: v1, {blue}"), 1);
    let proxy = Proxy::start(&text.replacen("version: v2,", &format!("version: v2, {green}"), 1));
    proxy.set_weight(100.0);
    proxy
}

const OFTEN: &str = "healthCheck: { path: /healthz, interval: 100ms, timeout: 100ms },";

fn reason(status: &Value) -> &str {
    status["rollback"]["reason"].as_str().expect("it was rolled back")
}

#[test]
fn promise_5_no_rollback_goes_to_a_blue_whose_every_endpoint_fails_its_checks() {
    let ((blue, switch), green) = (switchable(503), Backend::answering(500));
    let spike = "{ name: spike, metric: errorRate, above: 50%, window: 10s }";
    let proxy = at_full_weight(OFTEN, "", [blue.address, green.address], spike);
    healthy(&proxy, 0);
    let mut client = proxy.client();
    let status = proxy.until(|status| {
        client.get("/");
        status["state"] == "paused"
    });
    assert_eq!(status["weight"], 100.0);
    let pause = status["pause"].as_str().expect("a sentence");
    assert!(pause.contains("traffic stays where it is: blue's endpoint fails its health checks"), "{pause}");

    switch.store(200, Ordering::SeqCst);
    let mut answers = Vec::new();
    let status = proxy.until(|status| {
        answers.push(client.get("/").status);
        status["state"] == "rolledBack"
    });
    assert!(reason(&status).starts_with("green failed"), "{status:#}");
    assert!(!answers.contains(&503), "blue gets requests again before it gets all of them: {answers:?}");
}

#[test]
fn promise_6_a_rollback_for_failed_checks_says_so_when_blue_is_not_checked() {
    let (blue, (green, _)) = (Backend::answering(200), switchable(500));
    let checks = "{ name: dead, metric: healthChecks, atLeast: 2 }";
    let proxy = at_full_weight("", OFTEN, [blue.address, green.address], checks);
    let status = proxy.until(|status| status["state"] == "rolledBack");
    assert!(reason(&status).ends_with("health checks; blue is not checked"), "{status:#}");
}
