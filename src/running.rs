//! One running proxy: wires the parts together, and takes them down in order.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::admin;
use crate::config::{Authority, Config};
use crate::control::changes::streak;
use crate::control::command::Commands;
use crate::control::event::Events;
use crate::control::ledger::Ledger;
use crate::control::restore::Beginning;
use crate::control::status::{Names, Status};
use crate::control::{Control, Inputs, Outputs};
use crate::course::Course;
use crate::gate::Version;
use crate::journal::{Bounds, Journal, OpenError, Restored};
use crate::live::Live;
use crate::measure::{Collectors, shard};
use crate::proxy::{self, Phase};
use crate::reload::Reloading;
use crate::resolve::{self, Wanted};
use crate::routing::{NOTICES, Routing};
use crate::telemetry::Telemetry;

/// A proxy that serves. Dropping it does not stop it; [`Running::drain`] does.
pub struct Running {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub status: watch::Receiver<Arc<Status>>,
    pub events: Events,
    pub commands: Commands,
    pub reloading: Reloading,
    routing: Arc<Routing<Live>>,
    lifecycle: watch::Sender<Phase>,
    workers: Vec<JoinHandle<io::Result<()>>>,
}

/// How draining ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request that ran has ended.
    Idle,
    /// Some still ran at the deadline.
    CutOff,
}

/// How often a draining process looks whether its workers have ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Binds the listeners and starts every thread.
///
/// With `data` the release survives the process: [`StartError::Journal`] when another process has that directory. Any
/// other fault of the journal is an alarm, with everything on blue.
pub fn start(config: &Config, data: Option<&Path>) -> Result<Running, StartError> {
    let (beginning, ledger) = remember(config, data)?;
    make_room(config.limits.connections.get());
    let sockets = proxy::bind(config.listen, config.workers.get())?;
    let admin_listener = admin::bind(config.admin.listen)?;
    let admin_address = admin_listener.local_addr()?;

    let (notify, notices) = mpsc::channel(NOTICES);
    let (commands, commanded) = Commands::channel();
    let (lifecycle, phase) = watch::channel(Phase::Serving);
    let holding = beginning.holding(config);
    let (want, wanted) = watch::channel(Wanted { names: names(&holding), nameservers: config.nameservers.clone() });
    let resolve::Started { lookups, first, found } = resolve::start(wanted)?;
    let live = Arc::new(Live::new(&holding, &first));
    let routing = Arc::new(Routing::to(live, beginning.table, streak(config), notify));
    let telemetry = Telemetry::new(&config.policy).map_err(io::Error::other)?;
    let exposition = telemetry.exposition();
    let reloading = Reloading::new(config, commands.clone(), lookups.clone(), telemetry.reloads());

    let mut workers = Vec::new();
    let mut collectors = Vec::new();
    for (number, listener) in sockets.listeners.into_iter().enumerate() {
        let (recorder, collector) = shard::pair();
        collectors.push(collector);
        workers.push(proxy::spawn(number, listener, Arc::clone(&routing), recorder, phase.clone())?);
    }

    proxy::check(Arc::clone(&routing), phase.clone())?;
    let (publish, status) = watch::channel(Arc::new(first_status(config, &beginning, &routing)));
    let events = Events::default();
    let (last_word, served) = (Arc::clone(&routing), Arc::clone(&routing));
    let collectors = Collectors::new(collectors);
    let archive = ledger.archive();
    let inputs = Inputs { routing, collectors, notices, commands: commanded, found, telemetry, ledger };
    let outputs = Outputs { status: publish, events: events.clone(), wanted: want };
    let control = Control::new(config, beginning, inputs, outputs);
    std::thread::Builder::new().name("portcullis-control".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime without I/O needs nothing that can be missing");
        if catch_unwind(AssertUnwindSafe(|| runtime.block_on(control.run()))).is_err() {
            // Nobody judges green any more, so it gets nothing.
            last_word.latch(last_word.table().epoch);
            tracing::error!("control has ended by a panic: all traffic goes to blue until a restart");
        }
    })?;

    let context = admin::Context {
        commands: commands.clone(),
        lookups,
        events: events.clone(),
        status: status.clone(),
        lifecycle: phase,
        exposition,
        reloading: reloading.clone(),
        archive,
    };
    admin::spawn(admin_listener, context)?;
    Ok(Running {
        listen: sockets.address,
        admin: admin_address,
        status,
        events,
        commands,
        reloading,
        routing: served,
        lifecycle,
        workers,
    })
}

