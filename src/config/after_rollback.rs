//! What follows a rollback, beside the actions of a runbook.

use std::time::Duration;

/// What follows a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AfterRollback {
    /// How long what is under way on green may go on.
    pub drain: Duration,
    /// How long blue is watched; zero: not at all.
    pub watch: Duration,
}
