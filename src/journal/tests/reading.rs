//! The archive.

use super::*;

#[test]
fn a_release_is_read_with_its_decisions_in_order_and_nobody_elses() {
    let (mut store, _) = open(&Disk::formatted()).expect("formatted");
    let mut other = decision(1);
    other.epoch = 8;
    for number in [2, 1, 3] {
        store.write(decided(number)).expect("nothing fails");
    }
    let ended = ReleaseRecord {
        header: ReleaseHeader { ended: Some(at(9)), outcome: Outcome::Promoted, ..release(7).header },
        ..release(7)
    };
    store.write(Write { release: Some(ended.clone()), decisions: vec![other], ..decided(4) }).expect("nothing fails");
    let found = store.archive().release("v2-7").expect("readable").expect("written");
    assert_eq!(found, ReleaseDocument { record: ended, decisions: (1..=3).map(decision).collect(), actions: vec![] });
    for unknown in ["v2-8", "v3-7", "7", "v2", "", "v2-99999999999"] {
        assert_eq!(store.archive().release(unknown), Ok(None), "{unknown}");
    }
}

#[test]
fn the_answer_of_the_api_is_one_flat_document() {
    let document = ReleaseDocument { record: release(7), decisions: vec![decision(1)], actions: vec![] };
    let json = serde_json::to_value(&document).expect("records have string keys");
    assert_eq!(json["id"], "v2-7");
    assert_eq!(json["outcome"], "open");
    assert_eq!(json["decisions"][0]["afterNanos"], 1_000_000_007);
    assert_eq!(serde_json::from_value::<ReleaseDocument>(json).expect("the same"), document);
}

#[test]
fn evidence_is_read_in_order_over_all_chunks() {
    let (mut store, _) = open(&Disk::formatted()).expect("formatted");
    let evidence =
        vec![chunk(7, 0, [tick(1), tick(2)]), chunk(7, 1, []), chunk(7, 2, [tick(3)]), chunk(8, 0, [tick(9)])];
    store.write(Write { evidence, ..write(1, state(1), Durable::Later) }).expect("nothing fails");
    let inputs: Vec<Input> = store.archive().slots(7).map(|slot| slot.expect("whole").input).collect();
    assert_eq!(inputs, [tick(1), tick(2), tick(3)]);
    assert_eq!(store.archive().slots(9).count(), 0);
}

#[test]
fn evidence_is_read_from_the_chunk_on_that_reaches_a_time() {
    let (mut store, _) = open(&Disk::formatted()).expect("formatted");
    let chunk = |number: u32, seconds: std::ops::Range<u64>| {
        let mut open = OpenChunk::new(7, number);
        seconds.for_each(|second| open.push(&Slot { after: Duration::from_secs(second), input: tick(second) }));
        open.take(at(number))
    };
    // Of those before 10 s the bounds have taken the chunks.
    let evidence = vec![chunk(3, 10..20), chunk(4, 20..30), chunk(5, 30..40), chunk(6, 40..50)];
    store.write(Write { evidence, ..write(1, state(1), Durable::Later) }).expect("nothing fails");
    let from = |epoch: u32, second: u64| {
        let slots = store.archive().slots_from(epoch, Duration::from_secs(second)).expect("readable");
        slots.map(|slot| slot.expect("whole").after.as_secs()).collect::<Vec<_>>()
    };
    for (second, first) in [(0, 10), (10, 10), (19, 10), (20, 20), (45, 40), (99, 40)] {
        assert_eq!(from(7, second), (first..50).collect::<Vec<_>>(), "{second}");
    }
    assert_eq!(from(9, 0), Vec::<u64>::new());
}

#[test]
fn a_hole_in_the_evidence_is_told() {
    let (mut store, _) = open(&Disk::formatted()).expect("formatted");
    let evidence = vec![chunk(7, 4, [tick(1)]), chunk(7, 6, [tick(2)])];
    store.write(Write { evidence, ..write(1, state(1), Durable::Now) }).expect("nothing fails");
    let slots: Vec<_> = store.archive().slots(7).collect();
    assert!(matches!(&slots[..], [Ok(_), Err(ReadError::Corrupt(_))]), "{slots:?}");
}

#[test]
fn a_reader_sees_whole_writes_while_the_writer_goes_on() {
    let (mut store, _) = open(&Disk::formatted()).expect("formatted");
    store.write(decided(1)).expect("nothing fails");
    let archive = store.archive();
    let reader = std::thread::spawn(move || {
        let mut seen = 0;
        while seen < 60 {
            let release = archive.release("v2-7").expect("readable").expect("written");
            let numbers: Vec<u16> = release.decisions.iter().map(|decision| decision.weight).collect();
            assert_eq!(numbers, (1..=numbers.len() as u16).collect::<Vec<_>>());
            assert!(numbers.len() >= seen);
            seen = numbers.len();
        }
    });
    for number in 2..=60 {
        store.write(decided(number)).expect("nothing fails");
    }
    reader.join().expect("it saw all");
}

#[test]
fn a_restart_goes_on_where_the_numbers_ended() {
    let disk = Disk::formatted();
    let (mut store, _) = open(&disk).expect("formatted");
    for number in 1..=3 {
        store.write(decided(number)).expect("nothing fails");
    }
    store.close();
    let (_, restored) = open(&disk).expect("closed");
    let expected = Restored {
        state: Some(state(3)),
        release: Some(release(7)),
        next_decision: 4,
        next_chunk: 4,
        ..Restored::default()
    };
    assert_eq!(restored, expected);
}
