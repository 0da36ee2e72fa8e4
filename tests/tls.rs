//! TLS between clients and the listener.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::support::{
    Authority, Client, End, Hello, Proxy, Signed, TlsEnd, Upstream, config, eventually, folder, have, portcullis,
    stderr,
};

const HANDSHAKES: &str = "portcullis_tls_handshakes_total";
const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// An authority, and a folder for what it signs.
struct Lab {
    authority: Authority,
    folder: TempDir,
}

impl Lab {
    fn new() -> Lab {
        Lab { authority: Authority::new(), folder: tempfile::tempdir().expect("a folder can be made") }
    }

    /// The text of a configuration in front of `blue`, with one certificate for `localhost`.
    fn text(&self, blue: &Upstream, tls: &str, rest: &str) -> String {
        let pair = self.authority.sign(&["localhost"]).write(self.folder.path(), "first");
        config(
            &[blue.address],
            &[([127, 0, 0, 1], 1).into()],
            &format!("tls:\n  certificates: [{pair}]\n  {tls}\n{rest}"),
        )
    }

    fn proxy(&self, blue: &Upstream, tls: &str, rest: &str) -> Proxy {
        Proxy::start(&self.text(blue, tls, rest))
    }

    fn hello(&self) -> Hello<'_> {
        Hello::new(&self.authority)
    }
}

#[track_caller]
fn handshakes(proxy: &Proxy, result: &str, count: u32) {
    proxy.until_metric(HANDSHAKES, &[&format!("result=\"{result}\"")], count.into());
}

#[test]
fn requests_are_answered_one_after_the_other_and_endpoints_hear_of_https() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let proxy = lab.proxy(&blue, "", "");
    for versions in [&[&TLS12], &[&TLS13]] {
        let mut client = Hello { versions, ..lab.hello() }.connect(&proxy);
        assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        for target in ["/one", "/two", "/three"] {
            assert_eq!(client.get(target).text(), format!("GET {target}"));
        }
        let piped = client.send(GET.repeat(3));
        assert_eq!([(); 3].map(|()| piped.response().status), [200; 3]);
        client.half_close();
        assert_eq!(client.rest(), (vec![], TlsEnd::Said));
    }
    assert!(blue.requests().iter().all(|request| request.head.one("x-forwarded-proto") == "https"));
    handshakes(&proxy, "success", 2);
}

#[test]
fn a_connection_that_was_idle_for_long_is_still_answered() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let proxy = lab.proxy(&blue, "", "");
    let mut client = lab.hello().connect(&proxy);
    for _ in 0..2 {
        assert_eq!(client.get("/").status, 200);
        // Longer than it keeps its buffers.
        std::thread::sleep(Duration::from_millis(400));
    }
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn a_connection_that_is_idle_for_too_long_is_ended_with_the_word_for_it() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let proxy = lab.proxy(&blue, "", "timeouts: { keepAlive: 100ms }");
    let mut client = lab.hello().connect(&proxy);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.rest(), (vec![], TlsEnd::Said));
}

#[test]
fn long_bodies_pass_both_ways_also_to_a_client_that_reads_late() {
    let blue = Upstream::scripted(|connection| {
        while let Some(request) = connection.request() {
            connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.body.len()));
            connection.send(&request.body);
        }
    });
    let lab = Lab::new();
    let proxy = lab.proxy(&blue, "", "");
    let mut client = lab.hello().connect(&proxy);
    let body: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    for _ in 0..2 {
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len())).send(&body);
        std::thread::sleep(Duration::from_millis(300));
        assert!(client.response().body == body);
    }
}

#[test]
fn the_certificate_is_chosen_by_the_name_that_the_client_asks_for() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let names: [&[&str]; 3] = [&["one.example", "127.0.0.1"], &["*.one.example", "*.two.example"], &["a.two.example"]];
    let signed: Vec<Signed> = names.iter().map(|names| lab.authority.sign(names)).collect();
    let pairs = signed.iter().enumerate().map(|(number, signed)| signed.write(lab.folder.path(), &number.to_string()));
    let pairs: Vec<String> = pairs.collect();
    let proxy = Proxy::before_with(&blue, &format!("tls: {{ certificates: [{}] }}", pairs.join(", ")));
    for (name, expected) in [
        ("one.example", 0),
        ("ONE.example", 0),
        ("127.0.0.1", 0),
        ("b.one.example", 1),
        ("b.two.example", 1),
        ("a.two.example", 2),
    ] {
        let client = Hello { name, ..lab.hello() }.connect(&proxy);
        assert!(client.shown() == signed[expected].der(), "{name}");
    }
    let unknown = Hello { name: "a.b.two.example", ..lab.hello() }.try_connect(&proxy);
    let shown = unknown.err().expect("it is for another name").to_string();
    assert!(shown.contains("one.example"), "the first one is the default: {shown}");
}

