//! What becomes of clients when file descriptors run out.

use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use crate::support::{Client, Proxy, Upstream, config, have};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const CONNECTIONS: &str = "portcullis_connections";

/// Of the whole process. 64 of them are for connections, and clients are accepted up to 56.
const LIMIT: u32 = 128;
const ACCEPTING: usize = 56;
const CONNECTING: usize = 64;

/// One worker in front of `blue`, which may have so many descriptors.
fn limited(blue: &Upstream, limit: u32) -> Proxy {
    Proxy::start_with_descriptors(limit, &config(&[blue.address], &[([127, 0, 0, 1], 1).into()], ""))
}

/// What the process has used of a processor, in hundredths of a second.
fn processor_ticks(proxy: &Proxy) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", proxy.pid())).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name before").split_whitespace().collect();
    // The 14th and 15th of all (proc_pid_stat(5)).
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

#[test]
fn row_50_clients_beyond_the_descriptors_wait_until_others_leave_and_the_admin_api_answers_meanwhile() {
    let blue = Upstream::ok();
    let proxy = limited(&blue, LIMIT);
    let mut accepted: Vec<Client> = Vec::new();
    // One is the endpoint's, whose connection they use in turn.
    for _ in 0..ACCEPTING - 1 {
        accepted.push(proxy.client());
        assert_eq!(accepted.last_mut().expect("there is one").get("/").status, 200);
    }
    let mut waiting: Vec<Client> = (0..20).map(|_| proxy.client()).collect();
    waiting.iter_mut().for_each(|client| _ = client.send(GET));
    proxy.until_logged("accepting rests");
    proxy.until_metric(CONNECTIONS, &["side=\"client\""], (ACCEPTING - 1) as f64);
    let before = processor_ticks(&proxy);
    std::thread::sleep(Duration::from_millis(500));
    assert!(processor_ticks(&proxy) - before < 20, "it does not try all the time");
    assert_eq!(blue.count(), ACCEPTING - 1);
    for _ in 0..20 {
        assert_eq!(proxy.status()["state"], "idle");
    }
    accepted.truncate(10);
    assert!(waiting.iter_mut().all(|client| client.response().status == 200));
    assert_eq!(accepted[0].get("/").status, 200);
    proxy.until_logged("accepting goes on");
    assert_eq!(proxy.logged("accepting rests").len(), 1);
    proxy.until_charged(ACCEPTING as u64 + 20, 0);
}

#[test]
fn row_50_a_request_without_a_descriptor_for_its_endpoint_is_503_and_charged_to_nobody() {
    let (answers, answer) = mpsc::channel::<()>();
    let answer = Mutex::new(answer);
    let blue = Upstream::scripted(move |connection| {
        while let Some(request) = connection.request() {
            if request.target == "/held" {
                answer.lock().expect("no panic with it").recv().expect("the test goes on");
            }
            connection.send(OK);
        }
    });
    let proxy = limited(&blue, LIMIT);
    const CLIENTS: usize = 40;
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| proxy.client()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    let (held, refused) = clients.split_at_mut(CONNECTING - CLIENTS);
    for (number, client) in held.iter_mut().enumerate() {
        client.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n");
        blue.until("the request", |seen| {
            let requests = seen.iter().map(|one| one.requests.len()).sum::<usize>();
            (requests == CLIENTS + number + 1).then_some(())
        });
    }
    for client in &mut *refused {
        let response = client.get("/");
        assert_eq!((response.status, response.head.one("retry-after").as_str()), (503, "1"));
        assert_eq!(response.head.one("proxy-status"), "portcullis; error=connection_limit_reached");
    }
    held.iter().for_each(|_| answers.send(()).expect("somebody waits"));
    held.iter_mut().for_each(|client| assert_eq!(client.response().status, 200));
    assert_eq!(refused[0].get("/").status, 200, "on the connection of before, as on one that rested");
    proxy.until_outcome("refused_by_us", (CLIENTS - (CONNECTING - CLIENTS)) as u64);
    assert_eq!(proxy.status()["blue"]["failures"], 0);
}

/// Lets the process have no more descriptors than so many from here on.
fn limit(proxy: &Proxy, descriptors: u32) {
    let (pid, limit) = (format!("--pid={}", proxy.pid()), format!("--nofile={descriptors}:"));
    assert!(Command::new("prlimit").args([pid, limit]).status().is_ok_and(|status| status.success()));
}

#[test]
fn row_50_what_the_kernel_refuses_is_no_failure_of_an_endpoint_and_no_check() {
    if !have("prlimit") {
        return;
    }
    let blue = Upstream::scripted(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
    });
    let check = "version: v1, healthCheck: { tcp: true, interval: 100ms, timeout: 100ms, unhealthyAfter: 1 },";
    let text = config(&[blue.address], &[([127, 0, 0, 1], 1).into()], "accessLog: true");
    let proxy = Proxy::start_logging(&text.replacen("version: v1,", check, 1), "debug");
    let mut client = proxy.client();
    assert_eq!(client.get("/").status, 200);
    limit(&proxy, 4);
    let response = client.get("/");
    assert_eq!((response.status, response.head.one("retry-after").as_str()), (503, "1"));
    let mut waiting = proxy.client();
    waiting.send(GET);
    proxy.until_logged("accepting rests");
    proxy.until_logged("no check");
    limit(&proxy, LIMIT);
    assert_eq!(waiting.response().status, 200);
    assert_eq!(client.get("/").status, 200);
    proxy.until_charged(3, 0);
    assert!(proxy.logged("endpoint unhealthy").is_empty());
    let reasons: Vec<_> = proxy.logged("request").into_iter().filter_map(|line| line.get("reason").cloned()).collect();
    assert_eq!(reasons, ["no_descriptor"]);
}
