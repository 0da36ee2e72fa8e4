//! What becomes of requests when memory runs out.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::support::http2::GOAWAY;
use crate::support::{Client, DEADLINE, End, Frames, Proxy, Response, Upstream, config, eventually};

const MIB: u64 = 1024 * 1024;
const STAGE: &str = "portcullis_overload_stage";
const REFUSED: &str = "portcullis_overload_refused_total";
const MEMORY: &str = "portcullis_memory_bytes";
const UPLOAD: &str = "POST /held HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000\r\n\r\n";

/// An upstream that answers, and leaves the bodies for `/held` unread until it is told otherwise.
struct Slow {
    upstream: Upstream,
    told: Arc<(Mutex<bool>, Condvar)>,
}

impl Slow {
    fn new() -> Slow {
        let told = Arc::new((Mutex::new(false), Condvar::new()));
        let upstream = Upstream::scripted({
            let told = Arc::clone(&told);
            move |connection| {
                while let Some(request) = connection.head() {
                    if request.target == "/held" {
                        let (told, changed) = &*told;
                        let waits = told.lock().expect("no panic with it");
                        drop(changed.wait_timeout_while(waits, 3 * DEADLINE, |told| !*told).expect("no panic with it"));
                        return;
                    }
                    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
                }
            }
        });
        Slow { upstream, told }
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        *self.told.0.lock().expect("no panic with it") = true;
        self.told.1.notify_all();
    }
}

fn text(blue: &Slow, memory: &str) -> String {
    let rest = format!("accessLog: true\nlimits: {{ memoryBytes: {memory} }}");
    config(&[blue.upstream.address], &[([127, 0, 0, 1], 1).into()], &rest)
}

/// Goes over to this bound, and waits until it has come to `stage`.
#[track_caller]
fn bound(proxy: &Proxy, blue: &Slow, memory: &str, stage: &str) {
    std::fs::write(proxy.file(), text(blue, memory)).expect("the file can be written");
    let response = proxy.post("/v1/config/reload", &Value::Null);
    assert_eq!(response.status, 200, "{}", response.text());
    until_stage(proxy, stage);
}

#[track_caller]
fn until_stage(proxy: &Proxy, stage: &str) {
    proxy.until_metric(STAGE, &[&format!("stage=\"{stage}\"")], 1.0);
}

fn is_in(proxy: &Proxy, stage: &str) -> bool {
    proxy.metric(STAGE, &[&format!("stage=\"{stage}\"")]) == 1.0
}

/// One more body that the proxy has begun to take and nobody reads; none where it was not let in.
fn upload(proxy: &Proxy) -> Option<Client> {
    let mut client = Client::narrow(proxy.listen);
    client.offer(UPLOAD).ok()?;
    (client.send_until_held_back(4 * MIB as usize, Duration::from_millis(5)) > 0).then_some(client)
}

/// Bodies until the proxy holds so much of them.
fn uploads(proxy: &Proxy, bytes: u64) -> Vec<Client> {
    let mut held = Vec::new();
    while proxy.memory() < bytes {
        held.extend(upload(proxy));
        assert!(held.len() < 5_000, "{} of {bytes} bytes", proxy.memory());
    }
    held
}

#[track_caller]
fn check_shed(response: &Response) {
    let fields = ["retry-after", "proxy-status", "connection"].map(|name| response.head.one(name));
    assert_eq!(
        (response.status, fields),
        (503, ["1", "portcullis; error=http_request_denied", "close"].map(Into::into))
    );
}

/// Waits until the worker has heard that memory is enough.
#[track_caller]
fn until_kept_alive(proxy: &Proxy) {
    let mut client = eventually("a connection that is kept alive", || {
        let mut client = proxy.client();
        let response = client.get("/");
        (response.status == 200 && !response.head.has("connection")).then_some(client)
    });
    assert_eq!(client.get("/").status, 200);
}

/// A percentage of what the process has.
fn share(proxy: &Proxy, percent: u64) -> String {
    (proxy.memory() * 100 / percent).to_string()
}

