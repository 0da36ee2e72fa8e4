//! The file under the database.

use std::fs::File;
use std::io;
use std::ops::Bound;

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// A file that has room on the disk for all its length. In a sparse file the database would take a hole for a free page
/// and fail on a full disk for ever, with evidence all around that could be given up.
#[derive(Debug)]
pub(super) struct Allocated {
    file: File,
    backend: FileBackend,
}

impl Allocated {
    pub(super) fn new(file: File) -> Result<Allocated, DatabaseError> {
        Ok(Allocated { file: file.try_clone()?, backend: FileBackend::new(file)? })
    }

    fn allocate(&self, from: u64, to: u64) -> io::Result<()> {
        // A part of the growth would be a length that the database does not know; so the length comes last.
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, from, to - from) {
            // Some file systems cannot.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => {
                self.file.set_len(from)?;
                Err(error.into())
            }
        }
    }
}

impl StorageBackend for Allocated {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let present = self.backend.len()?;
        if length > present {
            self.allocate(present, length)?;
        }
        self.backend.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.backend.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.backend.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.query_lock_range(start, end)
    }
}
