//! What `control` has to do with the other replicas: none, or a part in a state that all of them share.
//!
//! What they hold is decided by [`replica`](crate::replica). Here is what is between it and the release: a raise that waits for
//! its write, commands that wait until it may be done, and the words that come and go. Whoever carries them to the API server
//! has a thread of its own, and nothing here waits for it.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::command::{Command, Reply};
use super::event::Event;
use crate::journal::StateRecord;
use crate::release::{self, Kind};
use crate::replica::{self, Effect, Heard, Lease, Replica, Stamp, Write, Written};

/// What all replicas share of the release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Body {
    #[serde(flatten)]
    pub record: StateRecord,
    /// The decision that it is of.
    #[serde(default)]
    pub told: Option<Told>,
    /// When its release began, by the clock of the replica that began it: the same for all. None of a program that does not say.
    #[serde(default)]
    pub began: Option<Timestamp>,
    /// What is to be done about its latch, for the write that brings it; what is left of that is told elsewhere.
    #[serde(skip)]
    pub to_do: Vec<String>,
}

/// A decision, as its event tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub kind: Kind,
    pub actor: String,
    pub sentence: String,
}

/// What `control` is told.
#[derive(Debug)]
pub enum Word {
    Heard(Box<Heard<String, Body>>),
    Wrote {
        by: Stamp,
        written: Written<String>,
    },
    /// The lease was won or renewed, and nobody else has it before then.
    Leads {
        until: Instant,
    },
    /// It is another's, or nobody's.
    Follows {
        leader: Option<String>,
    },
    /// What is left to be done about a latch, as far as it is for this replica to do.
    Owes(Option<Owed>),
}

/// The actions of the rollback of an epoch that are not known to have ended, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    pub epoch: u32,
    pub left: Vec<String>,
}

/// Those of them that have ended here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acted {
    pub epoch: u32,
    pub done: Vec<String>,
}

/// What `control` wants done. Every write is answered, and every read until a later one is wanted.
#[derive(Debug)]
pub enum Order {
    Write(Box<Write<String, Body>>),
    Read(u32),
}

/// Whether this replica takes the steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    Leads,
    /// Another one does, or none that is known.
    #[default]
    Follows,
}

/// The ends of whoever carries the words.
#[derive(Debug)]
pub struct Ends {
    pub words: mpsc::Sender<Word>,
    pub orders: mpsc::Receiver<Order>,
    /// As of the last word.
    pub place: watch::Receiver<Place>,
    pub acted: watch::Receiver<Acted>,
}

/// The other replicas.
#[derive(Debug, Default)]
pub enum Together {
    /// There are none.
    #[default]
    Alone,
    Among(Box<Among>),
}

#[derive(Debug)]
pub struct Among {
    pub(super) replica: Replica<String, Body>,
    started: Instant,
    words: mpsc::Receiver<Word>,
    orders: mpsc::Sender<Order>,
    place: watch::Sender<Place>,
    pub(super) acted: watch::Sender<Acted>,
    pub(super) owed: Option<Owed>,
    /// The actor of the replica that leads.
    pub(super) leader: Option<String>,
    /// Since the lease was won: the release has been taken over.
    pub(super) has_begun: bool,
    pub(super) held: Option<Held>,
    /// Told here, and to be acted on by whoever gets it written.
    pub(super) to_act_on: Vec<Event>,
    /// Since then there is a rollback among them.
    pub(super) unwritten: Option<Instant>,
    pub(super) waiting: VecDeque<(Instant, Command)>,
    /// The turn of the last state that was followed or written.
    pub(super) told: u64,
    /// Green gets nothing before something is heard.
    pub(super) serves_blue: bool,
    ticked: Instant,
    /// Whoever stood still for so long goes by nothing that was known before.
    longest_stop: Duration,
    /// What is to be done at the start.
    pub(super) first: Vec<Effect<String, Body>>,
}

/// A decision that holds once it is written.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) effects: Vec<release::Effect>,
    pub(super) events: Vec<Event>,
    pub(super) replies: Vec<Reply>,
}

