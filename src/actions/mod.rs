//! What is done about a release outside of the proxy: messages, tickets, flags, programs. A flip never waits for any of it.
//!
//! In reading order: [`facts`] is what templates see, [`Outbox`](outbox::Outbox) what is to be done and has been, with its
//! times (pure: `control` owns it, and the journal keeps it), [`runner`] the thread that carries out one attempt at a time
//! of each, [`context`] what an attempt knows, [`deliver`] the kinds, [`exchange`] their requests and the answers,
//! [`reach`] who may be connected to, [`cluster`] the API server of Kubernetes, [`asking`] whether a release may go on.

pub mod asking;
mod cluster;
pub mod context;
pub mod deliver;
pub mod exchange;
pub mod facts;
pub(crate) mod markup;
mod notice;
pub mod outbox;
pub mod reach;
pub mod runner;

pub use context::{Context, Remembered};
pub use deliver::{Attempt, End, Said, deliver};
pub use exchange::{Answer, Next, Request};
pub use facts::{Facts, Now};
