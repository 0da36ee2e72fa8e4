//! The metrics, and which keys and which bound a trigger of each has.

use super::not_among;
use crate::config::keys::config_keys;
use crate::config::quantity::quoted;
use crate::config::read::listed;
use crate::config::report::{Scope, Wrong};

const UNSUPPORTED: &str = "podRestarts";
const COMMON_KEYS: [&str; 3] = ["name", "metric", "action"];
const WINDOW_KEYS: [&str; 8] =
    ["window", "sustained", "minimumRequests", "interval", "failureLimit", "consecutiveLimit", "confirm", "first"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    ErrorRate,
    SuccessRate,
    Latency,
    FailureStreak,
    HealthChecks,
    External,
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
    const ALL: [Metric; 6] = [
        Metric::ErrorRate,
        Metric::SuccessRate,
        Metric::Latency,
        Metric::FailureStreak,
        Metric::HealthChecks,
        Metric::External,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Metric::ErrorRate => "errorRate",
            Metric::SuccessRate => "successRate",
            Metric::Latency => "latency",
            Metric::FailureStreak => "failureStreak",
            Metric::HealthChecks => "healthChecks",
            Metric::External => "external",
        }
    }

    pub(super) fn is_known(name: &str) -> bool {
        Metric::ALL.iter().any(|metric| metric.name() == name)
    }

    /// The keys of a trigger besides [`COMMON_KEYS`] and, where the metric is judged on a window, [`WINDOW_KEYS`].
    const fn own_keys(self) -> &'static [&'static str] {
        match self {
            Metric::ErrorRate => &["above", "aboveBlue", "floor"],
            Metric::SuccessRate => &["below"],
            Metric::Latency => &["quantile", "measure", "above", "aboveBlue", "floor"],
            Metric::FailureStreak => &["atLeast", "confirm"],
            Metric::HealthChecks => &["atLeast", "sustained"],
            Metric::External => &["signal"],
        }
    }

    const fn window_keys(self) -> &'static [&'static str] {
        match self {
            Metric::ErrorRate | Metric::SuccessRate | Metric::Latency => &WINDOW_KEYS,
            Metric::FailureStreak | Metric::HealthChecks | Metric::External => &[],
        }
    }

    /// Whether a trigger of this metric may have the key.
    pub(super) fn takes(self, key: &str) -> bool {
        [&COMMON_KEYS, self.own_keys(), self.window_keys()].iter().any(|keys| keys.contains(&key))
    }

    fn example(self) -> &'static str {
        match self {
            Metric::ErrorRate => "add `above: 10%`, or `aboveBlue: 2` to compare with blue",
            Metric::SuccessRate => "add `below: 99%`",
            Metric::Latency => "add `above: 200ms`, or `aboveBlue: 5` to compare with blue",
            Metric::FailureStreak => "add `atLeast: 5`",
            Metric::HealthChecks => "add `atLeast: 3`",
            Metric::External => unreachable!("a signal has no bound"),
        }
    }
}

pub(super) fn metric(text: String) -> Result<Metric, Wrong> {
    let known = Metric::ALL.map(Metric::name);
    if text == UNSUPPORTED {
        let message = format!("the metric {} is not supported by this version", quoted(&text));
        return Err(Wrong::new(message, format!("use one of {}", listed(&known))));
    }
    let metric = Metric::ALL.into_iter().find(|metric| metric.name() == text);
    metric.ok_or_else(|| not_among(&text, "a metric", &known))
}

/// Refuses the keys that mean nothing to the metric.
pub(super) fn refuse_misfits(scope: &mut Scope<'_, '_>, metric: Metric) {
    for key in config_keys(&["gate", "triggers", "*"]) {
        let path = scope.at.key(key);
        if !metric.takes(key) && scope.report.is_written(&path) {
            let label = match (*key, metric) {
                ("below", Metric::ErrorRate) => "write `above`, or the metric `successRate`".to_owned(),
                ("above" | "aboveBlue", Metric::SuccessRate) => "write `below`, or the metric `errorRate`".to_owned(),
                _ => "remove it".to_owned(),
            };
            let message = format!("does not fit the metric `{}`", metric.name());
            let help = format!("its keys are {}", listed(&[metric.own_keys(), metric.window_keys()].concat()));
            scope.misplaced(key, Wrong::new(message, label).help(help));
        }
    }
}

/// The one bound that is written, when it is one and fits.
pub(super) fn one_bound(scope: &mut Scope<'_, '_>, metric: Metric) -> Option<Bound> {
    let mut written = Bound::ALL.to_vec();
    written.retain(|bound| scope.report.is_written(&scope.at.key(bound.key())));
    let mut fitting = written.clone();
    fitting.retain(|bound| metric.takes(bound.key()));
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
