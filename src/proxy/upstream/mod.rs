//! What faces the endpoints. [`upstreams`] is what all workers know of them, [`endpoint`] picks one and takes a bad one
//! out, [`ejection`] lets it come back, [`pool`] keeps the connections to them, [`keep_alive`] for how long, [`health`] is the thread that checks them.

mod ejection;
mod endpoint;
mod health;
mod keep_alive;
mod pool;
mod upstreams;

pub use ejection::Stands;
pub(in crate::proxy) use endpoint::{Endpoint, Picked, Trial, pick};
pub use health::check;
pub(in crate::proxy) use pool::{Dialer, NoHead, Sendable, Upstream, sweep};
pub use upstreams::Upstreams;