#[test]
fn a_version_below_the_least_is_refused() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let proxy = lab.proxy(&blue, "minVersion: 1.3", "");
    let refused = Hello { versions: &[&TLS12], ..lab.hello() }.try_connect(&proxy);
    let alert = refused.err().expect("it is too old").to_string();
    assert!(alert.contains("ProtocolVersion"), "{alert}");
    assert_eq!(lab.hello().connect(&proxy).get("/").status, 200);
    handshakes(&proxy, "failure", 1);
}

#[test]
fn row_56_a_client_that_speaks_only_another_protocol_is_told() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let proxy = lab.proxy(&blue, "", "");
    let refused = Hello { alpn: &["h3"], ..lab.hello() }.try_connect(&proxy);
    let alert = refused.err().expect("nothing is shared").to_string();
    assert!(alert.contains("NoApplicationProtocol"), "{alert}");
    assert_eq!(Hello { alpn: &[], ..lab.hello() }.connect(&proxy).get("/").status, 200);
}

#[test]
fn where_clients_are_known_by_certificates_only_those_that_are_signed_get_in() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let ca = lab.folder.path().join("clients.pem");
    let (ours, others) = (Authority::new(), Authority::new());
    std::fs::write(&ca, &ours.pem).expect("the folder is writable");
    let proxy = lab.proxy(&blue, &format!("clientCa: {}", ca.display()), "");
    let known = ours.sign(&["client"]);
    assert_eq!(Hello { identity: Some(&known), ..lab.hello() }.connect(&proxy).get("/").status, 200);
    let stranger = others.sign(&["client"]);
    for (identity, why) in [(None, "CertificateRequired"), (Some(&stranger), "UnknownCA")] {
        // The client is done before the proxy has seen its certificate (RFC 8446, section 4.4.2.4).
        let mut client = Hello { identity, ..lab.hello() }.connect(&proxy);
        let told = client.try_response().expect_err("nobody knows it").to_string();
        assert!(told.contains(why), "{told}");
    }
    assert_eq!(blue.count(), 1);
    handshakes(&proxy, "failure", 2);
}

#[test]
fn row_56_a_client_that_names_nobody_gets_the_first_certificate() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let [first, second] = ["127.0.0.1", "localhost"].map(|name| lab.authority.sign(&[name]));
    let pairs = [first.write(lab.folder.path(), "1"), second.write(lab.folder.path(), "2")].join(", ");
    let proxy = Proxy::before_with(&blue, &format!("tls: {{ certificates: [{pairs}] }}"));
    // An address is not told.
    let mut client = Hello { name: "127.0.0.1", ..lab.hello() }.connect(&proxy);
    assert!(client.shown() == first.der());
    assert_eq!(client.get("/").status, 200);
    assert!(lab.hello().connect(&proxy).shown() == second.der());
}

#[test]
fn row_56_a_handshake_that_stalls_is_ended_at_the_deadline() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let proxy = lab.proxy(&blue, "", "timeouts: { requestHead: 200ms }");
    // Nothing, and the begin of a record.
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00"] {
        proxy.client().send(begun).ends();
    }
    handshakes(&proxy, "timeout", 2);
}

#[test]
fn row_56_plain_text_gets_an_alert_and_a_clean_end() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let proxy = lab.proxy(&blue, "", "");
    let (told, end) = proxy.client().send(GET).rest();
    // A fatal alert, of two bytes.
    assert_eq!((&told[..1], &told[3..6], end), (&[21][..], &[0, 2, 2][..], End::Clean), "{told:?}");
    handshakes(&proxy, "failure", 1);
    assert_eq!(blue.connections(), 0);
}

#[test]
fn a_connection_over_the_bound_is_ended_without_plain_text() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let proxy = lab.proxy(&blue, "", "limits: { connections: 1 }");
    let mut first = lab.hello().connect(&proxy);
    assert_eq!(proxy.client().rest(), (vec![], End::Clean));
    assert_eq!(first.get("/").status, 200);
}

#[test]
fn row_37_a_client_that_ends_its_side_is_still_answered() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let proxy = lab.proxy(&blue, "", "");
    let mut client = lab.hello().connect(&proxy);
    client.send(GET).half_close();
    assert_eq!(client.response().text(), "GET /");
    assert_eq!(client.rest(), (vec![], TlsEnd::Said));
    proxy.until_outcome("success", 1);
}

