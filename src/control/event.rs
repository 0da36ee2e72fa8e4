//! What happened, told to everybody who listens, and kept for a while for those who were away.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{broadcast, watch};

use crate::release::{Epoch, Kind, State, Weight};

/// One event, as it is sent.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub at: Timestamp,
    pub kind: Kind,
    pub actor: String,
    pub sentence: String,
    pub epoch: Epoch,
    pub state: &'static str,
    pub weight: Weight,
    /// Which decision of the journal it is, if it is one.
    #[serde(skip)]
    pub recorded: Option<Place>,
    /// Among all that this process has told, from 1.
    #[serde(skip)]
    pub number: u64,
}

/// Where the journal has a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub epoch: u32,
    pub seq: u32,
}

/// How far somebody has heard, as the `id` of an event says it: in what this process has told, which another one cannot know, and
/// in the journal, which it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    process: u32,
    pub number: u64,
    pub recorded: Option<Place>,
}

/// Events that a slow listener may lag behind before it has to catch up.
const QUEUED: usize = 256;

/// Events that are kept for listeners who were away.
const KEPT: usize = 1024;

/// Where events are sent. Nobody has to listen.
#[derive(Clone, Debug)]
pub struct Events {
    process: u32,
    sender: broadcast::Sender<Event>,
    /// Held to write by `control` alone, for as long as it takes to add one.
    told: Arc<watch::Sender<Told>>,
}

#[derive(Debug, Default)]
struct Told {
    number: u64,
    /// The newest that the journal has.
    recorded: Option<Place>,
    kept: VecDeque<Event>,
}

/// What there is for somebody who was away.
pub struct Since {
    /// In their order; all that are kept, where it is not known which have been heard.
    pub kept: Vec<Event>,
    /// Whether nothing lies between what was heard and what is kept.
    pub is_whole: bool,
    pub receiver: broadcast::Receiver<Event>,
}

impl Event {
    pub fn new(kind: Kind, actor: String, sentence: String, state: &State) -> Event {
        let (epoch, weight, at) = (state.epoch(), state.weight(), Timestamp::now());
        Event { at, kind, actor, sentence, epoch, state: state.name(), weight, recorded: None, number: 0 }
    }
}

impl Default for Events {
    fn default() -> Events {
        Events {
            process: fastrand::u32(1..),
            sender: broadcast::Sender::new(QUEUED),
            told: Arc::new(watch::Sender::new(Told::default())),
        }
    }
}

impl Events {
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }

    /// What was told since `heard`, and what will be, with nothing in between.
    pub fn listen_since(&self, heard: Heard) -> Since {
        let told = self.told.borrow();
        let is_ours = heard.process == self.process;
        let oldest = told.kept.front().map_or(told.number + 1, |event| event.number);
        let kept = told.kept.iter().filter(|event| !is_ours || event.number > heard.number).cloned().collect();
        Since { kept, is_whole: is_ours && oldest <= heard.number + 1, receiver: self.sender.subscribe() }
    }

    /// Everything that was told so far.
    pub fn heard(&self) -> Heard {
        let told = self.told.borrow();
        Heard { process: self.process, number: told.number, recorded: told.recorded }
    }

    pub fn send(&self, event: Event) {
        self.told.send_modify(|told| {
            told.number += 1;
            told.recorded = event.recorded.or(told.recorded);
            let event = Event { number: told.number, ..event };
            if told.kept.len() == KEPT {
                told.kept.pop_front();
            }
            told.kept.push_back(event.clone());
            // In here, so that nobody who asks what there was misses it or gets it twice.
            if self.sender.send(event).is_err() {
                tracing::trace!("nobody listens to events");
            }
        });
    }
}

impl Heard {
    /// As far as before, and this event.
    #[must_use]
    pub fn and(self, events: &Events, event: &Event) -> Heard {
        Heard { process: events.process, number: event.number, recorded: event.recorded.max(self.recorded) }
    }

    /// As far as before, and a decision of the journal.
    #[must_use]
    pub fn and_recorded(self, place: Place) -> Heard {
        Heard { recorded: Some(place), ..self }
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { epoch, seq } = self.recorded.unwrap_or(Place { epoch: 0, seq: 0 });
        write!(f, "{:08x}.{}.{epoch}.{seq}", self.process, self.number)
    }
}

impl FromStr for Heard {
    type Err = ();

    fn from_str(text: &str) -> Result<Heard, ()> {
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or(());
        let process = u32::from_str_radix(part()?, 16).map_err(|_| ())?;
        let number = part()?.parse().map_err(|_| ())?;
        let (epoch, seq) = (part()?.parse().map_err(|_| ())?, part()?.parse().map_err(|_| ())?);
        if parts.next().is_some() {
            return Err(());
        }
        // No release has the epoch 0.
        Ok(Heard { process, number, recorded: (epoch > 0).then_some(Place { epoch, seq }) })
    }
}
