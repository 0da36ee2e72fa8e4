//! What one request adds to the counts.

use std::time::Duration;

use super::clients::Drawn;
use crate::gate::policy::Seen;
use crate::gate::streak::Routed;
use crate::gate::{Charge, GrpcStatus, Outcome, RouteMark, Version};

/// Everything that one request adds to the counts.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// None when no version served it.
    pub version: Option<Version>,
    pub routed: Routed,
    pub outcome: Outcome,
    /// By what the policy counts as a failure.
    pub charge: Charge,
    pub standing: Standing,
    pub drawn: Drawn,
    pub arm: Arm,
    /// None where no routes are configured.
    pub route: Option<RouteMark>,
    /// The number of the endpoint, where the version has enough of them that one can be told from the version.
    pub endpoint: Option<usize>,
    /// The status that was sent, 0 when none was.
    pub status: u16,
    /// None where the request was not of gRPC, or came to nothing that could say.
    pub grpc: Option<GrpcStatus>,
    /// What the version took, by which it is judged.
    pub judged: Took,
    /// What the client saw, which is shown.
    pub shown: Took,
}

/// How long one request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Took {
    /// To the response head; none when no head came and the request did not wait for one either.
    pub head: Option<Duration>,
    /// To the end of the answer; none when the request was never sent.
    pub whole: Option<Duration>,
}

/// What a request is evidence of. Whatever it is, it is counted and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Evidence,
    /// Of failures, and not of latency: its endpoint had only just begun.
    WarmUp,
    /// Of nothing: its path is excluded, no version served it, or its client has more than its share already.
    Aside,
    /// Of nothing that compares: its client has chosen the version.
    Overridden(Seen),
    /// Of nothing that compares: green had to have it. Bounds that are absolute and the streak see it.
    Cohort(Member),
}

/// What a request of a cohort is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The place of its cohort in the settings.
    pub cohort: u8,
    /// Its latency is no evidence: its endpoint had only just begun.
    pub warms_up: bool,
}

impl Standing {
    /// The same of a request to an endpoint that warms up; none where that makes no difference.
    pub const fn in_warm_up(self) -> Option<Standing> {
        match self {
            Standing::Evidence => Some(Standing::WarmUp),
            Standing::Cohort(Member { cohort, warms_up: false }) => {
                Some(Standing::Cohort(Member { cohort, warms_up: true }))
            }
            Standing::WarmUp | Standing::Aside | Standing::Overridden(_) | Standing::Cohort(_) => None,
        }
    }

    pub const fn is_of_warm_up(self) -> bool {
        matches!(self, Standing::WarmUp | Standing::Cohort(Member { warms_up: true, .. }))
    }

    /// Whether the streak sees it.
    pub const fn counts_in_a_row(self) -> bool {
        match self {
            Standing::Evidence | Standing::WarmUp | Standing::Cohort(_) => true,
            Standing::Overridden(Seen { streak, .. }) => streak,
            Standing::Aside => false,
        }
    }
}

/// Which part of blue's requests one belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arm {
    #[default]
    Rest,
    /// Those that stand in for green where blue is compared with itself.
    Drawn,
}

/// Requests with the same outcome and statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub version: Option<Version>,
    pub route: Option<RouteMark>,
    pub outcome: Outcome,
    pub status: u16,
    pub grpc: Option<GrpcStatus>,
    pub requests: u64,
}

/// The requests that have no response head yet and will be evidence of latency: how long the version has had them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered {
    pub version: Version,
    pub arm: Arm,
    pub route: Option<RouteMark>,
    pub age: Duration,
}

/// A failure at one endpoint of several, which may be the endpoint's and not the version's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedAt {
    pub version: Version,
    pub endpoint: usize,
    pub routed: Routed,
    pub arm: Arm,
    pub route: Option<RouteMark>,
    /// None in a warm-up.
    pub judged: Took,
}

/// Counts one request among those like it, all of which are on its route.
pub(super) fn count_in(counts: &mut Vec<Count>, record: &Record) {
    let Record { version, outcome, status, grpc, .. } = *record;
    let same = |count: &&mut Count| {
        count.status == status && count.outcome == outcome && count.version == version && count.grpc == grpc
    };
    match counts.iter_mut().find(same) {
        Some(count) => count.requests += 1,
        None => counts.push(Count::from(record)),
    }
}

impl From<&Record> for Count {
    fn from(record: &Record) -> Count {
        let Record { version, route, outcome, status, grpc, .. } = *record;
        Count { version, route, outcome, status, grpc, requests: 1 }
    }
}