#[test]
fn row_42_an_answer_that_was_cut_off_does_not_end_with_the_word_for_it() {
    for (head, version) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", "1.1"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\n", "1.1"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\n", "1.0"),
    ] {
        let blue = Upstream::scripted(move |connection| {
            connection.request();
            connection.send(format!("{head}cut off"));
        });
        let lab = Lab::new();
        let proxy = lab.proxy(&blue, "", "");
        let mut client = lab.hello().connect(&proxy);
        client.send(format!("GET / HTTP/{version}\r\nHost: test\r\n\r\n"));
        let (bytes, end) = client.rest();
        assert_eq!(end, TlsEnd::Cut, "{head} {}", String::from_utf8_lossy(&bytes));
        proxy.until_outcome("truncated", 1);
    }
}

#[test]
fn an_answer_that_ends_with_the_connection_ends_with_the_word_for_it() {
    let blue = Upstream::scripted(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\n\r\nall of it");
    });
    let lab = Lab::new();
    let proxy = lab.proxy(&blue, "", "");
    let mut client = lab.hello().connect(&proxy);
    let (bytes, end) = client.send("GET / HTTP/1.0\r\nHost: test\r\n\r\n").rest();
    assert_eq!((bytes.ends_with(b"all of it"), end), (true, TlsEnd::Said));
}

#[test]
fn row_24_a_websocket_passes_through() {
    let blue = Upstream::scripted(|connection| {
        connection.head();
        connection.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: y\r\n\r\n",
        );
        loop {
            let byte = connection.bytes(1);
            if byte.is_empty() {
                return;
            }
            connection.send(byte);
        }
    });
    let lab = Lab::new();
    let proxy = lab.proxy(&blue, "", "");
    let mut client = lab.hello().connect(&proxy);
    client.send(
        "GET /socket HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n",
    );
    assert_eq!(client.response().status, 101);
    let long = "x".repeat(100_000);
    for message in ["one", "two", &long] {
        assert!(client.send(message).bytes(message.len()) == message.as_bytes());
    }
    client.half_close();
    assert_eq!(client.rest(), (vec![], TlsEnd::Said));
    assert_eq!(blue.until_ended(0), End::Clean);
}

/// TLS holds back what there is no room for. The lengths are around what the kernel takes at once.
#[test]
fn the_end_of_what_a_tunnel_brings_waits_for_nothing_but_the_client() {
    let blue = Upstream::scripted(|connection| {
        let Some(head) = connection.head() else { return };
        let length: usize = head.target[1..].parse().expect("a number");
        connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: bytes\r\n\r\n");
        connection.send(vec![b'a'; length]);
        connection.bytes(1);
    });
    let lab = Lab::new();
    let proxy = lab.proxy(&blue, "", "");
    let mut clients: Vec<_> = (100_000..400_000)
        .step_by(10_000)
        .map(|length| {
            let mut client = lab.hello().on(Client::narrow(proxy.listen)).expect("they agree");
            client
                .send(format!("GET /{length} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: bytes\r\n\r\n"));
            (length, client)
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    for (length, client) in &mut clients {
        assert_eq!(client.response().status, 101);
        assert_eq!(client.bytes(*length).len(), *length);
    }
}

/// The lengths are around what the kernel takes at once.
#[test]
fn a_client_that_reads_late_gets_all_of_its_answer() {
    let (lab, blue) = (Lab::new(), Upstream::of_the_length_asked_for());
    let proxy = lab.proxy(&blue, "", "");
    let lengths = (100_000..400_000).step_by(10_000);
    let mut clients: Vec<_> = lengths
        .map(|length| {
            let mut client = lab.hello().on(Client::narrow(proxy.listen)).expect("they agree");
            client.send(format!("GET /{length} HTTP/1.1\r\nHost: test\r\n\r\n"));
            (length, client)
        })
        .collect();
    // Longer than an idle connection keeps its buffers.
    std::thread::sleep(Duration::from_millis(600));
    for (length, client) in &mut clients {
        assert_eq!(client.response().body.len(), *length);
    }
}

#[test]
fn row_55_a_renewed_certificate_is_served_by_a_reload_that_ends_nothing_and_a_bad_one_changes_nothing() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let proxy = lab.proxy(&blue, "", "");
    let mut old = lab.hello().connect(&proxy);
    assert_eq!(old.get("/").status, 200);
    let replaced = lab.authority.sign(&["localhost"]);
    replaced.write(lab.folder.path(), "first");
    assert_eq!(proxy.post("/v1/config/reload", &Value::Null).status, 200);
    let mut new = lab.hello().connect(&proxy);
    assert!(new.shown() == replaced.der() && old.shown() != replaced.der());
    assert_eq!((old.get("/").status, new.get("/").status), (200, 200));

    std::fs::write(lab.folder.path().join("first.key"), lab.authority.sign(&["x"]).key).expect("a writable folder");
    let refused = proxy.post("/v1/config/reload", &Value::Null);
    assert!(refused.status == 422 && refused.text().contains("is not the key of"), "{}", refused.text());
    assert!(lab.hello().connect(&proxy).shown() == replaced.der());
}

#[test]
fn row_55_a_proxy_that_watches_serves_a_renewed_certificate() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let data = tempfile::tempdir().expect("a folder can be made");
    let proxy = Proxy::start_watching(data.path(), &lab.text(&blue, "", ""));
    let replaced = lab.authority.sign(&["localhost"]);
    replaced.write(lab.folder.path(), "first");
    eventually("the new certificate", || (lab.hello().connect(&proxy).shown() == replaced.der()).then_some(()));
}

