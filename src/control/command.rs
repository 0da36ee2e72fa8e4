//! How others ask for a change of the release.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::revision::Seen;
use super::status::Status;
use crate::config::{Config, Endpoint};
use crate::gate::Version;
use crate::gate::signal::Posted;
use crate::live::Addresses;
use crate::release::{Epoch, Input, Refusal, Terms, Weight};

/// What is wanted.
#[derive(Clone, Debug)]
pub enum Change {
    /// One of the inputs that an operator gives.
    Operator(Input),
    Signal(Posted),
    Release(NewRelease),
    Endpoints(NewEndpoints),
    Reload(Reload),
}

/// A release that is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRelease {
    /// None: the green that the file declares.
    pub green: Option<Candidate>,
    pub terms: Terms,
    pub actor: String,
    pub reason: String,
}

/// The green of a release that is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub version: String,
    pub endpoints: Vec<Endpoint>,
    pub again: Again,
}

/// Whether a version may be released that was the last to be rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    No,
    Yes,
}

/// All endpoints of a version from here on. With none it serves nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEndpoints {
    pub version: Version,
    pub endpoints: Vec<Endpoint>,
    pub actor: String,
    pub reason: String,
}

/// The configuration from here on.
#[derive(Clone, Debug)]
pub struct Reload {
    pub config: Box<Config>,
    pub actor: String,
}

/// Why a change is not made. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Release(#[from] Refusal),
    #[error("release {epoch} of {green} is open, so none of {asked} can begin; promote it or roll it back first")]
    OtherGreen { epoch: Epoch, green: String, asked: String },
    #[error("{asked} is blue already: it serves everything that green does not")]
    IsBlue { asked: String },
    #[error(
        "{version} was the last to be rolled back ({reason}); to release it once more, say so with `\"again\": true`, or \
         --again"
    )]
    RolledBackBefore { version: String, reason: String },
    #[error(
        "irreversible: there is no plan that could be; the configuration has none, so give one with the release, as \
         `\"plan\": {{…}}`, or --plan"
    )]
    NothingToKeep,
    #[error(
        "weight: {asked} is above `green.maxWeight`, {most}: set at most {most}, or, when green can carry everything, promote \
         the release with POST /v1/release/promote"
    )]
    AboveMost { asked: Weight, most: Weight },
    #[error("{keys} cannot change while the process runs; start it anew, or take the change back")]
    Fixed { keys: String },
    #[error(
        "{version}.version is {is} in release {epoch}, which is open, and cannot become {wanted}; promote it or roll it back \
         first"
    )]
    VersionOfOpen { epoch: Epoch, version: Version, is: String, wanted: String },
    #[error(
        "route `{route}` was taken back in release {epoch}, which is open, and has to stay in `routes`, or its requests go to \
         green again; roll the release back or promote it first"
    )]
    RouteOfOpen { epoch: Epoch, route: String },
    #[error(
        "something was decided since the status that If-Match names{}; look at GET /v1/status again",
        last_of(last.as_deref())
    )]
    Unseen { last: Option<String> },
    #[error("{}", of_another(leader.as_deref()))]
    Follows { leader: Option<String> },
    #[error(
        "this replica leads and cannot be sure of it at the moment: the API server does not answer; what sends traffic away from \
         green is done all the same"
    )]
    Unsure,
    #[error("another replica has decided something in the same moment; look at GET /v1/status again")]
    Overtaken,
}

fn of_another(leader: Option<&str>) -> String {
    match leader {
        Some(leader) => format!("this replica follows {leader}, which takes the steps; ask that one"),
        None => "no replica leads at the moment, so nobody takes a step; a rollback is done by any, at once".to_owned(),
    }
}

fn last_of(last: Option<&str>) -> String {
    last.map(|sentence| format!(", last: {sentence}")).unwrap_or_default()
}

/// A change, and where the answer goes: the status after it.
#[derive(Debug)]
pub struct Command {
    pub change: Change,
    /// What the names that it brings stand for: nobody is routed to a version that is only about to be looked up.
    pub found: Addresses,
    /// What it is asked for on condition of.
    pub seen: Seen,
    pub reply: Reply,
}

pub type Reply = oneshot::Sender<Result<Arc<Status>, Refused>>;

/// Commands that wait. People send them, so a few are many.
const WAITING: usize = 64;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error(transparent)]
    Refused(Refused),
    #[error("the proxy is shutting down")]
    Gone,
}

/// Where commands are sent.
#[derive(Clone, Debug)]
pub struct Commands(mpsc::Sender<Command>);

impl Commands {
    pub fn channel() -> (Commands, mpsc::Receiver<Command>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Commands(sender), receiver)
    }

    /// Whether nobody carries commands out any more.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Sends a change and waits until it is in force and recorded.
    pub async fn send(&self, change: Change) -> Result<Arc<Status>, Failed> {
        self.send_if(Seen::Whatever, change, Addresses::default()).await
    }

    /// As [`Commands::send`], unless something was decided that whoever asks has not `seen`. A change may bring endpoints that
    /// are names, which stand for what was `found`.
    pub async fn send_if(&self, seen: Seen, change: Change, found: Addresses) -> Result<Arc<Status>, Failed> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Command { change, found, seen, reply }).await.map_err(|_| Failed::Gone)?;
        answer.await.map_err(|_| Failed::Gone)?.map_err(Failed::Refused)
    }
}
