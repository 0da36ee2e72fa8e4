//! `portcullis completions SHELL`.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> ExitCode {
        let mut command = super::Arguments::command();
        clap_complete::generate(self.shell, &mut command, "portcullis", &mut std::io::stdout());
        ExitCode::SUCCESS
    }
}
