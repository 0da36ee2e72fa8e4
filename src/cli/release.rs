//! `portcullis release start|pause|resume|approve|promote|rollback`.

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
    /// Open a new epoch and begin with the plan, also after a rollback
    Start(Start),
    /// Halt the plan at the present weight; the gate stays armed
    Pause(How),
    /// Go on with the plan, at the weight of its step
    Resume(How),
    /// Consent to the step after the present one
    Approve(How),
    /// Skip the rest of the plan; at 100 %, skip the rest of the monitoring
    Promote(How),
    /// Send everything back to blue until a new release is started
    Rollback(Rollback),
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

#[derive(Debug, clap::Args)]
struct Start {
    /// The version to release; without it the green that the configuration declares
    #[arg(long, value_name = "VERSION", requires = "endpoints")]
    green: Option<String>,
    /// Where it is reached; once for each endpoint
    #[arg(long = "endpoint", value_name = "ENDPOINT", requires = "green")]
    endpoints: Vec<String>,
    /// Release a version that was the last to be rolled back
    #[arg(long, requires = "green")]
    again: bool,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
struct Rollback {
    /// Roll back a release that its plan calls irreversible
    #[arg(long)]
    irreversible: bool,
    #[command(flatten)]
    how: How,
}

impl Release {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let (path, how) = match &self.operation {
            Operation::Start(Start { how, .. }) => ("/v1/release", how),
            Operation::Pause(how) => ("/v1/release/pause", how),
            Operation::Resume(how) => ("/v1/release/resume", how),
            Operation::Approve(how) => ("/v1/release/approve", how),
            Operation::Promote(how) => ("/v1/release/promote", how),
            Operation::Rollback(Rollback { how, .. }) => ("/v1/release/rollback", how),
        };
        let mut body = json!({ "reason": how.reason });
        if let Operation::Rollback(Rollback { irreversible: true, .. }) = &self.operation {
            body["irreversible"] = true.into();
        }
        if let Operation::Start(Start { green: Some(version), endpoints, again, .. }) = &self.operation {
            body["green"] = json!({ "version": version, "endpoints": endpoints });
            if *again {
                body["again"] = true.into();
            }
        }
        how.format.show(&how.admin.call(Method::POST, path, Some(&body))?)
    }
}
