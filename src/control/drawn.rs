//! What a picture of the release needs beside its status: the bounds and how both versions stand at them, and the endpoints that get
//! no requests.

use serde::Serialize;

use crate::course::Course;
use crate::gate::trigger::{Action, Condition, Quantile, Span, Trigger};
use crate::gate::{ByVersion, Evidence, Policy, Version};
use crate::live::{Stands, Upstreams};
use crate::release::Stage;
use crate::release::run::Consent;
use crate::routing::Table;

/// What is drawn of one moment.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drawn {
    /// In the order of the policy.
    pub bounds: Vec<Bound>,
    /// The evidence (natural logarithm) at which green is convicted; null without a comparison.
    pub convicts_at: Option<f64>,
    /// At most [`MOST_OUT`].
    pub endpoints_out: Vec<EndpointOut>,
    /// Of the step: whether it needs an approval before the next, and has it; null where none is open.
    pub consent: Option<Consent>,
    /// Whether anything but a missing approval keeps the release where it is.
    pub held: bool,
}

/// One trigger of the policy. Rates are shares of 1, latencies milliseconds, counts are counts.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bound {
    pub name: String,
    /// `errorRate`, `latency`, `failureStreak`, `healthChecks` or `external`.
    pub metric: &'static str,
    /// `head` or `whole`, of a latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measure: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantile: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// What makes it fire, where somebody else judges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// What green must not exceed, as of now; null where that depends on a blue that has had no requests.
    pub bound: Option<f64>,
    /// Of a bound that is relative: how many times blue's value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above_blue: Option<f64>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<f64>,
    /// Seconds.
    pub sustained: f64,
    pub minimum_requests: u64,
    pub action: Action,
    /// What green and blue have in the window; null without requests.
    pub green: Option<f64>,
    pub blue: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointOut {
    pub version: Version,
    pub endpoint: String,
    /// `ejected`, `onTrial` or `failsChecks`.
    pub why: &'static str,
}

/// More than anybody reads; how many there are is in the status.
const MOST_OUT: usize = 20;

impl Drawn {
    pub fn new(course: &Course, table: Table, upstreams: &Upstreams) -> Drawn {
        let (policy, run) = (course.policy(), course.state().run());
        let of_windows = policy.triggers.iter().map(|trigger| Bound::of(trigger, course.windows().of(trigger).total));
        Drawn {
            bounds: of_windows.chain(counted_elsewhere(policy)).collect(),
            convicts_at: course.false_alarm().map(|false_alarm| -libm::log(false_alarm)),
            endpoints_out: endpoints_out(table, upstreams),
            consent: run.and_then(|run| match run.stage {
                Stage::Step { consent, .. } => Some(consent),
                Stage::Manual | Stage::Delay | Stage::Exposing | Stage::Monitoring => None,
            }),
            held: run.is_some_and(|run| run.holds.sentence().is_some()),
        }
    }
}

impl Bound {
    fn of(trigger: &Trigger, evidence: ByVersion<&Evidence>) -> Bound {
        let rate = |of: &Evidence| (of.requests > 0).then(|| of.error_rate());
        let latency =
            |of: &Evidence, quantile: Quantile| of.latency.quantile(quantile).map(|it| it.as_secs_f64() * 1e3);
        let ByVersion { blue, green } = evidence;
        let (metric, quantile, values) = match trigger.condition {
            Condition::FailuresAbove { .. } | Condition::FailuresAboveBlue { .. } => {
                ("errorRate", None, (rate(green), rate(blue)))
            }
            Condition::LatencyAbove { quantile, .. } | Condition::LatencyAboveBlue { quantile, .. } => {
                ("latency", Some(quantile.fraction()), (latency(green, quantile), latency(blue, quantile)))
            }
        };
        let (of_green, of_blue) = values;
        let relative = |times: f64, floor: f64| of_blue.map(|blue| (blue * times).max(floor));
        let (bound, above_blue) = match trigger.condition {
            Condition::FailuresAbove { share, .. } => (Some(share.fraction()), None),
            Condition::LatencyAbove { bound, .. } => (Some(bound.as_secs_f64() * 1e3), None),
            Condition::FailuresAboveBlue { times, floor } => {
                (relative(times.factor(), floor.fraction()), Some(times.factor()))
            }
            Condition::LatencyAboveBlue { times, floor, .. } => {
                (relative(times.factor(), floor.as_secs_f64() * 1e3), Some(times.factor()))
            }
        };
        Bound {
            measure: quantile.map(|_| match trigger.condition.span() {
                Span::Head => "head",
                Span::Whole => "whole",
            }),
            quantile,
            route: trigger.route.as_ref().map(|route| route.name.clone()),
            bound,
            above_blue,
            window: Some(trigger.window.as_secs_f64()),
            sustained: trigger.sustained.as_secs_f64(),
            minimum_requests: trigger.minimum_requests,
            green: of_green,
            blue: of_blue,
            ..Bound::named(&trigger.name, metric, trigger.action)
        }
    }

    fn named(name: &str, metric: &'static str, action: Action) -> Bound {
        Bound {
            name: name.to_owned(),
            metric,
            measure: None,
            quantile: None,
            route: None,
            signal: None,
            bound: None,
            above_blue: None,
            window: None,
            sustained: 0.0,
            minimum_requests: 0,
            action,
            green: None,
            blue: None,
        }
    }
}

/// What no window is kept of: who judges it has the number.
fn counted_elsewhere(policy: &Policy) -> impl Iterator<Item = Bound> {
    let streak = policy.streak.iter().map(|streak| Bound {
        bound: Some(f64::from(streak.at_least)),
        ..Bound::named(&streak.name, "failureStreak", streak.action)
    });
    let checks = policy.checks.iter().map(|checks| Bound {
        bound: Some(f64::from(checks.at_least)),
        sustained: checks.sustained.as_secs_f64(),
        ..Bound::named(&checks.name, "healthChecks", checks.action)
    });
    let signals = policy.signals.iter().map(|trigger| Bound {
        signal: Some(trigger.signal.clone()),
        ..Bound::named(&trigger.name, "external", trigger.action)
    });
    streak.chain(checks).chain(signals)
}

fn endpoints_out(table: Table, upstreams: &Upstreams) -> Vec<EndpointOut> {
    let of = |version: Version| upstreams.of(table.roles.section(version)).iter().map(move |known| (version, known));
    let out = Version::BOTH.into_iter().flat_map(of).filter_map(|(version, known)| {
        let why = match (known.stands(), known.is_healthy()) {
            (_, false) => "failsChecks",
            (Stands::Out, true) => "ejected",
            (Stands::OnTrial, true) => "onTrial",
            (Stands::In, true) => return None,
        };
        Some(EndpointOut { version, endpoint: known.to_string(), why })
    });
    out.take(MOST_OUT).collect()
}
