//! Words between two processes, one a packet, some with a descriptor.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, recvmsg, sendmsg,
    socket_with,
};
use serde::{Deserialize, Serialize};

/// See the table of [`super`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Word {
    Hello {
        protocol: u32,
        version: String,
    },
    /// Comes with its descriptor.
    Socket(Role),
    All,
    Ready,
    Yours,
    Opened,
    Go {
        latched: Option<u32>,
    },
    Serving,
    Refused(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Role {
    Worker,
    Admin,
    /// The one that the next successor connects to.
    TakeOver,
}

/// The process at the other end.
pub(super) struct Peer {
    socket: OwnedFd,
    /// None for a process that has no number here, such as one of another container.
    pub(super) pid: Option<u32>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("{0}")]
    Refused(String),
    #[error("the other process has ended, or has given up")]
    HungUp,
    #[error("the other process has said nothing for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the other process said {0}, which is not what comes here")]
    Unexpected(String),
    #[error("the other process belongs to user {theirs}, and this one to user {ours}")]
    Stranger { theirs: u32, ours: u32 },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Longest of all words, the reason of a refusal included.
const WORD_BYTES: usize = 16 * 1024;

/// Successors that wait for their turn.
const BACKLOG: i32 = 8;

/// How long either waits for a word, unless more is known.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Listens at `path`, where nothing may be.
pub(super) fn listen_at(path: &Path) -> io::Result<OwnedFd> {
    let socket = new_socket()?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

impl Peer {
    pub(super) fn connect(path: &Path) -> Result<Peer, Broken> {
        let socket = new_socket()?;
        retry_on_intr(|| connect(&socket, &SocketAddrUnix::new(path)?))?;
        Peer::known(socket)
    }

    pub(super) fn accept(listener: &OwnedFd) -> Result<Peer, Broken> {
        let socket = retry_on_intr(|| accept_with(listener, SocketFlags::CLOEXEC))?;
        Peer::known(socket)
    }

    /// Whoever is no process of our user is told nothing.
    fn known(socket: OwnedFd) -> Result<Peer, Broken> {
        let (theirs, pid) = credentials(&socket)?;
        let ours = rustix::process::geteuid().as_raw();
        if theirs != ours {
            return Err(Broken::Stranger { theirs, ours });
        }
        let peer = Peer { socket, pid };
        peer.wait_at_most(Some(PATIENCE))?;
        Ok(peer)
    }

    /// For each word from here on.
    pub(super) fn wait_at_most(&self, longest: Option<Duration>) -> Result<(), Broken> {
        set_socket_timeout(&self.socket, Timeout::Send, Some(PATIENCE))?;
        Ok(set_socket_timeout(&self.socket, Timeout::Recv, longest)?)
    }

    pub(super) fn say(&self, word: &Word) -> Result<(), Broken> {
        self.send(word, &[])
    }

    pub(super) fn give(&self, role: Role, socket: impl AsFd) -> Result<(), Broken> {
        self.send(&Word::Socket(role), &[socket.as_fd()])
    }

    /// The next word, and the descriptor that came with it.
    pub(super) fn hear(&self) -> Result<(Word, Option<OwnedFd>), Broken> {
        let mut bytes = vec![0; WORD_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let heard = retry_on_intr(|| {
            recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)
        });
        let length = match heard {
            Ok(heard) => heard.bytes,
            Err(rustix::io::Errno::AGAIN) => return Err(Broken::Silent(PATIENCE)),
            Err(rustix::io::Errno::CONNRESET) => return Err(Broken::HungUp),
            Err(error) => return Err(error.into()),
        };
        let mut descriptor = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
                descriptor = descriptors.next();
            }
        }
        if length == 0 {
            return Err(Broken::HungUp);
        }
        match serde_json::from_slice(&bytes[..length]) {
            Ok(Word::Refused(reason)) => Err(Broken::Refused(reason)),
            Ok(word) => Ok((word, descriptor)),
            Err(_) => Err(Broken::Unexpected(String::from_utf8_lossy(&bytes[..length]).into_owned())),
        }
    }

    /// The next word has to be the one that `wanted` takes.
    pub(super) fn expect<T>(&self, wanted: impl FnOnce(&Word) -> Option<T>) -> Result<T, Broken> {
        let (word, _) = self.hear()?;
        wanted(&word).ok_or_else(|| Broken::Unexpected(format!("{word:?}")))
    }

    fn send(&self, word: &Word, descriptors: &[BorrowedFd<'_>]) -> Result<(), Broken> {
        let bytes = serde_json::to_vec(word).expect("a word is plain data");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::other("no room for the descriptor").into());
        }
        let sent = retry_on_intr(|| sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL));
        match sent {
            Ok(_) => Ok(()),
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Err(Broken::HungUp),
            Err(error) => Err(error.into()),
        }
    }
}

/// The user and the number of the process at the other end.
///
/// By way of tokio: rustix takes every process to have a number.
fn credentials(socket: &OwnedFd) -> io::Result<(u32, Option<u32>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    let stream = std::os::unix::net::UnixStream::from(socket.try_clone()?);
    stream.set_nonblocking(true)?;
    let found = tokio::net::UnixStream::from_std(stream)?.peer_cred()?;
    rustix::io::ioctl_fionbio(socket, false)?;
    let pid = found.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
    Ok((found.uid(), pid))
}

impl From<rustix::io::Errno> for Broken {
    fn from(error: rustix::io::Errno) -> Broken {
        Broken::Io(error.into())
    }
}

fn new_socket() -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}
