//! What becomes evidence and what does not, as the control thread gets it from a real worker.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use portcullis::config::{self, Config, Environment};
use portcullis::gate::ByVersion;
use portcullis::live::{Addresses, Live};
use portcullis::measure::shard::{Sample, pair};
use portcullis::measure::{Collectors, Tick};
use portcullis::proxy::{self, Phase};
use portcullis::release::{Epoch, Weight};
use portcullis::routing::{Cohorts, NOTICES, Notice, Routing, Table};
use portcullis::spans::Spans;
use tokio::sync::{mpsc, watch};

use crate::support::{Client, Connection, Upstream, config as text, eventually};

/// One worker in front of two versions, in the first epoch.
struct Worker {
    listen: SocketAddr,
    routing: Arc<Routing<Live>>,
    collectors: Collectors,
    /// What all ticks brought.
    samples: ByVersion<Sample>,
    /// Requests that were counted at all.
    counted: u64,
    _lifecycle: watch::Sender<Phase>,
    _notices: mpsc::Receiver<Notice>,
}

impl Worker {
    fn start(blue: &Upstream, green: &Upstream, percent: f64, rest: &str) -> Worker {
        let text = text(&[blue.address], &[green.address], rest);
        let config: Config = config::parse(&text, "test", Path::new(""), &Environment::default())
            .unwrap_or_else(|faults| panic!("{faults}"));
        let (notify, notices) = mpsc::channel(NOTICES);
        let routing = Arc::new(Routing::to(
            Arc::new(Live::new(&config, &Addresses::default())),
            Table::default(),
            config.policy.streak.clone(),
            notify,
        ));
        assert!(routing.route(Epoch::default().next(), Weight::from_percent(percent).expect("a weight")));
        let sockets = proxy::bind(config.listen, 1).expect("a free port");
        let listener = sockets.listeners.into_iter().next().expect("one was asked for");
        let (recorder, collector) = pair();
        let (lifecycle, phase) = watch::channel(Phase::Serving);
        proxy::spawn(0, listener, Arc::clone(&routing), recorder, Spans::nowhere(), phase).expect("a thread");
        Worker {
            listen: sockets.address,
            routing,
            collectors: Collectors::new([collector]),
            samples: ByVersion::default(),
            counted: 0,
            _lifecycle: lifecycle,
            _notices: notices,
        }
    }

    fn client(&self) -> Client {
        Client::connect(self.listen)
    }

    fn tick(&mut self) -> Tick {
        let Worker { collectors, samples, counted, routing, .. } = self;
        let tick = collectors.tick(routing.table().routed(), |shard| {
            *counted += shard.counts().map(|count| count.requests).sum::<u64>();
        });
        samples.blue.add(&tick.samples.blue);
        samples.green.add(&tick.samples.green);
        tick
    }

    /// Ticks until so many requests have been counted.
    #[track_caller]
    fn until_counted(&mut self, requests: u64) {
        eventually("so many counted requests", || {
            self.tick();
            (self.counted == requests).then_some(())
        });
    }

    /// Ticks until the requests that wait are as `wanted`.
    #[track_caller]
    fn until_waiting(&mut self, mut wanted: impl FnMut(&Tick) -> bool) {
        eventually("such requests that wait", || wanted(&self.tick()).then_some(()));
    }
}

/// Answers with the status that the target ends with, and never answers `/hang`.
fn scripted() -> Upstream {
    Upstream::scripted(|connection: &mut Connection| {
        while let Some(request) = connection.request() {
            if request.target.ends_with("/hang") {
                return connection.drain();
            }
            let status = request.target.rsplit('/').next().and_then(|status| status.parse().ok()).unwrap_or(200_u16);
            connection.send(format!("HTTP/1.1 {status} Scripted\r\ncontent-length: 2\r\n\r\nok"));
        }
    })
}

const WARM: &str = "warmUp: { time: 0s, requests: 0 }";

