//! What a release is and how it moves. Pure: a transition takes the old state, an input and `now`, and returns the new
//! state and the effects that `control` carries out.
//!
//! [`weight`] and [`epoch`] are the numbers, [`plan`] is what the user wrote, [`terms`] whose plan it is, [`input`] what can
//! happen, [`effect`] what must be done. [`clock`] is the time in a stage, [`holds`] what stops it, [`gates`] what is asked
//! before it goes on, [`run`] a release under way, [`state`] the machine around it.

mod clock;
pub mod effect;
pub mod epoch;
pub mod gates;
pub mod holds;
pub mod input;
pub mod plan;
pub mod run;
pub mod state;
pub mod terms;
pub mod weight;

pub use effect::{Effect, Kind};
pub use epoch::Epoch;
pub use gates::{Answer, Answered, AtGate, Gates, Moment, Question};
pub use holds::Holds;
pub use input::{Acknowledged, Cause, Held, Input, Judged, Refusal, TakenBack};
pub use plan::{Approval, Deadline, OnLowTraffic, Otherwise, Plan, Step};
pub use run::{AWAITS_APPROVAL, Awaited, Run, Stage};
pub use state::State;
pub use terms::{Planned, Terms};
pub use weight::Weight;
