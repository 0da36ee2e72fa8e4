//! One write, one transaction.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::{SignedDuration, Timestamp};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::doing;
use super::error::Failure;
use super::migrate::{SCHEMA, migrate};
use super::place::guarded;
use super::record::{DecisionRecord, Restored, StateRecord};
use super::seal::{seal, unseal};
use super::slot::Chunk;
use super::table::{
    ACTIONS, DECISIONS, EVIDENCE, EVIDENCE_BYTES_KEY, EVIDENCE_INDEX, META, OUTBOX, RELEASES, SCHEMA_KEY, STATE,
    STATE_KEY,
};
use super::writer::{Durable, Write};
use super::{Archive, Bounds};

/// Releases that are kept with their decisions: years of them, and few enough to list at once.
const RELEASES_KEPT: u64 = 1_000;

/// Decisions that are kept of one release, the newest: one a minute for a week.
const DECISIONS_KEPT: u32 = 10_000;

/// What may wait in memory for a disk that fails. Records are small and wanted; evidence is large and can be missed.
const RECORDS_HELD: usize = 1_000;
const EVIDENCE_HELD_BYTES: usize = 4 << 20;

/// With more evidence than this not on the disk, a write that could be later is not.
const EVIDENCE_LATER_BYTES: usize = 1 << 20;

/// Bytes that evidence must leave free in the file: on a full disk the state needs new pages before it can have those of
/// the evidence that it replaces.
const RESERVE: usize = 128 << 10;
const NO_CHUNK: (u32, u32) = (u32::MAX, u32::MAX);

/// Opens the file, at the start and after each failure: redb takes no more writes once one has failed.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, Failure> + Send>;

/// The database as readers see it: none between a failure and the next success.
pub(super) type Shared = Arc<ArcSwapOption<Database>>;

/// The database, and what is not on the disk yet.
pub(super) struct Store {
    opener: Opener,
    shared: Shared,
    bounds: Bounds,
    /// Carried by the write at hand, and by those before it that failed.
    held: Held,
    /// Written since the last durable write: a failure undoes it.
    later: Held,
    space: Space,
}

/// Whether the disk had room for the last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    Enough,
    /// Evidence gives way to the state and the decisions.
    Short,
}

/// What writes carry beside the state, as it is stored.
#[derive(Debug, Default)]
struct Held {
    releases: Vec<(u32, Vec<u8>)>,
    decisions: Vec<((u32, u32), Vec<u8>)>,
    actions: Vec<doing::Sealed>,
    occasions: Vec<doing::Moment>,
    evidence: Vec<Packed>,
}

/// A chunk of evidence.
#[derive(Debug)]
struct Packed {
    key: (u32, u32),
    at: Timestamp,
    bytes: Vec<u8>,
}

/// The tables and the schema of a new file.
pub(super) fn initialize(database: &Database) -> Result<(), Failure> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    transaction.open_table(STATE)?;
    transaction.open_table(RELEASES)?;
    transaction.open_table(DECISIONS)?;
    transaction.open_table(ACTIONS)?;
    transaction.open_table(OUTBOX)?;
    transaction.open_table(EVIDENCE)?;
    transaction.open_table(EVIDENCE_INDEX)?;
    let mut meta = transaction.open_table(META)?;
    meta.insert(SCHEMA_KEY, SCHEMA)?;
    meta.insert(EVIDENCE_BYTES_KEY, 0)?;
    drop(meta);
    Ok(transaction.commit()?)
}

/// Bytes of the file that a chunk takes: redb gives what is larger than a page a power of two of them.
pub(super) fn stored_bytes(length: usize) -> u64 {
    const PAGE: usize = 4_096;
    // What redb adds to a lone pair in a leaf.
    const OVERHEAD: usize = 32;
    let stored = if length + OVERHEAD > PAGE { (length + OVERHEAD).next_power_of_two() } else { length + OVERHEAD };
    stored as u64
}

impl Store {
    pub(super) fn open(opener: Opener, bounds: Bounds) -> Result<(Store, Restored), Failure> {
        let database = opener()?;
        let restored = guarded(|| {
            migrate(&database)?;
            restore(&database)
        })?;
        let shared = Arc::new(ArcSwapOption::from_pointee(database));
        let (held, later) = (Held::default(), Held::default());
        Ok((Store { opener, shared, bounds, held, later, space: Space::Enough }, restored))
    }

    pub(super) fn archive(&self) -> Archive {
        Archive::new(self.shared.clone())
    }

    /// After another process may have had the file, and brought it to a schema that this one does not know.
    pub(super) fn reopen(&self) -> Result<(), Failure> {
        let known = guarded(|| migrate(&*self.database()?));
        if known.is_err() {
            self.close();
        }
        known
    }

