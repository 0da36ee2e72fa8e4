//! From the `spec` to the configuration: by the code that reads a file, with the same faults, all or nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::conditions::{self, Acceptance, Verdict};
use super::resource::GatedRollout;
use super::{Cluster, Proxy, deployments, keeping};
use crate::config::{self, Config, Environment, Faults};
use crate::control::command::{Failed, Refused};
use crate::control::status::Status;
use crate::gate::Version;
use crate::reload::NotReloaded;

/// Who reads the configuration again.
const WATCH: &str = "kubernetes";

/// What the resource says.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(resource: &GatedRollout) -> Result<Config, Faults> {
    let name = format!("gatedrollout {}", resource.metadata.name.as_deref().unwrap_or_default());
    let mut spec = resource.written();
    if let Some(version) = deployments::version(resource) {
        spec["green"]["version"] = version.into();
    }
    config::of_resource(&spec, &name, &Environment::of_process())
}

/// What green is called in a resource that can be used.
pub(super) fn green(resource: &GatedRollout) -> Option<String> {
    let written = || resource.spec.keys.get("green")?.get("version")?.as_str().map(str::to_owned);
    deployments::version(resource).or_else(written)
}

/// An API server that is there answers within milliseconds; a cluster should not be without its service for longer because
/// none is.
const UNHEARD: Duration = Duration::from_secs(5);

/// Waits for a resource that can be used. What is wrong with one that cannot is told. Where nobody answers, one that was kept
/// is used.
pub(super) async fn first(cluster: &Cluster) -> (Config, Arc<GatedRollout>) {
    let mut seen = cluster.seen.clone();
    let mut told = None;
    if timeout(UNHEARD, seen.changed()).await.is_err() {
        let kept = cluster.data.as_deref().and_then(|folder| keeping::kept(folder, &cluster.namespace, &cluster.name));
        match kept.map(|kept| (read(&kept), kept)) {
            Some((Ok(config), kept)) => {
                tracing::warn!("the API server does not answer: the resource is taken as it was kept");
                return (config, Arc::new(kept));
            }
            Some((Err(faults), _)) => tracing::error!(%faults, "the resource that was kept is not usable"),
            None => tracing::warn!("the API server does not answer, and is waited for"),
        }
    } else {
        seen.mark_changed();
    }
    loop {
        seen.changed().await.expect("the resource is followed for as long as the thread runs");
        let resource = seen.borrow_and_update().clone();
        match resource.map(|resource| (read(&resource), resource)) {
            Some((Ok(config), resource)) => return (config, resource),
            Some((Err(faults), resource)) => {
                let verdict = Verdict::Faulty(conditions::told(&faults));
                let acceptance = Acceptance { generation: resource.metadata.generation, verdict };
                // What is written below is seen as well.
                if told.as_ref() != Some(&acceptance) {
                    tracing::error!(%faults, "the resource is not usable, and waited for");
                    conditions::write(cluster, &acceptance, None).await;
                    told = Some(acceptance);
                }
            }
            None => tracing::info!(name = cluster.name, "there is no such resource, and it is waited for"),
        }
    }
}

/// Goes over to what the resource says from here on, and publishes what came of it. What cannot be taken while a release is
/// open is tried again when that has ended.
pub(super) async fn follow(
    cluster: &Cluster,
    proxy: &Proxy,
    first: &GatedRollout,
    publish: &watch::Sender<Acceptance>,
) {
    let mut seen = cluster.seen.clone();
    let mut status = proxy.status.clone();
    let mut known = said(first);
    loop {
        let is_refused = matches!(publish.borrow().verdict, Verdict::Refused(_) | Verdict::OtherGreen(_));
        let at = place(&status.borrow_and_update());
        let news = tokio::select! {
            changed = seen.changed() => changed,
            changed = status.wait_for(|status| is_refused && place(status) != at) => changed.map(|_| ()),
        };
        if news.is_err() {
            return;
        }
        let Some(resource) = seen.borrow_and_update().clone() else { continue };
        let generation = resource.metadata.generation;
        let said = said(&resource);
        let is_again = is_refused && place(&status.borrow()) != at;
        if said == known && !is_again {
            // Labels and annotations are no spec, and change no generation.
            publish.send_if_modified(|known| std::mem::replace(&mut known.generation, generation) != generation);
            continue;
        }
        known = said;
        let verdict = match proxy.reloading.reload(WATCH).await {
            Ok(_) => {
                cluster.keep(&resource);
                Verdict::Accepted
            }
            Err(NotReloaded::Faults(faults)) => Verdict::Faulty(conditions::told(&faults)),
            Err(NotReloaded::Failed(Failed::Refused(
                refused @ Refused::VersionOfOpen { version: Version::Green, .. },
            ))) => Verdict::OtherGreen(refused.to_string()),
            Err(NotReloaded::Failed(Failed::Refused(refused))) => Verdict::Refused(refused.to_string()),
            Err(NotReloaded::NoFile | NotReloaded::NoResource | NotReloaded::Failed(Failed::Gone)) => continue,
        };
        publish.send_replace(Acceptance { generation, verdict });
    }
}

/// What of a resource makes the configuration.
fn said(resource: &GatedRollout) -> (super::resource::GatedRolloutSpec, Option<String>) {
    (resource.spec.clone(), deployments::version(resource))
}

/// Where the release is: what is refused in one place may be taken in another.
fn place(status: &Status) -> (u32, &'static str) {
    (status.epoch.number(), status.state)
}
