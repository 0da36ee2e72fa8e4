//! Cohorts: which requests are of each, and whether a plan can name them.

use http::HeaderName;

use super::networks::networks;
use super::trigger::plain_name;
use super::{gate, not_among, routes, sticky, too_many, unique};
use crate::config::cohort::{Cohort, MOST_COHORTS, Sent};
use crate::config::quantity::quoted;
use crate::config::raw::{Mapping, RawCohort, RawSent};
use crate::config::report::{Scope, Wrong};
use crate::gate::Policy;
use crate::release::Plan;

const MOST_VALUES: usize = 100;
const LONGEST_VALUE: usize = 200;

/// None where the list as a whole, or one of it, was at fault.
pub(super) fn cohorts(scope: &mut Scope<'_, '_>, raw: Vec<Option<Mapping<RawCohort>>>) -> Option<Vec<Cohort>> {
    if raw.len() > MOST_COHORTS {
        let wrong = Wrong::new(format!("has {} elements", raw.len()), format!("at most {MOST_COHORTS} are allowed"));
        scope.wrong_here(wrong);
        return None;
    }
    let mut names = Vec::new();
    let mut read = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let mut scope = scope.index(index);
        read.push(raw.and_then(|Mapping(raw)| {
            unique(&mut scope, raw.name.clone(), &mut names);
            cohort(&mut scope, raw)
        }));
    }
    read.into_iter().collect()
}

fn cohort(scope: &mut Scope<'_, '_>, raw: RawCohort) -> Option<Cohort> {
    const RULES: [&str; 4] = ["header", "cookie", "from", "paths"];
    let name = scope.required("name", raw.name, plain_name("a cohort"));
    let says = |scope: &Scope<'_, '_>, key: &str| {
        let at = scope.at.key(key);
        scope.report.is_written(&at) || scope.report.is_spoiled(&at)
    };
    let is_open = !RULES.iter().any(|key| says(scope, key));
    if is_open {
        let label = "name `from`, `header`, `cookie` or `paths`, like `from: [\"10.0.0.0/8\"]`";
        scope.wrong_here(Wrong::new("takes in every client", label));
    }
    let header = raw.header.map(|Mapping(raw)| {
        sent(&mut scope.key("header"), raw, |name| {
            let name = sticky::token(name, "header")?;
            HeaderName::try_from(&name).map_err(|_| sticky::not_a_name(&name, "header"))
        })
    });
    let cookie =
        raw.cookie.map(|Mapping(raw)| sent(&mut scope.key("cookie"), raw, |name| sticky::token(name, "cookie")));
    if raw.from.as_ref().is_some_and(Vec::is_empty) {
        scope.wrong("from", Wrong::new("is empty", "name a network, or leave it out for all"));
    }
    let from = networks(scope, "from", raw.from.unwrap_or_default());
    let paths = routes::patterns(scope, "paths", raw.paths, routes::path);
    let is_whole = !is_open && !RULES.iter().any(|key| scope.report.is_spoiled_within(&scope.at.key(key)));
    let (header, cookie) =
        (header.map_or(Some(None), |of| of.map(Some))?, cookie.map_or(Some(None), |of| of.map(Some))?);
    let cohort = Cohort { name: name?, header, cookie, from, paths: paths? };
    is_whole.then_some(cohort)
}

fn sent<N>(scope: &mut Scope<'_, '_>, raw: RawSent, name: impl FnOnce(String) -> Result<N, Wrong>) -> Option<Sent<N>> {
    let name = scope.required("name", raw.name, name);
    let mut values = Vec::new();
    if let Some(raw) = raw.values {
        too_many(scope, "values", raw.len(), MOST_VALUES)?;
        if raw.is_empty() {
            scope.wrong("values", Wrong::new("is empty", "write at least one, or leave it out for any"));
        }
        let mut list = scope.key("values");
        for (index, text) in raw.into_iter().enumerate() {
            let Some(text) = text else { continue };
            if text.is_empty() || text.len() > LONGEST_VALUE || text.bytes().any(|byte| byte.is_ascii_control()) {
                let label = format!("1 to {LONGEST_VALUE} bytes without control characters");
                list.wrong_element(index, Wrong::new(format!("{} is not a value", quoted(&text)), label));
            } else {
                values.push(text);
            }
        }
    }
    Some(Sent { name: name?, values })
}

/// Refuses what `plan` says of cohorts where `policy`, which knows their names, has no such one, or nothing that judges them.
pub(super) fn refuse_unsuited(scope: &mut Scope<'_, '_>, plan: &Plan, policy: &Policy) {
    let known: Vec<&str> = policy.cohorts.iter().map(|name| &**name).collect();
    let mut any = false;
    for (index, step) in plan.steps.iter().enumerate() {
        let Some(name) = &step.cohort else { continue };
        any = true;
        if known.contains(&&**name) {
            continue;
        }
        let wrong = if known.is_empty() {
            let label = format!("add `cohorts: [{{ name: {name}, from: [\"10.0.0.0/8\"] }}]`");
            Wrong::new(format!("{} is not one of `cohorts`, of which there are none", quoted(name)), label)
        } else {
            not_among(name, "one of `cohorts`", &known)
        };
        scope.key("steps").index(index).wrong("cohort", wrong);
    }
    if any && !gate::clears_cohorts(policy) {
        let message = "nothing in `gate` clears a cohort, so the plan could not go beyond its step";
        let label =
            "add a bound with `above` or `below` on `errorRate`, `successRate` or `latency` that pauses or rolls back";
        scope.wrong("steps", Wrong::new(message, label).help("the comparison sees no cohort, which is no random draw"));
    }
}
