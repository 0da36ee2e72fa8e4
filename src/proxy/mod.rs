//! The way of a request, top to bottom.
//!
//! [`listen`] accepts on every worker, [`drive`] runs hyper on a client connection and watches its deadlines, [`serve`]
//! holds the stack, [`choose`] picks the version, [`headers`] rewrites the fields that belong to one hop, [`forward`] sends the request and waits for the
//! head, [`pool`] keeps the connections to the endpoints, [`endpoint`] picks one and takes a bad one out, [`body`]
//! streams both bodies, [`upgrade`] joins the two sides of a tunnel, [`observe`] records one outcome, [`respond`] turns
//! our own refusals into answers. [`worker`] is what a thread owns, [`progress`] what one connection is waiting for, [`socket`]
//! how bytes are sent.
//!
//! Absent on purpose: any decision about a release, any lock that two workers share, any unbounded buffer.

mod body;
mod choose;
mod drive;
mod endpoint;
mod forward;
mod headers;
mod listen;
mod observe;
mod pool;
mod progress;
mod respond;
mod serve;
mod socket;
mod upgrade;
mod worker;

pub use choose::Draw;
pub use endpoint::Upstreams;
pub use listen::{Sockets, bind};
pub use worker::{Lifecycle, Phase, Settings, spawn};