#[test]
fn row_55_a_certificate_that_cannot_be_read_keeps_the_old_one_and_is_told() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let data = tempfile::tempdir().expect("a folder can be made");
    let proxy = Proxy::start_watching(data.path(), &lab.text(&blue, "", ""));
    let old = lab.hello().connect(&proxy).shown();
    let file = lab.folder.path().join("first.crt");
    std::fs::write(&file, "no certificate").expect("a writable folder");
    proxy.until_metric("portcullis_config_reload_total", &["result=\"failure\""], 1.0);
    assert!(proxy.log().contains("first.crt"), "{}", proxy.log());
    assert!(lab.hello().connect(&proxy).shown() == old);
    std::fs::remove_file(&file).expect("it was there");
    let refused = proxy.post("/v1/config/reload", &Value::Null);
    assert!(refused.status == 422 && refused.text().contains("first.crt"), "{}", refused.text());
    let mut client = lab.hello().connect(&proxy);
    assert!(client.shown() == old);
    assert_eq!(client.get("/").status, 200);
}

/// It is served as it is: whoever wrote it into the configuration may have no other.
#[test]
fn row_55_an_expired_certificate_is_a_warning_and_a_renewed_one_is_served_without_a_restart() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let text = lab.text(&blue, "", "");
    let expire = || lab.authority.sign_until(&["localhost"], 2020).write(lab.folder.path(), "first");
    expire();
    let file = lab.folder.path().join("portcullis.yaml");
    std::fs::write(&file, &text).expect("a writable folder");
    let checked = stderr(&portcullis(&["check", file.to_str().expect("UTF-8")], &[]));
    assert!(checked.contains("has expired: it held until 2020-01-01"), "{checked}");
    let proxy = Proxy::start(&text);
    assert!(proxy.log().contains("has expired"), "{}", proxy.log());
    let refused = lab.hello().try_connect(&proxy).err().expect("it has expired").to_string();
    assert!(refused.to_lowercase().contains("expired"), "{refused}");
    let renewed = lab.authority.sign(&["localhost"]);
    renewed.write(lab.folder.path(), "first");
    assert_eq!(proxy.post("/v1/config/reload", &Value::Null).status, 200);
    let mut client = lab.hello().connect(&proxy);
    assert!(client.shown() == renewed.der());
    assert_eq!(client.get("/").status, 200);

    let told = || proxy.log().matches("has expired").count();
    let before = told();
    expire();
    assert_eq!(proxy.post("/v1/config/reload", &Value::Null).status, 200);
    eventually("the warning of a reload", || (told() > before).then_some(()));
}

#[test]
fn tls_is_turned_on_and_off_for_new_connections() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let proxy = Proxy::before(&blue);
    let plain = std::fs::read_to_string(proxy.file()).expect("it was written");
    let mut before = proxy.client();
    assert_eq!(before.get("/").status, 200);
    std::fs::write(proxy.file(), lab.text(&blue, "", "")).expect("the file can be written");
    assert_eq!(proxy.post("/v1/config/reload", &Value::Null).status, 200);
    let mut secured = lab.hello().connect(&proxy);
    assert_eq!((secured.get("/").status, before.get("/").status), (200, 200));
    std::fs::write(proxy.file(), plain).expect("the file can be written");
    assert_eq!(proxy.post("/v1/config/reload", &Value::Null).status, 200);
    assert_eq!((proxy.get("/").status, secured.get("/").status), (200, 200));
}

