//! Whom the gate blames: releases of an hour in which both versions are alike, in traffic that people have, and some in
//! which green is bad, so that a gate that sleeps does not pass.
//!
//! [`world`] plays one release in virtual time: the real routing and streak, shards, outlier detection and deciding core,
//! with the default policy. [`rows`] is the traffic, [`sockets`] the same kinds on the built proxy, [`speed`] how many
//! failures get through there.
//!
//! `PORTCULLIS_BLAME=long` plays 2,000 releases a row, and a number so many; `PORTCULLIS_BLAME_ROWS=text` only rows whose name has that text.

mod rows;
mod sockets;
mod speed;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rows::{Row, bad, healthy};
use world::{Played, play};

const LONG: u64 = 2_000;

/// Enough that a row in which one release in four is rolled back hardly ever passes.
const SHORT: u64 = 12;

/// In a plain run of the tests, without optimisation: one release of every so many rows.
const TINY: u64 = 1;
const TINY_ROWS: usize = 16;

/// False rollbacks that a row may have: one in a thousand.
const ALLOWED_IN: u64 = 1_000;

fn releases() -> u64 {
    match std::env::var("PORTCULLIS_BLAME").as_deref() {
        Ok("long") => LONG,
        Ok("short") => SHORT,
        Ok(number) => {
            number.parse().unwrap_or_else(|_| panic!("PORTCULLIS_BLAME is `long`, `short` or a number, not `{number}`"))
        }
        Err(_) => TINY,
    }
}

fn chosen(rows: Vec<Row>) -> Vec<Row> {
    let wanted = std::env::var("PORTCULLIS_BLAME_ROWS").unwrap_or_default();
    let step = if releases() == TINY { TINY_ROWS } else { 1 };
    rows.into_iter().filter(|row| row.name.contains(&wanted)).step_by(step).collect()
}

/// What the releases of one row came to.
#[derive(Default)]
struct Sum {
    rolled_back: BTreeMap<String, u64>,
    failed: Vec<u64>,
    probed: u64,
    frozen: u64,
    untrusted: u64,
    outliers: u64,
}

impl Sum {
    fn add(&mut self, played: Played) {
        if let Some(trigger) = played.rolled_back {
            *self.rolled_back.entry(trigger).or_default() += 1;
        }
        self.failed.push(played.green_failed);
        self.probed += u64::from(played.probed);
        self.frozen += u64::from(played.frozen);
        self.untrusted += u64::from(played.untrusted);
        self.outliers += u64::from(played.outlier);
    }

    fn rollbacks(&self) -> u64 {
        self.rolled_back.values().sum()
    }

    fn median_failed(&mut self) -> u64 {
        self.failed.sort_unstable();
        self.failed[self.failed.len() / 2]
    }
}

/// Plays `count` releases of a row on all cores.
fn sum(row: &Row, count: u64) -> Sum {
    let (next, sum) = (AtomicU64::new(0), Mutex::new(Sum::default()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= count {
                        return;
                    }
                    let played = play(row, seed);
                    sum.lock().expect("no thread panics").add(played);
                }
            });
        }
    });
    sum.into_inner().expect("no thread panics")
}

#[test]
fn promise_5_a_green_that_is_like_blue_is_not_rolled_back_whatever_befalls_both() {
    let (count, mut wrong) = (releases(), Vec::new());
    println!("\n| both alike | weight % | releases | rolled back | probed | frozen | distrusted | outlier | s |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in chosen(healthy()) {
        let began = Instant::now();
        let sum = sum(&row, count);
        let (name, weight, seconds) = (&row.name, row.weight, began.elapsed().as_secs());
        let rolled_back = sum.rollbacks();
        let Sum { probed, frozen, untrusted, outliers, rolled_back: by, .. } = &sum;
        println!(
            "| {name} | {weight} | {count} | {rolled_back} {by:?} | {probed} | {frozen} | {untrusted} | {outliers} | {seconds} |"
        );
        if rolled_back > count / ALLOWED_IN {
            wrong.push(format!("{name} at {weight} %: {rolled_back} of {count}, {by:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_green_that_is_bad_is_rolled_back_and_few_failures_get_through() {
    let (count, mut wrong) = (releases(), Vec::new());
    println!("\n| green alone | weight % | releases | rolled back | failures, median |");
    println!("|---|---|---|---|---|");
    for row in chosen(bad()) {
        let mut sum = sum(&row, count);
        let median = sum.median_failed();
        println!("| {} | {} | {count} | {} {:?} | {median} |", row.name, row.weight, sum.rollbacks(), sum.rolled_back);
        if sum.rollbacks() < count || median > row.most_failed {
            wrong.push(format!("{} at {} %: {} of {count}, {median} failed", row.name, row.weight, sum.rollbacks()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
