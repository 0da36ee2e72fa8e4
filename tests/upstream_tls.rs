//! TLS between us and the endpoints.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::support::tls_upstream::ok;
use crate::support::{
    Authority, Backend, Cut, DEADLINE, Http2Upstream, NameServer, Proxy, Shows, Signed, TlsConnection, TlsUpstream,
    Upstream, config, eventually, portcullis, refused,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";
const UPGRADE: &str =
    "GET /socket HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// An authority, a certificate of its for this host, and a folder with `ca.pem`.
struct Lab {
    authority: Authority,
    signed: Signed,
    folder: TempDir,
}

impl Lab {
    fn new() -> Lab {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder can be made"));
        let lab = Lab { signed: authority.sign(&["127.0.0.1"]), authority, folder };
        lab.trust(&lab.authority);
        lab
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Makes it the authority that is trusted.
    fn trust(&self, authority: &Authority) {
        fs::write(self.ca(), &authority.pem).expect("the folder is writable");
    }

    fn shows(&self) -> Shows<'_> {
        Shows::new(&self.signed)
    }

    fn ok(&self) -> TlsUpstream {
        TlsUpstream::ok(&self.shows())
    }

    fn scripted(&self, script: impl Fn(&mut TlsConnection) + Send + Sync + 'static) -> TlsUpstream {
        TlsUpstream::scripted(&self.shows(), script)
    }

    /// One worker in front of blue at `endpoint`; `tls` is more of its section.
    fn text(&self, endpoint: &str, tls: &str, rest: &str) -> String {
        let blue = format!("endpoints: [\"{endpoint}\"], tls: {{ ca: {}, {tls} }}", self.ca().display());
        config(&[], &[], rest).replacen("endpoints: []", &blue, 1)
    }

    fn before(&self, blue: &TlsUpstream) -> Proxy {
        Proxy::start(&self.text(&blue.url(), "", ""))
    }
}

/// What one GET came to: the status, the type of the error, and the reason in the access log.
fn failure(proxy: &Proxy) -> (u16, String, String) {
    let response = proxy.get("/");
    let reason = proxy.until_logged("request")["reason"].as_str().unwrap_or_default().to_owned();
    (response.status, response.head.one("proxy-status").replace("portcullis; error=", ""), reason)
}

#[test]
fn requests_to_an_endpoint_by_https_go_over_one_connection_with_either_version() {
    let lab = Lab::new();
    for versions in [&[&TLS12], &[&TLS13]] {
        let blue = TlsUpstream::ok(&Shows { versions, ..lab.shows() });
        let proxy = lab.before(&blue);
        let mut client = proxy.client();
        for number in 0..20 {
            assert_eq!(client.get(&format!("/{number}")).text(), format!("GET /{number}"));
            assert_eq!(client.send(POST).response().text(), "POST /");
        }
        assert_eq!((blue.requests().len(), blue.connections()), (40, 1));
        assert_eq!(blue.shaken()[0].name, None, "an address is not told");
        assert_eq!(proxy.client().send("GET / HTTP/1.0\r\n\r\n").response().status, 200);
        let hosts = [0, 40].map(|index| blue.requests()[index].head.one("host"));
        assert_eq!(hosts, ["test".to_owned(), blue.address.to_string()]);
        let endpoint = format!("endpoint=\"{}\"", blue.url());
        proxy.until_metric("portcullis_endpoint_healthy", &["version=\"blue\"", &endpoint], 1.0);
        proxy.until_charged(41, 0);
    }
}

#[test]
fn the_certificate_is_for_the_host_of_the_endpoint_or_for_the_server_name() {
    let lab = Lab::new();
    let signed = lab.authority.sign(&["shop.test"]);
    let blue = TlsUpstream::ok(&Shows::new(&signed));
    let names = NameServer::knowing("shop.test", &[IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    let resolver = format!("resolver: {{ nameservers: [\"{}\"] }}", names.address);
    let by_name = format!("https://shop.test:{}", blue.address.port());
    for (endpoint, tls) in [(by_name, ""), (blue.url(), "serverName: shop.test")] {
        let proxy = Proxy::start(&lab.text(&endpoint, tls, &resolver));
        proxy.until(|status| status["blue"]["healthyEndpoints"] == 1);
        assert_eq!(proxy.get("/").status, 200, "{endpoint}");
    }
    let told: Vec<_> = blue.shaken().into_iter().map(|shaken| shaken.name).collect();
    assert_eq!(told, [(); 2].map(|()| Some("shop.test".to_owned())));
}

#[test]
fn row_57_a_certificate_that_is_not_good_is_502_and_charged() {
    let lab = Lab::new();
    let (expired, foreign) = (lab.authority.sign_until(&["127.0.0.1"], 2020), Authority::new().sign(&["127.0.0.1"]));
    let other = lab.authority.sign(&["shop.test"]);
    for (signed, tls) in [(&expired, ""), (&foreign, ""), (&other, ""), (&lab.signed, "serverName: shop.test")] {
        let blue = TlsUpstream::ok(&Shows::new(signed));
        let proxy = Proxy::start(&lab.text(&blue.url(), tls, "accessLog: true"));
        let expected = (502, "tls_certificate_error".to_owned(), "connect_tls_certificate".to_owned());
        assert_eq!(failure(&proxy), expected);
        proxy.until_outcome("connect_error", 1);
        proxy.until_charged(1, 1);
        assert!(blue.requests().is_empty());
    }
}

#[test]
fn an_endpoint_that_speaks_no_tls_or_ends_within_the_handshake_is_502_and_charged() {
    let lab = Lab::new();
    for answer in ["HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", ""] {
        let blue = Upstream::scripted(move |connection| {
            connection.bytes(1);
            connection.send(answer);
        });
        let proxy = Proxy::start(&lab.text(&format!("https://{}", blue.address), "", "accessLog: true"));
        assert_eq!(failure(&proxy), (502, "tls_protocol_error".to_owned(), "connect_tls_failed".to_owned()));
        proxy.until_outcome("connect_error", 1);
        proxy.until_charged(1, 1);
    }
}

#[test]
fn row_39_a_handshake_that_stalls_is_504_after_the_time_for_a_connection() {
    let lab = Lab::new();
    let blue = Upstream::scripted(|connection| connection.drain());
    let rest = "accessLog: true\ntimeouts: { connect: 100ms }";
    let proxy = Proxy::start(&lab.text(&format!("https://{}", blue.address), "", rest));
    assert_eq!(failure(&proxy), (504, "connection_timeout".to_owned(), "connect_timeout".to_owned()));
    proxy.until_outcome("timeout", 1);
    proxy.until_charged(1, 1);
}

#[test]
fn an_endpoint_that_asks_for_a_certificate_is_shown_the_one_of_its_version() {
    let lab = Lab::new();
    let ours = lab.authority.sign(&["portcullis"]);
    let pair = ours.write(lab.folder.path(), "ours").replace(['{', '}'], "");
    let blue = TlsUpstream::ok(&Shows { clients: Some(&lab.authority), ..lab.shows() });
    let proxy = Proxy::start(&lab.text(&blue.url(), &pair, ""));
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(blue.shaken()[0].client.as_deref(), Some(&*ours.der()));
    // In TLS 1.2 the handshake ends with it; in 1.3 the endpoint says so when it has ended for us.
    blue.show(&Shows { clients: Some(&Authority::new()), versions: &[&TLS12], ..lab.shows() });
    let proxy = Proxy::start(&lab.text(&blue.url(), &pair, "accessLog: true"));
    assert_eq!(failure(&proxy), (502, "tls_alert_received".to_owned(), "connect_tls_alert".to_owned()));
    blue.show(&Shows { clients: Some(&lab.authority), versions: &[&TLS13], ..lab.shows() });
    let proxy = Proxy::start(&lab.text(&blue.url(), "", "accessLog: true"));
    assert_eq!(failure(&proxy), (502, "connection_terminated".to_owned(), "response_lost".to_owned()));
}

#[test]
fn what_the_system_trusts_is_good_where_no_authority_is_named() {
    let lab = Lab::new();
    let blue = lab.ok();
    let text = config(&[], &[], "").replacen("endpoints: []", &format!("endpoints: [\"{}\"]", blue.url()), 1);
    let data = tempfile::tempdir().expect("a folder can be made");
    let system = format!("SSL_CERT_FILE={}", lab.ca().display());
    let proxy = Proxy::start_by(&["env", "-u", "SSL_CERT_DIR", &system], data.path(), &text);
    assert_eq!(proxy.get("/").status, 200);
    let none = lab.folder.path().join("none.pem");
    let config = lab.folder.path().join("portcullis.yaml");
    fs::write(&none, "").and_then(|()| fs::write(&config, &text)).expect("the folder is writable");
    let path = config.to_str().expect("a folder of ours");
    let none = none.to_str().expect("a folder of ours");
    let said = refused(&portcullis(&["check", path], &[("SSL_CERT_FILE", none), ("SSL_CERT_DIR", none)]), 1);
    assert!(said.contains("blue.endpoints[0]: cannot be trusted: the system has no certificate authorities"), "{said}");
}

#[test]
fn a_session_is_resumed_by_the_next_connection() {
    let lab = Lab::new();
    for versions in [&[&TLS12], &[&TLS13]] {
        let blue = TlsUpstream::scripted(&Shows { versions, ..lab.shows() }, |connection| {
            connection.request();
            connection.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        });
        let proxy = lab.before(&blue);
        let mut client = proxy.client();
        for _ in 0..3 {
            assert_eq!(client.get("/").status, 200);
        }
        let resumed: Vec<bool> = blue.shaken().iter().map(|shaken| shaken.resumed).collect();
        assert_eq!(resumed, [false, true, true]);
    }
}

#[test]
fn what_was_never_sent_to_a_green_without_a_good_certificate_blue_answers() {
    let lab = Lab::new();
    let (blue, signed) = (Backend::answering(200), Authority::new().sign(&["127.0.0.1"]));
    let green = TlsUpstream::ok(&Shows::new(&signed));
    let text = config(&[blue.address], &[], "");
    let section = format!("version: v2, tls: {{ ca: {} }}, endpoints: [\"{}\"]", lab.ca().display(), green.url());
    let proxy = Proxy::start(&text.replacen("version: v2, endpoints: []", &section, 1));
    proxy.set_weight(100.0);
    assert_eq!(proxy.client().send(POST.replace("hello", "howdy")).response().status, 200);
    proxy.until(|status| status["green"]["requests"] == 1 && status["green"]["failures"] == 1);
    assert_eq!((blue.count(), green.requests().len()), (1, 0));
}

#[test]
fn long_bodies_pass_both_ways_also_to_an_endpoint_that_reads_late() {
    let lab = Lab::new();
    let blue = lab.scripted(|connection| {
        std::thread::sleep(Duration::from_millis(200));
        while let Some(request) = connection.request() {
            connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.body.len()));
            connection.send(&request.body);
        }
    });
    let proxy = lab.before(&blue);
    let body: Vec<u8> = (0..8_000_000_u32).map(|number| (number % 251) as u8).collect();
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len())).send(&body);
        assert!(client.response().body == body);
    }
    assert_eq!(blue.connections(), 1);
}

