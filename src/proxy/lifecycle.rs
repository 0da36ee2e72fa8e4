//! Where the process is on its way out.

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Serving,
    /// Readiness is off; answers ask clients to reconnect elsewhere.
    Leaving,
    /// Another process has the listening sockets and takes what comes; answers ask clients to reconnect, to it.
    Relieved,
    /// No new connection is taken; the open ones end with their request.
    Closing,
}

/// How the workers hear of it.
pub type Lifecycle = watch::Receiver<Phase>;
