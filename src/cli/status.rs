//! `portcullis status`: where the release is.

use http::Method;
use serde_json::Value;

use super::client::Admin;

/// Show where the release is
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    admin: Admin,
}

/// How a status is printed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Format {
    /// Print the status as JSON
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        self.format.show(&self.admin.call(Method::GET, "/v1/status", None)?)
    }
}

impl Format {
    /// Prints a status, as JSON or for people.
    pub(super) fn show(self, status: &Value) -> anyhow::Result<()> {
        if self.json {
            anstream::println!("{}", serde_json::to_string_pretty(status)?);
        } else {
            print(status);
        }
        Ok(())
    }
}

fn print(status: &Value) {
    anstream::println!(
        "{}: {}, green at {} % (epoch {})",
        text(&status["service"]),
        text(&status["state"]),
        status["weight"].as_f64().unwrap_or_default(),
        status["epoch"]
    );
    for version in ["blue", "green"] {
        let of = &status[version];
        anstream::println!(
            "  {version:5} {}: {} requests, {} failed ({:.2} %), P50 {}, P95 {}, P99 {}, {} of {} endpoints healthy",
            text(&of["version"]),
            of["requests"],
            of["failures"],
            of["errorRate"].as_f64().unwrap_or_default() * 100.0,
            millis(&of["p50"]),
            millis(&of["p95"]),
            millis(&of["p99"]),
            of["healthyEndpoints"],
            of["endpoints"]
        );
    }
    anstream::println!("  {}: {}", text(&status["verdict"]["kind"]), text(&status["verdict"]["sentence"]));
    if let Some(pause) = status["pause"].as_str() {
        anstream::println!("  paused: {pause}");
    }
    if let Some(rollback) = status.get("rollback").filter(|rollback| rollback.is_object()) {
        anstream::println!("  rolled back at {}: {}", text(&rollback["at"]), text(&rollback["reason"]));
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}

fn millis(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |millis| format!("{millis:.1} ms"))
}