#[test]
fn row_73_excluded_paths_are_served_and_counted_and_are_no_evidence() {
    let (blue, green) = (scripted(), scripted());
    let gate = format!(
        "gate: {{ {WARM}, exclude: [\"/healthz\", \"/internal/*\"], \
         triggers: [{{ name: dead, metric: failureStreak, atLeast: 3 }}] }}"
    );
    let mut worker = Worker::start(&blue, &green, 100.0, &gate);
    let mut client = worker.client();
    for _ in 0..5 {
        assert_eq!(client.get("/healthz?why").status, 200);
    }
    for _ in 0..5 {
        assert_eq!(client.get("/internal/500").status, 500);
    }
    worker.until_counted(10);
    assert!(worker.samples.green.evidence.is_empty() && worker.samples.green.whole.is_empty());
    assert_eq!(worker.routing.table().weight(), Weight::FULL, "the streak did not see them either");
    assert_eq!(client.get("/healthz/500").status, 500);
    worker.until_counted(11);
    assert_eq!((worker.samples.green.evidence.requests, worker.samples.green.evidence.failures), (1, 1));
    for _ in 0..2 {
        client.get("/500");
    }
    assert_eq!(worker.routing.table().weight(), Weight::PROBE);
}

/// Which of these statuses are charged to the version that answers with them.
#[track_caller]
fn check_charged(gate: &str, charged: &[u16]) {
    let statuses = [200, 302, 304, 404, 429, 500, 501, 503, 505];
    let (blue, green) = (scripted(), scripted());
    let mut worker = Worker::start(&blue, &green, 0.0, gate);
    let mut client = worker.client();
    let mut failures = 0;
    for (number, status) in statuses.into_iter().enumerate() {
        assert_eq!(client.get(&format!("/{status}")).status, status);
        worker.until_counted(number as u64 + 1);
        failures += u64::from(charged.contains(&status));
        let evidence = &worker.samples.blue.evidence;
        assert_eq!((evidence.requests, evidence.failures), (number as u64 + 1, failures), "{status}: {gate}");
    }
}

const DEAD: &str = "triggers: [{ name: dead, metric: failureStreak, atLeast: 9 }]";

#[test]
fn row_66_a_5xx_is_charged_and_501_and_505_can_be_taken_out() {
    check_charged(&format!("gate: {{ {DEAD} }}"), &[500, 501, 503, 505]);
    check_charged(&format!("gate: {{ {DEAD}, notFailures: [501, 505] }}"), &[500, 503]);
}

#[test]
fn row_67_a_4xx_or_a_3xx_is_charged_only_where_the_policy_says_so() {
    check_charged(&format!("gate: {{ {DEAD}, failureStatuses: [\"5xx\", \"429\"] }}"), &[429, 500, 501, 503, 505]);
    check_charged(&format!("gate: {{ {DEAD}, failureStatuses: [\"503\", \"4xx\"] }}"), &[404, 429, 503]);
}

#[test]
fn row_72_a_websocket_counts_with_its_head_and_not_with_how_long_it_lasts() {
    let green = Upstream::scripted(|connection| {
        connection.head();
        connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        connection.bytes(1);
    });
    let mut worker = Worker::start(&scripted(), &green, 100.0, &format!("gate: {{ {WARM} }}"));
    let mut client = worker.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.response().status, 101);
    // While it is open.
    worker.until_counted(1);
    let green = &worker.samples.green;
    assert_eq!((green.evidence.requests, green.evidence.latency.len(), green.whole.len()), (1, 1, 1));
    client.send("x").ends();
    drop(client);
    worker.until_waiting(|tick| tick.gauges.upstream_connections == 0 && tick.gauges.client_connections == 0);
    let evidence = &worker.samples.green.evidence;
    assert_eq!((worker.counted, evidence.requests, evidence.latency.len()), (1, 1, 1));
}

