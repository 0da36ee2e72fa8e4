//! A cohort: clients that go to green before any others, by a rule.

use std::net::IpAddr;

use http::HeaderName;
use ipnet::IpNet;

use super::route::PathTemplate;

/// One cohort of a configuration. A request is of it that fits whatever is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cohort {
    pub name: String,
    pub header: Option<Sent<HeaderName>>,
    pub cookie: Option<Sent<String>>,
    /// Empty for everywhere.
    pub from: Vec<IpNet>,
    /// Empty for all.
    pub paths: Vec<PathTemplate>,
}

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent<N> {
    pub name: N,
    /// Empty for any value but an empty one. Compared byte by byte.
    pub values: Vec<String>,
}

/// As many as a release can tell apart by a bit each.
pub const MOST_COHORTS: usize = 32;

impl<N> Sent<N> {
    pub fn fits(&self, value: &[u8]) -> bool {
        !value.is_empty() && (self.values.is_empty() || self.values.iter().any(|wanted| wanted.as_bytes() == value))
    }
}

impl Cohort {
    pub fn is_from(&self, origin: impl FnOnce() -> IpAddr) -> bool {
        if self.from.is_empty() {
            return true;
        }
        let origin = origin();
        self.from.iter().any(|network| network.contains(&origin))
    }

    pub fn is_for(&self, path: &str) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|template| template.matches(path))
    }
}
