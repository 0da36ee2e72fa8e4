//! What is asked before a release goes on, and what may be answered.
//!
//! Nothing goes on without an answer: who does not answer in time has refused.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Epoch;

/// Before what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Moment {
    /// The release has begun, and green has no weight yet.
    BeforeStart,
    /// A step of the plan is about to begin, the first as well, or the exposure.
    BeforeStep,
    /// The plan is about to give green everything.
    BeforePromotion,
}

/// How long an answer is waited for; none where nothing is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gates {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_start: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_step: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_promotion: Option<Duration>,
}

/// One time that it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    pub epoch: Epoch,
    pub moment: Moment,
    /// When it was asked, on the clock of the deciding core: no two questions of an epoch have the same.
    pub at: Duration,
}

/// What comes back. An answer to any question but the one that is open changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    pub question: Question,
    pub answer: Answer,
}

/// Each with what was found, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    Pass {
        sentence: String,
    },
    Refuse {
        sentence: String,
    },
    /// Not yet: it is to be asked again after so long.
    Wait {
        time: Duration,
        sentence: String,
    },
}

/// The gate that a release stands at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AtGate {
    /// The last one that was asked.
    pub question: Question,
    /// When it was first asked, on the clock of the deciding core.
    pub since: Duration,
    /// For what the release waits, or why it may go on.
    pub sentence: String,
    pub stands: Stands,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stands {
    /// Without an answer until then it is refused.
    Asked { until: Duration },
    /// It is asked again then.
    Waits { until: Duration },
    /// An operator goes on.
    Refused,
    /// The plan may go on until then; then it is asked again.
    Passed { until: Duration },
    /// By an operator, however late the plan goes on.
    Overridden,
}

impl Moment {
    pub const ALL: [Moment; 3] = [Moment::BeforeStart, Moment::BeforeStep, Moment::BeforePromotion];

    /// As the configuration writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Moment::BeforeStart => "beforeStart",
            Moment::BeforeStep => "beforeStep",
            Moment::BeforePromotion => "beforePromotion",
        }
    }
}

impl Gates {
    /// How long an answer is waited for; none where nothing is asked.
    pub const fn of(&self, moment: Moment) -> Option<Duration> {
        match moment {
            Moment::BeforeStart => self.before_start,
            Moment::BeforeStep => self.before_step,
            Moment::BeforePromotion => self.before_promotion,
        }
    }

    pub fn none(&self) -> bool {
        *self == Gates::default()
    }
}

impl AtGate {
    /// Whether the release waits at it.
    pub const fn is_shut(&self) -> bool {
        match self.stands {
            Stands::Asked { .. } | Stands::Waits { .. } | Stands::Refused => true,
            Stands::Passed { .. } | Stands::Overridden => false,
        }
    }
}

impl Stands {
    /// As the API names it.
    pub const fn name(self) -> &'static str {
        match self {
            Stands::Asked { .. } => "asked",
            Stands::Waits { .. } => "waits",
            Stands::Refused => "refused",
            Stands::Passed { .. } => "passed",
            Stands::Overridden => "overridden",
        }
    }
}
