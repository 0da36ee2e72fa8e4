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
    Unbound(#[from] Unbound),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// An address of the configuration that is not to be had.
#[derive(Debug, thiserror::Error)]
#[error("`{key}`: {address} cannot be listened on: {error}{}", remedy(error, *address))]
pub struct Unbound {
    key: &'static str,
    address: SocketAddr,
    error: io::Error,
}

/// How systemd names the socket of the admin API: `FileDescriptorName=admin`.
const ADMIN: &str = "admin";

impl Listeners {
    pub fn bind(config: &Config) -> Result<Listeners, Unbound> {
        Ok(Listeners { workers: bind_workers(config)?, admin: bind_admin(config)? })
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
            0 => workers = bind_workers(config)?,
            // The kernel wakes whichever worker is free.
            1 => {
                let shared = (1..wanted).map(|_| workers[0].try_clone()).collect::<io::Result<Vec<_>>>()?;
                workers.extend(shared);
            }
            _ => {}
        }
        let admin = admin.map_or_else(|| bind_admin(config), Ok)?;
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

fn bind_workers(config: &Config) -> Result<Vec<TcpListener>, Unbound> {
    let address = config.listen;
    let sockets = proxy::bind(address, config.workers.get());
    sockets.map(|sockets| sockets.listeners).map_err(|error| Unbound { key: "listen", address, error })
}

fn bind_admin(config: &Config) -> Result<TcpListener, Unbound> {
    let address = config.admin.listen;
    admin::bind(address).map_err(|error| Unbound { key: "admin.listen", address, error })
}

/// What would help, where that is known.
fn remedy(error: &io::Error, address: SocketAddr) -> &'static str {
    use io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    match error.kind() {
        AddrInUse => "; another process listens there: stop it, or choose another port",
        AddrNotAvailable => "; this machine has no such address: choose one that it has, or 0.0.0.0 for all",
        PermissionDenied if address.port() < 1024 => {
            "; ports below 1024 are privileged: choose a higher one, or grant CAP_NET_BIND_SERVICE"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_privileged_port_is_told_by_its_key_and_with_what_would_help() {
        let (address, error) = (SocketAddr::from(([0, 0, 0, 0], 80)), io::Error::from_raw_os_error(13));
        let told = Unbound { key: "listen", address, error }.to_string();
        assert!(told.starts_with("`listen`: 0.0.0.0:80 cannot be listened on: Permission denied"), "{told}");
        assert!(told.ends_with("choose a higher one, or grant CAP_NET_BIND_SERVICE"), "{told}");
    }
}
