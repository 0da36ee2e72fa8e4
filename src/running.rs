//! One running proxy: wires the parts together, and takes them down in order.

mod opening;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{mpsc, watch};

use crate::actions;
use crate::admin::{self, Leader, Past};
use crate::config::{Config, Endpoint, Tls};
use crate::control::changes::streak;
use crate::control::command::Commands;
use crate::control::event::Events;
use crate::control::lending::Lending;
use crate::control::replicas::{self, Link};
use crate::control::restore::Beginning;
use crate::control::series::Series;
use crate::control::status::{Names, Status};
use crate::control::together::Together;
use crate::control::{Control, Inputs, Outputs};
use crate::course::Course;
use crate::gate::Version;
use crate::kubernetes::{self, Joining};
use crate::listeners::Listeners;
use crate::live::Live;
use crate::measure::{Collectors, shard};
use crate::proxy::{self, Phase};
use crate::release::Weight;
use crate::reload::{Reloading, Source};
use crate::resolve::{self, Wanted};
use crate::routing::{NOTICES, Routing};
use crate::spans::{self, Exporting};
use crate::takeover::{Offer, Relieved};
use crate::telemetry::Telemetry;

use opening::Opening;
pub use opening::{Origin, StartError};

/// A proxy that serves. Dropping it does not stop it; [`Running::drain`] does.
pub struct Running {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub status: watch::Receiver<Arc<Status>>,
    pub events: Events,
    pub commands: Commands,
    pub reloading: Reloading,
    /// Of those that know of other proxies which judge the same release.
    pub replicas: Link,
    relieved: watch::Receiver<Option<Relieved>>,
    /// What may be handed over.
    listeners: Arc<ArcSwapOption<Listeners>>,
    routing: Arc<Routing<Live>>,
    lifecycle: watch::Sender<Phase>,
    workers: Vec<JoinHandle<io::Result<()>>>,
    control: JoinHandle<()>,
    exporting: Exporting,
    /// To `control`, of the journal.
    lending: mpsc::Sender<Lending>,
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

/// How long the end of the process waits for the disk.
const CLOSING: Duration = Duration::from_secs(2);

/// Opens the journal and the listeners, and starts every thread.
///
/// With `data` the release survives the process: [`StartError::Journal`] when another process has that directory. Any
/// other fault of the journal is an alarm, with everything on blue; where it is to be taken over, that is an error, too,
/// and the process that has it goes on.
pub fn start(config: &Config, data: Option<&Path>, origin: Origin) -> Result<Running, StartError> {
    start_with(config, data, origin, None)
}

/// As [`start`], by a resource of Kubernetes.
#[expect(clippy::too_many_lines, reason = "the one place where all parts are wired")]
pub fn start_with(
    config: &Config,
    data: Option<&Path>,
    origin: Origin,
    kubernetes: Option<Joining>,
) -> Result<Running, StartError> {
    make_room(config.limits.connections.get());
    let Opening { beginning, ledger, listeners, claim, next } = opening::open(config, data, origin)?;
    let offered = listeners.try_clone()?;
    let (listen, admin_address) = (listeners.workers[0].local_addr()?, listeners.admin.local_addr()?);

    let (notify, notices) = mpsc::channel(NOTICES);
    let (commands, commanded) = Commands::channel();
    let (lend, lending) = mpsc::channel(1);
    let (lifecycle, phase) = watch::channel(Phase::Serving);
    let (holding, planned) = (beginning.holding(config), beginning.planned(config));
    let (want, wanted) = watch::channel(Wanted { names: names(&holding), nameservers: config.nameservers.clone() });
    let resolve::Started { mut lookups, mut first, found, findings } = resolve::start(wanted.clone())?;
    let mut source = config.file.clone().map_or(Source::Nowhere, Source::File);
    if let Some(joining) = &kubernetes {
        lookups = lookups.with_services(joining.services.clone());
        first.extend(joining.pods.clone());
        source = Source::Resource(joining.seen.clone());
    }
    let live = Arc::new(Live::new(&holding, &first));
    let routing = Arc::new(Routing::to(live, beginning.table, streak(&config.policy, planned.plan()), notify));
    let telemetry = Telemetry::new(&config.policy).map_err(io::Error::other)?;
    let exposition = telemetry.exposition();
    let (spans, exporting) = spans::start(Arc::clone(&routing), lookups.clone(), telemetry.spans())?;
    let reloading = Reloading::new(config, source, commands.clone(), lookups.clone(), telemetry.reloads());
    let (together, ends) = match &kubernetes {
        None => (Together::Alone, None),
        Some(joining) => {
            // Until the state of the replicas has been read.
            routing.route(beginning.table.epoch, Weight::ZERO);
            let (together, ends) = Together::among(joining.longest_stop);
            (together, Some(ends))
        }
    };
    if let Some(claim) = &claim
        && let Some(latched) = claim.go()?
    {
        // As if a worker of this process had done it: `control` finds it in the table.
        routing.latch(latched);
    }

    let mut workers = Vec::new();
    let mut collectors = Vec::new();
    for (number, listener) in listeners.workers.into_iter().enumerate() {
        let (recorder, collector) = shard::pair();
        collectors.push(collector);
        workers.push(proxy::spawn(number, listener, Arc::clone(&routing), recorder, spans.clone(), phase.clone())?);
    }

    proxy::check(Arc::clone(&routing), phase.clone())?;
    let (publish, status) = watch::channel(Arc::new(first_status(config, &beginning, &routing)));
    let (events, series) = (Events::default(), Series::default());
    let (last_word, served) = (Arc::clone(&routing), Arc::clone(&routing));
    let collectors = Collectors::new(collectors);
    let archive = ledger.archive();
    let runner = actions::runner::start(lookups.clone(), Arc::clone(&routing))?;
    let (asking, answering) = actions::asking::channel();
    let (looked_up, routed) = (lookups.clone(), Arc::clone(&routing));
    answering.spawn(move |runbook| {
        actions::reach::Reach::new(looked_up.clone(), Arc::clone(&runbook.allow), Arc::clone(&routed))
    })?;
    let (link, replicas) = replicas::link();
    let inputs = Inputs {
        routing,
        collectors,
        notices,
        commands: commanded,
        found,
        telemetry,
        ledger,
        runner,
        lending,
        asking,
        together,
        replicas,
    };
    let outputs = Outputs { status: publish, events: events.clone(), series: series.clone(), wanted: want };
    let control = spawn_control(Control::new(config, beginning, inputs, outputs), last_word)?;

    let (lead, leader) = watch::channel(Leader::default());
    let context = admin::Context {
        commands: commands.clone(),
        lookups,
        events: events.clone(),
        past: Past::default(),
        series,
        status: status.clone(),
        lifecycle: phase.clone(),
        exposition,
        reloading: reloading.clone(),
        archive,
        counted: link.published.clone(),
        shared: admin::Shared::default(),
        leader,
    };
    admin::spawn(listeners.admin, context)?;
    if let Some(claim) = claim {
        claim.serving();
    }
    if let (Some(joining), Some(ends)) = (kubernetes, ends) {
        let (status, events, reloading) = (status.clone(), events.clone(), reloading.clone());
        let proxy = kubernetes::Proxy { commands: commands.clone(), status, events, reloading, wanted, findings };
        let part = kubernetes::Part { lifecycle: phase, admin: admin_address, ends, leader: lead, link: link.clone() };
        joining.join(proxy, part);
    }
    let listeners = Arc::new(ArcSwapOption::from_pointee(offered));
    let relieved = match (next, data) {
        (Some(socket), Some(data)) => {
            let (listeners, routing) = (Arc::clone(&listeners), Arc::clone(&served));
            Offer { socket, listeners, lending: lend.clone(), routing, data: data.to_owned() }.spawn()?
        }
        _ => watch::channel(None).1,
    };
    Ok(Running {
        listen,
        admin: admin_address,
        status,
        events,
        commands,
        reloading,
        replicas: link,
        relieved,
        listeners,
        routing: served,
        lifecycle,
        workers,
        control,
        exporting,
        lending: lend,
    })
}

fn spawn_control(control: Control, last_word: Arc<Routing<Live>>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("portcullis-control".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime without I/O needs nothing that can be missing");
        if catch_unwind(AssertUnwindSafe(|| runtime.block_on(control.run()))).is_err() {
            // Nobody judges green any more, so it gets nothing.
            last_word.latch(last_word.table().epoch);
            tracing::error!("control has ended by a panic: all traffic goes to blue until a restart");
        }
    })
}

