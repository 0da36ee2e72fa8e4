//! The built proxy as a process of its own, and its admin API.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use serde_json::{Value, json};

use super::message::Response;
use super::{ApiServer, Client, DEADLINE, Upstream, eventually};

/// A script of a shell that runs a command with its standard input and output as the sockets from systemd.
pub const AS_SYSTEMD: &str =
    "exec 3<&0 4<&1; export LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=proxy:admin; exec \"$@\"";

/// Runs until it is dropped.
pub struct Proxy {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    file: PathBuf,
}

/// A configuration on free ports with one worker and without a shield, which would hide what green does. `rest` is more YAML and
/// may set both.
pub fn config(blue: &[SocketAddr], green: &[SocketAddr], rest: &str) -> String {
    let list = |endpoints: &[SocketAddr]| {
        let quoted: Vec<String> = endpoints.iter().map(|endpoint| format!("\"{endpoint}\"")).collect();
        quoted.join(", ")
    };
    let workers = if rest.contains("workers:") { "" } else { "workers: 1\n" };
    let shield = if rest.contains("shield:") { "" } else { "shield: off\n" };
    format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\n{workers}\
         blue: {{ version: v1, endpoints: [{}] }}\ngreen: {{ version: v2, endpoints: [{}] }}\n{rest}\n{shield}",
        list(blue),
        list(green)
    )
}

impl Proxy {
    /// In front of `blue` alone: green gets nothing at weight 0.
    pub fn before(blue: &Upstream) -> Proxy {
        Proxy::before_with(blue, "")
    }

    pub fn before_with(blue: &Upstream, rest: &str) -> Proxy {
        Proxy::start(&config(&[blue.address], &[SocketAddr::from(([127, 0, 0, 1], 1))], rest))
    }

    /// Starts with the configuration `text` and waits until it serves.
    pub fn start(text: &str) -> Proxy {
        Proxy::start_logging(text, "info")
    }

    /// Starts with a journal in `data`.
    pub fn start_in(data: &Path, text: &str) -> Proxy {
        Proxy::start_by(&[], data, text)
    }

    /// As [`Proxy::start_in`], by another program, which is given the proxy and its arguments.
    pub fn start_by(program: &[&str], data: &Path, text: &str) -> Proxy {
        Proxy::launch(program, text, "info", &["--data".as_ref(), data.as_ref()])
    }

    /// Starts with a journal in `data`, and reads its configuration again whenever the file changes.
    pub fn start_watching(data: &Path, text: &str) -> Proxy {
        Proxy::launch(&[], text, "info", &["--watch".as_ref(), "--data".as_ref(), data.as_ref()])
    }

    /// Starts in the place of the process that has the journal in `data`.
    pub fn take_over(data: &Path, text: &str) -> Proxy {
        Proxy::launch(&[], text, "info", &["--data".as_ref(), data.as_ref(), "--take-over".as_ref()])
    }

    /// Starts on these sockets, as systemd does with those that it names `proxy` and `admin`.
    pub fn start_on(proxy: TcpListener, admin: TcpListener, text: &str) -> Proxy {
        let [proxy, admin] = [proxy, admin].map(|socket| Stdio::from(OwnedFd::from(socket)));
        Proxy::launch_with([proxy, admin], &["sh", "-c", AS_SYSTEMD, "sh"], text, "info", &[])
    }

    /// Starts where a new connection to an endpoint takes so many milliseconds.
    pub fn start_with_dear_connections(text: &str, millis: u64) -> Proxy {
        Proxy::launch(&["env", &format!("PORTCULLIS_FAULT_CONNECT_MS={millis}")], text, "info", &[])
    }

    /// Starts with so many file descriptors at most.
    pub fn start_with_descriptors(limit: u32, text: &str) -> Proxy {
        Proxy::launch(&["sh", "-c", &format!("ulimit -n {limit}; exec \"$@\""), "sh"], text, "info", &[])
    }

