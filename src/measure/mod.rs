//! Counting what passes: [`record`], [`shard`], [`gauges`], [`clients`], [`cohorts`], [`handshakes`], [`proxy_headers`], [`sheds`], [`shields`], [`overrides`], [`mirrored`], [`routes`] and [`templates`] on the worker, [`sample`] is what both add up, [`tick`],
//! [`window`] and `route_windows` on the control thread, [`replicas`] adds up what several proxies count.
//!
//! A worker writes into a shard of its own and hands it over whole, so no lock and no cache line is shared on the way
//! of a request. What a version took and what its client saw are kept apart where they differ. The control thread adds the shards of all workers up, once a tick, and keeps the sliding windows that the
//! policy names.

pub mod clients;
pub mod cohorts;
pub mod gauges;
pub mod handshakes;
pub mod mirrored;
pub mod overrides;
pub mod proxy_headers;
pub mod record;
pub mod replicas;
mod route_windows;
pub mod routes;
mod sample;
pub mod shard;
pub mod sheds;
pub mod shields;
pub mod templates;
pub mod tick;
pub mod window;

pub use cohorts::Cohorts;
pub use gauges::Gauges;
pub use handshakes::{Handshake, Handshakes};
pub use mirrored::{Compared, Copied, Mirrored};
pub use overrides::{Overridden, Overrides};
pub use proxy_headers::{ProxyHeader, ProxyHeaders};
pub use route_windows::RouteWindows;
pub use routes::{RouteTick, RouteTicks};
pub use shard::{Collector, Recorder, Shard};
pub use sheds::{Shed, Sheds};
pub use shields::{InEpoch, Shielded, Shields};
pub use templates::{Learning, Templates};
pub use tick::{Collectors, Part, Tick};
pub use window::Windows;
