//! How many requests the endpoints of a section have at a time, counted only where there is a bound: one atomic for all
//! workers, so that the bound is exact and none of them waits. A [`Cap`] is a bound for a while.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Those that are out.
#[derive(Clone, Debug, Default)]
pub(super) struct Permits(Arc<AtomicUsize>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Out(Arc<AtomicUsize>);

/// One request's.
#[derive(Debug)]
pub struct Permit {
    _of_version: Option<Out>,
    of_cap: Option<Out>,
}

/// What a version is held to.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Requests until they have ended.
    most: Option<NonZeroUsize>,
    cap: Option<Arc<Cap>>,
}

/// Requests that may wait for the head of an answer at a time. What began before it is there is not counted: whoever sets it
/// leaves it out.
#[derive(Debug, Default)]
pub struct Cap {
    permits: Permits,
    most: AtomicUsize,
}

/// What has no room for another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    Version,
    Cap,
}

impl Permits {
    pub(super) fn take(&self, most: NonZeroUsize) -> Option<Out> {
        let one_more = |out| (out < most.get()).then_some(out + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Out(Arc::clone(&self.0)))
    }
}

impl Cap {
    pub fn set(&self, most: NonZeroUsize) {
        self.most.store(most.get(), Ordering::Relaxed);
    }

    /// Requests that it has let in and that wait.
    pub fn out(&self) -> usize {
        self.permits.0.load(Ordering::Relaxed)
    }

    fn take(&self) -> Option<Out> {
        self.permits.take(NonZeroUsize::new(self.most.load(Ordering::Relaxed))?)
    }
}

impl Bound {
    /// None where nothing bounds the version.
    pub(super) fn of(most: Option<NonZeroUsize>, cap: Option<Arc<Cap>>) -> Option<Bound> {
        (most.is_some() || cap.is_some()).then_some(Bound { most, cap })
    }

    pub(super) fn cap(&self) -> Option<Arc<Cap>> {
        self.cap.clone()
    }

    /// For one more request of those that `permits` counts.
    pub(super) fn take(&self, permits: &Permits) -> Result<Permit, Full> {
        let of_version = self.most.map(|most| permits.take(most).ok_or(Full::Version)).transpose()?;
        let of_cap = self.cap.as_ref().map(|cap| cap.take().ok_or(Full::Cap)).transpose()?;
        Ok(Permit { _of_version: of_version, of_cap })
    }
}

impl Permit {
    /// The head of the answer has come, or none will.
    pub fn answered(&mut self) {
        self.of_cap = None;
    }
}

impl Drop for Out {
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
        let mut out: Vec<Out> = (0..3).filter_map(|_| permits.take(most(2))).collect();
        assert_eq!(out.len(), 2);
        out.extend(permits.take(most(3)));
        assert_eq!(out.len(), 3, "a higher bound lets more in");
        out.pop();
        assert!(permits.take(most(2)).is_none(), "a lower one waits until enough have ended");
        out.pop();
        assert!(permits.take(most(2)).is_some());
    }

    #[test]
    fn a_cap_counts_what_waits_for_an_answer_and_the_version_what_has_not_ended() {
        let (permits, cap) = (Permits::default(), Arc::new(Cap::default()));
        assert!(Bound::of(None, None).is_none());
        let bound = Bound::of(Some(most(3)), Some(Arc::clone(&cap))).expect("two bounds");
        let full = || bound.take(&permits).err();
        assert_eq!((full(), cap.out()), (Some(Full::Cap), 0), "it lets nobody in before it is set");
        cap.set(most(2));
        let mut out: Vec<Permit> = (0..2).filter_map(|_| bound.take(&permits).ok()).collect();
        assert_eq!((out.len(), full(), cap.out()), (2, Some(Full::Cap), 2));
        out[0].answered();
        out.extend(bound.take(&permits));
        assert_eq!((out.len(), full()), (3, Some(Full::Version)), "what is answered has not ended");
        drop(out);
        assert_eq!((cap.out(), permits.0.load(Ordering::Relaxed)), (0, 0));
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