#[test]
fn row_42_an_answer_that_ends_without_the_word_for_it_is_cut_off_where_only_the_end_tells() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello";
    let lab = Lab::new();
    let blue = lab.scripted(|connection| {
        let request = connection.request();
        connection.send(ANSWER);
        if request.is_some_and(|request| request.target == "/cut") {
            connection.cut();
        }
    });
    let proxy = lab.before(&blue);
    assert_eq!(proxy.get("/whole").text(), "hello");
    let cut = proxy.client().send(GET.replace("GET / ", "GET /cut ")).try_response().expect_err("it is cut off");
    assert!([Cut::Short, Cut::Reset].contains(&cut), "{cut:?}");
    proxy.until_outcome("truncated", 1);
    proxy.until_charged(2, 1);
}

#[test]
fn row_41_a_post_is_not_sent_on_a_kept_connection_that_the_endpoint_has_ended() {
    let (closed, wait) = mpsc::channel();
    let lab = Lab::new();
    for end in [TlsConnection::close, TlsConnection::cut] {
        let closed = closed.clone();
        let blue = lab.scripted(move |connection| {
            connection.request();
            connection.send(ok(""));
            end(connection);
            // An error means that the test is over.
            closed.send(()).ok();
        });
        let proxy = lab.before(&blue);
        let mut client = proxy.client();
        assert_eq!(client.get("/").status, 200);
        wait.recv().expect("blue closes");
        assert_eq!(client.send(POST).response().status, 200);
        assert_eq!(blue.connections(), 2);
        proxy.until_charged(2, 0);
    }
}

