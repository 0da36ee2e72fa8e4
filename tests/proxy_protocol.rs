//! The PROXY protocol: whose a connection is, as a sender before the proxy says, and as endpoints behind it are told.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{
    Authority, Client, Connection, DEADLINE, End, Hello, Proxy, Running, Upstream, config, eventually, folder, have,
};

const HEADERS: &str = "portcullis_proxy_protocol_headers_total";
const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Whoever connects from 127.0.0.1 is a sender.
const SENDER: &str = "proxyProtocol: { from: [\"127.0.0.1/32\"] }";

const V1: &str = "PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n";

/// A header of version 2 with the same addresses as [`V1`], and fields behind them.
fn v2(fields: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0x01, 0xbb];
    raw_v2(0x21, 0x11, &[&addresses, fields].concat())
}

fn raw_v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &(rest.len() as u16).to_be_bytes(), rest].concat()
}

/// Blue hears of these clients, one request after the other.
#[track_caller]
fn clients(blue: &Upstream) -> Vec<String> {
    blue.requests().iter().map(|request| request.head.one("x-forwarded-for")).collect()
}

#[track_caller]
fn reload(proxy: &Proxy, text: &str) {
    std::fs::write(proxy.file(), text).expect("the file can be written");
    let response = proxy.post("/v1/config/reload", &Value::Null);
    assert_eq!(response.status, 200, "{}", response.text());
}

#[test]
fn the_client_is_who_the_header_names_whatever_its_version() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, &format!("accessLog: true\n{SENDER}"));
    let six = "PROXY TCP6 2001:db8::1 2001:db8::2 65535 1\r\n".to_owned();
    let fields = v2(b"\x01\0\x02h2\xee\0\0");
    for header in [V1.as_bytes(), &v2(&[]), &fields, six.as_bytes()] {
        let mut client = proxy.client();
        client.send([header, GET.repeat(2).as_bytes()].concat());
        assert_eq!([(); 2].map(|()| client.response().status), [200; 2], "nothing behind the header is lost");
        assert_eq!(client.get("/").status, 200);
    }
    let expected = [["192.0.2.1"; 9].as_slice(), &["2001:db8::1"; 3]].concat();
    assert_eq!(clients(&blue), expected);
    let lines = proxy.until_logged_times("request", 12);
    assert_eq!(lines.iter().map(|line| line["client"].as_str().expect("an address")).collect::<Vec<_>>(), expected);
    proxy.until_metric(HEADERS, &["result=\"success\""], 4.0);
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, SENDER);
    for header in [V1.as_bytes(), &v2(&[0x04, 0x01, 0x00].iter().copied().chain([0; 256]).collect::<Vec<u8>>())] {
        let mut client = proxy.client();
        // Each byte in a segment of its own: the kernel has them one by one, or some together where we are slow.
        header.chunks(1).for_each(|byte| _ = client.send(byte));
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(clients(&blue), ["192.0.2.1"; 2]);
}

#[test]
fn the_header_comes_before_the_handshake_of_tls() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder can be made"));
    let pair = authority.sign(&["localhost"]).write(folder.path(), "first");
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, &format!("tls: {{ certificates: [{pair}] }}\n{SENDER}"));
    for header in [V1.as_bytes(), &v2(&[])] {
        let mut client = proxy.client();
        client.send(header);
        assert_eq!(Hello::new(&authority).on(client).expect("they agree").get("/").status, 200);
    }
    assert_eq!(clients(&blue), ["192.0.2.1"; 2]);
    assert!(Hello::new(&authority).try_connect(&proxy).is_err(), "without a header there is no handshake");
    proxy.until_metric(HEADERS, &["result=\"missing\""], 1.0);
}

#[test]
fn a_header_without_a_client_leaves_the_address_of_the_connection() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, SENDER);
    let unknown = "PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n";
    for header in ["PROXY UNKNOWN\r\n".as_bytes(), unknown.as_bytes(), &raw_v2(0x20, 0, &[]), &raw_v2(0x20, 0x21, b"x")]
    {
        assert_eq!(proxy.client().send(header).get("/").status, 200);
    }
    assert_eq!(clients(&blue), ["127.0.0.1"; 4]);
}

