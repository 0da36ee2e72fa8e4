//! What can happen to a release, as the deciding core takes it.

use serde::{Deserialize, Serialize};

use super::voice::Voice;
use crate::gate::crossing::Tally;
use crate::gate::signal::Posted;
use crate::gate::streak::Row;
use crate::gate::{ByVersion, Health, Policy, Version};
use crate::measure::Tick;
use crate::measure::shard::Sample;
use crate::release::{self, Answered, Effect, Kind};

#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Every tick, also when nothing was counted.
    Tick {
        counted: &'a Tick,
        health: ByVersion<Health>,
    },
    /// What was counted before a worker's finding, between two ticks. The windows hold it from then on; the comparison, which
    /// the finding ends, does without.
    Counted(&'a Tick),
    /// Of requests that blue answered, and of their copies, which green did: since the last tick.
    Mirrored(&'a ByVersion<Sample>),
    /// Of requests whose version their clients have chosen, for triggers that see them: since the last tick.
    Overridden(&'a ByVersion<Sample>),
    /// What a worker found by itself.
    Streak(StreakFound),
    /// One of the inputs that an operator gives.
    Operator(release::Input),
    Signal(Posted),
    /// One endpoint among several goes or comes back.
    Endpoint(EndpointNews),
    /// Something of the release was changed that decides nothing.
    Changed(Changed),
    /// It is judged by another policy from here on.
    Rules {
        policy: Box<Policy>,
        changed: Changed,
    },
    /// Whether the release may go on, as the core has asked.
    Answered(Answered),
    /// Several proxies judge the release, and this one has that voice from here on.
    Voice(Voice),
    /// The process has started anew: everything but the state is forgotten.
    Restarted,
}

/// A change that somebody made, to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    pub kind: Kind,
    pub actor: String,
    pub sentence: String,
}

/// What has become of one endpoint that is not like its siblings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointNews {
    pub version: Version,
    pub endpoint: String,
    pub news: News,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum News {
    /// It fails, and its siblings do not: it is ejected, and its failures are not the version's.
    Out { own: Tally, others: Tally },
    /// It goes the way of the first, and its failures are the version's.
    Another { own: Tally, others: Tally },
    /// It serves again.
    Back,
    /// It is no longer one of the version's.
    Left,
}

/// What a worker's failure streak came to, and on what.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "RecordedStreak")]
pub struct StreakFound {
    pub came_to: Streak,
    /// None where the worker's notice got lost, and in journals of versions that did not keep it.
    pub row: Option<Row>,
}

/// As it may stand in a journal.
#[derive(Deserialize)]
#[serde(untagged)]
enum RecordedStreak {
    Bare(Streak),
    #[serde(rename_all = "camelCase")]
    Found {
        came_to: Streak,
        row: Option<Row>,
    },
}

impl From<Changed> for Effect {
    fn from(Changed { kind, actor, sentence }: Changed) -> Effect {
        Effect::tell(kind, &actor, sentence)
    }
}

impl From<RecordedStreak> for StreakFound {
    fn from(recorded: RecordedStreak) -> StreakFound {
        match recorded {
            RecordedStreak::Bare(came_to) => StreakFound { came_to, row: None },
            RecordedStreak::Found { came_to, row } => StreakFound { came_to, row },
        }
    }
}

/// What the failure streak came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Streak {
    Convicted,
    Probing,
    Common,
}
