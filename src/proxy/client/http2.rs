//! Runs hyper on a client connection that speaks HTTP/2, and the answers to its streams, all in the task of the connection.
//!
//! [`wire`] is what bytes go through, [`streams`] the requests that are open, [`calm`] tells a flood.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::task::coop;
use tokio::time::{Instant, Sleep};

use super::connections::{Connections, Place};
use super::drive::{Ended, Taken};
use crate::config::Limits;
use crate::proxy::lifecycle::Phase;
use crate::proxy::request::{Client, answer_http2};
use crate::proxy::wire::{Channel, Owned};

mod calm;
mod streams;
mod wire;

#[cfg(feature = "fuzzing")]
pub(super) use calm::Calm;
use streams::{Open, Streams, Stuck};
use wire::{Notes, Nudge, Wire};

/// What a client may send of a body before anybody has read it, and of all bodies of a connection: what Envoy recommends at
/// the edge.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Of one answer, held until the client takes it; what was read of an endpoint at once may come on top.
const SEND_BUFFER_BYTES: usize = 16 * 1024;

/// Streams that the client has taken back before they were looked at, and streams that ended with an error of its own.
const PENDING_RESETS: usize = 20;
const ERRORS: usize = 1024;

/// A client that has been told that the connection ends has this long to say that it has heard it.
const GOODBYE: Duration = Duration::from_secs(5);

/// GOAWAY with `ENHANCE_YOUR_CALM` (RFC 9113, sections 6.8 and 7). Which streams were begun is not said: none is to be sent
/// again for it.
const CALM_DOWN: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0x0b];

/// What stopped the polling.
enum Stop {
    /// hyper has ended, or the client has not said goodbye.
    Done,
    /// The client takes nothing.
    Stuck,
    Flooded,
}

/// How much longer a connection lives that has no streams.
struct Life {
    is_closing: bool,
    /// None while there are streams.
    until: Option<Instant>,
}

/// Serves streams, at most `most` at a time, until the connection ends or is idle for long. `early` was read already.
pub(super) async fn drive(
    connections: &Rc<Connections>,
    place: &Place,
    client: Rc<Client>,
    socket: &Owned,
    channel: &Channel,
    early: Bytes,
    most: u32,
) -> Ended {
    let (service, address) = (&connections.service, client.address);
    let notes = Rc::new(Notes::new());
    let streams = Streams::new(service, &notes);
    let mut open = streams.open();
    let mut hyper = {
        let wire = Wire { channel: channel.clone(), early, notes: Rc::clone(&notes) };
        let builder = builder(&streams, most, &service.serving().settings().limits);
        let (service, streams) = (Rc::clone(service), streams.clone());
        let answering = service_fn(move |request| {
            answer_http2(Rc::clone(&service), streams.progress(), Rc::clone(&client), request)
        });
        Box::pin(builder.serve_connection(TokioIo::new(wire), answering))
    };
    let nudge = Arc::<Nudge>::default();
    let waker = Waker::from(Arc::clone(&nudge));
    let mut timer = pin!(tokio::time::sleep(Duration::MAX));
    let mut life = Life { is_closing: false, until: None };
    let mut taken = Taken::new(Instant::now());
    let stop = std::future::poll_fn(|cx| {
        place.wake_by(cx.waker());
        notes.task.borrow_mut().clone_from(cx.waker());
        let nudges = [&*nudge, streams.nudge()];
        nudges.iter().for_each(|nudge| nudge.begin(cx.waker()));
        nudge.note();
        let stop = loop {
            open.poll();
            if nudge.take()
                && let Poll::Ready(ended) = hyper.as_mut().poll(&mut Context::from_waker(&waker))
            {
                if let Err(error) = ended {
                    tracing::trace!(%error, "the connection broke");
                }
                break Poll::Ready(Stop::Done);
            }
            // Not in the middle of a frame.
            if notes.calm.is_lost() && (!notes.held_back.get() || socket.is_blocked()) {
                break Poll::Ready(Stop::Flooded);
            }
            let timeouts = service.serving().settings().timeouts;
            life.see(&open, timeouts.keep_alive);
            // Only now, so that what has arrived already is still read and answered.
            if life.must_close(connections.phase(), &open) {
                hyper.as_mut().graceful_shutdown();
                nudge.note();
            }
            if nudges.iter().any(|nudge| nudge.is_noted()) {
                if coop::has_budget_remaining() {
                    continue;
                }
                break Poll::Pending;
            }
            let Poll::Ready(now) = poll_due(timer.as_mut(), earlier(streams.due(), life.until), cx) else {
                break Poll::Pending;
            };
            let is_stuck = || {
                if !socket.is_blocked() {
                    return Stuck::Not;
                }
                let bytes = notes.written.get().wrapping_sub(socket.unsent_bytes() as u64);
                if taken.rests_for(bytes) >= timeouts.body_idle { Stuck::ForLong } else { Stuck::ForNow }
            };
            if open.look(now, timeouts.body_idle, is_stuck) {
                break Poll::Ready(Stop::Stuck);
            }
            if life.is_over(now) {
                if life.is_closing {
                    break Poll::Ready(Stop::Done);
                }
                life.close();
                hyper.as_mut().graceful_shutdown();
                nudge.note();
            }
        };
        nudges.iter().for_each(|nudge| nudge.rest());
        stop
    })
    .await;
    // What they have to say is said before what we say last.
    drop((open, hyper));
    match stop {
        Stop::Done => Ended::Finished,
        Stop::Stuck => Ended::Aborted,
        Stop::Flooded => {
            tracing::debug!(client = %address, "a flood of HTTP/2");
            if !notes.held_back.get()
                && let Err(error) = channel.clone().write_all(&CALM_DOWN).await
            {
                tracing::trace!(%error, "the client was gone first");
            }
            Ended::Finished
        }
    }
}

impl Life {
    fn see(&mut self, open: &Open, keep_alive: Duration) {
        if !open.is_empty() {
            self.until = None;
        } else if self.until.is_none() {
            self.until = Some(Instant::now() + if self.is_closing { GOODBYE } else { keep_alive });
        }
    }

    /// Whether the connection begins to close now. While the process is only about to leave it ends with the request that it
    /// has, as one of HTTP/1 does.
    fn must_close(&mut self, phase: Phase, open: &Open) -> bool {
        let must = match phase {
            Phase::Serving => false,
            Phase::Leaving | Phase::Relieved => !open.is_empty(),
            Phase::Closing => true,
        };
        let begins = must && !self.is_closing;
        if begins {
            self.close();
        }
        begins
    }

    fn close(&mut self) {
        self.is_closing = true;
        self.until = None;
    }

    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// Ready when it is `due`. Moves the timer only when that is before it, or it has gone off.
fn poll_due(mut timer: Pin<&mut Sleep>, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<Instant> {
    let Some(due) = due else { return Poll::Pending };
    if due < timer.deadline() || timer.is_elapsed() {
        timer.as_mut().reset(due);
    }
    timer.poll(cx).map(|()| Instant::now())
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

fn builder(streams: &Streams, most: u32, limits: &Limits) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams.clone());
    builder
        .max_concurrent_streams(most)
        .max_header_list_size(limits.head_bytes as u32)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERRORS);
    builder
}
