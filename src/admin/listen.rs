//! Accepting, until another process does.

use std::io;
use std::net::SocketAddr;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};

use crate::proxy::{Lifecycle, Phase};

/// The admin listener, which is let go of once the phase is [`Phase::Relieved`].
pub(super) struct Door {
    listener: Option<TcpListener>,
    address: SocketAddr,
    lifecycle: Lifecycle,
}

impl Door {
    pub(super) fn new(listener: std::net::TcpListener, lifecycle: Lifecycle) -> io::Result<Door> {
        let address = listener.local_addr()?;
        Ok(Door { listener: Some(TcpListener::from_std(listener)?), address, lifecycle })
    }
}

impl Listener for Door {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        if let Some(listener) = &mut self.listener {
            tokio::select! {
                accepted = Listener::accept(listener) => return accepted,
                _ = self.lifecycle.wait_for(|phase| *phase == Phase::Relieved) => {}
            }
        }
        self.listener = None;
        std::future::pending().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Returns when connections on which nothing comes are to be closed: what has been accepted last was read long ago.
pub(super) async fn idle_ones_go(mut lifecycle: Lifecycle) {
    for phase in [Phase::Relieved, Phase::Closing] {
        if lifecycle.wait_for(|is| *is == phase).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
