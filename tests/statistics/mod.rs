//! The comparison over simulated traffic, held against the tables that it was specified by. Everything follows from the
//! seeds.
//!
//! `PORTCULLIS_STATISTICS=short` plays the cells that say most, in seconds of optimised code; `long` plays every cell of
//! every table with the repetitions that its bounds are meant for, in minutes, and prints the tables as they stand in
//! src/gate/compare/README.md. Without it a few runs of a few cells are played, which shows little more than that the
//! simulation still runs.
//!
//! A mean passes within 6 % of the table (10 % in the rows that take longest). Where fewer runs are played than the table
//! needs, four standard errors of the mean are added to that. A share of false alarms passes when it is at most the
//! nominal one and within four standard errors of the table's; with fewer runs four standard errors are added to the
//! nominal one too.

mod budget;
mod common;
mod delay;
mod draw;
mod false_alarms;
mod late;
mod latency;
mod replicas;
mod routes;

use std::fmt::Write as _;

/// How much is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Tiny,
    Short,
    Long,
}

/// One cell of a table, compared.
#[derive(Clone, Debug)]
struct Cell {
    name: String,
    specified: String,
    measured: String,
    runs: u64,
    passes: bool,
}

/// The mean of a number over many runs, with what is needed for its standard error.
#[derive(Clone, Debug, Default)]
struct Sample {
    values: Vec<f64>,
}

impl Form {
    fn chosen() -> Form {
        match std::env::var("PORTCULLIS_STATISTICS").as_deref() {
            Err(_) => Form::Tiny,
            Ok("short") => Form::Short,
            Ok("long") => Form::Long,
            Ok(other) => panic!("PORTCULLIS_STATISTICS is `short` or `long`, not `{other}`"),
        }
    }

    /// Of `long` repetitions of a cell that costs little, how many are played.
    fn runs(self, long: u64) -> u64 {
        match self {
            Form::Tiny => (long / 100).clamp(8, 20),
            Form::Short => (long / 10).max(60),
            Form::Long => long,
        }
    }

    /// Of the cells of a table, the first few in the shorter forms.
    fn cells<T>(self, all: Vec<T>, short: usize) -> Vec<T> {
        let count = match self {
            Form::Tiny => 1,
            Form::Short => short,
            Form::Long => all.len(),
        };
        all.into_iter().take(count).collect()
    }
}

impl Sample {
    fn add(&mut self, value: f64) {
        self.values.push(value);
    }

    fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len() as f64
    }

    fn standard_error(&self) -> f64 {
        let (mean, runs) = (self.mean(), self.values.len() as f64);
        let variance = self.values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (runs - 1.0);
        (variance / runs).sqrt()
    }

    fn percentile_99(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[(sorted.len() * 99).div_ceil(100) - 1]
    }

    /// Whether the mean is as specified. `rounding` is half of the last digit that the table gives.
    fn is_near(&self, specified: f64, tolerance: f64, rounding: f64, form: Form) -> bool {
        let chance = if form == Form::Long { 0.0 } else { 4.0 * self.standard_error() };
        (self.mean() - specified).abs() <= tolerance * specified + rounding + chance
    }
}

/// Prints the cells as a Markdown table, and fails with those that do not pass.
fn report(table: &str, form: Form, cells: &[Cell]) {
    let mut text = format!("\n### {table}\n\n| cell | specified | measured | runs | |\n|---|---|---|---|---|\n");
    for Cell { name, specified, measured, runs, passes } in cells {
        let verdict = if *passes { "Pass" } else { "Fail" };
        writeln!(text, "| {name} | {specified} | {measured} | {runs} | {verdict} |").expect("a String");
    }
    if form != Form::Tiny {
        println!("{text}");
    }
    let failed: Vec<&Cell> = cells.iter().filter(|cell| !cell.passes).collect();
    assert!(failed.is_empty(), "{table}: {failed:#?}");
}
