//! The requests that are under way at one endpoint: how busy it is, and whom to tell when it has left for long.

use std::cell::RefCell;
use std::rc::Rc;

use slab::Slab;

use super::endpoint::Endpoint;
use crate::proxy::wire::Progress;

#[derive(Default)]
pub(super) struct Requests(RefCell<Slab<Rc<Progress>>>);

/// One of them, for as long as it is.
pub(in crate::proxy) struct UnderWay {
    pub endpoint: Rc<Endpoint>,
    key: usize,
}

impl Requests {
    pub(super) fn count(&self) -> usize {
        self.0.borrow().len()
    }
}

impl Endpoint {
    /// A request goes here. It is told by its `progress` if it must end.
    pub(in crate::proxy) fn begin(self: &Rc<Self>, progress: &Rc<Progress>) -> UnderWay {
        let key = self.under_way.0.borrow_mut().insert(Rc::clone(progress));
        UnderWay { endpoint: Rc::clone(self), key }
    }

    /// Tells every request that is still here to end.
    pub(in crate::proxy) fn cut(&self) {
        self.under_way.0.borrow().iter().for_each(|(_, progress)| progress.cut());
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.endpoint.under_way.0.borrow_mut().remove(self.key);
    }
}
