//! Files of other schemas.

use redb::{ReadableDatabase, TableDefinition};

use super::super::migrate::SCHEMA;
use super::super::place::builder;
use super::super::table::{ACTIONS, OUTBOX};
use super::*;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const STATE: TableDefinition<&str, &[u8]> = TableDefinition::new("state");
const RELEASES: TableDefinition<u32, &[u8]> = TableDefinition::new("releases");
const DECISIONS: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("decisions");
const EVIDENCE: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("evidence");

/// A file as schema 0 had it, made by hand.
fn schema_0() -> Disk {
    let disk = Disk::default();
    let database = builder().create_with_backend(disk.clone()).expect("nothing fails");
    let transaction = database.begin_write().expect("nothing fails");
    let json =
        br#"{"epoch":7,"latch":{"trigger":"spike","reason":"8 % errors","actor":"gate","at":"2026-11-21T14:00:00Z"},
        "state":"rolledBack","weight":0,"step":null,"blue":"v1","green":"v2","stable":"v1","resume":null}"#;
    transaction.open_table(STATE).expect("new").insert("state", json.as_slice()).expect("written");
    let json = br#"{"epoch":7,"id":"v2-7","blue":"v1","green":"v2","started":"2026-11-21T13:00:00Z",
        "ended":"2026-11-21T14:00:00Z","outcome":"rolledBack","policy":"","plan":null}"#;
    transaction.open_table(RELEASES).expect("new").insert(7, json.as_slice()).expect("written");
    let json = br#"{"epoch":7,"seq":0,"at":"2026-11-21T14:00:00Z","afterNanos":3600000000001,"kind":"rolledBack",
        "actor":"gate","sentence":"8 % errors","state":"rolledBack","weight":9,"evidence":{}}"#;
    transaction.open_table(DECISIONS).expect("new").insert((7, 0), json.as_slice()).expect("written");
    let packed = chunk(7, 0, [tick(3), tick(4)]).pack();
    transaction.open_table(EVIDENCE).expect("new").insert((7, 0), packed.as_slice()).expect("written");
    transaction.commit().expect("written");
    database.close().expect("nothing fails");
    disk
}

#[test]
fn a_file_of_schema_0_is_brought_up_to_date_with_all_that_it_holds() {
    let disk = schema_0();
    // Opened twice: the second time there is nothing left to do.
    for _ in 0..2 {
        let (store, restored) = open(&disk).expect("migrated");
        let state = restored.state.expect("there was one");
        assert_eq!(state.latch.map(|latch| latch.reason), Some("8 % errors".to_owned()));
        assert_eq!((restored.next_decision, restored.next_chunk), (1, 1));
        let release = store.archive().release("v2-7").expect("readable").expect("there was one");
        assert_eq!(release.record.header.outcome, Outcome::RolledBack);
        assert_eq!(release.decisions[0].after, Duration::from_nanos(3_600_000_000_001));
        let inputs: Vec<Input> = store.archive().slots(7).map(|slot| slot.expect("whole").input).collect();
        assert_eq!(inputs, [tick(3), tick(4)]);
        store.close();
    }
}

#[test]
fn evidence_of_schema_0_counts_towards_the_bounds() {
    let disk = schema_0();
    let (mut store, _) = open(&disk).expect("migrated");
    store.write(decided(1)).expect("nothing fails");
    assert_eq!(store.archive().first_chunk(7), Ok(Some(1)), "it is older than anything");
}

#[test]
fn a_migration_that_fails_leaves_the_old_file() {
    let old = schema_0();
    old.fail(super::disk::Fault::Full { room: 20_000 });
    let failure = open(&old).map(|_| ()).expect_err("no space");
    assert!(matches!(failure.at("journal.redb".into()), OpenError::Full { .. }));
    old.fail(None);
    let (_, restored) = open(&old).expect("migrated");
    assert!(restored.state.is_some_and(|state| state.latch.is_some()));
}

#[test]
fn a_file_of_schema_1_gets_room_for_actions() {
    let disk = Disk::formatted();
    let database = builder().create_with_backend(disk.clone()).expect("whole");
    let transaction = database.begin_write().expect("nothing fails");
    assert!(transaction.delete_table(ACTIONS).expect("there") && transaction.delete_table(OUTBOX).expect("there"));
    transaction.open_table(META).expect("there").insert("schema", 1).expect("written");
    transaction.commit().expect("written");
    database.close().expect("nothing fails");
    let (mut store, restored) = open(&disk).expect("migrated");
    assert_eq!(restored, Restored::default());
    let doing = Doing { actions: vec![action(7, 0)], occasions: vec![occasion(7, 0)], passed: vec![] };
    store.write(Write { doing, ..decided(1) }).expect("there is a place for it");
    let release = store.archive().release("v2-7").expect("readable").expect("there");
    assert_eq!(release.actions, [action(7, 0)]);
}

#[test]
fn a_file_of_a_newer_schema_is_refused_and_not_touched() {
    let disk = Disk::formatted();
    let database = builder().create_with_backend(disk.clone()).expect("whole");
    let transaction = database.begin_write().expect("nothing fails");
    transaction.open_table(META).expect("there").insert("schema", SCHEMA + 1).expect("written");
    transaction.commit().expect("written");
    database.close().expect("nothing fails");
    let error = open(&disk).map(|_| ()).expect_err("newer").at("data/journal.redb".into());
    assert_eq!(
        error.to_string(),
        format!(
            "data/journal.redb has schema {}, and this program knows none above {SCHEMA}: it was written by a newer one",
            SCHEMA + 1
        )
    );
    let database = builder().create_with_backend(disk).expect("whole");
    let meta = database.begin_read().expect("whole").open_table(META).expect("there");
    assert_eq!(meta.get("schema").expect("whole").map(|schema| schema.value()), Some(SCHEMA + 1));
}

#[test]
fn a_database_of_somebody_else_is_not_taken_for_an_old_journal() {
    let disk = Disk::default();
    let database = builder().create_with_backend(disk.clone()).expect("nothing fails");
    let transaction = database.begin_write().expect("nothing fails");
    transaction.open_table(TableDefinition::<u32, u32>::new("theirs")).expect("new").insert(1, 1).expect("written");
    transaction.commit().expect("written");
    database.close().expect("nothing fails");
    let failure = open(&disk).map(|_| ()).expect_err("not ours");
    assert!(
        matches!(&failure, Failure::Corrupt(detail) if detail == "it is a database, but no journal"),
        "{failure:?}"
    );
}
