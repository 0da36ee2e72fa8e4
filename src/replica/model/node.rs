//! One replica of the model, and what is between it and the API server.

use std::collections::BTreeSet;

use super::super::{Body, Decision, Effect, Heard, Replica, Stamp, Write, Written};
use super::world::seconds;

/// A release, as small as it can be and still go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Release {
    pub epoch: u8,
    /// From 1; after the last green has everything.
    pub step: u8,
    /// Which raise came to this step: no two have the same.
    pub raise: u8,
    pub is_held: bool,
    pub is_latched: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub replica: Replica<u8, Release>,
    /// The deciding core's.
    pub home: Release,
    /// What was decided last is not carried out before it is written.
    pub waits: bool,
    /// What its traffic goes by: the epoch, and the step that green has the share of.
    pub routed: (u8, u8),
    /// The last epoch whose latch it has heard of, or decided, or was written when it started or woke.
    pub knows_latched: u8,
    /// Where its thread is.
    pub at: At,
    /// What it routes was raised after its lease had run out.
    pub is_late: bool,
    pub is_cut: bool,
    /// Up to which version it was told by its watch.
    pub watched: u8,
}

/// A thread may stand still anywhere; between these places it makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum At {
    /// It waits for whatever comes.
    Rest,
    /// It has found that what it waited for holds, and is to route it.
    Raise,
    /// It has routed it, and is to look at the clock.
    Look,
}

/// What is under way; to and from a process, for a later one does not know of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Packet {
    Write(Write<u8, Release>),
    Wrote {
        by: Stamp,
        written: Written<u8>,
    },
    /// The answer to the last read.
    Answer {
        process: u32,
        heard: Heard<u8, Release>,
    },
}

impl Body for Release {
    fn epoch(&self) -> u32 {
        u32::from(self.epoch)
    }

    fn is_latched(&self) -> bool {
        self.is_latched
    }
}

impl Packet {
    pub(super) fn process(&self) -> u32 {
        match self {
            Packet::Write(write) => write.shared.by.process,
            Packet::Wrote { by, .. } => by.process,
            Packet::Answer { process, .. } => *process,
        }
    }
}

impl Node {
    pub(super) fn carry_out(&mut self, effects: Vec<Effect<u8, Release>>, air: &mut BTreeSet<Packet>, now: u8) {
        for effect in effects {
            match effect {
                Effect::Follow(release) => self.follow(release),
                Effect::Go => self.at = At::Raise,
                Effect::Kept => {}
                Effect::ServeBlue => {
                    self.waits = false;
                    self.is_late = false;
                    self.routed.1 = 0;
                }
                Effect::Begin => {
                    let effects = self.replica.decide(Decision::Keeps, self.home, seconds(now));
                    self.carry_out(effects, air, now);
                }
                Effect::Write(write) => _ = air.insert(Packet::Write(write)),
                // It is asked until it has an answer; the answer to an earlier one is not waited for any more.
                Effect::Read(_) => {
                    let process = self.replica.process;
                    air.retain(|packet| !matches!(packet, Packet::Answer { process: of, .. } if *of == process));
                }
            }
        }
    }

    /// As the routing table has it: no epoch that is latched opens again.
    fn follow(&mut self, release: Release) {
        self.waits = false;
        if self.home.is_latched && self.home.epoch == release.epoch && !release.is_latched {
            return;
        }
        self.home = release;
        self.is_late = false;
        self.routed = (release.epoch, if release.is_latched { 0 } else { release.step });
    }
}
