//! The command line: one file a command. [`client`] talks to a running proxy.

use std::process::ExitCode;

use clap::{ColorChoice, Parser, Subcommand};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

mod check;
mod client;
mod completions;
mod crd;
mod demo;
mod gate;
mod history;
mod leave;
mod man;
mod openapi;
mod output;
mod overriding;
mod release;
mod reload;
mod replay;
mod resource;
mod run;
mod runbook;
mod status;
mod token;
mod watch;
mod weight;

/// A progressive-delivery proxy: measures two versions of a service in-line and rolls back by itself.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, arg_required_else_help = true)]
pub struct Arguments {
    /// Whether to print in colour; `auto` does so on a terminal, unless `NO_COLOR` is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Demo(demo::Demo),
    Check(check::Check),
    Status(status::Show),
    Watch(watch::Watch),
    Weight(weight::SetWeight),
    Release(release::Release),
    Reload(reload::Reload),
    Leave(leave::Leave),
    Gate(gate::Gate),
    History(history::History),
    Report(history::Report),
    Replay(replay::Again),
    Runbook(runbook::Runbook),
    Override(overriding::Sign),
    Token(token::Make),
    Openapi(openapi::Openapi),
    Schema(openapi::Schema),
    Crd(crd::Crd),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Arguments {
    pub fn run(self) -> ExitCode {
        output::colour(self.color);
        match self.command {
            Command::Check(check) => check.run(),
            Command::Completions(completions) => completions.run(),
            Command::Man(man) => finish(man.run()),
            Command::Token(make) => finish(make.run()),
            Command::Openapi(openapi) => openapi.run(),
            Command::Schema(schema) => schema.run(),
            Command::Crd(crd) => finish(crd.run()),
            Command::Run(run) => finish(run.run()),
            Command::Demo(demo) => finish(demo.run()),
            Command::Status(show) => finish(show.run()),
            Command::Weight(weight) => finish(weight.run()),
            Command::Release(release) => finish(release.run()),
            Command::Reload(reload) => finish(reload.run()),
            Command::Leave(leave) => finish(leave.run()),
            Command::Watch(watch) => watch.run(),
            Command::Gate(gate) => gate.run(),
            Command::History(history) => finish(history.run()),
            Command::Report(report) => finish(report.run()),
            Command::Override(sign) => finish(sign.run()),
            Command::Runbook(runbook) => runbook.run().unwrap_or_else(|error| failed(&error)),
            Command::Replay(again) => again.run().unwrap_or_else(|error| failed(&error)),
        }
    }
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    anstream::eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

/// What is escaped in a segment of a path: all but the unreserved characters of RFC 3986.
const NOT_IN_A_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where the API has a release. A version's name may hold anything.
fn release_path(id: &str) -> String {
    format!("/v1/releases/{}", utf8_percent_encode(id, NOT_IN_A_PATH))
}
