//! A new green from a Deployment: a pod template that has changed, and is rolled out, is a version.

use std::fmt::Write;

use futures_util::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::resource::{Candidate, GatedRollout, GatedRolloutStatus, Template};
use super::superseding::Superseding;
use super::watching::{changes, settings};
use super::{Cluster, Proxy, fields};

/// What green is called until its Deployment is known. No release begins of it.
pub(super) const PENDING: &str = "pending";

/// What green is called while its Deployment is of blue's version.
pub(super) const SAME: &str = "none";

/// What of a template its digest shows in a version that its tag does not tell from another.
const SHORT: usize = 8;

/// As many versions as a Deployment keeps revisions unless it says otherwise.
pub(super) const REMEMBERED: usize = 10;

/// The Deployment that a spec names for green, and the label that names its version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    deployment: String,
    version_label: Option<String>,
}

impl Named {
    fn of(resource: &GatedRollout) -> Option<Named> {
        let green = resource.spec.keys.get("green")?;
        let text = |key: &str| green.get(key)?.as_str().map(str::to_owned);
        // A version that is written holds.
        let is_written = green.get("version").is_some();
        Some(Named { deployment: text("deployment").filter(|_| !is_written)?, version_label: text("versionLabel") })
    }
}

/// The version of green that the status has of the Deployment which the spec names; none where the spec writes it.
pub(super) fn version(resource: &GatedRollout) -> Option<String> {
    let Named { deployment, .. } = Named::of(resource)?;
    let known = resource.status.as_ref().and_then(|status| status.candidate.as_ref());
    let known = known.filter(|candidate| candidate.deployment == deployment);
    let blue = resource.spec.keys.get("blue").and_then(|blue| blue.get("version")).and_then(Value::as_str);
    Some(match known.map(|candidate| candidate.version.as_str()) {
        None => PENDING.to_owned(),
        Some(version) if Some(version) == blue => SAME.to_owned(),
        Some(version) => version.to_owned(),
    })
}

/// Keeps the status' candidate to what the Deployment is, for as long as this replica leads.
pub(super) async fn follow(cluster: &Cluster, proxy: &Proxy) {
    let mut seen = cluster.seen.clone();
    loop {
        let named = seen.borrow_and_update().as_deref().and_then(Named::of);
        match named {
            Some(named) => follow_one(cluster, &named, &mut seen, proxy).await,
            None if seen.changed().await.is_err() => return,
            None => {}
        }
    }
}

/// Returns when the spec names another.
async fn follow_one(cluster: &Cluster, named: &Named, seen: &mut super::Seen, proxy: &Proxy) {
    let api: Api<Deployment> = Api::namespaced(cluster.api.clone().into_client(), &cluster.namespace);
    let wanted = settings().fields(&format!("metadata.name={}", named.deployment));
    let mut changes = std::pin::pin!(changes(api, wanted, "deployment"));
    let mut leading: watch::Receiver<bool> = cluster.leading.clone();
    let mut known: Option<Deployment> = None;
    let mut superseding = Superseding::default();
    loop {
        tokio::select! {
            Some(change) = changes.next() => match change {
                Event::InitApply(deployment) | Event::Apply(deployment) => known = Some(deployment),
                Event::Delete(_) => known = None,
                Event::Init | Event::InitDone => {}
            },
            changed = seen.changed() => {
                let now = seen.borrow_and_update().as_deref().and_then(Named::of);
                if changed.is_err() || now.as_ref() != Some(named) {
                    return;
                }
            }
            Ok(()) = leading.changed() => {}
        }
        let Some(resource) = seen.borrow().clone() else { continue };
        let Some(deployment) = known.as_ref().filter(|_| cluster.leads()) else { continue };
        let blue = proxy.status.borrow().blue.version.clone();
        let Some(candidate) = candidate(deployment, named, &resource.status_or_none(), &blue) else { continue };
        if is_rolled_out(deployment) {
            tracing::info!(deployment = named.deployment, version = candidate.version, "a new pod template");
            let version = resource.metadata.resource_version.clone();
            let patch = json!({ "metadata": { "resourceVersion": version }, "status": { "candidate": candidate } });
            // On a conflict the resource has changed, and is seen next.
            cluster.patch_status(&patch).await;
        }
        // While the pods of the version that is released go, others come that are not of it.
        if let Some(before) = candidate.earlier.first() {
            superseding.end(cluster, proxy, &before.version, &candidate.reason(), &candidate.actor).await;
        }
    }
}