    /// After a failure the file is opened anew by the next write, which takes along what this one carried.
    pub(super) fn write(&mut self, write: Write) -> Result<(), Failure> {
        let state = seal(&write.state)?;
        self.held.add(Held::of(&write)?);
        if self.space == Space::Short {
            self.held.evidence.clear();
        }
        let later = self.later.evidence_bytes() + self.held.evidence_bytes();
        let durable = if later > EVIDENCE_LATER_BYTES { Durable::Now } else { write.durable };
        let result = guarded(|| self.attempt(&state, durable, write.at));
        let held = std::mem::take(&mut self.held);
        self.space = if matches!(&result, Err(failure) if failure.is_full()) { Space::Short } else { Space::Enough };
        match (&result, durable) {
            (Ok(()), Durable::Now) => self.later = Held::default(),
            (Ok(()), Durable::Later) => self.later.add(held),
            (Err(_), _) => {
                self.held = std::mem::take(&mut self.later);
                self.held.add(held);
                self.held.bound();
                self.close();
            }
        }
        result
    }

    pub(super) fn close(&self) {
        let database = self.shared.swap(None);
        // Closing writes as well, and may give up on a damaged file.
        guarded(|| {
            drop(database);
            Ok(())
        })
        .ok();
    }

    fn attempt(&self, state: &[u8], durable: Durable, at: Timestamp) -> Result<(), Failure> {
        let database = self.database()?;
        let mut transaction = database.begin_write()?;
        // With one phase, damage to the newest state would pass for a crash and bring back the one before.
        transaction.set_two_phase_commit(true);
        if durable == Durable::Later {
            transaction.set_durability(Durability::None)?;
        }
        transaction.open_table(STATE)?.insert(STATE_KEY, state)?;
        put_records(&transaction, &self.held)?;
        put_evidence(&transaction, &self.held.evidence)?;
        prune_releases(&transaction)?;
        prune_evidence(&transaction, self.bounds, self.space, at)?;
        Ok(transaction.commit()?)
    }

    fn database(&self) -> Result<Arc<Database>, Failure> {
        if let Some(database) = self.shared.load_full() {
            return Ok(database);
        }
        let database = Arc::new((self.opener)()?);
        self.shared.store(Some(database.clone()));
        Ok(database)
    }
}

impl Held {
    fn of(write: &Write) -> Result<Held, Failure> {
        let sealed = |decision: &DecisionRecord| Ok(((decision.epoch, decision.seq), seal(decision)?));
        let packed =
            |chunk: &Chunk| Packed { key: (chunk.epoch(), chunk.number()), at: chunk.at(), bytes: chunk.pack() };
        Ok(Held {
            releases: write
                .release
                .iter()
                .map(|release| Ok((release.header.epoch, seal(release)?)))
                .collect::<Result<_, Failure>>()?,
            decisions: write.decisions.iter().map(sealed).collect::<Result<_, Failure>>()?,
            actions: doing::actions(&write.doing)?,
            occasions: doing::occasions(&write.doing)?,
            evidence: write.evidence.iter().map(packed).collect(),
        })
    }

    fn add(&mut self, newer: Held) {
        self.releases.extend(newer.releases);
        self.decisions.extend(newer.decisions);
        self.actions.extend(newer.actions);
        self.occasions.extend(newer.occasions);
        self.evidence.extend(newer.evidence);
    }

    fn evidence_bytes(&self) -> usize {
        self.evidence.iter().map(|chunk| chunk.bytes.len()).sum()
    }

    fn bound(&mut self) {
        let surplus = self.decisions.len().saturating_sub(RECORDS_HELD);
        self.decisions.drain(..surplus);
        // The same release comes again when it ends.
        let surplus = self.releases.len().saturating_sub(RECORDS_HELD);
        self.releases.drain(..surplus);
        let surplus = self.actions.len().saturating_sub(RECORDS_HELD);
        self.actions.drain(..surplus);
        let surplus = self.occasions.len().saturating_sub(RECORDS_HELD);
        self.occasions.drain(..surplus);
        let mut bytes = 0;
        let fits = |chunk: &&Packed| {
            bytes += chunk.bytes.len();
            bytes <= EVIDENCE_HELD_BYTES
        };
        let kept = self.evidence.iter().rev().take_while(fits).count();
        self.evidence.drain(..self.evidence.len() - kept);
    }
}

