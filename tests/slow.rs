//! Clients that are slow on purpose, as slowhttptest has them, and those beside them.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::support::{Client, Load, Proxy, Running, Upstream, have};

/// Slow heads, slow bodies, answers that are read slowly, and heads with many ranges. What follows a beginning comes after
/// longer than any deadline of the short form.
const MODES: [(&str, &str, &[&str]); 4] = [
    ("heads", "/", &["-H", "-i", "10"]),
    ("bodies", "/", &["-B", "-i", "10", "-s", "8192"]),
    ("reads", "/large", &["-X", "-n", "10", "-w", "16", "-y", "64", "-z", "5"]),
    ("ranges", "/", &["-R"]),
];

/// More than what waits in sockets on the way to a client that does not read.
const LARGE: usize = 16 * 1024 * 1024;

const PIECE: &[u8] = &[b'a'; 64 * 1024];

/// Answers `/large` with [`LARGE`] bytes and everything else with two.
fn service() -> Upstream {
    Upstream::scripted(|connection| {
        while let Some(request) = connection.request() {
            let length = if request.target == "/large" { LARGE } else { 2 };
            connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"));
            let length = if request.method == "HEAD" { 0 } else { length };
            // Piece by piece: there are many at a time.
            (0..length).step_by(PIECE.len()).all(|at| connection.offer(&PIECE[..PIECE.len().min(length - at)]));
        }
    })
}

fn attack(proxy: SocketAddr, mode: usize, connections: usize) -> Running {
    let (_, path, arguments) = MODES[mode];
    let (url, connections) = (format!("http://{proxy}{path}"), connections.to_string());
    let mut command = Command::new("slowhttptest");
    command.args(arguments).args(["-c", &connections, "-r", &connections, "-l", "600", "-u", &url]);
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it is installed"))
}

#[test]
fn row_49_those_beside_slow_clients_are_all_answered_and_the_slow_ones_are_cut() {
    const SLOW: usize = 100;
    if !have("slowhttptest") {
        return;
    }
    let blue = service();
    let timeouts = "timeouts: { requestHead: 1s, responseHead: 3s, bodyIdle: 1s, keepAlive: 1s }";
    let proxy = Proxy::before_with(&blue, timeouts);
    let load = Load::start(proxy.listen, 4);
    let attacks = [0, 1, 2, 3].map(|mode| attack(proxy.listen, mode, SLOW));
    let reached = |label: &str, least: usize| {
        crate::support::eventually(label, || {
            let requests = proxy.metric("portcullis_requests_total", &[label]);
            (requests >= least as f64).then_some(())
        });
    };
    // A head and a body each.
    reached("code=\"408\"", 2 * SLOW);
    reached("outcome=\"client_cancelled\"", SLOW);
    proxy.until_metric("portcullis_connections", &["side=\"client\""], 4.0);
    load.until_more(100);
    let tally = load.stop();
    assert_eq!((tally.lost, tally.failed), (Vec::<String>::new(), 0));
    drop(attacks);
}

/// Latencies in microseconds of clients that ask at a steady rate, for so long.
fn latencies(proxy: SocketAddr, time: Duration) -> Histogram<u64> {
    let ends = Instant::now() + time;
    let clients: Vec<_> = (0..16)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::connect(proxy);
                let mut seen = Histogram::<u64>::new(3).expect("three digits");
                while Instant::now() < ends {
                    let began = Instant::now();
                    assert_eq!(client.get("/").status, 200);
                    seen.record(began.elapsed().as_micros() as u64).expect("it grows");
                    std::thread::sleep(Duration::from_millis(10));
                }
                seen
            })
        })
        .collect();
    let mut all = Histogram::new(3).expect("three digits");
    clients.into_iter().for_each(|client| all.add(client.join().expect("it was answered")).expect("it grows"));
    all
}

/// On the release build, with nothing else running: `PORTCULLIS_SLOW=2000` is the number of slow clients.
#[test]
fn row_49_those_beside_many_slow_clients_are_answered_in_usual_time() {
    let Some(slow) = crate::support::number("PORTCULLIS_SLOW") else { return };
    assert!(have("slowhttptest"));
    let blue = service();
    let proxy = Proxy::before(&blue);
    let time = Duration::from_secs(20);
    latencies(proxy.listen, time);
    let p99 = |seen: &Histogram<u64>| seen.value_at_quantile(0.99);
    for (mode, (name, ..)) in MODES.iter().enumerate() {
        let without = latencies(proxy.listen, time);
        let attack = attack(proxy.listen, mode, slow as usize);
        let with = latencies(proxy.listen, time);
        let open = proxy.metric("portcullis_connections", &["side=\"client\""]);
        drop(attack);
        let (without, with) = (p99(&without), p99(&with));
        println!("slow {name}: {open} connections at the end, P99 {with} µs, {without} µs without");
        assert!(with <= 2 * without, "slow {name}");
        proxy.until_metric("portcullis_connections", &["side=\"client\""], 0.0);
    }
}
