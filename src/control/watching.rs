//! What is told of blue after a rollback.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::course::recovering::Watch;

/// In `GET /v1/status`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WatchStatus {
    /// `watching`, `bad` as long as blue may still recover, `recovered`, `notRecovered` or `unknown`.
    pub finding: &'static str,
    /// Seconds; 0 when it is over.
    pub left: f64,
    /// Blue's, since the rollback.
    pub requests: u64,
    pub failures: u64,
}

impl WatchStatus {
    pub(super) fn of(watch: &Watch, now: Duration) -> WatchStatus {
        WatchStatus {
            finding: watch.finding.name(),
            left: watch.left(now).as_secs_f64(),
            requests: watch.after.units,
            failures: watch.after.bad,
        }
    }
}
