//! The policy: what counts as evidence, the comparison, and all triggers.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::compare;
use super::counting;
use super::first;
use super::metric::Metric;
use super::mirror;
use super::routes::Read;
use super::trigger::{self, Rule, Surroundings};
use crate::config::quantity::count;
use crate::config::raw::{Mapping, RawGate, RawTrigger};
use crate::config::report::{Scope, Wrong};
use crate::config::route::RouteConfig;
use crate::gate::route::{MOST_ROUTES, NamedRoute, RollbackOf, RouteRule};
use crate::gate::trigger::{Action, Conviction, StreakTrigger, Trigger};
use crate::gate::{Policy, RouteNumber, Routes};
use crate::release::Plan;

pub(super) const MOST_TRIGGERS: usize = 64;
const MINIMUM_REQUESTS: u64 = 50;
pub(super) const REQUESTS: RangeInclusive<i64> = 1..=1_000_000_000;
const STREAK: u16 = 5;
const MOST_LEARNT: i64 = 64;

/// The policy, with the triggers of the routes, and the routes; `routes` is none where the list as a whole was at fault.
pub(super) fn policy(
    root: &mut Scope<'_, '_>,
    raw: Option<RawGate>,
    routes: Option<Vec<Option<Read>>>,
    response_head: Option<Duration>,
    plan: Option<&Plan>,
) -> Option<(Policy, Vec<RouteConfig>, usize)> {
    let raw = raw.unwrap_or_default();
    let mut scope = root.key("gate");
    let minimum_requests = scope.optional("minimumRequests", raw.minimum_requests, MINIMUM_REQUESTS, count(REQUESTS));
    let counting = counting::counting(
        &mut scope,
        counting::Raw {
            exclude: raw.exclude,
            failures: raw.failure_statuses,
            not_failures: raw.not_failures,
            grpc_failures: raw.grpc_failure_statuses,
            warm_up: raw.warm_up,
            client_share: raw.client_share,
        },
    );
    let learn_routes = scope.optional("learnRoutes", raw.learn_routes, 0, count(0..=MOST_LEARNT));
    let comparing = compare::comparing(&mut scope.key("compare"), raw.compare.unwrap_or_default().0);
    let surroundings = Surroundings { minimum_requests, response_head, comparing, plan, route: None };
    let mirror = mirror::triggers(&mut scope.key("mirror"), raw.mirror.map(|raw| raw.0), &surroundings);
    let mut policy = Policy::default();
    let mut names = Vec::new();
    let mut whole = Some(());
    match raw.triggers {
        Some(raw) => whole = triggers(&mut scope, raw, &surroundings, &mut policy, &mut names),
        None => policy.streak = Some(default_streak()),
    }
    let room = routes.as_ref().map_or(MOST_ROUTES, |routes| MOST_ROUTES - routes.len());
    if let Some(learn) = learn_routes.filter(|learn| *learn as usize > room) {
        let message = format!("`{learn}` and those of `routes` are more than {MOST_ROUTES}");
        root.key("gate").wrong("learnRoutes", Wrong::new(message, format!("write at most `{room}`")));
    }
    let routes = routes.and_then(|routes| of_routes(root, routes, surroundings, &mut policy, &mut names));
    let compare = comparing?.settings();
    whole?;
    let policy = Policy { compare, counting: counting?, mirror: mirror?, ..policy };
    let mut scope = root.key("gate");
    refuse_idle(&mut scope, &policy, plan);
    mirror::refuse_idle(&mut scope.key("mirror"), &policy, plan);
    Some((policy, routes?, learn_routes? as usize))
}

