//! Which requests are evidence, and which statuses are failures.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::quantity::{count, duration, quoted, share};
use crate::config::raw::{Mapping, Quantity, RawWarmUp};
use crate::config::report::{Scope, Wrong};
use crate::gate::policy::{Counting, PathPattern, StatusSet, WarmUp};
use crate::gate::trigger::Share;
use crate::gate::{GrpcStatus, GrpcStatuses};

const MOST_PATHS: usize = 100;
const MOST_STATUSES: usize = 100;
const LONGEST_PATH: usize = 1000;
const WARM_UPS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);

pub(super) struct Raw {
    pub(super) exclude: Option<Vec<Option<String>>>,
    pub(super) failures: Option<Vec<Option<Quantity>>>,
    pub(super) not_failures: Option<Vec<Option<Quantity>>>,
    pub(super) grpc_failures: Option<Vec<Option<Quantity>>>,
    pub(super) warm_up: Option<Mapping<RawWarmUp>>,
    pub(super) client_share: Option<Quantity>,
}

pub(super) fn counting(scope: &mut Scope<'_, '_>, raw: Raw) -> Option<Counting> {
    let exclude = exclude(scope, raw.exclude.unwrap_or_default());
    let failures = failures(scope, raw.failures, raw.not_failures.unwrap_or_default());
    let grpc_failures = match raw.grpc_failures {
        Some(raw) => grpc_failures(scope, raw),
        None => Some(GrpcStatuses::default()),
    };
    let warm_up = warm_up(&mut scope.key("warmUp"), raw.warm_up.unwrap_or_default().0);
    let client_share = scope.optional("clientShare", raw.client_share, Counting::default().client_share, client_share);
    Some(Counting {
        exclude: exclude?,
        failures: failures?,
        grpc_failures: grpc_failures?,
        warm_up: warm_up?,
        client_share: client_share?,
    })
}

fn warm_up(scope: &mut Scope<'_, '_>, raw: RawWarmUp) -> Option<WarmUp> {
    let default = WarmUp::default();
    let time = scope.optional("time", raw.time, default.time, duration(WARM_UPS));
    let requests = scope.optional("requests", raw.requests, u64::from(default.requests), count(0..=1_000_000));
    Some(WarmUp { time: time?, requests: requests? as u32 })
}

fn client_share(Quantity(text): Quantity) -> Result<Share, Wrong> {
    let share = share(&text)?;
    if share.fraction() == 0.0 {
        let message = format!("{} leaves no client whose requests count", quoted(&text));
        return Err(Wrong::new(message, "write a share above 0%, like `20%`"));
    }
    Ok(share)
}

fn exclude(scope: &mut Scope<'_, '_>, raw: Vec<Option<String>>) -> Option<Vec<PathPattern>> {
    super::too_many(scope, "exclude", raw.len(), MOST_PATHS)?;
    let mut list = scope.key("exclude");
    let mut patterns: Vec<PathPattern> = Vec::new();
    for (index, text) in raw.into_iter().enumerate() {
        let Some(text) = text else { continue };
        match pattern(&text) {
            Ok(pattern) if patterns.contains(&pattern) => {
                let wrong = Wrong::new(format!("{} is in the list already", quoted(&text)), "remove it");
                list.wrong_element(index, wrong);
            }
            Ok(pattern) => patterns.push(pattern),
            Err(wrong) => list.wrong_element(index, wrong),
        }
    }
    Some(patterns)
}

fn pattern(text: &str) -> Result<PathPattern, Wrong> {
    let wrong = |message: &str, label: &str| Err(Wrong::new(format!("{} {message}", quoted(text)), label));
    if text == "/*" {
        return wrong("excludes every request", "name the paths that are no evidence");
    }
    bare_path(text, "`/healthz` or `/internal/*`")?;
    let (path, prefix) = text.strip_suffix('*').map_or((text, false), |path| (path, true));
    if path.contains('*') {
        return wrong("has a `*` before its end", "a `*` stands for any ending, like `/internal/*`");
    }
    let path = path.to_owned();
    Ok(if prefix { PathPattern::Prefix(path) } else { PathPattern::Exact(path) })
}

/// What follows the slash of a path as a request has it, which the file may write with what stands for others; `examples` are
/// shown where it is none.
pub(super) fn bare_path<'t>(text: &'t str, examples: &str) -> Result<&'t str, Wrong> {
    let wrong = |message: &str, label: &str| Err(Wrong::new(format!("{} {message}", quoted(text)), label));
    let Some(path) = text.strip_prefix('/') else {
        return wrong("is not a path", &format!("a path begins with `/`, like {examples}"));
    };
    if text.len() > LONGEST_PATH {
        return wrong("is too long", &format!("at most {LONGEST_PATH} bytes"));
    }
    if text.contains(['?', '#']) {
        return wrong("is more than a path", "queries are not compared, write the path alone");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong("has characters that no path has", "write it as it is sent, like `/caf%C3%A9`");
    }
    Ok(path)
}

