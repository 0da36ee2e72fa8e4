//! All rules of one gate, and what counts as evidence for them.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use super::compare;
use super::grpc::{GrpcStatus, GrpcStatuses};
use super::outcome::{Charge, Outcome};
use super::route::Routes;
use super::trigger::{Action, CheckTrigger, Share, SignalTrigger, StreakTrigger, Trigger};

/// All rules of one gate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// Judged on windows of evidence.
    pub triggers: Vec<Trigger>,
    /// Judged by the workers.
    pub streak: Option<StreakTrigger>,
    /// Judged on active health checks.
    pub checks: Vec<CheckTrigger>,
    /// Judged by somebody else, who posts a signal.
    pub signals: Vec<SignalTrigger>,
    /// The statistical test of green against blue; none when it is switched off.
    pub compare: Option<compare::Settings>,
    pub counting: Counting,
    pub routes: Routes,
    /// Judged on mirrored requests, while a step of the plan mirrors; nothing else is judged by them.
    pub mirror: Vec<Trigger>,
    /// The names of those whom a plan may send to green before others.
    pub cohorts: Vec<String>,
    /// How long blue is watched after a rollback; zero: not at all.
    pub watch: Duration,
    /// What is tried before a rollback by some of `triggers`.
    pub first: Vec<First>,
}

/// What is tried before a rollback by one trigger on windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    pub trigger: String,
    /// The names of actions of the runbook.
    pub run: Vec<String>,
    /// Then it is rolled back, unless that has helped.
    pub wait: Duration,
}

/// Which requests are evidence, and which of them are failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counting {
    /// Requests for these paths count neither for nor against a version.
    pub exclude: Vec<PathPattern>,
    /// The statuses of whole answers that are charged as failures.
    pub failures: StatusSet,
    /// The same of gRPC, whose answers have a status of their own.
    pub grpc_failures: GrpcStatuses,
    pub warm_up: WarmUp,
    /// How much of a version's evidence one client may make up.
    pub client_share: Share,
}

/// A green endpoint's latencies are no evidence until it has been up for `time` and has had `requests`. Its failures
/// are, from the first request on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmUp {
    pub time: Duration,
    pub requests: u32,
}

/// What sees requests whose version was chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub streak: bool,
    /// Those with a bound that is absolute.
    pub triggers: bool,
}

/// Paths, without the query, compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    Exact(String),
    Prefix(String),
}

/// A set of statuses from 100 to 599, a bit each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StatusSet([u64; WORDS]);

const LEAST_STATUS: u16 = 100;
const MOST_STATUS: u16 = 599;
const WORDS: usize = 8;

impl Policy {
    /// Every trigger of whatever kind: its name and its action.
    pub fn actions(&self) -> impl Iterator<Item = (&str, Action)> {
        let triggers = self.triggers.iter().map(|trigger| (trigger.name.as_str(), trigger.action));
        let streak = self.streak.iter().map(|streak| (streak.name.as_str(), streak.action));
        let checks = self.checks.iter().map(|checks| (checks.name.as_str(), checks.action));
        let signals = self.signals.iter().map(|signal| (signal.name.as_str(), signal.action));
        triggers.chain(streak).chain(checks).chain(signals)
    }

    /// The same with routes that were learnt.
    #[must_use]
    pub fn with_learnt(self, templates: &[String]) -> Policy {
        Policy { routes: self.routes.with_learnt(templates), ..self }
    }

    /// The same of the triggers on mirrored requests.
    pub fn mirror_actions(&self) -> impl Iterator<Item = (&str, Action)> {
        self.mirror.iter().map(|trigger| (trigger.name.as_str(), trigger.action))
    }

    /// Whether anything is judged at all.
    pub fn is_active(&self) -> bool {
        self.compare.is_some() || self.actions().next().is_some()
    }
}

impl Default for WarmUp {
    fn default() -> Self {
        WarmUp { time: Duration::from_secs(30), requests: 20 }
    }
}

impl Default for Counting {
    fn default() -> Self {
        Counting {
            exclude: Vec::new(),
            failures: StatusSet::default(),
            grpc_failures: GrpcStatuses::default(),
            warm_up: WarmUp::default(),
            client_share: Share::try_from(0.2).expect("a fifth is a share"),
        }
    }
}

