//! A socket that sends at the end of the event batch.
//!
//! A write copies into a bounded buffer and notes the socket; one flusher task of the worker, which runs after the tasks
//! that are already ready, sends for all of them. The peers are then woken one after the other and not in between,
//! which saves more CPU time than the copy costs. A long write on an empty buffer goes to the kernel at once.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::lazy::Lazy;

/// Bytes that wait to be sent on one socket; a writer that has more waits.
const WAITING_BYTES: usize = 32 * 1024;

/// From this length on a copy costs more than a system call saves.
const LONG_WRITE_BYTES: usize = 8 * 1024;

/// A socket of one worker, to read from and write to.
#[derive(Clone)]
pub(in crate::proxy) struct Socket {
    shared: Rc<Shared>,
    sends: Rc<Sends>,
}

/// Whoever is responsible for a socket. Once it is dropped nothing more is sent.
pub(in crate::proxy) struct Owned(Socket);

struct Shared {
    stream: RefCell<Lazy>,
    waiting: RefCell<Vec<u8>>,
    /// It is in one of the flusher's lists.
    noted: Cell<bool>,
    /// The kernel took nothing the last time.
    blocked: Cell<bool>,
    /// A write failed; told to whoever uses the socket next.
    failed: Cell<Option<io::ErrorKind>>,
    /// Whoever waits for room, or for everything to be sent.
    writer: RefCell<Option<Waker>>,
}

/// What a peer did last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Heard {
    Bytes,
    /// It has ended its sending side, and may still read.
    End,
    Reset,
}

/// The worker's list of sockets with something to send.
#[derive(Default)]
pub(in crate::proxy) struct Sends {
    noted: RefCell<Vec<Rc<Shared>>>,
    flusher: RefCell<Option<Waker>>,
}

impl Socket {
    pub(in crate::proxy) fn own(stream: impl Into<Lazy>, sends: &Rc<Sends>) -> Owned {
        let shared = Shared {
            stream: RefCell::new(stream.into()),
            waiting: RefCell::default(),
            noted: Cell::new(false),
            blocked: Cell::new(false),
            failed: Cell::new(None),
            writer: RefCell::new(None),
        };
        Owned(Socket { shared: Rc::new(shared), sends: Rc::clone(sends) })
    }

    /// One that nothing can be read from or written to.
    #[cfg(feature = "fuzzing")]
    pub(in crate::proxy) fn unconnected() -> Socket {
        Socket::own(Lazy::Lost, &Rc::default()).share()
    }

    /// Something on it has been waited for.
    pub(in crate::proxy) fn is_watched(&self) -> bool {
        self.shared.stream.borrow().is_known()
    }

    pub(in crate::proxy) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.stream.borrow_mut().known()?.poll_read_ready(cx)
    }

    /// What has come and was not read; looks, and leaves it.
    pub(in crate::proxy) fn poll_heard(&self, cx: &mut Context<'_>) -> Poll<Heard> {
        let heard = self
            .shared
            .stream
            .borrow_mut()
            .known()
            .map_or_else(|error| Poll::Ready(Err(error)), |stream| stream.poll_peek(cx));
        match std::task::ready!(heard) {
            Ok(0) => Poll::Ready(Heard::End),
            Ok(_) => Poll::Ready(Heard::Bytes),
            Err(error) => {
                tracing::trace!(%error, "the peer has gone");
                Poll::Ready(Heard::Reset)
            }
        }
    }

    /// Ends when the peer resets the connection, of which nothing tells once it has ended its sending side. It holds a
    /// descriptor of its own.
    pub(in crate::proxy) fn until_reset(&self) -> io::Result<impl Future<Output = ()> + use<>> {
        let twin = self.shared.stream.borrow_mut().known()?.twin()?;
        Ok(async move {
            if let Err(error) = twin.failed().await {
                tracing::debug!(%error, "a reset will be seen by the next write");
                std::future::pending::<()>().await;
            }
        })
    }

    /// As [`Stream::is_silent`].
    pub(in crate::proxy) fn is_silent(&self) -> bool {
        self.shared.stream.borrow_mut().known().is_ok_and(super::stream::Stream::is_silent)
    }

    /// The peer does not take what we send.
    pub(in crate::proxy) fn is_blocked(&self) -> bool {
        self.shared.blocked.get()
    }

    /// Ours, where the socket has one of IP.
    pub(in crate::proxy) fn local_address(&self) -> io::Result<Option<SocketAddr>> {
        Ok(self.shared.stream.borrow().as_socket()?.local_addr()?.as_socket())
    }

    /// Bytes that wait to be given to the kernel.
    pub(in crate::proxy) fn unsent_bytes(&self) -> usize {
        self.shared.waiting.borrow().len()
    }

    /// Everything written has been given to the kernel.
    pub(in crate::proxy) fn is_drained(&self) -> bool {
        self.shared.waiting.borrow().is_empty()
    }

    /// Sends what waits without waiting for the flusher. True when nothing is left.
    pub(in crate::proxy) fn send_now(&self) -> bool {
        self.shared.send(&mut Context::from_waker(Waker::noop())) && self.shared.failed.get().is_none()
    }

    /// Gives the buffer back; for a socket that will be idle for long.
    pub(in crate::proxy) fn shrink(&self) {
        if self.is_drained() {
            self.shared.waiting.take();
        }
    }

    /// Makes closing reset the connection, so that the peer cannot take it for a clean end.
    pub(in crate::proxy) fn reset_on_close(&self) -> io::Result<()> {
        self.shared.stream.borrow().as_socket()?.set_linger(Some(Duration::ZERO))
    }
}

