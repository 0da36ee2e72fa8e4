//! What faces the endpoints. [`endpoint`] picks one and takes a bad one out, [`pool`] keeps the connections to them,
//! [`keep_alive`] for how long, [`shared`] those by HTTP/2, [`carrier`] is either, [`reach`]
//! and [`connect`] are how one is made, [`health`] is the thread that checks them.

mod carrier;
mod connect;
mod endpoint;
mod health;
mod keep_alive;
mod pool;
mod reach;
mod shared;
mod twin;
mod under_way;

pub(in crate::proxy) use carrier::{Carrier, Carries, NoHead, Terms};
pub(in crate::proxy) use connect::NoConnection;
pub(in crate::proxy) use endpoint::{Among, Endpoint, Picked, Trial, pick};
pub use health::check;
pub(in crate::proxy) use pool::{Dialer, Sendable, Upstream, sweep};
pub(in crate::proxy) use twin::twin;
pub(in crate::proxy) use under_way::UnderWay;
