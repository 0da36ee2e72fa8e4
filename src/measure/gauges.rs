//! What is open on a worker.

use crate::gate::ByVersion;

/// What is open at the moment when a shard is handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    pub in_flight: ByVersion<u32>,
    /// Of the requests that are evidence, those whose answer has not begun.
    pub waiting: ByVersion<u32>,
    pub client_connections: u32,
    pub upstream_connections: u32,
}

impl Gauges {
    /// Both workers together.
    #[must_use]
    pub fn plus(self, other: Gauges) -> Gauges {
        Gauges {
            in_flight: ByVersion {
                blue: self.in_flight.blue + other.in_flight.blue,
                green: self.in_flight.green + other.in_flight.green,
            },
            waiting: ByVersion {
                blue: self.waiting.blue + other.waiting.blue,
                green: self.waiting.green + other.waiting.green,
            },
            client_connections: self.client_connections + other.client_connections,
            upstream_connections: self.upstream_connections + other.upstream_connections,
        }
    }
}