impl Counting {
    /// An answer that arrived whole is charged by its status, whatever it is called, of gRPC by what that says; anything
    /// else by what it came to.
    pub const fn charge(&self, outcome: Outcome, status: u16, grpc: Option<GrpcStatus>) -> Charge {
        let is_failure = match (outcome, grpc) {
            (Outcome::Success | Outcome::ClientError | Outcome::GrpcFailure, Some(said)) => {
                self.grpc_failures.contains(said)
            }
            (Outcome::Success | Outcome::ClientError | Outcome::ServerError, _) => self.failures.contains(status),
            (
                Outcome::ConnectError
                | Outcome::Timeout
                | Outcome::Reset
                | Outcome::Truncated
                | Outcome::GrpcFailure
                | Outcome::ClientCancelled
                | Outcome::RefusedByUs,
                _,
            ) => return outcome.charge(),
        };
        if is_failure { Charge::Failed } else { Charge::Served }
    }

    pub fn excludes(&self, path: &str) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches(path))
    }
}

impl PathPattern {
    pub fn matches(&self, path: &str) -> bool {
        match self {
            PathPattern::Exact(exact) => path == exact,
            PathPattern::Prefix(prefix) => path.starts_with(prefix.as_str()),
        }
    }
}

/// The 5xx statuses.
impl Default for StatusSet {
    fn default() -> Self {
        StatusSet::empty().with_class(5)
    }
}

impl StatusSet {
    pub const fn empty() -> StatusSet {
        StatusSet([0; WORDS])
    }

    /// A status outside of 100 to 599 is in no set.
    #[must_use]
    pub const fn with(mut self, status: u16) -> StatusSet {
        if let Some((word, bit)) = place(status) {
            self.0[word] |= bit;
        }
        self
    }

    #[must_use]
    pub const fn without(mut self, status: u16) -> StatusSet {
        if let Some((word, bit)) = place(status) {
            self.0[word] &= !bit;
        }
        self
    }

    /// All statuses that begin with the digit.
    #[must_use]
    pub fn with_class(self, digit: u16) -> StatusSet {
        class(digit).fold(self, StatusSet::with)
    }

    #[must_use]
    pub fn without_class(self, digit: u16) -> StatusSet {
        class(digit).fold(self, StatusSet::without)
    }

    pub const fn contains(&self, status: u16) -> bool {
        match place(status) {
            Some((word, bit)) => self.0[word] & bit != 0,
            None => false,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (LEAST_STATUS..=MOST_STATUS).filter(|status| self.contains(*status))
    }
}

fn class(digit: u16) -> Range<u16> {
    digit * 100..(digit + 1) * 100
}

const fn place(status: u16) -> Option<(usize, u64)> {
    if status < LEAST_STATUS || status > MOST_STATUS {
        return None;
    }
    let index = status - LEAST_STATUS;
    Some((index as usize / 64, 1 << (index % 64)))
}

impl fmt::Debug for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_statuses_holds_what_was_put_in_and_nothing_else() {
        let set = StatusSet::default().with(429).with(100).without(501).without(505).with(600).with(99);
        for status in 0..=u16::MAX {
            let expected = matches!(status, 100 | 429 | 500 | 502..=504 | 506..=599);
            assert_eq!(set.contains(status), expected, "{status}");
        }
        assert_eq!(StatusSet::empty().iter().count(), 0);
        assert_eq!(StatusSet::empty().with_class(4).iter().collect::<Vec<_>>(), (400..500).collect::<Vec<_>>());
    }

    #[test]
    fn a_path_is_excluded_as_a_whole_or_by_its_beginning() {
        let exclude = vec![PathPattern::Exact("/healthz".to_owned()), PathPattern::Prefix("/internal/".to_owned())];
        let counting = Counting { exclude, ..Counting::default() };
        for (path, expected) in [
            ("/healthz", true),
            ("/healthz/", false),
            ("/Healthz", false),
            ("/internal/", true),
            ("/internal/metrics", true),
            ("/internal", false),
            ("/", false),
            ("", false),
        ] {
            assert_eq!(counting.excludes(path), expected, "{path}");
        }
    }
}
