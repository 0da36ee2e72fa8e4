//! What a proxy is run by in Kubernetes: the custom resource in the place of a file, on a thread of its own.
//!
//! [`resource`] is its type, [`definition`] what the API server is told of it. [`place`] is where it is, [`watching`] follows
//! it, [`keeping`] remembers it, [`accepting`] makes a configuration of its `spec`, [`releasing`] a release of a new green, which [`deployments`] may find,
//! and [`superseding`] ends the one before. [`services`] finds endpoints, [`commands`] is what annotations ask for. [`conditions`] and [`telling`] are what is said of all
//! this, [`fields`] who has written what. [`lease`] elects who steps, [`together`] carries what the replicas agree on, [`peers`] asks the others what they count, [`acting`] is about who acts on a rollback.
//!
//! Nothing here is waited for by `control` or the data plane: it sends commands as the admin API does, and reads the status that
//! `control` publishes. While the API server is away everything is as it was.

mod accepting;
mod acting;
pub mod commands;
mod conditions;
mod definition;
mod deployments;
mod fields;
mod keeping;
pub mod lease;
pub mod peers;
pub mod place;
mod releasing;
pub mod resource;
mod services;
mod superseding;
mod telling;
mod together;
mod watching;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::api::Patch;
use serde_json::Value;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};

use crate::admin::{Hop, Leader};
use crate::config::{Config, Endpoint, Secret};
use crate::control::command::Commands;
use crate::control::event::Events;
use crate::control::replicas::Link;
use crate::control::status::Status;
use crate::control::together::Ends;
use crate::gate::Version;
use crate::live::Addresses;
use crate::proxy::Lifecycle;
use crate::reload::Reloading;
use crate::resolve::{Ask, Found, Wanted};

pub use accepting::read;
use conditions::{Acceptance, Verdict};
pub use definition::definition;
use lease::Leases;
use peers::Asking;
pub use place::Place;
pub use resource::GatedRollout;
use together::Hub;

/// The resource as the API server had it last; none while there is none.
pub type Seen = watch::Receiver<Option<Arc<GatedRollout>>>;

/// How a replica is told from the others.
#[derive(Clone, Debug)]
pub struct Settings {
    pub place: Place,
    /// What this replica is called.
    pub replica: String,
    /// Where the others reach it; none: at the address of its admin listener.
    pub advertise: Option<String>,
    /// How long a leader leads that nobody hears of.
    pub lease: Duration,
    /// What the replicas show each other.
    pub peer_token: Option<Secret>,
    /// Where the resource is kept for a start without the API server.
    pub data: Option<PathBuf>,
}

/// What a proxy begins with.
pub struct Started {
    pub config: Config,
    pub joining: Joining,
}

/// How the thread and a proxy find each other.
pub struct Joining {
    pub(crate) seen: Seen,
    /// What the Services among the endpoints stand for.
    pub(crate) pods: Addresses,
    pub(crate) services: mpsc::Sender<Ask>,
    /// How long the process may stand still without reading the state anew.
    pub(crate) longest_stop: Duration,
    proxy: oneshot::Sender<(Proxy, Part)>,
}

/// The proxy that the thread speaks for.
pub struct Proxy {
    pub commands: Commands,
    pub status: watch::Receiver<Arc<Status>>,
    pub events: Events,
    pub reloading: Reloading,
    pub wanted: watch::Receiver<Wanted>,
    pub findings: mpsc::Sender<Found>,
}

/// The proxy's part among the replicas.
pub struct Part {
    pub lifecycle: Lifecycle,
    /// The admin listener's address.
    pub admin: SocketAddr,
    pub ends: Ends,
    pub leader: watch::Sender<Leader>,
    pub link: Link,
}

/// What everything on the thread works on.
#[derive(Clone)]
struct Cluster {
    api: Api<GatedRollout>,
    namespace: String,
    name: String,
    /// What this replica is called.
    replica: String,
    data: Option<PathBuf>,
    seen: Seen,
    /// Whether this replica is the one that writes and takes steps.
    leading: watch::Receiver<bool>,
}

/// Why a proxy cannot be run by a resource.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Place(#[from] place::Unknown),
}

/// Who writes, as the API server tells it.
const PROXY: &str = "portcullis";

/// Questions for the pods of Services that wait. Reloads ask, and new releases.
const ASKED: usize = 8;

/// Starts the thread and waits until the resource is there and can be used: for as long as it takes, because what is missing
/// comes from elsewhere. What is waited for is in the log.
///
/// # Errors
/// When it is not known where the API server is.
pub fn start(settings: Settings) -> Result<Started, StartError> {
    let (begin, begun) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("portcullis-kubernetes".to_owned()).spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = runtime.expect("whoever cannot have a poll of its own cannot serve either");
        runtime.block_on(work(settings, begin));
    })?;
    begun.recv().map_err(io::Error::other)?
}

