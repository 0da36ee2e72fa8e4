//! Traffic that comes back to a blue that cannot take all of it at once: what clients get, with a ramp and without.
//!
//! `RAMP_SECONDS=30` plays the simulation for so long and prints what came of it.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::support::{Listener, Proxy, config, eventually, folder, number, portcullis, printed};

/// An endpoint that does so much at a time, each request in `takes`, and the rest in turn. While more than `thrashes_at` wait each
/// takes twice as long: it gets half done. What its client has given up it does all the same.
struct Service {
    address: SocketAddr,
    state: Arc<State>,
    _runtime: Runtime,
}

struct State {
    turns: tokio::sync::Semaphore,
    takes: Duration,
    thrashes_at: usize,
    waiting: AtomicUsize,
    /// Status of the answers.
    status: AtomicUsize,
    requests: AtomicU64,
}

impl Service {
    fn start(turns: usize, takes: Duration, thrashes_at: usize) -> Service {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let state = Arc::new(State {
            turns: tokio::sync::Semaphore::new(turns),
            takes,
            thrashes_at,
            waiting: AtomicUsize::new(0),
            status: AtomicUsize::new(200),
            requests: AtomicU64::new(0),
        });
        runtime.spawn({
            let state = Arc::clone(&state);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(Arc::clone(&state).serve(stream));
                }
            }
        });
        Service { address, state, _runtime: runtime }
    }

    fn count(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }
}

impl State {
    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        stream.set_nodelay(true).expect("a socket");
        let (mut read, mut bytes) = (Vec::<u8>::new(), [0; 4096]);
        loop {
            while let Some(end) = read.windows(4).position(|window: &[u8]| window == b"\r\n\r\n") {
                read.drain(..end + 4);
                self.requests.fetch_add(1, Ordering::SeqCst);
                self.work().await;
                let status = self.status.load(Ordering::SeqCst);
                let answer = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: 2\r\n\r\nok");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(length) => read.extend(&bytes[..length]),
            }
        }
    }

    async fn work(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let turn = self.turns.acquire().await.expect("nobody closes it");
        let thrashes = self.waiting.load(Ordering::SeqCst) > self.thrashes_at;
        tokio::time::sleep(if thrashes { self.takes * 2 } else { self.takes }).await;
        drop(turn);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What became of requests that began while it went.
#[derive(Clone, Copy, Debug, Default)]
struct Became {
    answered: u64,
    refused: u64,
    /// Their client gave up, or they failed.
    lost: u64,
}

/// Requests at a fixed rate, each by whoever is free, with a patience of a second.
struct Crowd {
    runtime: Runtime,
    to: SocketAddr,
    open: Arc<std::sync::Mutex<VecDeque<TcpStream>>>,
}

const PATIENCE: Duration = Duration::from_secs(1);

impl Crowd {
    fn of(to: SocketAddr) -> Crowd {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Crowd { runtime: runtime.expect("a runtime"), to, open: Arc::default() }
    }

    /// So many a second, for so long; returns when all of them have ended.
    fn send(&self, per_second: u32, for_so_long: Duration) -> Became {
        let between = Duration::from_secs(1) / per_second;
        let requests = (for_so_long.as_secs_f64() * f64::from(per_second)) as u32;
        self.runtime.block_on(async {
            let (mut all, began) = (JoinSet::new(), Instant::now());
            for number in 0..requests {
                tokio::time::sleep_until(began + between * number).await;
                let (to, open) = (self.to, Arc::clone(&self.open));
                all.spawn(async move {
                    let kept = open.lock().expect("no panic with it").pop_front();
                    let asked = tokio::time::timeout(PATIENCE, ask(to, kept)).await;
                    let Ok(Ok((status, stream))) = asked else { return None };
                    open.lock().expect("no panic with it").push_back(stream);
                    Some(status)
                });
            }
            let mut became = Became::default();
            while let Some(status) = all.join_next().await {
                match status.expect("it does not panic") {
                    Some(200) => became.answered += 1,
                    Some(503) => became.refused += 1,
                    Some(_) | None => became.lost += 1,
                }
            }
            became
        })
    }
}

async fn ask(to: SocketAddr, kept: Option<TcpStream>) -> std::io::Result<(u16, TcpStream)> {
    let mut stream = match kept {
        Some(stream) => stream,
        None => TcpStream::connect(to).await?,
    };
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").await?;
    let (mut read, mut bytes) = (Vec::new(), [0; 1024]);
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if length.is_some_and(|length| body.len() >= length) {
                let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
                return Ok((status, stream));
            }
        }
        match stream.read(&mut bytes).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            length => read.extend(&bytes[..length]),
        }
    }
}

