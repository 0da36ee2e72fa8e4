//! What one replica owes the others.

use super::Stamp;

/// What was decided here and is not known to be written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Debt<B> {
    Nothing,
    /// It does not hold before.
    Raise {
        by: Stamp,
        body: B,
    },
    /// It holds here already.
    State {
        by: Stamp,
        body: B,
    },
    Latch {
        by: Stamp,
        body: B,
    },
}
