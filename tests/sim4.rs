//! Temporary.
#![allow(clippy::disallowed_types, reason = "tests are plain threads on the wall clock")]
#![allow(unreachable_pub, clippy::pedantic, reason = "one binary: nothing is public, and plainness comes first")]
mod support;
mod crash;
mod disk;
#[path = "simulation/releases/mod.rs"]
mod releases;
