//! The copies that one worker has under way, and which requests are drawn for one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use super::choose::Draw;
use crate::gate::Version;
use crate::proxy::wire::{Counted, Progress};
use crate::release::Weight;

/// Connections that copies may make at once, and how often one more. A green that hangs ends theirs as they came, and without
/// this all would be made anew in the same instant, which the originals of that instant would feel.
const CONNECTIONS_AT_ONCE: u32 = 16;
const CONNECTION_EVERY: Duration = Duration::from_millis(10);

/// After so many copies in a row without an answer, connections come so rarely: enough to see whether there are answers again.
const UNANSWERED: u32 = 16;
const CONNECTION_FOR_A_SIGN: Duration = Duration::from_millis(100);

pub(in crate::proxy) struct Copies {
    draw: RefCell<Draw>,
    count: Rc<Cell<u32>>,
    under_way: RefCell<Slab<Rc<Progress>>>,
    /// When the last connection would have been made, had they come evenly.
    connected: Cell<Instant>,
    /// Those that ended without an answer since the last that had one.
    unanswered: Cell<u32>,
}

/// Whether a copy's time ended before an answer began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    Yes,
    No,
}

/// One that can be cut, for as long as it is under way.
pub(super) struct UnderWay<'c> {
    copies: &'c Copies,
    key: usize,
}

impl Copies {
    pub(super) fn new(seed: u64) -> Copies {
        Copies {
            draw: RefCell::new(Draw::new(seed)),
            count: Rc::default(),
            under_way: RefCell::default(),
            connected: Cell::new(Instant::now()),
            unanswered: Cell::new(0),
        }
    }

    /// Whether a copy may make a connection at `now`, which is counted.
    pub(super) fn may_connect(&self, now: Instant) -> bool {
        let even = self.connected.get().max(now);
        let (every, at_once) =
            if self.is_silent() { (CONNECTION_FOR_A_SIGN, 1) } else { (CONNECTION_EVERY, CONNECTIONS_AT_ONCE) };
        let may = even - now <= every * (at_once - 1);
        if may {
            self.connected.set(even + every);
        }
        may
    }

    /// Whether a copy made at `now` would only be dropped, for nothing answers and the next connection is not yet due.
    pub(super) fn is_in_vain(&self, now: Instant) -> bool {
        self.is_silent() && self.connected.get() > now
    }

    pub(super) fn ended(&self, answered: Answered) {
        self.unanswered.set(match answered {
            Answered::Yes => 0,
            Answered::No => self.unanswered.get().saturating_add(1),
        });
    }

    fn is_silent(&self) -> bool {
        self.unanswered.get() >= UNANSWERED
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_for_copies_come_a_few_at_once_and_then_evenly() {
        let copies = Copies::new(1);
        let began = Instant::now();
        let made =
            |milliseconds| (0..50).filter(|_| copies.may_connect(began + Duration::from_millis(milliseconds))).count();
        assert_eq!([0, 9, 10, 15, 30, 40, 10_000].map(made), [16, 0, 1, 0, 2, 1, 16]);
    }

    #[test]
    fn a_green_that_does_not_answer_gets_a_copy_now_and_then_until_it_does() {
        let copies = Copies::new(1);
        let at = |milliseconds| Instant::now() + Duration::from_secs(60) + Duration::from_millis(milliseconds);
        for _ in 1..UNANSWERED {
            copies.ended(Answered::No);
        }
        assert!(!copies.is_in_vain(at(0)));
        copies.ended(Answered::No);
        let now = at(0);
        let made = |after| {
            let now = now + Duration::from_millis(after);
            (0..50).filter(|_| !copies.is_in_vain(now) && copies.may_connect(now)).count()
        };
        assert_eq!([0, 50, 100, 150, 1000, 1050].map(made), [1, 0, 1, 0, 1, 0]);
        copies.ended(Answered::Yes);
        assert!(!copies.is_in_vain(now) && made(2000) == 16);
    }
}