/// Chunks that come now and then, and the last of them when the test says so.
#[test]
fn row_72_an_event_stream_counts_with_its_head_and_not_with_how_long_it_lasts() {
    let (tell, wait) = std_mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let green = Upstream::scripted(move |connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        connection.send("9\r\ndata: 1\n\n\r\n");
        // An error means that the test has failed.
        wait.lock().expect("one connection").recv().ok();
        connection.send("9\r\ndata: 2\n\n\r\n0\r\n\r\n");
    });
    let mut worker = Worker::start(&scripted(), &green, 100.0, &format!("gate: {{ {WARM} }}"));
    let mut client = worker.client();
    let sent = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").response_head();
    // However long that took on a busy machine, the stream lasts much longer.
    let at_most = 2 * sent.elapsed();
    client.pause(2 * at_most);
    tell.send(()).expect("green waits");
    let stream = "9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&client.bytes(stream.len())), stream);
    worker.until_counted(1);
    let green = &worker.samples.green;
    assert_eq!((green.evidence.latency.len(), green.evidence.latency.slower_than(at_most)), (1, 0));
    assert_eq!(green.whole.slower_than(at_most), 1, "it is known for who asks for it");
}

/// A poll whose head comes late is as slow as that.
#[test]
fn row_72_a_long_poll_counts_with_its_head() {
    const POLL: Duration = Duration::from_millis(300);
    let green = Upstream::scripted(|connection| {
        connection.request();
        // What is simulated.
        std::thread::sleep(POLL);
        connection.send("HTTP/1.1 204 No Content\r\n\r\n");
    });
    let mut worker = Worker::start(&scripted(), &green, 100.0, &format!("gate: {{ {WARM} }}"));
    assert_eq!(worker.client().get("/").status, 204);
    worker.until_counted(1);
    assert_eq!(worker.samples.green.evidence.latency.slower_than(POLL * 9 / 10), 1);
}

#[test]
fn a_failure_that_is_no_answer_is_charged_whatever_the_statuses() {
    let blue = Upstream::scripted(|connection| _ = connection.request());
    let gate = "gate: { failureStatuses: [\"503\"], triggers: [{ name: dead, metric: failureStreak, atLeast: 9 }] }";
    let mut worker = Worker::start(&blue, &scripted(), 0.0, gate);
    assert_eq!(worker.client().get("/").status, 502);
    worker.until_counted(1);
    assert_eq!(worker.samples.blue.evidence.failures, 1);
}

#[test]
fn a_green_endpoints_first_requests_count_for_failures_and_not_for_latency() {
    let (blue, green) = (scripted(), scripted());
    let gate =
        "gate: { warmUp: { time: 0s, requests: 20 }, triggers: [{ name: rate, metric: errorRate, above: 90% }] }";
    let mut worker = Worker::start(&blue, &green, 50.0, gate);
    let mut client = worker.client();
    // Each version gets 30 of 60.
    for _ in 0..60 {
        client.get("/500");
    }
    worker.until_counted(60);
    let ByVersion { blue, green } = &worker.samples;
    assert_eq!((green.evidence.failures, green.evidence.latency.len(), green.whole.len()), (30, 10, 10));
    assert_eq!((blue.evidence.failures, blue.evidence.latency.len(), blue.whole.len()), (30, 30, 30));
}

#[test]
fn row_71_a_request_that_hangs_is_seen_growing_older_before_it_ends() {
    let (blue, green) = (scripted(), scripted());
    let mut worker = Worker::start(&blue, &green, 100.0, &format!("gate: {{ {WARM} }}"));
    let mut client = worker.client();
    client.send("GET /hang HTTP/1.1\r\nHost: test\r\n\r\n");
    for longer in [10, 200, 400].map(Duration::from_millis) {
        worker.until_waiting(|tick| {
            assert!(tick.waiting.green.len() <= 1 && tick.waiting.blue.is_empty());
            tick.waiting.green.slower_than(longer) == 1
        });
    }
    assert_eq!(worker.counted, 0, "it has not ended");
    client.reset();
    worker.until_waiting(|tick| tick.waiting.green.is_empty());
    worker.until_counted(1);
    assert_eq!(worker.samples.green.evidence.latency.slower_than(Duration::from_millis(300)), 1);
}