/// Adds the routes and their triggers to the policy.
fn of_routes(
    root: &mut Scope<'_, '_>,
    routes: Vec<Option<Read>>,
    surroundings: Surroundings<'_>,
    policy: &mut Policy,
    names: &mut Vec<String>,
) -> Option<Vec<RouteConfig>> {
    let mut whole = Some(());
    let mut configs = Vec::new();
    let mut list = root.key("routes");
    for (index, read) in routes.into_iter().enumerate() {
        let Some(Read { route, triggers: raw }) = read else {
            whole = None;
            continue;
        };
        let number = RouteNumber::from_index(index).expect("more are refused");
        let named = NamedRoute { number, name: route.name.clone() };
        let response_head = Some(route.timeouts.response_head);
        let surroundings = Surroundings { response_head, route: Some(&named), ..surroundings };
        if let Some(raw) = raw {
            whole = whole.and(triggers(&mut list.index(index), raw, &surroundings, policy, names));
        }
        let rolls_back = |trigger: &Trigger| {
            trigger.action == Action::Rollback && trigger.route.as_ref().is_some_and(|of| of.number == number)
        };
        let is_compared = surroundings.comparing.is_none_or(|comparing| comparing.settings().is_some());
        if route.rollback == RollbackOf::Route && !is_compared && !policy.triggers.iter().any(rolls_back) {
            let wrong = Wrong::new(
                "can never come: nothing convicts green on the route",
                "let `gate.compare` be on, or give the route a trigger that rolls back",
            );
            list.index(index).wrong("rollback", wrong);
        }
        configs.push(route);
    }
    whole?;
    let rule = |route: &RouteConfig| RouteRule { name: route.name.clone(), goes: route.goes, rollback: route.rollback };
    policy.routes = Routes::new(configs.iter().map(rule).collect());
    Some(configs)
}

fn default_streak() -> StreakTrigger {
    let (name, conviction) = ("dead".to_owned(), Conviction::default());
    StreakTrigger { name, at_least: STREAK, conviction, action: Action::Rollback }
}

fn triggers(
    scope: &mut Scope<'_, '_>,
    raw: Vec<Option<Mapping<RawTrigger>>>,
    surroundings: &Surroundings<'_>,
    policy: &mut Policy,
    names: &mut Vec<String>,
) -> Option<()> {
    super::too_many(scope, "triggers", names.len() + raw.len(), MOST_TRIGGERS)?;
    let mut list = scope.key("triggers");
    let mut streaks = 0;
    for (index, raw) in raw.into_iter().enumerate() {
        let Some(raw) = raw else { continue };
        let mut scope = list.index(index);
        let (name, metric) = (raw.0.name.clone(), raw.0.metric.clone());
        let first = raw.0.first.clone();
        match trigger::rule(&mut scope, raw.0, surroundings) {
            Some(Rule::Windowed(trigger)) => {
                policy.first.extend(first.and_then(|raw| first::first(&mut scope.key("first"), raw.0, &trigger)));
                policy.triggers.push(trigger);
            }
            Some(Rule::Streak(streak)) => policy.streak = Some(streak),
            Some(Rule::Checks(checks)) => policy.checks.push(checks),
            Some(Rule::Signal(signal)) => policy.signals.push(signal),
            None => {}
        }
        super::unique(&mut scope, name, names);
        if metric.as_deref() == Some(Metric::FailureStreak.name()) && surroundings.route.is_none() {
            streaks += 1;
            if streaks == 2 {
                scope.wrong("metric", Wrong::new("a second `failureStreak` trigger", "there is one at most"));
            }
        }
    }
    Some(())
}

pub(super) const A_BOUND: &str = "add a bound on `errorRate`, `successRate` or `latency` that pauses or rolls back";

/// Whether a verdict can be a pass, which every step waits for.
pub(super) fn clears_green(policy: &Policy) -> bool {
    policy.compare.is_some()
        || policy.triggers.iter().any(|trigger| trigger.route.is_none() && trigger.action != Action::Notify)
}

/// Whether the verdict on mirrored requests can be a pass.
pub(super) fn clears_mirrored(policy: &Policy) -> bool {
    policy.mirror.iter().any(|trigger| trigger.action != Action::Notify)
}

/// Whether the verdict on a cohort can be a pass.
pub(super) fn clears_cohorts(policy: &Policy) -> bool {
    let clears = |trigger: &Trigger| trigger.route.is_none() && trigger.condition.is_absolute();
    policy.triggers.iter().any(|trigger| clears(trigger) && trigger.action != Action::Notify)
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
