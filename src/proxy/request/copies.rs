//! The copies that one worker has under way, and which requests are drawn for one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use slab::Slab;

use super::choose::Draw;
use crate::gate::Version;
use crate::proxy::wire::{Counted, Progress};
use crate::release::Weight;

pub(in crate::proxy) struct Copies {
    draw: RefCell<Draw>,
    count: Rc<Cell<u32>>,
    under_way: RefCell<Slab<Rc<Progress>>>,
}

/// One that can be cut, for as long as it is under way.
pub(super) struct UnderWay<'c> {
    copies: &'c Copies,
    key: usize,
}

impl Copies {
    pub(super) fn new(seed: u64) -> Copies {
        Copies { draw: RefCell::new(Draw::new(seed)), count: Rc::default(), under_way: RefCell::default() }
    }

    /// Green where the next request is one of the `share` that is copied.
    pub(super) fn draw(&self, share: Weight) -> Version {
        self.draw.borrow_mut().next(share)
    }

    /// Those that have been made and have not ended.
    pub(super) fn count(&self) -> usize {
        self.count.get() as usize
    }

    pub(super) fn one_more(&self) -> Counted {
        Counted::new(&self.count)
    }

    pub(super) fn begin(&self, progress: &Rc<Progress>) -> UnderWay<'_> {
        let key = self.under_way.borrow_mut().insert(Rc::clone(progress));
        UnderWay { copies: self, key }
    }

    /// Ends all of them.
    pub(super) fn cut(&self) {
        self.under_way.borrow().iter().for_each(|(_, progress)| progress.cut());
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.copies.under_way.borrow_mut().remove(self.key);
    }
}