#[test]
fn draining_ends_idle_connections_with_the_word_for_it() {
    let (lab, blue) = (Lab::new(), Upstream::ok());
    let mut proxy = lab.proxy(&blue, "", "drain: { wait: 0s }");
    let (mut idle, mut unused) = (lab.hello().connect(&proxy), lab.hello().connect(&proxy));
    assert_eq!(idle.get("/").status, 200);
    proxy.sigterm();
    assert_eq!((idle.rest(), unused.rest()), ((vec![], TlsEnd::Said), (vec![], TlsEnd::Said)));
    assert!(proxy.wait_exit().success());
}

/// A client that gives up closes its socket, and is not the version's failure.
#[test]
fn row_36_a_client_that_has_gone_is_not_charged() {
    let blue = Upstream::scripted(|connection| {
        connection.request();
        connection.bytes(1);
    });
    let lab = Lab::new();
    let proxy = lab.proxy(&blue, "", "");
    let mut client = lab.hello().connect(&proxy);
    client.send(GET);
    blue.until("the request", |seen| seen.iter().any(|seen| !seen.requests.is_empty()).then_some(()));
    Client::new(client.stream.sock.try_clone().expect("a socket")).reset();
    drop(client);
    proxy.until_outcome("client_cancelled", 1);
}

/// The word for its end hides the reset behind it.
#[test]
fn row_36_a_client_that_says_goodbye_and_resets_before_the_head_cancels_the_upstream() {
    let blue = Upstream::scripted(|connection| {
        connection.request();
        connection.drain();
    });
    let lab = Lab::new();
    let proxy = lab.proxy(&blue, "", "");
    let mut client = lab.hello().connect(&proxy);
    client.send(GET);
    blue.until("the request", |seen| seen.iter().any(|seen| !seen.requests.is_empty()).then_some(()));
    client.half_close();
    // The only worker has seen it.
    assert_eq!(lab.hello().connect(&proxy).send("TRACE / HTTP/1.1\r\nHost: test\r\n\r\n").response().status, 405);
    Client::new(client.stream.sock.try_clone().expect("a socket")).reset();
    drop(client);
    blue.until_ended(0);
    proxy.until_outcome("client_cancelled", 1);
}

#[test]
fn sslscan_finds_no_old_protocol_no_weak_cipher_and_no_known_hole() {
    if !have("sslscan") {
        return;
    }
    let blue = Upstream::ok();
    let (authority, folder) = (Authority::new(), folder());
    let pair = authority.sign(&["localhost"]).write(folder.path(), "first");
    let proxy = Proxy::before_with(&blue, &format!("tls: {{ certificates: [{pair}] }}"));
    let mut sslscan = std::process::Command::new("sslscan");
    let output = sslscan.args(["--xml=-", "--sni-name=localhost", &proxy.listen.to_string()]).output();
    let said = String::from_utf8(output.expect("it is installed").stdout).expect("text");
    let of = |kind: &str| -> Vec<&str> { said.lines().map(str::trim).filter(|line| line.starts_with(kind)).collect() };
    let enabled: Vec<&str> = of("<protocol ").into_iter().filter(|line| line.contains("enabled=\"1\"")).collect();
    let protocol = |version| format!("<protocol type=\"tls\" version=\"{version}\" enabled=\"1\" />");
    assert_eq!(enabled, [protocol("1.2"), protocol("1.3")], "{said}");
    let ciphers = of("<cipher ");
    assert!(!ciphers.is_empty(), "{said}");
    for cipher in ciphers {
        assert!(cipher.contains("_GCM_") || cipher.contains("-GCM-") || cipher.contains("CHACHA20"), "{cipher}");
        assert!(cipher.contains("sslversion=\"TLSv1.3\"") || cipher.contains("cipher=\"ECDHE-"), "{cipher}");
        assert!(
            ["strong", "acceptable"].iter().any(|word| cipher.contains(&format!("strength=\"{word}\""))),
            "{cipher}"
        );
    }
    assert_eq!(of("<renegotiation "), ["<renegotiation supported=\"0\" secure=\"0\" />"]);
    assert_eq!(of("<heartbleed ").len(), 2, "{said}");
    for hole in ["vulnerable=\"1\"", "compression supported=\"1\""] {
        assert!(!said.contains(hole), "{said}");
    }
}
