//! The reading side. Each call is one read transaction of its own, so that none keeps old pages from being used again
//! for long.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use redb::{Database, ReadableDatabase};

use super::error::{Failure, ReadError};
use super::place::guarded;
use super::record::{DecisionRecord, ReleaseDocument, ReleaseHeader, ReleaseRecord};
use super::seal::unseal;
use super::slot::{Slot, unpack};
use super::store::Shared;
use super::table::{ACTIONS, DECISIONS, EVIDENCE, RELEASES};

/// Reads while the writer writes. Blocks on the disk.
#[derive(Clone)]
pub struct Archive(Shared);

/// The evidence of one release, oldest first, read chunk by chunk.
#[derive(Debug)]
pub struct Slots {
    archive: Archive,
    epoch: u32,
    /// The chunk to read next; none after the last and after an error.
    next: Option<u32>,
    read: std::vec::IntoIter<Slot>,
}

impl Archive {
    pub(super) fn new(shared: Shared) -> Archive {
        Archive(shared)
    }

    /// At most so many of those before an epoch, the newest first.
    pub fn page(&self, before: Option<u32>, most: usize) -> Result<Vec<ReleaseHeader>, ReadError> {
        self.read(|database| {
            let releases = database.begin_read()?.open_table(RELEASES)?;
            let records = releases.range(0..before.unwrap_or(u32::MAX))?.rev().take(most);
            records.map(|record| unseal(record?.1.value())).collect()
        })
    }

    pub fn header(&self, epoch: u32) -> Result<Option<ReleaseHeader>, ReadError> {
        self.read(|database| {
            let record = database.begin_read()?.open_table(RELEASES)?.get(epoch)?;
            record.map(|record| unseal(record.value())).transpose()
        })
    }

    /// At most so many of the decisions after the one numbered `seq` of a release, those of later releases too, oldest first.
    pub fn decisions_after(&self, epoch: u32, seq: u32, most: usize) -> Result<Vec<DecisionRecord>, ReadError> {
        self.read(|database| {
            let decisions = database.begin_read()?.open_table(DECISIONS)?;
            let after = (Bound::Excluded((epoch, seq)), Bound::Unbounded);
            decisions.range::<(u32, u32)>(after)?.take(most).map(|decision| unseal(decision?.1.value())).collect()
        })
    }

    pub fn release(&self, id: &str) -> Result<Option<ReleaseDocument>, ReadError> {
        let Some(epoch) = ReleaseHeader::epoch_in(id) else { return Ok(None) };
        self.read(|database| {
            let transaction = database.begin_read()?;
            let Some(release) = transaction.open_table(RELEASES)?.get(epoch)? else { return Ok(None) };
            let record: ReleaseRecord = unseal(release.value())?;
            if record.header.id != id {
                return Ok(None);
            }
            let decisions = transaction.open_table(DECISIONS)?.range((epoch, 0)..=(epoch, u32::MAX))?;
            let decisions = decisions.map(|decision| unseal(decision?.1.value())).collect::<Result<_, Failure>>()?;
            let actions = transaction.open_table(ACTIONS)?.range((epoch, 0)..=(epoch, u32::MAX))?;
            let actions = actions.map(|action| unseal(action?.1.value())).collect::<Result<_, Failure>>()?;
            Ok(Some(ReleaseDocument { record, decisions, actions }))
        })
    }

    /// The number of the oldest chunk that is left of a release: above 0 when the bounds have taken its beginning.
    pub fn first_chunk(&self, epoch: u32) -> Result<Option<u32>, ReadError> {
        Ok(self.chunk(epoch, 0)?.map(|(number, _)| number))
    }

    /// The slots of the first chunk whose number is at least `from`, with that number.
    pub fn chunk(&self, epoch: u32, from: u32) -> Result<Option<(u32, Vec<Slot>)>, ReadError> {
        self.read(|database| {
            let evidence = database.begin_read()?.open_table(EVIDENCE)?;
            let first = evidence.range((epoch, from)..=(epoch, u32::MAX))?.next().transpose()?;
            first.map(|(key, packed)| Ok((key.value().1, unpack(packed.value())?))).transpose()
        })
    }

    /// Every slot that is left of a release. A chunk missing between two others is an error.
    pub fn slots(&self, epoch: u32) -> Slots {
        Slots { archive: self.clone(), epoch, next: Some(0), read: Vec::new().into_iter() }
    }

    /// As [`Archive::slots`], from the chunk on that reaches `after`. Reads few of those before it.
    pub fn slots_from(&self, epoch: u32, after: Duration) -> Result<Slots, ReadError> {
        let ends = self.read(|database| {
            let evidence = database.begin_read()?.open_table(EVIDENCE)?;
            let mut all = evidence.range((epoch, 0)..=(epoch, u32::MAX))?;
            let first = all.next().transpose()?.map(|(key, _)| key.value().1);
            let last = all.next_back().transpose()?.map(|(key, _)| key.value().1);
            Ok(first.map(|first| (first, last.unwrap_or(first))))
        })?;
        let (mut first, mut last) = ends.unwrap_or_default();
        while first < last {
            let middle = last - (last - first) / 2;
            let begins = self.chunk(epoch, middle)?.and_then(|(_, slots)| slots.first().map(|slot| slot.after));
            if begins.is_some_and(|begins| begins <= after) { first = middle } else { last = middle - 1 }
        }
        Ok(Slots { archive: self.clone(), epoch, next: Some(first), read: Vec::new().into_iter() })
    }

    fn read<T>(&self, read: impl FnOnce(&Database) -> Result<T, Failure>) -> Result<T, ReadError> {
        let database: Arc<Database> = self.0.load_full().ok_or(ReadError::Unavailable)?;
        Ok(guarded(|| read(&database))?)
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Archive")
    }
}

impl Slots {
    /// Reads the next chunk; false after the last.
    fn refill(&mut self, from: u32) -> Result<bool, ReadError> {
        let Some((number, slots)) = self.archive.chunk(self.epoch, from)? else { return Ok(false) };
        if from > 0 && number != from {
            return Err(ReadError::Corrupt(format!(
                "chunk {from} of the evidence of release {} is missing",
                self.epoch
            )));
        }
        self.next = number.checked_add(1);
        self.read = slots.into_iter();
        Ok(true)
    }
}

impl Iterator for Slots {
    type Item = Result<Slot, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(slot) = self.read.next() {
                return Some(Ok(slot));
            }
            let from = self.next.take()?;
            match self.refill(from) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
