//! The policy: each trigger has one bound, of the kind that its metric has, and could fire.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::settings::DAY;
use crate::config::quantity::{self, count, duration, quoted, share, shown};
use crate::config::raw::{Quantity, RawGate, RawTrigger};
use crate::config::read::{closest, config_keys, listed};
use crate::config::report::{Scope, Wrong};
use crate::gate::evidence::LONGEST;
use crate::gate::trigger::{Action, Condition, Policy, Rate, Share, Span, StreakTrigger, Trigger};

const MOST_TRIGGERS: usize = 64;
/// The longest label value that Kubernetes takes.
const LONGEST_NAME: usize = 63;
/// A rollback by a person stands under this name in the metrics.
const RESERVED_NAME: &str = "operator";

const MINIMUM_REQUESTS: u64 = 50;
const REQUESTS: RangeInclusive<i64> = 1..=1_000_000_000;
const WINDOWS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
const WINDOW: Duration = Duration::from_secs(60);
const LATENCIES: RangeInclusive<Duration> = Duration::from_micros(1)..=DAY;
const LATENCY_FLOOR: Duration = Duration::from_millis(10);
const STREAK: u16 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    ErrorRate,
    SuccessRate,
    Latency,
    FailureStreak,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Above,
    Below,
    AboveBlue,
    AtLeast,
}

enum Rule {
    Windowed(Trigger),
    Streak(StreakTrigger),
}

/// What triggers take from elsewhere in the file; none where that was at fault.
struct Surroundings {
    minimum_requests: Option<u64>,
    response_head: Option<Duration>,
}

const UNSUPPORTED_METRICS: [&str; 3] = ["healthChecks", "podRestarts", "external"];

impl Bound {
    const ALL: [Bound; 4] = [Bound::Above, Bound::Below, Bound::AboveBlue, Bound::AtLeast];

    const fn key(self) -> &'static str {
        match self {
            Bound::Above => "above",
            Bound::Below => "below",
            Bound::AboveBlue => "aboveBlue",
            Bound::AtLeast => "atLeast",
        }
    }
}

impl Metric {
    const ALL: [Metric; 4] = [Metric::ErrorRate, Metric::SuccessRate, Metric::Latency, Metric::FailureStreak];

    const fn name(self) -> &'static str {
        match self {
            Metric::ErrorRate => "errorRate",
            Metric::SuccessRate => "successRate",
            Metric::Latency => "latency",
            Metric::FailureStreak => "failureStreak",
        }
    }

    /// The keys of a trigger besides `name`, `metric` and `action`.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Metric::ErrorRate => &["above", "aboveBlue", "floor", "window", "sustained", "minimumRequests"],
            Metric::SuccessRate => &["below", "window", "sustained", "minimumRequests"],
            Metric::Latency => {
                &["quantile", "measure", "above", "aboveBlue", "floor", "window", "sustained", "minimumRequests"]
            }
            Metric::FailureStreak => &["atLeast"],
        }
    }

    const fn example(self) -> &'static str {
        match self {
            Metric::ErrorRate => "add `above: 10%`, or `aboveBlue: 2` to compare with blue",
            Metric::SuccessRate => "add `below: 99%`",
            Metric::Latency => "add `above: 200ms`, or `aboveBlue: 5` to compare with blue",
            Metric::FailureStreak => "add `atLeast: 5`",
        }
    }
}

pub(super) fn policy(
    scope: &mut Scope<'_, '_>,
    raw: Option<RawGate>,
    response_head: Option<Duration>,
) -> Option<Policy> {
    let raw = raw.unwrap_or_default();
    let minimum_requests = scope.optional("minimumRequests", raw.minimum_requests, MINIMUM_REQUESTS, count(REQUESTS));
    let Some(raw_triggers) = raw.triggers else {
        let streak = StreakTrigger { name: "dead".to_owned(), at_least: STREAK, action: Action::Rollback };
        return Some(Policy { triggers: Vec::new(), streak: Some(streak) });
    };
    if raw_triggers.is_empty() {
        let wrong = Wrong::new("is empty: there is no active check", "add a trigger")
            .help("without the key there is one trigger, `{ name: dead, metric: failureStreak, atLeast: 5 }`");
        scope.wrong("triggers", wrong);
        return None;
    }
    super::too_many(scope, "triggers", raw_triggers.len(), MOST_TRIGGERS)?;
    let surroundings = Surroundings { minimum_requests, response_head };
    let mut list = scope.key("triggers");
    let mut names: Vec<String> = Vec::new();
    let mut policy = Policy::default();
    for (index, raw) in raw_triggers.into_iter().enumerate() {
        let Some(raw) = raw else { continue };
        let mut scope = list.index(index);
        let name = raw.0.name.clone();
        let rule = rule(&mut scope, raw.0, &surroundings);
        if let Some(name) = name {
            if names.contains(&name) {
                let message = format!("{} is the name of a trigger before", quoted(&name));
                scope.wrong("name", Wrong::new(message, "give each trigger a name of its own"));
            }
            names.push(name);
        }
        match rule {
            Some(Rule::Windowed(trigger)) => policy.triggers.push(trigger),
            Some(Rule::Streak(_)) if policy.streak.is_some() => {
                let wrong = Wrong::new("a second `failureStreak` trigger", "there is one at most");
                scope.wrong("metric", wrong);
            }
            Some(Rule::Streak(streak)) => policy.streak = Some(streak),
            None => {}
        }
    }
    Some(policy)
}

