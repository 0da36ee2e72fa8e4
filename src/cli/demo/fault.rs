//! The ways in which green goes bad, and the triggers that should see it.

use super::backend::LATE;
use crate::gate::verdict::duration;
use crate::release::input::COMPARISON;

/// What green does once it is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Fault {
    /// Green answers every request with 500
    Errors,
    /// Green answers late
    Latency,
    /// Green takes requests and never answers
    Hang,
    /// Green's port is closed and its connections are reset
    Refuse,
    /// Green stays well, and the release completes
    None,
}

impl Fault {
    /// Ends a sentence about green.
    pub(super) fn deed(self) -> String {
        match self {
            Fault::Errors => "answers every request with 500".to_owned(),
            Fault::Latency => format!("answers every request {} late", duration(LATE)),
            Fault::Hang => "takes requests and never answers".to_owned(),
            Fault::Refuse => "refuses connections and resets the open ones".to_owned(),
            Fault::None => "stays well".to_owned(),
        }
    }

    /// What may see it first: the comparison, or a trigger of the demo's configuration.
    pub(super) const fn triggers(self) -> &'static [&'static str] {
        match self {
            Fault::Errors | Fault::Refuse => &["dead", "meltdown", COMPARISON],
            Fault::Latency => &["slow", COMPARISON],
            // A request that ran into the time limit has failed, and was slow too.
            Fault::Hang => &["dead", "meltdown", "slow", COMPARISON],
            Fault::None => &[],
        }
    }
}
