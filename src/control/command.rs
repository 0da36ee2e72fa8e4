//! How others ask for a change of the release.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::status::Status;
use crate::release::{Refusal, Weight};

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Weight(Weight),
    Start,
    RollBack,
}

/// A change, by whom and why, and where the answer goes: the status after it.
#[derive(Debug)]
pub struct Command {
    pub change: Change,
    pub actor: String,
    pub reason: String,
    pub reply: oneshot::Sender<Result<Arc<Status>, Refusal>>,
}

/// Commands that wait. People send them, so a few are many.
const WAITING: usize = 64;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error(transparent)]
    Refused(Refusal),
    #[error("the proxy is shutting down")]
    Gone,
}

/// Where commands are sent.
#[derive(Clone, Debug)]
pub struct Commands(mpsc::Sender<Command>);

impl Commands {
    pub fn channel() -> (Commands, mpsc::Receiver<Command>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Commands(sender), receiver)
    }

    /// Sends a change and waits until it is in force.
    pub async fn send(&self, change: Change, actor: String, reason: String) -> Result<Arc<Status>, Failed> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Command { change, actor, reason, reply }).await.map_err(|_| Failed::Gone)?;
        answer.await.map_err(|_| Failed::Gone)?.map_err(Failed::Refused)
    }
}
