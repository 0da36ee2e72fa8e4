//! The streams of one connection: each is served within the task of the connection, with a progress of its own.
//!
//! They share one timer. Each notes when it is due; when the timer goes off, all are looked at.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use tokio::time::Instant;

use super::date::Date;
use super::stream::{Ended, serve};
use super::wire::{Notes, Nudge};
use crate::proxy::request::{Client, Service};
use crate::proxy::wire::{Phase, Progress};

/// Those of a connection.
#[derive(Clone)]
pub(super) struct Streams(Rc<Shared>);

pub(super) struct Shared {
    pub service: Rc<Service>,
    pub client: Rc<Client>,
    pub date: Date,
    notes: Rc<Notes>,
    begun: RefCell<Vec<Stream>>,
    /// When the first of them is due, or earlier.
    due: Cell<Option<Instant>>,
    nudge: Arc<Nudge>,
}

/// Those that are open, for the task alone.
pub(super) struct Open {
    streams: Streams,
    all: FuturesUnordered<Stream>,
    waker: Waker,
}

type Answer = Pin<Box<dyn Future<Output = Ended>>>;

struct Stream {
    /// None once it has panicked.
    answer: Option<Answer>,
    progress: Rc<Progress>,
    shared: Rc<Shared>,
    begun: Instant,
}

/// A client that takes back a request later than this has waited for it.
const SOON: Duration = Duration::from_secs(1);

impl Streams {
    pub(super) fn new(service: &Rc<Service>, client: Rc<Client>, notes: &Rc<Notes>) -> Streams {
        Streams(Rc::new(Shared {
            service: Rc::clone(service),
            client,
            date: Date::default(),
            notes: Rc::clone(notes),
            begun: RefCell::default(),
            due: Cell::new(None),
            nudge: Arc::default(),
        }))
    }

    pub(super) fn nudge(&self) -> &Nudge {
        &self.0.nudge
    }

    /// One more has come.
    pub(super) fn begin(&self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let progress = Rc::new(Progress::new());
        let answer = Box::pin(serve(Rc::clone(&self.0), Rc::clone(&progress), request, respond));
        let (shared, begun) = (Rc::clone(&self.0), Instant::now());
        self.0.begun.borrow_mut().push(Stream { answer: Some(answer), progress, shared, begun });
        self.0.nudge.note();
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.0.due.get()
    }

    pub(super) fn open(&self) -> Open {
        let waker = Waker::from(Arc::clone(&self.0.nudge));
        Open { streams: self.clone(), all: FuturesUnordered::new(), waker }
    }
}

impl Open {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Answers as far as that goes.
    pub(super) fn poll(&mut self) {
        if self.streams.nudge().take() {
            self.all.extend(self.streams.0.begun.borrow_mut().drain(..));
            while let Poll::Ready(Some(())) = self.all.poll_next_unpin(&mut Context::from_waker(&self.waker)) {}
        }
    }

    /// Tells those that are due. `is_stuck` says whether the client takes nothing for too long, of any: then there is nothing
    /// to be told, and the answer is true.
    pub(super) fn look(&mut self, now: Instant, body_idle: Duration, mut is_stuck: impl FnMut() -> Stuck) -> bool {
        self.streams.0.due.set(None);
        for stream in &mut self.all {
            let progress = &stream.progress;
            match progress.overdue(now) {
                None => {}
                // It is answered, and the client is still to take the rest.
                Some(Phase::Idle) => progress.enter(Phase::Streaming, now, body_idle),
                Some(Phase::Streaming) => match is_stuck() {
                    Stuck::ForLong => return true,
                    Stuck::ForNow => {}
                    Stuck::Not => expire(progress),
                },
                Some(Phase::HeadBegun | Phase::Head | Phase::Waiting) => expire(progress),
                Some(Phase::Tunnel) => {}
            }
            stream.shared.note_due(progress);
        }
        false
    }
}

fn expire(progress: &Progress) {
    progress.expire();
    progress.task.borrow().wake_by_ref();
}

/// Whether the connection, and not a stream, keeps the client from taking what is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stuck {
    Not,
    ForNow,
    ForLong,
}

impl Shared {
    fn note_due(&self, progress: &Progress) {
        let due = progress.due();
        if self.due.get().is_none_or(|first| due < first) {
            self.due.set(Some(due));
        }
    }
}

impl Future for Stream {
    type Output = ();

    /// One that was told to end and did not hear it waits for a client that takes nothing: dropping it resets the stream.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.progress.polled_by(cx.waker());
        self.progress.let_time_pass();
        let Some(mut answer) = self.answer.take() else { return Poll::Ready(()) };
        let polled = catch_unwind(AssertUnwindSafe(move || match answer.as_mut().poll(cx) {
            Poll::Pending => Err(answer),
            Poll::Ready(ended) => Ok(ended),
        }));
        match polled {
            Ok(Err(answer)) if !self.progress.is_interrupted() => {
                self.answer = Some(answer);
                self.shared.note_due(&self.progress);
                return Poll::Pending;
            }
            Ok(Ok(Ended::TakenBack)) if self.begun.elapsed() < SOON => self.shared.notes.calm.taken_back(),
            Ok(_) => self.shared.notes.calm.ended(),
            Err(_) => self.shared.service.records.panicked(),
        }
        Poll::Ready(())
    }
}