fn rule(scope: &mut Scope<'_, '_>, raw: RawTrigger, surroundings: &Surroundings) -> Option<Rule> {
    let name = scope.required("name", raw.name.clone(), name);
    let metric = scope.required("metric", raw.metric.clone(), metric);
    let action = scope.optional("action", raw.action.clone(), Action::Rollback, action);
    let window = scope.optional("window", raw.window.clone(), WINDOW, duration(WINDOWS));
    let sustained = scope.optional("sustained", raw.sustained.clone(), Duration::ZERO, duration(Duration::ZERO..=DAY));
    let own_minimum = match raw.minimum_requests {
        Some(_) => scope.optional("minimumRequests", raw.minimum_requests, 0, count(REQUESTS)),
        None => surroundings.minimum_requests,
    };
    let metric = metric?;
    refuse_misfits(scope, metric);
    let bound = one_bound(scope, metric);
    if metric == Metric::FailureStreak {
        bound?;
        let at_least = scope.required("atLeast", raw.at_least, count(1..=1000));
        let at_least = u16::try_from(at_least?).expect("the range ends below");
        return Some(Rule::Streak(StreakTrigger { name: name?, at_least, action: action? }));
    }
    let condition = condition(scope, metric, bound, raw, surroundings.response_head);
    Some(Rule::Windowed(Trigger {
        name: name?,
        condition: condition?,
        window: window?,
        sustained: sustained?,
        minimum_requests: own_minimum?,
        action: action?,
    }))
}

/// Refuses the keys that mean nothing to the metric.
fn refuse_misfits(scope: &mut Scope<'_, '_>, metric: Metric) {
    let common = ["name", "metric", "action"];
    for key in config_keys(&["gate", "triggers", "*"]) {
        let path = scope.at.key(key);
        let fits = common.contains(key) || metric.keys().contains(key);
        if !fits && scope.report.is_written(&path) {
            let label = match (*key, metric) {
                ("below", Metric::ErrorRate) => "write `above`, or the metric `successRate`".to_owned(),
                ("above" | "aboveBlue", Metric::SuccessRate) => "write `below`, or the metric `errorRate`".to_owned(),
                _ => "remove it".to_owned(),
            };
            let message = format!("does not fit the metric `{}`", metric.name());
            let help = format!("its keys are {}", listed(metric.keys()));
            scope.misplaced(key, Wrong::new(message, label).help(help));
        }
    }
}

/// The one bound that is written, when it is one and fits.
fn one_bound(scope: &mut Scope<'_, '_>, metric: Metric) -> Option<Bound> {
    let mut written = Bound::ALL.to_vec();
    written.retain(|bound| scope.report.is_written(&scope.at.key(bound.key())));
    let mut fitting = written.clone();
    fitting.retain(|bound| metric.keys().contains(&bound.key()));
    match fitting[..] {
        [bound] => return Some(bound),
        [] if written.is_empty() => scope.wrong_here(Wrong::new("has no bound", metric.example())),
        [] => {}
        [first, second, ..] => {
            let message = format!("a second bound beside `{}`", first.key());
            scope.misplaced(second.key(), Wrong::new(message, "one trigger has one bound, write another trigger"));
        }
    }
    None
}

fn condition(
    scope: &mut Scope<'_, '_>,
    metric: Metric,
    bound: Option<Bound>,
    raw: RawTrigger,
    response_head: Option<Duration>,
) -> Option<Condition> {
    if raw.floor.is_some() && metric.keys().contains(&"floor") && bound == Some(Bound::Above) {
        scope.misplaced("floor", Wrong::new("means nothing without `aboveBlue`", "remove it"));
    }
    match metric {
        Metric::ErrorRate if bound? == Bound::Above => {
            let share = scope.required("above", raw.above, error_bound);
            Some(Condition::FailuresAbove { share: share?, written: Rate::Errors })
        }
        Metric::ErrorRate => {
            let times = scope.required("aboveBlue", raw.above_blue, quantity::times);
            let floor = scope.optional("floor", raw.floor, error_floor(), error_bound);
            Some(Condition::FailuresAboveBlue { times: times?, floor: floor? })
        }
        Metric::SuccessRate => {
            bound?;
            let share = scope.required("below", raw.below, success_bound);
            Some(Condition::FailuresAbove { share: share?.rest(), written: Rate::Successes })
        }
        Metric::Latency => latency(scope, bound, raw, response_head),
        Metric::FailureStreak => unreachable!("a streak is not judged on a window"),
    }
}

