//! Whose it is to see to what is done about a rollback: the replica's that has written it, and the leader's where that one is
//! gone.

use std::time::Duration;

use kube::ResourceExt;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::Cluster;
use super::peers::Peer;
use super::resource::{ActionsStatus, GatedRollout};
use super::together::Met;
use crate::control::together::{Acted, Owed, Place, Word};

/// After a status that could not be written.
const RETRY: Duration = Duration::from_secs(1);

/// Tells `control` what is left of the actions that are for this replica, and the resource what it has done of them.
pub(super) async fn follow(
    cluster: &Cluster,
    words: &mpsc::Sender<Word>,
    mut place: watch::Receiver<Place>,
    mut others: watch::Receiver<Met>,
    mut acted: watch::Receiver<Acted>,
) {
    let (mut seen, mut told) = (cluster.seen.clone(), None);
    loop {
        let resource = seen.borrow_and_update().clone();
        let actions = resource.as_ref().and_then(|resource| resource.status.as_ref()?.actions.clone());
        let place_now = *place.borrow_and_update();
        let others_now = others.borrow_and_update().clone();
        let is_for_us = |actions: &ActionsStatus| is_for(&cluster.replica, actions, place_now, others_now.as_deref());
        let owed = actions.clone().filter(is_for_us).map(|ActionsStatus { epoch, left, .. }| Owed { epoch, left });
        if owed != told {
            told.clone_from(&owed);
            if words.send(Word::Owes(owed)).await.is_err() {
                return;
            }
        }
        let acted_now = acted.borrow_and_update().clone();
        let is_written = match (&resource, actions) {
            (Some(resource), Some(actions)) => note(cluster, resource, &actions, &acted_now).await,
            (_, _) => true,
        };
        let changed = tokio::select! {
            changed = seen.changed() => changed,
            changed = place.changed() => changed,
            changed = others.changed() => changed,
            changed = acted.changed() => changed,
            () = sleep(RETRY), if !is_written => Ok(()),
        };
        if changed.is_err() {
            return;
        }
    }
}

/// Nobody is taken for gone before the others were met.
fn is_for(replica: &str, actions: &ActionsStatus, place: Place, others: Option<&[Peer]>) -> bool {
    let is_gone = || others.is_some_and(|others| others.iter().all(|other| other.name != actions.replica));
    actions.replica == replica || place == Place::Leads && is_gone()
}

/// Takes out what has ended. False where the resource has changed since it was seen, or nobody answers.
async fn note(cluster: &Cluster, resource: &GatedRollout, actions: &ActionsStatus, acted: &Acted) -> bool {
    let is_left = |name: &&String| !acted.done.contains(name);
    let left: Vec<&String> = actions.left.iter().filter(is_left).collect();
    if acted.epoch != actions.epoch || left.len() == actions.left.len() {
        return true;
    }
    let patch = json!({
        "metadata": { "resourceVersion": resource.resource_version() },
        "status": { "actions": { "left": left } },
    });
    cluster.patch_status(&patch).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_for_whoever_wrote_the_rollback_and_for_the_leader_once_that_one_is_gone() {
        let actions = ActionsStatus { epoch: 1, replica: "b".to_owned(), left: vec!["page".to_owned()] };
        let others = |names: &[&str]| -> Vec<Peer> {
            names.iter().map(|name| Peer { name: (*name).to_owned(), admin: String::new() }).collect()
        };
        let check = |replica: &str, place: Place, others: Option<&[Peer]>, expected: bool| {
            assert_eq!(is_for(replica, &actions, place, others), expected, "{replica} {place:?} {others:?}");
        };
        check("b", Place::Follows, None, true);
        check("b", Place::Leads, Some(&others(&["a"])), true);
        check("a", Place::Leads, Some(&others(&["b", "c"])), false);
        check("a", Place::Leads, Some(&others(&["c"])), true);
        check("a", Place::Leads, Some(&[]), true);
        check("a", Place::Leads, None, false);
        check("a", Place::Follows, Some(&others(&["c"])), false);
    }
}
