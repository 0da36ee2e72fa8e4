//! One process takes over from another, under load and in the middle of a release, or fails to.
//!
//! `PORTCULLIS_TEST_TAKEOVERS=N` replaces so often.

use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, accept, bind, connect, listen, recv, send, sendmsg, socket_with,
};
use serde_json::{Value, json};

use crate::support::{Backend, Client, Load, Proxy, bench, config, eventually, folder, number, portcullis, refused};

const TAKEOVERS: u64 = 3;

/// What an old process waits before it closes connections on which nothing comes.
const SETTINGS: &str = "workers: 2\ndrain: { wait: 3s, deadline: 20s }\n";
const PLAN: &str = "release: { steps: [{ weight: 40%, bake: 1h }], monitoring: 200ms }\n";
const GATE: &str = "gate: { minimumRequests: 5, warmUp: { time: 0s, requests: 0 }, compare: { enabled: false }, \
                    triggers: [{ name: dead, metric: failureStreak, atLeast: 5, action: rollback }] }\n";

/// One request on each of many connections, until it is told to stop. Returns how many there were.
fn connect_anew(address: SocketAddr, target: &str, stop: &AtomicBool) -> u64 {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut requests = 0;
    while !stop.load(Ordering::SeqCst) {
        let response = Client::connect(address).send(&request).response();
        assert_eq!(response.status, 200, "{target}");
        requests += 1;
    }
    requests
}

