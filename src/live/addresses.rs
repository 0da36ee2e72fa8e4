//! What names were found to be.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::config::Authority;

/// The addresses of names; of one whose lookup has failed there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(BTreeMap<String, Vec<IpAddr>>);

/// A declared endpoint: an address, or a name and the addresses that it stands for.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) authority: Authority,
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
    /// None where the endpoint is an address.
    pub(super) fn name(&self) -> Option<&str> {
        self.authority.name()
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.iter().map(|address| SocketAddr::new(*address, self.authority.port))
    }
}
