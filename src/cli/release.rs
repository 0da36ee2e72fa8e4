//! `portcullis release start|pause|resume|approve|promote|rollback`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::client::Admin;
use super::output::Output;
use super::resource::{self, Named, Resource};
use crate::config::{self, Environment, References};

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
    /// Skip the rest of the plan; at 100 %, skip the rest of the monitoring. Routes that were taken back go to green again
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
    output: Output,
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    resource: Resource,
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
    /// A plan of this release's own in place of the configuration's: YAML like the value of `release`; `-` reads standard
    /// input
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Why a rollback of this release would do harm: the gate halts it instead and calls people
    #[arg(long, value_name = "REASON")]
    irreversible: Option<String>,
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
        if let Some(named) = how.resource.named() {
            return how.output.show_as(resource::lines, self.by_resource(&named, &how.reason));
        }
        let mut body = json!({ "reason": how.reason });
        if let Operation::Rollback(Rollback { irreversible: true, .. }) = &self.operation {
            body["irreversible"] = true.into();
        }
        if let Operation::Start(start) = &self.operation {
            start.say(&mut body)?;
        }
        how.output.show(how.admin.call(Method::POST, path, Some(&body)))
    }

    fn by_resource(&self, named: &Named<'_>, reason: &str) -> anyhow::Result<Value> {
        match &self.operation {
            Operation::Start(Start { plan: Some(_), .. } | Start { irreversible: Some(_), .. }) => {
                bail!(
                    "a resource has its plan in `spec.release`; write it there, and leave --plan and --irreversible out"
                )
            }
            Operation::Start(Start { green: Some(version), endpoints, .. }) => named.release(version, endpoints),
            Operation::Start(_) => named.command("start", reason),
            Operation::Pause(_) => named.command("pause", reason),
            Operation::Resume(_) => named.command("resume", reason),
            Operation::Approve(_) => named.command("approve", reason),
            Operation::Promote(_) => named.command("promote", reason),
            Operation::Rollback(Rollback { irreversible: true, .. }) => named.command("rollback-irreversible", reason),
            Operation::Rollback(_) => named.command("rollback", reason),
        }
    }
}

impl Start {
    fn say(&self, body: &mut Value) -> anyhow::Result<()> {
        if let Some(version) = &self.green {
            body["green"] = json!({ "version": version, "endpoints": self.endpoints });
        }
        if self.again {
            body["again"] = true.into();
        }
        if let Some(file) = &self.plan {
            body["plan"] = plan(file)?;
        }
        if let Some(reason) = &self.irreversible {
            body["irreversible"] = reason.as_str().into();
        }
        Ok(())
    }
}

/// With its faults shown where they stand in the file, before anything is asked of the proxy.
fn plan(file: &Path) -> anyhow::Result<Value> {
    let (name, text) = if file == Path::new("-") {
        ("standard input".to_owned(), config::read_text_from(std::io::stdin().lock()))
    } else {
        (file.display().to_string(), config::read_text(file))
    };
    let text = text.with_context(|| format!("{name} cannot be read"))?;
    match config::plan(&text, &name, References::To(&Environment::of_process())) {
        Ok(plan) => Ok(plan),
        Err(faults) => {
            anstream::eprintln!("{}", faults.styled());
            bail!("{name} is not usable");
        }
    }
}
