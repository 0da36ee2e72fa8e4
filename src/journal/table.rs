//! The tables of the database, by their keys.

use redb::TableDefinition;

/// What the file says of itself, by name.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// The one state, under [`STATE_KEY`].
pub(super) const STATE: TableDefinition<&str, &[u8]> = TableDefinition::new("state");
/// By epoch.
pub(super) const RELEASES: TableDefinition<u32, &[u8]> = TableDefinition::new("releases");
/// By epoch and sequence number.
pub(super) const DECISIONS: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("decisions");
/// By epoch and number.
pub(super) const ACTIONS: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("actions");
/// The moments that not everything has been done about, by epoch and number.
pub(super) const OUTBOX: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("outbox");
/// Compressed chunks by epoch and number, which is the order of their age.
pub(super) const EVIDENCE: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("evidence");
/// Of each chunk when it was written (Unix seconds) and the bytes that it takes: to know what to delete without
/// reading it.
pub(super) const EVIDENCE_INDEX: TableDefinition<(u32, u32), (i64, u64)> = TableDefinition::new("evidenceIndex");

pub(super) const SCHEMA_KEY: &str = "schema";
/// The sum of the bytes in [`EVIDENCE_INDEX`].
pub(super) const EVIDENCE_BYTES_KEY: &str = "evidenceBytes";
pub(super) const STATE_KEY: &str = "state";
