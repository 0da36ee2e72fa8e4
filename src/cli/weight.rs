//! `portcullis weight N`.

use http::Method;
use serde_json::json;

use super::client::Admin;
use super::output::Output;
use super::resource::{self, Resource};

/// Set green's share of new requests
#[derive(Debug, clap::Args)]
pub(super) struct SetWeight {
    /// Percent, with at most two decimals
    #[arg(value_name = "PERCENT", allow_negative_numbers = true)]
    weight: f64,
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

impl SetWeight {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        if let Some(named) = self.resource.named() {
            let answer = named.command("weight", &self.weight.to_string());
            return self.output.show_as(resource::lines, answer);
        }
        let body = json!({ "weight": self.weight, "reason": self.reason });
        self.output.show(self.admin.call(Method::PUT, "/v1/weight", Some(&body)))
    }
}
