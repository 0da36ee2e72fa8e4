//! The two sides of the proxy that a test plays, the proxy itself, and bounded waiting.
//!
//! Everything is a plain thread on a plain socket, so that a test decides every byte and when it is sent.

#![allow(dead_code, unused_imports, reason = "shared by modules that need different parts of it")]

pub mod backend;
pub mod bench;
pub mod client;
pub mod cluster;
pub mod collector;
pub mod command;
pub mod events;
pub mod grpc;
pub mod grpc_client;
pub mod http2;
pub mod http2_upstream;
pub mod kubernetes;
pub mod load;
pub mod mail;
pub mod message;
pub mod names;
pub mod proxy;
pub mod tls;
pub mod tls_upstream;
pub mod upstream;

use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub use backend::Backend;
pub use bench::{Bench, folder};
pub use client::{Client, Cut, End};
pub use collector::Collector;
pub use command::{Running, portcullis, printed, refused, stderr, stdout};
pub use events::{Event, Listener};
pub use http2::{Frames, Http2};
pub use http2_upstream::{Call, Http2Upstream};
pub use kubernetes::ApiServer;
pub use load::{Load, Tally};
pub use message::{Head, Request, Response};
pub use names::{Answers, NameServer};
pub use proxy::{Proxy, config};
pub use tls::{Authority, Hello, Signed, TlsClient, TlsEnd};
pub use tls_upstream::{Shaken, Shows, TlsConnection, TlsUpstream};
pub use upstream::{Connection, Upstream};

/// No wait of a test is longer: what takes this long has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A number that the environment chooses for a test.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a whole number")))
}

/// Whether a program is there. Says so past the capture of the test's output when it is not.
pub fn have(program: &str) -> bool {
    let there = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        writeln!(std::io::stderr(), "\nskipped: {program} (a test needs it, and it is not installed)").expect("stderr");
    }
    there
}

/// Looks again and again until `look` finds something.
#[track_caller]
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_within(DEADLINE, what, look)
}

#[track_caller]
pub fn eventually_within<T>(longest: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + longest;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {} s: {what}", longest.as_secs());
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Writes up to `length` bytes and returns how many were taken before `for_so_long` passed without room for more.
pub fn send_until_held_back(mut stream: &TcpStream, length: usize, for_so_long: Duration) -> usize {
    let bytes = vec![b'a'; 64 * 1024];
    let mut sent = 0;
    stream.set_write_timeout(Some(for_so_long)).expect("a socket");
    while sent < length {
        match stream.write(&bytes[..bytes.len().min(length - sent)]) {
            Ok(written) => sent += written,
            Err(_) => break,
        }
    }
    stream.set_write_timeout(Some(DEADLINE)).expect("a socket");
    sent
}
