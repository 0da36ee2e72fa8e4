//! A real control plane of Kubernetes on loopback, without a node: etcd, the API server and the controllers as they are
//! released. The step `kubernetes` of tests/run builds them.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use super::{DEADLINE, eventually, eventually_within, folder, stderr, stdout};

/// Ends when it is dropped, or with the process.
pub struct Cluster {
    bin: PathBuf,
    folder: TempDir,
    up: Child,
}

/// A namespace of its own in a cluster, with the commands in it.
pub struct Namespace<'c> {
    pub cluster: &'c Cluster,
    pub name: String,
}

impl Cluster {
    /// The one that the tests of a process share; none where `PORTCULLIS_KUBERNETES` does not name the folder of the programs.
    pub fn shared() -> Option<&'static Cluster> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(Cluster::own).as_ref()
    }

    /// Another one, for a test that stops it.
    pub fn own() -> Option<Cluster> {
        let bin = PathBuf::from(std::env::var_os("PORTCULLIS_KUBERNETES")?);
        let folder = folder();
        let mut up = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes/up"))
            .arg("--until-eof")
            .args([&bin, folder.path()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a script of this repository");
        let mut ready = String::new();
        BufReader::new(up.stdout.take().expect("it was piped")).read_line(&mut ready).expect("text");
        assert_eq!(Path::new(ready.trim_end()), folder.path().join("kubeconfig"), "it says on stderr why not");
        let cluster = Cluster { bin, folder, up };
        let crd = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/crd/gatedrollouts.yaml");
        cluster.done(&["apply", "--server-side", "-f", crd], "");
        eventually("our definition to be served", || {
            cluster.run(&["get", "gro", "--namespace=default"], "").status.success().then_some(())
        });
        Some(cluster)
    }

    /// Of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Where kube-apiserver and the others write.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the API server listens.
    pub fn address(&self) -> std::net::SocketAddr {
        let text = std::fs::read_to_string(self.kubeconfig()).expect("it was written");
        let rest = text.split_once("https://").expect("the server").1;
        rest[..rest.find('"').expect("its end")].parse().expect("an address")
    }

    /// A kubectl of the administrator.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(self.bin.join("kubectl"));
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", self.folder.path());
        command
    }

    /// Runs kubectl with `input`.
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.kubectl();
        command.args(arguments);
        with_input(command, input)
    }

    /// What kubectl printed that went well.
    #[track_caller]
    pub fn done(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(output.status.success(), "{arguments:?}: {}\n{input}", stderr(&output));
        stdout(&output)
    }

    /// A namespace that no other test has.
    pub fn namespace(&self) -> Namespace<'_> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("t{}", MADE.fetch_add(1, Ordering::Relaxed));
        self.done(&["create", "namespace", &name], "");
        Namespace { cluster: self, name }
    }

    /// Kills the API server.
    pub fn stop_api_server(&self) {
        let pid = self.api_server();
        signal("KILL", pid);
        eventually("the end of the API server", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
    }

    /// Runs the API server again, and waits until it answers.
    pub fn start_api_server(&self) {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(self.folder.path().join("apiserver")).stdin(Stdio::null());
        // The kernel ends it when the thread ends that has started it: one that lives as long as the process.
        thread::spawn(move || command.status());
        eventually_within(DEADLINE * 3, "the API server", || {
            self.run(&["get", "--raw", "/readyz"], "").status.success().then_some(())
        });
    }

    fn api_server(&self) -> u32 {
        let pid = std::fs::read_to_string(self.folder.path().join("apiserver.pid")).expect("it was started");
        pid.trim().parse().expect("a number")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It ends with its standard input, and the others with it.
        drop(self.up.stdin.take());
        self.up.wait().ok();
    }
}

impl Namespace<'_> {
    /// Runs kubectl in this namespace with `input`.
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        self.cluster.run(&[&["--namespace", &self.name], arguments].concat(), input)
    }

    /// What kubectl printed that went well.
    #[track_caller]
    pub fn done(&self, arguments: &[&str], input: &str) -> String {
        self.cluster.done(&[&["--namespace", &self.name], arguments].concat(), input)
    }

    /// What kubectl said to what was refused.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(!output.status.success(), "{arguments:?} is not refused: {}\n{input}", stdout(&output));
        stderr(&output)
    }

    #[track_caller]
    pub fn apply(&self, manifest: &str) {
        self.done(&["apply", "-f", "-"], manifest);
    }

    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(&[arguments, &["--output=json"]].concat(), "")).expect("JSON")
    }

    /// The kubeconfig of a service account in a file of its own, which speaks to `server`.
    pub fn account(&self, account: &str, server: std::net::SocketAddr) -> PathBuf {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let token = self.done(&["create", "token", account, "--duration=2h"], "");
        let folder = self.cluster.folder();
        let file = folder.join(format!("account-{}", MADE.fetch_add(1, Ordering::Relaxed)));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{ name: c, cluster: {{ server: \"https://{server}\", tls-server-name: 127.0.0.1, \
             certificate-authority: {}/certificates/apiserver.crt }} }}]\n\
             users: [{{ name: u, user: {{ token: {} }} }}]\n\
             contexts: [{{ name: c, context: {{ cluster: c, user: u, namespace: {} }} }}]\n",
            folder.display(),
            token.trim(),
            self.name
        );
        std::fs::write(&file, text).expect("a file");
        file
    }
}

fn with_input(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("kubectl is built");
    // One that reads nothing has ended.
    child.stdin.take().expect("it was piped").write_all(input.as_bytes()).ok();
    child.wait_with_output().expect("a child of ours")
}

pub fn signal(name: &str, pid: u32) {
    let kill = Command::new("sh").args([OsStr::new("-c"), format!("kill -{name} {pid}").as_ref()]).status();
    assert!(kill.is_ok_and(|status| status.success()), "kill -{name} {pid}");
}