#[test]
fn a_client_that_is_no_sender_is_served_as_it_is_and_can_forge_nothing() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, SENDER);
    assert_eq!(Client::from([127, 0, 0, 2], proxy.listen).get("/").status, 200);
    for header in [V1.as_bytes(), &v2(&[])] {
        let mut client = Client::from([127, 0, 0, 2], proxy.listen);
        assert_eq!(client.send([header, GET.as_bytes()].concat()).response().status, 400);
        client.ends();
    }
    assert_eq!(clients(&blue), ["127.0.0.2"]);
    assert_eq!(proxy.metric(HEADERS, &[]), 0.0);
}

#[test]
fn a_sender_without_a_proper_header_gets_no_answer_and_is_counted() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, SENDER);
    let damaged = v2(&[0x03, 0, 4, 1, 2, 3, 4]);
    let large = raw_v2(0x21, 0x11, &[0; 4081]);
    for (header, result, count) in [
        (GET.as_bytes(), "missing", 1.0),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 4660 65536\r\n", "malformed", 1.0),
        (&raw_v2(0x21, 0x11, &[0; 11]), "malformed", 2.0),
        (&damaged, "malformed", 3.0),
        (format!("PROXY UNKNOWN {}\r\n", "a".repeat(107)).as_bytes(), "too_large", 1.0),
        (&large, "too_large", 2.0),
    ] {
        let mut client = proxy.client();
        // It may be closed before all of it is sent.
        client.offer(header).ok();
        let (answer, _) = client.rest();
        assert_eq!(answer.escape_ascii().to_string(), "", "{}", header.escape_ascii());
        proxy.until_metric(HEADERS, &[&format!("result=\"{result}\"")], count);
    }
    let mut begun = proxy.client();
    begun.send("PROXY TCP4 192.0.2.1").half_close();
    begun.ends();
    proxy.until_metric(HEADERS, &["result=\"malformed\""], 4.0);
    // A look at whether somebody listens says nothing.
    let mut look = proxy.client();
    look.half_close();
    look.ends();
    assert_eq!((blue.connections(), proxy.metric(HEADERS, &[])), (0, 7.0));
    proxy.until_metric("portcullis_connections", &["side=\"client\""], 0.0);
}

#[test]
fn a_header_has_as_much_time_as_a_request_head() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, &format!("timeouts: {{ requestHead: 200ms }}\n{SENDER}"));
    for begun in [&b""[..], b"PRO", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"] {
        proxy.client().send(begun).ends();
    }
    proxy.until_metric(HEADERS, &["result=\"timeout\""], 3.0);
}

#[test]
fn rates_and_trust_go_by_the_client_of_the_header() {
    let blue = Upstream::ok();
    let rest = format!("rateLimit: {{ requests: 1, per: 1h }}\ntrustedProxies: [\"198.51.100.0/24\"]\n{SENDER}");
    let proxy = Proxy::before_with(&blue, &rest);
    let ask = |source: &str| {
        let header = format!("PROXY TCP4 {source} 127.0.0.1 1000 80\r\n");
        let request = GET.replacen("\r\n\r\n", "\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n", 1);
        proxy.client().send(header).send(request).response().status
    };
    assert_eq!(["192.0.2.1", "192.0.2.1", "192.0.2.2"].map(ask), [200, 429, 200]);
    assert_eq!(["198.51.100.1", "198.51.100.2"].map(ask), [200, 429], "both pass on the same client");
    assert_eq!(clients(&blue), ["192.0.2.1", "192.0.2.2", "203.0.113.9, 198.51.100.1"]);
}

#[test]
fn senders_come_and_go_by_a_reload_for_new_connections() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut before = proxy.client();
    assert_eq!(before.get("/").status, 200);
    let text = |rest: &str| config(&[blue.address], &[([127, 0, 0, 1], 1).into()], rest);
    reload(&proxy, &text(SENDER));
    assert_eq!(before.get("/").status, 200);
    assert_eq!(proxy.client().send(V1).get("/").status, 200);
    reload(&proxy, &text(""));
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(clients(&blue), ["127.0.0.1", "127.0.0.1", "192.0.2.1", "127.0.0.1"]);
}

