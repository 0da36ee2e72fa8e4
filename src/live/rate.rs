//! How many requests each client may still send, for all workers.
//!
//! The generic cell rate algorithm (ITU-T I.371), which is a token bucket kept as one number: the time at which a client
//! that had sent evenly would send its next request. The times stand in a count-min sketch (Cormode and Muthukrishnan, 2005)
//! with conservative update, so that memory is bounded whatever addresses there are: a client's time is the earliest of
//! its cells, which is never too early, and too late only where each of them is another client's too. A time that has
//! passed says nothing, so nothing is ever cleared. A cell is an atomic, and no worker waits for another.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::RateLimit;

/// 256 KiB. With 1,000 clients over their bound another is taken for one of them in one of 5,000 cases.
const ROWS: usize = 4;
const CELLS: usize = 1 << CELL_BITS;
const CELL_BITS: u32 = 13;

#[derive(Debug)]
pub struct Rates {
    limit: RateLimit,
    started: Instant,
    /// Nobody who does not know its seed can choose an address for its cells.
    hasher: RandomState,
    /// Nanoseconds after the start.
    cells: Box<[AtomicU64]>,
}

/// One more request would be over the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// Until it would not be.
    pub wait: Duration,
}

impl Rates {
    pub(super) fn new(limit: RateLimit) -> Rates {
        let cells = (0..ROWS * CELLS).map(|_| AtomicU64::new(0)).collect();
        Rates { limit, started: Instant::now(), hasher: RandomState::new(), cells }
    }

    pub(super) fn is_by(&self, limit: RateLimit) -> bool {
        self.limit == limit
    }

    /// Counts a request of this client, unless it is over the bound. A network of IPv6 that one client usually has to
    /// itself is one client. Two workers that ask at once for the same client may count one request for both.
    pub fn take(&self, client: IpAddr, now: Instant) -> Result<(), Over> {
        let each = self.limit.per.as_nanos() as u64 / u64::from(self.limit.requests);
        let ahead = each * u64::from(self.limit.burst - 1);
        let now = now.saturating_duration_since(self.started).as_nanos() as u64;
        let cells = self.cells_of(client);
        let earliest = cells.iter().map(|cell| cell.load(Ordering::Relaxed)).min().expect("there are rows");
        let due = earliest.max(now);
        if due - now > ahead {
            return Err(Over { wait: Duration::from_nanos(due - now - ahead) });
        }
        for cell in cells {
            cell.fetch_max(due + each, Ordering::Relaxed);
        }
        Ok(())
    }

    fn cells_of(&self, client: IpAddr) -> [&AtomicU64; ROWS] {
        let network = match client {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        };
        let hash = self.hasher.hash_one(network);
        std::array::from_fn(|row| {
            let cell = hash >> (row as u32 * CELL_BITS) & (CELLS as u64 - 1);
            &self.cells[row * CELLS + cell as usize]
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn rates(requests: u32, per: Duration, burst: u32) -> Rates {
        Rates::new(RateLimit { requests, per, burst })
    }

    fn client(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0A00_0000 + number).into()
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Of one request each millisecond, which are let in.
    fn let_in(rates: &Rates, from: u64, to: u64) -> usize {
        (from..to).filter(|at| rates.take(client(1), rates.started + millis(*at)).is_ok()).count()
    }

    #[test]
    fn a_client_may_send_the_burst_at_once_and_the_rate_in_the_long_run() {
        let rates = rates(100, Duration::from_secs(1), 200);
        let at_once = (0..300).filter(|_| rates.take(client(1), rates.started).is_ok()).count();
        assert_eq!(at_once, 200);
        assert_eq!(rates.take(client(1), rates.started), Err(Over { wait: millis(10) }));
        assert_eq!(rates.take(client(1), rates.started + millis(4)), Err(Over { wait: millis(6) }));
        assert_eq!(let_in(&rates, 1, 10_000), 999, "what was refused has not been counted");
        assert_eq!(let_in(&rates, 60_000, 60_400), 200 + 39, "a client that was silent has its burst again");
    }

    #[test]
    fn clients_are_counted_apart_and_a_network_of_ipv6_together() {
        let rates = rates(1, Duration::from_secs(3600), 1);
        let take = |address: &str| rates.take(address.parse().expect("an address"), rates.started).is_ok();
        assert!(take("2001:db8:0:1::1"));
        assert!(!take("2001:db8:0:1:ffff::2"));
        assert!(take("2001:db8:0:2::1") && take("10.0.0.1") && take("10.0.0.2"));
        assert!(!take("10.0.0.1"));
    }

    #[test]
    fn many_clients_over_their_bound_do_not_stand_in_the_way_of_others() {
        let rates = rates(1, Duration::from_secs(1), 10);
        for number in 0..1_000 {
            while rates.take(client(number), rates.started).is_ok() {}
        }
        let others = 1_000..11_000;
        let refused = others.filter(|number| rates.take(client(*number), rates.started).is_err()).count();
        assert!(refused < 50, "{refused} of 10,000");
    }

    #[test]
    fn the_slowest_rate_and_the_largest_burst_fit() {
        let rates = rates(1, Duration::from_secs(24 * 3600), 100_000);
        let times = (0..100_001).filter(|_| rates.take(client(1), rates.started).is_ok()).count();
        assert_eq!(times, 100_000);
        assert_eq!(rates.take(client(1), rates.started), Err(Over { wait: Duration::from_secs(24 * 3600) }));
    }
}
