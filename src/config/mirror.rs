//! Copies of requests for green.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::release::Weight;

/// How requests that blue serves are copied to green.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Of them, where the step of the plan says nothing else.
    pub share: Weight,
    /// Copies at a time, of the whole process.
    pub max_requests: NonZeroUsize,
    /// Of an answer's body that is read.
    pub response_body_bytes: u64,
    /// For a whole copy, its connection and its answer.
    pub timeout: Duration,
    pub host: ShadowHost,
}

/// What the Host field of a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShadowHost {
    /// The request's with `-shadow` behind the name, as Envoy marks it.
    Marked,
    AsItCame,
}
