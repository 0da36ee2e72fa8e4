//! Mirroring: how requests are copied to green, and the triggers that judge the copies.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::gate::{A_BOUND, MOST_TRIGGERS, REQUESTS, clears_mirrored};
use super::metric::Metric;
use super::trigger::{self, Rule, Surroundings};
use crate::config::quantity::{count, duration, quoted, size, weight};
use crate::config::raw::{RawMirror, RawMirrorGate, RawTrigger};
use crate::config::report::{Scope, Wrong};
use crate::config::{Mirror, ShadowHost};
use crate::gate::Policy;
use crate::gate::trigger::{Action, Cadence, Condition, Confirm, Share, Times, Trigger};
use crate::release::{Plan, Weight};

const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(600);
const TIMEOUT: Duration = Duration::from_secs(5);

/// A copy that waits holds some 30 KiB.
const MAX_REQUESTS: u64 = 128;

const MIB: usize = 1024 * 1024;

const WINDOW: Duration = Duration::from_secs(60);

/// The metrics that mirrored requests have.
const METRICS: [Metric; 3] = [Metric::ErrorRate, Metric::SuccessRate, Metric::Latency];

pub(super) fn mirror(scope: &mut Scope<'_, '_>, raw: RawMirror) -> Option<Mirror> {
    let share = scope.optional("share", raw.share, Weight::ZERO, weight);
    let max_requests = scope.optional("maxRequests", raw.max_requests, MAX_REQUESTS, count(1..=100_000));
    let bytes = scope.optional("responseBodyBytes", raw.response_body_bytes, MIB, size(0..=1024 * MIB));
    let timeout = scope.optional("timeout", raw.timeout, TIMEOUT, duration(TIMEOUTS));
    Some(Mirror {
        share: share?,
        max_requests: NonZeroUsize::new(max_requests? as usize).expect("the range begins at 1"),
        response_body_bytes: bytes? as u64,
        timeout: timeout?,
        host: if raw.shadow_host == Some(false) { ShadowHost::AsItCame } else { ShadowHost::Marked },
    })
}

/// What judges the copies.
pub(super) fn triggers(
    scope: &mut Scope<'_, '_>,
    raw: Option<RawMirrorGate>,
    surroundings: &Surroundings<'_>,
) -> Option<Vec<Trigger>> {
    let raw = raw.unwrap_or_default();
    let minimum_requests = match raw.minimum_requests {
        Some(_) => scope.optional("minimumRequests", raw.minimum_requests, 0, count(REQUESTS)),
        None => surroundings.minimum_requests,
    };
    let surroundings = Surroundings { minimum_requests, ..*surroundings };
    let Some(raw) = raw.triggers else {
        return Some(minimum_requests.map(usual).into_iter().collect());
    };
    super::too_many(scope, "triggers", raw.len(), MOST_TRIGGERS)?;
    let mut list = scope.key("triggers");
    let mut names = Vec::new();
    let mut triggers = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let Some(raw) = raw else { continue };
        let mut scope = list.index(index);
        let name = raw.0.name.clone();
        triggers.extend(one(&mut scope, raw.0, &surroundings));
        super::unique(&mut scope, name, &mut names);
    }
    Some(triggers)
}

fn one(scope: &mut Scope<'_, '_>, raw: RawTrigger, surroundings: &Surroundings<'_>) -> Option<Trigger> {
    let known = METRICS.map(Metric::name);
    if let Some(metric) = raw.metric.as_deref()
        && Metric::is_known(metric)
        && !known.contains(&metric)
    {
        let message = format!("{} is nothing that mirrored requests have", quoted(metric));
        scope.wrong("metric", Wrong::new(message, format!("use one of {}", crate::config::read::listed(&known))));
        return None;
    }
    if raw.confirm.is_some() {
        let message = "the comparison knows no mirrored requests";
        scope.misplaced("confirm", Wrong::new(message, "remove it"));
    }
    if raw.first.is_some() {
        scope.misplaced("first", Wrong::new("means nothing here: no user is on green", "remove it"));
    }
    match trigger::rule(scope, raw, surroundings)? {
        Rule::Windowed(trigger) => Some(trigger),
        Rule::Streak(_) | Rule::Checks(_) | Rule::Signal(_) => unreachable!("other metrics were refused"),
    }
}

/// Where nothing is said: twice as many failures as blue has of the same requests, and more than one in a hundred.
fn usual(minimum_requests: u64) -> Trigger {
    let times = Times::try_from(2.0).expect("at least 1");
    let floor = Share::try_from(0.01).expect("one percent is a share");
    Trigger {
        name: "mirror-errors".to_owned(),
        route: None,
        condition: Condition::FailuresAboveBlue { times, floor },
        window: WINDOW,
        sustained: Duration::ZERO,
        minimum_requests,
        cadence: Cadence::EveryTick,
        confirm: Confirm::No,
        action: Action::Rollback,
    }
}

/// Refuses triggers that another has the name of, or that could never let a step that mirrors end.
pub(super) fn refuse_idle(scope: &mut Scope<'_, '_>, policy: &Policy, plan: Option<&Plan>) {
    for (name, _) in policy.mirror_actions() {
        if policy.actions().any(|(other, _)| other == name) {
            let message = format!("{} is the name of a trigger in `gate.triggers` too", quoted(name));
            scope.wrong("triggers", Wrong::new(message, "choose another name"));
        }
    }
    let spoiled = scope.report.is_spoiled_within(&scope.at.key("triggers"));
    if plan.is_some_and(Plan::mirrors) && !clears_mirrored(policy) && !spoiled {
        let message = "nothing here clears green, so the plan could not go beyond a step that mirrors";
        scope.wrong("triggers", Wrong::new(message, A_BOUND));
    }
}
