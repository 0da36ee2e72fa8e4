//! What names were found to be.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::config::{Authority, Endpoint};

/// The addresses of names; of one whose lookup has failed there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(BTreeMap<String, Vec<IpAddr>>);

/// Where connections to one endpoint go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Ip(SocketAddr),
    /// By the path of a socket.
    Unix(String),
}

/// A declared endpoint: one address, or a name and the addresses that it stands for.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) endpoint: Endpoint,
    /// None where the endpoint is no host.
    pub(super) addresses: Vec<IpAddr>,
}

impl Addresses {
    pub fn of(&self, name: &str) -> Option<&[IpAddr]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

impl FromIterator<(String, Vec<IpAddr>)> for Addresses {
    fn from_iter<I: IntoIterator<Item = (String, Vec<IpAddr>)>>(found: I) -> Addresses {
        Addresses(found.into_iter().collect())
    }
}

impl Declared {
    /// None where there is nothing to look up.
    pub(super) fn name(&self) -> Option<&str> {
        self.endpoint.name()
    }

    pub(super) fn all(&self) -> Vec<Address> {
        match &self.endpoint {
            Endpoint::At(Authority { port, .. }) | Endpoint::Secured(Authority { port, .. }) => {
                self.addresses.iter().map(|address| Address::Ip(SocketAddr::new(*address, *port))).collect()
            }
            Endpoint::Unix(path) => vec![Address::Unix(path.clone())],
        }
    }
}
