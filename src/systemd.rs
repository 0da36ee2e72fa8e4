//! What systemd, or whoever else reads `NOTIFY_SOCKET`, is told of the process: `sd_notify(3)`. Nothing where nobody does.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::control::status::Status;

/// Signs of life, as often as systemd wants them.
pub struct Watchdog {
    every: Option<Interval>,
    /// `control` publishes at each tick: a status that stays the same is one of a `control` that hangs.
    status: watch::Receiver<Arc<Status>>,
}

/// The process serves, or serves by another configuration.
pub fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The configuration is read again; [`ready`] or [`not_reloaded`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => untold(&error),
    }
}

/// The process goes on by the configuration that it has.
pub fn not_reloaded(why: &str) {
    let line = format!("serving; the last configuration was not loaded: {}", why.lines().next().unwrap_or_default());
    tell(&[NotifyState::Ready, NotifyState::Status(&line)]);
}

pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// The service is another process from here on. Only the one that it was may say so.
pub fn main_is(pid: u32) {
    tell(&[NotifyState::MainPid(pid)]);
}

impl Watchdog {
    pub fn new(status: watch::Receiver<Arc<Status>>) -> Watchdog {
        let half = sd_notify::watchdog_enabled().map(|longest| longest / 2);
        let every = half.filter(|half| !half.is_zero()).map(|half| {
            let mut every = interval(half);
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
            every
        });
        Watchdog { every, status }
    }

    /// Returns when it is time for a sign, if there is one to give. Cancel safe.
    pub async fn due(&mut self) {
        let Some(every) = &mut self.every else { return std::future::pending().await };
        loop {
            every.tick().await;
            if self.status.has_changed().unwrap_or(false) {
                self.status.mark_unchanged();
                return;
            }
        }
    }

    /// Gives signs for as long as it is polled.
    pub async fn keep(&mut self) -> Infallible {
        loop {
            self.due().await;
            self.beat();
        }
    }

    pub fn beat(&self) {
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        untold(&error);
    }
}

fn untold(error: &io::Error) {
    tracing::warn!(%error, "systemd could not be told");
}
