//! What a release is and how it moves. Pure: a transition takes the old state, an input and `now`, and returns the new
//! state and the effects that `control` carries out.
//!
//! [`weight`] and [`epoch`] are the numbers, [`plan`] what is intended, [`state`] the machine.

pub mod epoch;
pub mod plan;
pub mod state;
pub mod weight;

pub use epoch::Epoch;
pub use plan::{Approval, OnLowTraffic, Plan, Step};
pub use state::{Cause, Effect, Held, Input, PauseReason, Refusal, State};
pub use weight::Weight;
