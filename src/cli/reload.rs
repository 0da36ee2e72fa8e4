//! `portcullis reload`.

use http::Method;

use super::client::Admin;
use super::output::Output;

/// Read the configuration of a running proxy again, all or nothing, as SIGHUP does
#[derive(Debug, clap::Args)]
pub(super) struct Reload {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    admin: Admin,
}

impl Reload {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        self.output.show(self.admin.call(Method::POST, "/v1/config/reload", None))
    }
}
