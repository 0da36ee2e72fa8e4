//! `portcullis demo`: blue, green, load and the real proxy in one process, and a release that goes bad.
//!
//! [`setup`] chooses the ports and writes the configuration, [`backend`] is blue and green, [`load`] the clients,
//! [`fault`] the ways to go bad; [`story`] plays the release, [`screen`] shows it, [`expected`] judges it.

mod backend;
mod expected;
mod fault;
mod load;
mod screen;
mod setup;
mod story;

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use backend::Backend;
use fault::Fault;
use load::Load;
use screen::{Screen, Tone};
use setup::{ADMIN_PORT, BLUE, Claim, GREEN, PROXY_PORT};
use story::Story;

use super::client::Admin;
use crate::gate::ByVersion;
use crate::gate::verdict::count;
use crate::running::{self, Origin, Running};

/// Watch a release go bad and roll back: blue, green, load and the proxy in one process
#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// How green goes bad
    #[arg(long, value_enum, default_value_t = Fault::Errors)]
    fault: Fault,
    /// End after one release; the exit code says whether what happened is what should have
    #[arg(long)]
    exit: bool,
}

/// The release takes 8 to 20 s, more where the machine is busy.
const LONGEST: Duration = Duration::from_secs(50);

/// How long after that a proxy that says nothing is waited for.
const SILENCE: Duration = Duration::from_secs(5);

impl Demo {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(self.play())
    }

    async fn play(&self) -> anyhow::Result<()> {
        // Before anything is printed, so that whoever reads it can end this.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let blue = Backend::start(BLUE, load::AFTER).await?;
        let green = Backend::start(GREEN, load::AFTER).await?;
        let [proxy, admin] = [PROXY_PORT, ADMIN_PORT].map(Claim::new);
        let addresses = ByVersion { blue: blue.address, green: green.address };
        let config = setup::configuration(proxy.address, admin.address, addresses)?;
        let journal = tempfile::Builder::new().prefix("portcullis-demo-").tempdir()?;
        let running = running::start(&config, Some(journal.path()), Origin::Configuration)
            .context("the proxy could not start")?;
        let plan = running.status.borrow().plan.clone().context("the demo has a plan")?;
        let screen = Screen::new(&plan.steps);
        self.introduce(&screen, &running);

        let load = Load::start(running.listen);
        let mut story = Story {
            fault: self.fault,
            screen: &screen,
            load: &load,
            green,
            admin: Admin::at(running.admin)?,
            admin_address: running.admin,
            steps: plan.steps.iter().map(|step| step.weight).collect(),
            status: running.status.clone(),
            events: running.events.listen(),
            deadline: Instant::now() + LONGEST,
            bad_since: None,
        };
        let ended = tokio::select! {
            ended = self.tell(&mut story) => ended,
            _ = interrupt.recv() => {
                if self.exit {
                    Err(anyhow!("interrupted before the release was over"))
                } else {
                    Ok(())
                }
            }
        };
        screen.end();
        drop(load);
        running.drain().await;
        ended
    }

    /// Plays one release. Without `--exit` it never comes back, but with an error.
    async fn tell(&self, story: &mut Story<'_>) -> anyhow::Result<()> {
        // The story has a deadline of its own, but it is looked at only while the proxy says something.
        let told = tokio::time::timeout(LONGEST + SILENCE, story.tell()).await;
        let unmet = told.context("the proxy has fallen silent")??.unmet(self.fault);
        if self.exit && !unmet.is_empty() {
            bail!("{}", unmet.join("\n       "));
        }
        if self.exit {
            story.screen.print("", Tone::Plain);
            story.screen.print("This is what should have happened.", Tone::Good);
            return Ok(());
        }
        unmet.iter().for_each(|unmet| story.screen.print(unmet, Tone::Bad));
        story.screen.print("", Tone::Plain);
        story.screen.print("The proxy serves until Ctrl-C. To begin a new release, and to see it:", Tone::Plain);
        let operate = |command: &str| match story.admin_address.port() {
            ADMIN_PORT => format!("  portcullis {command}"),
            _ => format!("  portcullis {command} --admin http://{}", story.admin_address),
        };
        story.screen.print(&operate("release start"), Tone::Plain);
        story.screen.print(&operate("watch"), Tone::Plain);
        loop {
            story.look().await?;
        }
    }

    fn introduce(&self, screen: &Screen, running: &Running) {
        let Running { listen, admin, .. } = running;
        let print = |line: &str| screen.print(line, Tone::Plain);
        let plot = match self.fault {
            Fault::None => "which stays well".to_owned(),
            fault => format!("which goes bad on the way: it {}", fault.deed()),
        };
        print(&format!("A release from blue ({BLUE}) to green ({GREEN}), {plot}."));
        print("");
        print(&format!("  dashboard   http://{admin}/"));
        print(&format!("  service     curl -i http://{listen}/"));
        print(&format!("  status      curl http://{admin}/v1/status"));
        print(&format!("  Prometheus  curl http://{admin}/metrics"));
        let (clients, rate) = (load::CLIENTS, count(load::REQUESTS_PER_SECOND.into()));
        print(&format!("  load        {clients} clients, {rate} requests a second"));
        print("");
        setup::POLICY.lines().for_each(|line| print(&format!("  {line}")));
        print("");
    }
}