fn failures(
    scope: &mut Scope<'_, '_>,
    raw: Option<Vec<Option<Quantity>>>,
    raw_not: Vec<Option<Quantity>>,
) -> Option<StatusSet> {
    let failures = match raw {
        Some(raw) => statuses(scope, "failureStatuses", raw)?.into_iter().fold(StatusSet::empty(), Statuses::added_to),
        None => StatusSet::default(),
    };
    let mut left = failures;
    for (index, status) in statuses(scope, "notFailures", raw_not)?.into_iter().enumerate() {
        let without = status.taken_from(left);
        if without == left {
            let wrong = Wrong::new("is no failure anyway", "remove it");
            scope.key("notFailures").wrong_element(index, wrong);
        }
        left = without;
    }
    Some(left)
}

fn grpc_failures(scope: &mut Scope<'_, '_>, raw: Vec<Option<Quantity>>) -> Option<GrpcStatuses> {
    super::too_many(scope, "grpcFailureStatuses", raw.len(), MOST_STATUSES)?;
    let mut list = scope.key("grpcFailureStatuses");
    let mut known: Vec<GrpcStatus> = Vec::new();
    for (index, text) in raw.into_iter().enumerate() {
        let Some(text) = text else { continue };
        match grpc_status(&text) {
            Ok(status) if known.contains(&status) => {
                let message = format!("{} is in the list already", quoted(&text.0));
                list.wrong_element(index, Wrong::new(message, "remove it"));
            }
            Ok(status) => known.push(status),
            Err(wrong) => list.wrong_element(index, wrong),
        }
    }
    Some(known.into_iter().collect())
}

/// By its name or its number.
fn grpc_status(Quantity(text): &Quantity) -> Result<GrpcStatus, Wrong> {
    let number = text.parse::<usize>();
    let status = match &number {
        Ok(number) => GrpcStatus::CODES.get(*number).copied(),
        Err(_) => GrpcStatus::CODES.into_iter().find(|status| status.name() == text),
    };
    match status {
        Some(GrpcStatus::Ok) => Err(Wrong::new(format!("{} is no failure", quoted(text)), "remove it")),
        Some(status) => Ok(status),
        None if number.is_ok() => {
            Err(Wrong::new(format!("{} is not a status of gRPC", quoted(text)), "a number is from 1 to 16"))
        }
        None => Err(super::not_among(text, "a status of gRPC", &GrpcStatus::CODES.map(GrpcStatus::name))),
    }
}

/// A class or a single status.
#[derive(Clone, Copy)]
enum Statuses {
    Class(u16),
    One(u16),
}

impl Statuses {
    fn added_to(set: StatusSet, statuses: Statuses) -> StatusSet {
        match statuses {
            Statuses::Class(digit) => set.with_class(digit),
            Statuses::One(status) => set.with(status),
        }
    }

    fn taken_from(self, set: StatusSet) -> StatusSet {
        match self {
            Statuses::Class(digit) => set.without_class(digit),
            Statuses::One(status) => set.without(status),
        }
    }
}

/// None when one of them is at fault.
fn statuses(scope: &mut Scope<'_, '_>, key: &str, raw: Vec<Option<Quantity>>) -> Option<Vec<Statuses>> {
    super::too_many(scope, key, raw.len(), MOST_STATUSES)?;
    let mut list = scope.key(key);
    let mut known = Some(Vec::new());
    for (index, text) in raw.into_iter().enumerate() {
        match text.as_ref().map(status) {
            Some(Ok(status)) => known.iter_mut().for_each(|known| known.push(status)),
            Some(Err(wrong)) => {
                list.wrong_element(index, wrong);
                known = None;
            }
            None => known = None,
        }
    }
    known
}

fn status(Quantity(text): &Quantity) -> Result<Statuses, Wrong> {
    let class = text.strip_suffix("xx").and_then(|digit| digit.parse().ok()).filter(|digit| (2..=5).contains(digit));
    let one = text.parse().ok().filter(|status| (200..=599).contains(status));
    match (class, one) {
        (Some(digit), _) => Ok(Statuses::Class(digit)),
        (None, Some(status)) => Ok(Statuses::One(status)),
        (None, None) => {
            let label = "write a class like `5xx`, or a status from 200 to 599";
            Err(Wrong::new(format!("{} is not a status of an answer", quoted(text)), label))
        }
    }
}
