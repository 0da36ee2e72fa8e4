//! Endpoints that are names: one per address, followed as the name server says. Nothing of it loses a request.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::names::TIME_TO_LIVE;
use crate::support::{Answers, Backend, Load, NameServer, Proxy, eventually, folder};

const NAME: &str = "shop.test";
const V6: &str = "::1";

/// How soon what the name server says has to hold.
const SOON: Duration = Duration::from_secs(TIME_TO_LIVE as u64 + 1);

/// Backends at several addresses of loopback, with one port.
struct Fleet(Vec<Backend>);

impl Fleet {
    /// At 127.0.0.1, 127.0.0.2 and so on.
    fn of(count: u8) -> Fleet {
        let first = Backend::answering(200);
        let port = first.address.port();
        let others = (2..=count).map(|last| Backend::at(SocketAddr::from(([127, 0, 0, last], port)), 200));
        Fleet([first].into_iter().chain(others).collect())
    }

    fn port(&self) -> u16 {
        self.0[0].address.port()
    }

    fn ip(&self, index: usize) -> IpAddr {
        self.0[index].address.ip()
    }

    fn ips(&self, some: &[usize]) -> Vec<IpAddr> {
        some.iter().map(|index| self.ip(*index)).collect()
    }
}

fn config(names: &NameServer, port: u16, rest: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\nworkers: 2\nresolver: {{ nameservers: [\"{}\"] }}\n\
         blue: {{ version: v1, endpoints: [\"{NAME}:{port}\"] }}\ngreen: {{ version: v2, endpoints: [] }}\n{rest}\n",
        names.address
    )
}

fn endpoints(proxy: &Proxy) -> (Value, Value) {
    let status = proxy.status();
    (status["blue"]["healthyEndpoints"].clone(), status["blue"]["endpoints"].clone())
}

/// Waits until so many addresses are known. A start waits for them for two seconds, which a loaded machine may take.
#[track_caller]
fn until_known(proxy: &Proxy, count: usize) {
    proxy.until(|status| status["blue"]["healthyEndpoints"] == count);
}

/// Waits until blue has so many endpoints.
#[track_caller]
fn until_endpoints(proxy: &Proxy, count: usize) {
    proxy.until(|status| status["blue"]["endpoints"] == count);
}

#[test]
fn row_47_addresses_that_come_and_go_are_followed_within_a_second_of_their_time_to_live_and_nothing_is_lost() {
    let fleet = Fleet::of(3);
    let names = NameServer::knowing(NAME, &fleet.ips(&[0, 1]));
    let proxy = Proxy::start(&config(&names, fleet.port(), ""));
    until_known(&proxy, 2);
    let load = Load::start(proxy.listen, 4);
    load.until_more(100);
    assert!(fleet.0[0].count() > 0 && fleet.0[1].count() > 0);

    let mut took = Vec::new();
    for some in [vec![0, 1, 2], vec![1, 2], vec![0], vec![2, 1, 0], vec![2, 0]] {
        let changed = Instant::now();
        names.set(NAME, &fleet.ips(&some));
        until_endpoints(&proxy, some.len());
        took.push(changed.elapsed());
        load.until_more(50);
    }
    // One may have met a machine that stood still.
    took.sort();
    assert!(took[took.len() / 2] <= SOON, "{took:?}");
    load.mark();
    load.until_late(200);
    assert_eq!(fleet.0[1].late(), 0, "an address that has gone gets nothing");
    assert!(fleet.0[0].late() > 0 && fleet.0[2].late() > 0);
    let tally = load.stop();
    assert_eq!((tally.failed, tally.lost), (0, vec![]));
    proxy.until(|status| status["blue"]["failures"] == 0);
}

#[test]
fn row_92_when_a_name_stops_resolving_the_last_known_addresses_stay_and_it_is_said_once() {
    let fleet = Fleet::of(2);
    std::thread::scope(|scope| {
        for answers in [Answers::Failing, Answers::Unknown, Answers::Empty] {
            let fleet = &fleet;
            scope.spawn(move || stops_resolving(fleet, answers));
        }
    });
}

fn stops_resolving(fleet: &Fleet, answers: Answers) {
    let names = NameServer::knowing(NAME, &fleet.ips(&[0, 1]));
    let proxy = Proxy::start(&config(&names, fleet.port(), ""));
    until_known(&proxy, 2);
    let load = Load::start(proxy.listen, 2);
    names.answer(answers);
    let line = proxy.until_logged("name not resolved");
    assert_eq!((&line["name"], &line["kept"]), (&json!(NAME), &json!("127.0.0.1, 127.0.0.2")), "{answers:?}");
    let asked = names.asked();
    load.until_more(50);
    // For each family once, or three times where that fails. When there is one question more another lookup has ended.
    let of_a_lookup = if answers == Answers::Failing { 6 } else { 2 };
    eventually("more lookups", || (names.asked() > asked + of_a_lookup).then_some(()));
    assert_eq!(endpoints(&proxy), (json!(2), json!(2)), "{answers:?}");
    assert_eq!(proxy.logged("name not resolved").len(), 1, "{answers:?}");

    names.set(NAME, &fleet.ips(&[1]));
    names.answer(Answers::Known);
    until_endpoints(&proxy, 1);
    let tally = load.stop();
    assert_eq!((tally.failed, tally.lost), (0, vec![]), "{answers:?}");
}

#[test]
fn row_92_when_the_name_server_is_silent_the_last_known_addresses_stay_and_it_is_followed_when_it_is_back() {
    let fleet = Fleet::of(2);
    let names = NameServer::knowing(NAME, &fleet.ips(&[0]));
    let proxy = Proxy::start(&config(&names, fleet.port(), ""));
    until_known(&proxy, 1);
    names.answer(Answers::Nothing);
    proxy.until_logged("name not resolved");
    assert_eq!((endpoints(&proxy), proxy.get("/").status), ((json!(1), json!(1)), 200));
    names.set(NAME, &fleet.ips(&[0, 1]));
    names.answer(Answers::Known);
    proxy.until(|status| status["blue"]["endpoints"] == 2);
}

#[test]
fn a_name_that_does_not_resolve_at_the_start_is_said_and_serves_from_when_it_does() {
    let fleet = Fleet::of(1);
    let names = NameServer::knowing(NAME, &fleet.ips(&[0]));
    names.answer(Answers::Unknown);
    let proxy = Proxy::start(&config(&names, fleet.port(), ""));
    let line = proxy.until_logged("name not resolved");
    assert_eq!((&line["level"], &line["kept"]), (&json!("WARN"), &json!("none")));
    assert_eq!(endpoints(&proxy), (json!(0), json!(1)));
    let response = proxy.get("/");
    assert_eq!((response.status, response.head.one("retry-after").as_str()), (503, "1"));
    names.answer(Answers::Known);
    proxy.until(|status| status["blue"]["healthyEndpoints"] == 1);
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn a_proxy_whose_name_server_is_silent_serves_by_its_other_endpoints() {
    let fleet = Fleet::of(1);
    let names = NameServer::knowing(NAME, &[]);
    names.answer(Answers::Nothing);
    let list = format!("endpoints: [\"{}\", \"{NAME}:1\"]", fleet.0[0].address);
    let text = config(&names, 1, "").replacen(&format!("endpoints: [\"{NAME}:1\"]"), &list, 1);
    let proxy = Proxy::start(&text);
    assert_eq!((proxy.get("/").status, endpoints(&proxy)), (200, (json!(1), json!(2))));
}

#[test]
fn row_47_a_name_with_a_dead_ipv6_address_and_a_live_ipv4_address_serves_and_nothing_is_charged() {
    let fleet = Fleet::of(1);
    let names = NameServer::knowing(NAME, &[V6.parse().expect("an address"), fleet.ip(0)]);
    let proxy = Proxy::start(&config(&names, fleet.port(), ""));
    until_endpoints(&proxy, 2);
    let mut client = proxy.client();
    (0..100).for_each(|number| assert_eq!(client.get("/").status, 200, "{number}"));
    proxy.until(|status| status["blue"]["healthyEndpoints"] == 1);
    proxy.until_charged(100, 0);
    let ejected = proxy.until_logged("endpoint ejected");
    assert_eq!(ejected["endpoint"], format!("{NAME}:{} ({V6})", fleet.port()));
}

#[test]
fn when_the_lookup_of_one_address_family_fails_its_addresses_stay() {
    let fleet = Fleet::of(2);
    let v6 = V6.parse().expect("an address");
    let names = NameServer::knowing(NAME, &[v6, fleet.ip(0)]);
    let proxy = Proxy::start(&config(&names, fleet.port(), ""));
    until_endpoints(&proxy, 2);
    names.answer(Answers::KnownOnlyIpv4);
    names.set(NAME, &[v6, fleet.ip(0), fleet.ip(1)]);
    until_endpoints(&proxy, 3);
    names.set(NAME, &[fleet.ip(0)]);
    until_endpoints(&proxy, 2);
    names.answer(Answers::Known);
    until_endpoints(&proxy, 1);
}

#[test]
fn an_endpoint_that_is_a_name_is_shown_with_its_address_and_sent_as_the_host() {
    let upstream = crate::support::Upstream::ok();
    let port = upstream.address.port();
    let names = NameServer::knowing(NAME, &[upstream.address.ip()]);
    let proxy = Proxy::start(&config(&names, port, ""));
    until_known(&proxy, 1);
    assert_eq!(proxy.client().send("GET / HTTP/1.0\r\n\r\n").response().status, 200);
    assert_eq!(upstream.only_request().head.one("host"), format!("{NAME}:{port}"));
    let endpoint = format!("endpoint=\"{NAME}:{port} (127.0.0.1)\"");
    proxy.until_metric("portcullis_endpoint_healthy", &["version=\"blue\"", &endpoint], 1.0);
}

#[test]
fn endpoints_that_are_named_while_it_runs_are_known_when_that_is_answered_and_the_journal_has_the_names() {
    let fleet = Fleet::of(3);
    let names = NameServer::knowing(NAME, &fleet.ips(&[0]));
    names.set("other.test", &fleet.ips(&[1, 2]));
    let (data, text) = (folder(), config(&names, fleet.port(), ""));
    let mut proxy = Proxy::start_in(data.path(), &text);
    until_known(&proxy, 1);
    let other = format!("other.test:{}", fleet.port());
    let load = Load::start(proxy.listen, 2);
    let path = "/v1/versions/blue/endpoints";
    let answer = proxy.call("PUT", path, &json!({ "endpoints": [other] }));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(endpoints(&proxy), (json!(2), json!(2)));
    load.until_more(20);
    names.set("other.test", &fleet.ips(&[2]));
    until_endpoints(&proxy, 1);
    let tally = load.stop();
    assert_eq!((tally.failed, tally.lost), (0, vec![]));

    let named = json!({ "green": { "version": "v3", "endpoints": [format!("{NAME}:{}", fleet.port())] } });
    let answer = proxy.post("/v1/release", &named);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(proxy.status()["green"]["healthyEndpoints"], 1);

    proxy.crash();
    let proxy = Proxy::start_in(data.path(), &text);
    until_known(&proxy, 1);
    let status = proxy.until(|status| status["difference"].is_string());
    let difference = status["difference"].as_str().expect("that was waited for");
    assert!(difference.starts_with(&format!("blue is v1 at [{other}]")), "{difference}");
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn another_name_server_holds_from_a_reload_on() {
    let fleet = Fleet::of(2);
    let (first, second) = (NameServer::knowing(NAME, &fleet.ips(&[0])), NameServer::knowing(NAME, &fleet.ips(&[0, 1])));
    let proxy = Proxy::start(&config(&first, fleet.port(), ""));
    std::fs::write(proxy.file(), config(&second, fleet.port(), "")).expect("the target folder can be written");
    assert_eq!(proxy.post("/v1/config/reload", &Value::Null).status, 200);
    proxy.until(|status| status["blue"]["endpoints"] == 2);
}
