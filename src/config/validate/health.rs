//! How the endpoints of a version are checked.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::uri::PathAndQuery;

use crate::config::quantity::{count, duration, quoted, shown};
use crate::config::raw::RawHealthCheck;
use crate::config::report::{Scope, Wrong};
use crate::config::{HealthCheck, Probe};

const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
const TIMEOUT: Duration = Duration::from_secs(1);

pub(super) fn check(scope: &mut Scope<'_, '_>, raw: RawHealthCheck) -> Option<HealthCheck> {
    let interval = scope.optional("interval", raw.interval, INTERVAL, duration(INTERVALS));
    let default = interval.map_or(TIMEOUT, |interval| TIMEOUT.min(interval));
    let timeout = scope.optional("timeout", raw.timeout, default, duration(TIMEOUTS));
    if let (Some(interval), Some(timeout)) = (interval, timeout)
        && timeout > interval
    {
        let message = format!("{} is longer than the `interval`", quoted(&shown(timeout)));
        let label = format!("a check ends before the next begins, write at most {}", shown(interval));
        scope.wrong("timeout", Wrong::new(message, label));
    }
    let healthy_after = scope.optional("healthyAfter", raw.healthy_after, 2, count(1..=1000));
    let unhealthy_after = scope.optional("unhealthyAfter", raw.unhealthy_after, 3, count(1..=1000));
    let probe = probe(scope, raw.path, raw.tcp);
    Some(HealthCheck {
        probe: probe?,
        interval: interval?,
        timeout: timeout?,
        healthy_after: healthy_after? as u32,
        unhealthy_after: unhealthy_after? as u32,
    })
}

fn probe(scope: &mut Scope<'_, '_>, raw_path: Option<String>, tcp: Option<bool>) -> Option<Probe> {
    let path_is_written = scope.report.is_written(&scope.at.key("path"));
    match tcp {
        Some(true) if path_is_written => {
            let label = "remove one of them";
            scope.misplaced("tcp", Wrong::new("a second kind of check beside `path`", label));
            None
        }
        Some(true) => Some(Probe::Tcp),
        Some(false) | None if path_is_written => {
            scope.required("path", raw_path, path).map(|path| Probe::Http { path })
        }
        Some(false) | None => {
            if !["path", "tcp"].iter().any(|key| scope.report.is_spoiled(&scope.at.key(key))) {
                let wrong = Wrong::new("says neither `path` nor `tcp`", "add `path: /healthz`, or `tcp: true`");
                scope.wrong_here(wrong);
            }
            None
        }
    }
}

fn path(text: String) -> Result<PathAndQuery, Wrong> {
    let path = text.starts_with('/').then(|| PathAndQuery::try_from(text.as_str()).ok()).flatten();
    // A fragment would be dropped without a word.
    path.filter(|_| !text.contains('#')).ok_or_else(|| {
        Wrong::new(format!("{} is not a path", quoted(&text)), "a path begins with `/`, like `/healthz`")
    })
}
