//! Endpoints that are sockets in the file system: all that holds of others holds of them.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, mpsc};

use serde_json::json;
use socket2::{Domain, SockAddr, Socket, Type};
use tempfile::TempDir;

use crate::support::message::{self, Source};
use crate::support::{Backend, Cut, Proxy, Request, config, eventually, folder, portcullis};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";

/// A socket on which everything is answered by a script.
struct Local {
    path: String,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<Mutex<usize>>,
}

/// One connection to it.
struct Connection {
    stream: UnixStream,
    buffer: Vec<u8>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Local {
    /// Runs `script` on a thread of its own for each connection, which ends when it returns.
    fn scripted(path: String, script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Local {
        let listener = UnixListener::bind(&path).expect("a folder of the test's own");
        let (requests, connections) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::<Mutex<usize>>::default());
        let local = Local { path, requests: Arc::clone(&requests), connections: Arc::clone(&connections) };
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                *connections.lock().expect("no panic with it") += 1;
                let (script, requests) = (Arc::clone(&script), Arc::clone(&requests));
                std::thread::spawn(move || script(&mut Connection { stream, buffer: Vec::new(), requests }));
            }
        });
        local
    }

    fn answering(path: String, answer: &'static str) -> Local {
        Local::scripted(path, move |connection| {
            while connection.request().is_some() {
                connection.send(answer);
            }
        })
    }

    fn count(&self) -> usize {
        self.requests().len()
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic with it").clone()
    }

    fn connections(&self) -> usize {
        *self.connections.lock().expect("no panic with it")
    }
}

impl Connection {
    /// The next whole request; none when the proxy has ended the connection.
    fn request(&mut self) -> Option<Request> {
        let mut request = message::read_request_head(self).ok()??;
        message::read_request_body(self, &mut request).ok()?;
        self.requests.lock().expect("no panic with it").push(request.clone());
        Some(request)
    }

    /// Sends; whether the proxy took it is for the test to see.
    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).ok();
    }
}

impl Source for Connection {
    fn more(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; 64 * 1024];
        let read = self.stream.read(&mut bytes)?;
        bytes.truncate(read);
        Ok((read > 0).then_some(bytes))
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }
}

/// The path of a socket that is not there yet.
fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().expect("a folder of ours").to_owned()
}

/// One worker in front of blue at these endpoints.
fn before(blue: &[&str], rest: &str) -> Proxy {
    let list: Vec<String> = blue.iter().map(|endpoint| format!("\"{endpoint}\"")).collect();
    Proxy::start(&config(&[], &[], rest).replacen("endpoints: []", &format!("endpoints: [{}]", list.join(", ")), 1))
}

fn at(path: &str) -> String {
    format!("unix:{path}")
}

#[test]
fn an_endpoint_may_be_a_socket_in_the_file_system() {
    let folder = folder();
    let blue = Local::answering(path(&folder, "app@1.sock"), OK);
    let proxy = before(&[&at(&blue.path)], "");
    let mut client = proxy.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").text(), "ok");
        assert_eq!(client.send(POST).response().status, 200);
    }
    assert_eq!((blue.count(), blue.connections()), (40, 1));
    assert_eq!(proxy.client().send("GET / HTTP/1.0\r\n\r\n").response().status, 200);
    let hosts: Vec<String> = [0, 40].map(|index| blue.requests()[index].head.one("host")).to_vec();
    assert_eq!(hosts, ["test", "localhost"]);
    let endpoint = format!("endpoint=\"{}\"", at(&blue.path));
    proxy.until_metric("portcullis_endpoint_healthy", &["version=\"blue\"", &endpoint], 1.0);
    proxy.until_charged(41, 0);
}

#[test]
fn large_bodies_pass_both_ways_through_a_socket_in_the_file_system() {
    let folder = folder();
    let blue = Local::scripted(path(&folder, "app.sock"), |connection| {
        while let Some(request) = connection.request() {
            connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.body.len()));
            connection.send(&request.body);
        }
    });
    let proxy = before(&[&at(&blue.path)], "");
    let body: Vec<u8> = (0..4 * 1024 * 1024_u32).map(|number| (number % 251) as u8).collect();
    let mut client = proxy.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len())).send(&body);
    assert!(client.response().body == body);
}

