//! Who gets as far as the admin API: by TLS and with which certificate, how slowly, how many, and with which token.

use std::io::Write;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::support::bench::folder;
use super::support::{
    Authority, Client, Hello, Proxy, Response, Upstream, config, eventually, portcullis, printed, refused, stderr,
    stdout,
};

const HOST: &str = "Host: 127.0.0.1";
const JSON: &str = "Content-Type: application/json";

fn parsed(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|_| panic!("not JSON: {}", response.text()))
}

/// A configuration whose `admin` has these keys too.
fn with(keys: &str, rest: &str) -> String {
    let blue = Upstream::ok();
    let text = config(&[blue.address], &[blue.address], rest);
    text.replace("admin: { listen: 127.0.0.1:0 }", &format!("admin: {{ listen: 127.0.0.1:0, {keys} }}"))
}

#[test]
fn row_82_slow_heads_slow_bodies_and_huge_ones_are_cut_off_on_the_admin_port() {
    let proxy = Proxy::start(&with("", "timeouts: { requestHead: 300ms }"));
    // The first and the next head of a connection.
    Client::connect(proxy.admin).ends();
    Client::connect(proxy.admin).send("GET /v1/status HTTP/1.1\r\nHo").ends();
    let mut kept = Client::connect(proxy.admin);
    kept.send(format!("GET /healthz HTTP/1.1\r\n{HOST}\r\n\r\n"));
    assert_eq!(kept.response().status, 200);
    kept.send("GET /v1/st").ends();

    let head = |length: &str| format!("PUT /v1/weight HTTP/1.1\r\n{HOST}\r\n{JSON}\r\n{length}\r\n\r\n");
    for begun in [head("Content-Length: 15") + "{\"weight\"", head("Transfer-Encoding: chunked") + "1\r\n{\r\n"] {
        let mut slow = Client::connect(proxy.admin);
        let answer = slow.send(begun).response();
        assert_eq!(answer.status, 408, "{}", answer.text());
        assert_eq!(answer.head.one("content-type"), "application/problem+json");
        slow.ends();
    }
    // Refused by its length, before anything of it was sent.
    for length in ["Content-Length: 16385", "Content-Length: 9223372036854775807"] {
        let mut huge = Client::connect(proxy.admin);
        let answer = huge.send(head(length)).response();
        assert_eq!((answer.status, parsed(&answer)["status"].as_u64()), (413, Some(413)), "{}", answer.text());
    }
    let mut huge = Client::connect(proxy.admin);
    huge.send(head("Transfer-Encoding: chunked"));
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    // An error means that the rest is not wanted.
    (0..5).for_each(|_| _ = huge.offer(&chunk));
    assert_eq!(huge.response().status, 413);
    // A head without end.
    let mut long = Client::connect(proxy.admin);
    long.send(format!("GET / HTTP/1.1\r\n{HOST}\r\n"));
    let field = format!("x-long: {}\r\n", "x".repeat(1000));
    (0..200).for_each(|_| _ = long.offer(&field));
    assert!(!String::from_utf8_lossy(&long.rest().0).starts_with("HTTP/1.1 2"));

    assert_eq!(proxy.status()["weight"], 0.0);
    proxy.set_weight(1.0);
}

#[test]
fn row_82_more_connections_than_there_may_be_lock_nobody_out_for_longer_than_a_head_may_take() {
    let proxy = Proxy::start(&with("", "timeouts: { requestHead: 300ms }"));
    let silent: Vec<Client> = (0..300).map(|_| Client::connect(proxy.admin)).collect();
    assert_eq!(proxy.status()["state"], "idle");
    for mut silent in silent {
        silent.ends();
    }
}

