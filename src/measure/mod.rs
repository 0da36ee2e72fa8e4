//! Counting what passes: [`shard`] on the worker, [`window`] on the control thread.
//!
//! A worker writes into a shard of its own and hands it over whole, so no lock and no cache line is shared on the way
//! of a request. The control thread adds the shards to the sliding windows that the policy names.

pub mod shard;
pub mod window;

pub use shard::{Collector, Recorder, Shard};
pub use window::Windows;
