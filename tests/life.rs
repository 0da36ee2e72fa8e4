//! From start to end: draining, and what a panic costs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Client, Cut, End, Proxy, Upstream, eventually, portcullis, printed};

/// Answers `/slow` when told to, and anything else at once.
fn with_slow() -> (Upstream, mpsc::Sender<()>) {
    let (answer, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::scripted(move |connection| {
        while let Some(request) = connection.request() {
            if request.target == "/slow" {
                wait.lock().expect("one slow request").recv().ok();
            }
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    (upstream, answer)
}

/// Sends requests on one connection until an answer asks to close it; returns how many were answered.
fn load(mut client: Client, sent: &AtomicUsize) -> usize {
    for answered in 1.. {
        let response = client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").response();
        assert_eq!(response.status, 200);
        sent.fetch_add(1, Ordering::SeqCst);
        if response.head.all("connection") == ["close"] {
            client.ends();
            return answered;
        }
    }
    unreachable!("the loop ends with the connection")
}

#[test]
fn row_58_on_sigterm_readiness_goes_off_no_request_is_lost_and_the_process_exits_0() {
    let (blue, answer) = with_slow();
    let mut proxy = Proxy::before_with(&blue, "workers: 2\ndrain: { wait: 2s, deadline: 20s }");
    let ready = |proxy: &Proxy| proxy.call("GET", "/readyz", &Value::Null).status;
    assert_eq!(ready(&proxy), 200);
    let sent = AtomicUsize::new(0);
    let mut slow = proxy.client();
    slow.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    blue.until("the slow request", |seen| seen.iter().any(|one| !one.requests.is_empty()).then_some(()));
    let mut idle = proxy.client();
    assert_eq!(idle.get("/").status, 200);

    let answered: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let client = proxy.client();
                scope.spawn(|| load(client, &sent))
            })
            .collect();
        eventually("some load", || (sent.load(Ordering::SeqCst) > 100).then_some(()));
        proxy.sigterm();
        eventually("readiness off", || (ready(&proxy) == 503).then_some(()));
        assert_eq!(proxy.get("/late").status, 200, "connections are still accepted while others learn of it");
        clients.into_iter().map(|client| client.join().expect("no request is lost")).sum()
    });

    idle.ends();
    eventually("the end of accepting", || std::net::TcpStream::connect(proxy.listen).is_err().then_some(()));
    answer.send(()).expect("blue waits");
    assert_eq!(slow.response().text(), "ok", "what ran is finished");
    slow.ends();
    assert_eq!(proxy.wait_exit().code(), Some(0));
    assert_eq!(blue.count(), answered + 3);
    proxy.until_logged("drained");
}

#[test]
fn row_58_a_process_that_hears_that_it_will_be_told_to_end_asks_clients_to_reconnect_and_serves_until_then() {
    let blue = Upstream::ok();
    let mut proxy = Proxy::before_with(&blue, "drain: { wait: 0s, deadline: 20s }");
    let ready = |proxy: &Proxy| proxy.call("GET", "/readyz", &Value::Null).status;
    let mut kept = proxy.client();
    assert_eq!(kept.get("/").status, 200);
    printed(&portcullis(&["leave", "--pid", &proxy.pid().to_string()], &[]));
    eventually("readiness off", || (ready(&proxy) == 503).then_some(()));
    for mut client in [kept, proxy.client(), proxy.client()] {
        let answer = client.get("/");
        assert_eq!((answer.status, answer.head.all("connection")), (200, vec!["close".to_owned()]));
        client.ends();
    }
    proxy.sigterm();
    assert_eq!(proxy.wait_exit().code(), Some(0));
}

#[test]
fn row_58_what_still_runs_at_the_deadline_is_cut_off() {
    let (blue, _answer) = with_slow();
    let mut proxy = Proxy::before_with(&blue, "drain: { wait: 0s, deadline: 300ms }");
    let mut slow = proxy.client();
    slow.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    blue.until("the slow request", |seen| seen.iter().any(|one| !one.requests.is_empty()).then_some(()));
    let began = Instant::now();
    proxy.sigterm();
    assert!(matches!(slow.try_response(), Err(Cut::Short | Cut::Reset)));
    assert_eq!(proxy.wait_exit().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    proxy.until_logged("the deadline for draining has passed; what still ran was cut off");
}

#[test]
fn row_58_an_idle_process_exits_at_once_after_the_wait() {
    let blue = Upstream::ok();
    let mut proxy = Proxy::before_with(&blue, "drain: { wait: 0s, deadline: 20s }");
    let mut client = proxy.client();
    assert_eq!(client.get("/").status, 200);
    let began = Instant::now();
    proxy.sigterm();
    assert_eq!(client.rest(), (Vec::new(), End::Clean));
    assert_eq!(proxy.wait_exit().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[cfg(feature = "fault-injection")]
#[test]
fn row_62_a_panic_in_one_request_is_500_and_counted_and_the_rest_go_on() {
    let (blue, answer) = with_slow();
    let proxy = Proxy::before(&blue);
    let mut other = proxy.client();
    other.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    blue.until("the slow request", |seen| (!seen.first()?.requests.is_empty()).then_some(()));

    let mut client = proxy.client();
    let response = client.get("/portcullis/panic");
    assert_eq!((response.status, response.text().as_str()), (500, "an error inside the proxy\n"));
    client.ends();

    answer.send(()).expect("blue waits");
    assert_eq!(other.response().text(), "ok", "what ran on the same worker goes on");
    assert_eq!(other.get("/").status, 200);
    assert_eq!(proxy.get("/").status, 200);
    proxy.until_metric("portcullis_panics_total", &[], 1.0);
    proxy.until_charged(3, 0);
    assert_eq!(blue.count(), 3);
}
