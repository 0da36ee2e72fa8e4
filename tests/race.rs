//! Names with addresses of both families, one of which swallows what is sent to it (RFC 8305).

use std::net::{Ipv6Addr, SocketAddr};

use crate::support::upstream::{refusing, unreachable_at};
use crate::support::{NameServer, Proxy, Upstream, eventually};

const NAME: &str = "shop.test";

fn text(names: &NameServer, port: u16, connect: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\nworkers: 1\n\
         resolver: {{ nameservers: [\"{}\"] }}\ntimeouts: {{ connect: {connect} }}\n\
         blue: {{ version: v1, endpoints: [\"{NAME}:{port}\"] }}\ngreen: {{ version: v2, endpoints: [] }}\n",
        names.address
    )
}

/// Blue answers by IPv4; nobody accepts by IPv6.
struct Both {
    blue: Upstream,
    v6: SocketAddr,
    socket: Option<socket2::Socket>,
    _queued: std::net::TcpStream,
    names: NameServer,
}

impl Both {
    fn new() -> Both {
        let blue = Upstream::ok();
        let at = SocketAddr::from((Ipv6Addr::LOCALHOST, blue.address.port()));
        let (v6, socket, _queued) = unreachable_at(at);
        let names = NameServer::knowing(NAME, &[v6.ip(), blue.address.ip()]);
        Both { blue, v6, socket: Some(socket), _queued, names }
    }

    fn proxy(&self, connect: &str) -> Proxy {
        let text = text(&self.names, self.v6.port(), connect);
        let proxy = Proxy::start_logging(&text, "info,portcullis=debug");
        proxy.until(|status| status["blue"]["endpoints"] == 2);
        proxy
    }
}

/// Asks until an attempt has been overtaken, and says how many requests that took.
#[track_caller]
fn until_overtaken(proxy: &Proxy) -> u64 {
    let mut requests = 0;
    eventually("an attempt that is overtaken", || {
        requests += 1;
        assert_eq!(proxy.get("/").status, 200);
        proxy.logged("connection attempt overtaken").into_iter().next()
    });
    requests
}

#[test]
fn row_47_where_one_family_of_a_name_hangs_the_other_serves_without_waiting_for_it_and_nothing_is_charged() {
    let both = Both::new();
    // Longer than a client of this test waits for anything.
    let proxy = both.proxy("60s");
    let requests = until_overtaken(&proxy);
    let line = &proxy.logged("connection attempt overtaken")[0];
    assert_eq!(line["endpoint"], format!("{NAME}:{} (::1)", both.v6.port()));
    assert_eq!(line["by"], format!("{NAME}:{} (127.0.0.1)", both.v6.port()));
    assert_eq!(both.blue.count() as u64, requests);
    proxy.until_charged(requests, 0);
    assert_eq!(proxy.status()["blue"]["healthyEndpoints"], 2, "what may still come to be is no failure");
}

#[test]
fn row_47_an_address_whose_attempts_were_overtaken_and_failed_is_ejected_and_the_version_is_not_charged() {
    let both = Both::new();
    let proxy = both.proxy("400ms");
    let mut requests = 0;
    let ejected = eventually("the ejection", || {
        requests += 1;
        assert_eq!(proxy.get("/").status, 200);
        proxy.logged("endpoint ejected").into_iter().next()
    });
    assert_eq!(ejected["endpoint"], format!("{NAME}:{} (::1)", both.v6.port()));
    proxy.until_charged(requests, 0);
}

#[test]
fn row_47_a_connection_whose_attempt_was_overtaken_rests_and_serves_later() {
    let mut both = Both::new();
    let proxy = both.proxy("60s");
    until_overtaken(&proxy);
    let listener = both.socket.take().expect("nobody took it").into();
    let v6 = Upstream::listening(listener, |connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nv6");
        }
    });
    let overtaken = proxy.logged("connection attempt overtaken").len();
    let connections = (both.blue.connections() + overtaken) as f64;
    proxy.until_metric("portcullis_connections", &["side=\"upstream\""], connections);
    // With the one that filled the queue.
    let connections = overtaken + 1;
    v6.until("all of them", |seen| (seen.len() == connections).then_some(()));
    eventually("a request there", || (proxy.get("/").text() == "v6").then_some(()));
    assert_eq!(v6.connections(), connections, "no other was made for it");
}

#[test]
fn row_47_where_one_family_of_a_name_hangs_and_the_other_refuses_the_answer_is_504_and_charged_once() {
    let (v4, _refusing) = refusing();
    let (v6, _socket, _queued) = unreachable_at(SocketAddr::from((Ipv6Addr::LOCALHOST, v4.port())));
    let names = NameServer::knowing(NAME, &[v6.ip(), v4.ip()]);
    let proxy = Proxy::start(&text(&names, v4.port(), "300ms"));
    proxy.until(|status| status["blue"]["endpoints"] == 2);
    for _ in 0..4 {
        assert_eq!(proxy.get("/").status, 504);
    }
    proxy.until_outcome("timeout", 4);
    proxy.until_charged(4, 4);
}
