//! What commands do with a resource of Kubernetes, by a kubeconfig, in the place of the admin API.

use std::time::Duration;

use anyhow::{Context, bail};
use kube::Api;
use kube::api::Patch;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::client::runtime;
use crate::kubernetes::commands::PREFIX;
use crate::kubernetes::place::by;
use crate::kubernetes::{GatedRollout, Place};

/// Which resource to talk to, in the place of a proxy
#[derive(Debug, clap::Args)]
pub(super) struct Resource {
    /// The `GatedRollout` to ask or to operate by the kubeconfig, in the place of a proxy's admin address
    #[arg(long, env = "PORTCULLIS_RESOURCE", value_name = "[NAMESPACE/]NAME")]
    resource: Option<Place>,
}

/// One that is named.
pub(super) struct Named<'r>(&'r Place);

/// How long a command waits until a replica has carried it out. One that leads does within a second; the next leader is found
/// within a lease.
const LONGEST: Duration = Duration::from_secs(30);

/// Who is named as the actor: the API server tells nobody who its user was.
const CLIENT: &str = "portcullis-cli";

const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Resource {
    pub(super) fn named(&self) -> Option<Named<'_>> {
        self.resource.as_ref().map(Named)
    }
}

impl Named<'_> {
    /// The resource's name, versions and status, as JSON.
    pub(super) fn status(&self) -> anyhow::Result<Value> {
        runtime()?.block_on(async {
            let (api, _) = self.0.connect().await?;
            Ok(shown(&self.look(&api).await?))
        })
    }

    /// Has the replicas do what an annotation says. Returns what the resource says once they have.
    pub(super) fn command(&self, name: &str, value: &str) -> anyhow::Result<Value> {
        runtime()?.block_on(async {
            let (api, _) = self.0.connect().await?;
            let key = format!("{PREFIX}{name}");
            let before = self.look(&api).await?.status_or_none().command;
            let patch = json!({ "metadata": { "annotations": { (key.as_str()): value } } });
            self.merge(&api, &patch).await?;
            let deadline = Instant::now() + LONGEST;
            while Instant::now() < deadline {
                let resource = self.look(&api).await?;
                let stands = resource.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(&key));
                let command = resource.status_or_none().command;
                match command.filter(|command| !stands && Some(command) != before.as_ref() && command.name == name) {
                    Some(command) => match command.refused {
                        Some(refused) => bail!("{refused}"),
                        None => return Ok(shown(&resource)),
                    },
                    None => sleep(LOOK_EVERY).await,
                }
            }
            bail!(
                "no replica has carried it out within {} s; the annotation {key} stands there until one does",
                LONGEST.as_secs()
            )
        })
    }

    /// Writes the green that is to be released into the spec.
    pub(super) fn release(&self, version: &str, endpoints: &[String]) -> anyhow::Result<Value> {
        runtime()?.block_on(async {
            let (api, _) = self.0.connect().await?;
            let green = json!({ "version": version, "endpoints": endpoints, "service": null, "deployment": null });
            self.merge(&api, &json!({ "spec": { "green": green } })).await?;
            Ok(shown(&self.look(&api).await?))
        })
    }

    async fn look(&self, api: &Api<GatedRollout>) -> anyhow::Result<GatedRollout> {
        api.get(&self.0.name).await.with_context(|| format!("the resource {} cannot be read", self.0))
    }

    async fn merge(&self, api: &Api<GatedRollout>, patch: &Value) -> anyhow::Result<()> {
        let patched = api.patch(&self.0.name, &by(CLIENT), &Patch::Merge(patch)).await;
        patched.map(|_| ()).with_context(|| format!("the resource {} cannot be changed", self.0))
    }
}

/// Without what only a leader reads.
fn shown(resource: &GatedRollout) -> Value {
    let mut status = resource.status_or_none();
    status.record = None;
    let mut shown = serde_json::to_value(status).expect("a status is plain data");
    shown["namespace"] = resource.metadata.namespace.clone().into();
    shown["name"] = resource.metadata.name.clone().into();
    shown["generation"] = resource.metadata.generation.into();
    shown
}

/// A resource's status for people.
pub(super) fn lines(shown: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let mut lines = vec![format!(
        "{}/{}: {}, green at {} % (epoch {})",
        text(&shown["namespace"]),
        text(&shown["name"]),
        text(&shown["state"]),
        shown["weight"].as_f64().unwrap_or_default(),
        shown["epoch"].as_u64().unwrap_or_default()
    )];
    lines.push(format!("  blue  {}", text(&shown["blue"])));
    lines.push(format!("  green {}", text(&shown["green"])));
    if let Some(verdict) = shown.get("verdict") {
        lines.push(format!("  {}: {}", text(&verdict["kind"]), text(&verdict["sentence"])));
    }
    if let Some(step) = shown["step"].as_u64() {
        lines.push(format!("  step {step}"));
    }
    if let Some(latch) = shown.get("latch") {
        lines.push(format!("  rolled back at {}: {}", text(&latch["at"]), text(&latch["reason"])));
    }
    for condition in shown["conditions"].as_array().into_iter().flatten() {
        let of = |key: &str| text(&condition[key]);
        lines.push(format!("  {} {} ({}): {}", of("type"), of("status"), of("reason"), of("message")));
    }
    if shown["observedGeneration"] != shown["generation"] {
        lines.push("  the spec is newer than what the replicas have seen of it".to_owned());
    }
    if let Some(leader) = shown["leader"].as_str() {
        lines.push(format!("  led by {leader}, {} replicas", shown["replicas"].as_u64().unwrap_or(1)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_shown_with_its_conditions_and_without_its_record() {
        let resource: GatedRollout = serde_json::from_value(json!({
            "apiVersion": "portcullis.dev/v1alpha1", "kind": "GatedRollout",
            "metadata": { "namespace": "shop", "name": "checkout", "generation": 3 },
            "spec": {},
            "status": {
                "observedGeneration": 2, "epoch": 4, "state": "rolledBack", "weight": 0.0, "blue": "v1", "green": "v2",
                "verdict": { "kind": "fail", "sentence": "green fails" }, "record": { "secret": 1 },
                "latch": { "epoch": 4, "trigger": "t", "reason": "too many", "actor": "gate", "at": "2026-01-01T00:00:00Z" },
                "conditions": [{ "type": "Healthy", "status": "False", "reason": "RolledBack", "message": "too many",
                    "lastTransitionTime": "2026-01-01T00:00:00Z" }],
                "leader": "shop-1", "replicas": 3,
            },
        }))
        .expect("a resource");
        let shown = shown(&resource);
        assert!(shown.get("record").is_none());
        assert_eq!(
            lines(&shown),
            [
                "shop/checkout: rolledBack, green at 0 % (epoch 4)",
                "  blue  v1",
                "  green v2",
                "  fail: green fails",
                "  rolled back at 2026-01-01T00:00:00Z: too many",
                "  Healthy False (RolledBack): too many",
                "  the spec is newer than what the replicas have seen of it",
                "  led by shop-1, 3 replicas",
            ]
        );
    }
}
