//! What a connection begins with, before TLS even, that comes from a sender of the PROXY protocol. From a sender that is known
//! a header has to come, so that nobody is taken for the sender itself; from anybody else none is looked for, so that nobody
//! says where it comes from.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::live::Settings;
use crate::measure::ProxyHeader;
use crate::proxy::request::Service;
use crate::proxy::wire::Stream;
use crate::proxy::wire::proxy_protocol::{self, Fault, Proxied};

/// Most headers are shorter; a longer one is read in several steps.
const READ_BYTES: usize = 256;

/// Why a connection that has to begin with a header is closed.
#[derive(Debug, thiserror::Error)]
enum NoHeader {
    #[error("{0}")]
    Fault(#[from] Fault),
    #[error("the connection ended within it")]
    Short,
    /// As balancers do that look whether somebody listens.
    #[error("the connection ended before it")]
    Nothing,
    #[error("it took too long")]
    Timeout,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Whether connections from `peer` begin with a header.
pub(super) fn is_sender(settings: &Settings, peer: SocketAddr) -> bool {
    let senders = &settings.proxied_from;
    !senders.is_empty() && {
        let address = peer.ip().to_canonical();
        senders.iter().any(|network| network.contains(&address))
    }
}

/// Reads the header, and not a byte of what follows, within the time for a request head. None when the connection is to be
/// closed.
pub(super) async fn read(
    service: &Service,
    stream: std::net::TcpStream,
    peer: SocketAddr,
) -> Option<(Stream, Proxied)> {
    let longest = service.serving().settings().timeouts.request_head;
    let read = tokio::time::timeout(longest, header(stream)).await.unwrap_or(Err(NoHeader::Timeout));
    let counted = match &read {
        Ok(_) => Some(ProxyHeader::Success),
        Err(NoHeader::Fault(Fault::Missing)) => Some(ProxyHeader::Missing),
        Err(NoHeader::Fault(Fault::TooLarge)) => Some(ProxyHeader::TooLarge),
        Err(NoHeader::Fault(Fault::Malformed | Fault::Checksum) | NoHeader::Short) => Some(ProxyHeader::Malformed),
        Err(NoHeader::Timeout) => Some(ProxyHeader::Timeout),
        Err(NoHeader::Nothing | NoHeader::Io(_)) => None,
    };
    counted.into_iter().for_each(|header| service.records.read_proxy_header(header));
    read.inspect_err(|error| tracing::debug!(%error, %peer, "no PROXY header")).ok()
}

async fn header(stream: std::net::TcpStream) -> Result<(Stream, Proxied), NoHeader> {
    let stream = TcpStream::from_std(stream)?;
    let (mut header, mut bytes) = (Vec::new(), [0; READ_BYTES]);
    loop {
        let came = stream.peek(&mut bytes).await?;
        if came == 0 {
            return Err(if header.is_empty() { NoHeader::Nothing } else { NoHeader::Short });
        }
        let before = header.len();
        header.extend_from_slice(&bytes[..came]);
        let length = proxy_protocol::length(&header)?;
        // While its length is not known all of it is the header's.
        let ours = length.map_or(came, |length| came.min(length - before));
        let taken = stream.try_read(&mut bytes[..ours])?;
        header.truncate(before + taken);
        if length == Some(header.len()) {
            return Ok((Stream::Tcp(stream), proxy_protocol::read(&header)?));
        }
    }
}