impl Running {
    /// What [`Running::drain`] begins with, and nothing else of it.
    pub fn foretell_end(&self) {
        let is_news = self.lifecycle.send_if_modified(|phase| {
            let is_news = *phase == Phase::Serving;
            if is_news {
                *phase = Phase::Leaving;
            }
            is_news
        });
        if is_news {
            tracing::info!("leaving: clients are asked to reconnect until this process is told to end");
        }
    }

    /// Readiness off, wait, stop accepting, let finish what runs, at the latest until the deadline.
    pub async fn drain(self) -> Drained {
        // Who holds them keeps the port open.
        self.listeners.store(None);
        self.leave(Phase::Leaving).await
    }

    /// As [`Running::drain`], when another process serves: this one accepts nothing more.
    pub async fn drain_relieved(self) -> Drained {
        self.listeners.store(None);
        self.leave(Phase::Relieved).await
    }

    async fn leave(self, first: Phase) -> Drained {
        self.lifecycle.send_replace(first);
        let drain = self.routing.live().settings.drain;
        tokio::time::sleep(drain.wait).await;
        self.lifecycle.send_replace(Phase::Closing);
        let ended = async {
            while !self.workers.iter().all(JoinHandle::is_finished) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let drained = match tokio::time::timeout(drain.deadline, ended).await {
            Ok(()) => Drained::Idle,
            Err(_) => Drained::CutOff,
        };
        // Neither waits for the other.
        tokio::join!(close_journal(self.lending, self.control), self.exporting.flush());
        drained
    }

    /// Returns when another process serves in the place of this one; never without a data directory. Cancel safe.
    pub async fn relieved(&mut self) -> Relieved {
        match self.relieved.wait_for(Option::is_some).await.map(|relieved| *relieved) {
            Ok(Some(relieved)) => relieved,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// The files of the certificates and keys by which it serves, and of the tokens.
    pub fn files(&self) -> Vec<PathBuf> {
        let live = self.routing.live();
        let of_listener = live.settings.tls.as_ref().map(Tls::files).unwrap_or_default();
        let of_collector = live.settings.otlp.as_ref().map(|otlp| otlp.transport.files()).unwrap_or_default();
        let admin = self.reloading.admin.load_full();
        [of_listener, of_collector, live.transports.blue.files(), live.transports.green.files(), &admin.files].concat()
    }

    /// Whether a worker has ended though nobody asked it to.
    pub fn has_failed(&self) -> bool {
        self.workers.iter().any(JoinHandle::is_finished)
    }
}

/// So that the last that was seen is in it, and that the next start need not repair it. With a disk that does not answer it
/// stays as a crash would leave it.
async fn close_journal(lending: mpsc::Sender<Lending>, control: JoinHandle<()>) {
    let closed = async {
        // A process that has taken over has the journal, and `control` has ended.
        lending.send(Lending::Ended).await.ok();
        while !control.is_finished() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(CLOSING, closed).await.is_err() {
        tracing::error!("the journal was not closed: its disk does not answer");
    }
}

/// The names among the endpoints.
fn names(config: &Config) -> BTreeSet<String> {
    let endpoints = Version::BOTH.iter().flat_map(|version| &config.versions.of(*version).endpoints);
    endpoints.filter_map(Endpoint::name).map(str::to_owned).collect()
}

/// Grows the table of open files to what the bound on connections can need, before there are threads to wait for.
///
/// Later Linux makes whoever opens a socket wait for an RCU grace period at each doubling, and with it every request of
/// that worker: milliseconds on an idle machine, seconds on one without a free core.
fn make_room(connections: usize) {
    raise_limit();
    // A client and an endpoint for each connection; the rest of the process needs a few dozen.
    let wanted = connections.saturating_mul(2).saturating_add(64);
    let mut files = i32::try_from(wanted).unwrap_or(MOST_ROOM).min(MOST_ROOM);
    // A number beyond the limit on open files is refused.
    while files > 64 && rustix::io::fcntl_dupfd_cloexec(io::stderr(), files - 1).is_err() {
        files /= 2;
    }
}

/// Makes the limit on open files what it may be at most: the lower one is for programs that use `select()`.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit on open files could not be raised");
    }
}

/// 8 MiB of the kernel's memory; whoever bounds connections by more finds the rest on the way.
const MOST_ROOM: i32 = 1 << 20;

/// What is shown before the first tick.
pub(crate) fn first_status(config: &Config, beginning: &Beginning, routing: &Routing<Live>) -> Status {
    let now = beginning.clock;
    let mut course = Course::new(config.policy.clone(), beginning.planned(config), beginning.state.clone(), now);
    course.set_exposed(beginning.exposed);
    course.set_watch(beginning.watch.clone(), now);
    let (names, rollback) = (Names::new(&beginning.holding(config)), beginning.rollback.clone());
    Status::new(&names, &course, beginning.table, &routing.live().upstreams, rollback, Timestamp::now(), now)
}
