//! A client connection that speaks HTTP/2, and its streams, all in the task of the connection.
//!
//! [`wire`] is what bytes go through, [`serving`] makes streams of them, [`streams`] are those that are open, [`stream`] is each,
//! [`date`] the time of an answer, [`calm`] tells a flood.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::task::coop;
use tokio::time::{Instant, Sleep};

use super::connections::{Connections, Place};
use super::drive::{Ended, Taken};
use crate::proxy::lifecycle::Phase;
use crate::proxy::request::Client;
use crate::proxy::wire::{Channel, Owned};

mod calm;
mod date;
mod serving;
mod stream;
mod streams;
mod wire;

#[cfg(feature = "fuzzing")]
pub(super) use calm::Calm;
use serving::Serving;
use streams::{Open, Streams, Stuck};
use wire::{Notes, Nudge, Wire};

/// A client that has been told that the connection ends has this long to say that it has heard it.
const GOODBYE: Duration = Duration::from_secs(5);

/// GOAWAY with `ENHANCE_YOUR_CALM` (RFC 9113, sections 6.8 and 7). Which streams were begun is not said: none is to be sent
/// again for it.
const CALM_DOWN: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0x0b];

/// What stopped the polling.
enum Stop {
    /// The connection has ended, or the client has not said goodbye.
    Done,
    /// The client takes nothing.
    Stuck,
    Flooded,
}

/// How much longer a connection lives that has no streams.
struct Life {
    is_closing: bool,
    has_served: bool,
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
    let streams = Streams::new(service, client, &notes);
    let mut open = streams.open();
    let wire = Wire { channel: channel.clone(), early, notes: Rc::clone(&notes) };
    let mut serving = Serving::new(wire, &streams, most, &service.serving().settings().limits);
    let nudge = Arc::<Nudge>::default();
    let waker = Waker::from(Arc::clone(&nudge));
    let mut timer = pin!(tokio::time::sleep(Duration::MAX));
    let mut life = Life { is_closing: false, has_served: false, until: None };
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
                && let Poll::Ready(ended) = serving.poll(&mut Context::from_waker(&waker))
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
            if life.must_close(connections, &open) {
                serving.leave();
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
                serving.leave();
                nudge.note();
            }
        };
        nudges.iter().for_each(|nudge| nudge.rest());
        stop
    })
    .await;
    // What they have to say is said before what we say last.
    drop((open, serving));
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
            self.has_served = true;
        } else if self.until.is_none() {
            self.until = Some(Instant::now() + if self.is_closing { GOODBYE } else { keep_alive });
        }
    }

    /// Whether the connection begins to close now. While the process is only about to leave it ends with the request that it
    /// has, as one of HTTP/1 does; so it does where memory is short, and at once where it has none any more.
    fn must_close(&mut self, connections: &Connections, open: &Open) -> bool {
        let must = match connections.phase() {
            Phase::Serving => connections.is_short_of_memory() && self.has_served,
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
