//! What faces the endpoints. [`endpoint`] picks one and takes a bad one out, [`pool`] keeps the connections to them, [`own`]
//! those that belong to one client, [`keep_alive`] says for how long, [`no_head`] why one brought no answer, [`yielded`] when
//! hyper wants to be polled again. [`health`] is the thread that checks them.

mod connect;
mod endpoint;
mod health;
mod keep_alive;
mod no_head;
mod own;
mod pool;
mod twin;
mod under_way;
mod yielded;

pub(in crate::proxy) use connect::is_exhausted;
pub(in crate::proxy) use endpoint::{Among, Endpoint, Picked, Trial, pick};
pub use health::check;
pub(in crate::proxy) use no_head::NoHead;
pub(in crate::proxy) use own::{Own, Told};
pub(in crate::proxy) use pool::{Dialer, Sendable, Upstream};
pub(in crate::proxy) use twin::twin;
pub(in crate::proxy) use under_way::UnderWay;