#[test]
fn what_tls_says_to_itself_on_a_resting_connection_does_not_end_it() {
    let (renewed, wait) = mpsc::channel();
    let lab = Lab::new();
    let blue = lab.scripted(move |connection| {
        while connection.request().is_some() {
            connection.send(ok(""));
            connection.renew_keys();
            // An error means that the test is over.
            renewed.send(()).ok();
        }
    });
    let proxy = lab.before(&blue);
    let mut client = proxy.client();
    for request in [GET, POST, POST, GET] {
        assert_eq!(client.send(request).response().status, 200);
        wait.recv().expect("blue has renewed its keys");
    }
    assert_eq!((blue.connections(), blue.requests().len()), (1, 4));
}

#[test]
fn row_24_a_websocket_passes_through_and_its_end_has_the_word_for_it() {
    let lab = Lab::new();
    let (ended, wait) = mpsc::channel();
    let blue = lab.scripted(move |connection| {
        connection.request();
        connection.send(format!("{SWITCHING}welcome"));
        let asked = connection.bytes(4);
        connection.send(asked);
        // An error means that the test is over.
        ended.send(connection.ends_with_the_word()).ok();
    });
    let proxy = lab.before(&blue);
    let mut client = proxy.client();
    assert_eq!(client.send(UPGRADE).response().status, 101);
    assert_eq!(client.bytes(7), b"welcome");
    assert_eq!(client.send("ping").bytes(4), b"ping");
    client.half_close();
    assert!(wait.recv().expect("blue sees the end"), "it is said");
    client.ends();
}

