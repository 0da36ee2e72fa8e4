//! Replicas of the real binary as one, over a real API server. The step `kubernetes` of tests/run brings it along.

mod actions;
mod apart;
mod cable;
mod deployments;
mod relay;
mod releases;
mod rights;
mod rollback;
mod rollout;
mod schema;
mod slices;

pub use rollout::{LEASE, NAME, Replica, Rollout};
