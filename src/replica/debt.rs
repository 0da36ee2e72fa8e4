//! What one replica owes the others.

use super::Stamp;

/// What was decided here and is not known to be written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Debt<B> {
    Nothing,
    /// It does not hold before.
    Raise {
        by: Stamp,
        over: Option<Stamp>,
        body: B,
    },
    /// It holds here already.
    State {
        by: Stamp,
        /// The write that was under way, and that this was decided on top of.
        over: Option<Stamp>,
        body: B,
    },
    Latch {
        by: Stamp,
        body: B,
    },
}

impl<B> Debt<B> {
    /// Whether the write is of this, or of what this was decided on top of.
    pub(super) fn is_over(&self, write: Stamp) -> bool {
        match self {
            Debt::Raise { by, over, .. } | Debt::State { by, over, .. } => *by == write || *over == Some(write),
            Debt::Nothing | Debt::Latch { .. } => false,
        }
    }
}
