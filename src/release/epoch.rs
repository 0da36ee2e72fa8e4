//! The rising number of releases.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which release a request, a weight or a latch belongs to. It only ever rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize)]
pub struct Epoch(u32);

impl Epoch {
    #[must_use]
    pub const fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }

    pub const fn number(self) -> u32 {
        self.0
    }

    /// The low bits, for state that packs into an atomic; compared by wrapping distance.
    pub const fn low_bits(self) -> u16 {
        self.0 as u16
    }
}

impl From<u32> for Epoch {
    fn from(number: u32) -> Epoch {
        Epoch(number)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
