//! What one thread owns: its view of the table, its draw, its endpoints and their connections, its recorder.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::IpNet;
use slab::Slab;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::time::Instant;

use super::choose::Draw;
use super::client_share::ClientShare;
use super::endpoint::Endpoint;
use super::observe::Waiting;
use super::park::Unparked;
use super::socket::Sends;
use super::upstreams::Upstreams;
use super::{listen, pool};
use crate::config::{AccessLog, Config, Ejection, Limits, Sticky, Timeouts};
use crate::gate::policy::Counting;
use crate::gate::{ByVersion, Version};
use crate::measure::shard::{Gauges, Record, Recorder};
use crate::routing::{Routing, Table, View};

/// What every worker needs of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    pub timeouts: Timeouts,
    pub limits: Limits,
    pub ejection: Ejection,
    pub trusted_proxies: Vec<IpNet>,
    pub access_log: AccessLog,
    pub sticky: Option<Sticky>,
    pub counting: Counting,
    /// Of this worker alone.
    pub connections: usize,
}

/// Where the process is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Serving,
    /// Readiness is off; answers ask clients to reconnect elsewhere.
    Leaving,
    /// No new connection is taken; the open ones end with their request.
    Closing,
}

/// How the workers hear of it.
pub type Lifecycle = watch::Receiver<Phase>;

pub(super) struct Worker {
    pub settings: Settings,
    pub routing: Arc<Routing>,
    view: RefCell<View>,
    pub draw: RefCell<Draw>,
    /// Which of blue's requests stand in for green where blue is compared with itself.
    pub arm_draw: RefCell<Draw>,
    pub client_share: RefCell<ClientShare>,
    pub endpoints: ByVersion<Vec<Rc<Endpoint>>>,
    pub random: RefCell<fastrand::Rng>,
    recorder: RefCell<Recorder>,
    pub in_flight: ByVersion<Cell<u32>>,
    /// The requests that wait for a response head and will be evidence of latency.
    pub waiting: RefCell<Slab<Waiting>>,
    pub upstream_connections: Rc<Cell<u32>>,
    pub phase: Cell<Phase>,
    pub sends: Rc<Sends>,
    pub unparked: Unparked,
    /// The driver of every client connection, to be woken when the phase changes.
    drivers: RefCell<Slab<Option<Waker>>>,
}

/// A place among the worker's client connections.
pub(super) struct Place {
    worker: Rc<Worker>,
    key: usize,
}

/// Twice a tick of the control thread, so that what it reads is at most half a tick old.
const HAND_OVER_EVERY: Duration = Duration::from_millis(50);

const SWEEP_EVERY: Duration = Duration::from_secs(5);

const HALF_MINUTE: Duration = Duration::from_secs(30);

impl Settings {
    pub fn new(config: &Config) -> Settings {
        Settings {
            timeouts: config.timeouts,
            limits: config.limits,
            ejection: config.ejection,
            trusted_proxies: config.trusted_proxies.clone(),
            access_log: config.access_log,
            sticky: config.sticky.clone(),
            counting: config.policy.counting.clone(),
            connections: config.limits.connections.get().div_ceil(config.workers.get()),
        }
    }
}

impl Worker {
    fn new(settings: Settings, routing: Arc<Routing>, upstreams: &Arc<Upstreams>, recorder: Recorder) -> Worker {
        let mut random = fastrand::Rng::new();
        let (share, seed) = (settings.counting.client_share, random.u64(..));
        let client_share = match settings.sticky {
            None => ClientShare::of_all(share, seed),
            Some(_) => ClientShare::of_each_version(share, seed),
        };
        Worker {
            settings,
            view: RefCell::new(routing.view()),
            routing,
            draw: RefCell::new(Draw::new(random.u64(..))),
            arm_draw: RefCell::new(Draw::new(random.u64(..))),
            client_share: RefCell::new(client_share),
            endpoints: ByVersion::build(|version| Endpoint::all(upstreams, version)),
            random: RefCell::new(random),
            recorder: RefCell::new(recorder),
            in_flight: ByVersion::default(),
            waiting: RefCell::default(),
            upstream_connections: Rc::default(),
            phase: Cell::new(Phase::Serving),
            sends: Rc::default(),
            unparked: Unparked::default(),
            drivers: RefCell::default(),
        }
    }

