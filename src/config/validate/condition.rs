//! What a trigger calls too bad: one bound, of the kind that its metric has, which can be crossed.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::not_among;
use super::settings::DAY;
use crate::config::quantity::{self, duration, quoted, share, shown};
use crate::config::raw::{Quantity, RawTrigger};
use crate::config::read::{config_keys, listed};
use crate::config::report::{Scope, Wrong};
use crate::gate::evidence::LONGEST;
use crate::gate::trigger::{Condition, Rate, Share, Span};

const LATENCIES: RangeInclusive<Duration> = Duration::from_micros(1)..=DAY;
const LATENCY_FLOOR: Duration = Duration::from_millis(10);
const UNSUPPORTED_METRICS: [&str; 3] = ["healthChecks", "podRestarts", "external"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    ErrorRate,
    SuccessRate,
    Latency,
    FailureStreak,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Above,
    Below,
    AboveBlue,
    AtLeast,
}

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

    pub(super) const fn name(self) -> &'static str {
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

pub(super) fn metric(text: String) -> Result<Metric, Wrong> {
    let known = Metric::ALL.map(Metric::name);
    if UNSUPPORTED_METRICS.contains(&text.as_str()) {
        let message = format!("the metric {} is not supported by this version", quoted(&text));
        return Err(Wrong::new(message, format!("use one of {}", listed(&known))));
    }
    let metric = Metric::ALL.into_iter().find(|metric| metric.name() == text);
    metric.ok_or_else(|| not_among(&text, "a metric", &known))
}

/// Refuses the keys that mean nothing to the metric.
pub(super) fn refuse_misfits(scope: &mut Scope<'_, '_>, metric: Metric) {
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
pub(super) fn one_bound(scope: &mut Scope<'_, '_>, metric: Metric) -> Option<Bound> {
    let mut written = Bound::ALL.to_vec();
    written.retain(|bound| scope.report.is_written(&scope.at.key(bound.key())));
    let mut fitting = written.clone();
    fitting.retain(|bound| metric.keys().contains(&bound.key()));
    match fitting[..] {
        [bound] => return Some(bound),
        [] if Bound::ALL.iter().any(|bound| scope.report.is_spoiled(&scope.at.key(bound.key()))) => {}
        [] if written.is_empty() => scope.wrong_here(Wrong::new("has no bound", metric.example())),
        [] => {}
        [first, second, ..] => {
            let message = format!("a second bound beside `{}`", first.key());
            scope.misplaced(second.key(), Wrong::new(message, "one trigger has one bound, write another trigger"));
        }
    }
    None
}

/// What the trigger calls too bad; `response_head` is the timeout, none where that was at fault.
pub(super) fn condition(
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
        let message = format!("{} can never be undercut", quoted(&text));
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

fn span(text: String) -> Result<Span, Wrong> {
    match text.as_str() {
        "head" => Ok(Span::Head),
        "whole" => Ok(Span::Whole),
        other => Err(not_among(other, "a measure", &["head", "whole"])),
    }
}
