//! The open client connections of one worker.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Waker;

use slab::Slab;

use super::park::Unparked;
use crate::proxy::lifecycle::Phase;
use crate::proxy::request::Service;
use crate::proxy::wire::Counted;

pub(in crate::proxy) struct Connections {
    pub service: Rc<Service>,
    pub(super) unparked: Unparked,
    /// The driver of every one, to be woken when the phase changes.
    drivers: RefCell<Slab<Option<Waker>>>,
}

/// A place among them.
pub(super) struct Place {
    connections: Rc<Connections>,
    key: usize,
    _counted: Counted,
}

impl Connections {
    pub(in crate::proxy) fn new(service: Rc<Service>) -> Connections {
        Connections { service, unparked: Unparked::default(), drivers: RefCell::default() }
    }

    /// Whether a descriptor is left for one more.
    pub(super) fn has_room(&self) -> bool {
        let serving = self.service.serving();
        self.service.records.connections() < serving.settings().descriptors.accepting
    }

    /// A place for one more connection; none when the bound is reached.
    pub(super) fn admit(self: &Rc<Self>) -> Option<Place> {
        let mut drivers = self.drivers.borrow_mut();
        (drivers.len() < self.service.serving().settings().connections).then(|| Place {
            connections: Rc::clone(self),
            key: drivers.insert(None),
            _counted: Counted::new(&self.service.records.clients),
        })
    }

    pub(in crate::proxy) fn enter(&self, phase: Phase) {
        self.service.phase.set(phase);
        self.drivers.borrow().iter().filter_map(|(_, driver)| driver.as_ref()).for_each(Waker::wake_by_ref);
    }

    pub(super) fn phase(&self) -> Phase {
        self.service.phase.get()
    }

    pub(in crate::proxy) fn is_empty(&self) -> bool {
        self.drivers.borrow().is_empty()
    }
}

impl Place {
    /// Asks to be woken when the phase changes.
    pub(super) fn wake_by(&self, waker: &Waker) {
        let mut drivers = self.connections.drivers.borrow_mut();
        let driver = &mut drivers[self.key];
        if !driver.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *driver = Some(waker.clone());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.drivers.borrow_mut().remove(self.key);
    }
}
