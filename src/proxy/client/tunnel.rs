//! A tunnel: after an upgrade both sides are joined, byte for byte, until one side ends, nothing moves for long, or the
//! endpoint may serve no longer. A WebSocket is told of the last, between two frames.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::websocket::{Frames, RESTARTS};
use crate::proxy::request::{Service, Tunnel};
use crate::proxy::wire::{Protocol, Side};

/// Bytes held in each direction.
const BUFFER_BYTES: usize = 16 * 1024;

/// Joins both ends. Returns when both directions have ended, on the first error, when nothing moved for `idle`, or at the
/// deadline of one that must end.
pub(super) async fn join(
    service: &Service,
    client: &Side,
    early: Bytes,
    tunnel: Tunnel,
    idle: Duration,
) -> io::Result<()> {
    let upstream = &tunnel.end.side;
    let told = Told::new(tunnel.protocol);
    send(&mut upstream.clone(), &early).await?;
    told.pass(&tunnel.end.early);
    send(&mut client.clone(), &tunnel.end.early).await?;
    let moved = Cell::new(Instant::now());
    let both = async {
        tokio::try_join!(
            copy(client.clone(), upstream.clone(), &moved),
            tell(upstream.clone(), client.clone(), &moved, &told)
        )
    };
    let must_end = async {
        let deadline = tunnel.until_it_must_end(service).await;
        told.leave(client.clone()).await?;
        tokio::time::sleep_until(deadline).await;
        io::Result::Err(io::ErrorKind::ConnectionAborted.into())
    };
    tokio::select! {
        ended = both => ended.map(|_| ()),
        cut = must_end => cut,
        () = idle_for(idle, &moved) => Err(io::ErrorKind::TimedOut.into()),
        () = std::future::poll_fn(|cx| client.poll_reset(cx)) => Err(io::ErrorKind::ConnectionReset.into()),
        () = std::future::poll_fn(|cx| upstream.poll_reset(cx)) => Err(io::ErrorKind::ConnectionReset.into()),
    }
}

/// What the client is told when its tunnel must end.
struct Told {
    /// None where the protocol has no word for it.
    frames: Option<RefCell<Frames>>,
    state: Cell<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// After the frame that is under way.
    Leaving,
    Left,
}

impl Told {
    fn new(protocol: Protocol) -> Told {
        let frames = (protocol == Protocol::WebSocket).then(RefCell::default);
        Told { frames, state: Cell::new(State::Open) }
    }

    fn pass(&self, bytes: &[u8]) {
        if let Some(frames) = &self.frames {
            frames.borrow_mut().pass(bytes);
        }
    }

    async fn leave(&self, mut client: Side) -> io::Result<()> {
        let Some(frames) = &self.frames else { return Ok(()) };
        self.state.set(State::Leaving);
        let between = frames.borrow().is_between();
        if between {
            self.state.set(State::Left);
            send(&mut client, &RESTARTS).await?;
        }
        Ok(())
    }

    /// How many of the endpoint's `bytes` the client still gets. Notes them.
    fn takes(&self, bytes: &[u8]) -> usize {
        match (self.state.get(), &self.frames) {
            (State::Left, _) => 0,
            (State::Leaving, Some(frames)) => frames.borrow_mut().rest_of_frame(bytes),
            (State::Leaving | State::Open, _) => {
                self.pass(bytes);
                bytes.len()
            }
        }
    }

    /// Whether the word is due that ends a WebSocket.
    fn is_due(&self) -> bool {
        self.state.get() == State::Leaving && self.frames.as_ref().is_some_and(|frames| frames.borrow().is_between())
    }
}

/// Flushed, because TLS keeps what the socket has no room for.
async fn send(to: &mut Side, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

async fn copy(mut from: Side, mut to: Side, moved: &Cell<Instant>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        send(&mut to, &buffer[..read]).await?;
        moved.set(Instant::now());
    }
}

/// As [`copy`], towards a client that may have to be told.
async fn tell(mut from: Side, mut to: Side, moved: &Cell<Instant>, told: &Told) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let taken = told.takes(&buffer[..read]);
        send(&mut to, &buffer[..taken]).await?;
        if told.is_due() {
            told.state.set(State::Left);
            send(&mut to, &RESTARTS).await?;
        }
        moved.set(Instant::now());
    }
}

async fn idle_for(idle: Duration, moved: &Cell<Instant>) {
    while moved.get().elapsed() < idle {
        tokio::time::sleep_until(moved.get() + idle).await;
    }
}
