//! What is kept, and what goes.

use super::*;

fn open_within(disk: &Disk, age: Duration, size: u64) -> Store {
    let disk = disk.clone();
    Store::open(opener_over(move || disk.clone()), Bounds { age, size }).expect("formatted").0
}

/// The numbers of the chunks that are left of release 7.
fn chunks_in(store: &Store) -> Vec<u32> {
    let mut from = 0;
    let next = std::iter::from_fn(|| {
        let (number, _) = store.archive().chunk(7, from).expect("readable")?;
        from = number + 1;
        Some(number)
    });
    next.collect()
}

#[test]
fn the_oldest_evidence_goes_when_there_is_more_than_the_size() {
    let disk = Disk::formatted();
    let mut store = open_within(&disk, Duration::MAX, 1 << 20);
    for number in 1..=100 {
        // Just under 64 KiB with what redb adds: 16 of them are the bound.
        let evidence = vec![chunk(7, u32::from(number), [incompressible(60_000)])];
        store.write(Write { evidence, ..write(number, state(number), Durable::Now) }).expect("nothing fails");
    }
    assert_eq!(chunks_in(&store), (85..=100).collect::<Vec<_>>());
    assert_eq!(store.archive().first_chunk(7), Ok(Some(85)));
    let length = disk.bytes().len();
    assert!(length <= 4 << 20, "the file is {length} bytes long");
}

#[test]
fn evidence_goes_when_it_is_older_than_the_age() {
    let mut store = open_within(&Disk::formatted(), Duration::from_secs(10), u64::MAX);
    for number in 1..=30 {
        store.write(decided(number)).expect("nothing fails");
    }
    assert_eq!(chunks_in(&store), (20..=30).collect::<Vec<_>>());
    assert_eq!(decisions_in(&store).len(), 30, "decisions stay");
}

#[test]
fn a_chunk_that_is_sent_again_replaces_itself_and_is_counted_once() {
    let mut store = open_within(&Disk::formatted(), Duration::MAX, 150_000);
    for number in 1..=20 {
        let evidence = vec![chunk(7, 3, [incompressible(60_000), tick(number.into())])];
        store.write(Write { evidence, ..write(number, state(number), Durable::Now) }).expect("nothing fails");
    }
    store.write(Write { evidence: vec![chunk(7, 4, [tick(1)])], ..decided(21) }).expect("nothing fails");
    assert_eq!(chunks_in(&store), [3, 4]);
    let (_, slots) = store.archive().chunk(7, 3).expect("readable").expect("kept");
    assert_eq!(slots.last().map(|slot| &slot.input), Some(&tick(20)));
}

#[test]
fn the_newest_thousand_releases_stay_with_their_decisions() {
    let mut store = open_within(&Disk::formatted(), Duration::MAX, u64::MAX);
    for epoch in 1..=1_003 {
        let decisions = vec![DecisionRecord { epoch, ..decision(1) }];
        let write = Write { release: Some(release(epoch)), decisions, ..write(1, state(1), Durable::Later) };
        store.write(write).expect("nothing fails");
    }
    let epochs: Vec<u32> =
        store.archive().page(None, usize::MAX).expect("readable").iter().map(|header| header.epoch).collect();
    assert_eq!(epochs, (4..=1_003).rev().collect::<Vec<_>>());
    assert_eq!(store.archive().release("v2-3"), Ok(None));
    assert_eq!(store.archive().release("v2-4").expect("readable").map(|release| release.decisions.len()), Some(1));
    // Whoever came again with the same epoch would see them.
    store.write(Write { release: Some(release(3)), ..write(1, state(1), Durable::Now) }).expect("nothing fails");
    assert_eq!(store.archive().release("v2-3"), Ok(None), "the oldest goes at once");
}

#[test]
fn a_release_keeps_its_newest_ten_thousand_decisions() {
    let mut store = open_within(&Disk::formatted(), Duration::MAX, u64::MAX);
    let decisions = (0..10_005).map(decision).collect();
    store.write(Write { decisions, ..decided(1) }).expect("nothing fails");
    let kept = decisions_in(&store);
    assert_eq!((kept.first(), kept.last(), kept.len()), (Some(&5), Some(&10_004), 10_000));
}
