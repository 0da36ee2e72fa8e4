//! The open client connections of one worker.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Waker;

use slab::Slab;

use super::park::Unparked;
use crate::live::Stage;
use crate::measure::Shed;
use crate::proxy::lifecycle::Phase;
use crate::proxy::request::Service;
use crate::proxy::wire::Counted;

pub(in crate::proxy) struct Connections {
    pub service: Rc<Service>,
    pub(super) unparked: Unparked,
    /// The driver of every one, to be woken when the phase changes.
    drivers: RefCell<Slab<Option<Waker>>>,
}

/// Why there is none among them.
pub(super) enum NoPlace {
    Full,
    NoMemory,
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

    /// A place for one more connection.
    pub(super) fn admit(self: &Rc<Self>) -> Result<Place, NoPlace> {
        let mut drivers = self.drivers.borrow_mut();
        if drivers.len() >= self.service.serving().settings().connections {
            return Err(NoPlace::Full);
        }
        if self.service.stage.get() == Stage::Refusing {
            self.service.records.shed(Shed::Connection);
            return Err(NoPlace::NoMemory);
        }
        Ok(Place {
            connections: Rc::clone(self),
            key: drivers.insert(None),
            _counted: Counted::new(&self.service.records.clients),
        })
    }

    /// As [`Service::look`]; and tells every connection where it is to end sooner.
    pub(in crate::proxy) fn look(&self) {
        let before = self.service.stage.get();
        self.service.look();
        if before == Stage::Calm && self.is_short_of_memory() {
            self.wake();
        }
    }

    /// Whether connections are to end as soon as they can.
    pub(super) fn is_short_of_memory(&self) -> bool {
        self.service.stage.get() != Stage::Calm
    }

    pub(in crate::proxy) fn enter(&self, phase: Phase) {
        self.service.phase.set(phase);
        self.service.keeps_alive.set(self.service.keeps_alive.get() && phase == Phase::Serving);
        self.wake();
    }

    fn wake(&self) {
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
