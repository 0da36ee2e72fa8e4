//! What is known of the client that sent a request.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;

use super::client_share::Class;
use super::service::Service;
use super::tunnel::Tunnel;

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
}

impl Client {
    pub(in crate::proxy) fn new(service: &Service, peer: SocketAddr, scheme: Scheme) -> Client {
        let address = peer.ip().to_canonical();
        let serving = service.serving();
        let trusted = serving.settings().trusted_proxies.iter().any(|network| network.contains(&address));
        Client {
            address,
            trusted,
            scheme,
            via: HeaderValue::from_static("1.1 portcullis"),
            class: (!trusted).then(|| service.class(address)),
            tunnel: RefCell::new(None),
            forwarded_for: written(address),
        }
    }

    /// The same client, who turned out to speak HTTP/2.
    pub(in crate::proxy) fn by_http2(self) -> Client {
        Client { via: HeaderValue::from_static("2.0 portcullis"), ..self }
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
