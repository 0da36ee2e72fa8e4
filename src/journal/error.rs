//! What goes wrong with a journal, by what an operator would have to do about it.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

/// Why a journal cannot be opened. Whoever meets it serves blue and raises an alarm.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data directory {} cannot be made: {source}", dir.display())]
    Directory { dir: PathBuf, source: io::Error },
    #[error("the data directory {} is in use by {}; each proxy needs its own --data", dir.display(), holder(*pid))]
    Held { dir: PathBuf, pid: Option<u32> },
    #[error("{} must not be written: {source}", path.display())]
    NotWritable { path: PathBuf, source: io::Error },
    #[error("{} is on a read-only file system", path.display())]
    ReadOnly { path: PathBuf },
    #[error("there is no space left for {}", path.display())]
    Full { path: PathBuf },
    #[error("{} is damaged: {detail}", path.display())]
    Corrupt { path: PathBuf, detail: String },
    #[error("{} has schema {found}, and this program knows none above {known}: it was written by a newer one", path.display())]
    Newer { path: PathBuf, found: u64, known: u64 },
    #[error("{} has yet to be repaired or brought up to date, which `portcullis run` does", path.display())]
    Unrepaired { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Why a write is not in the journal. It is kept, as far as it is small, and written together with the next one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    #[error("{0} writes wait for the disk already")]
    QueueFull(usize),
    /// It may come to the disk still.
    #[error("the disk has not answered for {} s", .0.as_secs())]
    Late(Duration),
    #[error("there is no space left for the journal")]
    Full,
    #[error("the journal is on a read-only file system")]
    ReadOnly,
    #[error("the journal is damaged: {0}")]
    Corrupt(String),
    /// The file is opened anew after a failure, once who reads the old one is done.
    #[error("the journal is still being read since its last failure")]
    Busy,
    #[error("a record of {0} bytes is too large for the journal")]
    TooLarge(usize),
    #[error("the journal cannot be written: {0}")]
    Io(String),
    #[error("the journal is closed")]
    Closed,
}

/// Why something cannot be read from the journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("the journal is not open: its disk has failed")]
    Unavailable,
    #[error("the journal is damaged: {0}")]
    Corrupt(String),
    #[error("the journal cannot be read: {0}")]
    Io(String),
}

/// What every way to fail comes down to, before it is known who meets it.
#[derive(Debug)]
pub(super) enum Failure {
    Io(io::Error),
    Corrupt(String),
    Newer {
        found: u64,
        known: u64,
    },
    /// Only for who must not write.
    Unrepaired,
    Busy,
    TooLarge(usize),
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            // A file that ends early, or whose first bytes are not redb's.
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => Failure::Corrupt(error.to_string()),
            _ => Failure::Io(error),
        }
    }
}

impl From<redb::Error> for Failure {
    fn from(error: redb::Error) -> Failure {
        match error {
            redb::Error::Io(error) => error.into(),
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => Failure::Io(io::Error::other(error)),
            redb::Error::DatabaseAlreadyOpen => Failure::Busy,
            redb::Error::ValueTooLarge(size) => Failure::TooLarge(size),
            // Tables of another kind, a broken tree, a format that is not ours: the file is not one that we wrote.
            other => Failure::Corrupt(other.to_string()),
        }
    }
}

/// One `From` for each error type of redb, so that `?` does.
macro_rules! failure_from {
    ($($error:ty),*) => { $(
        impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                redb::Error::from(error).into()
            }
        }
    )* };
}

failure_from!(
    redb::DatabaseError,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::SetDurabilityError
);

impl Failure {
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Failure::Io(error) if is_full(error.kind()))
    }

    pub(super) fn at(self, path: PathBuf) -> OpenError {
        match self {
            Failure::Io(source) => match source.kind() {
                kind if is_full(kind) => OpenError::Full { path },
                ErrorKind::ReadOnlyFilesystem => OpenError::ReadOnly { path },
                ErrorKind::PermissionDenied => OpenError::NotWritable { path, source },
                _ => OpenError::Io { path, source },
            },
            Failure::Corrupt(detail) => OpenError::Corrupt { path, detail },
            Failure::Newer { found, known } => OpenError::Newer { path, found, known },
            Failure::Unrepaired => OpenError::Unrepaired { path },
            Failure::Busy => OpenError::Held { dir: path.parent().map(Into::into).unwrap_or(path), pid: None },
            Failure::TooLarge(size) => OpenError::Corrupt { path, detail: format!("a record of {size} bytes") },
        }
    }
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> WriteError {
        match failure {
            Failure::Io(error) => match error.kind() {
                kind if is_full(kind) => WriteError::Full,
                ErrorKind::ReadOnlyFilesystem => WriteError::ReadOnly,
                _ => WriteError::Io(error.to_string()),
            },
            Failure::Corrupt(detail) => WriteError::Corrupt(detail),
            Failure::Newer { found, .. } => WriteError::Corrupt(format!("it has schema {found} now")),
            Failure::Unrepaired => WriteError::Corrupt("it has not been repaired".to_owned()),
            Failure::Busy => WriteError::Busy,
            Failure::TooLarge(size) => WriteError::TooLarge(size),
        }
    }
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> ReadError {
        match failure {
            Failure::Io(error) => ReadError::Io(error.to_string()),
            Failure::Corrupt(detail) => ReadError::Corrupt(detail),
            Failure::Newer { found, .. } => ReadError::Corrupt(format!("it has schema {found} now")),
            Failure::Unrepaired | Failure::Busy => ReadError::Unavailable,
            Failure::TooLarge(size) => ReadError::Corrupt(format!("a record of {size} bytes")),
        }
    }
}