impl Owned {
    pub(in crate::proxy) fn share(&self) -> Socket {
        self.0.clone()
    }
}

impl Deref for Owned {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.0
    }
}

impl Drop for Owned {
    /// A peer that takes nothing would else keep its bytes, and its socket, with the flusher.
    fn drop(&mut self) {
        let Socket { shared, sends } = &self.0;
        shared.waiting.borrow_mut().clear();
        if shared.noted.get()
            && let Some(flusher) = &*sends.flusher.borrow()
        {
            flusher.wake_by_ref();
        }
    }
}

impl Shared {
    /// Gives the kernel what waits. False when some is left.
    fn send(&self, cx: &mut Context<'_>) -> bool {
        let mut stream = self.stream.borrow_mut();
        let mut waiting = self.waiting.borrow_mut();
        let mut sent = 0;
        let drained = loop {
            if sent == waiting.len() {
                break true;
            }
            match stream.try_write(&waiting[sent..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match stream.known() {
                    Ok(stream) if stream.poll_write_ready(cx).is_pending() => break false,
                    // A connection that is lost says so by the next write.
                    Ok(_) | Err(_) => {}
                },
                Err(error) => {
                    self.failed.set(Some(error.kind()));
                    sent = waiting.len();
                }
            }
        };
        waiting.drain(..sent);
        self.blocked.set(!drained);
        if sent > 0
            && let Some(writer) = self.writer.take()
        {
            writer.wake();
        }
        drained
    }

    fn check(&self) -> io::Result<()> {
        self.failed.get().map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl Sends {
    fn note(&self, shared: &Rc<Shared>) {
        if shared.noted.replace(true) {
            return;
        }
        let mut noted = self.noted.borrow_mut();
        noted.push(Rc::clone(shared));
        if noted.len() == 1
            && let Some(flusher) = &*self.flusher.borrow()
        {
            flusher.wake_by_ref();
        }
    }

    /// Sends for every socket that was written to. Runs as a task of its own for as long as the worker.
    pub(in crate::proxy) async fn flush(self: Rc<Self>) {
        let mut batch: Vec<Rc<Shared>> = Vec::new();
        let mut blocked: Vec<Rc<Shared>> = Vec::new();
        std::future::poll_fn(|cx| {
            let mut flusher = self.flusher.borrow_mut();
            if !flusher.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                *flusher = Some(cx.waker().clone());
            }
            drop(flusher);
            batch.append(&mut blocked);
            std::mem::swap(&mut batch, &mut *self.noted.borrow_mut());
            batch.append(&mut self.noted.borrow_mut());
            for shared in batch.drain(..) {
                if shared.send(cx) {
                    shared.noted.set(false);
                } else {
                    blocked.push(shared);
                }
            }
            Poll::<()>::Pending
        })
        .await;
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.shared.stream.borrow_mut()).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.shared.check()?;
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut waiting = self.shared.waiting.borrow_mut();
        if waiting.is_empty() && length >= LONG_WRITE_BYTES {
            let written = Pin::new(&mut *self.shared.stream.borrow_mut()).poll_write_vectored(cx, slices);
            self.shared.blocked.set(written.is_pending());
            return written;
        }
        let mut room = WAITING_BYTES - waiting.len();
        if room == 0 {
            *self.shared.writer.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = waiting.len();
        for slice in slices {
            let taken = slice.len().min(room);
            waiting.extend_from_slice(&slice[..taken]);
            room -= taken;
        }
        let taken = waiting.len() - before;
        drop(waiting);
        if taken > 0 {
            self.sends.note(&self.shared);
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The flusher sends; only a failure is reported here.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shared.check())
    }

    /// Sends what waits, then ends our side.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.check()?;
        if !self.is_drained() {
            *self.shared.writer.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut *self.shared.stream.borrow_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Shutdown};
    use std::os::fd::OwnedFd;

    use socket2::Socket as Socket2;
    use tokio::net::{TcpStream, UnixStream};

    use super::*;
    use crate::proxy::wire::Stream;

    /// Both ends of a connection: ours, and the peer's.
    async fn connected(kind: &str) -> (Stream, OwnedFd) {
        if kind == "unix" {
            let (ours, peer) = UnixStream::pair().expect("two sockets");
            return (Stream::Unix(ours), peer.into_std().expect("a socket").into());
        }
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
        (stream.into(), listener.accept().expect("it connected").0.into())
    }

    #[tokio::test]
    async fn what_the_kernel_knows_is_asked_before_it_has_told() {
        let ends: [fn(&Socket2); 2] = [
            |peer| peer.shutdown(Shutdown::Write).expect("an open socket"),
            |peer| assert_eq!(peer.send(b"x").expect("an open socket"), 1),
        ];
        for (end, kind) in ends.into_iter().flat_map(|end| ["tcp", "unix"].map(|kind| (end, kind))) {
            let (stream, peer) = connected(kind).await;
            let socket = Socket::own(stream, &Rc::default());
            assert!(socket.is_silent(), "{kind}");
            end(&peer.into());
            let mut nobody = Context::from_waker(Waker::noop());
            assert!(socket.poll_readable(&mut nobody).is_pending(), "nothing has been waited for since");
            assert!(!socket.is_silent(), "{kind}");
        }
    }
}