#[test]
fn a_request_waits_no_more_once_it_has_a_response_head() {
    let green = Upstream::scripted(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n");
        connection.drain();
    });
    let mut worker = Worker::start(&scripted(), &green, 100.0, &format!("gate: {{ {WARM} }}"));
    let mut client = worker.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").response_head();
    let mut other = worker.client();
    other.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").response_head();
    worker.until_waiting(|tick| tick.gauges.in_flight.green == 2 && tick.waiting.green.is_empty());
}

#[test]
fn a_request_that_is_excluded_warms_up_or_waits_for_its_own_client_is_not_seen_waiting() {
    let (blue, green) = (scripted(), scripted());
    let gate = "gate: { exclude: [\"/excluded/*\"], warmUp: { time: 0s, requests: 2 } }";
    let mut worker = Worker::start(&blue, &green, 100.0, gate);
    let mut clients: Vec<Client> = (0..5).map(|_| worker.client()).collect();
    let mut send = |number: usize, head: &str| _ = clients[number].send(format!("{head} HTTP/1.1\r\nHost: test\r\n"));
    send(0, "GET /excluded/hang");
    send(1, "GET /hang");
    send(2, "GET /hang");
    send(3, "POST /hang");
    for client in &mut clients[..3] {
        client.send("\r\n");
    }
    clients[3].send("Content-Length: 5\r\n\r\nonly");
    worker.until_waiting(|tick| tick.gauges.in_flight.green == 4);
    clients[4].send("GET /hang HTTP/1.1\r\nHost: test\r\n\r\n");
    let longer = Duration::from_millis(100);
    worker.until_waiting(|tick| tick.waiting.green.slower_than(longer) > 0);
    worker.until_waiting(|tick| tick.gauges.in_flight.green == 5 && tick.waiting.green.len() == 1);
    // With its last byte it is green that lets it wait.
    clients[3].send("!");
    worker.until_waiting(|tick| tick.waiting.green.len() == 2);
}

#[test]
fn a_request_of_an_epoch_that_is_over_is_not_seen_waiting() {
    let (blue, green) = (scripted(), scripted());
    let mut worker = Worker::start(&blue, &green, 100.0, &format!("gate: {{ {WARM} }}"));
    let mut client = worker.client();
    client.send("GET /hang HTTP/1.1\r\nHost: test\r\n\r\n");
    worker.until_waiting(|tick| tick.waiting.green.len() == 1);
    assert!(worker.routing.route(Epoch::default().next().next(), Weight::FULL));
    // The next one shows that a view of the new epoch has come.
    let mut next = worker.client();
    next.send("GET /hang HTTP/1.1\r\nHost: test\r\n\r\n");
    worker.until_waiting(|tick| {
        assert!(tick.waiting.green.len() <= 1);
        tick.waiting.green.len() == 1 && tick.gauges.in_flight.green == 2
    });
}

#[test]
fn row_75_one_client_that_forces_failures_is_at_most_its_share_of_the_evidence() {
    let (blue, green) = (scripted(), scripted());
    let gate = format!(
        "trustedProxies: [\"127.0.0.0/8\"]\ngate: {{ {WARM}, clientShare: 20%, \
         triggers: [{{ name: errors, metric: errorRate, above: 90% }}] }}"
    );
    let mut worker = Worker::start(&blue, &green, 100.0, &gate);
    let mut client = worker.client();
    let mut get = |from: &str, target: &str| {
        let head = format!("GET {target} HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: {from}\r\n\r\n");
        client.send(head).response().status
    };
    for number in 0..100 {
        assert_eq!(get(&format!("203.0.113.{number}"), "/"), 200);
    }
    for _ in 0..900 {
        assert_eq!(get("1.2.3.4, 198.51.100.7", "/500"), 500, "it is served all the same");
    }
    worker.until_counted(1_000);
    let evidence = &worker.samples.green.evidence;
    let others = evidence.requests - evidence.failures;
    // One client in forty is hashed into the class of one of the others, so that both have one share.
    assert!(others == 100 && (20..=25).contains(&evidence.failures), "{others} others, {} failures", evidence.failures);
}

