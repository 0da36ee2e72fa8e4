//! Where an endpoint is reached.

use std::net::IpAddr;

use tokio_rustls::rustls::pki_types::ServerName;

use super::service::Service;
use super::transport::server_name;

/// Where an endpoint is reached, as it was declared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `host:port`. A name is an endpoint for each of its addresses.
    At(Authority),
    /// `https://host:port`: the same with TLS.
    Secured(Authority),
    /// `unix:/path`: a socket in the file system, by its absolute path.
    Unix(String),
    /// All pods of a Service of Kubernetes, or a part of them.
    Service(Service),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    pub host: String,
    pub port: u16,
}

impl Endpoint {
    /// None of a socket in the file system, and of a Service.
    pub fn authority(&self) -> Option<&Authority> {
        match self {
            Endpoint::At(authority) | Endpoint::Secured(authority) => Some(authority),
            Endpoint::Unix(_) | Endpoint::Service(_) => None,
        }
    }

    /// The host, where that is an address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.authority()?.ip()
    }

    /// What has to be looked up: the host where that is a name, or the Service.
    pub fn name(&self) -> Option<&str> {
        match self {
            Endpoint::At(authority) | Endpoint::Secured(authority) => authority.name(),
            Endpoint::Unix(_) => None,
            Endpoint::Service(service) => Some(service.as_str()),
        }
    }

    /// What goes into the Host field where no client says it.
    pub fn host(&self) -> String {
        match self {
            Endpoint::At(authority) | Endpoint::Secured(authority) => authority.to_string(),
            Endpoint::Unix(_) => "localhost".to_owned(),
            Endpoint::Service(service) => service.name.clone(),
        }
    }

    /// What its certificate is for, where it has one.
    pub fn server_name(&self) -> Option<ServerName<'static>> {
        let Endpoint::Secured(authority) = self else { return None };
        Some(server_name(&authority.host).expect("a validated host is a name or an address"))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Endpoint::At(authority) => authority.fmt(f),
            Endpoint::Secured(authority) => write!(f, "https://{authority}"),
            Endpoint::Unix(path) => write!(f, "unix:{path}"),
            Endpoint::Service(service) => service.fmt(f),
        }
    }
}

impl Authority {
    /// The host, where that is an address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The host, where that has to be looked up.
    pub fn name(&self) -> Option<&str> {
        self.ip().is_none().then_some(self.host.as_str())
    }
}

impl std::fmt::Display for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