impl Candidate {
    /// Of the release of it, and of the end of the one before.
    pub(super) fn reason(&self) -> String {
        format!("Deployment {} has a new pod template", self.deployment)
    }
}

/// Whether all pods are of the newest template and take requests.
fn is_rolled_out(deployment: &Deployment) -> bool {
    let (Some(spec), Some(status)) = (&deployment.spec, &deployment.status) else { return false };
    let wanted = spec.replicas.unwrap_or(1);
    let is_current = status.observed_generation >= deployment.metadata.generation;
    let counts = [status.replicas, status.updated_replicas, status.available_replicas];
    is_current && wanted > 0 && counts.iter().all(|count| *count == Some(wanted))
}

/// None where that is known.
fn candidate(deployment: &Deployment, named: &Named, status: &GatedRolloutStatus, blue: &str) -> Option<Candidate> {
    let template = &deployment.spec.as_ref()?.template;
    let digest = digest(&serde_json::to_vec(template).ok()?);
    let known = status.candidate.as_ref().filter(|known| known.deployment == named.deployment);
    if known.is_some_and(|known| known.template == digest) {
        return None;
    }
    let actor = fields::writer(&deployment.metadata, &["spec", "template"]);
    let earlier = known.map(earlier).unwrap_or_default();
    if let Some(known) = earlier.iter().find(|known| known.template == digest) {
        let version = known.version.clone();
        return Some(Candidate { deployment: named.deployment.clone(), version, template: digest, actor, earlier });
    }
    let labels = template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
    let name = match &named.version_label {
        Some(label) => labels?.get(label)?.clone(),
        None => tag(template.spec.as_ref()?.containers.first()?.image.as_deref()?),
    };
    // The same tag with another template is another version, but at first sight: blue may be what green is.
    let is_taken = earlier.iter().any(|known| known.version == name)
        || status.released.as_deref() == Some(name.as_str())
        || known.is_some() && blue == name;
    let version = if is_taken { format!("{name}-{}", &digest[..SHORT]) } else { name };
    Some(Candidate { deployment: named.deployment.clone(), version, template: digest, actor, earlier })
}

/// What a candidate is and was, the newest first.
fn earlier(known: &Candidate) -> Vec<Template> {
    let now = Template { template: known.template.clone(), version: known.version.clone() };
    let before = known.earlier.iter().filter(|earlier| earlier.template != known.template).cloned();
    std::iter::once(now).chain(before).take(REMEMBERED).collect()
}

