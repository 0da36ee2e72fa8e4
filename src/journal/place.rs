//! The directory and its files: made, locked, opened, set aside.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use redb::{Database, DatabaseError};

use super::error::{Failure, OpenError};
use super::file::Allocated;
use super::migrate::{SCHEMA, schema};
use super::record::Restored;
use super::store::{Opener, initialize, restore};

const FILE: &str = "journal.redb";
/// A new file until it is whole: a crash while it is made must not leave one that cannot be opened.
const UNFINISHED: &str = "journal.redb.new";
const LOCK: &str = "journal.lock";

/// Pages that redb keeps in memory. The records are small, and evidence is read once.
const CACHE_BYTES: usize = 8 << 20;

/// Held as long as the journal is open. The kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Makes what is missing, and keeps other processes out.
pub(super) fn prepare(dir: &Path) -> Result<(Lock, PathBuf), OpenError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| OpenError::Directory { dir: dir.to_owned(), source })?;
    let lock = Lock::take(dir)?;
    let path = dir.join(FILE);
    let found = path.try_exists().map_err(|error| Failure::Io(error).at(path.clone()))?;
    if !found {
        create(dir).map_err(|failure| failure.at(path.clone()))?;
    }
    Ok((lock, path))
}

/// How the file is opened, at the start and again after a failure.
pub(super) fn opener(path: PathBuf) -> Opener {
    Box::new(move || {
        guarded(|| {
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            if file.metadata()?.len() == 0 {
                // The database would be glad to make a new one in it.
                return Err(Failure::Corrupt("it is empty".to_owned()));
            }
            Ok(builder().create_with_backend(Allocated::new(file)?)?)
        })
    })
}

/// As [`opener`], over any storage.
#[cfg(test)]
pub(super) fn opener_over<B: redb::StorageBackend>(backend: impl Fn() -> B + Send + 'static) -> Opener {
    Box::new(move || guarded(|| Ok(builder().create_with_backend(backend())?)))
}

pub(super) fn set_aside(dir: &Path) -> Result<PathBuf, OpenError> {
    let _lock = Lock::take(dir)?;
    let path = dir.join(FILE);
    let aside = dir.join(format!("{FILE}.corrupt-{}", Timestamp::now().strftime("%Y%m%dT%H%M%S%.3fZ")));
    fs::rename(&path, &aside).and_then(|()| sync(dir)).map_err(|error| Failure::Io(error).at(path))?;
    Ok(aside)
}

/// What is in the file, if there is one. Changes nothing, so it cannot read a file that a crash left, or one of an older
/// schema, which [`opener`] and who uses it bring up to date.
pub(super) fn look(dir: &Path) -> Result<Option<Restored>, OpenError> {
    let path = dir.join(FILE);
    let read = || {
        if !path.try_exists()? {
            return Ok(None);
        }
        let database = match builder().open_read_only(&path) {
            Err(DatabaseError::RepairAborted) => return Err(Failure::Unrepaired),
            opened => opened?,
        };
        if schema(&database)? == SCHEMA { restore(&database).map(Some) } else { Err(Failure::Unrepaired) }
    };
    guarded(read).map_err(|failure| match (failure, File::open(dir.join(LOCK))) {
        (Failure::Busy, Ok(mut lock)) => OpenError::Held { dir: dir.to_owned(), pid: pid_in(&mut lock) },
        (failure, _) => failure.at(path.clone()),
    })
}

impl Lock {
    fn take(dir: &Path) -> Result<Lock, OpenError> {
        let path = dir.join(LOCK);
        let failed = |error: io::Error| Failure::Io(error).at(path.clone());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Held { dir: dir.to_owned(), pid: pid_in(&mut file) });
            }
            // Some network file systems cannot lock; redb says no to two processes where they can.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // On a full disk the state can still be read, which counts for more than a name for who comes second.
        let pid = format!("{}\n", std::process::id());
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(pid.as_bytes())).ok();
        Ok(Lock { _file: file })
    }
}

/// None when the holder has not come to write it yet.
fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    // A damaged page, or a damaged list of the free ones, must be found before anything is built on it.
    builder.set_check_integrity_on_open(true);
    builder
}

/// redb answers most damage with an error, but not all of it.
pub(super) fn guarded<T>(attempt: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(attempt))
        .unwrap_or_else(|_| Err(Failure::Corrupt("the database gave up on it; see the panic above".to_owned())))
}

fn create(dir: &Path) -> Result<(), Failure> {
    let unfinished = dir.join(UNFINISHED);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(Failure::Io(error)),
        Ok(()) | Err(_) => {}
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let database = builder().create_with_backend(Allocated::new(file.try_clone()?)?)?;
    initialize(&database)?;
    drop(database);
    file.sync_all()?;
    fs::rename(&unfinished, dir.join(FILE))?;
    Ok(sync(dir)?)
}

/// Makes a rename survive a loss of power.
fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
