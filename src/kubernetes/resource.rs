//! The custom resource: its `spec` is the configuration, as a file has it, its `status` what became of it.

use jiff::Timestamp;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::journal::Latch;

/// What somebody has written. It is kept as it is: what it means is found by the code that reads a file.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Deserialize, Serialize)]
#[kube(
    group = "portcullis.dev",
    version = "v1alpha1",
    kind = "GatedRollout",
    namespaced,
    shortname = "gro",
    status = "GatedRolloutStatus",
    schema = "disabled"
)]
pub struct GatedRolloutSpec {
    #[serde(flatten)]
    pub keys: Map<String, Value>,
}

/// What the replicas have made of it. Nothing in it is missed where it is absent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatedRolloutStatus {
    /// The generation of the spec that the conditions are of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// As `GET /v1/status` has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Percent: green's share of new requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// The step of the plan, from 1; one more than there are in the monitoring at 100 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// The version that is trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub green: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictStatus>,
    /// Set when the epoch was rolled back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latch: Option<LatchStatus>,
    /// What is left to be done about the last latch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actions: Option<ActionsStatus>,
    /// The replica that takes the steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Rises by one with every write of the release's state, which it puts in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<i64>,
    /// Who has written that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What a leader goes on from: the state as the journal keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Value>,
    /// The version that a Deployment stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    /// The last green that a release was begun of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<String>,
    /// The versions that were rolled back last, the newest first: none of them is released by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found_bad: Vec<String>,
    /// The last annotation that was a command, and what became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<CarriedOut>,
}

/// As Kubernetes has conditions.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    pub reason: String,
    pub message: String,
    #[schemars(with = "String")]
    pub last_transition_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub struct VerdictStatus {
    pub kind: String,
    pub sentence: String,
}

/// A latch, and the epoch that it is of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LatchStatus {
    pub epoch: u32,
    pub trigger: String,
    pub reason: String,
    pub actor: String,
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// The actions of a rollback that have not ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub struct ActionsStatus {
    pub epoch: u32,
    /// Who sees to them for as long as it is there: whoever has written the latch.
    pub replica: String,
    /// Their names.
    pub left: Vec<String>,
}

/// What a Deployment's pod template is called.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub struct Candidate {
    pub deployment: String,
    pub version: String,
    /// A digest of the template: two that have it are one version.
    pub template: String,
    /// Who has changed it.
    pub actor: String,
    /// What it was before, the newest first: a template that comes back is the version that it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Template>,
}

/// A pod template by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub struct Template {
    pub template: String,
    pub version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub struct CarriedOut {
    /// The annotation without its prefix.
    pub name: String,
    pub value: String,
    /// Who has written it.
    pub actor: String,
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Why nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl LatchStatus {
    pub fn new(epoch: u32, Latch { trigger, reason, actor, at }: Latch) -> LatchStatus {
        LatchStatus { epoch, trigger, reason, actor, at }
    }
}

impl GatedRollout {
    /// The spec as a file would have it.
    pub fn written(&self) -> Value {
        Value::Object(self.spec.keys.clone())
    }

    /// What is known of it so far; nothing of one that nobody has looked at.
    pub fn status_or_none(&self) -> GatedRolloutStatus {
        self.status.clone().unwrap_or_default()
    }
}
