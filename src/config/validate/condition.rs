//! What a trigger calls too bad: a bound that can be crossed.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::metric::{Bound, Metric};
use super::not_among;
use super::settings::DAY;
use crate::config::quantity::{self, duration, quoted, share, shown};
use crate::config::raw::{Quantity, RawTrigger};
use crate::config::report::{Scope, Wrong};
use crate::gate::latency::LONGEST;
use crate::gate::trigger::{Condition, Rate, Share, Span};

const LATENCIES: RangeInclusive<Duration> = Duration::from_micros(1)..=DAY;
const LATENCY_FLOOR: Duration = Duration::from_millis(10);

/// What the trigger calls too bad; `response_head` is the timeout, none where that was at fault.
pub(super) fn condition(
    scope: &mut Scope<'_, '_>,
    metric: Metric,
    bound: Option<Bound>,
    raw: RawTrigger,
    response_head: Option<Duration>,
) -> Option<Condition> {
    if raw.floor.is_some() && metric.takes("floor") && bound == Some(Bound::Above) {
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
        Metric::FailureStreak | Metric::HealthChecks | Metric::External => {
            unreachable!("these are not judged on a window")
        }
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
