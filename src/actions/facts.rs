//! What templates see of a release. The names are part of the configuration's language.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::runbook::Moment;
use crate::course::evidence::Counted;

/// What is known of a release when one of its moments comes. Written down with the decision, and never changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    pub service: String,
    /// The release's id.
    pub release: String,
    pub epoch: u32,
    /// The version names.
    pub blue: String,
    pub green: String,
    pub moment: Moment,
    /// The kind of the decision, as events have it: why it is paused, for example.
    pub event: String,
    pub state: String,
    /// Percent.
    pub weight: f64,
    /// From 1; null without a plan, and before its first step.
    pub step: Option<usize>,
    /// Of the plan, the one at 100 % among them.
    pub steps: Option<usize>,
    /// The sentence of the decision.
    pub reason: String,
    /// What rolled back; empty otherwise.
    pub trigger: String,
    pub actor: String,
    pub at: Timestamp,
    pub started: Timestamp,
    /// Why nothing but an operator rolls back; null where the gate does.
    pub irreversible: Option<String>,
    pub measured: Measured,
    /// Where its report is; empty where the configuration has no `runbook.link`.
    pub report: String,
}

/// What both versions did, as of the moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub window: String,
    pub blue: Counted,
    pub green: Counted,
}

/// What is known beside that when an action is carried out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Now {
    /// The idempotency key.
    pub key: String,
    /// From 0: which of those that come again it is.
    pub occurrence: u32,
    /// From the moment to when the action was due: the same in every attempt.
    pub minutes: i64,
    /// Whether what the moment began has ended: the release is not paused any more, or blue has recovered, or a new release
    /// has begun.
    pub resolved: bool,
    pub test: bool,
}

impl Facts {
    /// Both as one object.
    pub fn with(&self, now: &Now) -> Value {
        let mut facts = serde_json::to_value(self).expect("facts are plain data");
        let Value::Object(now) = serde_json::to_value(now).expect("facts are plain data") else {
            unreachable!("a structure is an object");
        };
        facts.as_object_mut().expect("a structure is an object").extend(now);
        facts
    }

    /// A release that was rolled back, for a dry run.
    pub fn sample(moment: Moment, service: &str, blue: &str, green: &str) -> Facts {
        let counts = |requests, failures, p50, p95, p99| Counted {
            requests,
            failures,
            error_rate: failures as f64 / requests as f64,
            p50: Some(p50),
            p95: Some(p95),
            p99: Some(p99),
        };
        Facts {
            service: service.to_owned(),
            release: format!("{green}-7"),
            epoch: 7,
            blue: blue.to_owned(),
            green: green.to_owned(),
            moment,
            event: moment.name().to_owned(),
            state: "rolledBack".to_owned(),
            weight: 0.0,
            step: Some(2),
            steps: Some(4),
            reason: "errorRate of green is 12.50 % (above 10 %), of blue 0.10 %".to_owned(),
            trigger: "meltdown".to_owned(),
            actor: "gate".to_owned(),
            at: "2026-01-31T13:14:15Z".parse().expect("a time"),
            started: "2026-01-31T13:00:00Z".parse().expect("a time"),
            irreversible: None,
            measured: Measured {
                window: "1m".to_owned(),
                blue: counts(4_000, 4, 11.0, 32.0, 80.0),
                green: counts(400, 50, 14.0, 210.0, 900.0),
            },
            report: String::new(),
        }
    }
}

impl Now {
    pub fn sample() -> Now {
        Now { key: "test".to_owned(), occurrence: 0, minutes: 0, resolved: false, test: true }
    }
}

/// An object that has every name a template may use, but for the answers of earlier actions.
pub(crate) fn names() -> Value {
    Facts::sample(Moment::RolledBack, "checkout", "v1", "v2").with(&Now::sample())
}
