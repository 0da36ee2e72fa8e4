//! Brings a file of an older schema up to date, in one transaction: it is the old file or the new one, never between.
//!
//! Schema 0 had records without checksums, no `meta` table and no index of the evidence; schema 1 had no actions.

use redb::{Key, ReadableDatabase, ReadableTable, Table, TableError, TableHandle, Value, WriteTransaction};

use super::error::Failure;
use super::seal::seal_json;
use super::store::stored_bytes;
use super::table::{
    ACTIONS, DECISIONS, EVIDENCE, EVIDENCE_BYTES_KEY, EVIDENCE_INDEX, META, OUTBOX, RELEASES, SCHEMA_KEY, STATE,
    STATE_KEY,
};

/// The schema that this program writes.
pub(super) const SCHEMA: u64 = STEPS.len() as u64;

type Step = fn(&WriteTransaction) -> Result<(), Failure>;

/// The step at index N leads from schema N to N + 1.
const STEPS: [Step; 2] = [migrate_from_0, migrate_from_1];

pub(super) fn migrate(database: &redb::Database) -> Result<(), Failure> {
    let found = schema(database)?;
    if found > SCHEMA {
        return Err(Failure::Newer { found, known: SCHEMA });
    }
    if found == SCHEMA {
        return Ok(());
    }
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    for step in &STEPS[found as usize..] {
        step(&transaction)?;
    }
    transaction.open_table(META)?.insert(SCHEMA_KEY, SCHEMA)?;
    Ok(transaction.commit()?)
}

pub(super) fn schema(database: &impl ReadableDatabase) -> Result<u64, Failure> {
    let transaction = database.begin_read()?;
    match transaction.open_table(META) {
        Ok(meta) => {
            let schema = meta.get(SCHEMA_KEY)?.map(|schema| schema.value());
            schema.ok_or_else(|| Failure::Corrupt("its schema is missing".to_owned()))
        }
        Err(TableError::TableDoesNotExist(_)) => {
            // A database of somebody else's must not be taken for an old journal.
            let ours = transaction.list_tables()?.any(|table| table.name() == STATE.name());
            if ours { Ok(0) } else { Err(Failure::Corrupt("it is a database, but no journal".to_owned())) }
        }
        Err(error) => Err(error.into()),
    }
}

fn migrate_from_0(transaction: &WriteTransaction) -> Result<(), Failure> {
    let mut states = transaction.open_table(STATE)?;
    let state = states.get(STATE_KEY)?.map(|state| seal_json(state.value()));
    if let Some(state) = state {
        states.insert(STATE_KEY, state.as_slice())?;
    }
    seal_all(&mut transaction.open_table(RELEASES)?)?;
    seal_all(&mut transaction.open_table(DECISIONS)?)?;
    let evidence = transaction.open_table(EVIDENCE)?;
    let mut index = transaction.open_table(EVIDENCE_INDEX)?;
    let mut total = 0;
    for chunk in evidence.iter()? {
        let (key, bytes) = chunk?;
        let bytes = stored_bytes(bytes.value().len());
        // When it was written is not known; as old as can be, it is the first to go.
        index.insert(key.value(), (0, bytes))?;
        total += bytes;
    }
    transaction.open_table(META)?.insert(EVIDENCE_BYTES_KEY, total)?;
    Ok(())
}

/// Tables for actions.
fn migrate_from_1(transaction: &WriteTransaction) -> Result<(), Failure> {
    transaction.open_table(ACTIONS)?;
    transaction.open_table(OUTBOX)?;
    Ok(())
}

fn seal_all<K>(records: &mut Table<'_, K, &'static [u8]>) -> Result<(), Failure>
where
    K: Key + Copy + 'static,
    for<'a> K: Value<SelfType<'a> = K>,
{
    let sealed = records
        .iter()?
        .map(|record| record.map(|(key, json)| (key.value(), seal_json(json.value()))))
        .collect::<Result<Vec<_>, _>>()?;
    for (key, record) in sealed {
        records.insert(key, record.as_slice())?;
    }
    Ok(())
}