#[test]
fn row_51_where_memory_runs_short_connections_end_with_their_requests_and_idle_ones_at_once() {
    let blue = Slow::new();
    let proxy = Proxy::start(&text(&blue, "off"));
    let mut idle = proxy.client();
    assert_eq!(idle.get("/").status, 200);
    let mut idle_http2 = Frames::connect(proxy.listen);
    idle_http2.get(1, "/");
    idle_http2.sync();
    let held = uploads(&proxy, 64 * MIB);
    bound(&proxy, &blue, &share(&proxy, 90), "saving");
    assert_eq!(idle.rest(), (Vec::new(), End::Clean));
    idle_http2.until(GOAWAY);
    let mut client = proxy.client();
    let response = client.get("/");
    assert_eq!((response.status, response.head.one("connection").as_str()), (200, "close"));
    client.ends();
    let mut http2 = Frames::connect(proxy.listen);
    http2.get(1, "/");
    http2.until(GOAWAY);
    bound(&proxy, &blue, "off", "calm");
    until_kept_alive(&proxy);
    drop(held);
}

#[test]
fn row_51_where_memory_runs_out_new_requests_are_503_and_those_under_way_and_the_admin_api_go_on() {
    let blue = Slow::new();
    let proxy = Proxy::start(&text(&blue, "off"));
    let held = uploads(&proxy, 64 * MIB);
    let mut begun = proxy.client();
    begun.send("GET / HTTP/1.1\r\nHo");
    proxy.until_metric("portcullis_connections", &["side=\"client\""], (held.len() + 1) as f64);
    proxy.until_metric("portcullis_inflight_requests", &["version=\"blue\""], held.len() as f64);
    bound(&proxy, &blue, &share(&proxy, 100), "refusing");
    // The worker hears of it a moment later, and then says so to whoever connects.
    let refused = eventually("a connection is refused", || {
        let mut client = proxy.client();
        client.stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
        client.try_response().ok()
    });
    check_shed(&refused);
    check_shed(&begun.send("st: test\r\n\r\n").response());
    begun.ends();
    proxy.until_metric(REFUSED, &["what=\"request\""], 1.0);
    assert!(proxy.metric(REFUSED, &["what=\"connection\""]) >= 1.0);
    let line = proxy.until_logged("request");
    assert_eq!(
        (&line["reason"], &line["outcome"], line.get("version")),
        (&"no_memory".into(), &"refused_by_us".into(), None)
    );
    let labels = ["version=\"none\"", "outcome=\"refused_by_us\"", "code=\"503\""];
    proxy.until_metric("portcullis_requests_total", &labels, 1.0);
    assert_eq!(proxy.call("GET", "/readyz", &Value::Null).status, 200);
    assert_eq!(proxy.status()["blue"]["failures"], 0);
    proxy.until_logged("memory runs out: requests are refused");
    let in_flight = proxy.metric("portcullis_inflight_requests", &["version=\"blue\""]);
    assert_eq!(in_flight, held.len() as f64, "what is under way stays");
    bound(&proxy, &blue, "off", "calm");
    until_kept_alive(&proxy);
}

#[test]
fn row_51_big_bodies_for_a_slow_endpoint_keep_the_process_near_its_bound_and_it_recovers() {
    const BOUND: u64 = 64 * MIB;
    /// What comes between two looks, and what those hold that are under way.
    const SLACK: u64 = 16 * MIB;
    let blue = Slow::new();
    let proxy = Proxy::start(&text(&blue, "64MiB"));
    let (mut held, mut most) = (Vec::new(), 0);
    for _ in 0..5_000 {
        held.extend(upload(&proxy));
        most = most.max(proxy.memory());
        if most > BOUND / 2 && is_in(&proxy, "refusing") {
            break;
        }
    }
    until_stage(&proxy, "refusing");
    let taken = held.len();
    let mut one_more = || {
        held.extend(upload(&proxy));
        most = most.max(proxy.memory());
    };
    // The worker hears of it a moment later, and what it refuses is counted a moment after that.
    eventually("a connection is refused", || {
        one_more();
        (proxy.metric(REFUSED, &["what=\"connection\""]) >= 1.0).then_some(())
    });
    (0..100).for_each(|_| one_more());
    assert!(most < BOUND + SLACK, "{} MiB with {taken} bodies", most / MIB);
    assert_eq!(proxy.metric("portcullis_memory_limit_bytes", &[]), BOUND as f64);
    drop(held);
    // What is free goes back to the system as a worker works.
    eventually("enough memory", || {
        let mut client = proxy.client();
        if client.offer("GET / HTTP/1.1\r\nHost: test\r\n\r\n").is_ok() {
            client.try_response().ok();
        }
        is_in(&proxy, "calm").then_some(())
    });
    until_kept_alive(&proxy);
    proxy.until_logged("memory is enough again");
    assert!(proxy.metric(MEMORY, &[]) < 0.80 * BOUND as f64);
}
