//! What is known of the client that sent a request.

use std::cell::{OnceCell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use http::HeaderValue;

use super::client_share::Class;
use super::service::{Service, Serving};
use super::tunnel::Tunnel;
use super::via;
use crate::gate::Version;
use crate::proxy::upstream::{Own, Told};
use crate::proxy::wire::Socket;
use crate::proxy::wire::proxy_protocol::{Ends, Proxied};

/// What the client speaks to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Scheme {
    Http,
    Https,
}

pub(in crate::proxy) struct Client {
    pub address: IpAddr,
    /// Its X-Forwarded-* fields are believed.
    pub trusted: bool,
    pub forwarded_for: HeaderValue,
    pub scheme: Scheme,
    /// What its requests' Via says of how they came.
    pub via: HeaderValue,
    /// None where its requests may be those of others.
    pub class: Option<Class>,
    /// Once an endpoint has agreed to leave HTTP.
    pub tunnel: RefCell<Option<Tunnel>>,
    connection: Connection,
    /// Its connections to endpoints that are told of it; none before the first.
    own: OnceCell<Rc<Own>>,
}

/// What is known of a client's connection.
pub(in crate::proxy) struct Connection {
    pub socket: Socket,
    /// Who is at the other end of it.
    pub peer: SocketAddr,
    /// What the peer has said of its client, where it may.
    pub proxied: Proxied,
}

impl Client {
    pub(in crate::proxy) fn new(service: &Service, connection: Connection, scheme: Scheme) -> Client {
        let address = connection.source().ip().to_canonical();
        let serving = service.serving();
        let trusted = serving.settings().trusted_proxies.iter().any(|network| network.contains(&address));
        Client {
            address,
            trusted,
            scheme,
            via: via::by_http1(),
            class: (!trusted).then(|| service.class(address)),
            tunnel: RefCell::new(None),
            connection,
            own: OnceCell::new(),
            forwarded_for: written(address),
        }
    }

    /// Somebody, for whom no service is needed.
    #[cfg(feature = "fuzzing")]
    pub(super) fn fuzzed(trusted: bool, scheme: Scheme) -> Client {
        let peer = SocketAddr::from(([192, 0, 2, 1], 1));
        Client {
            address: peer.ip(),
            trusted,
            scheme,
            via: HeaderValue::from_static("1.1 portcullis"),
            class: None,
            tunnel: RefCell::new(None),
            connection: Connection { socket: Socket::unconnected(), peer, proxied: Proxied::Local },
            own: OnceCell::new(),
            forwarded_for: written(peer.ip()),
        }
    }

    /// The same client, who turned out to speak HTTP/2.
    pub(in crate::proxy) fn by_http2(self) -> Client {
        Client { via: via::by_http2(), ..self }
    }

    /// What the endpoints of `section` are told of it, if they are.
    pub(super) fn told(&self, serving: &Serving, section: Version) -> Option<Told> {
        let version = serving.proxy_protocol(section)?;
        let own = self.own.get_or_init(|| Own::new(self.connection.proxied()));
        Some(Told { version, own: Rc::clone(own) })
    }
}

impl Connection {
    fn source(&self) -> SocketAddr {
        match self.proxied {
            Proxied::Local => self.peer,
            Proxied::By(Ends { source, .. }) => source,
        }
    }

    /// The same in the words of this proxy.
    fn proxied(&self) -> Proxied {
        match (self.proxied, self.socket.local_address()) {
            (Proxied::Local, Ok(Some(destination))) => Proxied::By(Ends { source: self.peer, destination }.canonical()),
            (proxied, _) => proxied,
        }
    }
}

/// What formatting does as well, for ten times as much.
fn written(address: IpAddr) -> HeaderValue {
    let text = match address {
        IpAddr::V4(address) => {
            let (mut text, mut number) = (String::with_capacity("255.255.255.255".len()), itoa::Buffer::new());
            for octet in address.octets() {
                text.push_str(if text.is_empty() { "" } else { "." });
                text.push_str(number.format(octet));
            }
            text
        }
        IpAddr::V6(address) => address.to_string(),
    };
    HeaderValue::try_from(text).expect("an address is a header value")
}

impl Scheme {
    pub(in crate::proxy) const fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_everybody_writes_it() {
        for address in ["0.0.0.0", "127.0.0.1", "9.10.100.255", "::1", "2001:db8::a:0:7"] {
            assert_eq!(written(address.parse().expect("an address")), address);
        }
    }
}