/// A blue that can do 40 % of what comes, and green, at weight 90 %; with a ramp or without.
struct Bench {
    _blue: Service,
    green: Service,
    proxy: Proxy,
    events: Listener,
    _data: tempfile::TempDir,
}

/// Requests a second.
const RATE: u32 = 200;

/// Long enough that a busy machine is not taken for a slow blue.
const TAKES: Duration = Duration::from_millis(100);

impl Bench {
    fn new(turns_of_blue: usize, ramp: &str) -> Bench {
        let (blue, green) = (Service::start(turns_of_blue, TAKES, 40), Service::start(1_000, TAKES, 1_000));
        let gate = "gate: { compare: { enabled: false }, triggers: [{ name: alerts, metric: external }] }";
        let text = config(&[blue.address], &[green.address], &format!("workers: 2\n{gate}"));
        let text = text.replacen("blue: { version: v1,", &format!("blue: {{ {ramp} version: v1,"), 1);
        let data = folder();
        let proxy = Proxy::start_in(data.path(), &text);
        proxy.set_weight(90.0);
        let events = Listener::new(proxy.admin);
        Bench { _blue: blue, green, proxy, events, _data: data }
    }

    fn flip(&self) {
        let response = self.proxy.post("/v1/release/rollback", &json!({ "reason": "a test" }));
        assert_eq!(response.status, 200, "{}", response.text());
    }

    fn url(&self) -> String {
        format!("http://{}", self.proxy.admin)
    }

    /// What blue has at 10 %, the flip, and what became of the requests after it.
    fn play(&self, after: Duration) -> (Became, Became) {
        let crowd = Crowd::of(self.proxy.listen);
        let before = crowd.send(RATE, Duration::from_secs(3));
        self.flip();
        (before, crowd.send(RATE, after))
    }
}

/// It does 80 of 200 a second.
const FORTY_PERCENT: usize = 8;

#[test]
fn a_blue_that_breaks_down_under_a_flip_answers_more_with_a_ramp_and_the_rest_is_told_to_come_again() {
    let seconds = Duration::from_secs(number("RAMP_SECONDS").unwrap_or(8));
    let bench = Bench::new(FORTY_PERCENT, "ramp: 60s,");
    let (without, (before, with)) = std::thread::scope(|scope| {
        let without = scope.spawn(|| Bench::new(FORTY_PERCENT, "").play(seconds).1);
        let with = bench.play(seconds);
        (without.join().expect("it does not panic"), with)
    });
    eprintln!("of {} a second, {seconds:?} after the flip: {without:?} without, {with:?} with a ramp", RATE);
    assert_eq!(before.refused, 0, "{before:?}");
    assert_eq!(without.refused, 0, "{without:?}");
    assert!(with.answered > 2 * without.answered, "{with:?} against {without:?}");
    assert!(with.refused > 0, "{with:?}");

    let status = bench.proxy.status();
    let ramp = &status["ramp"];
    assert!(ramp["limit"].as_u64().is_some_and(|limit| limit >= 3) && ramp["left"].as_f64() > Some(0.0), "{status:#}");
    assert!(ramp["suffering"].as_str().is_some_and(|said| said.contains("half of blue's answers")), "{status:#}");
    let refused = ramp["refused"].as_u64().expect("a number");
    assert!(refused > 0 && refused <= with.refused, "{refused} of {with:?}");
    let by_reason = ["slow", "failing"]
        .map(|reason| bench.proxy.metric("portcullis_ramp_refused_total", &[&format!("reason=\"{reason}\"")]));
    assert!(by_reason.iter().sum::<f64>() >= refused as f64, "{by_reason:?}");
    let shown = printed(&portcullis(&["status", "--admin", &bench.url()], &[]));
    assert!(shown.contains("\n  ramp: ") && shown.contains(" were refused\n"), "{shown}");

    // Refused by us: no failure of blue's.
    assert_eq!(status["blue"]["failures"], 0, "{status:#}");
}

