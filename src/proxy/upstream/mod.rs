//! What faces the endpoints. [`endpoint`] picks one and takes a bad one out, [`pool`] keeps the connections to them, on which
//! [`http1`] is spoken, [`own`] those that belong to one client, [`shared`] those by HTTP/2, [`carrier`] is either, [`reach`] and
//! [`connect`] are how one is made, [`keep_alive`] says for how long it rests, [`no_head`] why one brought no answer, [`end`] is
//! what is left of one under a tunnel. [`health`] is the thread that checks them.

mod carrier;
mod connect;
mod end;
mod endpoint;
mod health;
mod http1;
mod keep_alive;
mod no_head;
mod own;
mod pool;
mod reach;
mod shared;
mod twin;
mod under_way;

pub(in crate::proxy) use carrier::{Carrier, Carries, Terms};
pub(in crate::proxy) use connect::NoConnection;
pub(in crate::proxy) use end::End;
pub(in crate::proxy) use endpoint::{Among, Endpoint, Picked, Trial, pick, pick_in_order};
pub use health::check;
pub(in crate::proxy) use http1::Broken;
#[cfg(feature = "fuzzing")]
pub(in crate::proxy) use http1::fuzzing;
pub(in crate::proxy) use no_head::NoHead;
pub(in crate::proxy) use own::{Own, Told};
pub(in crate::proxy) use pool::{Dialer, Sendable, Upstream};
pub(in crate::proxy) use twin::twin;
pub(in crate::proxy) use under_way::UnderWay;
