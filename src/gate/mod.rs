//! Is green worse than blue, and what follows from it? Pure: no I/O, clock, async, randomness, log or metric.
//!
//! Reading order: [`version`], [`outcome`] and [`grpc`] say what one request came to, [`evidence`] what has been counted, [`latency`]
//! how long it took, [`health`] and [`signal`] what others have found, [`trigger`] what the user calls bad, [`route`] the parts of the service that are told apart,
//! [`policy`] all of that together, [`crossing`] whether one trigger is crossed and by whose fault, [`refuge`] whether blue can take the
//! traffic back, [`ramp`] how much of it, [`recovery`] whether it has helped, [`outlier`] whether it is one endpoint or the version, [`streak`] the one rule that the workers judge
//! themselves, [`exposure`] how much harm a budget leaves room for, [`judge`] the rulings of all triggers over time, [`compare`] the test that needs no bound of the user's,
//! [`verdict`] the sentence.

pub mod compare;
pub mod crossing;
pub mod evidence;
pub mod exposure;
pub mod grpc;
pub mod health;
pub mod judge;
pub mod latency;
pub mod outcome;
pub mod outlier;
pub mod policy;
pub mod ramp;
pub mod recovery;
pub mod refuge;
pub mod route;
pub mod signal;
pub mod streak;
pub mod trigger;
pub mod verdict;
pub mod version;

pub use evidence::{Evidence, Window};
pub use grpc::{GrpcStatus, GrpcStatuses};
pub use health::Health;
pub use judge::{Gate, Judgement, Look, Order, Stands};
pub use latency::Latency;
pub use outcome::{Charge, Outcome};
pub use policy::Policy;
pub use route::{RouteMark, RouteNumber, Routes};
pub use signal::Signals;
pub use trigger::{Action, Trigger};
pub use verdict::{Kind, Verdict};
pub use version::{ByVersion, Version};
