//! `portcullis run`: the proxy, until a signal drains it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{self, Environment};
use crate::running::{self, Drained};
use crate::telemetry;

/// Serve until SIGTERM or Ctrl-C, then drain
#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the journal is kept; without it a restart begins in front of all releases
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// How often the workers are looked after.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

impl Run {
    pub(super) fn run(&self) -> anyhow::Result<()> {
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
        runtime.block_on(serve(&config, self.data.as_deref()))
    }
}

async fn serve(config: &config::Config, data: Option<&Path>) -> anyhow::Result<()> {
    // Before anything is served, so that no signal finds the default action.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
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
            _ = look.tick() => if running.has_failed() {
                bail!("a worker has ended by itself; its log says why");
            },
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
