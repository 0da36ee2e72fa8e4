//! Connections to endpoints that are told whose a connection is, by the PROXY protocol. Each belongs to one client, rests
//! with it alone, and ends with it at the latest.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use slab::Slab;

use super::endpoint::Endpoint;
use super::pool::{Sendable, Upstream};
use crate::config::ProxyProtocol;
use crate::proxy::wire::Progress;
use crate::proxy::wire::proxy_protocol::{self, Proxied};

/// One client's.
pub(in crate::proxy) struct Own {
    client: Proxied,
    #[expect(clippy::vec_box, reason = "as those of an endpoint")]
    resting: RefCell<Vec<Box<Upstream>>>,
}

/// Whom an endpoint is told of, and how.
#[derive(Clone)]
pub(in crate::proxy) struct Told {
    pub version: ProxyProtocol,
    pub own: Rc<Own>,
}

/// Whose connections an endpoint has, for as long as it has them.
#[derive(Default)]
pub(super) struct Owners(RefCell<Slab<Weak<Own>>>);

/// One connection's place among them.
pub(super) struct Belongs {
    own: Weak<Own>,
    endpoint: Rc<Endpoint>,
    key: usize,
}

/// Of one client, to all endpoints together.
const MOST_RESTING: usize = 16;

impl Own {
    pub(in crate::proxy) fn new(client: Proxied) -> Rc<Own> {
        Rc::new(Own { client, resting: RefCell::default() })
    }

    /// As [`Upstream::resting`].
    pub(super) fn resting(
        &self,
        endpoint: &Endpoint,
        sendable: Sendable,
        progress: &Progress,
    ) -> Option<Box<Upstream>> {
        let mut resting = self.resting.borrow_mut();
        loop {
            let last = resting.iter().rposition(|upstream| {
                Rc::as_ptr(&upstream.endpoint) == std::ptr::from_ref(endpoint) && upstream.may_carry(sendable)
            })?;
            let mut upstream = resting.swap_remove(last);
            if upstream.is_usable(sendable, progress) {
                return Some(upstream);
            }
        }
    }

    pub(super) fn rest(&self, upstream: Box<Upstream>) {
        let mut resting = self.resting.borrow_mut();
        if resting.len() < MOST_RESTING {
            resting.push(upstream);
        }
    }

    fn close(&self, ends: impl Fn(&mut Upstream) -> bool) {
        self.resting.borrow_mut().retain_mut(|upstream| !ends(upstream));
    }
}

impl Told {
    /// What a connection begins with.
    pub(super) fn header(&self) -> Vec<u8> {
        proxy_protocol::written(self.version, self.own.client)
    }

    /// One more connection to `endpoint` is the client's.
    pub(super) fn belongs(&self, endpoint: &Rc<Endpoint>) -> Belongs {
        let key = endpoint.owners.0.borrow_mut().insert(Rc::downgrade(&self.own));
        Belongs { own: Rc::downgrade(&self.own), endpoint: Rc::clone(endpoint), key }
    }
}

impl Owners {
    /// Closes those of the connections that rest of which `ends` says so.
    pub(super) fn close(&self, ends: impl Fn(&mut Upstream) -> bool) {
        // A connection that ends leaves the list.
        let all: Vec<Rc<Own>> = self.0.borrow().iter().filter_map(|(_, own)| own.upgrade()).collect();
        all.iter().for_each(|own| own.close(&ends));
    }
}

impl Belongs {
    /// Whose the connection is, where it may rest; none when its client has gone.
    pub(super) fn own(&self) -> Option<Rc<Own>> {
        self.own.upgrade().filter(|_| !self.endpoint.is_retired())
    }
}

impl Drop for Belongs {
    fn drop(&mut self) {
        self.endpoint.owners.0.borrow_mut().remove(self.key);
    }
}
