//! A new green in the spec is a new release, and the end of the one before it.

use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use super::conditions::{Acceptance, Verdict};
use super::deployments::{PENDING, REMEMBERED, SAME};
use super::resource::{GatedRollout, GatedRolloutStatus};
use super::superseding::Superseding;
use super::telling::{self, Tone};
use super::{Cluster, PROXY, Proxy, accepting, fields};
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
    let (mut told, mut superseding) = (None, Superseding::default());
    loop {
        look.tick().await;
        if proxy.commands.is_closed() {
            return;
        }
        let Some(resource) = cluster.seen.borrow().clone().filter(|_| cluster.leads()) else { continue };
        let known = resource.status_or_none();
        let status = proxy.status.borrow().clone();
        let acceptance = accepted.borrow().clone();
        let verdict = Some(acceptance.verdict).filter(|_| acceptance.generation == resource.metadata.generation);
        if status.is_open() {
            // Whoever has begun it.
            if known.released.as_deref() != Some(status.green.version.as_str()) {
                released(cluster, &resource, &status.green.version).await;
            }
            if let (Some(Verdict::OtherGreen(_)), Some(green)) = (verdict, accepting::green(&resource)) {
                let (actor, reason) = why_now(&resource, &green);
                superseding.end(cluster, proxy, &status.green.version, &reason, &actor).await;
            }
            continue;
        }
        if let Some(bad) = rolled_back(&known).filter(|bad| !known.found_bad.iter().any(|before| before == bad)) {
            found_bad(cluster, &resource, bad, &known.found_bad).await;
            continue;
        }
        let Some(green) = accepting::green(&resource).filter(|_| verdict == Some(Verdict::Accepted)) else { continue };
        let why = held_back(&green, &status, &known);
        if let Some(why) = why
            && told.as_ref() != Some(&(green.clone(), why))
        {
            tracing::info!(green, why, "no release begins");
        }
        // Before it begins: a version is never begun twice by itself, whatever ends in between.
        if why.is_none() && released(cluster, &resource, &green).await {
            begin(cluster, proxy, &resource, &green).await;
        }
        told = why.map(|why| (green, why));
    }
}

/// Why no release of `green` begins; none where one is due.
fn held_back(green: &str, status: &Status, known: &GatedRolloutStatus) -> Option<&'static str> {
    if green == PENDING {
        return Some("its Deployment is not known yet");
    }
    if green == SAME || green == status.blue.version {
        return Some("it is blue");
    }
    if known.candidate.as_ref().is_some_and(|candidate| candidate.version == green && candidate.actor == PROXY) {
        return Some("a runbook has put it there; the annotation portcullis.dev/start releases it");
    }
    if known.released.as_deref() == Some(green) || known.found_bad.iter().any(|bad| bad == green) {
        return Some("it was released before; the annotation portcullis.dev/start releases it once more");
    }
    let waits = status.green.version == green && status.green.healthy_endpoints == 0;
    waits.then_some("no endpoint of it takes requests yet")
}

/// True once the resource has it that a release of `green` was begun.
async fn released(cluster: &Cluster, resource: &GatedRollout, green: &str) -> bool {
    let version = &resource.metadata.resource_version;
    cluster.patch_status(&json!({ "metadata": { "resourceVersion": version }, "status": { "released": green } })).await
}

/// The version that was rolled back last, unless a newer one took its place.
fn rolled_back(known: &GatedRolloutStatus) -> Option<&str> {
    known.record.as_ref()?.get("rolledBack")?.as_str()
}

/// Has the resource know it for longer than until the next one.
async fn found_bad(cluster: &Cluster, resource: &GatedRollout, green: &str, before: &[String]) {
    let version = &resource.metadata.resource_version;
    let all: Vec<&str> = std::iter::once(green).chain(before.iter().map(String::as_str)).take(REMEMBERED).collect();
    cluster.patch_status(&json!({ "metadata": { "resourceVersion": version }, "status": { "foundBad": all } })).await;
}

async fn begin(cluster: &Cluster, proxy: &Proxy, resource: &GatedRollout, green: &str) {
    let (actor, reason) = why_now(resource, green);
    let endpoints = proxy.reloading.admin.load().green.clone();
    let found = proxy.reloading.lookups.of(&endpoints).await;
    let wanted = NewRelease { green: None, terms: Terms::Configured, actor, reason };
    if let Err(failed) = proxy.commands.send_if(Seen::Whatever, Change::Release(wanted), found).await {
        tracing::warn!(green, %failed, "a release did not begin");
        telling::tell(cluster, Tone::Warning, NOT_STARTED, &format!("{green}: {failed}")).await;
    }
}

/// Who has made `green` what is to be released, and how.
fn why_now(resource: &GatedRollout, green: &str) -> (String, String) {
    let candidate = resource.status.as_ref().and_then(|status| status.candidate.as_ref());
    match candidate.filter(|candidate| candidate.version == green) {
        Some(candidate) => (candidate.actor.clone(), candidate.reason()),
        None => (fields::writer(&resource.metadata, &["spec"]), "spec.green has a new version".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::conditions::tests::status;

    #[test]
    fn a_release_begins_of_a_green_that_is_neither_blue_nor_was_released_nor_rolled_back_and_has_an_endpoint() {
        let none = GatedRolloutStatus::default();
        assert_eq!(held_back("v2", &status(), &none), None);
        let why = |green: &str, known: &GatedRolloutStatus| held_back(green, &status(), known).unwrap_or_default();
        assert_eq!(why(PENDING, &none), "its Deployment is not known yet");
        assert_eq!((why("v1", &none), why(SAME, &none)), ("it is blue", "it is blue"));
        let released = GatedRolloutStatus { released: Some("v2".to_owned()), ..none.clone() };
        let found_bad = GatedRolloutStatus { found_bad: vec!["v9".to_owned(), "v2".to_owned()], ..none.clone() };
        for known in [released, found_bad] {
            assert!(why("v2", &known).starts_with("it was released before"), "{known:?}");
            assert_eq!(held_back("v3", &status(), &known), None);
        }
        let mut away = status();
        away.green.healthy_endpoints = 0;
        assert_eq!(held_back("v2", &away, &none), Some("no endpoint of it takes requests yet"));
        assert_eq!(held_back("v3", &away, &none), None, "whose endpoints are looked at when it begins");
    }

    #[test]
    fn a_release_is_open_from_its_first_step_to_its_end() {
        for (state, expected) in [
            ("idle", false),
            ("stepping", true),
            ("paused", true),
            ("promoted", true),
            ("completed", false),
            ("rolledBack", false),
        ] {
            assert_eq!(Status { state, ..status() }.is_open(), expected, "{state}");
        }
    }
}