/// What a connection to an endpoint began with, in words.
fn header(connection: &mut Connection) -> Option<String> {
    let mut header = connection.bytes(12);
    if header.starts_with(b"PROXY ") {
        while !header.ends_with(b"\r\n") {
            header.extend(Some(connection.bytes(1)).filter(|byte| !byte.is_empty())?);
        }
        return Some(String::from_utf8(header).expect("text").trim_end().to_owned());
    }
    assert_eq!(header, b"\r\n\r\n\0\r\nQUIT\n");
    let rest = connection.bytes(4);
    let addresses = connection.bytes(usize::from(u16::from_be_bytes([rest[2], rest[3]])));
    Some(match (rest[0], rest[1], &addresses[..]) {
        (0x20, 0, []) => "LOCAL".to_owned(),
        (0x21, 0x11, &[a, b, c, d, e, f, g, h, i, j, k, l]) => {
            let port = |upper, lower| u16::from_be_bytes([upper, lower]);
            format!("{a}.{b}.{c}.{d}:{} {e}.{f}.{g}.{h}:{}", port(i, j), port(k, l))
        }
        other => panic!("{other:?}"),
    })
}

/// Answers each request with the number of its connection, and what that began with.
fn told() -> Upstream {
    Upstream::scripted(|connection| {
        let Some(header) = header(connection) else { return };
        while connection.request().is_some() {
            let body = format!("{} {header}", connection.number);
            connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
        }
    })
}

/// In front of `blue`, which is told by `version`.
fn telling(version: &str, blue: &[SocketAddr], rest: &str) -> String {
    config(blue, &[([127, 0, 0, 1], 1).into()], rest).replacen(
        "version: v1,",
        &format!("version: v1, proxyProtocol: {version},"),
        1,
    )
}

/// What an endpoint is told of this client.
fn expected(version: &str, client: &Client, proxy: &Proxy) -> String {
    let (source, to) = (client.stream.local_addr().expect("connected"), proxy.listen);
    match version {
        "v1" => format!("PROXY TCP4 {} {} {} {}", source.ip(), to.ip(), source.port(), to.port()),
        _ => format!("{source} {to}"),
    }
}

#[test]
fn an_endpoint_is_told_once_a_connection_which_no_other_client_gets() {
    for version in ["v1", "v2"] {
        let blue = told();
        let proxy = Proxy::start(&telling(version, &[blue.address], ""));
        let (mut first, mut second) = (proxy.client(), Client::from([127, 0, 0, 2], proxy.listen));
        for _ in 0..3 {
            for (number, client) in [(0, &mut first), (1, &mut second)] {
                let expected = format!("{number} {}", expected(version, client, &proxy));
                assert_eq!(client.get("/").text(), expected);
            }
        }
        assert_eq!(blue.connections(), 2);
        drop(first);
        assert_eq!(blue.until_ended(0), End::Clean, "it ends with its client");
        assert_eq!(proxy.get("/").text().split(' ').next(), Some("2"));
        assert!(second.get("/").text().starts_with("1 "));
    }
}

#[test]
fn what_a_sender_has_told_is_passed_on() {
    let blue = told();
    let proxy = Proxy::start(&telling("v1", &[blue.address], SENDER));
    for header in [V1.as_bytes(), &v2(&[])] {
        let told = proxy.client().send(header).get("/").text();
        assert_eq!(told.split_once(' ').expect("two words").1, V1.trim_end());
    }
    let mut local = proxy.client();
    local.send("PROXY UNKNOWN\r\n");
    let expected = expected("v1", &local, &proxy);
    assert!(local.get("/").text().ends_with(&expected));
}

#[test]
fn a_request_that_was_lost_on_a_connection_that_rested_is_sent_on_another_of_the_same_client() {
    let blue = Upstream::scripted(|connection| {
        let Some(header) = header(connection) else { return };
        // The first closes as its second request comes.
        let most = if connection.number == 0 { 1 } else { usize::MAX };
        while connection.seen() < most && connection.request().is_some() {
            connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{header}", header.len()));
        }
        connection.head();
    });
    let proxy = Proxy::start(&telling("v2", &[blue.address], ""));
    let mut client = proxy.client();
    let expected = expected("v2", &client, &proxy);
    assert_eq!([(); 3].map(|()| client.get("/").text()), [(); 3].map(|()| expected.clone()));
    assert_eq!(blue.connections(), 2);
}

