//! What the journal keeps. These types are the on-disk format, as JSON, and the API's answer as well: a change to them
//! needs a step in `migrate`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a proxy goes on from after a restart. There is one, replaced by every write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateRecord {
    pub epoch: u32,
    /// Set when the epoch was rolled back.
    pub latch: Option<Latch>,
    /// The release state's name.
    pub state: String,
    /// Green's share in basis points.
    pub weight: u16,
    /// Index of the step; none without a plan.
    pub step: Option<u32>,
    /// The version names of the two roles.
    pub blue: String,
    pub green: String,
    /// The version that is trusted: blue's, or green's once its release has completed.
    pub stable: String,
    /// What else the deciding core needs to go on; the journal does not look into it.
    pub resume: Value,
    /// The versions with their endpoints. None in journals of programs that took them from the file.
    #[serde(default)]
    pub versions: Option<Versions>,
    /// What the file said of them then: for as long as it says the same, what is recorded holds.
    #[serde(default)]
    pub declared: Option<Versions>,
    /// The version that was rolled back last.
    #[serde(default)]
    pub rolled_back: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    pub blue: VersionRecord,
    pub green: VersionRecord,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    pub version: String,
    /// As they are written in a configuration.
    pub endpoints: Vec<String>,
}

/// Why and by whom an epoch was rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Latch {
    pub trigger: String,
    pub reason: String,
    pub actor: String,
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    Open,
    Promoted,
    RolledBack,
}

/// A release in a list.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseHeader {
    pub epoch: u32,
    /// See [`ReleaseHeader::id_of`].
    pub id: String,
    /// The version names.
    pub blue: String,
    pub green: String,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    pub outcome: Outcome,
}

/// A release with what it was run by.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseRecord {
    #[serde(flatten)]
    pub header: ReleaseHeader,
    /// The configuration's text when the release started: a replay reads it again.
    pub policy: String,
    pub plan: Value,
    /// What the clients of green felt, all in all; null until the release has ended. As in the evidence of a decision.
    #[serde(default)]
    pub clients: Value,
}

/// One decision, with what it was made on.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionRecord {
    pub epoch: u32,
    /// Rises by one within a release. Writing a number again replaces the decision.
    pub seq: u32,
    pub at: Timestamp,
    /// Since the release started.
    #[serde(rename = "afterNanos", with = "nanos")]
    #[schemars(with = "u64")]
    pub after: Duration,
    pub kind: String,
    pub actor: String,
    pub sentence: String,
    /// The release state's name after the decision.
    pub state: String,
    /// Green's share in basis points after the decision.
    pub weight: u16,
    /// An object. The report shows its members `blue` and `green` side by side when both are objects, and names its
    /// `trigger`.
    pub evidence: Value,
}

/// The answer of `GET /v1/releases/{id}`.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseDocument {
    #[serde(flatten)]
    pub record: ReleaseRecord,
    pub decisions: Vec<DecisionRecord>,
    /// What was done about it outside of the proxy, in the order in which it was to be done.
    #[serde(default)]
    pub actions: Vec<ActionRecord>,
}

/// One action of a release. Writing a number again replaces it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionRecord {
    pub epoch: u32,
    /// Rises by one within a release.
    pub number: u32,
    /// The [`OccasionRecord`] that it is of.
    pub occasion: u32,
    /// The idempotency key: the same in every attempt.
    pub key: String,
    pub name: String,
    pub kind: String,
    pub moment: String,
    /// From 0: which of those that come again it is.
    pub occurrence: u32,
    /// When it is tried next, or was tried last.
    pub due: Timestamp,
    pub attempts: u32,
    pub result: ActionResult,
    /// When it ended; null while it is pending.
    pub at: Option<Timestamp>,
    /// What was done, or why not; empty before the first attempt.
    pub sentence: String,
    /// What later actions may ask it for.
    pub remembered: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ActionResult {
    Pending,
    Done,
    Failed,
    /// Its condition did not hold, what it was an update of has ended, or one before it failed.
    Skipped,
    /// People have to do it.
    Task,
}

/// A moment of a release that not everything has been done about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OccasionRecord {
    pub epoch: u32,
    /// Rises by one within a release.
    pub number: u32,
    /// What templates see of it.
    pub facts: Value,
    /// Whether what it began has ended.
    pub resolved: bool,
}

/// What was found when the journal was opened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// None in a new journal.
    pub state: Option<StateRecord>,
    /// The release of the state's epoch.
    pub release: Option<ReleaseRecord>,
    /// Where the decisions and chunks of that epoch go on.
    pub next_decision: u32,
    pub next_chunk: u32,
    /// The moments with something to do, and the actions of their releases and of the state's.
    pub occasions: Vec<OccasionRecord>,
    pub actions: Vec<ActionRecord>,
}

impl ActionResult {
    pub const fn name(self) -> &'static str {
        match self {
            ActionResult::Pending => "pending",
            ActionResult::Done => "done",
            ActionResult::Failed => "failed",
            ActionResult::Skipped => "skipped",
            ActionResult::Task => "task",
        }
    }
}

impl ReleaseHeader {
    /// The id of a release: green's version name and the epoch, which makes it unique.
    pub fn id_of(green: &str, epoch: u32) -> String {
        format!("{green}-{epoch}")
    }

    /// The epoch that an id names, if it is one.
    pub fn epoch_in(id: &str) -> Option<u32> {
        id.rsplit('-').next()?.parse().ok()
    }
}

/// A duration as a whole number of nanoseconds: exact, for replay, and without JSON's floats.
pub(super) mod nanos {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::journal) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        super::nanos_of(*duration).serialize(to)
    }

    pub(in crate::journal) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }
}

/// Nanoseconds of a duration; 584 years are the most.
pub(super) fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
