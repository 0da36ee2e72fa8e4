//! The directory and its lock.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_missing_directory_is_made_for_its_owner_alone() {
    let parent = tempfile::tempdir().expect("a directory");
    let dir = parent.path().join("var/portcullis");
    let (journal, _) = Journal::open(&dir, BOUNDS).expect("made");
    journal.close();
    let mode = |path: &str| fs::metadata(dir.join(path)).expect("made").permissions().mode() & 0o777;
    assert_eq!([mode("."), mode("journal.redb"), mode("journal.lock")], [0o700, 0o600, 0o600]);
}

#[test]
fn a_directory_that_is_in_use_is_refused_with_its_name_and_the_process_until_that_is_done() {
    let dir = tempfile::tempdir().expect("a directory");
    let (journal, _) = Journal::open(dir.path(), BOUNDS).expect("free");
    let expected = format!(
        "the data directory {} is in use by process {}; each proxy needs its own --data",
        dir.path().display(),
        std::process::id()
    );
    for refused in [Journal::open(dir.path(), BOUNDS).map(|_| ()), Journal::set_aside(dir.path()).map(|_| ())] {
        assert_eq!(refused.expect_err("in use").to_string(), expected);
    }
    journal.close();
    Journal::open(dir.path(), BOUNDS).expect("free again").0.close();
}

#[test]
fn the_lock_of_a_dead_process_is_no_obstacle() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("journal.lock"), "4194304000\nand more\n").expect("written");
    let (journal, _) = Journal::open(dir.path(), BOUNDS).expect("nobody holds it");
    let lock = fs::read_to_string(dir.path().join("journal.lock")).expect("there");
    assert_eq!(lock, format!("{}\n", std::process::id()));
    journal.close();
}

#[test]
fn a_process_that_died_while_it_made_the_file_is_no_obstacle() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("journal.redb.new"), "half of a fi").expect("written");
    let (journal, restored) = Journal::open(dir.path(), BOUNDS).expect("made anew");
    assert_eq!(restored, Restored::default());
    journal.close();
    assert!(!dir.path().join("journal.redb.new").exists());
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    fs::write(&file, "").expect("written");
    match Journal::open(&file.join("data"), BOUNDS) {
        Err(OpenError::Directory { dir, .. }) => assert_eq!(dir, file.join("data")),
        other => panic!("{other:?}"),
    }
}

/// Each fault at the first bytes that are to be written.
#[test]
fn why_a_file_cannot_be_opened_is_told() {
    let check = |fault, expected: &str| {
        let disk = Disk::formatted();
        disk.fail(fault);
        let error = open(&disk).map(|_| ()).expect_err("failing").at("data/journal.redb".into());
        assert_eq!(error.to_string(), expected);
    };
    check(disk::Fault::Full { room: 0 }, "there is no space left for data/journal.redb");
    check(disk::Fault::ReadOnly, "data/journal.redb is on a read-only file system");
    check(disk::Fault::Unsynced { left: 0 }, "data/journal.redb: the disk is gone");
}