#[test]
fn row_82_those_who_only_wait_for_something_leave_room_for_those_who_have_something_to_do() {
    let proxy = Proxy::start(&with("", ""));
    let get = |path: &str| proxy.ask("GET", path, &[HOST], "").status;
    let mut waiting: Vec<Client> = Vec::new();
    for _ in 0..128 {
        let mut client = Client::connect(proxy.admin);
        client.send(format!("GET /v1/events HTTP/1.1\r\n{HOST}\r\n\r\n"));
        assert!(client.response_head().starts_with("HTTP/1.1 200 "));
        waiting.push(client);
    }
    assert_eq!((get("/v1/events"), get("/v1/gate?wait=60s"), get("/v1/gate")), (503, 503, 200));
    proxy.set_weight(5.0);
    assert_eq!(proxy.post("/v1/release/rollback", &Value::Null).status, 200);
    // A place that was left is free.
    waiting.truncate(100);
    eventually("room", || (get("/v1/gate?wait=10ms") == 200).then_some(()));
}

#[test]
fn row_82_a_client_that_reads_nothing_is_cut_off() {
    let proxy = Proxy::start(&with("", "timeouts: { requestHead: 300ms }"));
    let mut deaf = Client::narrow(proxy.admin);
    // Many, so that what is between the two is full soon.
    let asked = format!("GET /metrics HTTP/1.1\r\n{HOST}\r\n\r\n").repeat(1_000);
    deaf.stream.set_write_timeout(Some(Duration::from_millis(50))).expect("a socket");
    eventually("the end of the connection", || match deaf.stream.write(asked.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
        Err(_) => Some(()),
        Ok(_) => None,
    });
    assert_eq!(proxy.status()["state"], "idle");
}

/// Certificates of the proxy and of its clients, in a folder.
struct Keys {
    folder: tempfile::TempDir,
    servers: Authority,
    clients: Authority,
}

