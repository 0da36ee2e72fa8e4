//! Instructions per request of the steps that requests take, counted by valgrind and held to a limit:
//! `cargo run --release -p portcullis-instructions`. The count is the same on a busy machine, which a time is not.
//! tests/run counts in the tests' build, which is dearer by its assertions and by dependencies that are not optimised.

#![allow(clippy::pedantic, reason = "as in the tests: plainness comes first")]

#[path = "../../steps/mod.rs"]
mod steps;

use std::hint::black_box;
use std::process::{Command, ExitCode};

use steps::{Admitting, Choosing, Recording, Sticking};

/// A step and the most instructions that it may take, in the release build and in the tests': a fifth more than it took
/// when the limit was set, for what another compiler makes of it. Raise one only with the reason in the commit.
const LIMITS: [(&str, u64, u64); 4] =
    [("choose", 54, 373), ("admit", 168, 414), ("stick", 690, 1442), ("record", 485, 665)];

/// Both counts contain the start of the program; their difference does not.
const FEW: u64 = 10_000;
const MANY: u64 = 110_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [step, times] = arguments.as_slice() {
        repeat(step, times.parse().expect("a number"));
        return ExitCode::SUCCESS;
    }
    let mut within = true;
    for (step, of_release, of_tests) in LIMITS {
        let limit = if cfg!(debug_assertions) { of_tests } else { of_release };
        let each = (count(step, MANY) - count(step, FEW)) as f64 / (MANY - FEW) as f64;
        let exceeded = each > limit as f64;
        let verdict = if exceeded { "EXCEEDED" } else { "ok" };
        println!("{step:8} {each:8.1} instructions, limit {limit}: {verdict}");
        within &= !exceeded;
    }
    if within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn repeat(step: &str, times: u64) {
    match step {
        "choose" => {
            let mut choosing = Choosing::new();
            (0..times).for_each(|_| _ = black_box(choosing.step()));
        }
        "admit" => {
            let mut admitting = Admitting::new();
            (0..times).for_each(|_| _ = black_box(admitting.step()));
        }
        "stick" => {
            let sticking = Sticking::new();
            (0..times).for_each(|_| _ = black_box(sticking.step()));
        }
        "record" => {
            let mut recording = Recording::new();
            (0..times).for_each(|_| recording.step());
        }
        unknown => panic!("no step is called {unknown}"),
    }
}

/// Instructions of this whole program when it takes `step` so many times.
fn count(step: &str, times: u64) -> u64 {
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([step, &times.to_string()])
        .output()
        .expect("valgrind runs: it is in the Debian package valgrind");
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    collected.unwrap_or_else(|| panic!("valgrind counted nothing: {said}"))
}
