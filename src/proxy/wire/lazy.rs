//! A connection of which the reactor is told when something on it has to be waited for, and not before. One that is accepted
//! with its only request already there, and closed with the answer, never is; that saves its kernel two calls and its
//! wake-ups.

use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::stream::Stream;

/// Room for a usual request head.
const FIRST_READ_BYTES: usize = 4096;

pub(in crate::proxy) enum Lazy {
    /// Non-blocking, and nothing has been read from it.
    Unread(std::net::TcpStream),
    /// What was read may be all that comes.
    Unknown(std::net::TcpStream),
    Known(Stream),
    /// The reactor did not take it.
    Lost,
}

impl Lazy {
    pub(super) fn is_known(&self) -> bool {
        matches!(self, Lazy::Known(_) | Lazy::Lost)
    }

    /// The connection, of which the reactor knows from now on.
    #[inline]
    pub(super) fn known(&mut self) -> io::Result<&mut Stream> {
        if let Lazy::Unread(_) | Lazy::Unknown(_) = self {
            self.tell()?;
        }
        match self {
            Lazy::Known(stream) => Ok(stream),
            Lazy::Unread(_) | Lazy::Unknown(_) | Lazy::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    #[cold]
    fn tell(&mut self) -> io::Result<()> {
        if let Lazy::Unread(stream) | Lazy::Unknown(stream) = std::mem::replace(self, Lazy::Lost) {
            *self = Lazy::Known(Stream::Tcp(TcpStream::from_std(stream)?));
        }
        Ok(())
    }

    pub(super) fn as_socket(&self) -> io::Result<SockRef<'_>> {
        match self {
            Lazy::Unread(stream) | Lazy::Unknown(stream) => Ok(SockRef::from(stream)),
            Lazy::Known(stream) => Ok(SockRef::from(stream)),
            Lazy::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Lazy::Unread(stream) | Lazy::Unknown(stream) => stream.write(bytes),
            Lazy::Known(stream) => stream.try_write(bytes),
            Lazy::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// What is there already, if nothing has been read before.
    fn read_first(&mut self, buffer: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
        let Lazy::Unread(stream) = self else { return None };
        let mut room = [MaybeUninit::uninit(); FIRST_READ_BYTES];
        let most = room.len().min(buffer.remaining());
        match rustix::net::recv(&*stream, &mut room[..most], RecvFlags::empty()) {
            Ok(((read, _), _)) => buffer.put_slice(read),
            Err(Errno::WOULDBLOCK) => return None,
            Err(error) => return Some(Err(error.into())),
        }
        if let Lazy::Unread(stream) = std::mem::replace(self, Lazy::Lost) {
            *self = Lazy::Unknown(stream);
        }
        Some(Ok(()))
    }
}

impl From<Stream> for Lazy {
    fn from(stream: Stream) -> Lazy {
        Lazy::Known(stream)
    }
}

impl AsyncRead for Lazy {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Lazy::Unread(_) = &*self
            && let Some(read) = self.read_first(buffer)
        {
            return Poll::Ready(read);
        }
        Pin::new(self.known()?).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lazy {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.known()?).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.known()?).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Lazy::Known(stream) => Pin::new(stream).poll_flush(cx),
            Lazy::Unread(_) | Lazy::Unknown(_) | Lazy::Lost => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Lazy::Unread(stream) | Lazy::Unknown(stream) => Poll::Ready(stream.shutdown(Shutdown::Write)),
            Lazy::Known(stream) => Pin::new(stream).poll_shutdown(cx),
            Lazy::Lost => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener};
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Ours, of which nobody knows yet, and the peer's.
    fn connected() -> (Lazy, std::net::TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let peer = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let ours = listener.accept().expect("it connected").0;
        ours.set_nonblocking(true).expect("a socket");
        (Lazy::Unread(ours), peer)
    }

    #[tokio::test]
    async fn what_need_not_be_waited_for_is_done_without_the_reactor() {
        let (mut lazy, mut peer) = connected();
        peer.write_all(b"ping").expect("an open connection");
        let mut read = [0; 4];
        lazy.read_exact(&mut read).await.expect("an open connection");
        assert_eq!(&read, b"ping");
        assert_eq!(lazy.try_write(b"pong!").expect("an open connection"), 5);
        lazy.shutdown().await.expect("an open connection");
        assert!(!lazy.is_known());
        let mut answer = String::new();
        peer.read_to_string(&mut answer).expect("an open connection");
        assert_eq!(answer, "pong!");
    }

    #[tokio::test]
    async fn what_has_to_be_waited_for_is_watched_and_read_in_parts_of_any_size() {
        let (mut lazy, mut peer) = connected();
        let mut nobody = Context::from_waker(Waker::noop());
        let (mut room, mut whole) = ([0; 3], Vec::new());
        assert!(Pin::new(&mut lazy).poll_read(&mut nobody, &mut ReadBuf::new(&mut room)).is_pending());
        assert!(lazy.is_known());
        let sender = std::thread::spawn(move || peer.write_all(&[7; 10_000]).map(|()| peer));
        let mut peer = sender.join().expect("no panic").expect("an open connection");
        while whole.len() < 10_000 {
            let length = lazy.read(&mut room).await.expect("an open connection");
            whole.extend_from_slice(&room[..length]);
        }
        assert_eq!(whole, [7; 10_000]);
        peer.write_all(b"x").expect("an open connection");
        poll_fn(|cx| lazy.known().expect("it is").poll_read_ready(cx)).await.expect("an open connection");
    }

    #[tokio::test]
    async fn only_what_comes_first_is_read_so_that_a_peer_that_sends_without_end_leaves_others_their_turn() {
        let (mut lazy, mut peer) = connected();
        peer.write_all(&[7; 3 * FIRST_READ_BYTES]).expect("an open connection");
        for (number, most) in [(1, FIRST_READ_BYTES), (2, 2 * FIRST_READ_BYTES)] {
            let mut room = [0; 2 * FIRST_READ_BYTES];
            assert_eq!(lazy.read(&mut room).await.expect("an open connection"), most);
            assert_eq!(lazy.is_known(), number == 2);
        }
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_waited_for() {
        let (mut lazy, mut peer) = connected();
        let (part, mut written) = (vec![7; 64 * 1024], 0);
        let full = loop {
            match lazy.try_write(&part) {
                Ok(length) => written += length,
                Err(error) => break error.kind(),
            }
        };
        assert_eq!(full, io::ErrorKind::WouldBlock);
        let reader = std::thread::spawn(move || peer.read_exact(&mut vec![0; written + 1]));
        lazy.write_all(b"x").await.expect("an open connection");
        assert!(lazy.is_known());
        reader.join().expect("no panic").expect("an open connection");
    }
}
