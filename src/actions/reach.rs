//! Connections of actions, and to whom there are none.
//!
//! What a configuration names may resolve to anything, also to the address that gives a cloud's credentials away. So the
//! address is looked at that is connected to, whatever the name was looked up to before. Absent: proxies on the way out, and
//! redirects.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::exchange::{Answer, MOST_ANSWER_BYTES, Request};
use crate::config::{Authority, Endpoint, Speaks, Transport};
use crate::gate::Version;
use crate::live::{Address, Known, Live};
use crate::resolve::Lookups;
use crate::routing::Routing;

/// Who can be reached.
#[derive(Clone)]
pub struct Reach {
    lookups: Lookups,
    /// Hosts, as URLs have them, that may have any address.
    allow: Arc<[String]>,
    routing: Arc<Routing<Live>>,
}

/// Why nothing was sent, or nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    #[error("{0} has no address")]
    NoAddress(String),
    #[error("{host} is at {address}, which is {what}: nothing is sent there unless `runbook.allow` names the host")]
    Forbidden { host: String, address: IpAddr, what: &'static str },
    #[error("the connection failed: {0}")]
    Connect(#[from] io::Error),
    #[error("no valid answer: {0}")]
    Http(#[from] hyper::Error),
}

trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

const AGENT: HeaderValue = HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION")));

/// With one address, so that another of the same name gets its turn.
const CONNECT: Duration = Duration::from_secs(5);

/// Made when the first action needs it.
static TRUSTED: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| Arc::new(Transport::default().client_of_http1()));

impl Reach {
    pub fn new(lookups: Lookups, allow: Arc<[String]>, routing: Arc<Routing<Live>>) -> Reach {
        Reach { lookups, allow, routing }
    }

    /// The addresses of a host that may be connected to, at least one.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Unreachable> {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let found = match bare.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let endpoint = Endpoint::At(Authority { host: bare.clone(), port });
                let found = self.lookups.of([&endpoint]).await;
                found.of(&bare).unwrap_or_default().iter().map(|place| place.ip).collect()
            }
        };
        let Some(first) = found.first() else { return Err(Unreachable::NoAddress(host.to_owned())) };
        if self.allow.contains(&bare) {
            return Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect());
        }
        let permitted = found.iter().filter(|address| forbidden(**address).is_none());
        let permitted: Vec<SocketAddr> = permitted.map(|address| SocketAddr::new(*address, port)).collect();
        match forbidden(*first) {
            Some(what) if permitted.is_empty() => {
                Err(Unreachable::Forbidden { host: host.to_owned(), address: *first, what })
            }
            Some(_) | None => Ok(permitted),
        }
    }

    /// Sends a request on a connection of its own. What a redirect names is not asked.
    pub async fn send(&self, request: Request) -> Result<Answer, Unreachable> {
        let secured = request.uri.scheme_str() == Some("https");
        let host = request.uri.host().unwrap_or_default().to_owned();
        let port = request.uri.port_u16().unwrap_or(if secured { 443 } else { 80 });
        let stream = first_of(&self.addresses(&host, port).await?).await?;
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let stream: Box<dyn Connection> = if secured {
            let name = ServerName::try_from(bare).map_err(io::Error::other)?;
            Box::new(TlsConnector::from(Arc::clone(&TRUSTED)).connect(name, stream).await?)
        } else {
            Box::new(stream)
        };
        let authority = request.uri.authority().map(ToString::to_string).unwrap_or_default();
        exchange(stream, request, &authority, Speaks::Http1).await
    }

    /// The endpoints of a version as of now, with how they are connected to.
    pub fn endpoints(&self, version: Version) -> Vec<(Arc<Known>, Transport)> {
        let (live, section) = (self.routing.live(), self.routing.table().roles.section(version));
        let transport = live.transports.of(section);
        live.upstreams.of(section).iter().map(|known| (Arc::clone(known), transport.clone())).collect()
    }

    /// Sends a request to one endpoint of a version.
    pub async fn ask(known: &Known, transport: &Transport, request: Request) -> Result<Answer, Unreachable> {
        let stream: Box<dyn Connection> = match &known.address {
            Address::Ip(address) => Box::new(first_of(&[*address]).await?),
            Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
        };
        let stream: Box<dyn Connection> = match known.declared.server_name() {
            None => stream,
            Some(own) => {
                let client = Arc::new(transport.client());
                Box::new(TlsConnector::from(client).connect(transport.name_for(own), stream).await?)
            }
        };
        let speaks = match transport.speaks {
            Speaks::Http2 => Speaks::Http2,
            Speaks::Http1 | Speaks::Either => Speaks::Http1,
        };
        exchange(stream, request, &known.declared.host(), speaks).await
    }
}

impl Unreachable {
    /// Whether another attempt would end as this one.
    pub fn is_final(&self) -> bool {
        matches!(self, Unreachable::Forbidden { .. })
    }
}

/// What an address is that no host may have unless it is allowed.
fn forbidden(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => forbidden_v4(address),
        IpAddr::V6(address) => forbidden_v6(address),
    }
}

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    const METADATA: [Ipv4Addr; 3] =
        [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
    if METADATA.contains(&address) {
        return Some("a cloud's metadata");
    }
    match address.octets() {
        [0, ..] => Some("unspecified"),
        [127, ..] => Some("loopback"),
        [169, 254, 169, 254] => Some("a cloud's metadata"),
        [169, 254, ..] => Some("link-local"),
        [224..=239, ..] => Some("multicast"),
        [255, 255, 255, 255] => Some("broadcast"),
        _ => None,
    }
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    let of_v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        forbidden_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        // IPv4-mapped, IPv4-compatible, and what NAT64 and 6to4 make of IPv4.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            of_v4(high, low)
        }
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Some("a cloud's metadata"),
        [first, ..] if first & 0xffc0 == 0xfe80 => Some("link-local"),
        [first, ..] if first & 0xff00 == 0xff00 => Some("multicast"),
        _ => None,
    }
}

async fn first_of(addresses: &[SocketAddr]) -> Result<TcpStream, Unreachable> {
    let mut failure = io::Error::from(io::ErrorKind::NotConnected);
    for address in addresses {
        match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => failure = error,
            Err(_) => failure = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failure.into())
}

async fn exchange(
    stream: Box<dyn Connection>,
    request: Request,
    authority: &str,
    speaks: Speaks,
) -> Result<Answer, Unreachable> {
    let Request { method, uri, headers, body } = request;
    let target = match speaks {
        Speaks::Http2 => uri,
        Speaks::Http1 | Speaks::Either => {
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            path.parse::<Uri>().map_err(io::Error::other)?
        }
    };
    let mut sent =
        http::Request::builder().method(method).uri(target).body(Full::new(body)).map_err(io::Error::other)?;
    sent.headers_mut().extend(headers);
    sent.headers_mut().insert(USER_AGENT, AGENT);
    let response = if speaks == Speaks::Http2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        sender.send_request(sent).await?
    } else {
        sent.headers_mut().insert(HOST, HeaderValue::try_from(authority).map_err(io::Error::other)?);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        sender.send_request(sent).await?
    };
    let (head, mut body) = response.into_parts();
    let mut read = BytesMut::new();
    while read.len() < MOST_ANSWER_BYTES
        && let Some(frame) = body.frame().await
    {
        if let Ok(data) = frame?.into_data() {
            read.extend_from_slice(&data[..data.len().min(MOST_ANSWER_BYTES - read.len())]);
        }
    }
    Ok(Answer { status: head.status, headers: head.headers, body: Bytes::from(read) })
}