    /// Starts with a log of this level.
    pub fn start_logging(text: &str, level: &str) -> Proxy {
        Proxy::launch(&[], text, level, &[])
    }

    /// Starts a replica of what the custom resource `NAMESPACE/NAME` says, with these arguments and this environment.
    pub fn of_resource(program: &[&str], resource: &str, arguments: &[&str], environment: &[(&str, &OsStr)]) -> Proxy {
        let words = [program, &[env!("CARGO_BIN_EXE_portcullis"), "run", "--resource", resource], arguments].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("RUST_LOG", "info").envs(environment.iter().copied()).stdin(Stdio::null());
        Proxy::serving(command, PathBuf::new())
    }

    fn launch(program: &[&str], text: &str, level: &str, arguments: &[&OsStr]) -> Proxy {
        Proxy::launch_with([Stdio::null(), Stdio::inherit()], program, text, level, arguments)
    }

    fn launch_with(
        [stdin, stdout]: [Stdio; 2],
        program: &[&str],
        text: &str,
        level: &str,
        arguments: &[&OsStr],
    ) -> Proxy {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}.yaml", std::process::id()));
        std::fs::write(&file, text).expect("the target folder can be written");
        let words = [program, &[env!("CARGO_BIN_EXE_portcullis"), "run", "--config"]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(&file).args(arguments).env("RUST_LOG", level).stdin(stdin).stdout(stdout);
        Proxy::serving(command, file)
    }

    /// Starts by a resource of Kubernetes, `NAME` or `NAMESPACE/NAME`, and waits until it serves.
    pub fn start_by_resource(server: &ApiServer, name: &str, arguments: &[&str]) -> Proxy {
        Proxy::start_by_kubeconfig(&server.kubeconfig(), name, arguments)
    }

