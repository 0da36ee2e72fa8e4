//! The other addresses of an endpoint's name: those of the other family.

use std::net::SocketAddr;
use std::rc::Rc;

use super::endpoint::Endpoint;
use crate::live::{Address, Known, Stands};

/// What can be out of reach as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    IpV4,
    IpV6,
    Unix,
}

impl Family {
    pub(super) fn of(known: &Known) -> Family {
        match known.address {
            Address::Ip(SocketAddr::V4(_)) => Family::IpV4,
            Address::Ip(SocketAddr::V6(_)) => Family::IpV6,
            Address::Unix(_) => Family::Unix,
        }
    }
}

/// Whether both are addresses of one name, in different families.
pub(super) fn are_twins(one: &Known, other: &Known) -> bool {
    Family::of(one) != Family::of(other) && one.declared == other.declared
}

/// A twin of `endpoint` that takes requests and is not in `tried`.
pub(in crate::proxy) fn twin(
    endpoints: &[Rc<Endpoint>],
    endpoint: &Endpoint,
    tried: &[Rc<Endpoint>],
    random: &mut fastrand::Rng,
) -> Option<Rc<Endpoint>> {
    let twins = || {
        endpoints.iter().filter(|other| {
            let is_well = other.known.is_healthy() && other.known.stands() == Stands::In;
            is_well && are_twins(&endpoint.known, &other.known) && !tried.iter().any(|tried| Rc::ptr_eq(tried, other))
        })
    };
    match twins().count() {
        0 => None,
        count => twins().nth(random.usize(..count)).cloned(),
    }
}
