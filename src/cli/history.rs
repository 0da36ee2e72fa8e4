//! `portcullis history` and `portcullis report ID`: the past.

use http::Method;
use serde_json::Value;

use super::client::{Admin, runtime};
use super::output::{Output, harmless};
use super::status::{second, text};

/// List the releases that are recorded, the newest first
#[derive(Debug, clap::Args)]
pub(super) struct History {
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    admin: Admin,
}

/// Releases that are asked for at a time.
const PAGE: usize = 100;

/// Print the report of a release
#[derive(Debug, clap::Args)]
pub(super) struct Report {
    /// The release's id, as `history` shows it
    id: String,
    /// Markdown, one HTML file, or JSON with the numbers
    #[arg(short = 'o', long, visible_alias = "output", value_name = "FORM", default_value = "markdown")]
    format: Form,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    #[value(alias = "text")]
    Markdown,
    Html,
    Json,
}

impl History {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let releases = runtime()?.block_on(self.pages())?;
        if self.output.is_json() {
            anstream::println!("{}", serde_json::to_string_pretty(&releases)?);
            return Ok(());
        }
        if releases.is_empty() {
            anstream::println!("no release has been recorded");
        }
        let width = releases.iter().map(|release| text(&release["id"]).chars().count()).max().unwrap_or_default();
        for release in &releases {
            anstream::println!("{}", harmless(&line(release, width)));
        }
        Ok(())
    }

    /// Page after page, until there is none or there are enough.
    async fn pages(&self) -> anyhow::Result<Vec<Value>> {
        let mut releases: Vec<Value> = Vec::new();
        let mut next = Some(format!("/v1/releases?limit={}", self.limit.clamp(1, PAGE)));
        while let Some(path) = next.filter(|_| releases.len() < self.limit) {
            let (page, after) = self.admin.page(&path).await?;
            releases.extend(page);
            next = after;
        }
        releases.truncate(self.limit);
        Ok(releases)
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
        let form = match (self.json, self.format) {
            (true, _) | (false, Form::Json) => "json",
            (false, Form::Markdown) => "markdown",
            (false, Form::Html) => "html",
        };
        let path = format!("{}/report?format={form}", super::release_path(&self.id));
        if form == "json" {
            anstream::println!("{:#}", self.admin.call(Method::GET, &path, None)?);
        } else {
            anstream::print!("{}", self.admin.text(&path)?);
        }
        Ok(())
    }
}
