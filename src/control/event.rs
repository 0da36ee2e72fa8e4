//! What happened, told to everybody who listens.

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast;

use crate::release::{Epoch, Kind, State, Weight};

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

impl Event {
    pub fn new(kind: Kind, actor: String, sentence: String, state: &State) -> Event {
        let (epoch, weight) = (state.epoch(), state.weight());
        Event { at: Timestamp::now(), kind, actor, sentence, epoch, state: state.name(), weight }
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
        if self.0.send(event).is_err() {
            tracing::trace!("nobody listens to events");
        }
    }
}
