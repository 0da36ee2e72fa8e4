//! The way of a request, top to bottom.
//!
//! [`listen`] accepts on every worker, [`drive`] runs hyper on a client connection and watches its deadlines, [`serve`]
//! holds the stack, [`headers`] rewrites the fields that belong to one hop, [`choose`] picks the version, by [`sticky`]
//! for some clients, and by [`client_share`] whether the request is evidence, [`forward`] sends it and waits for the head,
//! [`pool`] keeps the connections to the endpoints, [`endpoint`] picks one and takes a bad one out, [`ejection`] lets it come back, [`body`] streams both
//! bodies, [`upgrade`] joins the two sides of a tunnel, [`observe`] records one outcome, [`respond`] turns our own refusals
//! into answers. [`worker`] is what a thread owns, [`upstreams`] what all of them know of the endpoints, [`health`] the
//! thread that checks those, [`progress`] what one connection is waiting for,
//! [`park`] which idle ones keep their buffers, [`socket`] how bytes are sent.
//!
//! Absent on purpose: any decision about a release, any lock that two workers share, any unbounded buffer.

mod body;
mod choose;
mod client_share;
mod drive;
mod ejection;
mod endpoint;
mod forward;
mod headers;
mod health;
mod listen;
mod observe;
mod park;
mod pool;
mod progress;
mod respond;
mod serve;
mod socket;
mod sticky;
mod upgrade;
mod upstreams;
mod worker;

pub use choose::Draw;
pub use client_share::ClientShare;
pub use ejection::Stands;
pub use health::check;
pub use listen::{Sockets, bind};
pub use sticky::Lot;
pub use upstreams::Upstreams;
pub use worker::{Lifecycle, Phase, Settings, spawn};
