//! `portcullis reload`.

use http::Method;

use super::client::Admin;
use super::status::Format;

/// Read the configuration of a running proxy again, all or nothing, as SIGHUP does
#[derive(Debug, clap::Args)]
pub(super) struct Reload {
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    admin: Admin,
}

impl Reload {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        self.format.show(&self.admin.call(Method::POST, "/v1/config/reload", None)?)
    }
}
