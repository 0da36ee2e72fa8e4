//! A file that somebody else has changed.

use std::fs;
use std::path::Path;

use super::*;

fn journal_of_12() -> (Disk, Store) {
    let disk = Disk::formatted();
    let (mut store, _) = open(&disk).expect("formatted");
    for number in 1..=12 {
        store.write(decided(number)).expect("nothing fails");
    }
    (disk, store)
}

fn closed_journal() -> Vec<u8> {
    let (disk, store) = journal_of_12();
    store.close();
    disk.bytes()
}

/// As a process that was killed leaves it.
fn killed_journal() -> Vec<u8> {
    journal_of_12().0.bytes()
}

/// The last state and no other, or the damage is found.
#[track_caller]
fn check_found_or_harmless(bytes: Vec<u8>, context: &str) -> bool {
    match open(&Disk::holding(bytes)) {
        Ok((_, restored)) => {
            assert_eq!(restored.state, Some(state(12)), "{context}");
            false
        }
        Err(Failure::Corrupt(_)) => true,
        Err(failure) => panic!("{context}: {failure:?}"),
    }
}

#[track_caller]
fn check_every_bit(whole: &[u8]) {
    // A bit of every byte of the header, and of each 256 bytes behind it that are in use.
    let mut random = fastrand::Rng::with_seed(7);
    let header: Vec<_> = (0..320).map(|position| (position, random.u8(..8))).collect();
    let used =
        (320..whole.len()).step_by(256).filter(|position| whole[*position..].iter().take(256).any(|byte| *byte > 0));
    let behind = used.map(|position| (position + random.usize(..256), random.u8(..8)));
    let mut found = 0;
    for (position, bit) in header.into_iter().chain(behind) {
        let mut damaged = whole.to_vec();
        let Some(byte) = damaged.get_mut(position) else { continue };
        *byte ^= 1 << bit;
        found += u32::from(check_found_or_harmless(damaged, &format!("bit {bit} of byte {position}")));
    }
    assert!(found > 50, "{found}");
}

#[test]
fn a_changed_bit_is_found_or_does_not_change_the_state() {
    check_every_bit(&closed_journal());
}

#[test]
fn a_changed_bit_after_a_crash_never_brings_back_the_state_before() {
    check_every_bit(&killed_journal());
}

#[test]
fn a_file_cut_anywhere_is_found() {
    let whole = closed_journal();
    for length in (1..whole.len()).step_by(4_096 * 12 + 511) {
        let context = format!("cut at {length}");
        assert!(check_found_or_harmless(whole[..length].to_vec(), &context), "{context}");
    }
}

#[track_caller]
fn check_corrupt(dir: &Path) {
    match Journal::open(dir, BOUNDS) {
        Err(OpenError::Corrupt { path, .. }) => assert_eq!(path, dir.join("journal.redb")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_when_that_is_asked_for_and_never_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("journal.redb");
    for damaged in [b"".as_slice(), b"garbage", &[0; 8192], &closed_journal()[..70_000]] {
        fs::write(&file, damaged).expect("written");
        check_corrupt(dir.path());
        check_corrupt(dir.path());
        assert_eq!(fs::read(&file).expect("still there"), damaged);

        let aside = Journal::set_aside(dir.path()).expect("moved");
        let name = aside.file_name().expect("a file").to_string_lossy().into_owned();
        assert!(name.starts_with("journal.redb.corrupt-20") && name.ends_with('Z'), "{name}");
        assert_eq!(fs::read(&aside).expect("kept"), damaged);
        let (mut journal, restored) = Journal::open(dir.path(), BOUNDS).expect("a new one");
        assert_eq!(restored, Restored::default());
        journal.send(decided(1)).expect("queued");
        assert_eq!(journal.answer().await.result, Ok(()));
        journal.close();
    }
}

#[test]
fn a_file_that_turns_out_damaged_while_it_is_in_use_fails_every_write_and_nothing_worse() {
    let disk = Disk::formatted();
    let (mut store, _) = open(&disk).expect("formatted");
    store.write(decided(1)).expect("nothing fails");
    disk.fail(disk::Fault::ReadOnly);
    store.write(decided(2)).expect_err("it is read-only");
    disk.fail(None);
    disk.overwrite(0xa5);
    for number in 3..=5 {
        let failure = store.write(decided(number)).expect_err("damaged");
        assert!(matches!(failure, Failure::Corrupt(_)), "{failure:?}");
    }
    assert_eq!(store.archive().page(None, usize::MAX), Err(ReadError::Unavailable));
}
