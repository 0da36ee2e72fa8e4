//! Which idle client connections keep their buffers.
//!
//! hyper holds 16 KiB for a connection, and a connection that gave them back takes new ones for its next request. So an
//! idle connection keeps them for a while; but where many have them, each that takes some sends one to rest that has been
//! idle for longer. So what idle connections hold does not grow with the speed at which they come.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::proxy::wire::Progress;

/// So many connections of a worker, idle or not, have buffers before any has to give them back early: 4 MiB.
const UNHURRIED: usize = 256;

/// No connection gives its buffers back sooner than this, or a client that sends one request after the other would have
/// each answered with new ones.
const IDLE_AT_LEAST: Duration = Duration::from_millis(100);

/// Connections that are looked at when one more takes buffers. More than one, so that they become fewer again after many
/// were busy at once.
const LOOKED_AT: usize = 4;

/// The connections of one worker that have buffers, in the order in which they took them or were last passed over.
#[derive(Default)]
pub(super) struct Unparked(RefCell<VecDeque<Weak<Progress>>>);

impl Unparked {
    /// One more has buffers.
    pub(super) fn add(&self, progress: &Rc<Progress>, now: Instant) {
        let mut connections = self.0.borrow_mut();
        connections.push_back(Rc::downgrade(progress));
        for _ in 0..LOOKED_AT {
            if connections.len() <= UNHURRIED {
                return;
            }
            let Some(eldest) = connections.pop_front() else { return };
            let Some(progress) = eldest.upgrade() else { continue };
            if progress.idle_for(now) < IDLE_AT_LEAST {
                connections.push_back(eldest);
            } else {
                // Where its next request comes first it keeps its buffers, and only its own time ends that.
                progress.end_idle(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use super::*;
    use crate::proxy::wire::{PARK_AFTER, Phase};

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    type Connection = (Rc<Progress>, Arc<Woken>);

    /// A connection whose task counts how often it is woken.
    fn connection(phase: Phase, since: Instant) -> Connection {
        let (progress, woken) = (Rc::new(Progress::new()), Arc::new(Woken::default()));
        progress.polled_by(&Arc::clone(&woken).into());
        progress.enter(phase, since, PARK_AFTER);
        (progress, woken)
    }

    fn woken(connections: &[Connection]) -> Vec<usize> {
        let times = connections.iter().map(|(_, woken)| woken.0.load(Ordering::SeqCst));
        times.enumerate().filter_map(|(number, times)| (times > 0).then_some(number)).collect()
    }

    /// As many connections of which none is in a hurry, in `phase` since `since`.
    fn filled(phase: Phase, since: Instant) -> (Unparked, Vec<Connection>) {
        let unparked = Unparked::default();
        let connections: Vec<_> = (0..UNHURRIED).map(|_| connection(phase, since)).collect();
        connections.iter().for_each(|(progress, _)| unparked.add(progress, since));
        (unparked, connections)
    }

    #[test]
    fn only_beyond_the_bound_does_the_longest_idle_connection_give_way_to_each_new_one() {
        let start = Instant::now();
        let (unparked, connections) = filled(Phase::Idle, start);
        assert_eq!(woken(&connections), [0; 0]);
        let later = start + IDLE_AT_LEAST;
        let others = [connection(Phase::Idle, later), connection(Phase::Idle, later)];
        unparked.add(&others[0].0, later);
        assert_eq!(woken(&connections), [0]);
        unparked.add(&others[1].0, later);
        assert_eq!((woken(&connections), woken(&others)), (vec![0, 1], vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_idle_phase_of_a_connection_that_gives_way_is_over() {
        let start = Instant::now();
        let (unparked, connections) = filled(Phase::Idle, start);
        let timers: Vec<_> = connections.iter().map(|_| Box::pin(tokio::time::sleep(PARK_AFTER))).collect();
        tokio::time::advance(IDLE_AT_LEAST).await;
        connections[0].0.moved.set(true);
        unparked.add(&connection(Phase::Idle, Instant::now()).0, Instant::now());
        let mut nobody = Context::from_waker(Waker::noop());
        let mut over = connections.iter().zip(timers).map(|((progress, _), mut timer)| {
            progress.poll_due(timer.as_mut(), &mut nobody) == Poll::Ready(Phase::Idle)
        });
        assert_eq!(over.next(), Some(true), "though something was sent since it is idle");
        assert!(!over.any(|over| over));
    }

    #[test]
    fn connections_that_are_busy_or_were_just_now_keep_their_buffers() {
        let start = Instant::now();
        let not_long = start + IDLE_AT_LEAST - Duration::from_millis(1);
        for (phase, now) in
            [(Phase::Idle, not_long), (Phase::Waiting, start + PARK_AFTER), (Phase::HeadBegun, not_long)]
        {
            let (unparked, connections) = filled(phase, start);
            for _ in 0..2 * UNHURRIED {
                unparked.add(&connection(Phase::Idle, now).0, now);
            }
            assert_eq!(woken(&connections), [0; 0], "{phase:?}");
        }
    }

    #[test]
    fn after_many_were_busy_at_once_each_new_one_sends_several_to_rest_and_those_that_ended_make_room() {
        let start = Instant::now();
        let (unparked, mut connections) = filled(Phase::Waiting, start);
        let (_, more) = filled(Phase::Waiting, start);
        more.iter().for_each(|(progress, _)| unparked.add(progress, start));
        connections.extend(more);
        connections.iter().for_each(|(progress, _)| progress.rest(start));
        let later = start + IDLE_AT_LEAST;
        let new = connection(Phase::Waiting, later);
        unparked.add(&new.0, later);
        assert_eq!(woken(&connections).len(), LOOKED_AT);
        connections.clear();
        (0..UNHURRIED).for_each(|_| unparked.add(&new.0, later));
        assert!(unparked.0.borrow().len() <= UNHURRIED + 1, "{}", unparked.0.borrow().len());
    }
}
