//! What HTTP/2 reads from a client and writes to it, and who is woken when there is something to do.
//!
//! Two wake each other within the one task of a connection: h2, which reads and writes frames, and the streams, which answer.
//! What happens while the task runs is noted and done in the same run, where the runtime would begin another for it.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::calm::Calm;
use crate::proxy::wire::Channel;

/// The client's bytes on their way through.
pub(super) struct Wire {
    pub channel: Channel,
    /// What was read before it was known to be HTTP/2.
    pub early: Bytes,
    pub notes: Rc<Notes>,
}

/// What is known of them.
pub(super) struct Notes {
    pub calm: Calm,
    /// The task of the connection, which the socket wakes.
    pub task: RefCell<Waker>,
    pub written: Cell<u64>,
    /// There was no room for the last write.
    pub held_back: Cell<bool>,
}

/// One of the two that wake each other.
#[derive(Default)]
pub(super) struct Nudge {
    noted: AtomicBool,
    /// The task runs, and looks here before it rests.
    running: AtomicBool,
    task: AtomicWaker,
}

impl Notes {
    pub(super) fn new() -> Notes {
        Notes {
            calm: Calm::new(),
            task: RefCell::new(Waker::noop().clone()),
            written: Cell::new(0),
            held_back: Cell::new(false),
        }
    }
}

impl Nudge {
    /// The task begins to run.
    pub(super) fn begin(&self, task: &Waker) {
        self.task.register(task);
        self.running.store(true, Ordering::Relaxed);
    }

    /// The task rests. Comes again at once if it was left with something to do.
    pub(super) fn rest(&self) {
        self.running.store(false, Ordering::Relaxed);
        if self.is_noted() {
            self.task.wake();
        }
    }

    pub(super) fn is_noted(&self) -> bool {
        self.noted.load(Ordering::Relaxed)
    }

    pub(super) fn note(&self) {
        self.noted.store(true, Ordering::Relaxed);
    }

    pub(super) fn take(&self) -> bool {
        self.noted.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// Also from outside of the task: an endpoint's connection may let go of a body when it is closed by somebody else.
    fn wake_by_ref(self: &Arc<Self>) {
        self.note();
        if !self.running.load(Ordering::Relaxed) {
            self.task.wake();
        }
    }
}

impl Wire {
    /// `$poll` on the channel, on behalf of the task.
    fn poll<T>(&mut self, poll: impl FnOnce(Pin<&mut Channel>, &mut Context<'_>) -> T) -> T {
        poll(Pin::new(&mut self.channel), &mut Context::from_waker(&self.notes.task.borrow()))
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.notes.held_back.set(written.is_pending());
        if let Poll::Ready(Ok(length)) = &written {
            self.notes.written.set(self.notes.written.get() + *length as u64);
            self.notes.calm.wrote(*length);
        }
        written
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // What it still sends is not worth an answer.
        if self.notes.calm.is_lost() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if self.early.has_remaining() {
            let length = self.early.remaining().min(buffer.remaining());
            buffer.put_slice(&self.early[..length]);
            self.early.advance(length);
        } else {
            std::task::ready!(self.poll(|channel, cx| channel.poll_read(cx, buffer)))?;
        }
        self.notes.calm.read(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.poll(|channel, cx| channel.poll_write(cx, bytes));
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.poll(|channel, cx| channel.poll_write_vectored(cx, buffers));
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.channel.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(Channel::poll_flush)
    }

    /// To end the connection is for [`super::super::connection::serve`], which reads on for a while.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