impl Keys {
    fn new() -> Keys {
        let keys = Keys { folder: folder(), servers: Authority::new(), clients: Authority::new() };
        std::fs::write(keys.path("servers.pem"), &keys.servers.pem).expect("the folder is writable");
        std::fs::write(keys.path("clients.pem"), &keys.clients.pem).expect("the folder is writable");
        keys.servers.sign(&["127.0.0.1", "localhost"]).write(keys.folder.path(), "server");
        keys.clients.sign(&["olga"]).write(keys.folder.path(), "olga");
        keys
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The value of `admin.tls`.
    fn tls(&self) -> String {
        let [cert, key, clients] = ["server.crt", "server.key", "clients.pem"].map(|name| self.path(name));
        format!("tls: {{ certificates: [{{ cert: {cert}, key: \"file:{key}\" }}], clientCa: {clients} }}")
    }

    fn ask(&self, url: &str, arguments: &[&str], names: &[(&str, &str)]) -> Output {
        let files: Vec<(&str, String)> = names.iter().map(|(name, file)| (*name, self.path(file))).collect();
        let mut environment: Vec<(&str, &str)> = files.iter().map(|(name, file)| (*name, file.as_str())).collect();
        environment.push(("PORTCULLIS_ADMIN", url));
        portcullis(arguments, &environment)
    }
}

#[test]
fn the_admin_listener_speaks_tls_with_those_whose_certificate_is_signed_and_shows_a_new_one_after_a_reload() {
    let keys = Keys::new();
    let proxy = Proxy::start(&with(&keys.tls(), ""));
    let url = format!("https://{}", proxy.admin);
    let whole = [("PORTCULLIS_CA", "servers.pem"), ("PORTCULLIS_CERT", "olga.crt"), ("PORTCULLIS_KEY", "olga.key")];
    let shown = printed(&keys.ask(&url, &["weight", "5"], &whole));
    assert!(shown.contains("green at 5 %"), "{shown}");
    let [ca, cert, key] = ["servers.pem", "olga.crt", "olga.key"].map(|name| keys.path(name));
    let flags = ["status", "--json", "--admin", &url, "--ca", &ca, "--cert", &cert, "--key", &key];
    assert!(printed(&portcullis(&flags, &[])).contains("\"weight\": 5.0"));

    let said = refused(&keys.ask(&url, &["status"], &whole[1..]), 1);
    assert!(said.contains("to be trusted") || said.contains("no certificate authorities"), "{said}");
    let said = refused(&keys.ask(&url, &["status"], &whole[..1]), 1);
    assert!(said.contains("gave no answer") && said.contains("CertificateRequired"), "{said}");
    let strangers = [whole[0], ("PORTCULLIS_CERT", "server.crt"), ("PORTCULLIS_KEY", "server.key")];
    refused(&keys.ask(&url, &["status"], &strangers), 1);
    let said = refused(&keys.ask(&url.replace("https", "http"), &["status"], &whole), 1);
    assert!(said.contains("gave no answer"), "{said}");
    let said = refused(&keys.ask(&url, &["status"], &[("PORTCULLIS_CA", "olga.key"), whole[1], whole[2]]), 1);
    assert!(said.contains("olga.key: there is no certificate"), "{said}");
    for nonsense in ["", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\x05hello"] {
        let mut client = Client::connect(proxy.admin);
        client.send(nonsense).half_close();
        client.rest();
    }

    let olga = keys.clients.sign(&["olga"]);
    let hello = |trusts| Hello { identity: Some(&olga), ..Hello::new(trusts) };
    let before = hello(&keys.servers).on(Client::connect(proxy.admin)).expect("they agree").shown();
    let others = Authority::new();
    let new = others.sign(&["127.0.0.1", "localhost"]);
    new.write(keys.folder.path(), "server");
    printed(&keys.ask(&url, &["reload"], &whole));
    let mut client = hello(&others).on(Client::connect(proxy.admin)).expect("they agree");
    assert!(client.shown() == new.der() && client.shown() != before);
    client.send(format!("GET /healthz HTTP/1.1\r\n{HOST}\r\n\r\n"));
    assert_eq!(client.response().status, 200);
    // What cannot be used is refused, and what was there stays.
    std::fs::write(keys.path("clients.pem"), "nobody").expect("the folder is writable");
    proxy.signal("HUP");
    let told = proxy.until_logged("the configuration was not loaded: everything is as it was");
    assert!(told["error"].as_str().is_some_and(|said| said.contains("admin.tls.clientCa")), "{told}");
    assert!(hello(&others).on(Client::connect(proxy.admin)).is_ok());
}

#[test]
fn what_is_wrong_with_the_tls_of_the_admin_listener_is_told_with_its_place() {
    let folder = folder();
    let file = folder.path().join("portcullis.yaml");
    for (keys, said) in [
        ("tls: {}", "admin.tls.certificates"),
        ("tls: { certificates: [{ cert: no.crt, key: \"file:no.key\" }] }", "admin.tls.certificates[0].cert"),
        ("tls: { certificats: [] }", "did you mean `certificates`?"),
        ("tls: true", "admin.tls: expected a mapping"),
    ] {
        std::fs::write(&file, with(keys, "")).expect("the folder is writable");
        let shown = portcullis(&["check", file.to_str().expect("text")], &[]);
        assert_eq!(shown.status.code(), Some(1));
        let shown = format!("{}{}", stdout(&shown), stderr(&shown));
        assert!(shown.contains(said) && shown.contains("portcullis.yaml:2:"), "{keys}: {shown}");
    }
}

/// A token and its entry for the file, as `portcullis token` makes them.
fn made(role: &str, name: &str) -> (String, String) {
    let output = portcullis(&["token", "--role", role, "--name", name], &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let token = stderr(&output).strip_prefix("token: ").expect("a token").trim().to_owned();
    (token, stdout(&output))
}

fn status(proxy: &Proxy, token: &str) -> u16 {
    proxy.ask("GET", "/v1/status", &[HOST, &format!("Authorization: Bearer {token}")], "").status
}

#[test]
fn row_80_a_token_is_made_shown_once_and_known_by_its_digest() {
    let (token, entry) = made("viewer", "vera: the first");
    let digest: String = Sha256::digest(&token).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(entry, format!("- {{ name: \"vera: the first\", role: viewer, sha256: \"{digest}\" }}\n"));
    assert!(token.len() > 40 && token.starts_with("portcullis_"), "{token}");
    assert_ne!(made("viewer", "vera").0, token);
    let output = portcullis(&["token", "--role", "operator", "--name", "otto", "--json"], &[]);
    let both: Value = serde_json::from_str(&printed(&output)).expect("JSON");
    assert_eq!((&both["entry"]["role"], &both["entry"]["name"]), (&json!("operator"), &json!("otto")));
    assert!(both["token"].as_str().is_some_and(|token| token.starts_with("portcullis_")));
    let said = refused(&portcullis(&["token", "--role", "viewer", "--name", " "], &[]), 1);
    assert!(said.contains("--name is empty"), "{said}");
    refused(&portcullis(&["token", "--role", "chief", "--name", "x"], &[]), 2);
}

#[test]
fn row_80_tokens_come_and_go_with_their_file_and_half_of_it_changes_nothing() {
    let folder = folder();
    let file = folder.path().join("tokens.yaml");
    let write = |text: &str| {
        // As editors and mounted secrets do: another file in its place.
        let new = folder.path().join("new");
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &file)).expect("the folder is writable");
    };
    let ((vera, of_vera), (otto, of_otto)) = (made("viewer", "vera"), made("operator", "otto"));
    write(&format!("tokens:\n{of_vera}"));
    let text = with(&format!("tokens: {file:?}"), "");
    let data = folder.path().join("data");
    let proxy = Proxy::start_watching(&data, &text);
    assert_eq!((status(&proxy, &vera), status(&proxy, &otto)), (200, 401));
    write(&format!("tokens:\n{of_vera}{of_otto}"));
    eventually("the new token", || (status(&proxy, &otto) == 200).then_some(()));
    assert_eq!(status(&proxy, &vera), 200);
    let weight = |token: &str| {
        let fields = [HOST, JSON, &format!("Authorization: Bearer {token}")];
        proxy.ask("PUT", "/v1/weight", &fields, "{\"weight\": 5}").status
    };
    assert_eq!((weight(&vera), weight(&otto)), (403, 200));

