//! The sockets that a proxy accepts on: bound by itself, or inherited from systemd or from the process before it.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

use crate::config::Config;
use crate::{admin, proxy};

/// Open for whoever connects, whether somebody accepts already or not.
#[derive(Debug)]
pub struct Listeners {
    /// One for each worker.
    pub workers: Vec<TcpListener>,
    pub admin: TcpListener,
}

/// Why inherited sockets are not served on.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("{key} is {configured} in the configuration, and the socket inherited for it listens on {inherited}")]
    Address { key: &'static str, configured: SocketAddr, inherited: SocketAddr },
    #[error("workers is {configured} in the configuration, and {inherited} sockets are inherited for them")]
    Workers { configured: usize, inherited: usize },
    #[error("no socket is inherited for {0}")]
    Missing(&'static str),
    #[error("socket {number} of LISTEN_FDS: {source}")]
    Socket { number: usize, source: io::Error },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How systemd names the socket of the admin API: `FileDescriptorName=admin`.
const ADMIN: &str = "admin";

impl Listeners {
    pub fn bind(config: &Config) -> io::Result<Listeners> {
        let workers = proxy::bind(config.listen, config.workers.get())?.listeners;
        Ok(Listeners { workers, admin: admin::bind(config.admin.listen)? })
    }

    /// What systemd has bound for this process, and binds what it has not; none when it has bound nothing. Call it before
    /// there are threads: it clears the environment.
    pub fn inherited(config: &Config) -> Result<Option<Listeners>, Unfit> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names: Vec<&str> = names.split(':').collect();
        let mut sockets = ListenFd::from_env();
        let (mut workers, mut admin) = (Vec::new(), None);
        for number in 0..sockets.len() {
            let socket = sockets.take_tcp_listener(number).map_err(|source| Unfit::Socket { number, source })?;
            let Some(socket) = socket else { continue };
            socket.set_nonblocking(true)?;
            if names.get(number) == Some(&ADMIN) { admin = Some(socket) } else { workers.push(socket) }
        }
        if workers.is_empty() && admin.is_none() {
            return Ok(None);
        }
        let wanted = config.workers.get();
        match workers.len() {
            0 => workers = proxy::bind(config.listen, wanted)?.listeners,
            // The kernel wakes whichever worker is free.
            1 => {
                let shared = (1..wanted).map(|_| workers[0].try_clone()).collect::<io::Result<Vec<_>>>()?;
                workers.extend(shared);
            }
            _ => {}
        }
        let admin = admin.map_or_else(|| admin::bind(config.admin.listen), Ok)?;
        let listeners = Listeners { workers, admin };
        listeners.check(config)?;
        Ok(Some(listeners))
    }

    /// Whether the configuration is about these. Port 0 is about every port.
    pub fn check(&self, config: &Config) -> Result<(), Unfit> {
        let (configured, inherited) = (config.workers.get(), self.workers.len());
        if configured != inherited {
            return Err(Unfit::Workers { configured, inherited });
        }
        let of_workers = self.workers.iter().map(|socket| ("listen", config.listen, socket));
        for (key, configured, socket) in of_workers.chain([("admin.listen", config.admin.listen, &self.admin)]) {
            let inherited = socket.local_addr()?;
            let port = if configured.port() == 0 { 0 } else { inherited.port() };
            if configured.ip() != inherited.ip() || configured.port() != port {
                return Err(Unfit::Address { key, configured, inherited });
            }
        }
        Ok(())
    }

    /// More descriptors of the same sockets.
    pub fn try_clone(&self) -> io::Result<Listeners> {
        let workers = self.workers.iter().map(TcpListener::try_clone).collect::<io::Result<Vec<_>>>()?;
        Ok(Listeners { workers, admin: self.admin.try_clone()? })
    }
}
