//! A connection to an address, whatever carries it, with TLS where the endpoint is told by `https://`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};

use crate::config::{Speaks, Transport};
use crate::live::{Address, Known};
use crate::proxy::wire::{Secured, Stream};

/// Between two looks at a full queue of a socket in the file system, of which nobody is told when it has room.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What it takes to speak TLS with one endpoint.
#[derive(Clone)]
pub(super) struct Security {
    client: Arc<ClientConfig>,
    /// For a connection that has to speak HTTP/1.
    only_http1: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// What is proposed to an endpoint that speaks TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Alpn {
    AsConfigured,
    OnlyHttp1,
}

/// Why there is no connection. Several requests may have waited for it.
#[derive(Clone, Debug, thiserror::Error)]
pub(in crate::proxy) enum NoConnection {
    #[error(transparent)]
    Socket(Arc<io::Error>),
    /// There is one, and no agreement on keys.
    #[error("TLS: {0}")]
    Tls(#[source] Arc<io::Error>),
    #[error("the endpoint does not choose HTTP/2")]
    NotHttp2,
    /// It does, and then says something else.
    #[error("the endpoint speaks no HTTP/2: {0}")]
    Malformed(#[source] Arc<h2::Error>),
    /// Its HTTP/2 has no tunnels, and it speaks nothing else.
    #[error("the endpoint takes no extended CONNECT")]
    NoTunnel,
}

impl Security {
    /// None where the endpoint speaks without TLS.
    pub(super) fn of(known: &Known, transport: &Transport) -> Option<Security> {
        let name = transport.name_for(known.declared.server_name()?);
        let client = Arc::new(transport.client());
        let only_http1 = match transport.speaks {
            Speaks::Http1 => Arc::clone(&client),
            Speaks::Http2 | Speaks::Either => Arc::new(transport.client_of_http1()),
        };
        Some(Security { client, only_http1, name })
    }
}

impl NoConnection {
    /// What TLS has to say of it, if anything.
    pub(in crate::proxy) fn tls(&self) -> Option<&rustls::Error> {
        match self {
            NoConnection::Tls(error) => error.get_ref()?.downcast_ref(),
            NoConnection::Socket(_) | NoConnection::NotHttp2 | NoConnection::Malformed(_) | NoConnection::NoTunnel => {
                None
            }
        }
    }

    /// Whether it is this machine, and not the endpoint, that has nothing left for one more connection.
    pub(in crate::proxy) fn is_exhausted(&self) -> bool {
        let ours = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].map(Errno::raw_os_error);
        match self {
            NoConnection::Socket(error) => error.raw_os_error().is_some_and(|code| ours.contains(&code)),
            NoConnection::Tls(_) | NoConnection::NotHttp2 | NoConnection::Malformed(_) | NoConnection::NoTunnel => {
                false
            }
        }
    }
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> NoConnection {
        NoConnection::Socket(Arc::new(error))
    }
}

impl From<h2::Error> for NoConnection {
    fn from(error: h2::Error) -> NoConnection {
        if error.is_io() {
            NoConnection::from(error.into_io().expect("it is one"))
        } else {
            NoConnection::Malformed(Arc::new(error))
        }
    }
}

impl From<io::ErrorKind> for NoConnection {
    fn from(kind: io::ErrorKind) -> NoConnection {
        NoConnection::from(io::Error::from(kind))
    }
}

/// It begins with a header of the PROXY protocol, if there is one.
pub(super) async fn connect(
    address: &Address,
    header: Option<Vec<u8>>,
    security: Option<&Security>,
    alpn: Alpn,
) -> Result<Stream, NoConnection> {
    let mut stream = match address {
        Address::Ip(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Stream::Tcp(stream)
        }
        Address::Unix(path) => unix(path).await.map(Stream::Unix)?,
    };
    if let Some(header) = header {
        stream.write_all(&header).await?;
    }
    match security {
        None => Ok(stream),
        Some(Security { client, only_http1, name }) => {
            let client = if alpn == Alpn::OnlyHttp1 { only_http1 } else { client };
            let agreed = TlsConnector::from(Arc::clone(client)).connect(name.clone(), stream).await;
            agreed
                .map(|tls| Stream::Secured(Box::new(Secured::new(tls))))
                .map_err(|error| NoConnection::Tls(Arc::new(error)))
        }
    }
}

/// Whether HTTP/2 is to be spoken on `stream`.
pub(super) fn speaks_http2(stream: &Stream, security: Option<&Security>, speaks: Speaks) -> Result<bool, NoConnection> {
    match speaks {
        Speaks::Http1 => Ok(false),
        Speaks::Either => Ok(stream.has_agreed_on_http2()),
        Speaks::Http2 if security.is_some() && !stream.has_agreed_on_http2() => Err(NoConnection::NotHttp2),
        Speaks::Http2 => Ok(true),
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
