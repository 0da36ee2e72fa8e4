//! The pods of Services, followed for as long as somebody wants them, as names are by [`crate::resolve`].
//!
//! [`pods`] is what `EndpointSlice`s mean. What was found last holds while the API server is away.

mod pods;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::watching::{changes, settings};
use crate::config::Service;
use crate::live::{Addresses, Site};
use crate::resolve::{Ask, Found, Wanted};

/// Who wants to know, from here on.
pub(super) struct Listener {
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) findings: mpsc::Sender<Found>,
}

/// For so long whoever begins to use a Service waits for its first list.
const FIRST: Duration = Duration::from_secs(2);

/// News that wait for `control`, which takes them in at once.
const WAITING: usize = 64;

/// Has an `EndpointSlice` say which Service it is of.
const OF_SERVICE: &str = "kubernetes.io/service-name";

/// All Services that are followed.
struct Services {
    client: Client,
    namespace: String,
    followed: BTreeMap<String, Followed>,
    news: mpsc::Sender<Found>,
}

/// One of them; it ends when this is dropped.
struct Followed {
    /// None until its first list.
    places: watch::Receiver<Option<Vec<Site>>>,
    task: JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers questions, and once there is a listener tells it of every change.
pub(super) async fn serve(
    client: Client,
    namespace: String,
    mut asked: mpsc::Receiver<Ask>,
    mut listener: oneshot::Receiver<Listener>,
) {
    let (news, mut told) = mpsc::channel(WAITING);
    let mut services = Services { client, namespace, followed: BTreeMap::new(), news };
    let Listener { mut wanted, findings } = loop {
        tokio::select! {
            Some(ask) = asked.recv() => services.answer(ask),
            // It is known where it was found, and told below.
            Some(_) = told.recv() => {}
            listener = &mut listener => match listener {
                Ok(listener) => break listener,
                Err(_) => return,
            },
        }
    };
    services.follow_all(&wanted.borrow_and_update().names);
    for (name, followed) in &services.followed {
        let places = followed.places.borrow().clone();
        if let Some(addresses) = places
            && findings.send(Found { name: name.clone(), addresses }).await.is_err()
        {
            return;
        }
    }
    loop {
        tokio::select! {
            Some(ask) = asked.recv() => services.answer(ask),
            Some(found) = told.recv() => if findings.send(found).await.is_err() {
                return;
            },
            changed = wanted.changed() => match changed {
                Ok(()) => services.follow_all(&wanted.borrow_and_update().names),
                Err(_) => return,
            },
        }
    }
}

impl Services {
    /// Follows those among `names`, and no others.
    fn follow_all(&mut self, names: &BTreeSet<String>) {
        self.followed.retain(|name, _| names.contains(name));
        for name in names {
            self.follow(name);
        }
    }

    /// Nothing of a name that is no Service.
    fn follow(&mut self, name: &str) -> Option<watch::Receiver<Option<Vec<Site>>>> {
        let service: Service = name.parse().ok()?;
        let start = || {
            let (publish, places) = watch::channel(None);
            let following = follow(self.client.clone(), self.namespace.clone(), service, publish, self.news.clone());
            Followed { places, task: tokio::task::spawn_local(following) }
        };
        Some(self.followed.entry(name.to_owned()).or_insert_with(start).places.clone())
    }

