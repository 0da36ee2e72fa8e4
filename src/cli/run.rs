//! `portcullis run`: the proxy, until a signal drains it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{self, Config, Environment};
use crate::running::{self, Drained};
use crate::telemetry;

/// Serve until SIGTERM or Ctrl-C, then drain
#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Read the configuration again whenever its file has changed, as a mounted ConfigMap does
    #[arg(long)]
    watch: bool,
    /// Where the journal is kept; without it a restart begins in front of all releases
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// How often the workers are looked after.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// Who reads the configuration again.
const SIGNAL: &str = "SIGHUP";
const WATCH: &str = "watch";

impl Run {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let mut watched = self.watch.then(Watched::default);
        if let Some(watched) = &mut watched {
            // Before it is read for good, so that no change in between is missed.
            watched.has_changed(&self.config);
        }
        let config = match config::load(&self.config, &Environment::of_process()) {
            Ok(config) => config,
            Err(faults) => {
                anstream::eprintln!("{}", faults.styled());
                bail!("{} is not usable", self.config.display());
            }
        };
        telemetry::logs();
        for warning in config.warnings.iter() {
            let (line, column) = warning.position().unzip();
            tracing::warn!(file = warning.file(), line, column, why = warning.label(), "{}", warning.message());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(serve(&config, self.data.as_deref(), watched))
    }
}

/// The file, and what it said when it was last looked at.
#[derive(Default)]
struct Watched {
    text: String,
}

impl Watched {
    /// Whether the file says something else by now. One that cannot be read will say so when it is read for good.
    fn has_changed(&mut self, file: &Path) -> bool {
        let text = config::read_text(file).unwrap_or_default();
        let changed = self.text != text;
        self.text = text;
        changed
    }
}

async fn serve(config: &Config, data: Option<&Path>, mut watched: Option<Watched>) -> anyhow::Result<()> {
    // Before anything is served, so that no signal finds the default action.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let running = running::start(config, data).context("the proxy could not start")?;
    tracing::info!(
        listen = %running.listen,
        admin = %running.admin,
        workers = config.workers.get(),
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            // What is wrong with the file is in the log, and nothing has changed.
            _ = hang_up.recv() => {
                _ = running.reloading.reload(SIGNAL).await;
            }
            _ = look.tick() => {
                if running.has_failed() {
                    bail!("a worker has ended by itself; its log says why");
                }
                if let (Some(watched), Some(file)) = (&mut watched, &config.file)
                    && watched.has_changed(file)
                {
                    _ = running.reloading.reload(WATCH).await;
                }
            }
        }
    }
    tracing::info!(wait_seconds = config.drain.wait.as_secs_f64(), "draining");
    let drained = tokio::select! {
        drained = running.drain() => drained,
        _ = terminate.recv() => bail!("stopped at once by a second signal"),
        _ = interrupt.recv() => bail!("stopped at once by a second signal"),
    };
    match drained {
        Drained::Idle => tracing::info!("drained"),
        Drained::CutOff => tracing::warn!("the deadline for draining has passed; what still ran was cut off"),
    }
    Ok(())
}
