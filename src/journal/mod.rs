//! The durable record of releases, decisions and evidence: an embedded database in one directory.
//!
//! In reading order: [`record`] is what is kept, [`slot`] how the evidence for a replay is written down, `store` puts
//! one [`Write`] into the database, `writer` is the thread that does so, [`Archive`] reads, `doing` is what actions are stored as. `place` finds, locks, makes
//! and sets aside the file, `file` gives it room on the disk, `seal` finds damage in what was read, `migrate` brings files
//! of older schemas up to date.
//!
//! A flip never waits for any of this: whoever decides acts first, sends the write, and takes its [`Answer`] as an
//! input like any other. Every write carries the whole state, so that the next one after a failure heals.
//!
//! Absent: the types of `gate` and `release`. What is on disk must not change when they do, so `control` converts.

mod archive;
mod doing;
mod error;
mod file;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod migrate;
mod place;
pub mod record;
mod seal;
pub mod slot;
mod store;
mod table;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use self::archive::{Archive, Slots};
pub use self::error::{OpenError, ReadError, WriteError};
pub use self::record::{
    ActionRecord, ActionResult, DecisionRecord, Latch, OccasionRecord, Outcome, ReleaseDocument, ReleaseHeader,
    ReleaseRecord, Restored, StateRecord, VersionRecord, Versions,
};
pub use self::slot::{Chunk, Slot};
pub use self::writer::{Answer, Doing, Durable, Queue, Queued, Write};

use self::store::Store;
use self::writer::Writer;

/// How much evidence is kept for replay; the oldest goes first. On a full disk it gives way to the state and the
/// decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub age: Duration,
    /// Bytes of evidence. The file grows by doubling, so it may be twice as long for a while. All of it is read when the
    /// journal is opened: 256 MiB in half a second.
    pub size: u64,
}

/// An open journal. Only one process has it open.
#[derive(Debug)]
pub struct Journal {
    writer: Writer,
    archive: Archive,
}

/// A journal that is closed, for another process to open.
pub struct Lent {
    store: Store,
    archive: Archive,
}

impl Journal {
    /// Opens the journal in `dir`, or makes a new one. Blocks on the disk.
    pub fn open(dir: &Path, bounds: Bounds) -> Result<(Journal, Restored), OpenError> {
        let (lock, path) = place::prepare(dir)?;
        let opener = place::opener(path.clone());
        let (store, restored) = Store::open(opener, bounds).map_err(|failure| failure.at(path))?;
        let archive = store.archive();
        Ok((Journal { writer: Writer::start(store, lock), archive }, restored))
    }

    /// What a journal in `dir` that nobody has open would go on from. Writes nothing.
    pub fn look(dir: &Path) -> Result<Option<Restored>, OpenError> {
        place::look(dir)
    }

    /// A journal without a disk, for a simulation: whoever holds the other end says what becomes of each write, and when.
    /// There is nothing to read in it.
    pub fn scripted() -> (Journal, Queue) {
        let (writer, queue) = Writer::pair();
        (Journal { writer, archive: Archive::new(Arc::default()) }, queue)
    }

    /// Moves a file that cannot be read out of the way, so that [`Journal::open`] makes a new one, and says where to.
    pub fn set_aside(dir: &Path) -> Result<PathBuf, OpenError> {
        place::set_aside(dir)
    }

    /// Hands a write over, without waiting. When it cannot even be queued, its answer is the error.
    pub fn send(&self, write: Write) -> Result<(), Answer> {
        self.writer.send(write)
    }

    /// The next answer, in the order of the writes. Cancel safe.
    pub async fn answer(&mut self) -> Answer {
        self.writer.answer().await
    }

    /// For readers on any thread; reading does not hold up the writer.
    pub fn archive(&self) -> Archive {
        self.archive.clone()
    }

    /// Writes what is queued, and closes the database. Blocks on the disk.
    pub fn close(self) {
        self.writer.close();
    }

    /// As [`Journal::close`], to be taken back if nobody else keeps it. None of a journal without a disk.
    pub fn lend(self) -> Option<Lent> {
        let Journal { writer, archive } = self;
        writer.close().map(|store| Lent { store, archive })
    }
}

impl Lent {
    /// Opens it again, for the readers of before as well. Blocks on the disk.
    pub fn take_back(self, dir: &Path) -> Result<Journal, (Box<Lent>, OpenError)> {
        let reopened = place::prepare(dir).and_then(|(lock, path)| {
            self.store.reopen().map_err(|failure| failure.at(path))?;
            Ok(lock)
        });
        match reopened {
            Ok(lock) => Ok(Journal { writer: Writer::start(self.store, lock), archive: self.archive }),
            Err(error) => Err((Box::new(self), error)),
        }
    }
}

#[cfg(test)]
mod tests;
