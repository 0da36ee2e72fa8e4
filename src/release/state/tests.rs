//! Filled by the table of transitions.
