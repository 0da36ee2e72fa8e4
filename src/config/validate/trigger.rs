//! One trigger: its name, its condition, how often and for how long it is judged, its action.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::compare::Comparing;
use super::condition;
use super::gate::REQUESTS;
use super::metric::{self, Metric};
use super::not_among;
use super::settings::DAY;
use crate::config::path::FieldPath;
use crate::config::quantity::{count, duration, quoted, shown};
use crate::config::raw::{Count, RawTrigger};
use crate::config::report::{Scope, Wrong};
use crate::gate::Policy;
use crate::gate::route::NamedRoute;
use crate::gate::trigger::{
    Action, Cadence, CheckTrigger, Confirm, Conviction, SignalTrigger, Span, StreakTrigger, Trigger,
};
use crate::release::Plan;
use crate::release::input::RESERVED;

/// The longest label value that Kubernetes takes.
const LONGEST_NAME: usize = 63;
const WINDOWS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
const WINDOW: Duration = Duration::from_secs(60);
/// More than a proxy of one machine carries.
const MOST_PER_SECOND: u64 = 1_000_000;

pub(super) enum Rule {
    Windowed(Trigger),
    Streak(StreakTrigger),
    Checks(CheckTrigger),
    Signal(SignalTrigger),
}

/// What triggers take from elsewhere in the file; none where that was at fault.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'p> {
    pub(super) minimum_requests: Option<u64>,
    pub(super) response_head: Option<Duration>,
    pub(super) comparing: Option<Comparing>,
    /// None without one, too.
    pub(super) plan: Option<&'p Plan>,
    /// The one that the trigger is of.
    pub(super) route: Option<&'p NamedRoute>,
}

/// What every trigger has; none where it was at fault.
struct Common {
    name: Option<String>,
    action: Option<Action>,
    sustained: Option<Duration>,
}

/// A trigger of the whole, or of one route.
pub(super) fn rule(scope: &mut Scope<'_, '_>, raw: RawTrigger, surroundings: &Surroundings<'_>) -> Option<Rule> {
    let name = scope.required("name", raw.name.clone(), name);
    let metric = scope.required("metric", raw.metric.clone(), metric::metric);
    let action = scope.optional("action", raw.action.clone(), Action::Rollback, action);
    let sustained = scope.optional("sustained", raw.sustained.clone(), Duration::ZERO, duration(Duration::ZERO..=DAY));
    let metric = metric?;
    if surroundings.route.is_some() {
        refuse_on_a_route(scope, metric, &raw)?;
    }
    metric::refuse_misfits(scope, metric);
    match metric {
        Metric::FailureStreak => {
            metric::one_bound(scope, metric)?;
            let conviction = scope.optional("confirm", raw.confirm, Conviction::default(), conviction);
            let at_least = scope.required("atLeast", raw.at_least, count(1..=1000))? as u16;
            Some(Rule::Streak(StreakTrigger { name: name?, at_least, conviction: conviction?, action: action? }))
        }
        Metric::HealthChecks => {
            refuse_unchecked(scope);
            refuse_late(scope, "sustained", sustained, surroundings.plan);
            metric::one_bound(scope, metric)?;
            let at_least = scope.required("atLeast", raw.at_least, count(1..=1000))? as u32;
            Some(Rule::Checks(CheckTrigger { name: name?, at_least, sustained: sustained?, action: action? }))
        }
        Metric::External => {
            let signal = match raw.signal {
                Some(signal) => scope.required("signal", Some(signal), plain_name("a signal")),
                None => name.clone(),
            };
            Some(Rule::Signal(SignalTrigger { name: name?, signal: signal?, action: action? }))
        }
        Metric::ErrorRate | Metric::SuccessRate | Metric::Latency => {
            windowed(scope, raw, metric, Common { name, action, sustained }, surroundings).map(Rule::Windowed)
        }
    }
}

