//! The open client connections of one worker.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use slab::Slab;

use super::park::Unparked;
use crate::live::{Settings, Stage};
use crate::measure::Shed;
use crate::proxy::lifecycle::Phase;
use crate::proxy::request::Service;
use crate::proxy::wire::Counted;

pub(in crate::proxy) struct Connections {
    pub service: Rc<Service>,
    pub(super) unparked: Unparked,
    drivers: RefCell<Slab<Driver>>,
    /// Those that have come since the last call, with some that have gone.
    new: RefCell<Vec<usize>>,
}

/// Why there is none among them.
pub(super) enum NoPlace {
    Full,
    NoMemory,
}

/// What drives one of them, to be woken when the phase changes.
struct Driver {
    waker: Option<Waker>,
    /// It has not been called.
    is_new: bool,
}

/// A new connection is called within this time. Until then it needs no timer for what is due later, and most that carry one
/// request are over by then.
pub(in crate::proxy) const CALLED_WITHIN: Duration = Duration::from_millis(100);

/// A place among them.
pub(super) struct Place {
    connections: Rc<Connections>,
    key: usize,
    _counted: Counted,
}

impl Connections {
    pub(in crate::proxy) fn new(service: Rc<Service>) -> Connections {
        Connections { service, unparked: Unparked::default(), drivers: RefCell::default(), new: RefCell::default() }
    }

    /// Whether a descriptor is left for one more.
    pub(super) fn has_room(&self, settings: &Settings) -> bool {
        self.service.records.connections() < settings.descriptors.accepting
    }

    /// A place for one more connection.
    pub(super) fn admit(self: &Rc<Self>, settings: &Settings) -> Result<Place, NoPlace> {
        let mut drivers = self.drivers.borrow_mut();
        if drivers.len() >= settings.connections {
            return Err(NoPlace::Full);
        }
        // A worker that has none takes one all the same: what it has freed goes back to the system as it works.
        if self.service.stage.get() == Stage::Refusing && !drivers.is_empty() {
            self.service.records.shed(Shed::Connection);
            return Err(NoPlace::NoMemory);
        }
        let key = drivers.insert(Driver { waker: None, is_new: true });
        self.new.borrow_mut().push(key);
        let counted = Counted::new(&self.service.records.clients);
        Ok(Place { connections: Rc::clone(self), key, _counted: counted })
    }

    /// As [`Service::look`]; and tells every connection where it is to end sooner, and wakes those that have come since the last
    /// time. To be called at least every [`CALLED_WITHIN`].
    pub(in crate::proxy) fn look(&self) {
        self.call_new();
        let before = self.service.stage.get();
        self.service.look();
        if before == Stage::Calm && self.is_short_of_memory() {
            self.wake();
        }
    }

    fn call_new(&self) {
        let mut drivers = self.drivers.borrow_mut();
        for key in self.new.borrow_mut().drain(..) {
            if let Some(driver) = drivers.get_mut(key) {
                driver.is_new = false;
                driver.waker.iter().for_each(Waker::wake_by_ref);
            }
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
        self.drivers.borrow().iter().filter_map(|(_, driver)| driver.waker.as_ref()).for_each(Waker::wake_by_ref);
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
        let known = &mut drivers[self.key].waker;
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    /// Whether it will be called.
    pub(super) fn is_new(&self) -> bool {
        self.connections.drivers.borrow()[self.key].is_new
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.drivers.borrow_mut().remove(self.key);
    }
}
