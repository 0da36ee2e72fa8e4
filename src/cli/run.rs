//! `portcullis run`: the proxy, until a signal drains it or another process has taken over.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use sha2::{Digest, Sha256};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{self, Config, Environment};
use crate::kubernetes::{self, Joining};
use crate::listeners::Listeners;
use crate::running::{self, Drained, Origin, Running};
use crate::systemd::{self, Watchdog};
use crate::takeover::Claim;
use crate::telemetry;

/// Serve until SIGTERM or Ctrl-C, then drain
#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// The configuration file
    #[arg(long, value_name = "FILE", required_unless_present = "resource")]
    config: Option<PathBuf>,
    /// The resource of Kubernetes whose `spec` is the configuration, in the place of a file
    #[arg(long, value_name = "[NAMESPACE/]NAME", conflicts_with_all = ["config", "watch", "take_over"])]
    resource: Option<kubernetes::Place>,
    /// Read the configuration again whenever its file or that of a certificate or of the tokens has changed, as that of a mounted `ConfigMap` does
    #[arg(long)]
    watch: bool,
    /// What this replica is called among those of its resource; the host's name and the process' number unless said
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    replica: Option<String>,
    /// The host where the other replicas reach its admin listener; the address of that unless said
    #[arg(long, env = "POD_IP", value_name = "HOST")]
    advertise: Option<String>,
    /// How long the replica that takes the steps leads without being heard of
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = lease)]
    lease: Duration,
    /// The token that the replicas show each other: `env:NAME` or `file:PATH`
    #[arg(long, env = "PORTCULLIS_PEER_TOKEN", value_name = "SECRET")]
    peer_token: Option<String>,
    /// Where the journal is kept; without it a restart begins in front of all releases
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Take over from the process that has the data directory: its sockets, its journal and its release; it drains
    #[arg(long, requires = "data")]
    take_over: bool,
}

/// How often the workers are looked after.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

const TAKE_OVER: &str = "--take-over";

/// Who reads the configuration again.
const SIGNAL: &str = "SIGHUP";
const WATCH: &str = "watch";

impl Run {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        match (&self.resource, &self.config) {
            (Some(place), _) => self.run_by_resource(place),
            (None, Some(file)) => self.run_by_file(file),
            (None, None) => bail!("neither a file nor a resource is named"),
        }
    }

    fn run_by_file(&self, file: &Path) -> anyhow::Result<()> {
        let mut watched = self.watch.then(Watched::default);
        if let Some(watched) = &mut watched {
            // Before it is read for good, so that no change in between is missed.
            watched.has_changed(Some(file), &[]);
        }
        let config = match config::load(file, &Environment::of_process()) {
            Ok(config) => config,
            Err(faults) => {
                anstream::eprintln!("{}", faults.styled());
                bail!("{} is not usable", file.display());
            }
        };
        if let Some(watched) = &mut watched {
            watched.has_changed(Some(file), &config.files());
        }
        telemetry::logs()?;
        self.serve(&config, watched, None)
    }

    fn run_by_resource(&self, place: &kubernetes::Place) -> anyhow::Result<()> {
        telemetry::logs()?;
        let peer_token = self.peer_token.as_deref().map(config::secret).transpose();
        let settings = kubernetes::Settings {
            place: place.clone(),
            replica: self.replica.clone().unwrap_or_else(own_name),
            advertise: self.advertise.clone(),
            lease: self.lease,
            peer_token: peer_token.map_err(|wrong| anyhow!("--peer-token: {wrong}"))?,
            data: self.data.clone(),
        };
        let kubernetes::Started { config, joining } = kubernetes::start(settings)?;
        // Secrets that are mounted are renewed under a pod.
        let mut watched = Watched::default();
        watched.has_changed(None, &config.files());
        self.serve(&config, Some(watched), Some(joining))
    }

    fn serve(&self, config: &Config, watched: Option<Watched>, joining: Option<Joining>) -> anyhow::Result<()> {
        telemetry::warn(&config.warnings);
        let origin = self.origin(config)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(serve(config, self.data.as_deref(), watched, origin, joining))
    }

    /// Clears the environment of what is inherited, so there may be no threads yet.
    fn origin(&self, config: &Config) -> anyhow::Result<Origin> {
        let inherited = Listeners::inherited(config).context("the sockets from LISTEN_FDS do not fit")?;
        match (&self.data, self.take_over, inherited) {
            (Some(dir), true, _) => {
                let (claim, sockets) = Claim::of(dir, config)?;
                Ok(Origin::Predecessor(claim, sockets))
            }
            (_, _, Some(listeners)) => Ok(Origin::Inherited(listeners)),
            (_, _, None) => Ok(Origin::Configuration),
        }
    }
}