#[test]
fn health_checks_go_over_tls() {
    let lab = Lab::new();
    for check in ["path: /healthz", "tcp: true"] {
        let signed = Authority::new().sign(&["127.0.0.1"]);
        let blue = TlsUpstream::ok(&Shows::new(&signed));
        let tls = format!("}}, healthCheck: {{ {check}, interval: 100ms, unhealthyAfter: 2");
        let proxy = Proxy::start(&lab.text(&blue.url(), &tls, ""));
        let line = proxy.until_logged("endpoint unhealthy");
        assert_eq!(line["endpoint"], blue.url());
        assert!(line["failure"].as_str().is_some_and(|why| why.contains("UnknownIssuer")), "{line}");
        assert_eq!(proxy.get("/").status, 503);
        proxy.until(|status| status["blue"]["healthyEndpoints"] == 0);
        blue.show(&lab.shows());
        proxy.until(|status| status["blue"]["healthyEndpoints"] == 1);
        assert_eq!(proxy.get("/").status, 200);
    }
}

#[test]
fn a_reload_reads_what_is_trusted_again_and_ends_nothing() {
    let lab = Lab::new();
    let other = Authority::new();
    let blue = lab.scripted(|connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let proxy = lab.before(&blue);
    let mut client = proxy.client();
    assert_eq!(client.get("/").status, 200);
    lab.trust(&other);
    assert_eq!(client.get("/").status, 200, "not before it is reloaded");
    assert_eq!(proxy.post("/v1/config/reload", &Value::Null).status, 200);
    assert_eq!(client.get("/").status, 502);
    fs::write(lab.ca(), "no certificate").expect("the folder is writable");
    let refused = proxy.post("/v1/config/reload", &Value::Null);
    assert!(refused.status == 422 && refused.text().contains("blue.tls.ca"), "{}", refused.text());
    lab.trust(&lab.authority);
    assert_eq!(proxy.post("/v1/config/reload", &Value::Null).status, 200);
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn a_proxy_that_watches_reads_what_is_trusted_again_when_its_file_changes() {
    let lab = Lab::new();
    let blue = lab.ok();
    let data = tempfile::tempdir().expect("a folder can be made");
    let proxy = Proxy::start_watching(data.path(), &lab.text(&blue.url(), "", ""));
    assert_eq!(proxy.get("/").status, 200);
    lab.trust(&Authority::new());
    eventually("the new authority", || (proxy.get("/").status == 502).then_some(()));
}

/// Passes on what comes, of the first connection once it is let go.
struct Relay {
    url: String,
    accepted: mpsc::Receiver<()>,
    go: mpsc::Sender<()>,
}

impl Relay {
    fn to(endpoint: SocketAddr) -> Relay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let url = format!("https://{}", listener.local_addr().expect("a bound socket"));
        let (comes, accepted) = mpsc::channel();
        let (go, goes) = mpsc::channel();
        std::thread::spawn(move || {
            let mut goes = Some(goes);
            for from in listener.incoming().map_while(Result::ok) {
                comes.send(()).ok();
                let waits = goes.take();
                std::thread::spawn(move || {
                    // An error means that the test is over.
                    if waits.is_some_and(|goes: mpsc::Receiver<()>| goes.recv().is_err()) {
                        return;
                    }
                    let to = TcpStream::connect(endpoint).expect("the endpoint listens");
                    let pass = |mut from: TcpStream, mut to: TcpStream| {
                        std::io::copy(&mut from, &mut to).ok();
                        to.shutdown(Shutdown::Write).ok();
                    };
                    let back = [&to, &from].map(|stream| stream.try_clone().expect("a file descriptor"));
                    let [answers, asks] = back;
                    std::thread::spawn(move || pass(answers, asks));
                    pass(from, to);
                });
            }
        });
        Relay { url, accepted, go }
    }
}

/// From here on nobody is trusted who was.
#[track_caller]
fn trust_another(lab: &Lab, proxy: &Proxy) {
    lab.trust(&Authority::new());
    assert_eq!(proxy.post("/v1/config/reload", &Value::Null).status, 200);
}

/// As [`Lab::text`], in front of an endpoint that is spoken to in this way.
fn speaking(protocol: &str, lab: &Lab, endpoint: &str) -> String {
    let text = lab.text(endpoint, "", "timeouts: { connect: 20s }");
    text.replacen("tls: {", &format!("protocol: {protocol}, tls: {{"), 1)
}

#[track_caller]
fn check_handshake_under_way(protocol: &str, lab: &Lab, relay: &Relay) {
    lab.trust(&lab.authority);
    let proxy = Proxy::start(&speaking(protocol, lab, &relay.url));
    let mut first = proxy.client();
    first.send(GET);
    relay.accepted.recv_timeout(DEADLINE).expect("a connection");
    trust_another(lab, &proxy);
    assert_eq!(proxy.get("/").status, 502, "another connection is made by what is trusted now");
    relay.go.send(()).expect("it waits");
    assert_eq!(first.response().status, 200);
    let later = proxy.get("/").status;
    assert_eq!(later, 502, "what was made by another trust carries no other request by {protocol}");
}

#[test]
fn a_connection_whose_handshake_was_under_way_when_trust_was_reloaded_carries_no_other_request() {
    let lab = Lab::new();
    let http2 = Http2Upstream::ok(Some(&Shows { alpn: &["h2"], ..lab.shows() }));
    for (protocol, endpoint) in
        [("http1", lab.ok().address), ("auto", lab.ok().address), ("auto", http2.address), ("http2", http2.address)]
    {
        check_handshake_under_way(protocol, &lab, &Relay::to(endpoint));
    }
}

#[test]
fn a_connection_that_was_busy_when_trust_was_reloaded_carries_no_other_request() {
    let lab = Lab::new();
    let (ends, waits) = mpsc::channel();
    let waits = Mutex::new(waits);
    let blue = lab.scripted(move |connection| {
        while let Some(request) = connection.request() {
            if request.target == "/slow" && waits.lock().expect("no panic with it").recv().is_err() {
                return;
            }
            connection.send(ok(&request.target));
        }
    });
    let proxy = lab.before(&blue);
    let mut slow = proxy.client();
    slow.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    eventually("the slow request", || (!blue.requests().is_empty()).then_some(()));
    trust_another(&lab, &proxy);
    assert_eq!(proxy.get("/").status, 502, "another connection is made by what is trusted now");
    ends.send(()).expect("it waits");
    assert_eq!(slow.response().text(), "/slow");
    assert_eq!(proxy.get("/").status, 502, "the one that is free again is of another trust");

    let go = Arc::new(Notify::new());
    let waits = Arc::clone(&go);
    let tls = Shows { alpn: &["h2"], ..lab.shows() };
    lab.trust(&lab.authority);
    let blue = Http2Upstream::scripted(
        Some(&tls),
        |_| {},
        move |call| {
            let waits = Arc::clone(&waits);
            Box::pin(async move {
                if call.request.uri().path() == "/slow" {
                    waits.notified().await;
                }
                call.echo().await;
            })
        },
    );
    let proxy = Proxy::start(&speaking("http2", &lab, &blue.url()));
    let mut slow = proxy.client();
    slow.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    eventually("the slow request", || (blue.open() == 1).then_some(()));
    trust_another(&lab, &proxy);
    assert_eq!(proxy.get("/").status, 502, "a stream beside it would be trusted no less");
    go.notify_one();
    assert_eq!(slow.response().status, 200);
    assert_eq!(proxy.get("/").status, 502);
}

#[test]
fn https_may_be_named_by_a_release_and_by_the_api_while_it_runs() {
    let lab = Lab::new();
    let (first, second) = (lab.ok(), lab.ok());
    let text = lab.text(&first.url(), "", "");
    let green = format!("version: v2, tls: {{ ca: {} }},", lab.ca().display());
    let text = text.replacen("version: v2,", &green, 1);
    let data = tempfile::tempdir().expect("a folder can be made");
    let mut proxy = Proxy::start_in(data.path(), &text);
    let admin = format!("http://{}", proxy.admin);
    let started =
        portcullis(&["release", "start", "--admin", &admin, "--green", "v3", "--endpoint", &second.url()], &[]);
    assert!(started.status.success(), "{started:?}");
    proxy.set_weight(100.0);
    assert_eq!((proxy.get("/").status, first.requests().len(), second.requests().len()), (200, 0, 1));
    assert_eq!(proxy.post("/v1/release/rollback", &json!({})).status, 200);

    let put = |list: Value| {
        proxy.call("PUT", "/v1/versions/blue/endpoints", &json!({ "endpoints": list, "reason": "a test" }))
    };
    assert_eq!(put(json!([second.url()])).status, 200);
    let wrong = put(json!(["https://127.0.0.1:1/path"]));
    assert_eq!(wrong.status, 422);
    assert!(wrong.text().contains("has a path, and requests have their own"), "{}", wrong.text());
    assert_eq!((proxy.get("/").status, second.requests().len()), (200, 2));

    proxy.crash();
    let proxy = Proxy::start_in(data.path(), &text);
    assert_eq!((proxy.get("/").status, second.requests().len()), (200, 3), "the journal has it");
}

#[test]
fn the_green_after_one_that_became_blue_is_trusted_by_what_the_file_says_of_green() {
    let (lab, other) = (Lab::new(), Authority::new());
    let signed = other.sign(&["127.0.0.1"]);
    let blue = lab.ok();
    let greens = [(); 2].map(|()| TlsUpstream::ok(&Shows::new(&signed)));
    let ca = lab.folder.path().join("other.pem");
    fs::write(&ca, &other.pem).expect("the folder is writable");
    let green = format!("version: v2, tls: {{ ca: {} }}, endpoints: [\"{}\"]", ca.display(), greens[0].url());
    let text = lab.text(&blue.url(), "", "release: { steps: [{ weight: 100%, bake: 1h }] }");
    let proxy = Proxy::start(&text.replacen("version: v2, endpoints: []", &green, 1));
    assert_eq!(proxy.post("/v1/release", &json!({})).status, 200);
    proxy.until(|status| status["weight"] == 100.0);
    assert_eq!(proxy.post("/v1/release/promote", &json!({})).status, 200);
    assert_eq!((proxy.status()["state"].as_str(), proxy.get("/").status), (Some("completed"), 200));
    let next = json!({ "green": { "version": "v3", "endpoints": [greens[1].url()] } });
    assert_eq!(proxy.post("/v1/release", &next).status, 200);
    proxy.until(|status| status["weight"] == 100.0);
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!([&blue, &greens[0], &greens[1]].map(|upstream| upstream.requests().len()), [0, 1, 1]);
}

#[test]
fn a_header_of_the_proxy_protocol_comes_before_the_handshake() {
    const HANDSHAKE: u8 = 22;
    let lab = Lab::new();
    let blue = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let endpoint = format!("https://{}", blue.local_addr().expect("bound"));
    let text = lab.text(&endpoint, "", "").replacen("tls:", "proxyProtocol: v1, tls:", 1);
    let proxy = Proxy::start(&text);
    let mut client = proxy.client();
    client.send(GET);
    let mut stream = BufReader::new(blue.accept().expect("a connection").0);
    let (mut header, mut first) = (String::new(), [0]);
    stream.read_line(&mut header).expect("a header");
    stream.read_exact(&mut first).expect("a handshake");
    let (source, to) = (client.stream.local_addr().expect("connected"), proxy.listen);
    assert_eq!(header, format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", source.port(), to.port()));
    assert_eq!(first, [HANDSHAKE]);
    drop(stream);
    assert_eq!(client.response().status, 502);
}
