//! A connection to an address, whatever carries it, with TLS where the endpoint is told by `https://`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};

use crate::config::Transport;
use crate::live::{Address, Known};
use crate::proxy::wire::{Secured, Stream};

/// Between two looks at a full queue of a socket in the file system, of which nobody is told when it has room.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What it takes to speak TLS with one endpoint.
#[derive(Clone)]
pub(super) struct Security {
    client: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(in crate::proxy) enum NoConnection {
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// There is one, and no agreement on keys.
    #[error("TLS: {0}")]
    Tls(#[source] io::Error),
}

impl Security {
    /// None where the endpoint speaks without TLS.
    pub(super) fn of(known: &Known, transport: &Transport) -> Option<Security> {
        let name = transport.name_for(known.declared.server_name()?);
        Some(Security { client: Arc::new(transport.client()), name })
    }
}

impl NoConnection {
    /// What TLS has to say of it, if anything.
    pub(in crate::proxy) fn tls(&self) -> Option<&rustls::Error> {
        match self {
            NoConnection::Tls(error) => error.get_ref()?.downcast_ref(),
            NoConnection::Socket(_) => None,
        }
    }
}

pub(super) async fn connect(address: &Address, security: Option<&Security>) -> Result<Stream, NoConnection> {
    let stream = match address {
        Address::Ip(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Stream::Tcp(stream)
        }
        Address::Unix(path) => unix(path).await.map(Stream::Unix)?,
    };
    match security {
        None => Ok(stream),
        Some(Security { client, name }) => {
            let agreed = TlsConnector::from(Arc::clone(client)).connect(name.clone(), stream).await;
            agreed.map(|tls| Stream::Secured(Box::new(Secured::new(tls)))).map_err(NoConnection::Tls)
        }
    }
}

/// Waits for room in the queue, as TCP does by itself.
async fn unix(path: &str) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(LOOK_AGAIN).await,
            connected => return connected,
        }
    }
}
