//! The side that takes over.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::wire::{Broken, Peer, Role, Word};
use super::{PROTOCOL, SOCKET};
use crate::config::Config;
use crate::listeners::{Listeners, Unfit};
use crate::release::Epoch;

/// What a predecessor has handed over, and the line to it. Dropping it leaves everything to the predecessor.
pub struct Claim {
    peer: Peer,
    /// Where its journal is.
    pub data: PathBuf,
}

/// What comes with it.
pub struct Sockets {
    pub listeners: Listeners,
    /// For [`super::Offer`].
    pub next: OwnedFd,
}

/// Why nothing is taken over. The predecessor goes on.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    #[error("nobody is there to take over from: no process listens at {}", .0.display())]
    Nobody(PathBuf),
    #[error("this configuration cannot take over: {0}")]
    Unfit(#[from] Unfit),
    #[error("the running process {what}: {why}")]
    Broken { what: &'static str, why: String },
    #[error("{}: {why}", path.display())]
    Unreachable { path: PathBuf, why: String },
}

impl Claim {
    /// Asks the process that has the data directory `dir`, and checks what it has against the configuration.
    pub fn of(dir: &Path, config: &Config) -> Result<(Claim, Sockets), NotTaken> {
        let path = dir.join(SOCKET);
        let peer = Peer::connect(&path).map_err(|broken| match broken {
            Broken::Io(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                NotTaken::Nobody(path)
            }
            other => NotTaken::Unreachable { path, why: other.to_string() },
        })?;
        let claim = Claim { peer, data: dir.to_owned() };
        let sockets = claim.sockets().map_err(|broken| Claim::failed("does not hand over its sockets", broken))?;
        if let Err(unfit) = sockets.listeners.check(config) {
            // It hangs up either way, and the reason belongs in both logs.
            claim.peer.say(&Word::Refused(unfit.to_string())).ok();
            return Err(unfit.into());
        }
        Ok((claim, sockets))
    }

    /// Returns when the journal is closed and may be opened.
    pub fn journal(&self) -> Result<(), NotTaken> {
        let said = self.peer.say(&Word::Ready);
        let given = said.and_then(|()| self.peer.expect(|word| matches!(word, Word::Yours).then_some(())));
        given.map_err(|broken| Claim::failed("does not hand over the journal", broken))
    }

    /// Returns when this process may decide, with the epoch that was sent to blue in the meantime.
    pub fn go(&self) -> Result<Option<Epoch>, NotTaken> {
        let latched = |word: &Word| match word {
            Word::Go { latched } => Some(latched.map(Epoch::from)),
            _ => None,
        };
        let gone = self.peer.say(&Word::Opened).and_then(|()| self.peer.expect(latched));
        gone.map_err(|broken| Claim::failed("goes on itself", broken))
    }

    /// From here on this process is the one, whether the predecessor hears of it or has ended.
    pub fn serving(self) {
        let pid = self.peer.pid;
        match self.peer.say(&Word::Serving) {
            Ok(()) => tracing::info!(pid, "taken over from a process that drains"),
            Err(error) => tracing::warn!(pid, %error, "taken over from a process that has ended"),
        }
    }

    fn sockets(&self) -> Result<Sockets, Broken> {
        self.peer.say(&Word::Hello { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() })?;
        let (mut workers, mut admin, mut next) = (Vec::new(), None, None);
        loop {
            match self.peer.hear()? {
                (Word::Socket(Role::Worker), Some(socket)) => workers.push(TcpListener::from(socket)),
                (Word::Socket(Role::Admin), Some(socket)) => admin = Some(TcpListener::from(socket)),
                (Word::Socket(Role::TakeOver), Some(socket)) => next = Some(socket),
                (Word::All, None) => break,
                (other, _) => return Err(Broken::Unexpected(format!("{other:?}"))),
            }
        }
        let missing = |what: &str| Broken::Unexpected(format!("that these are all sockets, without one for {what}"));
        let admin = admin.ok_or_else(|| missing("admin.listen"))?;
        let next = next.ok_or_else(|| missing("the next successor"))?;
        Ok(Sockets { listeners: Listeners { workers, admin }, next })
    }

    fn failed(what: &'static str, broken: Broken) -> NotTaken {
        NotTaken::Broken { what, why: broken.to_string() }
    }
}