#[test]
fn row_60_a_binary_that_is_replaced_under_load_loses_and_refuses_nobody_and_its_release_goes_on() {
    let (blue, green) = (Backend::answering(200), Backend::answering(200));
    let text = config(&[blue.address], &[green.address], &format!("{SETTINGS}{PLAN}{}", bench::GATE));
    let data = folder();
    let mut proxy = Proxy::start_in(data.path(), &text);
    let (listen, admin) = (proxy.listen, proxy.admin);
    assert_eq!(proxy.post("/v1/release", &json!({ "reason": "a test" })).status, 200);
    let before = proxy.until(|status| status["weight"] == 40.0);
    let watching = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["watch", "--json", "--admin", &format!("http://{admin}")])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the binary is built");
    let load = Load::start(listen, 4);
    let stop = AtomicBool::new(false);
    let mut old = Vec::new();
    let mut longest = Duration::ZERO;
    let anew = std::thread::scope(|scope| {
        let anew = scope.spawn(|| connect_anew(listen, "/", &stop));
        let asking = scope.spawn(|| connect_anew(admin, "/readyz", &stop));
        for _ in 0..number("PORTCULLIS_TEST_TAKEOVERS").unwrap_or(TAKEOVERS) {
            load.until_more(200);
            let mut idle = proxy.client();
            assert_eq!(idle.get("/").head.all("connection"), [""; 0]);
            let began = Instant::now();
            let next = Proxy::take_over(data.path(), &text);
            longest = longest.max(began.elapsed());
            assert_eq!((next.listen, next.admin), (listen, admin));
            let status = next.status();
            for of in ["epoch", "state", "weight"] {
                assert_eq!(status[of], before[of], "{of}: {status:#}");
            }
            proxy.until_logged("another process has taken over");
            // Who was there before is served by the old one still, and asked to go.
            eventually("a last answer", || (idle.get("/").head.all("connection") == ["close"]).then_some(()));
            let (at_blue, at_green) = (blue.count(), green.count());
            load.until_more(200);
            assert!(blue.count() > at_blue && green.count() > at_green, "the release goes on");
            old.push(std::mem::replace(&mut proxy, next));
        }
        stop.store(true, Ordering::SeqCst);
        asking.join().expect("it is ready all the time");
        anew.join().expect("no connection is refused, and none without an answer")
    });
    assert_eq!(proxy.post("/v1/release/promote", &Value::Null).status, 200);
    let status = proxy.until(|status| status["state"] == "completed");
    assert_eq!((&status["epoch"], &status["blue"]["version"]), (&before["epoch"], &json!("v2")));
    let watched = watching.wait_with_output().expect("a child of ours");
    assert!(watched.status.success(), "{watched:?}");
    let watched = String::from_utf8(watched.stdout).expect("text");
    assert!(watched.contains(r#""kind":"completed""#), "it was told by the last process: {watched}");
    let again = portcullis(&["replay", "v2-1", "--admin", &format!("http://{admin}")], &[]);
    assert!(again.status.success(), "the evidence of all processes is whole: {again:?}");
    let tally = load.stop();
    assert_eq!((tally.lost, tally.failed), (Vec::new(), 0));
    for mut process in old {
        assert_eq!(process.wait_exit().code(), Some(0));
        process.until_logged("drained");
    }
    let total = tally.answered + anew;
    println!("{total} requests, {anew} of them on a connection each; a start took {longest:?} at the longest");
}

#[test]
fn row_60_a_successor_whose_configuration_is_another_is_refused_and_the_running_process_serves_on() {
    let blue = Backend::answering(200);
    let text = config(&[blue.address], &[blue.address], "workers: 2");
    let data = folder();
    let proxy = Proxy::start_in(data.path(), &text);
    assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
    let is = |key: &str, address: SocketAddr| {
        format!("{key} is 127.0.0.2:0 in the configuration, and the socket inherited for it listens on {address}")
    };
    let two = "127.0.0.2:0";
    for (is_now, wanted, why) in [
        ("listen: 127.0.0.1:0\nadmin", format!("listen: {two}\nadmin"), is("listen", proxy.listen)),
        ("admin: { listen: 127.0.0.1:0", format!("admin: {{ listen: {two}"), is("admin.listen", proxy.admin)),
        ("workers: 2", "workers: 3".to_owned(), "workers is 3 in the configuration, and 2 sockets".to_owned()),
        ("workers: 2", "workers: none".to_owned(), "is not usable".to_owned()),
    ] {
        assert!(text.contains(is_now));
        let said = takes_nothing_over(data.path(), &text.replace(is_now, &wanted));
        assert!(said.contains(&why), "{said}");
        proxy.set_weight(30.0);
        assert_eq!(proxy.get("/").status, 200);
    }
    let next = Proxy::take_over(data.path(), &text);
    assert_eq!(next.status()["weight"], 30.0);
}

#[test]
fn row_60_without_a_running_process_or_a_data_directory_there_is_nothing_to_take_over() {
    let blue = Backend::answering(200);
    let text = config(&[blue.address], &[blue.address], "");
    let data = folder();
    let nobody = "nobody is there to take over from: no process listens at ";
    let said = takes_nothing_over(data.path(), &text);
    assert!(said.contains(nobody), "{said}");
    Proxy::start_in(data.path(), &text).crash();
    let said = takes_nothing_over(data.path(), &text);
    assert!(said.contains(nobody), "what a crash leaves behind is nobody: {said}");
    let running = Proxy::start_in(data.path(), &text);
    assert_eq!(Proxy::take_over(data.path(), &text).listen, running.listen, "nor is it in the way");
    let said = refused(&portcullis(&["run", "--config", "x.yaml", "--take-over"], &[]), 2);
    assert!(said.contains("--data <DIR>"), "{said}");
}

/// What a process says that was to take over and does not.
#[track_caller]
fn takes_nothing_over(data: &Path, text: &str) -> String {
    let file = data.join("other.yaml");
    std::fs::write(&file, text).expect("a file");
    let [file, data] = [&file, data].map(|path| path.to_str().expect("text"));
    refused(&portcullis(&["run", "--config", file, "--data", data, "--take-over"], &[]), 1)
}

/// A successor that the test plays.
struct Successor(OwnedFd);

impl Successor {
    fn of(data: &Path) -> Successor {
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let socket = socket.expect("a socket");
        let path = SocketAddrUnix::new(data.join("take-over.sock")).expect("a short path");
        connect(&socket, &path).expect("the proxy listens");
        Successor(socket)
    }

    fn say(&self, word: &Value) {
        send(&self.0, word.to_string().as_bytes(), SendFlags::NOSIGNAL).expect("the proxy listens");
    }

    /// Waits for a word that is, or has, this name.
    fn until(&self, name: &str) -> Value {
        loop {
            let mut bytes = [0; 4096];
            let (length, _) = recv(&self.0, &mut bytes, RecvFlags::empty()).expect("a word");
            assert!(length > 0, "hung up before {name}");
            let word: Value = serde_json::from_slice(&bytes[..length]).expect("a word");
            if word == name || !word[name].is_null() {
                return word;
            }
        }
    }

    /// Goes as far as to have the journal.
    fn with_the_journal(data: &Path) -> Successor {
        let successor = Successor::of(data);
        successor.say(&json!({ "hello": { "protocol": 1, "version": "a test" } }));
        successor.until("all");
        successor.say(&json!("ready"));
        successor.until("yours");
        successor
    }
}

/// Where a successor connects, with the test in the place of the process that was there.
fn in_the_place_of_a_crashed_process(data: &Path) -> OwnedFd {
    let path = data.join("take-over.sock");
    std::fs::remove_file(&path).expect("the one of before");
    let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let listener = listener.expect("a socket");
    bind(&listener, &SocketAddrUnix::new(&path).expect("a short path")).expect("nobody has it");
    listen(&listener, 1).expect("a socket");
    listener
}

/// Hands these sockets over, and says that the epoch was sent to blue in the meantime.
fn hand_over_latched(listener: &OwnedFd, sockets: [TcpListener; 2]) {
    let successor = Successor(accept(listener).expect("a successor"));
    successor.until("hello");
    let [worker, admin] = sockets.map(OwnedFd::from);
    for (role, socket) in [("worker", worker.as_fd()), ("admin", admin.as_fd()), ("takeOver", listener.as_fd())] {
        let word = json!({ "socket": role }).to_string();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let sockets = [socket];
        assert!(control.push(SendAncillaryMessage::ScmRights(&sockets)));
        sendmsg(&successor.0, &[IoSlice::new(word.as_bytes())], &mut control, SendFlags::NOSIGNAL).expect("it listens");
    }
    successor.say(&json!("all"));
    successor.until("ready");
    successor.say(&json!("yours"));
    successor.until("opened");
    successor.say(&json!({ "go": { "latched": 1 } }));
    successor.until("serving");
}

/// A proxy with an open release at 40 %, and its data.
fn releasing(green: &Backend) -> (Backend, String, tempfile::TempDir, Proxy) {
    let blue = Backend::answering(200);
    let text = config(&[blue.address], &[green.address], GATE);
    let data = folder();
    let proxy = Proxy::start_in(data.path(), &text);
    assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
    proxy.set_weight(40.0);
    (blue, text, data, proxy)
}

#[test]
fn row_60_a_successor_that_dies_half_way_leaves_the_old_process_serving_deciding_and_recording() {
    let green = Backend::answering(200);
    let (_blue, text, data, mut proxy) = releasing(&green);
    let load = Load::start(proxy.listen, 2);
    let hello = json!({ "hello": { "protocol": 1, "version": "a test" } });
    let heard: [&[(Value, &str)]; 5] = [
        &[],
        &[(hello.clone(), "all")],
        &[(hello.clone(), "all"), (json!("ready"), "yours")],
        &[(hello.clone(), "all"), (json!("ready"), "yours"), (json!("opened"), "go")],
        &[(json!({ "hello": { "protocol": 2, "version": "a test" } }), "refused")],
    ];
    for (weight, words) in (41_u8..).map(f64::from).zip(heard) {
        let successor = Successor::of(data.path());
        for (said, heard) in words {
            successor.say(said);
            successor.until(heard);
        }
        drop(successor);
        load.until_more(50);
        proxy.set_weight(weight);
        let status = proxy.status();
        assert_eq!((&status["state"], &status["weight"]), (&json!("stepping"), &json!(weight)), "{status:#}");
        assert_eq!(proxy.metric("portcullis_journal_errors_total", &[]), 0.0);
        let history = proxy.call("GET", "/v1/releases", &Value::Null);
        assert_eq!(history.status, 200, "what is recorded can be read: {}", history.text());
    }
    assert_eq!(load.stop().lost, [""; 0]);
    proxy.crash();
    let proxy = Proxy::start_in(data.path(), &text);
    assert_eq!(proxy.status()["weight"], 45.0, "it was on the disk");
}

#[test]
fn row_60_the_journal_that_is_handed_over_has_all_evidence_also_what_no_decision_has_brought_there() {
    let green = Backend::answering(200);
    let (_blue, text, data, mut proxy) = releasing(&green);
    assert_eq!(Load::run(proxy.listen, 2, 100).lost, [""; 0]);
    let of = |status: &Value| ["blue", "green"].iter().filter_map(|of| status[of]["requests"].as_u64()).sum::<u64>();
    proxy.until(|status| of(status) == 200);
    let _successor = Successor::with_the_journal(data.path());
    proxy.crash();
    let proxy = Proxy::start_in(data.path(), &text);
    let evidence = proxy.call("GET", "/v1/releases/v2-1/evidence", &Value::Null).text();
    let slots = evidence.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let recorded: u64 = slots.map(|slot| of(&slot["input"]["tick"])).sum();
    assert_eq!(recorded, 200, "{evidence}");
}

#[test]
fn row_60_a_successor_that_keeps_the_journal_and_does_not_serve_is_an_alarm_and_decisions_go_on() {
    let green = Backend::answering(200);
    let (_blue, text, data, mut proxy) = releasing(&green);
    let successor = Successor::with_the_journal(data.path());
    let lock = File::options().write(true).open(data.path().join("journal.lock")).expect("the lock");
    lock.lock().expect("nobody has it");
    drop(successor);
    proxy.until_metric("portcullis_journal_errors_total", &[], 1.0);
    proxy.set_weight(20.0);
    lock.unlock().expect("ours");
    proxy.until_logged("the journal is back");
    proxy.until_logged("the journal is written again");
    proxy.crash();
    let proxy = Proxy::start_in(data.path(), &text);
    assert_eq!(proxy.status()["weight"], 20.0);
}

#[test]
fn row_60_a_worker_still_sends_everything_to_blue_while_nobody_has_the_journal_and_the_successor_hears_of_it() {
    let green = Backend::answering(200);
    let (blue, _text, data, proxy) = releasing(&green);
    let successor = Successor::with_the_journal(data.path());
    green.answer(500);
    let (load, at_green) = (Load::start(proxy.listen, 2), green.count());
    load.until_failed();
    load.until_more(400);
    let (failed, at_blue) = (green.count() - at_green, blue.count());
    assert!(failed < 200 && at_blue > 100, "{failed} to green, {at_blue} to blue");
    assert_eq!(proxy.status()["state"], "stepping", "nobody has decided anything");
    successor.say(&json!("opened"));
    assert_eq!(successor.until("go"), json!({ "go": { "latched": 1 } }));
    drop(successor);
    let status = proxy.until(|status| status["state"] == "rolledBack");
    assert_eq!(status["rollback"]["trigger"], "dead", "{status:#}");
    load.stop();
}

#[test]
fn row_60_a_successor_that_hears_of_a_worker_s_verdict_sends_nothing_to_green_and_records_the_rollback() {
    let green = Backend::answering(200);
    let (_blue, text, data, mut proxy) = releasing(&green);
    proxy.crash();
    let sockets = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    for socket in &sockets {
        socket.set_nonblocking(true).expect("a socket");
    }
    let proxy = std::thread::scope(|scope| {
        let listener = in_the_place_of_a_crashed_process(data.path());
        let predecessor = scope.spawn(move || hand_over_latched(&listener, sockets));
        let proxy = Proxy::take_over(data.path(), &text);
        predecessor.join().expect("the proxy keeps to the protocol");
        proxy
    });
    let at_green = green.count();
    assert_eq!(Load::run(proxy.listen, 2, 50).lost, [""; 0]);
    assert_eq!(green.count(), at_green);
    let status = proxy.until(|status| status["state"] == "rolledBack");
    assert_eq!(status["epoch"], 1, "{status:#}");
}
