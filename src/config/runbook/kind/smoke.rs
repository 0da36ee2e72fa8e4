//! Checks of a version by HTTP, at each of its endpoints.

use std::time::Duration;

use ::http::StatusCode;
use ::http::uri::PathAndQuery;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::quantity::{count, duration, quoted};
use crate::config::raw::{Count, Element, Mapping, Quantity};
use crate::config::report::{Scope, Wrong};
use crate::gate::Version;

#[derive(Clone, Debug, PartialEq)]
pub struct Smoke {
    pub version: Version,
    pub checks: Vec<Check>,
    /// How often each check is made.
    pub times: u32,
    /// Between two of them.
    pub interval: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    pub path: PathAndQuery,
    pub status: StatusCode,
    /// What the beginning of the body has to have in it.
    pub contains: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawSmoke {
    pub(in crate::config) version: Option<String>,
    pub(in crate::config) checks: Option<Vec<Element<Mapping<RawCheck>>>>,
    pub(in crate::config) times: Option<Count>,
    pub(in crate::config) interval: Option<Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawCheck {
    pub(in crate::config) path: Option<String>,
    pub(in crate::config) status: Option<Count>,
    pub(in crate::config) contains: Option<String>,
}

const MOST_CHECKS: usize = 32;

impl Smoke {
    /// At least.
    pub(in crate::config::runbook) fn lasts(&self) -> Duration {
        self.interval.saturating_mul(self.times - 1)
    }
}

/// `usual` is the version that is checked unless said.
pub(in crate::config::runbook) fn smoke(scope: &mut Scope<'_, '_>, raw: RawSmoke, usual: Version) -> Option<Smoke> {
    let version = scope.optional("version", raw.version, usual, |text| match text.as_str() {
        "blue" => Ok(Version::Blue),
        "green" => Ok(Version::Green),
        _ => Err(Wrong::new(format!("{} is not a version", quoted(&text)), "write `blue` or `green`")),
    });
    let checks = scope.required("checks", raw.checks, |checks| match checks.len() {
        0 => Err(Wrong::new("checks nothing", "write a list, like `[{ path: /healthz, status: 200 }]`")),
        1..=MOST_CHECKS => Ok(checks),
        many => Err(Wrong::new(format!("has {many} elements"), format!("at most {MOST_CHECKS} are allowed"))),
    });
    let checks = checks.and_then(|raw| {
        let mut scope = scope.key("checks");
        let count = raw.len();
        let each = |(index, raw): (usize, Element<Mapping<RawCheck>>)| check(&mut scope.index(index), raw?.0);
        let checks: Vec<Check> = raw.into_iter().enumerate().filter_map(each).collect();
        (checks.len() == count).then_some(checks)
    });
    let times = scope.optional("times", raw.times, 1, |raw| count(1..=1000)(raw).map(|times| times as u32));
    let range = Duration::from_millis(10)..=Duration::from_secs(3600);
    let interval = scope.optional("interval", raw.interval, Duration::from_secs(1), duration(range));
    Some(Smoke { version: version?, checks: checks?, times: times?, interval: interval? })
}

fn check(scope: &mut Scope<'_, '_>, raw: RawCheck) -> Option<Check> {
    let path = scope.required("path", raw.path, |text| {
        let path = PathAndQuery::try_from(text.as_str()).ok().filter(|_| text.starts_with('/'));
        path.ok_or_else(|| Wrong::new(format!("{} is not a path", quoted(&text)), "begin it with `/`"))
    });
    let status = scope.optional("status", raw.status, StatusCode::OK, |Count(number)| {
        let status = u16::try_from(number).ok().and_then(|number| StatusCode::from_u16(number).ok());
        status.ok_or_else(|| Wrong::new(format!("`{number}` is not a status"), "from 200 to 599"))
    });
    let contains = scope.optional("contains", raw.contains, None, |text| {
        let wrong = || Wrong::new("is empty", "write what the body has to have in it, or remove it");
        Some(text).filter(|text| !text.is_empty()).map(Some).ok_or_else(wrong)
    });
    Some(Check { path: path?, status: status?, contains: contains? })
}
