//! `portcullis openapi` and `portcullis schema`: what is generated of the code.

use std::process::ExitCode;

use crate::admin::openapi;
use crate::config;

/// Print the `OpenAPI` document of the admin API
#[derive(Debug, clap::Args)]
pub(super) struct Openapi {}

/// Print the JSON Schema of the configuration file
#[derive(Debug, clap::Args)]
pub(super) struct Schema {}

impl Openapi {
    #[expect(clippy::unused_self, reason = "as every command is")]
    pub(super) fn run(&self) -> ExitCode {
        anstream::println!("{:#}", openapi::document());
        ExitCode::SUCCESS
    }
}

impl Schema {
    #[expect(clippy::unused_self, reason = "as every command is")]
    pub(super) fn run(&self) -> ExitCode {
        anstream::println!("{:#}", config::schema());
        ExitCode::SUCCESS
    }
}
