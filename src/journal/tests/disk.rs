//! A disk in memory that records what happens to it and fails when it is told to.

#![expect(clippy::disallowed_types, reason = "a test holds the lock for one operation")]

use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

use super::super::place::builder;
use super::super::store::initialize;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Write(u64, Vec<u8>),
    Resize(u64),
    Sync,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    bytes: Vec<u8>,
    operations: Vec<Operation>,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// So many bytes can still be written.
    Full {
        room: u64,
    },
    /// No file can be longer.
    Limit {
        length: u64,
    },
    ReadOnly,
    /// So many times more the data reaches the disk, and then it does not any more.
    Unsynced {
        left: u32,
    },
}

impl Operation {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Operation::Write(offset, data) => {
                let offset = usize::try_from(*offset).expect("small");
                bytes[offset..offset + data.len()].copy_from_slice(data);
            }
            Operation::Resize(length) => bytes.resize(usize::try_from(*length).expect("small"), 0),
            Operation::Sync => {}
        }
    }
}

impl Disk {
    pub(super) fn holding(bytes: Vec<u8>) -> Disk {
        let disk = Disk::default();
        disk.platter().bytes = bytes;
        disk
    }

    /// With an empty journal.
    pub(super) fn formatted() -> Disk {
        let disk = Disk::default();
        let database = builder().create_with_backend(disk.clone()).expect("nothing fails");
        initialize(&database).expect("nothing fails");
        database.close().expect("nothing fails");
        disk.platter().operations.clear();
        disk
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.platter().bytes.clone()
    }

    pub(super) fn overwrite(&self, byte: u8) {
        self.platter().bytes.fill(byte);
    }

    pub(super) fn operations(&self) -> Vec<Operation> {
        self.platter().operations.clone()
    }

    pub(super) fn operations_len(&self) -> usize {
        self.platter().operations.len()
    }

    pub(super) fn fail(&self, fault: impl Into<Option<Fault>>) {
        self.platter().fault = fault.into();
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().expect("no test panics in an operation")
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.platter().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let offset = usize::try_from(offset).map_err(Error::other)?;
        let platter = self.platter();
        let end = offset.checked_add(out.len()).filter(|end| *end <= platter.bytes.len());
        let end = end.ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?;
        out.copy_from_slice(&platter.bytes[offset..end]);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), Error> {
        let mut platter = self.platter();
        match platter.fault {
            Some(Fault::ReadOnly) => return Err(ErrorKind::ReadOnlyFilesystem.into()),
            Some(Fault::Limit { length: most }) if length > most => return Err(ErrorKind::StorageFull.into()),
            None | Some(Fault::Full { .. } | Fault::Limit { .. } | Fault::Unsynced { .. }) => {}
        }
        platter.perform(Operation::Resize(length));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut platter = self.platter();
        if let Some(Fault::Unsynced { left }) = &mut platter.fault {
            *left = left.checked_sub(1).ok_or_else(|| Error::other("the disk is gone"))?;
        }
        platter.perform(Operation::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut platter = self.platter();
        let fits = match &mut platter.fault {
            None | Some(Fault::Unsynced { .. } | Fault::Limit { .. }) => data.len(),
            Some(Fault::ReadOnly) => return Err(ErrorKind::ReadOnlyFilesystem.into()),
            Some(Fault::Full { room }) => {
                let fits = data.len().min(usize::try_from(*room).expect("small"));
                *room -= fits as u64;
                fits
            }
        };
        platter.perform(Operation::Write(offset, data[..fits].to_vec()));
        if fits < data.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Platter {
    fn perform(&mut self, operation: Operation) {
        operation.apply(&mut self.bytes);
        self.operations.push(operation);
    }
}