/// A shorter one would be lost between two renewals on a busy machine; a longer one keeps a release waiting.
fn lease(text: &str) -> Result<Duration, String> {
    config::duration(text, Duration::from_secs(1)..=Duration::from_secs(300))
}

/// What tells this process from others where nobody has named it.
fn own_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    let host: String = host.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    format!("{}-{}", host.trim_matches('-'), std::process::id())
}

/// Digests of what files said when they were last looked at.
#[derive(Default)]
struct Watched(HashMap<PathBuf, [u8; 32]>);

impl Watched {
    /// Whether the file, or one that it `names` and that was looked at before, says something else by now. One that cannot be
    /// read will say so when it is read for good.
    fn has_changed(&mut self, file: Option<&Path>, names: &[PathBuf]) -> bool {
        let mut changed = false;
        for path in names.iter().map(PathBuf::as_path).chain(file) {
            let digest = Sha256::digest(config::read_text(path).unwrap_or_default()).into();
            let before = self.0.insert(path.to_owned(), digest);
            changed |= before.is_some_and(|before| before != digest);
        }
        changed
    }
}

async fn serve(
    config: &Config,
    data: Option<&Path>,
    mut watched: Option<Watched>,
    origin: Origin,
    joining: Option<Joining>,
) -> anyhow::Result<()> {
    // Before anything is served, so that no signal finds the default action.
    let mut end = Ends::new()?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut leave = signal(SignalKind::user_defined1())?;
    let mut replace = signal(SignalKind::user_defined2())?;
    let mut running = running::start_with(config, data, origin, joining).context("the proxy could not start")?;
    tracing::info!(
        listen = %running.listen,
        admin = %running.admin,
        workers = config.workers.get(),
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
    systemd::ready();
    let mut watchdog = Watchdog::new(running.status.clone());
    let mut look = tokio::time::interval(LOOK_EVERY);
    let relieved = loop {
        tokio::select! {
            () = end.asked() => break None,
            relieved = running.relieved() => break Some(relieved),
            _ = hang_up.recv() => reload(&running, SIGNAL).await,
            _ = leave.recv() => running.foretell_end(),
            _ = replace.recv() => start_successor(),
            () = watchdog.due() => if !running.has_failed() {
                watchdog.beat();
            },
            _ = look.tick() => {
                if running.has_failed() {
                    bail!("a worker has ended by itself; its log says why");
                }
                if let Some(watched) = &mut watched
                    && watched.has_changed(config.file.as_deref(), &running.files())
                {
                    reload(&running, WATCH).await;
                }
            }
        }
    };
    tracing::info!(wait_seconds = config.drain.wait.as_secs_f64(), "draining");
    let drained = async {
        match relieved {
            None => {
                systemd::stopping();
                running.drain().await
            }
            Some(relieved) => {
                if let Some(by) = relieved.by {
                    systemd::main_is(by);
                }
                running.drain_relieved().await
            }
        }
    };
    let drained = tokio::select! {
        drained = drained => drained,
        never = watchdog.keep() => match never {},
        () = end.asked() => bail!("stopped at once by a second signal"),
    };
    match drained {
        Drained::Idle => tracing::info!("drained"),
        Drained::CutOff => tracing::warn!("the deadline for draining has passed; what still ran was cut off"),
    }
    Ok(())
}

/// The signals that ask for the end.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    fn new() -> io::Result<Ends> {
        Ok(Ends { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What is wrong with the file is in the log, and nothing has changed.
async fn reload(running: &Running, actor: &str) {
    systemd::reloading();
    match running.reloading.reload(actor).await {
        Ok(_) => systemd::ready(),
        Err(error) => systemd::not_reloaded(&error.to_string()),
    }
}

/// Starts the program that is in the place of this one by now, with the same arguments, to take over. It is then of the
/// same service, user and sandbox.
fn start_successor() {
    let mut words = std::env::args_os();
    let Some(program) = words.next() else { return };
    let mut command = Command::new(program);
    command.args(words.filter(|word| word != TAKE_OVER)).arg(TAKE_OVER);
    // They are this process's, and by their absence everybody's.
    command.env_remove("WATCHDOG_PID").env_remove("LISTEN_PID").env_remove("LISTEN_FDS");
    match command.spawn() {
        Ok(mut successor) => {
            tracing::info!(pid = successor.id(), "a successor was started");
            std::thread::spawn(move || {
                if let Ok(status) = successor.wait() {
                    tracing::error!(%status, "the successor has ended");
                }
            });
        }
        Err(error) => tracing::error!(%error, "a successor could not be started"),
    }
}