pub(super) fn restore(database: &impl ReadableDatabase) -> Result<Restored, Failure> {
    let transaction = database.begin_read()?;
    let state: Option<StateRecord> =
        transaction.open_table(STATE)?.get(STATE_KEY)?.map(|state| unseal(state.value())).transpose()?;
    let releases = transaction.open_table(RELEASES)?;
    let Some(state) = state else {
        if releases.is_empty()? {
            return Ok(Restored::default());
        }
        return Err(Failure::Corrupt("it has releases, but no state".to_owned()));
    };
    let epoch = state.epoch;
    let of_epoch = (epoch, 0)..=(epoch, u32::MAX);
    let (occasions, actions) = doing::to_do(&transaction, epoch)?;
    let next = |last: Option<(u32, u32)>| last.map_or(0, |(_, number)| number.saturating_add(1));
    let last_decision = transaction.open_table(DECISIONS)?.range(of_epoch.clone())?.next_back().transpose()?;
    let last_chunk = transaction.open_table(EVIDENCE_INDEX)?.range(of_epoch)?.next_back().transpose()?;
    Ok(Restored {
        release: releases.get(epoch)?.map(|release| unseal(release.value())).transpose()?,
        next_decision: next(last_decision.map(|(key, _)| key.value())),
        next_chunk: next(last_chunk.map(|(key, _)| key.value())),
        occasions,
        actions,
        state: Some(state),
    })
}

fn put_records(transaction: &WriteTransaction, held: &Held) -> Result<(), Failure> {
    let mut releases = transaction.open_table(RELEASES)?;
    for (epoch, release) in &held.releases {
        releases.insert(epoch, release.as_slice())?;
    }
    let mut decisions = transaction.open_table(DECISIONS)?;
    for (key, decision) in &held.decisions {
        decisions.insert(key, decision.as_slice())?;
        let (epoch, seq) = *key;
        if let Some(oldest) = seq.checked_sub(DECISIONS_KEPT) {
            decisions.remove((epoch, oldest))?;
        }
    }
    doing::put(transaction, &held.actions, &held.occasions)
}

fn put_evidence(transaction: &WriteTransaction, chunks: &[Packed]) -> Result<(), Failure> {
    let mut evidence = transaction.open_table(EVIDENCE)?;
    let mut index = transaction.open_table(EVIDENCE_INDEX)?;
    let mut meta = transaction.open_table(META)?;
    let mut total = meta.get(EVIDENCE_BYTES_KEY)?.map_or(0, |total| total.value());
    for chunk in chunks {
        let key = chunk.key;
        let bytes = stored_bytes(chunk.bytes.len());
        evidence.insert(key, chunk.bytes.as_slice())?;
        let replaced = index.insert(key, (chunk.at.as_second(), bytes))?.map_or(0, |entry| entry.value().1);
        total = total.saturating_sub(replaced) + bytes;
    }
    meta.insert(EVIDENCE_BYTES_KEY, total)?;
    if !chunks.is_empty() {
        // Pages that are given back within a transaction are free to the same and the next.
        evidence.insert_reserve(NO_CHUNK, RESERVE)?;
        evidence.remove(NO_CHUNK)?;
    }
    Ok(())
}

/// Deletes the oldest until the rest is within the bounds, or half of it when the disk is full.
fn prune_evidence(transaction: &WriteTransaction, bounds: Bounds, space: Space, at: Timestamp) -> Result<(), Failure> {
    let age = SignedDuration::try_from(bounds.age).unwrap_or(SignedDuration::MAX);
    let oldest = at.checked_sub(age).unwrap_or(Timestamp::MIN).as_second();
    let mut evidence = transaction.open_table(EVIDENCE)?;
    let mut index = transaction.open_table(EVIDENCE_INDEX)?;
    let mut meta = transaction.open_table(META)?;
    let mut total = meta.get(EVIDENCE_BYTES_KEY)?.map_or(0, |total| total.value());
    let size = match space {
        Space::Enough => bounds.size,
        Space::Short => bounds.size.min(total / 2),
    };
    loop {
        let first = index.first()?.map(|(key, entry)| (key.value(), entry.value()));
        let Some((key, (written, bytes))) = first else { break };
        if total <= size && written >= oldest {
            break;
        }
        index.remove(key)?;
        evidence.remove(key)?;
        total = total.saturating_sub(bytes);
    }
    meta.insert(EVIDENCE_BYTES_KEY, total)?;
    Ok(())
}

fn prune_releases(transaction: &WriteTransaction) -> Result<(), Failure> {
    let mut releases = transaction.open_table(RELEASES)?;
    while releases.len()? > RELEASES_KEPT {
        let Some(epoch) = releases.pop_first()?.map(|(epoch, _)| epoch.value()) else { break };
        let of_epoch = (epoch, 0)..=(epoch, u32::MAX);
        transaction.open_table(DECISIONS)?.retain_in(of_epoch, |_, _| false)?;
        doing::forget(transaction, epoch)?;
    }
    Ok(())
}
