//! What happened, told to everybody who listens.

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast;

use crate::release::{Epoch, State, Weight};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Started,
    WeightSet,
    RolledBack,
    Paused,
    Probing,
    Frozen,
    Thawed,
    Notified,
}

/// One event, as it is sent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub at: Timestamp,
    pub kind: Kind,
    pub actor: String,
    pub sentence: String,
    pub epoch: Epoch,
    pub state: &'static str,
    pub weight: Weight,
}

/// Events that a slow listener may lag behind before it loses the oldest.
const KEPT: usize = 256;

/// Where events are sent. Nobody has to listen.
#[derive(Clone, Debug)]
pub struct Events(broadcast::Sender<Event>);

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Started => "started",
            Kind::WeightSet => "weightSet",
            Kind::RolledBack => "rolledBack",
            Kind::Paused => "paused",
            Kind::Probing => "probing",
            Kind::Frozen => "frozen",
            Kind::Thawed => "thawed",
            Kind::Notified => "notified",
        }
    }
}

impl Event {
    pub fn new(kind: Kind, actor: &str, sentence: String, state: &State) -> Event {
        Event {
            at: Timestamp::now(),
            kind,
            actor: actor.to_owned(),
            sentence,
            epoch: state.epoch(),
            state: state.name(),
            weight: state.weight(),
        }
    }
}

impl Default for Events {
    fn default() -> Events {
        Events(broadcast::Sender::new(KEPT))
    }
}

impl Events {
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }

    pub fn send(&self, event: Event) {
        // An error means that nobody listens.
        self.0.send(event).ok();
    }
}
