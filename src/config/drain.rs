//! How long what is under way may go on, at the end of the process and after a rollback.

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// Between readiness going off and the listener closing.
    pub wait: Duration,
    /// For what still runs after that.
    pub deadline: Duration,
}

/// What follows a rollback, beside the actions of a runbook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AfterRollback {
    /// How long what is under way on green may go on.
    pub drain: Duration,
    /// How long blue is watched; zero: not at all.
    pub watch: Duration,
}