fn windowed(
    scope: &mut Scope<'_, '_>,
    raw: RawTrigger,
    metric: Metric,
    Common { name, action, sustained }: Common,
    surroundings: &Surroundings<'_>,
) -> Option<Trigger> {
    let cadence = cadence(scope, &raw);
    let minimum_requests = match raw.minimum_requests {
        Some(_) => scope.optional("minimumRequests", raw.minimum_requests, 0, count(REQUESTS)),
        None => surroundings.minimum_requests,
    };
    let window = window(scope, &raw, cadence, minimum_requests);
    match cadence {
        Some(Cadence::EveryTick) => refuse_late(scope, "sustained", sustained, surroundings.plan),
        Some(Cadence::Interval { .. }) => {
            refuse_late(scope, "interval", cadence.and_then(judged_for), surroundings.plan);
        }
        None => {}
    }
    let confirm = confirm(scope, raw.confirm.clone(), surroundings.comparing);
    let bound = metric::one_bound(scope, metric);
    let condition = condition::condition(scope, metric, bound, raw, surroundings.response_head);
    if confirm == Some(Confirm::Comparison) && condition.is_some_and(|condition| condition.span() == Span::Whole) {
        let wrong = Wrong::new("the comparison knows no `measure: whole`", "remove it, or measure the `head`");
        scope.misplaced("confirm", wrong);
    }
    Some(Trigger {
        name: name?,
        route: surroundings.route.cloned(),
        condition: condition?,
        window: window?,
        sustained: sustained?,
        minimum_requests: minimum_requests?,
        cadence: cadence?,
        confirm: confirm?,
        action: action?,
    })
}

fn cadence(scope: &mut Scope<'_, '_>, raw: &RawTrigger) -> Option<Cadence> {
    const LIMITS: [&str; 2] = ["failureLimit", "consecutiveLimit"];
    let every = scope.optional("interval", raw.interval.clone(), None, |raw| duration(WINDOWS)(raw).map(Some));
    let mut limit = |key: &str, raw: Option<Count>, range| {
        scope.optional(key, raw, None, |raw| count(range)(raw).map(|limit| Some(limit as u32)))
    };
    let failure_limit = limit(LIMITS[0], raw.failure_limit, 0..=1000);
    let consecutive_limit = limit(LIMITS[1], raw.consecutive_limit, 1..=1000);
    let Some(every) = every? else {
        for key in LIMITS {
            if scope.report.is_written(&scope.at.key(key)) {
                let label = "add `interval: 1m`, or remove it";
                scope.misplaced(key, Wrong::new("means nothing without `interval`", label));
            }
        }
        return Some(Cadence::EveryTick);
    };
    if scope.report.is_written(&scope.at.key("sustained")) {
        let label = "remove it: `consecutiveLimit` says how many judgements in a row";
        scope.misplaced("sustained", Wrong::new("means nothing beside `interval`", label));
    }
    match (failure_limit?, consecutive_limit?) {
        (None, None) => Some(Cadence::Interval { every, failure_limit: Some(0), consecutive_limit: None }),
        (Some(most), Some(in_a_row)) if in_a_row > most => {
            let message = format!("`{in_a_row}` in a row always exceed `failureLimit: {most}`, so it decides nothing");
            scope.wrong(LIMITS[1], Wrong::new(message, "write less, or remove it"));
            None
        }
        (failure_limit, consecutive_limit) => Some(Cadence::Interval { every, failure_limit, consecutive_limit }),
    }
}

/// A window that is judged at an interval is as long as that unless said.
fn window(
    scope: &mut Scope<'_, '_>,
    raw: &RawTrigger,
    cadence: Option<Cadence>,
    minimum_requests: Option<u64>,
) -> Option<Duration> {
    let every = match cadence {
        Some(Cadence::Interval { every, .. }) => Some(every),
        Some(Cadence::EveryTick) | None => None,
    };
    let window = scope.optional("window", raw.window.clone(), every.unwrap_or(WINDOW), duration(WINDOWS))?;
    if let Some(every) = every.filter(|every| window < *every) {
        let message = format!("requests between two windows of {} are never judged", shown(window));
        scope.wrong("window", Wrong::new(message, format!("write at least the `interval`, {}", shown(every))));
    }
    if let Some(minimum) = minimum_requests.filter(|minimum| *minimum / MOST_PER_SECOND > window.as_secs()) {
        let message = format!("can never fire: nobody gathers {minimum} requests in {}", shown(window));
        let wrong = Wrong::new(message, "write a longer `window`, or less `minimumRequests`");
        scope.wrong_here(wrong);
    }
    Some(window)
}

fn confirm(scope: &mut Scope<'_, '_>, raw: Option<String>, comparing: Option<Comparing>) -> Option<Confirm> {
    let confirm = scope.optional("confirm", raw, Confirm::No, |text| match text.as_str() {
        "comparison" => Ok(Confirm::Comparison),
        other => Err(not_among(other, "a confirmation", &["comparison"])),
    });
    if confirm == Some(Confirm::Comparison) && matches!(comparing, Some(Comparing::Off)) {
        let wrong = Wrong::new("the comparison is switched off", "remove it, or `compare.enabled: false`");
        scope.misplaced("confirm", wrong);
    }
    confirm
}

