//! The clients: kept-alive connections that ask at a steady pace and count what they get.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::backend::VERSION;
use super::setup::{BLUE, LATENCY_BOUND};

/// All clients. They end when this is dropped.
pub(super) struct Load {
    counts: Rc<Counts>,
    _clients: JoinSet<()>,
}

/// What the clients saw of the requests that they began in one era.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub begun: u64,
    pub ended: u64,
    /// Of those that ended: a 5xx answer, or none.
    pub failed: u64,
    /// Of those that ended: slower than the bound of the latency trigger.
    pub slow: u64,
    /// Of those that ended: answered by blue.
    pub by_blue: u64,
}

/// On which side of the rollback a request began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Era {
    Before,
    After,
}

struct Counts {
    era: Cell<Era>,
    before: Cell<Seen>,
    after: Cell<Seen>,
}

pub(super) const CLIENTS: u32 = 32;

pub(super) const REQUESTS_PER_SECOND: u32 = 2000;

/// The path of the requests that began after the rollback was announced, so that whoever gets one can tell.
pub(super) const AFTER: &str = "/after";

type Sender = SendRequest<Empty<Bytes>>;

impl Load {
    pub(super) fn start(address: SocketAddr) -> Load {
        let counts = Rc::new(Counts { era: Cell::new(Era::Before), before: Cell::default(), after: Cell::default() });
        let mut clients = JoinSet::new();
        let between = Duration::from_secs(1) / REQUESTS_PER_SECOND;
        let began = Instant::now();
        for number in 0..CLIENTS {
            let first = began + between * number;
            clients.spawn_local(client(address, first, between * CLIENTS, Rc::clone(&counts)));
        }
        Load { counts, _clients: clients }
    }

    /// From here on requests belong to [`Load::after`].
    pub(super) fn announce_rollback(&self) {
        self.counts.era.set(Era::After);
    }

    /// Of the requests that began before the rollback was announced.
    pub(super) fn before(&self) -> Seen {
        self.counts.before.get()
    }

    /// Of the requests that began after the rollback was announced.
    pub(super) fn after(&self) -> Seen {
        self.counts.after.get()
    }
}

impl Seen {
    pub(super) const fn under_way(&self) -> u64 {
        self.begun - self.ended
    }

    pub(super) const fn plus(self, other: Seen) -> Seen {
        Seen {
            begun: self.begun + other.begun,
            ended: self.ended + other.ended,
            failed: self.failed + other.failed,
            slow: self.slow + other.slow,
            by_blue: self.by_blue + other.by_blue,
        }
    }
}

impl Counts {
    const fn of(&self, era: Era) -> &Cell<Seen> {
        match era {
            Era::Before => &self.before,
            Era::After => &self.after,
        }
    }
}

impl Era {
    const fn path(self) -> &'static str {
        match self {
            Era::Before => "/",
            Era::After => AFTER,
        }
    }
}

/// One connection, made again when it ends.
async fn client(address: SocketAddr, first: Instant, every: Duration, counts: Rc<Counts>) {
    let mut pace = interval_at(first, every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection = None;
    loop {
        pace.tick().await;
        let era = counts.era.get();
        let seen = counts.of(era);
        seen.set(Seen { begun: seen.get().begun + 1, ..seen.get() });
        let asked_at = Instant::now();
        let answer = ask(&mut connection, address, era.path()).await;
        let (failed, by_blue) = match answer {
            Ok(Answer { status, version }) => (status.is_server_error(), version.is_some_and(|it| it == BLUE)),
            Err(_) => {
                connection = None;
                (true, false)
            }
        };
        let ended = Seen {
            begun: 0,
            ended: 1,
            failed: u64::from(failed),
            slow: u64::from(asked_at.elapsed() > LATENCY_BOUND),
            by_blue: u64::from(by_blue),
        };
        seen.set(seen.get().plus(ended));
    }
}

struct Answer {
    status: StatusCode,
    version: Option<http::HeaderValue>,
}

async fn ask(connection: &mut Option<Sender>, address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    let sender = match connection {
        Some(sender) => sender,
        None => connection.insert(connect(address).await?),
    };
    sender.ready().await?;
    let request = Request::get(path).header(header::HOST, address.to_string()).body(Empty::new())?;
    let (mut parts, body) = sender.send_request(request).await?.into_parts();
    body.collect().await?;
    Ok(Answer { status: parts.status, version: parts.headers.remove(VERSION) })
}

async fn connect(address: SocketAddr) -> anyhow::Result<Sender> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with its sender; what went wrong the request in it is told.
    tokio::task::spawn_local(connection);
    Ok(sender)
}