async fn work(settings: Settings, begin: std::sync::mpsc::Sender<Result<Started, StartError>>) {
    let (leads, leading) = watch::channel(false);
    let cluster = match settings.place.connect().await {
        Ok((api, namespace)) => {
            let (name, replica) = (settings.place.name.clone(), settings.replica.clone());
            let data = settings.data.clone();
            let seen = watching::follow(api.clone(), &name);
            Cluster { api, namespace, name, replica, data, seen, leading }
        }
        Err(error) => {
            _ = begin.send(Err(error.into()));
            return;
        }
    };
    let (config, resource) = accepting::first(&cluster).await;
    let (join, joined) = oneshot::channel();
    let (services, asked) = mpsc::channel(ASKED);
    let (listen, listener) = oneshot::channel();
    let client = cluster.api.clone().into_client();
    tokio::task::spawn_local(services::serve(client, cluster.namespace.clone(), asked, listener));
    let pods = pods_of(&config, &services).await;
    let longest_stop = settings.lease * 2 / 3;
    let joining = Joining { seen: cluster.seen.clone(), pods, services, longest_stop, proxy: join };
    if begin.send(Ok(Started { config, joining })).is_err() {
        return;
    }
    let Ok((proxy, part)) = joined.await else { return };
    let hub = cluster.hub(&settings, part, &proxy, leads);
    cluster.keep(&resource);
    _ = listen.send(services::Listener { wanted: proxy.wanted.clone(), findings: proxy.findings.clone() });
    let acceptance = Acceptance { generation: resource.metadata.generation, verdict: Verdict::Accepted };
    let (accept, accepted) = watch::channel(acceptance);
    tokio::join!(
        accepting::follow(&cluster, &proxy, &resource, &accept),
        conditions::follow(&cluster, &proxy, accepted.clone()),
        deployments::follow(&cluster, &proxy),
        releasing::follow(&cluster, &proxy, accepted.clone()),
        commands::follow(&cluster, &proxy, &accepted),
        telling::follow(&cluster, &proxy),
        together::follow(&cluster, hub),
    );
}

/// What the Services among the endpoints stand for, as far as it can be found out in time.
async fn pods_of(config: &Config, services: &mpsc::Sender<Ask>) -> Addresses {
    let endpoints = Version::BOTH.iter().flat_map(|version| &config.versions.of(*version).endpoints);
    let names = endpoints.filter_map(Endpoint::name).map(str::to_owned).collect();
    let (reply, answer) = oneshot::channel();
    match services.send(Ask { names, reply }).await {
        Ok(()) => answer.await.unwrap_or_default(),
        Err(_) => Addresses::default(),
    }
}

impl Cluster {
    fn leads(&self) -> bool {
        *self.leading.borrow()
    }

    /// For the next start. What cannot be kept is told, and everything else goes on.
    fn keep(&self, resource: &GatedRollout) {
        if let Some(folder) = &self.data
            && let Err(error) = keeping::keep(folder, resource)
        {
            tracing::warn!(%error, "the resource was not kept for a start without the API server");
        }
    }

    /// Its part among the other replicas.
    fn hub(
        &self,
        settings: &Settings,
        Part { lifecycle, admin, ends, leader, link }: Part,
        proxy: &Proxy,
        leads: watch::Sender<bool>,
    ) -> Hub {
        let host = settings.advertise.clone().unwrap_or_else(|| admin.ip().to_string());
        let host = if host.contains(':') { format!("[{}]", host.trim_matches(['[', ']'])) } else { host };
        let hop = Hop::of(&proxy.reloading);
        let leases = Leases {
            api: Api::namespaced(self.api.clone().into_client(), &self.namespace),
            rollout: self.name.clone(),
            replica: self.replica.clone(),
            authority: format!("{host}:{}", admin.port()),
            hop: hop.clone(),
            lasts: settings.lease,
        };
        let (status, asking) = (proxy.status.clone(), Asking { hop, token: settings.peer_token.clone() });
        Hub { leases, ends, status, lifecycle, leads, leader, asking, link }
    }

    /// Merges a patch into the status. False where that was not taken: because the resource has changed since, or nobody
    /// answers.
    async fn patch_status(&self, patch: &Value) -> bool {
        let patched = self.api.patch_status(&self.name, &place::by(PROXY), &Patch::Merge(patch)).await;
        if let Err(error) = &patched {
            tracing::debug!(%error, "the status was not written");
        }
        patched.is_ok()
    }
}

impl Joining {
    /// Tells the thread of the proxy, which runs by now.
    pub(crate) fn join(self, proxy: Proxy, part: Part) {
        if self.proxy.send((proxy, part)).is_err() {
            tracing::error!("the thread of Kubernetes has ended: the resource is not followed");
        }
    }
}