#[test]
fn checks_tell_an_endpoint_that_they_are_nobodys() {
    for (version, check, expected) in [("v1", "path: /healthz", "PROXY UNKNOWN"), ("v2", "tcp: true", "LOCAL")] {
        let (heard, hears) = std::sync::mpsc::channel();
        let heard = std::sync::Mutex::new(heard);
        let blue = Upstream::scripted(move |connection| {
            let Some(header) = header(connection) else { return };
            // Nobody listens any more once the test has heard one.
            heard.lock().expect("no panic with it").send(header).ok();
            while connection.request().is_some() {
                connection.send(OK);
            }
        });
        let text = telling(version, &[blue.address], "");
        let check = format!("version: v1, healthCheck: {{ {check}, interval: 100ms, timeout: 100ms }},");
        let _proxy = Proxy::start(&text.replacen("version: v1,", &check, 1));
        assert_eq!(hears.recv_timeout(DEADLINE).expect("a check"), expected);
    }
}

#[test]
fn connections_of_clients_to_an_endpoint_that_leaves_are_closed() {
    let (stays, leaves) = (told(), told());
    let proxy = Proxy::start(&telling("v2", &[leaves.address], ""));
    let mut client = proxy.client();
    assert_eq!(client.get("/").status, 200);
    let endpoints = json!({ "endpoints": [stays.address.to_string()] });
    assert_eq!(proxy.call("PUT", "/v1/versions/blue/endpoints", &endpoints).status, 200);
    assert_eq!(leaves.until_ended(0), End::Clean, "while its client is idle");
    assert_eq!(client.get("/").status, 200);
    assert_eq!((stays.connections(), leaves.connections()), (1, 1));
}

#[test]
fn a_connection_does_not_rest_whose_endpoint_has_left_meanwhile() {
    let (go_on, waits) = std::sync::mpsc::channel::<()>();
    let waits = std::sync::Mutex::new(waits);
    let leaves = Upstream::scripted(move |connection| {
        header(connection);
        connection.request();
        waits.lock().expect("one connection").recv().expect("the test goes on");
        connection.send(OK);
        connection.drain();
    });
    let proxy = Proxy::start(&telling("v2", &[leaves.address], ""));
    let mut client = proxy.client();
    client.send(GET);
    leaves.until("the request", |seen| (seen.first()?.requests.len() == 1).then_some(()));
    assert_eq!(proxy.call("PUT", "/v1/versions/blue/endpoints", &json!({ "endpoints": ["127.0.0.1:1"] })).status, 200);
    go_on.send(()).expect("it waits");
    assert_eq!(client.response().status, 200);
    assert_eq!(leaves.until_ended(0), End::Clean);
}

#[test]
fn to_tell_endpoints_comes_and_goes_by_a_reload_also_for_clients_that_were_there_before() {
    let blue = Upstream::scripted(|connection| {
        // The second connection of all begins with a header.
        let header = if connection.number == 1 { header(connection) } else { Some("none".to_owned()) };
        let Some(header) = header else { return };
        while connection.request().is_some() {
            connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{header}", header.len()));
        }
    });
    let plain = config(&[blue.address], &[([127, 0, 0, 1], 1).into()], "");
    let proxy = Proxy::start(&plain);
    let mut client = proxy.client();
    assert_eq!(client.get("/").text(), "none");
    reload(&proxy, &telling("v2", &[blue.address], ""));
    let expected = expected("v2", &client, &proxy);
    assert_eq!(client.get("/").text(), expected, "not on the connection of before");
    reload(&proxy, &plain);
    assert_eq!(client.get("/").text(), "none");
    proxy.until_logged_times("configuration loaded", 2);
}