/// Words come one a second, and one for each write: more wait in a process that stood still.
const WORDS: usize = 64;

/// There is one write at a time, and one read for each that failed.
const ORDERS: usize = 16;

/// Commands that wait until something may be raised.
pub(super) const MOST_WAITING: usize = 64;

/// How long a command waits for that.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);

impl replica::Body for Body {
    fn epoch(&self) -> u32 {
        self.record.epoch
    }

    fn is_latched(&self) -> bool {
        self.record.latch.is_some()
    }
}

impl Together {
    /// One of several. Whoever stood still for `longest_stop` reads the state before green gets anything.
    pub fn among(longest_stop: Duration) -> (Together, Ends) {
        let (words, told) = mpsc::channel(WORDS);
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (place, placed) = watch::channel(Place::default());
        let (acted, has_acted) = watch::channel(Acted::default());
        let (replica, first) = Replica::new(fastrand::u32(1..));
        let among = Among {
            replica,
            started: Instant::now(),
            words: told,
            orders,
            place,
            acted,
            owed: None,
            leader: None,
            has_begun: false,
            held: None,
            to_act_on: Vec::new(),
            unwritten: None,
            waiting: VecDeque::new(),
            told: 0,
            serves_blue: true,
            ticked: Instant::now(),
            longest_stop,
            first,
        };
        let ends = Ends { words, orders: ordered, place: placed, acted: has_acted };
        (Together::Among(Box::new(among)), ends)
    }

    pub(super) fn is_alone(&self) -> bool {
        matches!(self, Together::Alone)
    }

    pub(super) fn others(&self) -> Option<&Among> {
        match self {
            Together::Alone => None,
            Together::Among(among) => Some(among),
        }
    }

    pub(super) fn others_mut(&mut self) -> Option<&mut Among> {
        match self {
            Together::Alone => None,
            Together::Among(among) => Some(among),
        }
    }

    /// The next word; never where there is nobody who could say one.
    pub(super) async fn next(&mut self) -> Word {
        let word = match self {
            Together::Alone => None,
            Together::Among(among) => among.words.recv().await,
        };
        match word {
            Some(word) => word,
            None => std::future::pending().await,
        }
    }
}

impl Among {
    /// The clock of the protocol. It goes on while the process stands still, and is nobody else's.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// How long the lease is held at the least, on that clock.
    pub(super) fn lease(&self, until: Instant) -> Lease {
        Lease::Held { until: until.saturating_duration_since(self.started) }
    }

    pub(super) fn may_step(&self) -> bool {
        self.has_begun && self.held.is_none() && self.replica.may_step(self.now())
    }

    /// Whether what gives green no more may be decided: it is not taken back by what is heard next.
    pub(super) fn may_keep(&self) -> bool {
        self.has_begun && self.replica.is_sure()
    }

    pub(super) fn leads(&self) -> bool {
        self.replica.leads()
    }

    /// Whether the process has stood still since the last time.
    pub(super) fn has_stood_still(&mut self) -> bool {
        self.ticked.elapsed() > self.longest_stop
    }

    /// Nobody else can have led for longer than this without having been heard of here, if there is anything to be heard.
    pub(super) fn has_waited_long_to_write(&self) -> bool {
        self.unwritten.is_some_and(|since| since.elapsed() > self.longest_stop)
    }

    pub(super) fn ticks(&mut self) {
        self.ticked = Instant::now();
    }

    pub(super) fn is_placed(&self) {
        let place = if self.leads() { Place::Leads } else { Place::Follows };
        self.place.send_if_modified(|known| std::mem::replace(known, place) != place);
    }

    /// Has it done by whoever carries it out.
    pub(super) fn order(&mut self, order: Order) -> Vec<Effect<String, Body>> {
        let Err(failed) = self.orders.try_send(order) else { return vec![] };
        let (mpsc::error::TrySendError::Full(order) | mpsc::error::TrySendError::Closed(order)) = failed;
        tracing::error!(?order, "the thread of Kubernetes does not answer");
        vec![]
    }
}

#[cfg(test)]
mod tests;
