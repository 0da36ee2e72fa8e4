//! What a proxy begins with: the journal and what it remembers, and the listening sockets.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use crate::config::Config;
use crate::control::ledger::Ledger;
use crate::control::restore::Beginning;
use crate::gate::Version;
use crate::journal::{Bounds, Journal, OpenError, Restored};
use crate::listeners::{Listeners, Unbound};
use crate::takeover::{self, Claim, NotTaken, Sockets};

/// Where the listening sockets come from.
pub enum Origin {
    /// They are bound as the configuration says.
    Configuration,
    /// Systemd has bound them.
    Inherited(Listeners),
    /// The process that has the data directory hands them over, and its journal.
    Predecessor(Claim, Sockets),
}

pub(super) struct Opening {
    pub(super) beginning: Beginning,
    pub(super) ledger: Ledger,
    pub(super) listeners: Listeners,
    /// Of a predecessor that waits to hear that this process serves.
    pub(super) claim: Option<Claim>,
    /// Where the next process asks; none where nothing can be taken over.
    pub(super) next: Option<OwnedFd>,
}

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Listen(#[from] Unbound),
    #[error(transparent)]
    Journal(OpenError),
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
}

/// The journal comes first: a socket on the port of another process would take connections from it.
pub(super) fn open(config: &Config, data: Option<&Path>, origin: Origin) -> Result<Opening, StartError> {
    let (listeners, (beginning, ledger)) = match origin {
        Origin::Predecessor(claim, Sockets { listeners, next }) => {
            claim.journal()?;
            let (journal, restored) = Journal::open(&claim.data, bounds(config)).map_err(StartError::Journal)?;
            let (beginning, ledger) = resume(config, journal, restored);
            return Ok(Opening { beginning, ledger, listeners, claim: Some(claim), next: Some(next) });
        }
        Origin::Inherited(listeners) => (listeners, remember(config, data)?),
        Origin::Configuration => {
            let remembered = remember(config, data)?;
            (Listeners::bind(config)?, remembered)
        }
    };
    let next = data.filter(|_| ledger.archive().is_some()).and_then(|dir| {
        let bound = takeover::bind(dir);
        bound.inspect_err(|error| tracing::warn!(%error, "no other process will be able to take over")).ok()
    });
    Ok(Opening { beginning, ledger, listeners, claim: None, next })
}

/// What the journal remembers, and the journal.
fn remember(config: &Config, data: Option<&Path>) -> Result<(Beginning, Ledger), StartError> {
    let Some(dir) = data else {
        return Ok((Beginning::default(), Ledger::new(None, &config.text, Restored::default(), Duration::ZERO)));
    };
    let bounds = bounds(config);
    match Journal::open(dir, bounds) {
        Ok((journal, restored)) => Ok(resume(config, journal, restored)),
        Err(error @ OpenError::Held { .. }) => Err(StartError::Journal(error)),
        Err(error) => {
            let journal = match error {
                OpenError::Corrupt { .. } => anew(dir, bounds),
                _ => None,
            };
            let beginning = Beginning::unreadable(format!("the journal cannot be read: {error}"));
            Ok((beginning, Ledger::new(journal, &config.text, Restored::default(), Duration::ZERO)))
        }
    }
}

/// Goes on from what the journal says.
fn resume(config: &Config, journal: Journal, restored: Restored) -> (Beginning, Ledger) {
    let Some(state) = restored.state.clone() else {
        let beginning = Beginning::default();
        let ledger = Ledger::new(Some(journal), &config.text, restored, beginning.began);
        return (beginning, ledger);
    };
    let stable = state.stable.clone();
    let beginning = Beginning::restored(state, config);
    let holding = beginning.holding(config).versions;
    if Version::BOTH.iter().all(|version| holding.of(*version).version != stable) {
        let (was, is) = (&stable, &holding.blue.version);
        tracing::warn!(was, is, "the blue of before is not configured: its traffic goes to another version");
    }
    let ledger = Ledger::new(Some(journal), &config.text, restored, beginning.began);
    (beginning, ledger)
}

fn bounds(config: &Config) -> Bounds {
    Bounds { age: config.journal.age, size: config.journal.size }
}

/// A new journal in the place of one that is damaged, which is kept beside it.
fn anew(dir: &Path, bounds: Bounds) -> Option<Journal> {
    let opened = Journal::set_aside(dir).and_then(|kept| Ok((kept, Journal::open(dir, bounds)?)));
    match opened {
        Ok((kept, (journal, _))) => {
            tracing::error!(kept = %kept.display(), "the journal was damaged and has been set aside");
            Some(journal)
        }
        Err(error) => {
            tracing::error!(%error, "a new journal cannot be made either");
            None
        }
    }
}
