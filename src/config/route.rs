//! A route: which requests are on it, and what becomes of them.

use http::Method;

use super::Timeouts;
use crate::gate::route::{Goes, RollbackOf};

/// One route of a configuration. A list without an element leaves what it is of open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    pub name: String,
    pub hosts: Vec<HostPattern>,
    pub paths: Vec<PathTemplate>,
    pub methods: Vec<Method>,
    pub goes: Goes,
    /// Those of the configuration, with the route's own in their place.
    pub timeouts: Timeouts,
    pub shield: RouteShield,
    pub rollback: RollbackOf,
}

/// Which requests on a route blue answers in green's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteShield {
    /// Those that `shield` covers.
    AsElsewhere,
    Off,
    /// Those by these methods, idempotent or not.
    Methods(Vec<Method>),
}

/// Hosts, in lower case and without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    Exact(String),
    /// Every name below this one, which begins with its dot.
    Below(String),
}

/// Paths, without the query, compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    /// From the first `/` on.
    pub(super) segments: Vec<Segment>,
    pub(super) end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(String),
    /// Any that is not empty.
    Any,
}

/// What comes after the segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Nothing,
    /// A segment that begins so, and whatever follows it.
    Prefix(String),
}

impl HostPattern {
    /// `host` is as a Host field has it.
    pub fn matches(&self, host: &[u8]) -> bool {
        let host = without_port(host);
        match self {
            HostPattern::Exact(exact) => host.eq_ignore_ascii_case(exact.as_bytes()),
            HostPattern::Below(suffix) => {
                let begins = host.len().checked_sub(suffix.len()).filter(|begins| *begins > 0);
                begins.is_some_and(|begins| host[begins..].eq_ignore_ascii_case(suffix.as_bytes()))
            }
        }
    }
}

/// An address of IPv6 stands in brackets.
fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|byte| matches!(byte, b':' | b']')) {
        Some(at) if host[at] == b':' => &host[..at],
        Some(_) | None => host,
    }
}

impl PathTemplate {
    pub fn matches(&self, path: &str) -> bool {
        let mut rest = path.as_bytes().strip_prefix(b"/");
        for segment in &self.segments {
            let Some(left) = rest else { return false };
            let end = match segment {
                Segment::Literal(literal) if left.starts_with(literal.as_bytes()) => literal.len(),
                Segment::Literal(_) => return false,
                Segment::Any => end_of_segment(left),
            };
            rest = match left.get(end) {
                None => None,
                Some(b'/') => Some(&left[end + 1..]),
                Some(_) => return false,
            };
            if matches!(segment, Segment::Any) && end == 0 {
                return false;
            }
        }
        match &self.end {
            End::Nothing => rest.is_none(),
            End::Prefix(prefix) => rest.is_some_and(|rest| rest.starts_with(prefix.as_bytes())),
        }
    }

    /// The first segment of every path that matches; none where there is more than one.
    pub fn first_segment(&self) -> Option<&str> {
        match self.segments.first()? {
            Segment::Literal(literal) => Some(literal),
            Segment::Any => None,
        }
    }

    /// Whether it matches all that `other` does, as far as that is plain to see.
    pub(super) fn covers(&self, other: &PathTemplate) -> bool {
        let fits = |(own, other): (&Segment, &Segment)| match (own, other) {
            (Segment::Any, Segment::Literal(literal)) => !literal.is_empty(),
            (Segment::Any, Segment::Any) => true,
            (own, other) => own == other,
        };
        if self.segments.len() > other.segments.len() || !self.segments.iter().zip(&other.segments).all(fits) {
            return false;
        }
        let behind = other.segments.get(self.segments.len());
        match (&self.end, behind, &other.end) {
            (End::Nothing, None, End::Nothing) => true,
            (End::Nothing, _, _) => false,
            (End::Prefix(prefix), Some(Segment::Literal(literal)), _) => literal.starts_with(prefix.as_str()),
            (End::Prefix(prefix), Some(Segment::Any), _) => prefix.is_empty(),
            (End::Prefix(prefix), None, End::Prefix(other)) => other.starts_with(prefix.as_str()),
            (End::Prefix(_), None, End::Nothing) => false,
        }
    }
}

/// Where the first segment of `path`, which begins behind a slash, ends. Segments are too short for `memchr` to be worth its call.
pub fn end_of_segment(path: &[u8]) -> usize {
    path.iter().position(|byte| *byte == b'/').unwrap_or(path.len())
}

impl RouteConfig {
    /// Whether every request on `later` would have been on this route before.
    pub(super) fn hides(&self, later: &RouteConfig) -> bool {
        let hosts = self.hosts.is_empty()
            || !later.hosts.is_empty() && later.hosts.iter().all(|host| self.hosts.contains(host));
        let methods = self.methods.is_empty()
            || !later.methods.is_empty() && later.methods.iter().all(|method| self.methods.contains(method));
        let covered = |path: &PathTemplate| self.paths.iter().any(|own| own.covers(path));
        let paths = self.paths.is_empty() || !later.paths.is_empty() && later.paths.iter().all(covered);
        hosts && methods && paths
    }
}
