//! Decisions as Events of the resource: `kubectl describe gro` and `kubectl events` show them.

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Resource};
use tokio::sync::broadcast::error::RecvError;

use super::resource::GatedRollout;
use super::{Cluster, Proxy};
use crate::control::event;
use crate::release::Kind;

/// Who reports: a name with a domain, as events want it.
const CONTROLLER: &str = "portcullis.dev/portcullis";

/// Of the note of an event (`events.k8s.io/v1`).
const LONGEST_NOTE: usize = 1024;

/// What a command that was not carried out is told as.
pub(super) const REFUSED: &str = "CommandRefused";

/// How an event looks to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Normal,
    Warning,
}

/// Tells what this replica decides for as long as it leads. What cannot be told is in the log.
pub(super) async fn follow(cluster: &Cluster, proxy: &Proxy) {
    let mut events = proxy.events.listen();
    loop {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "events that were not told to Kubernetes");
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        if cluster.leads() {
            let event::Event { kind, actor, sentence, .. } = event;
            tell(cluster, tone(kind), &reason(kind), &format!("{sentence} ({actor})")).await;
        }
    }
}

/// Sends one event of the resource.
pub(super) async fn tell(cluster: &Cluster, tone: Tone, reason: &str, note: &str) {
    let Some(resource) = cluster.seen.borrow().clone() else { return };
    let event = event(&resource, &cluster.replica, tone, reason, note);
    let api: Api<Event> = Api::namespaced(cluster.api.clone().into_client(), &cluster.namespace);
    if let Err(error) = api.create(&PostParams::default(), &event).await {
        tracing::warn!(reason, %error, "an event was not told to Kubernetes");
    }
}

fn event(resource: &GatedRollout, replica: &str, tone: Tone, reason: &str, note: &str) -> Event {
    let regarding = resource.object_ref(&());
    let now = jiff::Timestamp::now();
    // Two in one nanosecond are not to collide.
    let name =
        format!("{}.{:x}{:04x}", regarding.name.clone().unwrap_or_default(), now.as_nanosecond(), fastrand::u16(..));
    Event {
        metadata: ObjectMeta { name: Some(name), namespace: regarding.namespace.clone(), ..ObjectMeta::default() },
        action: Some(reason.to_owned()),
        event_time: Some(MicroTime(now)),
        note: Some(bounded(note)),
        reason: Some(reason.to_owned()),
        regarding: Some(regarding),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(replica.to_owned()),
        type_: Some(match tone {
            Tone::Normal => "Normal".to_owned(),
            Tone::Warning => "Warning".to_owned(),
        }),
        ..Event::default()
    }
}

fn tone(kind: Kind) -> Tone {
    match kind {
        Kind::RolledBack
        | Kind::RouteTakenBack
        | Kind::Paused
        | Kind::Probing
        | Kind::Frozen
        | Kind::Irreversible
        | Kind::NotRecovered
        | Kind::GateRefused
        | Kind::Shedding
        | Kind::JournalFailed
        | Kind::ActionFailed
        | Kind::ActionForPeople => Tone::Warning,
        _ => Tone::Normal,
    }
}

/// In the manner of Kubernetes: `RolledBack`.
fn reason(kind: Kind) -> String {
    let name = kind.name();
    name[..1].to_uppercase() + &name[1..]
}

fn bounded(note: &str) -> String {
    if note.len() <= LONGEST_NOTE {
        return note.to_owned();
    }
    let end = (0..=LONGEST_NOTE - '…'.len_utf8()).rev().find(|end| note.is_char_boundary(*end));
    format!("{}…", &note[..end.unwrap_or_default()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::resource::GatedRolloutSpec;

    #[test]
    fn an_event_is_about_the_resource_has_a_name_of_its_own_and_is_no_longer_than_kubernetes_takes() {
        let mut resource = GatedRollout::new("checkout", GatedRolloutSpec::default());
        (resource.metadata.namespace, resource.metadata.uid) = (Some("shop".to_owned()), Some("u-1".to_owned()));
        let tone = tone(Kind::RolledBack);
        let told = event(&resource, "r0", tone, &reason(Kind::RolledBack), &"ä".repeat(LONGEST_NOTE));
        let regarding = told.regarding.clone().expect("the resource");
        assert_eq!((regarding.name.as_deref(), regarding.uid.as_deref()), (Some("checkout"), Some("u-1")));
        assert_eq!(
            (regarding.kind.as_deref(), told.metadata.namespace.as_deref()),
            (Some("GatedRollout"), Some("shop"))
        );
        assert_eq!((told.reason.as_deref(), told.type_.as_deref()), (Some("RolledBack"), Some("Warning")));
        assert_eq!(told.reporting_instance.as_deref(), Some("r0"));
        assert!(told.note.is_some_and(|note| note.len() <= LONGEST_NOTE && note.ends_with('…')));
        let again = event(&resource, "r0", Tone::Normal, "Stepped", "to 10 %");
        assert_ne!(again.metadata.name, told.metadata.name);
        assert_eq!((again.type_.as_deref(), again.note.as_deref()), (Some("Normal"), Some("to 10 %")));
    }
}