#[test]
fn each_version_is_told_by_its_own_word_also_when_green_has_become_blue() {
    let (blue, green) = (told(), told());
    let text = config(&[blue.address], &[green.address], "release: { steps: [{ weight: 50%, bake: 1h }] }")
        .replacen("version: v1,", "version: v1, proxyProtocol: v1,", 1)
        .replacen("version: v2,", "version: v2, proxyProtocol: v2,", 1);
    let proxy = Proxy::start(&text);
    let mut client = proxy.client();
    let lines = ["v1", "v2"].map(|version| format!("0 {}", expected(version, &client, &proxy)));
    assert_eq!(client.get("/").text(), lines[0]);
    for (change, state) in [("", "stepping"), ("/promote", "promoted"), ("/promote", "completed")] {
        let answer = proxy.post(&format!("/v1/release{change}"), &json!({ "reason": "a test" }));
        assert_eq!((answer.status, proxy.status()["state"].as_str()), (200, Some(state)), "{}", answer.text());
    }
    assert_eq!(client.get("/").text(), lines[1]);
}

#[test]
fn haproxy_in_front_says_who_its_clients_are() {
    if !have("haproxy") {
        return;
    }
    let folder = folder();
    for (send, version) in [("send-proxy", ""), ("send-proxy-v2", "proxy-v2-options crc32c,unique-id")] {
        let blue = Upstream::ok();
        let proxy = Proxy::before_with(&blue, SENDER);
        let file = folder.path().join("haproxy.cfg");
        let text = format!(
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n\
             frontend in\n  bind fd@0\n  unique-id-format %ci:%cp\n  default_backend out\n\
             backend out\n  server s {} {send} {version} check inter 100ms\n",
            proxy.listen
        );
        std::fs::write(&file, text).expect("the folder is writable");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let haproxy = Command::new("haproxy").args(["-db", "-f"]).arg(&file).stdin(OwnedFd::from(listener)).spawn();
        let _haproxy = Running(haproxy.expect("it is installed"));
        for source in [[127, 0, 0, 5], [127, 0, 0, 6]] {
            assert_eq!(Client::from(source, address).get("/").status, 200);
        }
        assert_eq!(clients(&blue), ["127.0.0.5", "127.0.0.6"]);
        proxy.until_metric(HEADERS, &["result=\"malformed\""], 0.0);
    }
}

#[test]
fn nginx_behind_hears_who_its_clients_are() {
    if !have("nginx") {
        return;
    }
    let folder = folder();
    let nginx = nginx(folder.path());
    for version in ["v1", "v2"] {
        let text = telling(version, &[], "").replacen(
            "endpoints: []",
            &format!(
                "endpoints: [\"unix:{}/nginx\"], healthCheck: {{ path: /, interval: 100ms }}",
                folder.path().display()
            ),
            1,
        );
        let proxy = Proxy::start(&text);
        let mut clients = [[127, 0, 0, 5], [127, 0, 0, 6]].map(|source| Client::from(source, proxy.listen));
        for _ in 0..2 {
            let told = clients.each_mut().map(|client| client.get("/").text());
            let to = proxy.listen.port();
            assert_eq!(told, [5, 6].map(|last| format!("127.0.0.{last} at 127.0.0.1:{to}")));
        }
        assert_eq!(proxy.status()["blue"]["healthyEndpoints"], 1);
    }
    drop(nginx);
}

/// Answers with whom it was told of, at a socket in `folder`.
fn nginx(folder: &Path) -> Running {
    let file = folder.join("nginx.conf");
    let at = folder.display();
    let text = format!(
        "daemon off; master_process off; pid {at}/pid; error_log stderr;\nevents {{}}\n\
         http {{\n  access_log off;\n  server {{\n    listen unix:{at}/nginx proxy_protocol;\n\
         location / {{ return 200 \"$proxy_protocol_addr at $proxy_protocol_server_addr:$proxy_protocol_server_port\"; }}\n\
         }}\n}}\n"
    );
    std::fs::write(&file, text).expect("the folder is writable");
    let nginx = Command::new("nginx").args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(&file).spawn();
    let nginx = Running(nginx.expect("it is installed"));
    eventually("nginx to listen", || std::os::unix::net::UnixStream::connect(folder.join("nginx")).ok());
    nginx
}