#[test]
fn a_blue_that_carries_everything_gets_it_at_once() {
    let bench = Bench::new(1_000, "ramp: 60s,");
    let (before, after) = bench.play(Duration::from_secs(3));
    assert_eq!((before.refused, after.refused), (0, 0), "{after:?}");
    let all = bench.green.count();
    let status = bench.proxy.status();
    assert_eq!(
        (&status["ramp"]["limit"], &status["ramp"]["refused"], &status["ramp"]["suffering"]),
        (&Value::Null, &json!(0), &Value::Null)
    );
    assert!(status["ramp"]["left"].as_f64().is_some_and(|left| left > 30.0), "{status:#}");
    let shown = printed(&portcullis(&["status", "--admin", &bench.url()], &[]));
    assert!(shown.contains(" left, blue takes everything\n"), "{shown}");
    assert_eq!(bench.green.count(), all);
}

#[test]
fn what_is_refused_in_a_ramp_is_told_by_503_in_events_and_in_the_report() {
    let bench = Bench::new(FORTY_PERCENT, "ramp: 12s,");
    let crowd = Crowd::of(bench.proxy.listen);
    crowd.send(RATE, Duration::from_secs(3));
    bench.flip();
    std::thread::scope(|scope| {
        scope.spawn(|| crowd.send(RATE, Duration::from_secs(13)));
        let told = bench.events.until("shedding").data;
        let sentence = told["sentence"].as_str().expect("a sentence");
        assert!(
            sentence.starts_with("blue suffers from the traffic that came back to it: half of blue's"),
            "{sentence}"
        );
        assert_eq!((&told["state"], &told["weight"]), (&json!("rolledBack"), &json!(0.0)));
        let mut client = bench.proxy.client();
        let refused = eventually("a refusal", || Some(client.get("/")).filter(|answer| answer.status == 503));
        assert_eq!(refused.head.one("proxy-status"), "portcullis; error=connection_limit_reached");
        assert_eq!(refused.head.one("retry-after"), "1");
        assert!(refused.text().starts_with("the service takes traffic back"), "{}", refused.text());
        // On the same connection.
        let call =
            "POST /shop.Cart/Get HTTP/1.1\r\nHost: test\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n";
        let refused = eventually("a refused call", || {
            let answer = client.send(call).response();
            answer.head.has("grpc-status").then_some(answer)
        });
        assert_eq!((refused.status, refused.head.one("grpc-status").as_str()), (200, "14"), "UNAVAILABLE");
        assert_eq!(refused.head.one("retry-after"), "1");

        let over = bench.events.until("ramped").data;
        let sentence = over["sentence"].as_str().expect("a sentence");
        assert!(sentence.starts_with("blue takes everything again: "), "{sentence}");
    });
    let status = bench.proxy.status();
    assert_eq!((&status["ramp"]["left"], &status["ramp"]["limit"]), (&json!(0.0), &Value::Null));
    let report = printed(&portcullis(&["report", "v2-1", "--admin", &bench.url()], &[]));
    assert!(report.contains("| Refused in the ramp | ") && report.contains(" | shedding | proxy | "), "{report}");
    let replayed = printed(&portcullis(&["replay", "--admin", &bench.url(), "v2-1"], &[]));
    assert!(replayed.ends_with("to the last bit.\n"), "{replayed}");
}
