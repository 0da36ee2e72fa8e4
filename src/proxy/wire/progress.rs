//! What one client connection is doing, and until when it may: shared by its driver, its socket and its two bodies.
//!
//! There is one timer per connection, and it is only ever moved when it fires. Each phase notes when it is due; the
//! driver looks at that note when the timer goes off, so a request costs no timer operation.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::coop;
use tokio::time::{Instant, Sleep};

use super::interim::Interims;

/// An idle connection gives its buffers back after this long, and keeps its socket.
pub(in crate::proxy) const PARK_AFTER: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Phase {
    /// Between two requests.
    Idle,
    /// Part of a request head has been read. `due` is not set before the driver has seen it.
    HeadBegun,
    Head,
    /// For a connection to an endpoint or for its response head.
    Waiting,
    /// The response head has gone to the client.
    Streaming,
    /// A stream of HTTP/2 has become a tunnel, which sees to its time itself. A connection that has is driven no more.
    Tunnel,
}

/// Why the body of a request ended half-way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum BodyFailure {
    Malformed,
    /// Larger than it may be.
    Large,
    Gone,
}

/// One connection's notes. All cells belong to one task.
pub(in crate::proxy) struct Progress {
    pub phase: Cell<Phase>,
    /// The task that drives the connection.
    pub task: RefCell<Waker>,
    /// Within this poll of the task there is nothing more to read from the client.
    pub dry: Cell<bool>,
    /// Within this poll nothing has come from the endpoint that the request goes to.
    pub quiet: Cell<bool>,
    /// Read once in a poll of the task.
    clock: Cell<Option<Instant>>,
    due: Cell<Instant>,
    /// The timer knows the task, and does not have to be polled before it has fired.
    armed: Cell<bool>,
    /// How much longer, when something has moved since the timer was set.
    extension: Cell<Duration>,
    pub moved: Cell<bool>,
    /// Bytes that hyper has written so far.
    pub written: Cell<u64>,
    /// hyper has an answer of ours, of which something may not be written yet.
    pub answering: Cell<bool>,
    /// hyper has some that there was no room for.
    pub held_back: Cell<bool>,
    interrupt: Cell<Option<Interrupt>>,
    /// When the request was sent on a connection that stood; none before.
    sent: Cell<Option<Instant>>,
    /// Since when the endpoint waits for a body that the client does not send.
    awaiting_body: Cell<Option<Instant>>,
    /// How long it has waited for it before that.
    awaited_body: Cell<Duration>,
    /// Nothing of the last request is left to be read.
    pub all_read: Cell<bool>,
    /// The target of the head that is being read has one.
    pub has_fragment: Cell<bool>,
    /// What was wrong with the request's body, once something was.
    pub body_failure: Cell<Option<BodyFailure>>,
    /// The client can see the end of the body only by the end of the connection.
    pub ends_by_close: Cell<bool>,
    /// The answer was cut off.
    pub truncated: Cell<bool>,
    pub interims: Interims,
}

/// Why a wait is over before what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Interrupt {
    /// The time of the phase.
    Expired,
    /// The endpoint has left, and so has the time that requests had to end there.
    Cut,
}

impl Progress {
    pub(in crate::proxy) fn new() -> Progress {
        let now = Instant::now();
        Progress {
            phase: Cell::new(Phase::Idle),
            task: RefCell::new(Waker::noop().clone()),
            due: Cell::new(now),
            armed: Cell::new(false),
            dry: Cell::new(false),
            quiet: Cell::new(false),
            clock: Cell::new(Some(now)),
            extension: Cell::new(Duration::ZERO),
            moved: Cell::new(false),
            written: Cell::new(0),
            answering: Cell::new(false),
            held_back: Cell::new(false),
            interrupt: Cell::new(None),
            sent: Cell::new(None),
            awaiting_body: Cell::new(None),
            awaited_body: Cell::new(Duration::ZERO),
            all_read: Cell::new(false),
            has_fragment: Cell::new(false),
            body_failure: Cell::new(None),
            ends_by_close: Cell::new(false),
            truncated: Cell::new(false),
            interims: Interims::default(),
        }
    }

    /// To be called at the start of each poll of `task`.
    pub(in crate::proxy) fn polled_by(&self, task: &Waker) {
        self.task.borrow_mut().clone_from(task);
        self.dry.set(false);
        self.quiet.set(false);
    }

    /// The poll is over, or it is the one of another task: whoever asks next is told a later time.
    pub(in crate::proxy) fn let_time_pass(&self) {
        self.clock.set(None);
    }

    /// The time of this poll: within one nothing is waited for.
    pub(in crate::proxy) fn now(&self) -> Instant {
        let now = self.clock.get().unwrap_or_else(Instant::now);
        self.clock.set(Some(now));
        now
    }

    /// A request begins that has not been sent. An earlier one may have left something behind, if its body was not read to
    /// its end.
    pub(in crate::proxy) fn begin(&self) {
        self.sent.set(None);
        self.awaiting_body.set(None);
        self.awaited_body.set(Duration::ZERO);
        self.interims.begin();
    }

    /// The request is sent at `now`, on a connection that stands.
    pub(in crate::proxy) fn send(&self, now: Instant) {
        self.begin();
        self.sent.set(Some(now));
    }