    /// As far as it can be found out in time. Whoever asks is about to want them.
    fn answer(&mut self, Ask { names, reply }: Ask) {
        let followed: Vec<_> = names.into_iter().filter_map(|name| Some((self.follow(&name)?, name))).collect();
        let first = async |(mut places, name): (watch::Receiver<Option<Vec<Site>>>, String)| {
            let listed = tokio::time::timeout(FIRST, places.wait_for(Option::is_some)).await;
            Some((name, listed.ok()?.ok()?.clone()?))
        };
        // An error means that whoever asked has gone.
        tokio::task::spawn_local(async move {
            let found: Addresses = join_all(followed.into_iter().map(first)).await.into_iter().flatten().collect();
            _ = reply.send(found);
        });
    }
}

async fn follow(
    client: Client,
    namespace: String,
    service: Service,
    publish: watch::Sender<Option<Vec<Site>>>,
    news: mpsc::Sender<Found>,
) {
    let slices = settings().labels(&format!("{OF_SERVICE}={}", service.name));
    let slices = changes::<EndpointSlice>(Api::namespaced(client.clone(), &namespace), slices, "endpointslice");
    let labels: Vec<String> = service.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
    let pods = Api::<PartialObjectMeta<Pod>>::namespaced(client, &namespace);
    let pods = changes(pods, settings().labels(&labels.join(",")), "pod").map(News::Pod);
    // Only who splits a Service needs to know its pods, and the right to list them.
    let pods = if labels.is_empty() { stream::pending().left_stream() } else { pods.right_stream() };
    let mut all = std::pin::pin!(stream::select(slices.map(News::Slice), pods));
    let (mut slices, mut pods) = (Listed::default(), Listed::default());
    while let Some(change) = all.next().await {
        match change {
            News::Slice(change) => slices.take(change),
            News::Pod(change) => pods.take(change),
        }
        let chosen = if labels.is_empty() { Some(None) } else { pods.names().map(Some) };
        let (Some(slices), Some(chosen)) = (slices.all(), chosen) else { continue };
        let addresses = pods::places(slices, &service, chosen.as_ref());
        if publish.borrow().as_ref() == Some(&addresses) {
            continue;
        }
        tracing::info!(%service, pods = addresses.len(), "pods of a Service");
        publish.send_replace(Some(addresses.clone()));
        if news.send(Found { name: service.to_string(), addresses }).await.is_err() {
            return;
        }
    }
}

enum News {
    Slice(Event<EndpointSlice>),
    Pod(Event<PartialObjectMeta<Pod>>),
}

/// Objects by their names, as a whole list of them and what came since says.
struct Listed<K> {
    /// None until the first list is whole.
    all: Option<BTreeMap<String, K>>,
    /// Of the list that is coming.
    coming: BTreeMap<String, K>,
}

impl<K> Default for Listed<K> {
    fn default() -> Listed<K> {
        Listed { all: None, coming: BTreeMap::new() }
    }
}

impl<K: Resource> Listed<K> {
    fn take(&mut self, change: Event<K>) {
        match change {
            Event::Init => self.coming.clear(),
            Event::InitApply(object) => _ = self.coming.insert(object.name_any(), object),
            Event::InitDone => self.all = Some(std::mem::take(&mut self.coming)),
            Event::Apply(object) => {
                if let Some(all) = &mut self.all {
                    all.insert(object.name_any(), object);
                }
            }
            Event::Delete(object) => {
                if let Some(all) = &mut self.all {
                    all.remove(&object.name_any());
                }
            }
        }
    }

    fn all(&self) -> Option<impl Iterator<Item = &K>> {
        self.all.as_ref().map(BTreeMap::values)
    }

    fn names(&self) -> Option<BTreeSet<String>> {
        self.all.as_ref().map(|all| all.keys().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.to_owned());
        pod
    }

    #[test]
    fn a_list_anew_replaces_what_was_known_and_half_of_one_is_none() {
        let mut listed = Listed::default();
        let names = |listed: &Listed<Pod>| listed.names().map(|names| names.into_iter().collect::<Vec<_>>());
        listed.take(Event::Init);
        listed.take(Event::InitApply(pod("a")));
        assert_eq!(names(&listed), None, "it is not whole");
        // It breaks off, and begins anew.
        listed.take(Event::Init);
        listed.take(Event::InitApply(pod("b")));
        listed.take(Event::InitApply(pod("c")));
        listed.take(Event::InitDone);
        assert_eq!(names(&listed), Some(vec!["b".to_owned(), "c".to_owned()]));
        listed.take(Event::Apply(pod("d")));
        listed.take(Event::Delete(pod("b")));
        assert_eq!(names(&listed), Some(vec!["c".to_owned(), "d".to_owned()]));
        listed.take(Event::Init);
        assert_eq!(names(&listed), Some(vec!["c".to_owned(), "d".to_owned()]), "what was seen last holds meanwhile");
        listed.take(Event::InitApply(pod("d")));
        listed.take(Event::InitDone);
        assert_eq!(names(&listed), Some(vec!["d".to_owned()]));
    }
}
