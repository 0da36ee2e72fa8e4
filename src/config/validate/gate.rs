//! The policy: what counts as evidence, the comparison, and all triggers.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::compare;
use super::counting;
use super::metric::Metric;
use super::mirror;
use super::trigger::{self, Rule, Surroundings};
use crate::config::quantity::count;
use crate::config::raw::{Mapping, RawGate, RawTrigger};
use crate::config::report::{Scope, Wrong};
use crate::gate::Policy;
use crate::gate::trigger::{Action, Conviction, StreakTrigger};
use crate::release::Plan;

pub(super) const MOST_TRIGGERS: usize = 64;
const MINIMUM_REQUESTS: u64 = 50;
pub(super) const REQUESTS: RangeInclusive<i64> = 1..=1_000_000_000;
const STREAK: u16 = 5;

pub(super) fn policy(
    scope: &mut Scope<'_, '_>,
    raw: Option<RawGate>,
    response_head: Option<Duration>,
    plan: Option<&Plan>,
) -> Option<Policy> {
    let raw = raw.unwrap_or_default();
    let minimum_requests = scope.optional("minimumRequests", raw.minimum_requests, MINIMUM_REQUESTS, count(REQUESTS));
    let counting = counting::counting(
        scope,
        counting::Raw {
            exclude: raw.exclude,
            failures: raw.failure_statuses,
            not_failures: raw.not_failures,
            grpc_failures: raw.grpc_failure_statuses,
            warm_up: raw.warm_up,
            client_share: raw.client_share,
        },
    );
    let comparing = compare::comparing(&mut scope.key("compare"), raw.compare.unwrap_or_default().0);
    let surroundings = Surroundings { minimum_requests, response_head, comparing, plan };
    let mirror = mirror::triggers(&mut scope.key("mirror"), raw.mirror.map(|raw| raw.0), &surroundings);
    let policy = match raw.triggers {
        Some(raw) => triggers(scope, raw, &surroundings)?,
        None => Policy { streak: Some(default_streak()), ..Policy::default() },
    };
    let compare = comparing?.settings();
    let policy = Policy { compare, counting: counting?, mirror: mirror?, ..policy };
    refuse_idle(scope, &policy, plan);
    mirror::refuse_idle(&mut scope.key("mirror"), &policy, plan);
    Some(policy)
}

fn default_streak() -> StreakTrigger {
    let (name, conviction) = ("dead".to_owned(), Conviction::default());
    StreakTrigger { name, at_least: STREAK, conviction, action: Action::Rollback }
}

fn triggers(
    scope: &mut Scope<'_, '_>,
    raw: Vec<Option<Mapping<RawTrigger>>>,
    surroundings: &Surroundings<'_>,
) -> Option<Policy> {
    super::too_many(scope, "triggers", raw.len(), MOST_TRIGGERS)?;
    let mut list = scope.key("triggers");
    let mut names: Vec<String> = Vec::new();
    let mut streaks = 0;
    let mut policy = Policy::default();
    for (index, raw) in raw.into_iter().enumerate() {
        let Some(raw) = raw else { continue };
        let mut scope = list.index(index);
        let (name, metric) = (raw.0.name.clone(), raw.0.metric.clone());
        match trigger::rule(&mut scope, raw.0, surroundings) {
            Some(Rule::Windowed(trigger)) => policy.triggers.push(trigger),
            Some(Rule::Streak(streak)) => policy.streak = Some(streak),
            Some(Rule::Checks(checks)) => policy.checks.push(checks),
            Some(Rule::Signal(signal)) => policy.signals.push(signal),
            None => {}
        }
        super::unique(&mut scope, name, &mut names);
        if metric.as_deref() == Some(Metric::FailureStreak.name()) {
            streaks += 1;
            if streaks == 2 {
                scope.wrong("metric", Wrong::new("a second `failureStreak` trigger", "there is one at most"));
            }
        }
    }
    Some(policy)
}

pub(super) const A_BOUND: &str = "add a bound on `errorRate`, `successRate` or `latency` that pauses or rolls back";

/// Whether a verdict can be a pass, which every step waits for.
pub(super) fn clears_green(policy: &Policy) -> bool {
    policy.compare.is_some() || policy.triggers.iter().any(|trigger| trigger.action != Action::Notify)
}

/// Whether the verdict on mirrored requests can be a pass.
pub(super) fn clears_mirrored(policy: &Policy) -> bool {
    policy.mirror.iter().any(|trigger| trigger.action != Action::Notify)
}

/// Refuses triggers that judge nothing, or that could never let a plan take its first step.
fn refuse_idle(scope: &mut Scope<'_, '_>, policy: &Policy, plan: Option<&Plan>) {
    if scope.report.is_spoiled_within(&scope.at.key("triggers")) {
        return;
    }
    if !policy.is_active() {
        let wrong = Wrong::new("is empty: there is no active check", "add a trigger")
            .help("or let the comparison judge: remove `compare.enabled: false`");
        scope.wrong("triggers", wrong);
    } else if plan.is_some() && !clears_green(policy) {
        let wrong = Wrong::new("nothing here clears green, so the plan could not take a step", A_BOUND)
            .help("or let the comparison judge: remove `compare.enabled: false`");
        if scope.report.is_written(&scope.at.key("triggers")) {
            scope.wrong("triggers", wrong);
        } else {
            scope.wrong_here(wrong);
        }
    }
}
