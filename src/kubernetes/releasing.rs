//! A new green in the spec is a new release.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::conditions::{Acceptance, Verdict};
use super::deployments::PENDING;
use super::resource::{GatedRollout, GatedRolloutStatus};
use super::telling::{self, Tone};
use super::{Cluster, Proxy, accepting, fields};
use crate::control::command::{Change, NewRelease};
use crate::control::revision::Seen;
use crate::control::status::Status;
use crate::release::Terms;

/// How often it is looked whether one is due: an endpoint that begins to serve may be what it waits for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a release that does not begin is told as.
const NOT_STARTED: &str = "ReleaseNotStarted";

/// Begins releases for as long as this replica leads.
pub(super) async fn follow(cluster: &Cluster, proxy: &Proxy, accepted: watch::Receiver<Acceptance>) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        look.tick().await;
        if proxy.commands.is_closed() {
            return;
        }
        let Some(resource) = cluster.seen.borrow().clone().filter(|_| cluster.leads()) else { continue };
        let known = resource.status_or_none();
        let status = proxy.status.borrow().clone();
        if is_open(&status) {
            // Whoever has begun it.
            if known.released.as_deref() != Some(status.green.version.as_str()) {
                released(cluster, &resource, &status.green.version).await;
            }
            continue;
        }
        let is_accepted = {
            let acceptance = accepted.borrow();
            acceptance.verdict == Verdict::Accepted && acceptance.generation == resource.metadata.generation
        };
        let Some(green) = accepting::green(&resource).filter(|_| is_accepted) else { continue };
        // Before it begins: a version is never begun twice by itself, whatever ends in between.
        if is_due(&green, &status, &known) && released(cluster, &resource, &green).await {
            begin(cluster, proxy, &resource, &green).await;
        }
    }
}

fn is_open(status: &Status) -> bool {
    !matches!(status.state, "idle" | "completed" | "rolledBack")
}

/// Whether a release of `green` is to begin: it is neither blue nor the last that was released, or rolled back, and somebody
/// can answer its requests.
fn is_due(green: &str, status: &Status, known: &GatedRolloutStatus) -> bool {
    let rolled_back = known.record.as_ref().and_then(|record| record.get("rolledBack")).and_then(Value::as_str);
    let is_old = [Some(PENDING), Some(status.blue.version.as_str()), known.released.as_deref(), rolled_back];
    let waits = status.green.version == green && status.green.healthy_endpoints == 0;
    !is_old.contains(&Some(green)) && !waits
}

/// True once the resource has it that a release of `green` was begun.
async fn released(cluster: &Cluster, resource: &GatedRollout, green: &str) -> bool {
    let version = &resource.metadata.resource_version;
    cluster.patch_status(&json!({ "metadata": { "resourceVersion": version }, "status": { "released": green } })).await
}

async fn begin(cluster: &Cluster, proxy: &Proxy, resource: &GatedRollout, green: &str) {
    let candidate = resource.status.as_ref().and_then(|status| status.candidate.as_ref());
    let candidate = candidate.filter(|candidate| candidate.version == green);
    let (actor, reason) = match candidate {
        Some(candidate) => {
            (candidate.actor.clone(), format!("Deployment {} has a new pod template", candidate.deployment))
        }
        None => (fields::writer(&resource.metadata, &["spec"]), "spec.green has a new version".to_owned()),
    };
    let endpoints = proxy.reloading.admin.load().green.clone();
    let found = proxy.reloading.lookups.of(&endpoints).await;
    let wanted = NewRelease { green: None, terms: Terms::Configured, actor, reason };
    if let Err(failed) = proxy.commands.send_if(Seen::Whatever, Change::Release(wanted), found).await {
        tracing::warn!(green, %failed, "a release did not begin");
        telling::tell(cluster, Tone::Warning, NOT_STARTED, &format!("{green}: {failed}")).await;
    }
}