#[test]
fn row_38_a_socket_that_is_missing_or_that_nobody_listens_on_is_502_and_charged_until_somebody_does() {
    let folder = folder();
    let (missing, left) = (path(&folder, "missing.sock"), path(&folder, "left.sock"));
    drop(UnixListener::bind(&left).expect("a folder of the test's own"));
    for path in [missing, left] {
        let proxy = before(&[&at(&path)], "");
        let mut client = proxy.client();
        let response = client.get("/");
        let said = (response.status, response.head.one("proxy-status"));
        assert_eq!(said, (502, "portcullis; error=connection_refused".to_owned()), "{path}");
        proxy.until_outcome("connect_error", 1);
        proxy.until_charged(1, 1);
        // Where a socket was left, it has to be removed first.
        std::fs::remove_file(&path).ok();
        let _blue = Local::answering(path, OK);
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn row_39_a_socket_whose_queue_is_full_is_waited_for_and_then_504_and_charged() {
    let folder = folder();
    let path = path(&folder, "app.sock");
    let address = SockAddr::unix(&path).expect("a short path");
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    socket.bind(&address).and_then(|()| socket.listen(0)).expect("a folder of the test's own");
    let _queued = UnixStream::connect(&path).expect("the queue holds one");
    let proxy = before(&[&at(&path)], "timeouts: { connect: 100ms }");
    assert_eq!(proxy.get("/").status, 504);
    proxy.until_outcome("timeout", 1);
    proxy.until_charged(1, 1);
}

#[test]
fn row_42_death_within_an_answer_of_a_socket_is_seen_by_the_client_and_charged() {
    let folder = folder();
    let blue = Local::scripted(path(&folder, "app.sock"), |connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
    });
    let proxy = before(&[&at(&blue.path)], "");
    let cut = proxy.client().send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").try_response().expect_err("it is cut off");
    assert!([Cut::Short, Cut::Reset].contains(&cut), "{cut:?}");
    proxy.until_outcome("truncated", 1);
    proxy.until_charged(1, 1);
}

#[test]
fn row_41_a_post_is_not_sent_on_a_kept_connection_to_a_socket_that_has_been_closed() {
    let (folder, (closed, wait)) = (folder(), mpsc::channel());
    let blue = Local::scripted(path(&folder, "app.sock"), move |connection| {
        connection.request();
        connection.send(OK);
        connection.stream.shutdown(std::net::Shutdown::Both).expect("an open socket");
        // An error means that the test is over.
        closed.send(()).ok();
    });
    let proxy = before(&[&at(&blue.path)], "");
    let mut client = proxy.client();
    assert_eq!(client.get("/").status, 200);
    wait.recv().expect("blue closes");
    assert_eq!(client.send(POST).response().status, 200);
    assert_eq!(blue.connections(), 2);
    proxy.until_charged(2, 0);
}

#[test]
fn row_47_a_dead_socket_among_others_is_ejected_and_no_client_sees_an_error() {
    let folder = folder();
    let (dead, blue, other) =
        (path(&folder, "dead.sock"), Local::answering(path(&folder, "app.sock"), OK), Backend::answering(200));
    let proxy = before(&[&at(&dead), &at(&blue.path), &other.address.to_string()], "");
    let mut client = proxy.client();
    for number in 0..100 {
        assert_eq!(client.get("/").status, 200, "{number}");
    }
    assert!(blue.count() > 0 && other.count() > 0);
    proxy.until(|status| status["blue"]["healthyEndpoints"] == 2);
    proxy.until_charged(100, 0);
    assert_eq!(proxy.until_logged("endpoint ejected")["endpoint"], at(&dead));
}

#[test]
fn health_checks_go_through_a_socket_in_the_file_system() {
    let folder = folder();
    let path = path(&folder, "app.sock");
    let check = "healthCheck: { path: /healthz, interval: 100ms, unhealthyAfter: 2 }";
    let list = format!("version: v1, {check}, endpoints: [\"{}\"]", at(&path));
    let proxy = Proxy::start(&config(&[], &[], "").replacen("version: v1, endpoints: []", &list, 1));
    let line = proxy.until_logged("endpoint unhealthy");
    assert_eq!(line["endpoint"], at(&path));
    assert_eq!(proxy.get("/").status, 503);
    proxy.until(|status| status["blue"]["healthyEndpoints"] == 0);
    let blue = Local::answering(path, OK);
    proxy.until(|status| status["blue"]["healthyEndpoints"] == 1);
    assert_eq!(proxy.get("/").status, 200);
    let checked = &blue.requests()[0];
    let said = (checked.target.as_str(), checked.head.one("user-agent"), checked.head.one("host"));
    assert_eq!(said, ("/healthz", "portcullis-health".to_owned(), "localhost".to_owned()));
}

#[test]
fn a_socket_may_be_named_by_a_release_and_by_the_api_while_it_runs() {
    let folder = folder();
    let (first, second) =
        (Local::answering(path(&folder, "1.sock"), OK), Local::answering(path(&folder, "2.sock"), OK));
    let text = config(&[], &[], "").replacen("endpoints: []", &format!("endpoints: [{}]", at(&first.path)), 1);
    let data = crate::support::folder();
    let mut proxy = Proxy::start_in(data.path(), &text);
    let url = format!("http://{}", proxy.admin);
    let named = ["release", "start", "--admin", &url, "--green", "v3", "--endpoint", &at(&second.path)];
    let started = portcullis(&named, &[]);
    assert!(started.status.success(), "{started:?}");
    proxy.set_weight(100.0);
    assert_eq!((proxy.get("/").status, first.count(), second.count()), (200, 0, 1));
    assert_eq!(proxy.post("/v1/release/rollback", &json!({})).status, 200);

    let put = |list: serde_json::Value| {
        proxy.call("PUT", "/v1/versions/blue/endpoints", &json!({ "endpoints": list, "reason": "a test" }))
    };
    assert_eq!(put(json!([at(&second.path)])).status, 200);
    let wrong = put(json!(["unix:run/app.sock"]));
    assert_eq!(wrong.status, 422);
    assert!(wrong.text().contains("has no absolute path"), "{}", wrong.text());
    assert_eq!((proxy.get("/").status, second.count()), (200, 2));

    proxy.crash();
    let proxy = Proxy::start_in(data.path(), &text);
    assert_eq!((proxy.get("/").status, second.count()), (200, 3), "the journal has it");
    eventually("the difference", || proxy.status()["difference"].as_str().map(|said| said.contains(&second.path)));
}
