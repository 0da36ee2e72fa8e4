//! The same kinds of trouble on the built proxy, over sockets, with its default configuration: all runs of one kind side by
//! side, each at 100 requests a second and with a weight of its own.
//!
//! `PORTCULLIS_BLAME_SOCKETS=20x60` makes 20 runs of 60 s of every kind; without it a few short ones are made.

use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, MissedTickBehavior};

use crate::support::{Proxy, config};

const WEIGHTS: [f64; 5] = [50.0, 10.0, 90.0, 1.0, 75.0];
const CONNECTIONS: u64 = 4;
const EVERY: Duration = Duration::from_millis(10 * CONNECTIONS);

/// How both versions behave.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    /// The share that fails, so many seconds after the beginning.
    fails: fn(f64) -> f64,
    takes: fn(f64, &mut Rng) -> Duration,
    /// Idle connections are closed after so long.
    closes_after: Duration,
    /// What a new connection costs.
    connect_millis: u64,
    /// Of green's; one of them fails everything where there are several.
    endpoints: usize,
}

const KIND: Kind = Kind {
    name: "",
    fails: |_| 0.0,
    takes: |_, _| Duration::from_millis(2),
    closes_after: Duration::from_secs(60),
    connect_millis: 0,
    endpoints: 1,
};

fn wave(at: f64, period: f64, on: f64, height: f64) -> f64 {
    if at % period < on { height } else { 0.0 }
}

fn lognormal(random: &mut Rng) -> Duration {
    let normal = (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos();
    Duration::from_secs_f64((0.01 * normal.exp()).min(2.0))
}

const KINDS: [Kind; 12] = [
    Kind {
        name: "dear connections, closed after 2 s",
        closes_after: Duration::from_secs(2),
        connect_millis: 25,
        ..KIND
    },
    Kind { name: "one bad endpoint of four", endpoints: 4, ..KIND },
    Kind { name: "both fail 30 %", fails: |_| 0.3, ..KIND },
    Kind { name: "both fail 30 % for 2 s of every 10", fails: |at| wave(at, 10.0, 2.0, 0.3), ..KIND },
    Kind { name: "both fail 50 % for 1 s of every 10", fails: |at| wave(at, 10.0, 1.0, 0.5), ..KIND },
    Kind { name: "both fail 5 %", fails: |_| 0.05, ..KIND },
    Kind { name: "both fail 20 %", fails: |_| 0.2, ..KIND },
    Kind { name: "both fail 50 %", fails: |_| 0.5, ..KIND },
    Kind { name: "both fail 80 %", fails: |_| 0.8, ..KIND },
    Kind { name: "an outage of 3 s every 20", fails: |at| wave(at, 20.0, 3.0, 1.0), ..KIND },
    Kind { name: "lognormal latencies", takes: |_, random| lognormal(random), ..KIND },
    Kind {
        name: "both slow for 1 s of every 10",
        takes: |at, _| Duration::from_millis(if wave(at, 10.0, 1.0, 1.0) > 0.0 { 100 } else { 2 }),
        ..KIND
    },
];

/// Runs of each kind, and their length.
fn form() -> (usize, Duration, usize) {
    match std::env::var("PORTCULLIS_BLAME_SOCKETS") {
        Err(_) => (3, Duration::from_secs(4), 5),
        Ok(form) => {
            let parsed =
                form.split_once('x').and_then(|(runs, seconds)| Some((runs.parse().ok()?, seconds.parse().ok()?)));
            let (runs, seconds) =
                parsed.unwrap_or_else(|| panic!("PORTCULLIS_BLAME_SOCKETS is RUNSxSECONDS, not `{form}`"));
            (runs, Duration::from_secs(seconds), KINDS.len())
        }
    }
}

/// Listens and answers as `kind` says; `broken` fails everything after the first second.
async fn serve(listener: TcpListener, kind: Kind, broken: bool, began: Instant) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::task::spawn_local(answer(stream, kind, broken, began));
    }
}

async fn answer(mut stream: TcpStream, kind: Kind, broken: bool, began: Instant) {
    let mut random = Rng::new();
    let mut request = [0; 2048];
    loop {
        match tokio::time::timeout(kind.closes_after, stream.read(&mut request)).await {
            Ok(Ok(read)) if read > 0 => {}
            Ok(_) | Err(_) => return,
        }
        let at = began.elapsed().as_secs_f64();
        let fails = broken && at > 1.0 || random.f64() < (kind.fails)(at);
        tokio::time::sleep_until(Instant::now() + (kind.takes)(at, &mut random)).await;
        let status = if fails { "500 Internal Server Error" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn endpoint(kind: Kind, broken: bool, began: Instant) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::task::spawn_local(serve(listener, kind, broken, began));
    address
}

/// One connection's share of the load. Every answer is read, whatever it is.
async fn send(proxy: SocketAddr, until: Instant) -> u64 {
    let mut stream = TcpStream::connect(proxy).await.expect("the proxy listens");
    let mut pace = tokio::time::interval(EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut answers, mut answer) = (0, [0; 2048]);
    while Instant::now() < until {
        pace.tick().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").await.expect("the proxy reads");
        assert!(stream.read(&mut answer).await.expect("the proxy answers") > 0, "the proxy closed");
        answers += 1;
    }
    answers
}

/// What each run of a kind came to: the weight, and why it was rolled back if it was.
async fn play(kind: Kind, runs: usize, length: Duration) -> Vec<(f64, Option<String>)> {
    let began = Instant::now();
    let mut proxies = Vec::new();
    for run in 0..runs {
        let blue = endpoint(kind, false, began).await;
        let mut green = Vec::new();
        for number in 0..kind.endpoints {
            green.push(endpoint(kind, kind.endpoints > 1 && number == 0, began).await);
        }
        let text = config(&[blue], &green, "workers: 2");
        let weight = WEIGHTS[run % WEIGHTS.len()];
        let proxy = tokio::task::spawn_blocking(move || {
            let proxy = Proxy::start_with_dear_connections(&text, kind.connect_millis);
            proxy.set_weight(weight);
            proxy
        });
        proxies.push((weight, proxy.await.expect("it starts")));
    }
    let until = Instant::now() + length;
    let loads: Vec<_> = proxies
        .iter()
        .flat_map(|(_, proxy)| (0..CONNECTIONS).map(|_| tokio::task::spawn_local(send(proxy.listen, until))))
        .collect();
    let mut answers = 0;
    for load in loads {
        answers += load.await.expect("the load does not panic");
    }
    println!("{}: {runs} runs of {} s, {answers} requests", kind.name, length.as_secs());
    let ended = tokio::task::spawn_blocking(move || {
        let of = |(weight, proxy): (f64, Proxy)| {
            let status = proxy.status();
            (weight, status["rollback"]["reason"].as_str().map(str::to_owned))
        };
        proxies.into_iter().map(of).collect()
    });
    ended.await.expect("the proxies answer")
}

#[test]
fn promise_5_the_built_proxy_rolls_nothing_back_whatever_befalls_both_versions() {
    let (runs, length, kinds) = form();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut wrong = Vec::new();
    for kind in KINDS.into_iter().take(kinds) {
        let ended = runtime.block_on(tokio::task::LocalSet::new().run_until(play(kind, runs, length)));
        let blamed = ended.into_iter().filter_map(|(weight, reason)| Some((kind.name, weight, reason?)));
        wrong.extend(blamed);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
