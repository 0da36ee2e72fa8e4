//! How others ask for a change of the release.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::status::Status;
use crate::gate::signal::Posted;
use crate::release::{Input, Refusal};

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// One of the inputs that an operator gives.
    Operator(Input),
    Signal(Posted),
}

/// A change, and where the answer goes: the status after it.
#[derive(Debug)]
pub struct Command {
    pub change: Change,
    pub reply: Reply,
}

pub type Reply = oneshot::Sender<Result<Arc<Status>, Refusal>>;

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

    /// Sends a change and waits until it is in force and recorded.
    pub async fn send(&self, change: Change) -> Result<Arc<Status>, Failed> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Command { change, reply }).await.map_err(|_| Failed::Gone)?;
        answer.await.map_err(|_| Failed::Gone)?.map_err(Failed::Refused)
    }
}
