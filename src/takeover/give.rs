//! The side that is relieved: a thread that waits for successors, one after the other.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, oneshot, watch};

use super::wire::{self, Broken, Peer, Role, Word};
use super::{PROTOCOL, SOCKET};
use crate::control::lending::{Lending, Loan, Returned};
use crate::journal::Lent;
use crate::listeners::Listeners;
use crate::live::Live;
use crate::routing::{Route, Routing};

/// What is handed over to whoever asks for it.
pub struct Offer {
    /// Where successors connect.
    pub socket: OwnedFd,
    /// None once the process is about to end.
    pub listeners: Arc<ArcSwapOption<Listeners>>,
    pub lending: mpsc::Sender<Lending>,
    pub routing: Arc<Routing<Live>>,
    pub data: PathBuf,
}

/// Another process serves.
#[derive(Clone, Copy, Debug)]
pub struct Relieved {
    /// None for a process that has no number here, such as one of another container.
    pub by: Option<u32>,
}

/// How long a process that has died may take to let go of the journal.
const LET_GO: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// For a journal that is held by a process that hangs.
const LOOK_AGAIN_EVERY: Duration = Duration::from_secs(1);

/// Makes the socket in `dir`, for who has the journal there: what is left of a process that has ended goes.
pub fn bind(dir: &Path) -> io::Result<OwnedFd> {
    let path = dir.join(SOCKET);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = wire::listen_at(&path)?;
    // Whoever gets in before this is asked for his user all the same.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(socket)
}

impl Offer {
    /// Starts the thread. It ends when another process serves.
    pub fn spawn(self) -> io::Result<watch::Receiver<Option<Relieved>>> {
        let (tell, relieved) = watch::channel(None);
        std::thread::Builder::new().name("take-over".to_owned()).spawn(move || {
            loop {
                match Peer::accept(&self.socket).and_then(|peer| self.hand_over(peer)) {
                    Ok(relieved) => {
                        tracing::info!(by = relieved.by, "another process has taken over");
                        tell.send_replace(Some(relieved));
                        return;
                    }
                    Err(Broken::Io(error)) => {
                        tracing::error!(%error, "taking over has failed; this process goes on");
                        std::thread::sleep(LOOK_AGAIN_EVERY);
                    }
                    Err(error) => tracing::warn!(%error, "nobody has taken over; this process goes on"),
                }
            }
        })?;
        Ok(relieved)
    }

    fn hand_over(&self, peer: Peer) -> Result<Relieved, Broken> {
        let hello = |word: &Word| match word {
            Word::Hello { protocol, version } => Some((*protocol, version.clone())),
            _ => None,
        };
        let (protocol, version) = peer.expect(hello)?;
        tracing::info!(pid = peer.pid, version, "a process wants to take over");
        if protocol != PROTOCOL {
            let refused = format!("it speaks protocol {PROTOCOL} for taking over, and not {protocol}: restart it");
            return Err(refuse(&peer, refused));
        }
        self.give_sockets(&peer)?;
        peer.expect(|word| matches!(word, Word::Ready).then_some(()))?;
        let (told, returned) = oneshot::channel();
        let lent = match self.borrow(returned) {
            Ok(lent) => lent,
            Err(reason) => return Err(refuse(&peer, reason)),
        };
        match self.until_it_serves(&peer) {
            Ok(()) => {
                told.send(Returned::Never).ok();
                Ok(Relieved { by: peer.pid })
            }
            Err(broken) => {
                // It hears that it is given up before anything else decides.
                drop(peer);
                self.take_back(lent, told);
                Err(broken)
            }
        }
    }

    fn give_sockets(&self, peer: &Peer) -> Result<(), Broken> {
        let Some(listeners) = self.listeners.load_full() else {
            return Err(refuse(peer, "it is about to end".to_owned()));
        };
        for socket in &listeners.workers {
            peer.give(Role::Worker, socket)?;
        }
        peer.give(Role::Admin, &listeners.admin)?;
        peer.give(Role::TakeOver, &self.socket)?;
        peer.say(&Word::All)
    }

    /// Has `control` write the journal whole and close it.
    fn borrow(&self, returned: oneshot::Receiver<Returned>) -> Result<Lent, String> {
        let (lent, journal) = oneshot::channel();
        let asked = self.lending.blocking_send(Lending::Asked(Loan { lent, returned }));
        let journal = asked.ok().and_then(|()| journal.blocking_recv().ok());
        let ended = "what decides there has ended by a fault; its log says why";
        journal.ok_or_else(|| ended.to_owned())?.map_err(|error| error.to_string())
    }

    fn until_it_serves(&self, peer: &Peer) -> Result<(), Broken> {
        peer.say(&Word::Yours)?;
        peer.expect(|word| matches!(word, Word::Opened).then_some(()))?;
        let table = self.routing.table();
        let latched = (table.route == Route::Latched).then(|| table.epoch.number());
        peer.wait_at_most(None)?;
        peer.say(&Word::Go { latched })?;
        peer.expect(|word| matches!(word, Word::Serving).then_some(()))
    }

    fn take_back(&self, mut lent: Lent, told: oneshot::Sender<Returned>) {
        let mut tries = LET_GO.as_millis() / LOOK_EVERY.as_millis();
        let mut told = Some(told);
        loop {
            let error = match lent.take_back(&self.data) {
                Ok(journal) => {
                    // An error means that `control` has ended, and the journal with it.
                    match told {
                        Some(told) => told.send(Returned::Back(journal)).map_err(drop).ok(),
                        None => self.lending.blocking_send(Lending::Back(journal)).map_err(drop).ok(),
                    };
                    return;
                }
                Err((still, error)) => {
                    lent = *still;
                    error
                }
            };
            tries = tries.saturating_sub(1);
            if tries == 0
                && let Some(told) = told.take()
            {
                told.send(Returned::Missing(error)).ok();
            }
            std::thread::sleep(if told.is_some() { LOOK_EVERY } else { LOOK_AGAIN_EVERY });
        }
    }
}

fn refuse(peer: &Peer, reason: String) -> Broken {
    // It hangs up in any case, and says it in its own words if it does not hear ours.
    peer.say(&Word::Refused(reason.clone())).ok();
    Broken::Refused(reason)
}
