//! `portcullis history` and `portcullis report ID`: the past.

use http::Method;
use serde_json::Value;

use super::client::Admin;
use super::status::{second, text};

/// List the releases that are recorded, the newest first
#[derive(Debug, clap::Args)]
pub(super) struct History {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: Admin,
}

/// Print the report of a release, as Markdown
#[derive(Debug, clap::Args)]
pub(super) struct Report {
    /// The release's id, as `history` shows it
    id: String,
    /// Print the release with its decisions, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: Admin,
}

impl History {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let releases = self.admin.call(Method::GET, "/v1/releases", None)?;
        if self.json {
            anstream::println!("{}", serde_json::to_string_pretty(&releases)?);
            return Ok(());
        }
        let releases = releases.as_array().map(Vec::as_slice).unwrap_or_default();
        if releases.is_empty() {
            anstream::println!("no release has been recorded");
        }
        let width = releases.iter().map(|release| text(&release["id"]).chars().count()).max().unwrap_or_default();
        for release in releases {
            anstream::println!("{}", line(release, width));
        }
        Ok(())
    }
}

fn line(release: &Value, width: usize) -> String {
    let outcome = match text(&release["outcome"]) {
        "promoted" => "promoted",
        "rolledBack" => "rolled back",
        _ => "open",
    };
    let ended = release["ended"].as_str().map(|ended| format!(", ended {}", second(ended))).unwrap_or_default();
    format!(
        "{:width$}  {outcome:11}  {} -> {}, started {}{ended}",
        text(&release["id"]),
        text(&release["blue"]),
        text(&release["green"]),
        second(text(&release["started"])),
    )
}

impl Report {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let path = super::release_path(&self.id);
        if self.json {
            let release = self.admin.call(Method::GET, &path, None)?;
            anstream::println!("{}", serde_json::to_string_pretty(&release)?);
        } else {
            anstream::print!("{}", self.admin.text(&format!("{path}/report"))?);
        }
        Ok(())
    }
}
