//! The endpoint's side of a tunnel.

use bytes::Bytes;

use super::shared::Lease;
use crate::proxy::wire::{Counted, Owned, Side};

pub(in crate::proxy) struct End {
    pub side: Side,
    /// What came before it was one.
    pub early: Bytes,
    pub(super) _held: Held,
}

/// What must stay for as long as the tunnel does.
pub(super) enum Held {
    Connection { _socket: Owned, _counted: Counted },
    Place { _lease: Box<Lease> },
}