    /// As [`Proxy::start_by_resource`], by another way to the API server.
    pub fn start_by_kubeconfig(kubeconfig: &Path, name: &str, arguments: &[&str]) -> Proxy {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["run", "--resource", name]).args(arguments).env("KUBECONFIG", kubeconfig);
        command.env_remove("POD_NAME").env_remove("POD_IP").env("RUST_LOG", "info").stdin(Stdio::null());
        Proxy::serving(command, PathBuf::new())
    }

    /// Waits until what `command` runs serves, and removes `file` after it.
    fn serving(mut command: Command, file: PathBuf) -> Proxy {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary is built");
        let stderr = BufReader::new(child.stderr.take().expect("it was piped"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (serving, served) = mpsc::channel();
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in stderr.lines().map_while(Result::ok) {
                    let line: Value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                    if line["message"] == "serving" {
                        let address = |name: &str| line[name].as_str().and_then(|address| address.parse().ok());
                        // An error means that the test has given up waiting.
                        serving.send(address("listen").zip(address("admin"))).ok();
                    }
                    log.lock().expect("no test panics with the lock held").push(line);
                }
            }
        });
        let addresses = served.recv_timeout(DEADLINE).ok().flatten();
        let Some((listen, admin)) = addresses else {
            child.kill().ok();
            panic!("it does not serve: {:#?}", log.lock());
        };
        Proxy { listen, admin, child, log, file }
    }

    pub fn client(&self) -> Client {
        Client::connect(self.listen)
    }

    /// One GET on a connection of its own.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.client().get(target)
    }

    /// Lines of the log with this message.
    pub fn logged(&self, message: &str) -> Vec<Value> {
        let log = self.log.lock().expect("no test panics with the lock held");
        log.iter().filter(|line| line["message"] == message).cloned().collect()
    }

    /// Everything that was logged.
    pub fn log(&self) -> String {
        let log = self.log.lock().expect("no test panics with the lock held");
        log.iter().map(|line| format!("{line}\n")).collect()
    }

    #[track_caller]
    pub fn until_logged(&self, message: &str) -> Value {
        eventually(message, || self.logged(message).into_iter().next())
    }

    /// What is written reaches a test later than what is answered.
    #[track_caller]
    pub fn until_logged_times(&self, message: &str, times: usize) -> Vec<Value> {
        eventually(message, || Some(self.logged(message)).filter(|lines| lines.len() == times))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn sigterm(&self) {
        self.signal("TERM");
    }

    pub fn signal(&self, name: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status();
        assert!(kill.is_ok_and(|status| status.success()));
    }

    /// Its configuration, where a test may write another one.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Ends it without a word, as a crash does, and waits until it is gone.
    pub fn crash(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("a child of ours");
    }

    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        eventually("the end of the process", || self.child.try_wait().expect("a child of ours"))
    }

    /// Memory of its own, in bytes: not what is mapped from the binary.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a running process has it");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of KiB") * 1024
    }

    /// A request to the admin API.
    #[track_caller]
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Response {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let host = format!("Host: {}", self.admin);
        self.ask(method, path, &[&host, "Content-Type: application/json"], &body)
    }

    /// A request to the admin API with these fields and no others.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, fields: &[&str], body: &str) -> Response {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.1\r\n{fields}Content-Length: {length}\r\n\r\n{body}");
        Client::connect(self.admin).send(request).response()
    }

    #[track_caller]
    pub fn status(&self) -> Value {
        let response = self.call("GET", "/v1/status", &Value::Null);
        serde_json::from_slice(&response.body).expect("the status is JSON")
    }

    /// Sets green's percent, which holds when this returns.
    #[track_caller]
    pub fn set_weight(&self, percent: f64) {
        let response = self.call("PUT", "/v1/weight", &json!({ "weight": percent, "reason": "a test" }));
        assert_eq!(response.status, 200, "{}", response.text());
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Response {
        self.call("POST", path, body)
    }

    /// Waits for a status as `wanted` and returns it.
    #[track_caller]
    pub fn until(&self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let deadline = Instant::now() + DEADLINE;
        let found = std::panic::Location::caller();
        eventually("the status that the test waits for", || {
            last = self.status();
            assert!(Instant::now() < deadline, "{found}: {last:#}");
            wanted(&last).then(|| last.clone())
        })
    }

    /// Waits until so many requests count for or against blue, and checks how many of them failed.
    #[track_caller]
    pub fn until_charged(&self, requests: u64, failures: u64) {
        let status = self.until(|status| status["blue"]["requests"].as_u64() >= Some(requests));
        let counted = (status["blue"]["requests"].as_u64(), status["blue"]["failures"].as_u64());
        assert_eq!(counted, (Some(requests), Some(failures)), "{status:#}");
    }

    pub fn metrics(&self) -> String {
        self.call("GET", "/metrics", &Value::Null).text()
    }

    /// The sum of the samples of `name` whose labels hold every one of `labels`, such as `outcome="reset"`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        sum(&self.metrics(), name, labels)
    }

    /// Waits until a metric has this value.
    #[track_caller]
    pub fn until_metric(&self, name: &str, labels: &[&str], value: f64) {
        let caller = std::panic::Location::caller();
        let deadline = Instant::now() + DEADLINE;
        eventually(name, || {
            let metrics = self.metrics();
            let is = sum(&metrics, name, labels);
            assert!(Instant::now() < deadline, "{caller}: {name}{labels:?} is {is}, not {value}\n{metrics}");
            (is == value).then_some(())
        });
    }

    /// Waits until so many requests have come to `outcome`.
    #[track_caller]
    pub fn until_outcome(&self, outcome: &str, requests: u64) {
        self.until_metric("portcullis_requests_total", &[&format!("outcome=\"{outcome}\"")], requests as f64);
    }
}

fn sum(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let of_name = metrics.lines().filter_map(|line| line.strip_prefix(name));
    let samples =
        of_name.filter(|rest| rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label)));
    samples.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Errors mean that it has ended, or that there is nothing to remove.
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_file(&self.file).ok();
        if std::thread::panicking() {
            eprintln!("the proxy's log: {:#?}", self.log.lock());
        }
    }
}