fn conviction(text: String) -> Result<Conviction, Wrong> {
    match text.as_str() {
        "evidence" => Ok(Conviction::ByEvidence),
        "none" => Ok(Conviction::ByCount),
        other => Err(not_among(other, "a confirmation of a streak", &["evidence", "none"])),
    }
}

/// Refuses what is not counted by route.
fn refuse_on_a_route(scope: &mut Scope<'_, '_>, metric: Metric, raw: &RawTrigger) -> Option<()> {
    match metric {
        Metric::ErrorRate | Metric::SuccessRate | Metric::Latency => {}
        Metric::FailureStreak | Metric::HealthChecks | Metric::External => {
            let message = format!("`{}` is of a version as a whole, not of one route", metric.name());
            scope.wrong("metric", Wrong::new(message, "write it among `gate.triggers`"));
            return None;
        }
    }
    if raw.measure.as_deref() == Some("whole") {
        let label = "remove it: of a route latencies are known to the response head";
        scope.misplaced("measure", Wrong::new("`whole` is not measured by route", label));
        return None;
    }
    if raw.confirm.is_some() {
        let label = "remove it: each route is compared by itself as well";
        scope.misplaced("confirm", Wrong::new("the comparison confirms no trigger of a route", label));
        return None;
    }
    Some(())
}

/// Refuses a rule about checks that nobody makes.
fn refuse_unchecked(scope: &mut Scope<'_, '_>) {
    if !scope.report.is_written(&FieldPath::default().key("green").key("healthCheck")) {
        let wrong = Wrong::new("can never fire: green has no health check", "add `healthCheck` to `green`")
            .help("for example `healthCheck: { path: /healthz, interval: 5s }`");
        scope.wrong("metric", wrong);
    }
}

/// How long a trigger takes at least until it fires; none where it is not judged in intervals.
fn judged_for(cadence: Cadence) -> Option<Duration> {
    match cadence {
        Cadence::EveryTick => None,
        Cadence::Interval { every, failure_limit, consecutive_limit } => {
            let judgements = [failure_limit.map(|limit| limit + 1), consecutive_limit].into_iter().flatten().min();
            judgements.map(|judgements| every * judgements)
        }
    }
}

/// Every trigger that takes its time, with the least of it.
pub(super) fn slow(policy: &Policy) -> impl Iterator<Item = (&str, Duration)> {
    let least = |trigger: &Trigger| judged_for(trigger.cadence).unwrap_or(trigger.sustained);
    let triggers = policy.triggers.iter().map(move |trigger| (trigger.name.as_str(), least(trigger)));
    triggers.chain(policy.checks.iter().map(|checks| (checks.name.as_str(), checks.sustained)))
}

/// The deadline of a plan that rolls back before a trigger which takes `least` can fire.
pub(super) fn comes_before(plan: &Plan, least: Duration) -> Option<Duration> {
    plan.progress_deadline.filter(|deadline| least >= *deadline && least > plan.monitoring)
}

/// Refuses what takes longer to fire than the plan lets a release stand still.
fn refuse_late(scope: &mut Scope<'_, '_>, key: &str, least: Option<Duration>, plan: Option<&Plan>) {
    let (Some(least), Some(plan)) = (least, plan) else { return };
    if let Some(deadline) = comes_before(plan, least) {
        let message = format!("can never fire: it takes at least {}", shown(least));
        let label = format!("`release.progressDeadline` rolls back after {}", shown(deadline));
        scope.wrong(key, Wrong::new(message, label));
    }
}

fn name(text: String) -> Result<String, Wrong> {
    let text = plain_name("a trigger")(text)?;
    if RESERVED.contains(&text.as_str()) {
        let label = "a rollback that no trigger caused goes by this name, choose another";
        return Err(Wrong::new(format!("{} is reserved", quoted(&text)), label));
    }
    Ok(text)
}

/// A name becomes the value of a metric's label, or a part of a path.
pub(super) fn plain_name(of: &'static str) -> impl FnOnce(String) -> Result<String, Wrong> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    move |text| {
        if text.is_empty() || text.len() > LONGEST_NAME || !text.bytes().all(is_plain) {
            let message = format!("{} is not a name for {of}", quoted(&text));
            let label = format!("use `a` to `z`, `0` to `9` and `-`, 1 to {LONGEST_NAME} of them");
            return Err(Wrong::new(message, label));
        }
        Ok(text)
    }
}

fn action(text: String) -> Result<Action, Wrong> {
    match text.as_str() {
        "rollback" => Ok(Action::Rollback),
        "pause" => Ok(Action::Pause),
        "notify" => Ok(Action::Notify),
        other => Err(not_among(other, "an action", &["rollback", "pause", "notify"])),
    }
}
