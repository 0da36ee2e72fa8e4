//! The way of a request, in rooms. Each knows those below it, and none above: a step of tests/run sees to it.
//!
//! - [`worker`]: what a thread owns. It wires the rooms, and no room knows it.
//! - [`client`]: what faces the client: accepting, a connection's life and its deadlines, tunnels.
//! - [`request`]: one request from its head to its outcome; its stack is on one screen. Choosing, forwarding, recording.
//! - [`upstream`]: what faces the endpoints: picking one, taking a bad one out, connections, health checks.
//! - [`wire`]: what both sides are made of: sockets, and what a connection waits for.
//! - [`lifecycle`]: where the process is on its way out.
//!
//! Absent on purpose: any decision about a release, any lock that two workers share, any unbounded buffer.

mod client;
mod lifecycle;
mod request;
mod upstream;
mod wire;
mod worker;

pub use client::{Sockets, bind};
pub use lifecycle::{Lifecycle, Phase};
pub use request::{ClientShare, Draw, Lot};
pub use upstream::check;
pub use worker::spawn;
#[cfg(feature = "fuzzing")]
pub use {
    client::fuzzing::frames,
    request::fuzzing::{answers, fields, requests},
    wire::fuzzing::proxy_header,
};
