//! What names were found to be.

use std::collections::{BTreeMap, btree_map};
use std::net::{IpAddr, SocketAddr};

use crate::config::{Authority, Endpoint};

/// Where names lead; of one whose lookup has failed it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(BTreeMap<String, Vec<Site>>);

/// One address that a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    pub ip: IpAddr,
    /// Of a pod; none where whoever names the host says the port.
    pub port: Option<u16>,
}

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
    pub(super) addresses: Vec<Site>,
}

impl Addresses {
    pub fn of(&self, name: &str) -> Option<&[Site]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

impl FromIterator<(String, Vec<Site>)> for Addresses {
    fn from_iter<I: IntoIterator<Item = (String, Vec<Site>)>>(found: I) -> Addresses {
        Addresses(found.into_iter().collect())
    }
}

impl Extend<(String, Vec<Site>)> for Addresses {
    fn extend<I: IntoIterator<Item = (String, Vec<Site>)>>(&mut self, found: I) {
        self.0.extend(found);
    }
}

impl IntoIterator for Addresses {
    type Item = (String, Vec<Site>);
    type IntoIter = btree_map::IntoIter<String, Vec<Site>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<IpAddr> for Site {
    fn from(ip: IpAddr) -> Site {
        Site { ip, port: None }
    }
}

impl From<SocketAddr> for Site {
    fn from(address: SocketAddr) -> Site {
        Site { ip: address.ip(), port: Some(address.port()) }
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
                self.addresses.iter().map(|place| Address::Ip(SocketAddr::new(place.ip, *port))).collect()
            }
            Endpoint::Service(_) => {
                let socket = |place: &Site| Some(SocketAddr::new(place.ip, place.port?));
                self.addresses.iter().filter_map(socket).map(Address::Ip).collect()
            }
            Endpoint::Unix(path) => vec![Address::Unix(path.clone())],
        }
    }
}
