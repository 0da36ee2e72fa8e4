//! `portcullis man --out DIR`.

use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;

/// Write a man page for each command
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// The folder that they are put in
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Man {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let command = super::Arguments::command();
        std::fs::create_dir_all(&self.out)
            .and_then(|()| clap_mangen::generate_to(command, &self.out))
            .with_context(|| format!("the man pages could not be written to {}", self.out.display()))?;
        anstream::println!("{}", self.out.join("portcullis.1").display());
        Ok(())
    }
}
