//! What systemd gives a process and is told by it, with the test in its place.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use crate::support::proxy::AS_SYSTEMD;
use crate::support::{Backend, Client, DEADLINE, Proxy, config, eventually, folder, stderr};

/// Where the process tells how it is.
struct Manager {
    socket: UnixDatagram,
    variable: String,
}

impl Manager {
    fn new(folder: &Path) -> Manager {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(DEADLINE)).expect("a socket");
        Manager { socket, variable: format!("NOTIFY_SOCKET={}", path.display()) }
    }

    /// The lines of the next message that is no sign of life.
    #[track_caller]
    fn hear(&self) -> Vec<String> {
        loop {
            let lines = self.message();
            if lines != ["WATCHDOG=1"] {
                return lines;
            }
        }
    }

    #[track_caller]
    fn message(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("a message in time");
        let text = std::str::from_utf8(&bytes[..length]).expect("text");
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn systemd_hears_when_the_process_is_ready_reloads_lives_is_replaced_and_stops() {
    let blue = Backend::answering(200);
    let text = config(&[blue.address], &[blue.address], "drain: { wait: 0s }");
    let (data, other) = (folder(), folder());
    let manager = Manager::new(data.path());
    let environment = ["env", &manager.variable, "WATCHDOG_USEC=100000"];
    let mut proxy = Proxy::start_by(&environment, data.path(), &text);
    assert_eq!(manager.hear(), ["READY=1", "STATUS=serving"]);
    eventually("a sign of life", || (manager.message() == ["WATCHDOG=1"]).then_some(()));

    proxy.signal("HUP");
    let reloading = manager.hear();
    assert_eq!(reloading[0], "RELOADING=1");
    let since = reloading[1].strip_prefix("MONOTONIC_USEC=").and_then(|since| since.parse::<u64>().ok());
    assert!(since.is_some_and(|since| since > 0), "{reloading:?}");
    assert_eq!(manager.hear(), ["READY=1", "STATUS=serving"]);
    std::fs::write(proxy.file(), "listen: nowhere").expect("a file");
    proxy.signal("HUP");
    assert_eq!(manager.hear()[0], "RELOADING=1");
    let refused = manager.hear();
    assert_eq!(refused[0], "READY=1", "it goes on as it was");
    assert!(refused[1].starts_with("STATUS=serving; the last configuration was not loaded: "), "{refused:?}");

    let mut next = Proxy::take_over(data.path(), &text);
    assert_eq!(manager.hear(), [format!("MAINPID={}", next.pid())]);
    assert_eq!(proxy.wait_exit().code(), Some(0));
    next.sigterm();
    assert_eq!(next.wait_exit().code(), Some(0));

    let mut alone = Proxy::start_by(&environment, other.path(), &text);
    assert_eq!(manager.hear(), ["READY=1", "STATUS=serving"]);
    alone.sigterm();
    assert_eq!(manager.hear(), ["STOPPING=1", "STATUS=draining"]);
    assert_eq!(alone.wait_exit().code(), Some(0));
}

#[test]
fn sigusr2_replaces_the_process_by_the_program_that_is_in_its_place_by_now() {
    let blue = Backend::answering(200);
    let text = config(&[blue.address], &[blue.address], "drain: { wait: 0s }");
    let data = folder();
    let mut proxy = Proxy::start_in(data.path(), &text);
    proxy.signal("USR2");
    let pid = proxy.until_logged("a successor was started")["pid"].as_u64().expect("a number");
    let _successor = Started(pid);
    assert_eq!(proxy.wait_exit().code(), Some(0));
    assert_eq!(proxy.get("/").status, 200, "the successor serves");
    proxy.until_logged_times("serving", 2);
}

/// A process that is no child of ours, and ends with the test.
struct Started(u64);

impl Drop for Started {
    fn drop(&mut self) {
        let killed = Command::new("sh").args(["-c", &format!("kill -KILL {}", self.0)]).status();
        assert!(std::thread::panicking() || killed.is_ok_and(|status| status.success()));
    }
}

fn bound() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    (listener, address)
}

#[test]
fn sockets_that_systemd_has_bound_are_served_on_by_all_workers_and_who_came_before_the_start_is_answered() {
    let blue = Backend::answering(200);
    let ((proxy, listen), (admin, admin_address)) = (bound(), bound());
    let text = config(&[blue.address], &[blue.address], "workers: 2");
    let text = text.replace("listen: 127.0.0.1:0\nadmin", &format!("listen: {listen}\nadmin"));
    let mut early = Client::connect(listen);
    early.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let proxy = Proxy::start_on(proxy, admin, &text);
    assert_eq!((proxy.listen, proxy.admin), (listen, admin_address));
    assert_eq!(early.response().status, 200);
    assert_eq!(proxy.status()["state"], "idle");
}

#[test]
fn a_socket_of_systemd_that_is_not_the_configured_one_is_named() {
    let blue = Backend::answering(200);
    let ((proxy, listen), (admin, _)) = (bound(), bound());
    let text = config(&[blue.address], &[blue.address], "");
    let text = text.replace("listen: 127.0.0.1:0\nadmin", "listen: 127.0.0.2:0\nadmin");
    let folder = folder();
    let file = folder.path().join("portcullis.yaml");
    std::fs::write(&file, text).expect("a file");
    let output = Command::new("timeout")
        .args([
            &DEADLINE.as_secs().to_string(),
            "sh",
            "-c",
            AS_SYSTEMD,
            "sh",
            env!("CARGO_BIN_EXE_portcullis"),
            "run",
            "--config",
        ])
        .arg(file)
        .stdin(OwnedFd::from(proxy))
        .stdout(OwnedFd::from(admin))
        .output()
        .expect("the binary is built");
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    let why =
        format!("listen is 127.0.0.2:0 in the configuration, and the socket inherited for it listens on {listen}");
    assert!(said.contains(&why), "{said}");
}
