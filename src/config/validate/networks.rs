//! Networks and name servers: lists of addresses.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::too_many;
use crate::config::quantity::{self, quoted};
use crate::config::report::{Scope, Wrong};

const MOST_NETWORKS: usize = 1000;

/// A lookup that asks more of them one after the other takes longer than anybody waits.
const MOST_NAMESERVERS: usize = 8;

pub(super) fn networks(scope: &mut Scope<'_, '_>, key: &str, raw: Vec<Option<String>>) -> Vec<IpNet> {
    if too_many(scope, key, raw.len(), MOST_NETWORKS).is_none() {
        return Vec::new();
    }
    let mut list = scope.key(key);
    let mut networks = Vec::new();
    for (index, text) in raw.into_iter().enumerate() {
        match text.map(|text| quantity::network(&text)) {
            Some(Ok(network)) => networks.push(network),
            Some(Err(wrong)) => list.wrong_element(index, wrong),
            None => {}
        }
    }
    networks
}

pub(super) fn proxied_from(scope: &mut Scope<'_, '_>, raw: Option<Vec<Option<String>>>) -> Option<Vec<IpNet>> {
    let Some(raw) = raw else { return scope.missing("from") };
    if raw.is_empty() {
        let label = "name the networks of the senders, or leave `proxyProtocol` out";
        scope.wrong("from", Wrong::new("is empty", label));
        return None;
    }
    let networks = networks(scope, "from", raw);
    if networks.iter().any(|network| network.prefix_len() == 0) {
        let label = "whoever can connect is believed to be any other";
        scope.report.warn(scope.at.key("from"), Wrong::new("has a network of all addresses", label));
    }
    Some(networks)
}

pub(super) fn nameservers(resolver: &mut Scope<'_, '_>, raw: Option<Vec<Option<String>>>) -> Option<Vec<SocketAddr>> {
    let Some(raw) = raw else { return Some(Vec::new()) };
    too_many(resolver, "nameservers", raw.len(), MOST_NAMESERVERS)?;
    if raw.is_empty() {
        let label = "name at least one, or leave `resolver` out for those of /etc/resolv.conf";
        resolver.wrong("nameservers", Wrong::new("is empty", label));
        return None;
    }
    let mut list = resolver.key("nameservers");
    let mut nameservers = Vec::new();
    for (index, text) in raw.into_iter().enumerate() {
        let Some(text) = text else { continue };
        match quantity::nameserver(&text) {
            Ok(address) if nameservers.contains(&address) => {
                list.wrong_element(index, Wrong::new(format!("{} is in the list already", quoted(&text)), "remove it"));
            }
            Ok(address) => nameservers.push(address),
            Err(wrong) => list.wrong_element(index, wrong),
        }
    }
    Some(nameservers)
}
