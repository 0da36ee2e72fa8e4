//! Reading the configuration again, all or nothing: by a signal, over the API, or because its file has changed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::config::{self, Access, Admin, Config, Endpoint, Environment, Faults, Tls, VersionConfig};
use crate::control::command::{Change, Commands, Failed, Reload};
use crate::control::revision::Seen;
use crate::control::status::Status;
use crate::gate::{Policy, Version};
use crate::kubernetes;
use crate::release::Weight;
use crate::resolve::Lookups;
use crate::telemetry::{self, Reloads};

/// What it takes to read a configuration again.
#[derive(Clone)]
pub struct Reloading {
    pub(crate) source: Source,
    pub(crate) commands: Commands,
    pub(crate) lookups: Lookups,
    /// What the API goes by, which changes with it.
    pub(crate) admin: Arc<ArcSwap<AdminSettings>>,
    pub(crate) counts: Reloads,
    /// One at a time, so that what was read last holds.
    pub(crate) turn: Arc<Mutex<()>>,
}

/// Where a configuration comes from.
#[derive(Clone)]
pub enum Source {
    Nowhere,
    File(PathBuf),
    Resource(kubernetes::Seen),
}

/// What the configuration says to the API.
#[derive(Debug)]
pub struct AdminSettings {
    pub access: Access,
    /// The names of the signals that triggers listen to.
    pub signals: Vec<String>,
    /// Of the green that the file declares.
    pub green: Vec<Endpoint>,
    /// What a plan has to suit.
    pub policy: Policy,
    /// Likewise.
    pub max_weight: Weight,
    /// For a whole request head, and for a whole body.
    pub deadline: Duration,
    pub tls: Option<Tls>,
    /// What all of it was read from.
    pub files: Vec<PathBuf>,
}

/// Why everything is as it was.
#[derive(Debug, thiserror::Error)]
pub enum NotReloaded {
    #[error("this proxy was not started from a file")]
    NoFile,
    #[error("the resource that this proxy was started from is not there")]
    NoResource,
    #[error("{0}")]
    Faults(Faults),
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl AdminSettings {
    pub fn new(config: &Config) -> AdminSettings {
        let signals = config.policy.signals.iter().map(|trigger| trigger.signal.clone()).collect();
        let VersionConfig { endpoints: green, max_weight, .. } = config.versions.green.clone();
        let Admin { access, tls, files, .. } = config.admin.clone();
        let policy = config.policy.clone();
        let deadline = config.timeouts.request_head;
        AdminSettings { access, signals, green, policy, max_weight, deadline, tls, files }
    }
}

impl Reloading {
    /// Reads the file and goes over to what it says.
    pub async fn reload(&self, actor: &str) -> Result<Arc<Status>, NotReloaded> {
        self.reload_if(Seen::Whatever, actor).await
    }

    /// As [`Reloading::reload`], unless something was decided that whoever asks has not `seen`.
    pub async fn reload_if(&self, seen: Seen, actor: &str) -> Result<Arc<Status>, NotReloaded> {
        let _turn = self.turn.lock().await;
        let done = self.try_reload(seen, actor).await;
        match &done {
            Ok(_) => {
                self.counts.succeeded();
                tracing::info!(actor, "configuration loaded");
            }
            Err(error) => {
                self.counts.failed();
                tracing::error!(actor, %error, "the configuration was not loaded: everything is as it was");
            }
        }
        done
    }

    async fn try_reload(&self, seen: Seen, actor: &str) -> Result<Arc<Status>, NotReloaded> {
        let source = self.source.clone();
        let read = tokio::task::spawn_blocking(move || source.read());
        let config = read.await.expect("reading does not panic")?;
        let (admin, warnings) = (AdminSettings::new(&config), config.warnings.clone());
        let endpoints = Version::BOTH.iter().flat_map(|version| &config.versions.of(*version).endpoints);
        let found = self.lookups.of(endpoints).await;
        let reload = Reload { config: Box::new(config), actor: actor.to_owned() };
        let status = self.commands.send_if(seen, Change::Reload(reload), found).await?;
        self.admin.store(Arc::new(admin));
        telemetry::warn(&warnings);
        Ok(status)
    }

    /// For whoever started the proxy.
    pub(crate) fn new(
        config: &Config,
        source: Source,
        commands: Commands,
        lookups: Lookups,
        counts: Reloads,
    ) -> Reloading {
        let admin = Arc::new(ArcSwap::from_pointee(AdminSettings::new(config)));
        Reloading { source, commands, lookups, admin, counts, turn: Arc::default() }
    }
}

impl Source {
    fn read(&self) -> Result<Config, NotReloaded> {
        match self {
            Source::Nowhere => Err(NotReloaded::NoFile),
            Source::File(file) => config::load(file, &Environment::of_process()).map_err(NotReloaded::Faults),
            Source::Resource(seen) => {
                let resource = seen.borrow().clone().ok_or(NotReloaded::NoResource)?;
                kubernetes::read(&resource).map_err(NotReloaded::Faults)
            }
        }
    }
}
