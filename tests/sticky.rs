//! Clients that stay on one version: by a cookie or a header, through every worker, restart and weight.

use portcullis::gate::Version;
use portcullis::proxy::Lot;
use portcullis::release::{Epoch, Weight};
use serde_json::Value;

use crate::support::{Client, Proxy, Upstream, config};

const KEYS: usize = 200;

struct Bench {
    blue: Upstream,
    green: Upstream,
    proxy: Proxy,
}

fn bench(rest: &str) -> Bench {
    let version =
        |name: &str| Upstream::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len()));
    let (blue, green) = (version("blue"), version("green"));
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], rest));
    Bench { blue, green, proxy }
}

impl Bench {
    /// Which of the keys green serves, each on a connection of its own, so that the kernel spreads them over the workers.
    fn green_keys(&self, field: impl Fn(usize) -> String) -> Vec<usize> {
        (0..KEYS).filter(|key| ask(&mut self.proxy.client(), &field(*key)) == "green").collect()
    }
}

fn ask(client: &mut Client, field: &str) -> String {
    client.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{field}\r\n")).response().text()
}

fn cookie(key: usize) -> String {
    format!("Cookie: theme=dark; session=key-{key}\r\n")
}

/// Those of the keys that green must serve in the first epoch.
fn expected(percent: f64) -> Vec<usize> {
    let weight = Weight::from_percent(percent).expect("a weight");
    let lot = |key: &usize| Lot::new(format!("key-{key}").as_bytes(), Epoch::default().next());
    (0..KEYS).filter(|key| lot(key).version(weight) == Version::Green).collect()
}

#[test]
fn a_client_stays_on_its_version_on_every_worker_and_connection_and_after_a_restart() {
    let rest = "workers: 2\nsticky: { cookie: session }";
    let first = bench(rest);
    first.proxy.set_weight(50.0);
    assert_eq!(first.green_keys(cookie), expected(50.0));
    assert_eq!(first.green_keys(cookie), expected(50.0));
    let restarted = bench(rest);
    restarted.proxy.set_weight(50.0);
    assert_eq!(restarted.green_keys(cookie), expected(50.0));
}

#[test]
fn a_client_may_be_known_by_a_header() {
    let bench = bench("sticky: { header: x-user }");
    bench.proxy.set_weight(20.0);
    assert_eq!(bench.green_keys(|key| format!("X-User: key-{key}\r\n")), expected(20.0));
}

#[test]
fn raising_the_weight_moves_clients_to_green_only() {
    let bench = bench("sticky: { cookie: session }");
    let mut before = Vec::new();
    for percent in [0.0, 10.0, 25.0, 50.0, 100.0] {
        bench.proxy.set_weight(percent);
        let greens = bench.green_keys(cookie);
        assert!(before.iter().all(|key| greens.contains(key)), "at {percent} %");
        before = greens;
    }
    assert_eq!(before.len(), KEYS);
}

#[test]
fn row_76_a_rollback_ignores_every_key_on_kept_alive_connections() {
    let bench = bench("workers: 2\nsticky: { cookie: session }");
    bench.proxy.set_weight(50.0);
    let mut clients: Vec<(usize, Client)> =
        expected(50.0).into_iter().take(20).map(|key| (key, bench.proxy.client())).collect();
    for (key, client) in &mut clients {
        assert_eq!(ask(client, &cookie(*key)), "green");
    }
    assert_eq!(bench.proxy.post("/v1/release/rollback", &Value::Null).status, 200);
    let reached = bench.green.count();
    for (key, client) in &mut clients {
        assert_eq!(ask(client, &cookie(*key)), "blue");
    }
    assert_eq!(bench.green.count(), reached);
}

#[test]
fn a_request_without_the_key_is_drawn_by_itself_and_the_share_of_those_is_exact() {
    let bench = bench("sticky: { cookie: session }");
    bench.proxy.set_weight(25.0);
    let mut client = bench.proxy.client();
    for number in 0..400 {
        let field = if number % 2 == 0 { "" } else { "Cookie: theme=dark\r\n" };
        ask(&mut client, field);
    }
    assert_eq!((bench.blue.count(), bench.green.count()), (300, 100));
}
