//! How many descriptors the connections of a worker may have, so that the rest of the process always has some.

use std::num::NonZeroUsize;

use rustix::process::{Resource, getrlimit};

/// Connections of clients and to endpoints together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// Where there are as many, no more clients are accepted.
    pub accepting: usize,
    /// Where there are as many, no connection to an endpoint is made either.
    pub connecting: usize,
}

/// For the admin API, health checks, look-ups of names, the journal, and what the process began with.
const KEPT_BACK: u64 = 64;

/// One in so many is kept back from clients, so that those who are there can be answered.
const FOR_ENDPOINTS: usize = 8;

impl Descriptors {
    /// Of each worker, by the limit of the process.
    pub fn of_worker(workers: NonZeroUsize) -> Descriptors {
        Descriptors::within(getrlimit(Resource::Nofile).current, workers)
    }

    fn within(limit: Option<u64>, workers: NonZeroUsize) -> Descriptors {
        let limit = limit.unwrap_or(u64::MAX);
        let rest = limit.saturating_sub(KEPT_BACK).max(limit / 2);
        let connecting = usize::try_from(rest).unwrap_or(usize::MAX) / workers;
        Descriptors { accepting: connecting - connecting / FOR_ENDPOINTS, connecting }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_back_is_divided_among_the_workers() {
        for (limit, workers, accepting, connecting) in [
            (Some(1024), 1, 840, 960),
            (Some(1024), 4, 210, 240),
            (Some(100), 1, 44, 50),
            (Some(0), 2, 0, 0),
            (Some(u64::MAX), 1, usize::MAX - 64 - (usize::MAX - 64) / 8, usize::MAX - 64),
            (None, 1, usize::MAX - 64 - (usize::MAX - 64) / 8, usize::MAX - 64),
        ] {
            let workers = NonZeroUsize::new(workers).expect("not 0");
            assert_eq!(
                Descriptors::within(limit, workers),
                Descriptors { accepting, connecting },
                "{limit:?} {workers}"
            );
        }
    }
}
