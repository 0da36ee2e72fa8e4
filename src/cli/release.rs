//! `portcullis release start|rollback`.

use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::client::Admin;
use super::status::Format;

/// Operate the release
#[derive(Debug, clap::Args)]
pub(super) struct Release {
    #[command(subcommand)]
    operation: Operation,
}

#[derive(Debug, Subcommand)]
enum Operation {
    /// Open a new epoch at weight 0, also after a rollback
    Start(How),
    /// Send everything back to blue until a new release is started
    Rollback(How),
}

#[derive(Debug, clap::Args)]
struct How {
    /// Recorded with the change
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    admin: Admin,
}

impl Release {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let (path, how) = match &self.operation {
            Operation::Start(how) => ("/v1/release", how),
            Operation::Rollback(how) => ("/v1/release/rollback", how),
        };
        let body = json!({ "reason": how.reason });
        how.format.show(&how.admin.call(Method::POST, path, Some(&body))?)
    }
}