#[test]
fn row_75_clients_that_cannot_be_told_apart_are_not_bounded() {
    let (blue, green) = (scripted(), scripted());
    let mut worker = Worker::start(&blue, &green, 100.0, &format!("gate: {{ {WARM}, clientShare: 20% }}"));
    let mut client = worker.client();
    for number in 0..500 {
        // From a peer that is not trusted these are mere words.
        let from = format!("X-Forwarded-For: 203.0.113.{}\r\n", number % 100);
        client.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{from}\r\n")).response();
    }
    worker.until_counted(500);
    assert_eq!(worker.samples.green.evidence.requests, 500);
}

#[test]
fn sticky_clients_are_counted_once_and_plain_requests_not_at_all() {
    for (rest, field) in [
        ("sticky: { cookie: session }", "Cookie: session="),
        ("sticky: { cookie: session, issue: true }", "Cookie: session="),
        ("sticky: { header: x-user }", "X-User: "),
        ("trustedProxies: [127.0.0.0/8]\nsticky: { address: true }", "X-Forwarded-For: 10.0.0."),
    ] {
        let (blue, green) = (scripted(), scripted());
        let mut worker = Worker::start(&blue, &green, 100.0, rest);
        let mut client = worker.client();
        let pipelined: String =
            (0..30).map(|number| format!("GET / HTTP/1.1\r\nHost: test\r\n{field}{}\r\n\r\n", number % 3)).collect();
        client.send(pipelined);
        (0..30).for_each(|_| assert_eq!(client.response().status, 200));
        let mut clients = 0;
        eventually("thirty requests", || {
            let of_tick = worker.tick().clients.green.unwrap_or_default();
            assert!(of_tick <= 3, "{rest}");
            clients = clients.max(of_tick);
            (worker.counted == 30).then_some(())
        });
        assert!(clients > 0, "{rest}");
        assert_eq!(client.get("/").body, b"ok");
        // Who has no cookie of ours yet is a client all the same, and so is every address.
        let expected = if rest.contains("issue") || rest.contains("address") { Some(1) } else { None };
        let mut clients = None;
        eventually("one more", || {
            clients = clients.max(worker.tick().clients.green);
            (worker.counted == 31).then_some(())
        });
        assert_eq!(clients, expected, "{rest}");
    }
}

#[test]
fn what_green_does_for_a_cohort_is_no_evidence_and_is_told_apart() {
    let (blue, green) = (scripted(), scripted());
    let rest = "cohorts: [{ name: a, header: { name: x-a } }, { name: b, header: { name: x-b } }]";
    let mut worker = Worker::start(&blue, &green, 0.0, rest);
    let only_second = Cohorts::from_iter([1]);
    assert!(worker.routing.beside(Epoch::default().next(), Some(Weight::ZERO), only_second));
    let mut client = worker.client();
    for number in 0..30 {
        let field = ["X-A: 1", "X-B: 1", "X-C: 1"][number % 3];
        assert_eq!(client.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{field}\r\n\r\n")).response().status, 200);
    }
    let mut apart = 0;
    eventually("thirty requests", || {
        let tick = worker.tick();
        assert_eq!(tick.clients.green, None);
        apart += tick.overridden.map_or(0, |samples| samples.green.evidence.requests);
        (worker.counted == 30).then_some(())
    });
    assert_eq!((worker.samples.blue.evidence.requests, worker.samples.green.evidence.requests, apart), (20, 0, 10));
    assert_eq!(green.count(), 10);
}
