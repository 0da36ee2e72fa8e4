//! A disk that fails for a while.

use super::disk::Fault;
use super::*;

/// The first write goes well, the second and third meet the fault, the fourth does not.
#[track_caller]
fn check_heals(fault: Fault, expected: &WriteError) -> bool {
    let disk = Disk::formatted();
    let (mut store, _) = open(&disk).expect("formatted");
    store.write(decided(1)).expect("nothing fails");
    disk.fail(fault);
    let failed = store.write(decided(2));
    if failed.is_ok() {
        return false;
    }
    assert_eq!(failed.map_err(WriteError::from), Err(expected.clone()), "{fault:?}");
    let still = store.write(decided(3)).map_err(WriteError::from);
    assert!(still.is_ok() || still == Err(expected.clone()), "{fault:?}: {still:?}");
    disk.fail(None);
    store.write(decided(4)).unwrap_or_else(|failure| panic!("{fault:?}: {failure:?}"));
    assert_eq!(decisions_in(&store), [1, 2, 3, 4], "{fault:?}");
    // A full disk takes evidence last, and gives it up first.
    let slots: Vec<_> = store.archive().slots(7).collect();
    let whole = slots.iter().all(Result::is_ok) && slots.len() == 4;
    assert!(whole || *expected == WriteError::Full, "{fault:?}: {slots:?}");

    // As if killed: what was answered is on the disk, whatever the failures left there.
    let (store, restored) = open(&Disk::holding(disk.bytes())).expect("whole");
    assert_eq!(restored.state.map(|state| state.weight), Some(4), "{fault:?}");
    assert_eq!(decisions_in(&store), [1, 2, 3, 4], "{fault:?}");
    true
}

#[test]
fn a_disk_that_is_full_from_any_byte_on_fails_writes_until_there_is_space_again() {
    let mut rooms = (0..).step_by(3_000);
    let failed = rooms.by_ref().take_while(|room| check_heals(Fault::Full { room: *room }, &WriteError::Full)).count();
    assert!(failed > 10, "a write takes many pages, and failed in {failed} of them only");
}

#[test]
fn on_a_disk_too_small_for_the_evidence_the_state_and_the_decisions_find_room_at_once() {
    let disk = Disk::formatted();
    let opened = disk.clone();
    let bounds = Bounds { age: Duration::MAX, size: 1 << 30 };
    let (mut store, _) = Store::open(opener_over(move || opened.clone()), bounds).expect("formatted");
    disk.fail(Fault::Limit { length: 3 << 20 });
    let mut failed = vec![];
    for number in 1..=160 {
        let evidence = vec![chunk(7, u32::from(number), [incompressible(30_000)])];
        if let Err(failure) = store.write(Write { evidence, ..decided(number) }) {
            assert_eq!(WriteError::from(failure), WriteError::Full);
            failed.push(number);
        }
    }
    assert!((2..10).contains(&failed.len()), "{failed:?}");
    assert!(failed.windows(2).all(|pair| pair[0] + 1 < pair[1]), "one write later there is room: {failed:?}");
    assert_eq!(decisions_in(&store), (1..=160).collect::<Vec<_>>());
}

#[test]
fn a_disk_that_stops_to_sync_fails_writes_until_it_does_again() {
    let expected = WriteError::Io("the disk is gone".to_owned());
    let failed = (0..100).take_while(|left| check_heals(Fault::Unsynced { left: *left }, &expected)).count();
    assert!(failed >= 2, "a durable write syncs twice, and failed in {failed} places only");
}

#[test]
fn a_disk_that_turns_read_only_is_told_from_a_full_one() {
    assert!(check_heals(Fault::ReadOnly, &WriteError::ReadOnly));
}

#[test]
fn what_was_to_be_written_later_is_not_lost_by_a_failure() {
    let disk = Disk::formatted();
    let (mut store, _) = open(&disk).expect("formatted");
    for number in 1..=3 {
        store.write(Write { durable: Durable::Later, ..decided(number) }).expect("nothing fails");
    }
    disk.fail(Fault::ReadOnly);
    store.write(decided(4)).expect_err("the disk is read-only");
    disk.fail(None);
    store.write(decided(5)).expect("healed");
    assert_eq!(decisions_in(&store), [1, 2, 3, 4, 5]);
    assert_eq!(store.archive().slots(7).count(), 5);
}

#[test]
fn while_the_disk_fails_reading_says_so_and_memory_stays_bounded() {
    let disk = Disk::formatted();
    let (mut store, _) = open(&disk).expect("formatted");
    store.write(decided(1)).expect("nothing fails");
    disk.fail(Fault::ReadOnly);
    for number in 2..=250 {
        let evidence = vec![chunk(7, number, [incompressible(20_000)])];
        let decisions = (0..5).map(|index| decision(number as u16 * 5 + index)).collect();
        store.write(Write { decisions, evidence, ..decided(1) }).expect_err("the disk is read-only");
    }
    assert_eq!(store.archive().page(None, usize::MAX), Err(ReadError::Unavailable));
    disk.fail(None);
    store.write(decided(1_255)).expect("healed");
    assert_eq!(decisions_in(&store), [1].into_iter().chain(255..=1_255).collect::<Vec<_>>(), "the newest thousand");
    let (first, _) = store.archive().chunk(7, 2).expect("readable").expect("the newest were kept");
    // 4 MiB of 20,000 bytes each.
    assert!((250 - 215..250 - 180).contains(&first), "{first}");
}

#[test]
fn a_record_that_is_too_large_fails_alone() {
    let (mut store, _) = open(&Disk::formatted()).expect("formatted");
    store.write(decided(1)).expect("nothing fails");
    let mut large = decided(2);
    large.decisions[0].sentence = "x".repeat(5 << 20);
    let failure = store.write(large).expect_err("too large");
    assert!(matches!(failure, Failure::TooLarge(size) if size > 5 << 20), "{failure:?}");
    store.write(decided(3)).expect("fine again");
    assert_eq!(decisions_in(&store), [1, 3]);
}