    let whole = format!("tokens:\n{of_otto}{of_vera}");
    write(&whole[..whole.len() - 20]);
    let told = proxy.until_logged("the configuration was not loaded: everything is as it was");
    assert!(!told.to_string().contains(&of_otto[of_otto.len() - 40..of_otto.len() - 10]), "{told}");
    assert_eq!((status(&proxy, &vera), status(&proxy, &otto)), (200, 200));
    write(&format!("tokens:\n{of_otto}"));
    eventually("the end of the old token", || (status(&proxy, &vera) == 401).then_some(()));
    assert_eq!(status(&proxy, &otto), 200);
    assert!(!proxy.log().contains(&vera) && !proxy.log().contains(&otto));
}

#[test]
fn a_name_of_a_token_that_is_kept_elsewhere_is_followed_too() {
    let folder = folder();
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("the folder is writable");
    write("secret", "the-first-secret\n");
    write("tokens.yaml", "tokens:\n- { name: otto, role: operator, token: \"file:secret\" }\n");
    let path: &Path = &folder.path().join("tokens.yaml");
    let proxy = Proxy::start_watching(&folder.path().join("data"), &with(&format!("tokens: {path:?}"), ""));
    assert_eq!(status(&proxy, "the-first-secret"), 200);
    write("secret", "the-second-secret\n");
    eventually("the second secret", || (status(&proxy, "the-second-secret") == 200).then_some(()));
    assert_eq!(status(&proxy, "the-first-secret"), 401);
}
