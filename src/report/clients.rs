//! What the clients of green felt of its failures.

use std::fmt::Write;

use serde_json::Value;

use crate::gate::verdict::{count, percent};

/// Nothing where green had no request, or an older version recorded the release.
pub(super) fn section(clients: &Value, to: &mut String) -> std::fmt::Result {
    let number = |key: &str| clients[key].as_u64();
    let (Some(requests @ 1..), Some(failures), Some(to_blue)) =
        (number("requests"), number("failures"), number("toBlue"))
    else {
        return Ok(());
    };
    let [under_way, failed_by_blue] = ["underWay", "failedByBlue"].map(|key| number(key).unwrap_or_default());
    let rate = |failures: u64| percent(requests.saturating_sub(failures) as f64 / requests as f64);
    writeln!(to, "\n## What clients felt\n")?;
    writeln!(to, "| green's requests in this release | {} |\n|---|---:|", count(requests))?;
    writeln!(to, "| failed, which is held against green | {} |", count(failures))?;
    writeln!(to, "| sent to blue in its place | {} |", count(to_blue))?;
    if under_way > 0 {
        writeln!(to, "| of them not answered yet | {} |", count(under_way))?;
    }
    if failed_by_blue > 0 {
        writeln!(to, "| of them failed by blue too | {} |", count(failed_by_blue))?;
    }
    let felt = failures.saturating_sub(to_blue - failed_by_blue.min(to_blue));
    writeln!(to, "| success rate | {} |", rate(failures))?;
    writeln!(to, "| success rate as clients saw it | {} |", rate(felt))
}
