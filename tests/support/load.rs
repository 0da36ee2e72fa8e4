//! Load on kept-alive connections. Every request is accounted for: answered whole, or lost.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use super::backend::LATE;
use super::message::find;
use super::{DEADLINE, eventually_within};

/// Connections that send one request after the other, each on a thread of its own.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Tally>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Nobody connects any more: who is told to close goes.
    leave: AtomicBool,
    mark: AtomicBool,
    answered: AtomicU64,
    late: AtomicU64,
    failed: AtomicU64,
}

/// What became of the requests.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub answered: u64,
    /// Of those answered: with a status of 500 or more.
    pub failed: u64,
    /// Sent and not answered whole, and why.
    pub lost: Vec<String>,
    pub connections: u64,
}

/// How long a test waits for its load: enough for a slow machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

impl Load {
    /// Goes on until it is stopped.
    pub fn start(address: SocketAddr, connections: usize) -> Load {
        Load::with(address, connections, u64::MAX)
    }

    /// Sends `each` requests on every connection, and waits for all answers.
    pub fn run(address: SocketAddr, connections: usize, each: u64) -> Tally {
        Load::with(address, connections, each).join()
    }

    fn with(address: SocketAddr, connections: usize, each: u64) -> Load {
        let shared = Arc::new(Shared::default());
        let threads = (0..connections).map(|_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.drive(address, each))
        });
        Load { threads: threads.collect(), shared }
    }

    /// From here on every request that is started has a target of its own.
    pub fn mark(&self) {
        self.shared.mark.store(true, Ordering::SeqCst);
    }

    /// Whoever is told to close does not connect again, as when a load balancer has seen that it is to leave.
    pub fn leave(&self) {
        self.shared.leave.store(true, Ordering::SeqCst);
    }

    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::SeqCst)
    }

    /// Waits for so many more answers.
    #[track_caller]
    pub fn until_more(&self, requests: u64) {
        let goal = self.answered() + requests;
        eventually_within(PATIENCE, "so many answers", || (self.answered() >= goal).then_some(()));
    }

    /// Waits for so many answers to requests that were started after the mark.
    #[track_caller]
    pub fn until_late(&self, requests: u64) {
        let late = || self.shared.late.load(Ordering::SeqCst);
        eventually_within(PATIENCE, "so many answers after the mark", || (late() >= requests).then_some(()));
    }

    /// Waits for an answer with a status of 500 or more.
    #[track_caller]
    pub fn until_failed(&self) {
        let failed = || self.shared.failed.load(Ordering::SeqCst);
        eventually_within(PATIENCE, "a failed answer", || (failed() > 0).then_some(()));
    }

    /// Lets every connection finish its request.
    pub fn stop(self) -> Tally {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.join()
    }

    /// Waits until every connection has ended by itself.
    pub fn join(self) -> Tally {
        let tallies = self.threads.into_iter().map(|thread| thread.join().expect("a client does not panic"));
        tallies.fold(Tally::default(), Tally::plus)
    }
}

impl Tally {
    fn plus(mut self, other: Tally) -> Tally {
        self.lost.extend(other.lost);
        Tally {
            answered: self.answered + other.answered,
            failed: self.failed + other.failed,
            lost: self.lost,
            connections: self.connections + other.connections,
        }
    }
}

/// One answer, as far as load looks at it.
struct Answer {
    failed: bool,
    close: bool,
}

impl Shared {
    fn drive(&self, address: SocketAddr, each: u64) -> Tally {
        let mut tally = Tally::default();
        let mut open: Option<TcpStream> = None;
        while tally.answered < each && !self.stop.load(Ordering::SeqCst) {
            let connected = open.take().map_or_else(
                || {
                    tally.connections += 1;
                    connect(address)
                },
                Ok,
            );
            let mut stream = match connected {
                Ok(stream) => stream,
                Err(error) => {
                    tally.lost.push(format!("not connected: {error}"));
                    return tally;
                }
            };
            let late = self.mark.load(Ordering::SeqCst);
            match exchange(&mut stream, if late { LATE } else { "/early" }) {
                Ok(Answer { failed, close }) => {
                    tally.answered += 1;
                    tally.failed += u64::from(failed);
                    self.answered.fetch_add(1, Ordering::SeqCst);
                    self.late.fetch_add(u64::from(late), Ordering::SeqCst);
                    self.failed.fetch_add(u64::from(failed), Ordering::SeqCst);
                    if !close {
                        open = Some(stream);
                    } else if self.leave.load(Ordering::SeqCst) {
                        return tally;
                    }
                }
                Err(error) => tally.lost.push(error.to_string()),
            }
        }
        tally
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    Ok(stream)
}

fn exchange(stream: &mut TcpStream, target: &str) -> io::Result<Answer> {
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes())?;
    let mut answer = Vec::with_capacity(512);
    let mut bytes = [0; 2048];
    loop {
        if let Some(head) = find(&answer, b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
            let length = field(&text, "content-length").and_then(|length| length.parse::<usize>().ok());
            let length = length.ok_or_else(|| malformed(&text))?;
            if answer.len() == head + 4 + length {
                let status = text.get(9..12).and_then(|status| status.parse::<u16>().ok());
                let failed = status.ok_or_else(|| malformed(&text))? >= 500;
                return Ok(Answer { failed, close: field(&text, "connection") == Some("close") });
            }
            if answer.len() > head + 4 + length {
                return Err(malformed(&text));
            }
        }
        match stream.read(&mut bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => answer.extend(&bytes[..read]),
        }
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn malformed(head: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed: {head:?}"))
}
