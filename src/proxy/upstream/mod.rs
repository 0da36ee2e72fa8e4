//! What faces the endpoints. [`endpoint`] picks one and takes a bad one out, [`pool`] keeps the connections to them,
//! [`keep_alive`] for how long, [`health`] is the thread that checks them.

mod connect;
mod endpoint;
mod health;
mod keep_alive;
mod pool;
mod twin;
mod under_way;

pub(in crate::proxy) use connect::NoConnection;
pub(in crate::proxy) use endpoint::{Among, Endpoint, Picked, Trial, pick};
pub use health::check;
pub(in crate::proxy) use pool::{Dialer, NoHead, Sendable, Upstream, sweep};
pub(in crate::proxy) use twin::twin;
pub(in crate::proxy) use under_way::UnderWay;
