//! The thread and its queue.

use std::sync::mpsc;

use super::super::place;
use super::*;

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut journal, restored) = Journal::open(dir.path(), BOUNDS).expect("new");
    assert_eq!(restored, Restored::default());
    for number in 1..=3 {
        journal.send(decided(number)).expect("the queue is empty");
    }
    for number in 1..=3 {
        assert_eq!(journal.answer().await, Answer { number, result: Ok(()) });
    }
    let release = journal.archive().release("v2-7").expect("readable").expect("written");
    assert_eq!(release.decisions.len(), 3);
    journal.close();
    let (journal, restored) = Journal::open(dir.path(), BOUNDS).expect("closed");
    assert_eq!(restored.state, Some(state(3)));
    journal.close();
}

#[tokio::test]
async fn closing_writes_what_is_queued() {
    let dir = tempfile::tempdir().expect("a directory");
    let (journal, _) = Journal::open(dir.path(), BOUNDS).expect("new");
    for number in 1..=20 {
        journal.send(Write { durable: Durable::Later, ..decided(number) }).expect("there is room");
    }
    journal.close();
    let (journal, restored) = Journal::open(dir.path(), BOUNDS).expect("closed");
    assert_eq!(restored.state, Some(state(20)));
    journal.close();
}

/// A disk that hangs is one that never opens again after a failure.
#[tokio::test]
async fn a_disk_that_hangs_fills_the_queue_and_holds_nobody_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let (lock, _) = place::prepare(dir.path()).expect("new");
    let disk = Disk::formatted();
    let (release, released) = mpsc::channel::<()>();
    let (hung, hangs) = mpsc::channel();
    let opened = {
        let disk = disk.clone();
        let first = std::cell::Cell::new(true);
        opener_over(move || {
            if !first.replace(false) {
                hung.send(()).expect("the test waits");
                released.recv().expect("the test ends it");
            }
            disk.clone()
        })
    };
    let (store, _) = Store::open(opened, BOUNDS).expect("formatted");
    let archive = store.archive();
    let mut journal = Journal { writer: Writer::start(store, lock), archive };
    disk.fail(disk::Fault::ReadOnly);
    journal.send(decided(1)).expect("the queue is empty");
    assert_eq!(journal.answer().await, Answer { number: 1, result: Err(WriteError::ReadOnly) });
    disk.fail(None);
    journal.send(decided(2)).expect("the queue is empty");
    hangs.recv().expect("the writer hangs");

    for number in 3..=65 {
        journal.send(decided(number)).expect("there is room");
    }
    let refused = Answer { number: 66, result: Err(WriteError::QueueFull(64)) };
    assert_eq!(journal.send(decided(66)), Err(refused));

    release.send(()).expect("it waits");
    for number in 2..=65 {
        assert_eq!(journal.answer().await, Answer { number, result: Ok(()) });
    }
    journal.send(decided(67)).expect("there is room again");
    journal.close();
}
