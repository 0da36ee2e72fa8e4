//! Signs of life, on a clock that waits for nobody.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use super::until_silent;

const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;

/// What an endpoint does with a PING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pings {
    Answered,
    Ignored,
}

/// An endpoint that says nothing unasked.
struct Endpoint {
    pings: Pings,
    began: Instant,
    /// When it was last heard.
    last: Cell<Instant>,
    /// When it was asked for a sign of life.
    asked: RefCell<Vec<u64>>,
}

impl Endpoint {
    async fn send(&self, to: &mut DuplexStream, kind: u8, flags: u8, payload: &[u8]) {
        let frame = [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 0][..], payload].concat();
        to.write_all(&frame).await.expect("an open connection");
        self.last.set(Instant::now());
    }

    async fn run(&self, mut stream: DuplexStream) -> io::Result<()> {
        stream.read_exact(&mut [0; 24]).await?;
        self.send(&mut stream, SETTINGS, 0, &[]).await;
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            stream.read_exact(&mut payload).await?;
            match (head[3], head[4] & ACK) {
                (SETTINGS, 0) => self.send(&mut stream, SETTINGS, ACK, &[]).await,
                (PING, 0) => {
                    self.asked.borrow_mut().push(self.began.elapsed().as_secs());
                    if self.pings == Pings::Answered {
                        self.send(&mut stream, PING, ACK, &payload).await;
                    }
                }
                _ => {}
            }
        }
    }
}

/// After how many seconds of a thousand a connection ends that carries so many requests, and when it asked. Once the endpoint
/// `speaks`, so many seconds after the beginning.
async fn played(under_way: usize, pings: Pings, speaks: Option<u64>) -> (Option<u64>, Vec<u64>) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let now = Instant::now();
    let endpoint = Endpoint { pings, began: now, last: Cell::new(now), asked: RefCell::default() };
    let (_sender, mut connection) = h2::client::handshake(ours).await.expect("there is room");
    let ping_pong = connection.ping_pong().expect("it is asked for once");
    let speaking = async {
        if let Some(seconds) = speaks {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            endpoint.last.set(Instant::now());
        }
        std::future::pending::<Infallible>().await
    };
    let ended = tokio::select! {
        () = until_silent(ping_pong, || Some((endpoint.last.get(), under_way))) => Some(now.elapsed().as_secs()),
        ended = &mut connection => panic!("{ended:?}"),
        ended = endpoint.run(theirs) => panic!("{ended:?}"),
        never = speaking => match never {},
        () = tokio::time::sleep(Duration::from_secs(1_000)) => None,
    };
    (ended, endpoint.asked.take())
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_silent_with_requests_is_asked_for_a_sign_of_life_no_more_often_than_grpc_allows() {
    for (under_way, pings, speaks, expected) in [
        (1, Pings::Answered, None, (None, vec![310, 620, 930])),
        (1, Pings::Ignored, None, (Some(330), vec![310])),
        (9, Pings::Ignored, Some(200), (Some(530), vec![510])),
        (0, Pings::Ignored, None, (None, vec![])),
    ] {
        assert_eq!(played(under_way, pings, speaks).await, expected, "{under_way} {pings:?} {speaks:?}");
    }
}
