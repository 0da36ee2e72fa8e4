//! The machine stops between any two operations of the disk.

use super::disk::Operation;
use super::*;

/// One write of the story, and the operations of the disk that it took.
struct Told {
    number: u16,
    durable: Durable,
    operations: std::ops::Range<usize>,
}

/// A journal's life: decisions at once, evidence later, a file that grows.
fn story(disk: &Disk) -> Vec<Told> {
    let (mut store, _) = open(disk).expect("formatted");
    let mut told = vec![];
    for number in 1..=16 {
        let begin = disk.operations_len();
        let durable = if number % 4 == 3 { Durable::Later } else { Durable::Now };
        let mut write = Write { durable, ..decided(number) };
        if number % 5 == 0 {
            write.evidence.push(chunk(7, 100 + u32::from(number), [incompressible(200_000)]));
        }
        store.write(write).expect("nothing fails");
        told.push(Told { number, durable, operations: begin..disk.operations_len() });
    }
    store.close();
    told
}

/// What a journal that is found after `done` operations may say: from the last write that was answered as durable to
/// the one in flight.
fn allowed(story: &[Told], done: usize) -> std::ops::RangeInclusive<u16> {
    let number = |told: Option<&Told>| told.map_or(0, |told| told.number);
    let durable = |told: &&Told| told.durable == Durable::Now && told.operations.end <= done;
    number(story.iter().rfind(durable))..=number(story.iter().rfind(|told| told.operations.start < done))
}

fn check(found: Vec<u8>, allowed: &std::ops::RangeInclusive<u16>, context: &str) {
    let disk = Disk::holding(found);
    let (mut store, restored) = open(&disk).unwrap_or_else(|failure| panic!("{context}: {failure:?}"));
    let number = restored.state.map_or(0, |state| state.weight);
    assert!(allowed.contains(&number), "{context}: found {number}, of {allowed:?}");
    assert_eq!(decisions_in(&store), (1..=number).collect::<Vec<_>>(), "{context}: a write is there in part");
    store.write(decided(number + 1)).unwrap_or_else(|failure| panic!("{context}: {failure:?}"));
    assert_eq!(decisions_in(&store).last(), Some(&(number + 1)), "{context}");
}

#[test]
fn a_process_killed_at_any_instant_leaves_the_last_durable_state_or_the_one_in_flight() {
    let disk = Disk::formatted();
    let mut image = disk.bytes();
    let story = story(&disk);
    let operations = disk.operations();
    for (done, operation) in operations.iter().enumerate() {
        check(image.clone(), &allowed(&story, done), &format!("killed before operation {done}"));
        operation.apply(&mut image);
    }
    check(image, &(16..=16), "closed");
}

#[test]
fn a_loss_of_power_at_any_instant_leaves_the_last_durable_state_or_the_one_in_flight() {
    let disk = Disk::formatted();
    let mut synced = disk.bytes();
    let story = story(&disk);
    let operations = disk.operations();
    let mut random = fastrand::Rng::with_seed(65);
    let mut pending: Vec<&Operation> = vec![];
    for (done, operation) in operations.iter().enumerate() {
        let mut image = synced.clone();
        // What was not synced may be there or not, in any order and cut at any sector.
        let survivors: Vec<Operation> =
            pending.iter().filter_map(|operation| survive(operation, &mut random)).collect();
        for operation in &survivors {
            if fits(operation, &image) {
                operation.apply(&mut image);
            }
        }
        check(image, &allowed(&story, done), &format!("power lost before operation {done}"));
        if *operation == Operation::Sync {
            for operation in pending.drain(..) {
                operation.apply(&mut synced);
            }
        } else {
            pending.push(operation);
        }
    }
}

/// A disk writes so many bytes whole or not at all.
const SECTOR: usize = 512;

fn survive(operation: &Operation, random: &mut fastrand::Rng) -> Option<Operation> {
    match operation {
        Operation::Write(offset, data) if random.bool() => {
            let sectors = data.len().div_ceil(SECTOR);
            let from = random.usize(..sectors) * SECTOR;
            let to = (random.usize(from / SECTOR..sectors) + 1) * SECTOR;
            // Half of them whole, the others a piece.
            let (from, to) = if random.bool() { (0, data.len()) } else { (from, to.min(data.len())) };
            Some(Operation::Write(offset + from as u64, data[from..to].to_vec()))
        }
        Operation::Resize(length) if random.bool() => Some(Operation::Resize(*length)),
        Operation::Write(..) | Operation::Resize(_) | Operation::Sync => None,
    }
}

/// A write behind the end needs the length that did not survive.
fn fits(operation: &Operation, image: &[u8]) -> bool {
    match operation {
        Operation::Write(offset, data) => usize::try_from(*offset).expect("small") + data.len() <= image.len(),
        Operation::Resize(_) | Operation::Sync => true,
    }
}