    /// Whether more of the client's body is wanted than has come.
    pub(in crate::proxy) fn await_body(&self, is_pending: bool) {
        match (self.awaiting_body.get(), is_pending) {
            (None, true) => self.awaiting_body.set(Some(self.now())),
            (Some(since), false) => {
                self.awaiting_body.set(None);
                self.awaited_body.set(self.awaited_body.get() + (self.now() - since));
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// How long the client was waited for to send of its body, in all.
    pub(super) fn awaited_body(&self) -> Duration {
        self.awaited_body.get()
    }

    pub(in crate::proxy) fn is_awaiting_body(&self) -> bool {
        self.awaiting_body.get().is_some()
    }

    /// How long the version has had the request by `now`, without the time in which it waited for the client's body; none
    /// when it was never sent.
    pub(in crate::proxy) fn of_version(&self, now: Instant) -> Option<Duration> {
        let sent = self.sent.get()?;
        let awaited = self.awaiting_body.get().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        Some(now.saturating_duration_since(sent).saturating_sub(self.awaited_body.get() + awaited))
    }

    /// Starts a phase that is over `length` after `now`, or `length` after something last moved in it.
    pub(in crate::proxy) fn enter(&self, phase: Phase, now: Instant, length: Duration) {
        self.phase.set(phase);
        self.due.set(now + length);
        self.extension.set(length);
        self.moved.set(false);
    }

    /// Starts the time between two requests.
    pub(in crate::proxy) fn rest(&self, now: Instant) {
        self.enter(Phase::Idle, now, PARK_AFTER);
        self.interrupt.set(None);
    }

    /// For how long the connection has been between two requests, by what it noted when it was due.
    pub(in crate::proxy) fn idle_for(&self, now: Instant) -> Duration {
        match self.phase.get() {
            Phase::Idle => (now + self.extension.get()).saturating_duration_since(self.due.get()),
            Phase::HeadBegun | Phase::Head | Phase::Waiting | Phase::Streaming | Phase::Tunnel => Duration::ZERO,
        }
    }

    /// Lets the phase between two requests be over, unless the next has arrived when the task is polled.
    pub(in crate::proxy) fn end_idle(&self, now: Instant) {
        self.due.set(now);
        self.moved.set(false);
        self.task.borrow().wake_by_ref();
    }

    /// Tells whatever waits that its time is over. The next [`Progress::within`] to be polled ends.
    pub(in crate::proxy) fn expire(&self) {
        self.interrupt.set(Some(Interrupt::Expired));
    }

    /// Tells the request that it must end where it is.
    pub(in crate::proxy) fn cut(&self) {
        self.interrupt.set(Some(Interrupt::Cut));
        self.task.borrow().wake_by_ref();
    }

    /// Something was told, and nothing that waits has heard it since.
    pub(in crate::proxy) fn is_interrupted(&self) -> bool {
        self.interrupt.get().is_some()
    }

    /// The request has been told so, and nothing of it has been polled since.
    pub(in crate::proxy) fn is_cut(&self) -> bool {
        self.interrupt.get() == Some(Interrupt::Cut)
    }

    pub(in crate::proxy) fn take_interrupt(&self) -> Option<Interrupt> {
        self.interrupt.take()
    }

    /// Waits for `future` until the driver says that the phase has expired, or the request is cut.
    pub(in crate::proxy) async fn within<F: Future>(&self, future: F) -> Result<F::Output, Interrupt> {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| match self.take_interrupt() {
            Some(interrupt) => Poll::Ready(Err(interrupt)),
            None => future.as_mut().poll(cx).map(Ok),
        })
        .await
    }

    /// When the phase is over, unless something moves.
    pub(in crate::proxy) fn due(&self) -> Instant {
        self.due.get()
    }

    /// The phase, if it is over: for one of several requests that share a timer. It begins anew.
    pub(in crate::proxy) fn overdue(&self, now: Instant) -> Option<Phase> {
        if self.due.get() > now {
            return None;
        }
        self.due.set(now + self.extension.get());
        (!self.moved.take()).then(|| self.phase.get())
    }

    /// Ready when the phase is over. Leaves the timer armed at or before the time that the phase is due.
    pub(in crate::proxy) fn poll_due(&self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Phase> {
        loop {
            if self.due.get() < timer.deadline() {
                timer.as_mut().reset(self.due.get());
                self.armed.set(false);
            }
            if self.armed.get() && !timer.is_elapsed() {
                return Poll::Pending;
            }
            let pending = timer.as_mut().poll(cx).is_pending();
            // A task that is out of budget is told that the timer has not fired, and the timer is not told of the task.
            self.armed.set(pending && coop::has_budget_remaining());
            if pending {
                return Poll::Pending;
            }
            let now = Instant::now();
            if self.moved.take() {
                self.due.set(now + self.extension.get());
            }
            if self.due.get() <= now {
                // Not to fire again in the same poll when the phase goes on.
                timer.as_mut().reset(now + self.extension.get().max(Duration::from_millis(1)));
                self.due.set(now + self.extension.get());
                return Poll::Ready(self.phase.get());
            }
            timer.as_mut().reset(self.due.get());
        }
    }
}
