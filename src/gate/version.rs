//! The two versions of the service, and values kept once for each.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Blue is the stable version, green the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Version {
    Blue,
    Green,
}

/// One value for each version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByVersion<T> {
    pub blue: T,
    pub green: T,
}

impl Version {
    pub const BOTH: [Version; 2] = [Version::Blue, Version::Green];

    /// The name used in the API, in metric labels and in sentences.
    pub const fn name(self) -> &'static str {
        match self {
            Version::Blue => "blue",
            Version::Green => "green",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl<T> ByVersion<T> {
    /// Builds both values with the same function, blue's first.
    pub fn build(mut make: impl FnMut(Version) -> T) -> Self {
        ByVersion { blue: make(Version::Blue), green: make(Version::Green) }
    }

    pub const fn of(&self, version: Version) -> &T {
        match version {
            Version::Blue => &self.blue,
            Version::Green => &self.green,
        }
    }

    pub const fn of_mut(&mut self, version: Version) -> &mut T {
        match version {
            Version::Blue => &mut self.blue,
            Version::Green => &mut self.green,
        }
    }

    pub const fn as_ref(&self) -> ByVersion<&T> {
        ByVersion { blue: &self.blue, green: &self.green }
    }
}