    /// The table as of now.
    pub(super) fn table(&self) -> Table {
        **self.view.borrow_mut().load()
    }

    pub(super) fn record(&self, record: &Record) {
        self.recorder.borrow_mut().record(record);
    }

    /// A connection to an endpoint of `version` was made.
    pub(super) fn connected(&self, version: Version, took: Duration) {
        self.recorder.borrow_mut().connected(version, took);
    }

    pub(super) fn panicked(&self) {
        self.recorder.borrow_mut().panicked();
    }

    /// A place for one more connection; none when the bound is reached.
    pub(super) fn admit(self: &Rc<Self>) -> Option<Place> {
        let mut drivers = self.drivers.borrow_mut();
        (drivers.len() < self.settings.connections)
            .then(|| Place { worker: Rc::clone(self), key: drivers.insert(None) })
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        for (_, driver) in &*self.drivers.borrow() {
            if let Some(driver) = driver {
                driver.wake_by_ref();
            }
        }
    }

    fn gauges(&self) -> Gauges {
        Gauges {
            in_flight: ByVersion::build(|version| self.in_flight.of(version).get()),
            client_connections: u32::try_from(self.drivers.borrow().len()).unwrap_or(u32::MAX),
            upstream_connections: self.upstream_connections.get(),
        }
    }

    pub(super) fn hand_over(&self) {
        let (now, routed) = (Instant::now(), self.table().routed());
        let waiting = self.waiting.borrow();
        let unanswered = waiting.iter().filter_map(|(_, request)| request.unanswered(routed, now));
        self.recorder.borrow_mut().hand_over(self.gauges(), routed, unanswered);
    }
}

impl Place {
    /// Asks to be woken when the worker's phase changes.
    pub(super) fn wake_by(&self, waker: &Waker) {
        let mut drivers = self.worker.drivers.borrow_mut();
        let driver = &mut drivers[self.key];
        if !driver.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *driver = Some(waker.clone());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.worker.drivers.borrow_mut().remove(self.key);
    }
}

/// Starts the thread of one worker. It ends when the phase is [`Phase::Closing`] and its last connection has ended.
pub fn spawn(
    number: usize,
    listener: std::net::TcpListener,
    settings: Settings,
    routing: Arc<Routing>,
    upstreams: Arc<Upstreams>,
    recorder: Recorder,
    lifecycle: Lifecycle,
) -> std::io::Result<JoinHandle<std::io::Result<()>>> {
    std::thread::Builder::new().name(format!("portcullis-{number}")).spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(async move {
            let worker = Rc::new(Worker::new(settings, routing, &upstreams, recorder));
            run(&worker, listener, lifecycle).await
        })
    })
}

async fn run(worker: &Rc<Worker>, listener: std::net::TcpListener, mut lifecycle: Lifecycle) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let accepting = tokio::task::spawn_local(listen::accept(Rc::clone(worker), listener, lifecycle.clone()));
    tokio::task::spawn_local(Rc::clone(&worker.sends).flush());
    let mut hand_over = tokio::time::interval(HAND_OVER_EVERY);
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    let mut half_minute = tokio::time::interval(HALF_MINUTE);
    loop {
        tokio::select! {
            changed = lifecycle.changed() => {
                let phase = *lifecycle.borrow_and_update();
                worker.enter(if changed.is_ok() { phase } else { Phase::Closing });
                if worker.phase.get() == Phase::Closing {
                    break;
                }
            }
            _ = hand_over.tick() => worker.hand_over(),
            _ = half_minute.tick() => worker.client_share.borrow_mut().half_minute_passed(),
            _ = sweep.tick() => {
                for version in Version::BOTH {
                    worker.endpoints.of(version).iter().for_each(|endpoint| pool::sweep(endpoint, Instant::now()));
                }
            }
        }
    }
    accepting.await.map_err(std::io::Error::other)?;
    while !worker.drivers.borrow().is_empty() {
        hand_over.tick().await;
        worker.hand_over();
    }
    worker.hand_over();
    Ok(())
}