impl Running {
    /// Readiness off, wait, stop accepting, let finish what runs, at the latest until the deadline.
    pub async fn drain(self) -> Drained {
        self.lifecycle.send_replace(Phase::Leaving);
        let drain = self.routing.live().settings.drain;
        tokio::time::sleep(drain.wait).await;
        self.lifecycle.send_replace(Phase::Closing);
        let ended = async {
            while !self.workers.iter().all(JoinHandle::is_finished) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        match tokio::time::timeout(drain.deadline, ended).await {
            Ok(()) => Drained::Idle,
            Err(_) => Drained::CutOff,
        }
    }

    /// Whether a worker has ended though nobody asked it to.
    pub fn has_failed(&self) -> bool {
        self.workers.iter().any(JoinHandle::is_finished)
    }
}

/// The names among the endpoints.
fn names(config: &Config) -> BTreeSet<String> {
    let endpoints = Version::BOTH.iter().flat_map(|version| &config.versions.of(*version).endpoints);
    endpoints.filter_map(Authority::name).map(str::to_owned).collect()
}

/// Grows the table of open files to what the bound on connections can need, before there are threads to wait for.
///
/// Later Linux makes whoever opens a socket wait for an RCU grace period at each doubling, and with it every request of
/// that worker: milliseconds on an idle machine, seconds on one without a free core.
fn make_room(connections: usize) {
    // A client and an endpoint for each connection; the rest of the process needs a few dozen.
    let wanted = connections.saturating_mul(2).saturating_add(64);
    let mut files = i32::try_from(wanted).unwrap_or(MOST_ROOM).min(MOST_ROOM);
    // A number beyond the limit on open files is refused.
    while files > 64 && rustix::io::fcntl_dupfd_cloexec(io::stderr(), files - 1).is_err() {
        files /= 2;
    }
}

/// 8 MiB of the kernel's memory; whoever bounds connections by more finds the rest on the way.
const MOST_ROOM: i32 = 1 << 20;

/// What the journal remembers, and the journal.
fn remember(config: &Config, data: Option<&Path>) -> Result<(Beginning, Ledger), StartError> {
    let Some(dir) = data else {
        return Ok((Beginning::default(), Ledger::new(None, &config.text, Restored::default(), Duration::ZERO)));
    };
    let bounds = Bounds { age: config.journal.age, size: config.journal.size };
    match Journal::open(dir, bounds) {
        Ok((journal, restored)) => {
            let beginning = match restored.state.clone() {
                Some(state) => {
                    let stable = state.stable.clone();
                    let beginning = Beginning::restored(state, config);
                    let holding = beginning.holding(config).versions;
                    if Version::BOTH.iter().all(|version| holding.of(*version).version != stable) {
                        let (was, is) = (&stable, &holding.blue.version);
                        tracing::warn!(
                            was,
                            is,
                            "the blue of before is not configured: its traffic goes to another version"
                        );
                    }
                    beginning
                }
                None => Beginning::default(),
            };
            let ledger = Ledger::new(Some(journal), &config.text, restored, beginning.began);
            Ok((beginning, ledger))
        }
        Err(error @ OpenError::Held { .. }) => Err(StartError::Journal(error)),
        Err(error) => {
            let journal = match error {
                OpenError::Corrupt { .. } => anew(dir, bounds),
                _ => None,
            };
            let beginning = Beginning::unreadable(format!("the journal cannot be read: {error}"));
            Ok((beginning, Ledger::new(journal, &config.text, Restored::default(), Duration::ZERO)))
        }
    }
}

/// A new journal in the place of one that is damaged, which is kept beside it.
fn anew(dir: &Path, bounds: Bounds) -> Option<Journal> {
    let opened = Journal::set_aside(dir).and_then(|kept| Ok((kept, Journal::open(dir, bounds)?)));
    match opened {
        Ok((kept, (journal, _))) => {
            tracing::error!(kept = %kept.display(), "the journal was damaged and has been set aside");
            Some(journal)
        }
        Err(error) => {
            tracing::error!(%error, "a new journal cannot be made either");
            None
        }
    }
}

/// What is shown before the first tick.
fn first_status(config: &Config, beginning: &Beginning, routing: &Routing<Live>) -> Status {
    let now = beginning.clock;
    let course = Course::new(config.policy.clone(), config.plan.clone(), beginning.state.clone(), now);
    Status::new(
        &Names::new(&beginning.holding(config)),
        &course,
        beginning.table,
        &routing.live().upstreams,
        beginning.rollback.clone(),
        now,
    )
}

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Journal(OpenError),
}
