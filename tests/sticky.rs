//! Clients that stay on one version: by a cookie of theirs or of ours, a header or their address, through every worker, restart
//! and weight.

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
    expected_of(key, percent)
}

fn expected_of(key: fn(usize) -> Vec<u8>, percent: f64) -> Vec<usize> {
    let weight = Weight::from_percent(percent).expect("a weight");
    let lot = |number: &usize| Lot::new(&key(*number), Epoch::default().next());
    (0..KEYS).filter(|number| lot(number).version(weight) == Version::Green).collect()
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

/// How clients are told apart, and how the one of a number shows who it is.
#[expect(clippy::type_complexity, reason = "a table")]
const KINDS: [(&str, fn(usize) -> String, fn(usize) -> Vec<u8>); 4] = [
    ("sticky: { cookie: session }", cookie, key),
    ("sticky: { header: x-user }", |number| format!("X-User: key-{number}\r\n"), key),
    ("sticky: { cookie: session, issue: true }", cookie, key),
    (
        "trustedProxies: [127.0.0.0/8]\nsticky: { address: true }",
        |number| format!("X-Forwarded-For: 192.0.2.1, 10.1.2.{number}\r\n"),
        address,
    ),
];

fn address(number: usize) -> Vec<u8> {
    vec![10, 1, 2, number as u8]
}

fn key(number: usize) -> Vec<u8> {
    format!("key-{number}").into_bytes()
}

#[test]
fn a_client_may_be_known_by_a_header_a_cookie_of_ours_or_its_address() {
    for (rest, field, key) in KINDS {
        let bench = bench(rest);
        bench.proxy.set_weight(20.0);
        assert_eq!(bench.green_keys(field), expected_of(key, 20.0), "{rest}");
    }
}

#[test]
fn an_address_is_the_one_that_a_sender_tells_by_the_proxy_protocol_and_no_field() {
    let bench = bench("proxyProtocol: { from: [127.0.0.0/8] }\nsticky: { address: true }");
    bench.proxy.set_weight(50.0);
    let is_green = |number: &usize| {
        let mut client = bench.proxy.client();
        client.send(format!("PROXY TCP4 10.1.2.{number} 192.0.2.1 1000 80\r\n"));
        ask(&mut client, "X-Forwarded-For: 10.9.9.9\r\n") == "green"
    };
    assert_eq!((0..KEYS).filter(is_green).collect::<Vec<_>>(), expected_of(address, 50.0));
}

#[test]
fn raising_the_weight_moves_clients_to_green_only() {
    for (rest, field, _) in KINDS {
        let bench = bench(rest);
        let mut before = Vec::new();
        for percent in [0.0, 10.0, 25.0, 50.0, 100.0] {
            bench.proxy.set_weight(percent);
            let greens = bench.green_keys(field);
            assert!(before.iter().all(|key| greens.contains(key)), "at {percent} %, {rest}");
            before = greens;
        }
        assert_eq!(before.len(), KEYS);
    }
}

#[test]
fn row_76_a_rollback_ignores_every_key_on_kept_alive_connections() {
    for (rest, field, key) in KINDS {
        let bench = bench(&format!("workers: 2\n{rest}"));
        bench.proxy.set_weight(50.0);
        let mut clients: Vec<(usize, Client)> =
            expected_of(key, 50.0).into_iter().take(20).map(|key| (key, bench.proxy.client())).collect();
        for (key, client) in &mut clients {
            assert_eq!(ask(client, &field(*key)), "green", "{rest}");
        }
        assert_eq!(bench.proxy.post("/v1/release/rollback", &Value::Null).status, 200);
        let reached = bench.green.count();
        for (key, client) in &mut clients {
            assert_eq!(ask(client, &field(*key)), "blue", "{rest}");
        }
        assert_eq!(bench.green.count(), reached, "{rest}");
    }
}

/// The answer to a request with `fields`, and the cookie that it sets.
fn cookie_set(client: &mut Client, fields: &str) -> (String, Option<String>) {
    let answer = client.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n")).response();
    let mut set = answer.head.all("set-cookie");
    assert!(set.len() <= 1, "{set:?}");
    (answer.text(), set.pop())
}

#[test]
fn a_client_gets_one_cookie_of_ours_while_green_has_a_share_and_stays_by_it_where_it_was_drawn() {
    let bench = bench("sticky: { cookie: portcullis, issue: { maxAge: 2h } }");
    let mut client = bench.proxy.client();
    assert_eq!(cookie_set(&mut client, ""), ("blue".to_owned(), None), "no release is open");
    bench.proxy.set_weight(50.0);
    let half = Weight::from_percent(50.0).expect("a weight");
    let mut greens = Vec::new();
    for _ in 0..40 {
        let (version, set) = cookie_set(&mut client, "Cookie: theme=dark; portcullis=\r\n");
        let set = set.expect("a cookie");
        let (pair, rest) = set.split_once("; ").expect("attributes");
        assert_eq!(rest, "Path=/; Max-Age=7200; HttpOnly; SameSite=Lax");
        let id = pair.strip_prefix("portcullis=").expect("the cookie's name");
        assert_eq!(id.len(), 32, "{id}");
        assert_eq!(version, Lot::new(id.as_bytes(), Epoch::default().next()).version(half).name());
        let fields = format!("Cookie: theme=dark; {pair}\r\n");
        assert_eq!(cookie_set(&mut client, &fields), (version.clone(), None), "it has one");
        if version == "green" {
            greens.push(fields);
        }
    }
    assert!((1..40).contains(&greens.len()), "each client is drawn");
    assert_eq!(bench.proxy.post("/v1/release/rollback", &Value::Null).status, 200);
    assert_eq!(cookie_set(&mut client, ""), ("blue".to_owned(), None), "no release is open");
    assert!(greens.iter().all(|fields| cookie_set(&mut client, fields) == ("blue".to_owned(), None)));
}

#[test]
fn a_cookie_of_ours_that_came_by_tls_goes_back_by_nothing_else() {
    let bench = bench("trustedProxies: [127.0.0.0/8]\nsticky: { cookie: portcullis, issue: true }");
    bench.proxy.set_weight(50.0);
    let mut client = bench.proxy.client();
    for (scheme, secure) in [("https", true), ("http", false)] {
        let (_, set) = cookie_set(&mut client, &format!("X-Forwarded-Proto: {scheme}\r\n"));
        assert_eq!(set.expect("a cookie").ends_with("; Secure"), secure, "{scheme}");
    }
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
