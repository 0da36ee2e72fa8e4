//! How many requests the endpoints of a section have at a time, counted only where there is a bound: one atomic for all
//! workers, so that the bound is exact and none of them waits.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Those that are out.
#[derive(Clone, Debug, Default)]
pub(super) struct Permits(Arc<AtomicUsize>);

/// One request's, until it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<AtomicUsize>);

impl Permits {
    pub(super) fn take(&self, most: NonZeroUsize) -> Option<Permit> {
        let one_more = |out| (out < most.get()).then_some(out + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Permit(Arc::clone(&self.0)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn most(number: usize) -> NonZeroUsize {
        NonZeroUsize::new(number).expect("not 0")
    }

    #[test]
    fn there_are_as_many_permits_as_the_bound_of_the_moment_allows() {
        let permits = Permits::default();
        let mut out: Vec<Permit> = (0..3).filter_map(|_| permits.take(most(2))).collect();
        assert_eq!(out.len(), 2);
        out.extend(permits.take(most(3)));
        assert_eq!(out.len(), 3, "a higher bound lets more in");
        out.pop();
        assert!(permits.take(most(2)).is_none(), "a lower one waits until enough have ended");
        out.pop();
        assert!(permits.take(most(2)).is_some());
    }

    #[test]
    fn threads_that_take_at_once_never_have_more_than_the_bound() {
        let (permits, highest) = (Permits::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let permit = permits.take(most(2));
                        highest.fetch_max(permits.0.load(Ordering::Relaxed), Ordering::Relaxed);
                        drop(permit);
                    }
                });
            }
        });
        assert!(highest.into_inner() <= 2);
        assert_eq!(permits.0.load(Ordering::Relaxed), 0);
    }
}