fn latency(
    scope: &mut Scope<'_, '_>,
    bound: Option<Bound>,
    raw: RawTrigger,
    response_head: Option<Duration>,
) -> Option<Condition> {
    let quantile = scope.required("quantile", raw.quantile, quantity::quantile);
    let span = scope.optional("measure", raw.measure, Span::Head, span);
    let cut = response_head.filter(|_| span == Some(Span::Head));
    if bound? == Bound::Above {
        let bound = scope.required("above", raw.above, latency_bound(cut));
        return Some(Condition::LatencyAbove { quantile: quantile?, span: span?, bound: bound? });
    }
    let times = scope.required("aboveBlue", raw.above_blue, quantity::times);
    let floor = scope.optional("floor", raw.floor, LATENCY_FLOOR, latency_bound(cut));
    Some(Condition::LatencyAboveBlue { quantile: quantile?, span: span?, times: times?, floor: floor? })
}

fn error_floor() -> Share {
    Share::try_from(0.01).expect("one percent is a share")
}

fn error_bound(Quantity(text): Quantity) -> Result<Share, Wrong> {
    let bound = share(&text)?;
    if bound.rest().fraction() == 0.0 {
        return Err(Wrong::new(format!("{} can never be exceeded", quoted(&text)), "write a share below 100%"));
    }
    Ok(bound)
}

fn success_bound(Quantity(text): Quantity) -> Result<Share, Wrong> {
    let bound = share(&text)?;
    if bound.fraction() == 0.0 {
        let message = format!("{}: no success rate is ever below", quoted(&text));
        return Err(Wrong::new(message, "write a share above 0%"));
    }
    Ok(bound)
}

/// `cut` is where the proxy itself ends the wait for a response head.
fn latency_bound(cut: Option<Duration>) -> impl FnOnce(Quantity) -> Result<Duration, Wrong> {
    move |quantity| {
        let text = quantity.0.clone();
        let bound = duration(LATENCIES)(quantity)?;
        let message = format!("{} can never be exceeded", quoted(&text));
        if bound >= LONGEST {
            let label = format!("latencies are told apart up to {}", shown(LONGEST));
            return Err(Wrong::new(message, label));
        }
        if let Some(cut) = cut.filter(|cut| bound >= *cut) {
            let label = format!("`timeouts.responseHead` ends each request after {}", shown(cut));
            return Err(Wrong::new(message, label));
        }
        Ok(bound)
    }
}

/// A name becomes the value of a metric's label.
fn name(text: String) -> Result<String, Wrong> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() || text.len() > LONGEST_NAME || !text.bytes().all(is_plain) {
        let message = format!("{} is not a name for a trigger", quoted(&text));
        let label = format!("use `a` to `z`, `0` to `9` and `-`, 1 to {LONGEST_NAME} of them");
        return Err(Wrong::new(message, label));
    }
    if text == RESERVED_NAME {
        let message = format!("{} is reserved", quoted(&text));
        return Err(Wrong::new(message, "a rollback by a person goes by this name, choose another"));
    }
    Ok(text)
}

fn metric(text: String) -> Result<Metric, Wrong> {
    let known = Metric::ALL.map(Metric::name);
    if UNSUPPORTED_METRICS.contains(&text.as_str()) {
        let message = format!("the metric {} is not supported by this version", quoted(&text));
        return Err(Wrong::new(message, format!("use one of {}", listed(&known))));
    }
    let metric = Metric::ALL.into_iter().find(|metric| metric.name() == text);
    metric.ok_or_else(|| not_among(&text, "a metric", &known))
}

fn action(text: String) -> Result<Action, Wrong> {
    match text.as_str() {
        "rollback" => Ok(Action::Rollback),
        "pause" => Ok(Action::Pause),
        "notify" => Ok(Action::Notify),
        other => Err(not_among(other, "an action", &["rollback", "pause", "notify"])),
    }
}

fn span(text: String) -> Result<Span, Wrong> {
    match text.as_str() {
        "head" => Ok(Span::Head),
        "whole" => Ok(Span::Whole),
        other => Err(not_among(other, "a measure", &["head", "whole"])),
    }
}

fn not_among(text: &str, kind: &str, known: &[&str]) -> Wrong {
    let label = match closest(text, known) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("use one of {}", listed(known)),
    };
    Wrong::new(format!("{} is not {kind}", quoted(text)), label)
}
