//! The command line: one file a command. [`client`] talks to a running proxy.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod check;
mod client;
mod completions;
mod demo;
mod release;
mod run;
mod status;
mod weight;

/// A progressive-delivery proxy: measures two versions of a service in-line and rolls back by itself.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Demo(demo::Demo),
    Check(check::Check),
    Status(status::Show),
    Weight(weight::SetWeight),
    Release(release::Release),
    Completions(completions::Completions),
}

impl Arguments {
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Check(check) => check.run(),
            Command::Completions(completions) => completions.run(),
            Command::Run(run) => finish(run.run()),
            Command::Demo(demo) => finish(demo.run()),
            Command::Status(show) => finish(show.run()),
            Command::Weight(weight) => finish(weight.run()),
            Command::Release(release) => finish(release.run()),
        }
    }
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