/// Of an image: its tag, or the beginning of its digest where it has none.
fn tag(image: &str) -> String {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or(name);
    match (last.split_once(':'), digest) {
        (Some((_, tag)), _) => tag.to_owned(),
        (None, Some(digest)) => digest.rsplit(':').next().unwrap_or(digest).chars().take(12).collect(),
        (None, None) => "latest".to_owned(),
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text grows");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(image: &str, label: &str, counts: [i32; 3]) -> Deployment {
        let [replicas, updated, available] = counts;
        let deployment = json!({
            "metadata": { "name": "shop-green", "generation": 2 },
            "spec": { "replicas": 2, "selector": {}, "template": {
                "metadata": { "labels": { "app": "shop", "version": label } },
                "spec": { "containers": [{ "name": "shop", "image": image }] },
            } },
            "status": { "observedGeneration": 2, "replicas": replicas, "updatedReplicas": updated, "availableReplicas": available },
        });
        serde_json::from_value(deployment).expect("a Deployment")
    }

    fn named(version_label: Option<&str>) -> Named {
        Named { deployment: "shop-green".to_owned(), version_label: version_label.map(str::to_owned) }
    }

    fn version_of(image: &str, label: Option<&str>, status: &GatedRolloutStatus, blue: &str) -> Option<String> {
        candidate(&deployment(image, "v7", [2, 2, 2]), &named(label), status, blue).map(|candidate| candidate.version)
    }

    #[test]
    fn the_version_is_the_tag_of_the_image_or_a_label() {
        for (image, expected) in [
            ("shop:v2", "v2"),
            ("registry.example.com:5000/team/shop:1.4.2", "1.4.2"),
            ("registry.example.com:5000/team/shop", "latest"),
            ("shop:v2@sha256:0123456789abcdef0123", "v2"),
            ("shop@sha256:0123456789abcdef0123", "0123456789ab"),
        ] {
            assert_eq!(tag(image), expected, "{image}");
        }
        let none = GatedRolloutStatus::default();
        assert_eq!(version_of("shop:v2", None, &none, "v1").as_deref(), Some("v2"));
        assert_eq!(version_of("shop:v2", Some("version"), &none, "v1").as_deref(), Some("v7"));
        assert_eq!(version_of("shop:v2", Some("absent"), &none, "v1"), None);
        assert_eq!(
            version_of("shop:v1", None, &none, "v1").as_deref(),
            Some("v1"),
            "as blue is, so there is no release"
        );
    }

    #[test]
    fn another_template_with_the_same_tag_is_another_version_and_the_same_template_is_none() {
        let first =
            candidate(&deployment("shop:v2", "a", [2, 2, 2]), &named(None), &GatedRolloutStatus::default(), "v1");
        let status = GatedRolloutStatus { candidate: first, released: Some("v2".to_owned()), ..Default::default() };
        let again = |label: &str| candidate(&deployment("shop:v2", label, [2, 2, 2]), &named(None), &status, "v1");
        assert_eq!(again("a"), None);
        let other = again("b").expect("another template");
        assert!(other.version.starts_with("v2-") && other.version.len() == 3 + SHORT, "{}", other.version);
        assert_eq!(version_of("shop:v3", None, &status, "v1").as_deref(), Some("v3"));
        // What was released long before the last candidate, and what has become blue.
        let candidate = Candidate { version: "v3".to_owned(), earlier: vec![], ..other };
        let later = GatedRolloutStatus { candidate: Some(candidate), ..status };
        let is_another = |version: Option<String>| version.is_some_and(|version| version.starts_with("v2-"));
        assert!(is_another(version_of("shop:v2", None, &later, "v1")), "released");
        let completed = GatedRolloutStatus { released: Some("v3".to_owned()), ..later };
        assert!(is_another(version_of("shop:v2", None, &completed, "v2")), "blue");
    }

    #[test]
    fn what_is_known_of_one_deployment_says_nothing_of_another() {
        let candidate =
            candidate(&deployment("shop:v2", "a", [2, 2, 2]), &named(None), &GatedRolloutStatus::default(), "v1");
        let other = candidate.map(|known| Candidate { deployment: "other".to_owned(), ..known });
        let status = GatedRolloutStatus { candidate: other, ..Default::default() };
        assert_eq!(version_of("shop:v2", None, &status, "v1").as_deref(), Some("v2"));
        let spec = json!({ "metadata": { "name": "shop" }, "apiVersion": "", "kind": "",
            "spec": { "green": { "deployment": "shop-green" } }, "status": status });
        let resource: GatedRollout = serde_json::from_value(spec).expect("a resource");
        assert_eq!(version(&resource).as_deref(), Some(PENDING));
    }

    #[test]
    fn a_template_counts_when_all_pods_are_of_it_and_available() {
        for (counts, expected) in [([2, 2, 2], true), ([3, 2, 2], false), ([2, 1, 2], false), ([2, 2, 1], false)] {
            assert_eq!(is_rolled_out(&deployment("shop:v2", "a", counts)), expected, "{counts:?}");
        }
        let mut scaled_down = deployment("shop:v2", "a", [0, 0, 0]);
        scaled_down.spec.as_mut().expect("it has one").replicas = Some(0);
        assert!(!is_rolled_out(&scaled_down), "no pod is of it");
        let mut stale = deployment("shop:v2", "a", [2, 2, 2]);
        stale.metadata.generation = Some(3);
        assert!(!is_rolled_out(&stale));
    }

    #[test]
    fn a_spec_that_writes_the_version_or_names_no_deployment_takes_it_from_none() {
        let resource = |green: Value| {
            let spec =
                json!({ "metadata": { "name": "shop" }, "apiVersion": "", "kind": "", "spec": { "green": green } });
            serde_json::from_value::<GatedRollout>(spec).expect("a resource")
        };
        assert_eq!(version(&resource(json!({ "version": "v2", "deployment": "shop-green" }))), None);
        assert_eq!(version(&resource(json!({ "version": "v2" }))), None);
        let pending = resource(json!({ "deployment": "shop-green" }));
        assert_eq!(version(&pending).as_deref(), Some(PENDING));
        let candidate =
            candidate(&deployment("shop:v2", "a", [2, 2, 2]), &named(None), &GatedRolloutStatus::default(), "v1");
        let status = Some(GatedRolloutStatus { candidate, ..Default::default() });
        let mut known = GatedRollout { status, ..pending };
        assert_eq!(version(&known).as_deref(), Some("v2"));
        known.spec.keys.insert("blue".to_owned(), json!({ "version": "v2" }));
        assert_eq!(version(&known).as_deref(), Some(SAME), "two versions have two names");
    }
}
